"""The operator's policy in AWS, the boundary of the roles that it makes, and who may be the operator.

Shown by evaluation: by our own few rules, and by MiniStack's evaluator, which has to give the same answers. It can't
show what AWS itself makes of a policy, nor which condition keys AWS sends with a call: those are from AWS's documents.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

import botocore.loaders
import pytest
from humangov.api.names import Identity, Names
from humangov.api.spec import parse
from humangov.aws.actions import ACTIONS
from humangov.aws.policy import cleanup_policy, trust_policy
from humangov.cleanup.references import FAILURES_PREFIX

from sandbox import emulator
from sandbox.paths import AWS_VENV
from testing import iam
from testing.iam import Context, Policy, allowed, listed, matches, trusted
from testing.live.aws_evidence import KNOW_NO_RESOURCE
from tests.deploy import policies

PARTITION, REGION, ACCOUNT, ELSEWHERE = "aws-us-gov", "us-gov-west-1", "123456789012", "999999999999"
ISSUER = f"oidc.eks.{REGION}.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
CLUSTER = f"arn:{PARTITION}:eks:{REGION}:{ACCOUNT}:cluster/humangov-cluster"
VALUES = {
    "Partition": PARTITION, "Region": REGION, "Account": ACCOUNT, "OIDCProvider": ISSUER, "ClusterARN": CLUSTER,
    "Organization": "o-a1b2c3d4e5",
}  # fmt: skip
NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity"}
# By CreateFunction and UpdateFunctionConfiguration; by the SDK, before a tenant's first call: no calls of our own.
HANDED_OVER = {"iam:PassRole", "sts:AssumeRole"}
CALLS = sorted((ACTIONS.keys() - NEEDS_NO_PERMISSION) | HANDED_OVER)
MANAGED_POLICY_LIMIT = 6144  # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html

OPERATOR = policies.filled(policies.OPERATOR, **VALUES)
BOUNDARY = policies.filled(policies.BOUNDARY, **VALUES)
EVERYTHING: Policy = {"Statement": [{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}]}


def tenant(name: str = "california", *, account: str = ACCOUNT, **spec: Any) -> Names:
    resource = {
        "apiVersion": "humangov.io/v1",
        "kind": "HumanGovState",
        "metadata": {"name": name, "namespace": "humangov"},
        "spec": {
            "table": {"name": f"humangov-{name}-dynamodb"},
            "bucket": {"name": f"humangov-{name}-s3-zsmb"},
            **spec,
        },
    }
    return Names(
        tenant=parse(resource, default_region=REGION),
        identity=Identity(account_id=account, region=REGION, cluster="sample", partition=PARTITION),
    )


NAMES = tenant()
MAPPING = NAMES.mapping_arn("91eaeb7e-c976-4939-86c8-b8e4f4a5e3d0")
STREAM = f"{NAMES.table_arn}/stream/{datetime(2026, 1, 1, tzinfo=UTC):%Y-%m-%dT%H:%M:%S.000}"
FILE = f"{NAMES.bucket_arn}/cv.pdf"
LOG_STREAM = f"{NAMES.log_group_arn}:log-stream:2026/01/01/[$LATEST]0"
KEY = f"arn:{PARTITION}:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
BOUNDARY_ARN = f"arn:{PARTITION}:iam::{ACCOUNT}:policy/humangov-cleanup-boundary"

OUR_FUNCTION = {"lambda:FunctionArn": NAMES.function_arn}
THEIR_FUNCTION = {"lambda:FunctionArn": f"arn:{PARTITION}:lambda:{REGION}:{ACCOUNT}:function:payroll"}
TO_LAMBDA = {"iam:PassedToService": "lambda.amazonaws.com"}
BOUND = {"iam:PermissionsBoundary": BOUNDARY_ARN}
HERE = {"aws:RequestedRegion": REGION}
OURS = {"aws:ResourceAccount": ACCOUNT}
THROUGH_DYNAMODB = {"kms:ViaService": f"dynamodb.{REGION}.amazonaws.com"}
THROUGH_S3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
# With a call from the code of a function, and no other call of the role but Lambda's to CloudWatch Logs:
# https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html
BY_CODE = {"lambda:SourceFunctionArn": NAMES.function_arn}
BY_OTHER_CODE = {"lambda:SourceFunctionArn": THEIR_FUNCTION["lambda:FunctionArn"]}
EVERY_CONDITION = OUR_FUNCTION | TO_LAMBDA | BOUND | HERE | OURS | THROUGH_DYNAMODB


def role(name: str) -> str:
    """The ARN of a role; `name` holds the path."""
    return f"arn:{PARTITION}:iam::{ACCOUNT}:role/{name}"


def requests(action: str) -> list[tuple[str, Context]]:
    """On what, and under which conditions, the operator makes a call: what AWS checks the policy against."""
    service, name = action.split(":")
    if action in KNOW_NO_RESOURCE - {"lambda:CreateEventSourceMapping", "sts:GetCallerIdentity"}:
        return [("*", HERE)]
    if action == "lambda:CreateEventSourceMapping":
        return [("*", OUR_FUNCTION | HERE)]
    if action.startswith("lambda:") and action.endswith("EventSourceMapping"):
        return [(MAPPING, OUR_FUNCTION | HERE)]
    if service == "lambda":
        return [(NAMES.function_arn, {}), *([(MAPPING, {})] if "Tag" in name else [])]
    if action == "dynamodb:DescribeStream":
        return [(STREAM, {})]
    if service == "logs":
        # AWS's documents give the ARN with `:*` for some calls and without for others.
        return [(f"{NAMES.log_group_arn}{end}", {}) for end in ("", ":*")]
    if service == "sts":
        return [(f"arn:{PARTITION}:iam::{ELSEWHERE}:role/humangov-tenant-california", {})]
    if service == "iam":
        # A role that is not there has no path.
        on: list[tuple[str, Context]] = [(NAMES.role_arn, TO_LAMBDA | BOUND)]
        return [*on, (role(NAMES.tenant.role_name), {})] if name in ("GetRole", "DeleteRole") else on
    if action == "s3:ListBucket":
        return [(NAMES.failures_bucket_arn, OURS | {"s3:prefix": FAILURES_PREFIX})]
    return [(NAMES.bucket_arn, OURS) if service == "s3" else (NAMES.table_arn, {})]


@cache
def services() -> Mapping[str, Any]:
    """The service authorization reference, in the form of cfn-lint."""
    return dict(json.loads((resources.files("cfnlint") / "data/AdditionalSpecs/Policies.json").read_text()))


# What the operator can do


def test_operator_policy_names_exactly_the_calls_of_the_operator() -> None:
    assert iam.actions(OPERATOR) == set(CALLS)


@pytest.mark.parametrize("action", CALLS)
def test_operator_policy_allows_the_call_on_a_tenants_resources(action: str) -> None:
    for resource, context in requests(action):
        assert allowed(OPERATOR, action, resource, context), resource


@pytest.mark.parametrize("action", CALLS)
def test_operator_policy_denies_the_call_in_another_account(action: str) -> None:
    for resource, context in requests(action):
        if resource == "*" or action.startswith("sts:"):  # of roles, any
            continue
        other = {key: value.replace(ACCOUNT, ELSEWHERE) for key, value in context.items()}
        assert not allowed(OPERATOR, action, resource.replace(ACCOUNT, ELSEWHERE), other)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("lambda:UpdateFunctionCode", f"arn:{PARTITION}:lambda:{REGION}:{ACCOUNT}:function:payroll"),
        ("lambda:GetFunction", f"arn:{PARTITION}:lambda:{REGION}:{ACCOUNT}:function:x:humangov-y"),
        ("logs:DeleteLogGroup", f"arn:{PARTITION}:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/payroll:*"),
        ("dynamodb:UpdateTable", f"arn:{PARTITION}:dynamodb:{REGION}:{ACCOUNT}:table/payroll"),
        ("dynamodb:UpdateTable", f"arn:{PARTITION}:dynamodb:us-gov-east-1:{ACCOUNT}:table/humangov-x"),
        ("s3:GetBucketLocation", f"arn:{PARTITION}:s3:::payroll"),
    ],
)
def test_operator_policy_denies_other_names_and_regions(action: str, resource: str) -> None:
    assert not allowed(OPERATOR, action, resource)


# What it cannot

ONLY_NAMES = {"iam:ListRoles"}  # of all roles; AWS narrows it by no path
CANNOT = [
    *((action, FILE) for action in (
        "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes", "s3:PutObject", "s3:PutObjectAcl",
        "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:RestoreObject", "s3:PutObjectRetention",
    )),
    *((action, NAMES.bucket_arn) for action in (
        "s3:ListBucket", "s3:ListBucketVersions", "s3:DeleteBucket", "s3:PutBucketPolicy", "s3:PutBucketVersioning",
        "s3:PutLifecycleConfiguration", "s3:PutReplicationConfiguration", "s3:PutInventoryConfiguration",
    )),
    *((action, NAMES.table_arn) for action in (
        "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem",
        "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "dynamodb:PartiQLSelect",
        "dynamodb:DeleteTable", "dynamodb:CreateTable", "dynamodb:ExportTableToPointInTime",
        "dynamodb:PutResourcePolicy", "dynamodb:EnableKinesisStreamingDestination",
    )),
    *((action, STREAM) for action in ("dynamodb:GetRecords", "dynamodb:GetShardIterator")),
    *((action, NAMES.function_arn) for action in (
        "lambda:InvokeFunction", "lambda:AddPermission", "lambda:PublishVersion", "lambda:CreateFunctionUrlConfig",
    )),
    *((action, LOG_STREAM) for action in ("logs:GetLogEvents", "logs:PutLogEvents")),
    *((action, f"{NAMES.log_group_arn}:*") for action in (
        "logs:FilterLogEvents", "logs:StartQuery", "logs:PutSubscriptionFilter",
    )),
    *((action, NAMES.role_arn) for action in (
        "iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:UpdateRole", "sts:AssumeRole",
    )),
    *(("sts:AssumeRole", role(name)) for name in (
        "humangov-operator", "humangov-sweep", "admin", "x/humangov-tenant-a",
    )),
    *((action, BOUNDARY_ARN) for action in (
        "iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion", "iam:DeletePolicyVersion", "iam:DeletePolicy",
    )),
    ("iam:CreatePolicy", f"arn:{PARTITION}:iam::{ACCOUNT}:policy/humangov/x"),
    ("iam:CreateUser", f"arn:{PARTITION}:iam::{ACCOUNT}:user/humangov/x"),
    ("kms:Decrypt", KEY),
]  # fmt: skip


@pytest.mark.parametrize(("action", "resource"), CANNOT)
def test_operator_policy_denies_records_files_receipts_and_more_permissions(action: str, resource: str) -> None:
    assert not allowed(OPERATOR, action, resource, EVERY_CONDITION)


@pytest.mark.parametrize("prefix", ["", "cv", "aws/", "aws/lambda", f"{FAILURES_PREFIX}../", ".humangov/"])
def test_operator_policy_allows_listing_failed_invocations_and_no_files(prefix: str) -> None:
    assert not allowed(OPERATOR, "s3:ListBucket", NAMES.bucket_arn, OURS | {"s3:prefix": prefix})


def test_operator_policy_finds_leaked_roles_in_the_region_of_iam_of_every_partition() -> None:
    [regions] = [one["Condition"]["StringEquals"]["aws:RequestedRegion"] for one in iam.statements(OPERATOR)
                 if one["Action"] == "iam:ListRoles"]  # fmt: skip
    rules = json.dumps(botocore.loaders.create_loader().load_service_model("iam", "endpoint-rule-set-1"))
    signed_for = set(re.findall(r'"signingRegion": "([a-z0-9-]+)"', rules))
    assert len(signed_for) > 6
    assert set(regions) == signed_for


@pytest.mark.parametrize("action", ["iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"])
@pytest.mark.parametrize(
    "boundary",
    [
        None,
        f"arn:{PARTITION}:iam::aws:policy/AdministratorAccess",
        f"arn:{PARTITION}:iam::{ELSEWHERE}:policy/humangov-cleanup-boundary",
        f"{BOUNDARY_ARN}-2",
        f"arn:{PARTITION}:iam::{ACCOUNT}:policy/x/humangov-cleanup-boundary",
    ],
)
def test_operator_policy_requires_the_boundary_to_create_or_change_a_role(action: str, boundary: str | None) -> None:
    """AWS compares with the boundary that the call sets, and for PutRolePolicy with the one that the role has."""
    context = EVERY_CONDITION | {"iam:PermissionsBoundary": boundary or ""}
    if boundary is None:
        del context["iam:PermissionsBoundary"]
    assert not allowed(OPERATOR, action, NAMES.role_arn, context)
    assert allowed(OPERATOR, action, NAMES.role_arn, BOUND)


@pytest.mark.parametrize("action", sorted({action for action in CALLS if action.startswith("iam:")} - ONLY_NAMES))
@pytest.mark.parametrize(
    "name",
    ["admin", "humangov", "humangovx/admin", "other/humangov/x", "humangov-operator", f"other/humangov-{REGION}"],
)
def test_operator_policy_denies_roles_outside_its_path(action: str, name: str) -> None:
    assert not allowed(OPERATOR, action, role(name), EVERY_CONDITION)


@pytest.mark.parametrize("service", ["ec2.amazonaws.com", "glue.amazonaws.com", "lambda.amazonaws.com.cn"])
def test_operator_policy_passes_roles_only_to_lambda(service: str) -> None:
    assert not allowed(OPERATOR, "iam:PassRole", NAMES.role_arn, {"iam:PassedToService": service})
    assert not allowed(OPERATOR, "iam:PassRole", NAMES.role_arn)


@pytest.mark.parametrize(
    "action",
    ["lambda:CreateEventSourceMapping", "lambda:UpdateEventSourceMapping", "lambda:DeleteEventSourceMapping"],
)
def test_operator_policy_denies_triggers_of_unowned_functions(action: str) -> None:
    for resource, _ in requests(action):
        assert not allowed(OPERATOR, action, resource, THEIR_FUNCTION | HERE)
        assert not allowed(OPERATOR, action, resource, HERE)


# What a role that it makes can do

EVERY_RESOURCE = [
    "*", NAMES.table_arn, f"{NAMES.table_arn}/index/by-pdf", STREAM, NAMES.bucket_arn,
    FILE, f"{NAMES.bucket_arn}/aws/lambda/failed", KEY,
    NAMES.function_arn, MAPPING, NAMES.log_group_arn, f"{NAMES.log_group_arn}:*", LOG_STREAM, NAMES.role_arn,
    role("humangov-operator"), BOUNDARY_ARN, f"arn:{PARTITION}:iam::{ACCOUNT}:user/x",
]  # fmt: skip


def test_boundary_limits_an_administrator_role_to_its_listed_actions() -> None:
    every = {f"{service}:{name}" for service, known in services().items() for name in known["Actions"]}
    assert len(every) > 10_000
    concerned = {action.split(":")[0] for action in iam.actions(BOUNDARY)}
    possible = {
        action
        for action in every
        for resource in (EVERY_RESOURCE if action.split(":")[0] in concerned else ["*", FILE])
        for context in (EVERY_CONDITION, EVERY_CONDITION | BY_CODE)
        if allowed(EVERYTHING, action, resource, context, boundary=BOUNDARY)
    }
    assert possible == {action.lower() for action in iam.actions(BOUNDARY)}


BEYOND: list[tuple[str, str, Context]] = [
    *((action, FILE, OURS | BY_CODE) for action in (
        "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectAcl",
    )),
    # The code is no Lambda: it neither reads the stream nor writes or lists invocation records.
    *((action, STREAM, BY_CODE) for action in (
        "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator",
    )),
    ("dynamodb:ListStreams", "*", BY_CODE),
    ("s3:PutObject", f"{NAMES.bucket_arn}/{FAILURES_PREFIX}x", OURS | BY_CODE),
    ("s3:ListBucket", NAMES.bucket_arn, OURS | BY_CODE),
    # Another function with this role is not the code.
    *((action, resource, OURS | BY_OTHER_CODE) for action, resource in (
        ("dynamodb:BatchGetItem", NAMES.table_arn), ("dynamodb:Query", f"{NAMES.table_arn}/index/x"),
        ("s3:DeleteObject", FILE), ("s3:DeleteObjectVersion", FILE), ("s3:ListBucketVersions", NAMES.bucket_arn),
        ("s3:GetBucketVersioning", NAMES.bucket_arn), ("s3:GetObjectRetention", FILE),
        ("logs:PutLogEvents", LOG_STREAM), ("logs:CreateLogStream", LOG_STREAM),
    )),
    *((action, NAMES.table_arn, BY_CODE) for action in (
        "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "dynamodb:Scan",
        "dynamodb:Query", "dynamodb:GetItem", "dynamodb:UpdateTable", "dynamodb:DeleteTable",
    )),
    ("dynamodb:BatchGetItem", f"arn:{PARTITION}:dynamodb:{REGION}:{ACCOUNT}:table/payroll", BY_CODE),
    ("dynamodb:BatchGetItem", NAMES.table_arn.replace(ACCOUNT, ELSEWHERE), BY_CODE),
    ("dynamodb:Query", f"arn:{PARTITION}:dynamodb:{REGION}:{ACCOUNT}:table/payroll/index/x", BY_CODE),
    ("dynamodb:Scan", f"{NAMES.table_arn}/index/by-pdf", BY_CODE),
    ("dynamodb:GetRecords", f"arn:{PARTITION}:dynamodb:{REGION}:{ACCOUNT}:table/payroll/stream/x", {}),
    ("s3:DeleteObject", f"arn:{PARTITION}:s3:::payroll/cv.pdf", OURS | BY_CODE),
    ("s3:DeleteObjectVersion", f"arn:{PARTITION}:s3:::payroll/cv.pdf", OURS | BY_CODE),
    ("s3:ListBucketVersions", f"arn:{PARTITION}:s3:::payroll", OURS | BY_CODE),
    ("s3:ListBucket", f"arn:{PARTITION}:s3:::payroll", OURS),
    # Buckets' ARNs name no account: a bucket of somebody else's could be called humangov-… too.
    *((action, resource, BY_CODE | {"aws:ResourceAccount": ELSEWHERE}) for action, resource in (
        ("s3:DeleteObject", FILE), ("s3:DeleteObjectVersion", FILE), ("s3:ListBucketVersions", NAMES.bucket_arn),
        ("s3:GetBucketVersioning", NAMES.bucket_arn), ("s3:GetObjectRetention", FILE),
    )),
    ("s3:PutObject", f"{NAMES.bucket_arn}/aws/lambda/x", {"aws:ResourceAccount": ELSEWHERE}),
    ("s3:ListBucket", NAMES.bucket_arn, {"aws:ResourceAccount": ELSEWHERE}),
    ("kms:Decrypt", KEY, {}),
    ("kms:Decrypt", KEY, {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}),
    ("kms:Decrypt", KEY, {"kms:ViaService": "dynamodb.us-east-1.amazonaws.com"}),
    ("kms:Encrypt", KEY, THROUGH_DYNAMODB),
    ("logs:CreateLogGroup", f"{NAMES.log_group_arn}:*", BY_CODE),
    ("logs:GetLogEvents", LOG_STREAM, BY_CODE),
    ("logs:PutLogEvents", LOG_STREAM.replace("humangov-california", "payroll"), BY_CODE),
    *((action, NAMES.role_arn, BOUND) for action in ("iam:PutRolePolicy", "iam:PassRole", "sts:AssumeRole")),
    ("iam:CreateUser", f"arn:{PARTITION}:iam::{ACCOUNT}:user/x", {}),
    ("lambda:UpdateFunctionCode", NAMES.function_arn, {}),
    ("lambda:InvokeFunction", NAMES.function_arn, {}),
]  # fmt: skip


@pytest.mark.parametrize(("action", "resource", "context"), BEYOND)
def test_boundary_denies_an_administrator_role_each_other_request(action: str, resource: str, context: Context) -> None:
    assert allowed(EVERYTHING, action, resource, context)
    assert not allowed(EVERYTHING, action, resource, context, boundary=BOUNDARY)


@pytest.mark.parametrize(
    "spec",
    [{}, {"bucket": {"name": "humangov-california-s3-zsmb", "keyPrefix": "cv/2026*/"}}],
    ids=["whole bucket", "a prefix"],
)
def test_boundary_allows_everything_that_the_cleanup_policy_grants(spec: Mapping[str, Any]) -> None:
    granted = tenant(**spec)
    policy = cleanup_policy(granted, table_key_arn=KEY, file_indexes=["by-pdf"])
    prefix, by_code = granted.tenant.bucket.key_prefix, BY_CODE
    asked: dict[str, tuple[str, Context]] = {
        **{action: (f"{granted.table_arn}/stream/x", {}) for action in (
            "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
        )},
        "dynamodb:BatchGetItem": (granted.table_arn, by_code),
        "dynamodb:Query": (f"{granted.table_arn}/index/by-pdf", by_code),
        **dict.fromkeys(
            ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObjectLegalHold", "s3:GetObjectRetention"),
            (f"{granted.bucket_arn}/{prefix}cv.pdf", OURS | by_code),
        ),
        "s3:ListBucketVersions": (granted.bucket_arn, OURS | by_code | {"s3:prefix": f"{prefix}cv.pdf"}),
        "s3:GetBucketVersioning": (granted.bucket_arn, OURS | by_code),
        "s3:ListBucket": (granted.failures_bucket_arn, OURS),
        "s3:PutObject": (f"{granted.failures_bucket_arn}/{FAILURES_PREFIX}x/y", OURS),
        "kms:GenerateDataKey": (
            KEY, THROUGH_S3 | {"kms:EncryptionContext:aws:s3:arn": f"{granted.failures_bucket_arn}/{FAILURES_PREFIX}x"},
        ),
        "logs:CreateLogStream": (LOG_STREAM, by_code),
        "logs:PutLogEvents": (LOG_STREAM, by_code),
        "kms:Decrypt": (KEY, THROUGH_DYNAMODB),
    }  # fmt: skip
    assert asked.keys() == iam.actions(policy)
    for action, (resource, context) in asked.items():
        assert allowed(policy, action, resource, context), action
        assert allowed(policy, action, resource, context, boundary=BOUNDARY), action


ERASING = ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:GetObjectLegalHold", "s3:GetObjectRetention")
OF_CODE: list[tuple[str, str, Context]] = [
    ("dynamodb:BatchGetItem", NAMES.table_arn, {}),
    ("dynamodb:Query", f"{NAMES.table_arn}/index/by-pdf", {}),
    *((action, FILE, OURS) for action in ERASING),
    ("s3:ListBucketVersions", NAMES.bucket_arn, OURS | {"s3:prefix": "cv.pdf"}),
    ("s3:GetBucketVersioning", NAMES.bucket_arn, OURS),
    ("logs:CreateLogStream", LOG_STREAM, {}),
    ("logs:PutLogEvents", LOG_STREAM, {}),
]
OF_LAMBDA: list[tuple[str, str, Context]] = [
    *((f"dynamodb:{name}", STREAM, {}) for name in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")),
    ("dynamodb:ListStreams", "*", {}),
    ("s3:PutObject", f"{NAMES.bucket_arn}/{FAILURES_PREFIX}x", OURS),
    ("s3:ListBucket", NAMES.bucket_arn, OURS),
    ("kms:GenerateDataKey", KEY, THROUGH_S3 | {"kms:EncryptionContext:aws:s3:arn": f"{NAMES.bucket_arn}"}),
]


@pytest.mark.parametrize(("action", "resource", "context"), OF_CODE)
def test_role_erases_reads_records_and_writes_receipts_only_for_its_own_functions_code(
    action: str, resource: str, context: Context
) -> None:
    policy = cleanup_policy(NAMES, table_key_arn=None, file_indexes=["by-pdf"])
    neighbour = {"lambda:SourceFunctionArn": NAMES.function_arn.replace("california", "florida")}
    assert allowed(policy, action, resource, {**context, **BY_CODE})
    assert not any(allowed(policy, action, resource, {**context, **other}) for other in (BY_OTHER_CODE, neighbour))


@pytest.mark.parametrize(("action", "resource", "context"), OF_LAMBDA)
def test_role_polls_the_stream_and_stores_failed_invocations_only_for_lambda_itself(
    action: str, resource: str, context: Context
) -> None:
    """So the code of the function can neither list invocation records, with the names in them, nor plant any."""
    policy = cleanup_policy(NAMES, table_key_arn=None)
    assert allowed(policy, action, resource, context)
    assert not any(allowed(policy, action, resource, {**context, **code}) for code in (BY_CODE, BY_OTHER_CODE))


@pytest.mark.parametrize("boundary", [None, BOUNDARY])
def test_code_of_a_function_lists_no_names_outside_its_key_prefix(boundary: Any) -> None:
    """Florida in a bucket that it shares: no name of California's files, and no invocation record with names in it."""
    shared = tenant("florida", bucket={"name": "humangov-shared-s3-zsmb", "keyPrefix": "florida/"})
    policy = cleanup_policy(shared, table_key_arn=None)
    code = {**OURS, "lambda:SourceFunctionArn": shared.function_arn}

    def lists(action: str, **more: str) -> bool:
        context = {**code, **{f"s3:{name}": value for name, value in more.items()}}
        return allowed(policy, action, shared.bucket_arn, context, boundary=boundary)

    assert lists("s3:ListBucketVersions", prefix="florida/cv.pdf")
    for action in ("s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"):
        assert not lists(action)
        for prefix in ("", "california/", "florida", "aws/lambda/", ".humangov/"):
            assert not lists(action, prefix=prefix), (action, prefix)
    assert not lists("s3:ListBucket", prefix="florida/cv.pdf")


