"""Every published figure has a command here: `python -m bench NAME` prints a table, then one line of JSON.

__main__.py      the list of benches, and how a result is printed
measure.py       pure: spreads, percentiles, audit lines, tables
rig.py           the sandbox with a recorder in front of its AWS, and an operator
walkthrough.py   the same AWS objects made by hand: what the figures are compared with
calls.py         AWS calls, Kubernetes writes and seconds of one tenant, and of fifty
moto.py          the same seconds where AWS itself takes none
events.py        a poison record's shard, and 100,000 stream events with faults, behind Lambda's event source
cleanup.py       the function beside the walkthrough's: calls, seconds, memory, size, cold start
sweep.py         a sweep beside the bare listing and scan, and beside the usual script
endpoint.py      the S3 and DynamoDB behind it, whose pages are made on the fly
"""
