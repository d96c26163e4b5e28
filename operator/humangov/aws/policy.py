"""The two policies of the function's role: who may assume it, and what it may do. Pure.

No managed policy, no s3:GetObject, and no logs:CreateLogGroup, so that a late invocation can't re-create a log group
that was deleted. Only dynamodb:ListStreams, for which IAM knows no resource, has `Resource: "*"`.

Each statement is either for the function's code or for Lambda itself. A call from the execution environment, and
Lambda's own calls to CloudWatch Logs, name the function in lambda:SourceFunctionArn; other calls that Lambda makes with
the role (polling the stream, storing failed invocations) don't have the key. So the code can neither read the stream
nor list or write invocation records, and the role is of no use to any other function.
https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from humangov.api.names import Names
from humangov.cleanup.references import FAILURES_PREFIX, RESERVED_PREFIXES

Statement = Mapping[str, Any]
_Condition = Mapping[str, Mapping[str, Any]]


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
            _allow(
                "WriteReceipts",
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                f"{names.log_group_arn}:*",
                condition=_by_code(names),
            ),
            # By both, through DynamoDB.
            *([_allow("ReadEncryptedTable", "kms:Decrypt", table_key_arn)] if table_key_arn else ()),
        ],
    }


_BY_LAMBDA: _Condition = {"Null": {"lambda:SourceFunctionArn": "true"}}
"""Lambda itself calls, not the code of a function."""


def _by_code(names: Names) -> _Condition:
    """This function's code calls, whatever its version; or Lambda writes the function's log.

    Where nothing says which function's code calls, it is Lambda itself, which makes none of these calls; or what stands
    in for AWS, none of which knows the key.
    """
    return {"ArnEqualsIfExists": {"lambda:SourceFunctionArn": names.function_arn}}


def _of_account(names: Names) -> _Condition:
    """A bucket's ARN names no account: one of that name may come to be anybody's."""
    return {"StringEquals": {"aws:ResourceAccount": names.identity.account_id}}


def literal(text: str) -> str:
    """A text in which IAM sees no wildcard and no variable.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
    """
    return "".join({"*": "${*}", "?": "${?}", "$": "${$}"}.get(character, character) for character in text)


def _reading_records(names: Names, file_indexes: Collection[str]) -> list[Statement]:
    reading = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]
    by_code = _by_code(names)
    return [
        _allow("ReadStream", reading, f"{names.table_arn}/stream/*", condition=_BY_LAMBDA),
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
        _allow("FindStream", "dynamodb:ListStreams", "*", condition=_BY_LAMBDA),
        _allow("LookAgainBeforeErasing", "dynamodb:BatchGetItem", names.table_arn, condition=by_code),
        *(
            _allow(f"AskIndex{number}", "dynamodb:Query", f"{names.table_arn}/index/{index}", condition=by_code)
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
    condition = {**_by_code(names), **_of_account(names)}
    # At least one character of a name: no listing of everything.
    one_name = {**condition, "StringLike": {"s3:prefix": f"{prefix}?*"}}
    reserved = sorted(f"{bucket}/{start}{reserved}*" for start in {"", prefix} for reserved in RESERVED_PREFIXES)
    return [
        _allow("EraseFiles", erasing, files, condition=condition),
        _allow("SeeWhenFilesWereWritten", "s3:ListBucketVersions", bucket, condition=one_name),
        _allow("SeeWhetherVersionsAreKept", "s3:GetBucketVersioning", bucket, condition=condition),
        _allow("SeeWhyAVersionIsRetained", retention, files, condition=condition),
        # The function never erases these; the policy makes sure.
        {"Sid": "NeverTouchReservedKeys", "Effect": "Deny", "Action": erasing, "Resource": reserved},
    ]


def _keeping_failed_invocations(names: Names) -> list[Statement]:
    """Lambda stores failed invocations with the function's role. The code can neither write nor list any.

    https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
    """
    bucket = names.failures_bucket_arn
    objects = f"{bucket}/{FAILURES_PREFIX}*"
    # A bucket may encrypt with a key of its account: without this Lambda could write nothing there.
    condition = {**_BY_LAMBDA, **_of_account(names)}
    through_s3 = {
        **_BY_LAMBDA,
        "StringLike": {
            "kms:ViaService": f"s3.{names.identity.region}.amazonaws.*",
            "kms:EncryptionContext:aws:s3:arn": [bucket, objects],
        },
    }
    return [
        _allow("KeepFailedInvocations", "s3:PutObject", objects, condition=condition),
        _allow("EncryptFailedInvocations", "kms:GenerateDataKey", names.any_key_arn, condition=through_s3),
        _allow("FindTheBucketOfFailures", "s3:ListBucket", bucket, condition=condition),
    ]


def _allow(sid: str, action: str | Sequence[str], resource: str, *, condition: _Condition | None = None) -> Statement:
    limits = {"Condition": condition} if condition else {}
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource, **limits}