@pytest.mark.parametrize("name", ["operator", "boundary", "function"])
def test_every_statement_of_s3_names_the_account_of_the_bucket(name: str) -> None:
    """A bucket's ARN names none: after a bucket was deleted, anybody may make one of that name."""
    policy = {"operator": OPERATOR, "boundary": BOUNDARY, "function": cleanup_policy(NAMES, table_key_arn=None)}[name]
    of_s3 = [one for one in iam.statements(policy) if listed(one["Action"])[0].startswith("s3:")]
    accounts = [one["Condition"]["StringEquals"]["aws:ResourceAccount"] for one in of_s3 if one["Effect"] == "Allow"]
    assert set(accounts) == {ACCOUNT}


def test_boundary_names_exactly_the_actions_of_the_cleanup_policy() -> None:
    assert iam.actions(BOUNDARY) == iam.actions(cleanup_policy(NAMES, table_key_arn=KEY, file_indexes=["by-pdf"]))


def test_cleanup_policy_encrypts_failed_invocations_only_for_their_bucket() -> None:
    policy = cleanup_policy(NAMES, table_key_arn=None)
    for arn in (f"{NAMES.bucket_arn}-2", FILE, f"{NAMES.bucket_arn}/aws/x"):
        context = THROUGH_S3 | {"kms:EncryptionContext:aws:s3:arn": arn}
        assert not allowed(policy, "kms:GenerateDataKey", KEY, context), arn


