"""Every published figure has a command here: `python -m bench NAME` prints a table, then one line of JSON.

They exist so that nobody has to believe a figure. They share worlds with the tests (`testing`), and import no test.

__main__.py        the list of benches, and how a result is printed
measure.py         pure: spreads, percentiles, audit lines, tables
rig.py             the sandbox with a recorder in front of its AWS, and an operator
walkthrough.py     the same AWS resources created by hand: what the figures are compared with
calls.py           AWS calls, Kubernetes writes and seconds of one tenant, and of fifty
moto.py            the same seconds where AWS itself takes none
storm.py           fifty tenants through bad weather
soak.py            fifty tenants at work for an hour: memory, threads and files flat, nothing lost, nothing left
soak_*.py          what counts as flat; the application and the hands; the replicas, their ends and releases
report.py          a report of a million receipts, in a process of its own (report_program.py)
failing.py         one healthy tenant beside 49 that fail
matrix.py          every flow of a tenant cut off, or failed, at every call
events.py          a poison record's shard, and 100,000 stream events with faults, behind Lambda's event source
world.py           thousands of histories in the adversarial world: what was lost, left unsaid, or said falsely
second_s3.py       a plain and a versioned bucket of another S3, swept in mode Delete: what went, what has receipts
cleanup.py         the function beside the walkthrough's: calls, seconds, memory, size, cold start
sweep.py           a sweep beside the bare listing and scan, and beside the usual script
sweep_programs.py  these three, each in a process of its own
endpoint.py        the S3 and DynamoDB behind them, whose pages are made on the fly
"""
