"""What reports and checkpoints may do in AWS, and what they may not: `test_iam_roles.py` asks the policy for each call.

Not shown is that AWS sends `s3:if-none-match` with a conditional write, `s3:prefix` with a listing and
`kms:RequestAlias` with a call that names an alias: that is from AWS's documents.
"""

from __future__ import annotations

from testing.iam import Context, allowed
from tests.deploy import policies
from tests.deploy.test_iam import (
    BOUNDARY,
    FILE,
    HERE,
    KEY,
    NAMES,
    OURS,
    PARTITION,
    REGION,
    VALUES,
    role,
)

REPORT = policies.filled(policies.REPORT, **VALUES)
BUCKET = f"arn:{PARTITION}:s3:::{policies.DEFAULTS['ReportBucket']}"
PAGE = f"{BUCKET}/humangov/reports/c/humangov/california/2026-11/2026-12-01T03:17:00.000Z/x.html"
CHECKPOINT = f"{BUCKET}/checkpoints/c/humangov/california/2026-11-29T02-43-00Z.json"
LIST = f"{NAMES.bucket_arn}/california/.humangov/sweeps/2026-03-01T12-00-00Z-1.jsonl.gz"
FRESH = {"s3:if-none-match": "*"}
OF_LISTS = OURS | {"s3:prefix": "california/.humangov/sweeps/"}
OF_CHECKPOINTS = {"s3:prefix": "checkpoints/c/humangov/california/"}
BY_S3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
BY_ALIAS = {"kms:RequestAlias": policies.DEFAULTS["SigningAlias"]}
MAY: list[tuple[str, str, Context]] = [
    ("logs:FilterLogEvents", NAMES.log_group_arn, {}),
    ("logs:FilterLogEvents", f"{NAMES.log_group_arn}:*", {}),
    ("logs:DescribeLogGroups", "*", HERE),
    ("s3:ListBucket", NAMES.bucket_arn, OF_LISTS),
    ("s3:GetObject", LIST, OURS),
    ("s3:ListBucket", BUCKET, OF_CHECKPOINTS),
    ("s3:GetObject", CHECKPOINT, {}),
    ("s3:GetBucketObjectLockConfiguration", BUCKET, {}),
    ("s3:PutObject", CHECKPOINT, FRESH),
    ("s3:PutObject", PAGE, FRESH),
    ("s3:PutObjectRetention", CHECKPOINT, {}),
    ("s3:PutObjectRetention", PAGE, {}),
    ("kms:GenerateDataKey", KEY, BY_S3),
    ("kms:Decrypt", KEY, BY_S3),
    ("kms:GetPublicKey", KEY, BY_ALIAS),
    ("kms:Sign", KEY, BY_ALIAS),
    ("sts:AssumeRole", role("humangov-report-reader"), {}),
]
MAY_NOT: list[tuple[str, str, Context]] = [
    ("s3:PutObject", CHECKPOINT, {}),
    ("s3:PutObject", PAGE, {}),
    ("s3:PutObject", f"{BUCKET}/other", FRESH),
    ("s3:PutObject", FILE, FRESH | OURS),
    ("s3:PutObject", LIST, FRESH | OURS),
    ("s3:DeleteObject", CHECKPOINT, FRESH),
    ("s3:DeleteObjectVersion", PAGE, FRESH),
    ("s3:DeleteObject", FILE, OURS),
    ("s3:BypassGovernanceRetention", PAGE, {}),
    ("s3:PutBucketObjectLockConfiguration", BUCKET, {}),
    ("s3:GetObject", PAGE, {}),
    ("s3:GetObject", FILE, OURS),
    ("s3:GetObject", LIST, {"aws:ResourceAccount": "999999999999"}),
    ("s3:ListBucket", NAMES.bucket_arn, OURS),
    ("s3:ListBucket", NAMES.bucket_arn, OURS | {"s3:prefix": "california/"}),
    ("s3:ListBucket", BUCKET, {}),
    ("dynamodb:Scan", NAMES.table_arn, {}),
    ("dynamodb:GetItem", NAMES.table_arn, {}),
    ("logs:PutLogEvents", NAMES.log_group_arn, {}),
    ("logs:DeleteLogStream", NAMES.log_group_arn, {}),
    ("logs:FilterLogEvents", NAMES.log_group_arn.replace("/aws/lambda/humangov-", "/aws/lambda/other-"), {}),
    ("kms:Sign", KEY, {}),
    ("kms:Sign", KEY, BY_S3),
    ("kms:Sign", KEY, {"kms:RequestAlias": "alias/other"}),
    ("kms:Decrypt", KEY, {}),
    ("lambda:InvokeFunction", NAMES.function_arn, {}),
    ("sts:AssumeRole", role("humangov-sweep"), {}),
    ("sts:AssumeRole", role("humangov-tenant-california"), {}),
    ("sts:AssumeRole", role("humangov-report-reader-2"), {}),
]


def test_neither_sweep_nor_function_may_erase_in_the_report_bucket_of_the_default() -> None:
    sweep = policies.filled(policies.SWEEP, **VALUES)
    everything = OURS | FRESH | {"s3:if-match": '"1"'}
    for action in ("s3:DeleteObject", "s3:DeleteObjectVersion"):
        for policy in (sweep, BOUNDARY):
            assert allowed(policy, action, FILE, everything)
            assert not allowed(policy, action, PAGE, everything)
