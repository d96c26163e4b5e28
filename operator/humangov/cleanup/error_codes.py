"""AWS's transient error codes: one table, for the function and all other packages. Pure.

https://github.com/boto/botocore/blob/develop/botocore/retries/standard.py
"""

from __future__ import annotations

import re

THROTTLED = (
    "Throttl.*|TooManyRequests.*|RequestLimitExceeded|ProvisionedThroughputExceeded.*|SlowDown|RequestThrottled.*"
    "|PriorRequestNotComplete|BandwidthLimitExceeded|EC2Throttled.*"
)
"""A regular expression for the whole code: too many calls."""

_TRANSIENT = re.compile(f"{THROTTLED}|RequestTimeout(Exception)?")


def is_transient(code: str) -> bool:
    """Whether a retry may succeed after this code, with a status below 500."""
    return _TRANSIENT.fullmatch(code) is not None
