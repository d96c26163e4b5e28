"""The cleanup function `HumanGovDeleteFile`: erases a deleted record's file, and never a live record's file.

AWS Lambda runs this folder alone, as package `cleanup`: standard library, boto3, relative imports.

    handler           entry point: settings and clients, once per cold start
    environment       environment variables → a frozen dataclass
    batch             one invocation: read → settle → report
    records           stream record → the files that it frees; pure
    references        the files that a record names, and keys that are never erased; pure
    s3_urls           the key that a URL of S3 names; pure
    settle            freed files: look → erase
    look              what keeps a file now: its age in S3, and live records
    guard             reasons against an erasure: the live table and the file's age
    indexes           the table's indexes by file name, which find further records
    versions          the versions of a file, and Object Lock
    hand_back         the records that Lambda must retry; pure
    erase             the erasure, and S3's response for each key
    outcomes          outcomes of a file and of a batch; pure
    receipt_lines     the lines of a receipt; pure
    receipt_log       stores them in CloudWatch Logs, before the first erasure and after it
    receipt_chain     chains the lines of a log stream; pure
    erasure_limit     how many files may be erased in an hour
    log_lines         all other log lines; pure
    embedded_metrics  metrics that CloudWatch extracts from the batch's line; pure
    calls             the AWS methods used, and the names of failures
    retry             retries a call
    error_codes       transient AWS error codes; pure
"""
