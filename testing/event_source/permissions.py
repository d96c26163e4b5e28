"""What the function's role must allow: Lambda reads the stream and writes failures in its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.deploy.iam import allowed

STREAM_ACTIONS = ("GetRecords", "GetShardIterator", "DescribeStream", "ListStreams")


class NoRightsError(Exception):
    """Lambda refuses; the text is AWS's, and what is missing."""


def check_stream(policy: Mapping[str, Any], *, stream_arn: str) -> None:
    """Raises NoRightsError, as CreateEventSourceMapping fails.

    https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
    """
    missing = [name for name in STREAM_ACTIONS if not permits(policy, f"dynamodb:{name}", stream_arn)]
    if missing:
        raise NoRightsError(
            f"Cannot access stream {stream_arn}. Please ensure the role can perform the GetRecords, GetShardIterator, "
            f"DescribeStream, and ListStreams Actions on your stream in IAM. Missing: {', '.join(missing)}"
        )


def check_destination(policy: Mapping[str, Any], *, bucket: str, uuid: str) -> None:
    """Raises NoRightsError where Lambda could not write failures: s3:PutObject and s3:ListBucket.

    https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
    """
    arn = f"arn:aws:s3:::{bucket}"
    if not permits(policy, "s3:PutObject", f"{arn}/aws/lambda/{uuid}/shard/record"):
        raise NoRightsError(f"s3:PutObject on {arn}/aws/lambda/*")
    if not permits(policy, "s3:ListBucket", arn):
        raise NoRightsError(f"s3:ListBucket on {arn}")


def permits(policy: Mapping[str, Any], action: str, resource: str) -> bool:
    """Whether the policy allows it: a statement that denies outweighs every one that allows."""
    statements = policy["Statement"]
    denying = [one | {"Effect": "Allow"} for one in statements if one["Effect"] == "Deny"]
    allowing = [one for one in statements if one["Effect"] == "Allow"]
    return allowed({"Statement": allowing}, action, resource) and not allowed({"Statement": denying}, action, resource)
