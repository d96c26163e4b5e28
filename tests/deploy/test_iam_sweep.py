"""What a sweep may do in AWS, and what neither it nor the operator may. By our own few rules, and by MiniStack's.

Not shown is that AWS sends `s3:if-match` with a conditional delete: that is from AWS's documents.
"""

from __future__ import annotations

import itertools
import json

import pytest

from testing import iam
from testing.iam import Context, Policy, allowed, listed, trusted
from tests.deploy import policies
from tests.deploy.test_iam import (
    ACCOUNT,
    CLUSTER,
    FILE,
    HERE,
    ISSUER,
    KEY,
    LISTED_BY_STREAM,
    LOG_STREAM,
    MANAGED_POLICY_LIMIT,
    NAMES,
    OPERATOR,
    OURS,
    PARTITION,
    REGION,
    STREAM,
    VALUES,
    fits,
    role,
    second_opinion,
    services,
)

SWEEP = policies.filled(policies.SWEEP, **VALUES)
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
    ("dynamodb:ListStreams", STREAM, {}),
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
    ("lambda:UpdateFunctionCode", NAMES.function_arn, {}),
    ("logs:DeleteLogGroup", NAMES.log_group_arn, {}),
    ("iam:PutRolePolicy", NAMES.role_arn, {}),
    ("iam:PassRole", NAMES.role_arn, {"iam:PassedToService": "lambda.amazonaws.com"}),
    ("sts:AssumeRole", role("humangov-operator"), {}),
    ("sts:AssumeRole", role("admin"), {}),
]
ANYTHING: Context = OURS | SEEN


def reported(request: tuple[str, str, Context]) -> str:
    return f"{request[0]} {request[1].rsplit(':', 1)[-1]}"


@pytest.mark.parametrize("request_", MAY, ids=reported)
def test_sweep_policy_allows_the_calls_of_a_sweep(request_: tuple[str, str, Context]) -> None:
    assert allowed(SWEEP, *request_)


@pytest.mark.parametrize("request_", MAY_NOT, ids=reported)
def test_sweep_policy_denies_other_calls(request_: tuple[str, str, Context]) -> None:
    assert not allowed(SWEEP, *request_)


def test_sweep_policy_has_only_actions_that_a_sweep_calls() -> None:
    through_keys = {"kms:Decrypt", "kms:GenerateDataKey"}
    assert iam.actions(SWEEP) == {action for action, _, _ in MAY} | through_keys


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


def test_sweep_role_is_assumable_only_by_its_service_account() -> None:
    irsa, pod_identity = (
        policies.filled(path, **VALUES) for path in (policies.SWEEP_IRSA, policies.SWEEP_POD_IDENTITY)
    )
    federated = {"Federated": f"arn:{PARTITION}:iam::{ACCOUNT}:oidc-provider/{ISSUER}"}
    for account, expected in (("humangov-operator-sweep", True), ("humangov-operator", False)):
        by_token = {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": f"system:serviceaccount:humangov:{account}"}
        assert trusted(irsa, federated, "sts:AssumeRoleWithWebIdentity", by_token) is expected
        by_pod = {
            "aws:SourceArn": CLUSTER, "aws:SourceAccount": ACCOUNT,
            "aws:RequestTag/kubernetes-namespace": "humangov", "aws:RequestTag/kubernetes-service-account": account,
        }  # fmt: skip
        assert trusted(pod_identity, {"Service": "pods.eks.amazonaws.com"}, "sts:AssumeRole", by_pod) is expected


def test_sweep_policy_fits_into_a_managed_policy() -> None:
    assert len(json.dumps(SWEEP, separators=(",", ":"))) <= MANAGED_POLICY_LIMIT


BY_S3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
BY_DYNAMODB = {"kms:ViaService": f"dynamodb.{REGION}.amazonaws.com"}
NEEDED: list[tuple[str, str, Context]] = [*MAY, ("kms:Decrypt", KEY, BY_DYNAMODB), ("kms:GenerateDataKey", KEY, BY_S3)]


@pytest.mark.parametrize("sid", [one["Sid"] for one in SWEEP["Statement"]])
def test_sweep_policy_needs_each_of_its_statements(sid: str) -> None:
    without: Policy = {**SWEEP, "Statement": [one for one in SWEEP["Statement"] if one["Sid"] != sid]}
    assert all(allowed(SWEEP, *request) for request in NEEDED)
    assert not all(allowed(without, *request) for request in NEEDED)


def test_sweep_policy_uses_kms_keys_only_through_s3_and_dynamodb() -> None:
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert not allowed(SWEEP, action, KEY)
        assert not allowed(SWEEP, action, KEY, {"kms:ViaService": f"ec2.{REGION}.amazonaws.com"})


def test_second_policy_evaluator_gives_the_same_answers_for_a_sweep() -> None:
    actions = sorted({action for action, _, _ in [*NEEDED, *MAY_NOT]})
    resources = sorted({resource for _, resource, _ in [*NEEDED, *MAY_NOT]} | {LIST, FAILED, KEY})
    elsewhere = {**ANYTHING, "aws:ResourceAccount": "999999999999"}
    contexts: list[Context] = [{}, OURS, SEEN, ANYTHING, HERE, BY_S3, elsewhere]
    results = [allowed(SWEEP, *asked) for asked in itertools.product(actions, resources, contexts)]
    assert second_opinion([[SWEEP]], actions, resources, contexts) == results
    assert sum(results) > 50


def test_sweep_policy_actions_exist_in_aws_for_their_resources() -> None:
    for statement in iam.statements(SWEEP):
        for action in listed(statement["Action"]):
            service, name = action.split(":")
            known = services()[service]
            types = known["Actions"][name.lower()].get("Resources", [])
            formats = [arn for kind in types for arn in known["Resources"][kind.lower()]["ARNFormats"]]
            for resource in listed(statement["Resource"]):
                one = resource.replace("iam::*:", f"iam::{ACCOUNT}:")  # a tenant's role may be in any account
                whole = one == "*" and not formats
                assert whole or any(fits(one, arn) for arn in formats) or action == LISTED_BY_STREAM, (action, formats)


@pytest.mark.parametrize("placeholder", sorted(policies.placeholders(policies.SWEEP)))
def test_unfilled_sweep_policy_placeholder_grants_nothing(placeholder: str) -> None:
    left = policies.filled(policies.SWEEP, **VALUES | {placeholder: f"${{{placeholder}}}"})
    hollow = [one for one in iam.statements(left) if f"${{{placeholder}}}" in json.dumps(one)]
    assert hollow
    assert not any(iam.applies(one, *request) for one in hollow for request in NEEDED)
