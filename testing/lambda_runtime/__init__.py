"""Lambda as a function's process sees it.

runtime_api.py    Lambda's Runtime API on loopback: runs an unmodified zip under AWS's runtime interface client
stream_events.py  records of a DynamoDB stream, as Lambda hands them to a function
"""
