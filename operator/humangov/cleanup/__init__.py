"""The cleanup function `HumanGovDeleteFile`: a deleted record's file goes, a live record's file never does.

AWS Lambda runs this folder by itself, as package `cleanup`: standard library, boto3, relative imports.

    handler   entry point: settings and clients, once a cold start
    settings  environment variables → a frozen dataclass
    names     what file a record names, and which keys are never touched; pure
    records   stream record → what it frees; pure
    guard     what the live table and the file's age say against an erasure
    versions  the versions of a file, and what Object Lock says of one
    erase     the erasure, and what S3 answered for each key
    receipts  the lines of proof; pure
    metrics   what CloudWatch takes out of the batch's line; pure
    calls     the AWS methods used, and how a failed call is named
    batch     one invocation: read → check → erase → report
"""
