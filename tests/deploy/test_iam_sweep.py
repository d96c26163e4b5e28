"""What a sweep may do in AWS, and what neither it nor the operator may. By our own few rules of evaluation.

That the statements are enough is shown where they are enforced: tests/lambda/test_rights.py and test_iam_enforced.py.
"""

from __future__ import annotations

import json

import pytest

from tests.deploy import iam
from tests.deploy.iam import Context, allowed, trusted
from tests.deploy.test_iam import (
    ACCOUNT,
    CLUSTER,
    FILE,
    ISSUER,
    LOG_STREAM,
    MANAGED_POLICY_LIMIT,
    NAMES,
    OPERATOR,
    OURS,
    PARTITION,
    STREAM,
    VALUES,
    role,
)

SWEEP = iam.filled(iam.SWEEP, **VALUES)
SEEN = {"s3:if-match": '"900150983cd24fb0d6963f7d28e17f72"'}
LIST = f"{NAMES.bucket_arn}/.humangov/sweeps/2026-03-01T12-00-00Z-1.jsonl.gz"
FAILED = f"{NAMES.bucket_arn}/aws/lambda/91eaeb7e/shardId-1/2026/03/01/x"
MAY: list[tuple[str, str, Context]] = [
    ("dynamodb:DescribeTable", NAMES.table_arn, {}),
    ("dynamodb:Scan", NAMES.table_arn, {}),
    ("dynamodb:BatchGetItem", NAMES.table_arn, {}),
    ("dynamodb:DescribeStream", STREAM, {}),
    ("dynamodb:GetShardIterator", STREAM, {}),
    ("dynamodb:GetRecords", STREAM, {}),
    ("s3:ListBucket", NAMES.bucket_arn, OURS),
    ("s3:ListBucketVersions", NAMES.bucket_arn, OURS),
    ("s3:GetBucketVersioning", NAMES.bucket_arn, OURS),
    ("s3:DeleteObject", FILE, OURS | SEEN),
    ("s3:DeleteObjectVersion", FILE, OURS),
    ("s3:GetObject", FILE, OURS),
    ("s3:GetObjectRetention", FILE, OURS),
    ("s3:GetObjectLegalHold", FILE, OURS),
    ("s3:GetObjectVersion", FAILED, OURS),
    ("s3:PutObject", LIST, OURS),
    ("s3:PutObject", f"{NAMES.bucket_arn}/california/.humangov/owner.json", OURS),
    ("logs:CreateLogStream", LOG_STREAM, {}),
    ("logs:PutLogEvents", LOG_STREAM, {}),
    ("sts:AssumeRole", f"arn:{PARTITION}:iam::999999999999:role/humangov-sweep-california", {}),
]
MAY_NOT: list[tuple[str, str, Context]] = [
    ("s3:DeleteObject", FILE, OURS),
    ("s3:PutObject", FILE, OURS),
    ("s3:GetObjectVersion", FILE, OURS),
    ("s3:DeleteObject", FILE, SEEN | {"aws:ResourceAccount": "999999999999"}),
    ("s3:BypassGovernanceRetention", FILE, OURS),
    ("s3:PutBucketVersioning", NAMES.bucket_arn, OURS),
    ("dynamodb:DeleteItem", NAMES.table_arn, {}),
    ("dynamodb:PutItem", NAMES.table_arn, {}),
    ("dynamodb:UpdateTable", NAMES.table_arn, {}),
    ("lambda:InvokeFunction", NAMES.function_arn, {}),
    ("lambda:UpdateFunctionCode", NAMES.function_arn, {}),
    ("logs:DeleteLogGroup", NAMES.log_group_arn, {}),
    ("iam:PutRolePolicy", NAMES.role_arn, {}),
    ("iam:PassRole", NAMES.role_arn, {"iam:PassedToService": "lambda.amazonaws.com"}),
    ("sts:AssumeRole", role("humangov-operator"), {}),
    ("sts:AssumeRole", role("admin"), {}),
]
ANYTHING: Context = OURS | SEEN


def told(request: tuple[str, str, Context]) -> str:
    return f"{request[0]} {request[1].rsplit(':', 1)[-1]}"


@pytest.mark.parametrize("request_", MAY, ids=told)
def test_a_sweep_may(request_: tuple[str, str, Context]) -> None:
    assert allowed(SWEEP, *request_)


@pytest.mark.parametrize("request_", MAY_NOT, ids=told)
def test_a_sweep_may_not(request_: tuple[str, str, Context]) -> None:
    assert not allowed(SWEEP, *request_)


def test_each_action_of_the_policy_is_one_that_a_sweep_calls() -> None:
    through_keys = {"kms:Decrypt", "kms:GenerateDataKey"}
    assert iam.actions(SWEEP) == {action for action, _, _ in MAY} | through_keys


@pytest.mark.parametrize(
    "action", ["s3:GetObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObject", "s3:ListBucketVersions"]
)
def test_the_operator_can_do_nothing_of_that_to_a_file(action: str) -> None:
    for resource in (FILE, NAMES.bucket_arn):
        assert not allowed(OPERATOR, action, resource, ANYTHING)


@pytest.mark.parametrize("action", ["dynamodb:Scan", "dynamodb:BatchGetItem", "dynamodb:GetRecords", "sts:AssumeRole"])
def test_the_operator_can_read_no_record_and_take_on_no_role(action: str) -> None:
    for resource in (NAMES.table_arn, STREAM, role("humangov-sweep")):
        assert not allowed(OPERATOR, action, resource, ANYTHING)


def test_the_sweep_s_role_is_taken_on_by_its_own_service_account_and_by_no_other() -> None:
    irsa, pod_identity = (iam.filled(path, **VALUES) for path in (iam.SWEEP_IRSA, iam.SWEEP_POD_IDENTITY))
    federated = {"Federated": f"arn:{PARTITION}:iam::{ACCOUNT}:oidc-provider/{ISSUER}"}
    for account, expected in (("humangov-operator-sweep", True), ("humangov-operator", False)):
        by_token = {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": f"system:serviceaccount:humangov:{account}"}
        assert trusted(irsa, federated, "sts:AssumeRoleWithWebIdentity", by_token) is expected
        by_pod = {
            "aws:SourceArn": CLUSTER, "aws:SourceAccount": ACCOUNT,
            "aws:RequestTag/kubernetes-namespace": "humangov", "aws:RequestTag/kubernetes-service-account": account,
        }  # fmt: skip
        assert trusted(pod_identity, {"Service": "pods.eks.amazonaws.com"}, "sts:AssumeRole", by_pod) is expected


def test_the_policy_fits_into_a_managed_policy() -> None:
    assert len(json.dumps(SWEEP, separators=(",", ":"))) <= MANAGED_POLICY_LIMIT
