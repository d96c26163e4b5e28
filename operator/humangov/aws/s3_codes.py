"""S3's error codes by what they mean to whoever reads, writes or erases an object. Pure.

An answer to HEAD has no body, so the SDK knows only its status.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

NOT_FOUND = ("NoSuchKey", "NoSuchVersion", "404")
"""No such object, or version."""

CONDITION_FAILED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
"""If-Match or If-None-Match does not hold, or somebody else writes at this moment."""

NOT_IMPLEMENTED = ("NotImplemented", "501")
"""This S3 knows no such condition."""
