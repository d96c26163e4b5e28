"""The cleanup function `HumanGovDeleteFile`: a deleted record's file goes, a live record's file never does.

AWS Lambda runs this folder by itself, as package `cleanup`: standard library, boto3, relative imports.

    handler           entry point: settings and clients, once a cold start
    environment       environment variables → a frozen dataclass
    batch             one invocation: read → settle → report
    records           stream record → which files it frees; pure
    references        what file a record names, and which keys are never touched; pure
    settle            freed files: check → erase
    guard             what the live table and the file's age say against an erasure
    versions          the versions of a file, and what Object Lock says of one
    erase             the erasure, and what S3 answered for each key
    outcomes          what became of a file, and of a batch; pure
    receipt_lines     the lines of proof; pure
    log_lines         the other lines of the log; pure
    embedded_metrics  what CloudWatch takes out of the batch's line; pure
    calls             the AWS methods used, and how a failed call is named
    retry             one call, tried again
    error_codes       which of AWS's codes a further attempt may cure; pure
"""
