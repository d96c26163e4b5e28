"""What no event will bring again.

clients   the SDK's clients that runs here use
failures  what Lambda wrote about an invocation that it gave up; pure
waiting   those invocation records in the bucket: listed, read, removed
receipts  the lines of proof into the function's log, before the erasure that they announce
redrive   one run: each of those invocations through the function's own code, then away with its record
told      what a person or a script is told of it; pure
"""
