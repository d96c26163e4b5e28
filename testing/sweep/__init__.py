"""A sweep's world: one tenant's table, bucket and log group in memory, behind the SDK's real clients.

tenant_data.py   what is there, and what the application and people do with it
table_stream.py  the table's stream
s3.py            S3's operations on it
dynamodb.py      DynamoDB's
streams.py       DynamoDB Streams', and Lambda's list of who reads one
logs.py          CloudWatch Logs'
reply.py         what an operation answers
world.py         the SDK's clients before it, faults and kills, and one run of a sweep

It shows what a sweep decides and erases while the application goes on, in milliseconds, so that Hypothesis can draw it.
It can't show the sweep's Job (tests/e2e, tests/install), its permissions (tests/deploy), or its speed (bench/sweep.py).
"""
