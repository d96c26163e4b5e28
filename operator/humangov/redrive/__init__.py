"""Redrive: handles failed invocations once more with the function's own code, then removes their records.

redrive         one run: list → read → handle → remove
failure_bucket  lists, reads and removes the invocation records in the failures bucket
invocation      parses an invocation record of Lambda; pure
handling        runs the function's own code on an event; the final read uses it too
result          what a run found and did; pure
output          the result for people and scripts; pure
"""
