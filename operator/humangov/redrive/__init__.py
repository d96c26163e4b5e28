"""Redrive: handles failed invocations once more with the function's own code, then removes their records.

redrive     one run: list → read → read the table → handle → remove
mappings    whose mappings count, and their record in the bucket, which outlives the HumanGovState
stored      lists, reads and removes objects with all their versions
invocation  parses an invocation record of Lambda; pure
handling    runs the function's own code on an event; the final read uses it too
receipt_group  the log group of the receipts, made again where the HumanGovState is gone
result      what a run found and did; pure
output      the result for people and scripts; pure
"""
