"""What the function's role must allow: Lambda reads the stream and writes failures in its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testing.iam import allowed

STREAM_ACTIONS = ("GetRecords", "GetShardIterator", "DescribeStream", "ListStreams")


class NoPermissionError(Exception):
    """Lambda refuses; the text is AWS's, and what is missing."""


def check_stream(policy: Mapping[str, Any], *, stream_arn: str) -> None:
    """Raises NoPermissionError, as CreateEventSourceMapping fails.

    https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
    """
    missing = [name for name in STREAM_ACTIONS if not allowed(policy, f"dynamodb:{name}", stream_arn)]
    if missing:
        raise NoPermissionError(
            f"Cannot access stream {stream_arn}. Please ensure the role can perform the GetRecords, GetShardIterator, "
            f"DescribeStream, and ListStreams Actions on your stream in IAM. Missing: {', '.join(missing)}"
        )


def check_destination(policy: Mapping[str, Any], *, bucket: str, uuid: str, account: str = "123456789012") -> None:
    """Raises NoPermissionError where Lambda could not write failures: s3:PutObject and s3:ListBucket.

    account: of the bucket.

    https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
    """
    arn, context = f"arn:aws:s3:::{bucket}", {"aws:ResourceAccount": account}
    if not allowed(policy, "s3:PutObject", f"{arn}/aws/lambda/{uuid}/shard/record", context):
        raise NoPermissionError(f"s3:PutObject on {arn}/aws/lambda/*")
    if not allowed(policy, "s3:ListBucket", arn, context):
        raise NoPermissionError(f"s3:ListBucket on {arn}")