ORGANIZATION = policies.filled(policies.ORGANIZATION, **VALUES)
TENANTS_ROLE = f"arn:{PARTITION}:iam::{ELSEWHERE}:role/humangov-tenant-california"


@pytest.mark.parametrize(
    ("account", "assumed"),
    [
        ({"aws:ResourceOrgID": VALUES["Organization"]}, True),
        ({"aws:ResourceOrgID": "o-9999999999"}, False),
        ({}, False),
    ],
    ids=["of ours", "of another organization", "of none"],
)  # fmt: skip
def test_operator_with_the_organizations_policy_assumes_no_role_of_an_account_outside(
    account: Context, assumed: bool
) -> None:
    """A role of the pattern in an account of whoever wrote the HumanGovState would collect the operator's sessions."""
    both: Policy = {**OPERATOR, "Statement": [*iam.statements(OPERATOR), *iam.statements(ORGANIZATION)]}
    assert allowed(OPERATOR, "sts:AssumeRole", TENANTS_ROLE, account)
    assert allowed(both, "sts:AssumeRole", TENANTS_ROLE, account) == assumed
    assert second_opinion([[both]], ["sts:AssumeRole"], [TENANTS_ROLE], [account]) == [assumed]
    assert allowed(both, "dynamodb:DescribeTable", NAMES.table_arn)


