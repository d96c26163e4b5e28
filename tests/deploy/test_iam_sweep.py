"""What a sweep may do in AWS, and what neither it nor the operator may.

`test_iam_roles.py` asks the policy for each call of MAY and MAY_NOT.

Not shown is that AWS sends `s3:if-match` with a conditional delete: that is from AWS's documents.
"""

from __future__ import annotations

import pytest

from testing.iam import Context, allowed
from tests.deploy import policies
from tests.deploy.test_iam import (
    FILE,
    HERE,
    KEY,
    LOG_STREAM,
    NAMES,
    OPERATOR,
    OURS,
    PARTITION,
    REGION,
    STREAM,
    VALUES,
    role,
)

SWEEP = policies.filled(policies.SWEEP, **VALUES)
BY_S3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
BY_DYNAMODB = {"kms:ViaService": f"dynamodb.{REGION}.amazonaws.com"}
SEEN = {"s3:if-match": '"900150983cd24fb0d6963f7d28e17f72"'}
LIST = f"{NAMES.bucket_arn}/.humangov/sweeps/2026-03-01T12-00-00Z-1.jsonl.gz"
BEGUN = f"{NAMES.bucket_arn}/california/.humangov/begun/0f3a-0.json"
FAILED = f"{NAMES.bucket_arn}/aws/lambda/91eaeb7e/shardId-1/2026/03/01/x"
MAPPING = f"{NAMES.bucket_arn}/california/.humangov/mappings/91eaeb7e-c976-4939-86c8-b8e4f4a5e3d0"
MAY: list[tuple[str, str, Context]] = [
    ("dynamodb:DescribeTable", NAMES.table_arn, {}),
    ("dynamodb:Scan", NAMES.table_arn, {}),
    ("dynamodb:BatchGetItem", NAMES.table_arn, {}),
    ("dynamodb:DescribeStream", STREAM, {}),
    ("dynamodb:GetShardIterator", STREAM, {}),
    ("dynamodb:GetRecords", STREAM, {}),
    ("dynamodb:ListStreams", "*", HERE),
    ("lambda:ListEventSourceMappings", "*", HERE),
    ("s3:ListBucket", NAMES.bucket_arn, OURS),
    ("s3:ListBucketVersions", NAMES.bucket_arn, OURS),
    ("s3:GetBucketVersioning", NAMES.bucket_arn, OURS),
    ("s3:DeleteObject", FILE, OURS | SEEN),
    ("s3:DeleteObjectVersion", FILE, OURS),
    ("s3:GetObject", FILE, OURS),
    ("s3:GetObjectRetention", FILE, OURS),
    ("s3:GetObjectLegalHold", FILE, OURS),
    ("s3:GetObjectVersion", FAILED, OURS),
    ("s3:GetObjectVersion", MAPPING, OURS),
    ("s3:GetObjectVersion", LIST, OURS),
    ("s3:ListBucketMultipartUploads", NAMES.bucket_arn, OURS),
    ("s3:AbortMultipartUpload", FILE, OURS),
    ("s3:ListMultipartUploadParts", FILE, OURS),
    ("s3:PutObject", MAPPING, OURS),
    ("s3:DeleteObjectVersion", MAPPING, OURS),
    ("s3:PutObject", LIST, OURS),
    ("s3:PutObject", BEGUN, OURS),
    ("s3:GetObject", BEGUN, OURS),
    ("s3:DeleteObject", BEGUN, OURS | SEEN),
    ("s3:DeleteObjectVersion", BEGUN, OURS),
    ("s3:PutObject", f"{NAMES.bucket_arn}/california/.humangov/owner-{'0' * 32}.json", OURS),
    ("logs:CreateLogStream", LOG_STREAM, {}),
    ("logs:PutLogEvents", LOG_STREAM, {}),
    ("sts:AssumeRole", f"arn:{PARTITION}:iam::999999999999:role/humangov-sweep-california", {}),
    ("kms:Decrypt", KEY, BY_DYNAMODB),
    ("kms:GenerateDataKey", KEY, BY_S3),
]
MAY_NOT: list[tuple[str, str, Context]] = [
    ("s3:DeleteObject", FILE, OURS),
    ("s3:PutObject", FILE, OURS),
    ("s3:GetObjectVersion", FILE, OURS),
    ("s3:DeleteObject", FILE, SEEN | {"aws:ResourceAccount": "999999999999"}),
    ("s3:BypassGovernanceRetention", FILE, OURS),
    ("s3:PutBucketVersioning", NAMES.bucket_arn, OURS),
    ("s3:PutLifecycleConfiguration", NAMES.bucket_arn, OURS),
    ("s3:AbortMultipartUpload", FILE, {"aws:ResourceAccount": "999999999999"}),
    ("dynamodb:DeleteItem", NAMES.table_arn, {}),
    ("dynamodb:PutItem", NAMES.table_arn, {}),
    ("dynamodb:UpdateTable", NAMES.table_arn, {}),
    ("lambda:InvokeFunction", NAMES.function_arn, {}),
    ("lambda:ListEventSourceMappings", "*", {"aws:RequestedRegion": "eu-west-1"}),
    ("dynamodb:ListStreams", "*", {"aws:RequestedRegion": "eu-west-1"}),
    ("lambda:UpdateFunctionCode", NAMES.function_arn, {}),
    ("logs:DeleteLogGroup", NAMES.log_group_arn, {}),
    ("iam:PutRolePolicy", NAMES.role_arn, {}),
    ("iam:PassRole", NAMES.role_arn, {"iam:PassedToService": "lambda.amazonaws.com"}),
    ("sts:AssumeRole", role("humangov-operator"), {}),
    ("sts:AssumeRole", role("admin"), {}),
]
ANYTHING: Context = OURS | SEEN


@pytest.mark.parametrize(
    "action", ["s3:GetObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObject", "s3:ListBucketVersions"]
)
def test_operator_policy_denies_the_sweeps_actions_on_files(action: str) -> None:
    for resource in (FILE, NAMES.bucket_arn):
        assert not allowed(OPERATOR, action, resource, ANYTHING)


@pytest.mark.parametrize("action", ["dynamodb:Scan", "dynamodb:BatchGetItem", "dynamodb:GetRecords", "sts:AssumeRole"])
def test_operator_policy_denies_reading_records_and_assuming_the_sweep_role(action: str) -> None:
    for resource in (NAMES.table_arn, STREAM, role("humangov-sweep")):
        assert not allowed(OPERATOR, action, resource, ANYTHING)


def test_sweep_policy_uses_kms_keys_only_through_s3_and_dynamodb() -> None:
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert not allowed(SWEEP, action, KEY)
        assert not allowed(SWEEP, action, KEY, {"kms:ViaService": f"ec2.{REGION}.amazonaws.com"})
