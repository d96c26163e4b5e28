"""A reading of the table: which files its records name. For sweep, redrive and final stream read.

table_reading    one reading: a scan, completed by the table's stream
unnamed          of some keys, those that no record names
snapshot         the scan: reads the table consistently, with a share of its capacity
followed_stream  the table's stream, followed from before a scan
shards           a stream's records, shard by shard and page by page, to their ends or up to a time
records_by_key   single records, by their keys
named_files      named files: every key that a record mentions
progress         what the long steps share: stopping, AWS's time, progress
"""
