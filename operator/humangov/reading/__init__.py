"""A reading of the table: which files its records name. For sweep, redrive and final stream read.

snapshot     reads the table consistently, with a share of its capacity
named_files  named files: every key that a record mentions
shards       a stream's records, shard by shard and page by page, to their ends
progress     what the long steps share: stopping, S3's time, progress
"""
