"""Failed invocations, handled once more by the function's own code; then their records are removed.

redrive         one run: list → read → handle → remove
failure_bucket  the invocation records in the bucket: listed, read, removed
invocation      what Lambda wrote about an invocation that it gave up; pure
handling        the function's own code over an event, here; the final read and the sweep stand on it too
result          what a run has found and done; pure
output          that, for a person or a script; pure
"""