# Who may take the roles on

TOKEN = {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": "system:serviceaccount:humangov:humangov-operator"}
PROVIDER = {"Federated": f"arn:{PARTITION}:iam::{ACCOUNT}:oidc-provider/{ISSUER}"}
POD = {
    "aws:SourceArn": CLUSTER, "aws:SourceAccount": ACCOUNT,
    "aws:RequestTag/kubernetes-namespace": "humangov",
    "aws:RequestTag/kubernetes-service-account": "humangov-operator",
}  # fmt: skip
EKS = {"Service": "pods.eks.amazonaws.com"}
BY_TOKEN = policies.filled(policies.IRSA, **VALUES)
BY_POD_IDENTITY = policies.filled(policies.POD_IDENTITY, **VALUES)


def test_irsa_lets_the_operators_service_account_assume_the_role() -> None:
    assert trusted(BY_TOKEN, PROVIDER, "sts:AssumeRoleWithWebIdentity", TOKEN)


@pytest.mark.parametrize(
    "token",
    [
        TOKEN | {f"{ISSUER}:sub": "system:serviceaccount:humangov:default"},
        TOKEN | {f"{ISSUER}:sub": "system:serviceaccount:florida:humangov-operator"},
        TOKEN | {f"{ISSUER}:sub": "system:serviceaccount:humangov:humangov-operator-2"},
        TOKEN | {f"{ISSUER}:aud": "vault"},
        {f"{ISSUER}:sub": TOKEN[f"{ISSUER}:sub"]},
        {f"{ISSUER}:aud": TOKEN[f"{ISSUER}:aud"]},
        {key.replace("id/0", "id/9"): value for key, value in TOKEN.items()},
        {},
    ],
    ids=["account", "namespace", "longer name", "audience", "no audience", "no subject", "cluster", "nothing"],
)
def test_irsa_lets_no_other_token_assume_the_role(token: Context) -> None:
    assert not trusted(BY_TOKEN, PROVIDER, "sts:AssumeRoleWithWebIdentity", token)


@pytest.mark.parametrize(
    ("principal", "action"),
    [
        ({"Federated": PROVIDER["Federated"].replace("id/0", "id/9")}, "sts:AssumeRoleWithWebIdentity"),
        ({"Federated": PROVIDER["Federated"].replace(ACCOUNT, ELSEWHERE)}, "sts:AssumeRoleWithWebIdentity"),
        (EKS, "sts:AssumeRole"),
        ({"AWS": f"arn:{PARTITION}:iam::{ACCOUNT}:root"}, "sts:AssumeRole"),
        (PROVIDER, "sts:AssumeRole"),
    ],
)
def test_irsa_trusts_only_one_token_issuer(principal: Mapping[str, str], action: str) -> None:
    assert not trusted(BY_TOKEN, principal, action, TOKEN | POD)


@pytest.mark.parametrize("action", ["sts:AssumeRole", "sts:TagSession"])
def test_pod_identity_lets_the_operators_service_account_assume_the_role(action: str) -> None:
    assert trusted(BY_POD_IDENTITY, EKS, action, POD)


@pytest.mark.parametrize("action", ["sts:AssumeRole", "sts:TagSession"])
@pytest.mark.parametrize(
    "reported",
    [
        {"aws:SourceAccount": ELSEWHERE, "aws:SourceArn": CLUSTER.replace(ACCOUNT, ELSEWHERE)},
        {"aws:SourceAccount": ELSEWHERE},
        {"aws:SourceArn": CLUSTER.replace(ACCOUNT, ELSEWHERE)},
        {"aws:SourceArn": f"{CLUSTER}-2"},
        {"aws:SourceArn": CLUSTER.replace(REGION, "us-gov-east-1")},
        {"aws:RequestTag/kubernetes-namespace": "florida"},
        {"aws:RequestTag/kubernetes-service-account": "default"},
    ],
)
def test_pod_identity_lets_no_other_account_cluster_or_service_account_assume_the_role(
    action: str, reported: Context
) -> None:
    assert not trusted(BY_POD_IDENTITY, EKS, action, {**POD, **reported})


@pytest.mark.parametrize("missing", sorted(POD))
def test_pod_identity_without_a_required_session_tag_is_refused(missing: str) -> None:
    reported = {key: value for key, value in POD.items() if key != missing}
    assert not trusted(BY_POD_IDENTITY, EKS, "sts:AssumeRole", reported)


@pytest.mark.parametrize("service", ["ec2.amazonaws.com", "eks.amazonaws.com", "lambda.amazonaws.com"])
def test_operator_role_is_assumable_by_no_other_service(service: str) -> None:
    for policy in (BY_TOKEN, BY_POD_IDENTITY):
        assert not trusted(policy, {"Service": service}, "sts:AssumeRole", POD | TOKEN)


def test_function_role_is_assumable_only_by_lambda() -> None:
    assert trusted(trust_policy(), {"Service": "lambda.amazonaws.com"}, "sts:AssumeRole", {})
    assert not trusted(trust_policy(), EKS, "sts:AssumeRole", POD)
    assert not trusted(trust_policy(), {"Service": "lambda.amazonaws.com"}, "sts:TagSession", {})


# Somebody else's evaluator

# Questions are the product of four lists, answers a string of 0 and 1. It runs where MiniStack is installed.
SECOND_OPINION = """
import itertools, json, sys
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

asked = json.load(sys.stdin)
layers = [[[parse_policy_document(document)] for document in pair] for pair in asked["policies"]]
answers = []
axes = [asked[of] for of in ("actions", "resources", "contexts")]
for pair, action, resource, told in itertools.product(layers, *axes):
    context = EvalContext(
        principal_arn="", principal_type="AssumedRole", principal_account=told.get("aws:ResourceAccount", ""),
        action=action, resource_arn=resource, region=told.get("aws:RequestedRegion", ""),
        service_context={key.lower(): value for key, value in told.items()},
    )
    answers.append("1" if evaluate(context, *pair).decision == "Allow" else "0")
print("".join(answers))
"""


def second_opinion(
    policies: list[list[Policy]], actions: list[str], resources: list[str], contexts: list[Context]
) -> list[bool]:
    emulator.install(say=lambda _: None)
    asked = {"policies": policies, "actions": actions, "resources": resources, "contexts": contexts}
    done = subprocess.run(
        [str(AWS_VENV / "bin" / "python"), "-c", SECOND_OPINION],
        input=json.dumps(asked), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [answer == "1" for answer in done.stdout.strip()]


def conditions_of(trust: Policy) -> Policy:
    """A trust policy as an identity's: what it says but for whom."""
    return {
        "Version": trust["Version"],
        "Statement": [
            {"Resource": "*", **{key: value for key, value in one.items() if key != "Principal"}}
            for one in trust["Statement"]
        ],
    }


def test_second_policy_evaluator_gives_the_same_answers() -> None:
    """MiniStack's, to every action × resource × context of this file, with and without the boundary."""
    cleanup = cleanup_policy(NAMES, table_key_arn=KEY, file_indexes=["by-pdf"])
    policies: list[list[Policy]] = [
        [OPERATOR], [cleanup], [EVERYTHING, BOUNDARY], [cleanup, BOUNDARY],
        [conditions_of(BY_TOKEN)], [conditions_of(BY_POD_IDENTITY)],
    ]  # fmt: skip
    asked = sorted(
        {action for policy in (OPERATOR, BOUNDARY, cleanup) for action in iam.actions(policy)}
        | {action for action, _ in CANNOT[::4]} | {action for action, _, _ in BEYOND}
        | {"sts:AssumeRole", "sts:TagSession", "sts:AssumeRoleWithWebIdentity"}
    )  # fmt: skip
    on = sorted({*EVERY_RESOURCE, *(resource for _, resource, _ in BEYOND), role(NAMES.tenant.role_name)})
    prefix = {"s3:prefix": "cv"}
    contexts: list[Context] = [{}, EVERY_CONDITION | prefix, TOKEN | POD, THEIR_FUNCTION | HERE | TO_LAMBDA]
    contexts += [EVERY_CONDITION | prefix | code for code in (BY_CODE, BY_OTHER_CODE)]
    contexts += [
        (EVERY_CONDITION | prefix | TOKEN | POD) | {key: value.replace(ACCOUNT, ELSEWHERE).replace("dynamodb", "ec2")}
        for key, value in (EVERY_CONDITION | TOKEN | POD).items()
    ]
    results = [
        allowed(pair[0], action, resource, context, boundary=pair[1] if len(pair) > 1 else None)
        for pair, action, resource, context in itertools.product(policies, asked, on, contexts)
    ]
    second_results = second_opinion(policies, asked, on, contexts)
    assert len(results) == len(second_results) > 100_000
    different = [
        question
        for question, mine, other in zip(
            itertools.product(range(len(policies)), asked, on, contexts), results, second_results, strict=True
        )
        if mine != other
    ]
    assert different == []
    assert 500 < sum(results) < len(results) / 2


# The policies' form

# AWS's reference knows a data set for it, of which an account has one, whose key it is about. Metrics of AWS's own
# services have no resource.
# https://docs.aws.amazon.com/cli/latest/reference/cloudwatch/get-dataset.html
OF_ALL_METRICS = "cloudwatch:GetMetricData"


@pytest.mark.parametrize(
    ("policy", "action"),
    [
        pytest.param(policy, action, id=f"{name}-{action}")
        for policy, name in ((OPERATOR, "operator"), (BOUNDARY, "boundary"))
        for action in sorted(iam.actions(policy))
    ],
)
def test_policy_actions_exist_in_aws_and_star_is_used_only_without_resource_types(policy: Policy, action: str) -> None:
    service, name = action.split(":")
    known = services()[service]
    assert name.lower() in known["Actions"]
    types = known["Actions"][name.lower()].get("Resources", [])
    for statement in iam.statements(policy):
        if action not in listed(statement["Action"]):
            continue
        for resource in listed(statement["Resource"]):
            if resource == "*":
                assert types == [] or action == OF_ALL_METRICS, "the service could narrow this"
                assert statement["Condition"], "a star without a condition"
            else:
                formats = [arn for kind in types for arn in known["Resources"][kind.lower()]["ARNFormats"]]
                here = resource.replace(":iam::*:", f":iam::{ACCOUNT}:")  # roles of any account
                assert any(fits(here, arn) for arn in formats), formats


def fits(resource: str, arn_format: str) -> bool:
    for placeholder, value in VALUES.items():
        arn_format = arn_format.replace(f"${{{placeholder}}}", value)
    return matches(arn_format.replace(".*", "*"), resource)


both = pytest.mark.parametrize("policy", [OPERATOR, BOUNDARY], ids=["operator", "boundary"])


@both
def test_policy_actions_have_no_wildcard_and_no_duplicate(policy: Policy) -> None:
    assert not any("*" in action for action in iam.actions(policy))
    sids = [statement["Sid"] for statement in iam.statements(policy)]
    assert len(sids) == len(set(sids))
    for statement in iam.statements(policy):
        named = listed(statement["Action"])
        assert named == sorted(set(named)), statement["Sid"]


@pytest.mark.parametrize("path", [policies.OPERATOR, policies.BOUNDARY], ids=lambda path: str(path.stem))
def test_policy_fits_into_one_managed_policy(path: Any) -> None:
    """In the partition, the region and with a boundary of the longest names."""
    longest = VALUES | {"Partition": "aws-us-gov", "Region": "ap-southeast-1", "Boundary": "x" * 64}
    filled = policies.filled(path, **longest)
    assert len(json.dumps(filled, separators=(",", ":"))) <= MANAGED_POLICY_LIMIT


@pytest.mark.parametrize("placeholder", sorted(policies.placeholders(policies.OPERATOR)))
def test_unfilled_policy_placeholder_grants_nothing(placeholder: str) -> None:
    left = policies.filled(policies.OPERATOR, **VALUES | {placeholder: f"${{{placeholder}}}"})
    hollow = [one for one in iam.statements(left) if f"${{{placeholder}}}" in json.dumps(one)]
    assert hollow
    for action in CALLS:
        for resource, context in requests(action):
            assert not any(iam.applies(one, action, resource, context) for one in hollow)
