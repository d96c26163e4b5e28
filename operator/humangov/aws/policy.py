"""The two policies of the function's role: who may assume it, and what it may do. Pure.

No managed policy, no `Resource: "*"`, no s3:GetObject, and no logs:CreateLogGroup, so that a late invocation can't
re-create a log group that was deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from humangov.api.names import Names
from humangov.cleanup.references import FAILURES_PREFIX, RESERVED_PREFIXES

Statement = Mapping[str, Any]


def trust_policy() -> dict[str, Any]:
    """Only Lambda may assume the role. The service's name is the same in every partition."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ],
    }


def cleanup_policy(
    names: Names, *, table_key_arn: str | None, file_indexes: Collection[str] = ()
) -> dict[str, Any]:  # fmt: skip
    """Exactly what the cleanup function and its trigger call. file_indexes: the table's indexes that it asks."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            *_reading_records(names, file_indexes),
            *_erasing_files(names),
            *_keeping_failed_invocations(names),
            _allow("WriteReceipts", ["logs:CreateLogStream", "logs:PutLogEvents"], f"{names.log_group_arn}:*"),
            *([_allow("ReadEncryptedTable", "kms:Decrypt", table_key_arn)] if table_key_arn else ()),
        ],
    }


def literal(text: str) -> str:
    """A text in which IAM sees no wildcard and no variable.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
    """
    return "".join({"*": "${*}", "?": "${?}", "$": "${$}"}.get(character, character) for character in text)


def _reading_records(names: Names, file_indexes: Collection[str]) -> list[Statement]:
    reading = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"]
    return [
        _allow("ReadStream", reading, f"{names.table_arn}/stream/*"),
        _allow("LookAgainBeforeErasing", "dynamodb:BatchGetItem", names.table_arn),
        *(
            _allow(f"AskIndex{number}", "dynamodb:Query", f"{names.table_arn}/index/{index}")
            for number, index in enumerate(sorted(file_indexes))
        ),
    ]


def _erasing_files(names: Names) -> list[Statement]:
    """Files are never read: their dates and versions come from a listing of the one key, which needs no s3:GetObject.

    Governance is never bypassed.
    """
    bucket, prefix = names.bucket_arn, literal(names.tenant.bucket.key_prefix)
    erasing, files = ["s3:DeleteObject", "s3:DeleteObjectVersion"], f"{bucket}/{prefix}*"
    retention = ["s3:GetObjectLegalHold", "s3:GetObjectRetention"]
    # At least one character of a name: no listing of everything.
    one_name = {"StringLike": {"s3:prefix": f"{prefix}?*"}}
    reserved = sorted(f"{bucket}/{start}{reserved}*" for start in {"", prefix} for reserved in RESERVED_PREFIXES)
    return [
        _allow("EraseFiles", erasing, files),
        _allow("SeeWhenFilesWereWritten", "s3:ListBucketVersions", bucket, condition=one_name),
        _allow("SeeWhetherVersionsAreKept", "s3:GetBucketVersioning", bucket),
        _allow("SeeWhyAVersionIsRetained", retention, files),
        # The function never erases these; the policy makes sure.
        {"Sid": "NeverTouchReservedKeys", "Effect": "Deny", "Action": erasing, "Resource": reserved},
    ]


def _keeping_failed_invocations(names: Names) -> list[Statement]:
    """Lambda stores failed invocations with the function's role."""
    bucket = names.failures_bucket_arn
    objects = f"{bucket}/{FAILURES_PREFIX}*"
    # A bucket may encrypt with a key of its account: without this Lambda could write nothing there.
    through_s3 = {
        "StringLike": {
            "kms:ViaService": f"s3.{names.identity.region}.amazonaws.*",
            "kms:EncryptionContext:aws:s3:arn": [bucket, objects],
        }
    }
    return [
        _allow("KeepFailedInvocations", "s3:PutObject", objects),
        _allow("EncryptFailedInvocations", "kms:GenerateDataKey", names.any_key_arn, condition=through_s3),
        _allow("FindTheBucketOfFailures", "s3:ListBucket", bucket),
    ]


def _allow(
    sid: str, action: str | Sequence[str], resource: str, *, condition: Mapping[str, Any] | None = None
) -> Statement:
    limits = {"Condition": condition} if condition else {}
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource, **limits}
