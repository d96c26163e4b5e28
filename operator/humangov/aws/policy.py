"""The two policies of the function's role: who may assume it, and what it may do. Pure.

No managed policy, no `Resource: "*"`, no s3:GetObject, and no logs:CreateLogGroup, so that a late invocation can't
re-create a log group that teardown has removed.
"""

from __future__ import annotations

from typing import Any

from humangov.api.names import Names
from humangov.cleanup.references import FAILURES_PREFIX, RESERVED_PREFIXES


def trust_policy() -> dict[str, Any]:
    """Only Lambda may assume the role. The service's name is the same in every partition."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ],
    }


def cleanup_policy(names: Names, *, table_key_arn: str | None) -> dict[str, Any]:
    """Exactly what the cleanup function and its trigger call.

    Files are never read: their dates and versions come from a listing of the one key, which needs no s3:GetObject.
    Governance is never bypassed.
    """
    tenant = names.tenant
    prefix = literal(tenant.bucket.key_prefix)
    statements: list[dict[str, Any]] = [
        {
            "Sid": "ReadStream",
            "Effect": "Allow",
            "Action": [
                "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
            ],
            "Resource": f"{names.table_arn}/stream/*",
        },
        {
            "Sid": "LookAgainBeforeErasing",
            "Effect": "Allow",
            "Action": "dynamodb:BatchGetItem",
            "Resource": names.table_arn,
        },
        {
            "Sid": "EraseFiles",
            "Effect": "Allow",
            "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
            "Resource": f"{names.bucket_arn}/{prefix}*",
        },
        {
            "Sid": "SeeWhenFilesWereWritten",
            "Effect": "Allow",
            "Action": "s3:ListBucketVersions",
            "Resource": names.bucket_arn,
            # At least one character of a name: no listing of everything.
            "Condition": {"StringLike": {"s3:prefix": f"{prefix}?*"}},
        },
        {
            "Sid": "SeeWhetherVersionsAreKept",
            "Effect": "Allow",
            "Action": "s3:GetBucketVersioning",
            "Resource": names.bucket_arn,
        },
        {
            "Sid": "SeeWhyAVersionIsRetained",
            "Effect": "Allow",
            "Action": ["s3:GetObjectLegalHold", "s3:GetObjectRetention"],
            "Resource": f"{names.bucket_arn}/{prefix}*",
        },
        {
            # The function keeps off these by itself; here it could not do otherwise.
            "Sid": "NeverTouchReservedKeys",
            "Effect": "Deny",
            "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
            "Resource": sorted(
                f"{names.bucket_arn}/{start}{reserved}*" for start in {"", prefix} for reserved in RESERVED_PREFIXES
            ),
        },
        # Lambda writes what the function could not handle in its name.
        {
            "Sid": "KeepFailedInvocations",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": f"{names.failures_bucket_arn}/{FAILURES_PREFIX}*",
        },
        {
            # A bucket may encrypt with a key of its account: without this Lambda could write nothing there.
            "Sid": "EncryptFailedInvocations",
            "Effect": "Allow",
            "Action": "kms:GenerateDataKey",
            "Resource": names.any_key_arn,
            "Condition": {
                "StringLike": {
                    "kms:ViaService": f"s3.{names.identity.region}.amazonaws.*",
                    "kms:EncryptionContext:aws:s3:arn": [
                        names.failures_bucket_arn,
                        f"{names.failures_bucket_arn}/{FAILURES_PREFIX}*",
                    ],
                }
            },
        },
        {
            "Sid": "FindTheBucketOfFailures",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": names.failures_bucket_arn,
        },
        {
            "Sid": "WriteReceipts",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": f"{names.log_group_arn}:*",
        },
    ]  # fmt: skip
    if table_key_arn:
        statements.append(
            {
                "Sid": "ReadEncryptedTable",
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": table_key_arn,
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}


def literal(text: str) -> str:
    """A text in which IAM sees no wildcard and no variable.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
    """
    return "".join({"*": "${*}", "?": "${?}", "$": "${$}"}.get(character, character) for character in text)
