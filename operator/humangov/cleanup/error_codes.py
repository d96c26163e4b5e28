"""AWS's error codes that a further attempt may cure: one table, for the function and all that stands on it. Pure.

https://github.com/boto/botocore/blob/develop/botocore/retries/standard.py
"""

from __future__ import annotations

import re

THROTTLED = (
    "Throttl.*|TooManyRequests.*|RequestLimitExceeded|ProvisionedThroughputExceeded.*|SlowDown|RequestThrottled.*"
    "|PriorRequestNotComplete|BandwidthLimitExceeded|EC2Throttled.*"
)
"""A regular expression for the whole code: AWS is asked too often."""

_TRANSIENT = re.compile(f"{THROTTLED}|RequestTimeout(Exception)?")


def is_transient(code: str) -> bool:
    """Whether AWS says this with a status below 500 and may not say it again."""
    return _TRANSIENT.fullmatch(code) is not None
