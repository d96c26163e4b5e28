"""The operator's policy in AWS: all that it calls, and nothing else.

Shown by evaluation of the policy. It can't show what AWS itself makes of it; the service's own list of actions and
resource types is the one that cfn-lint brings.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from humangov.aws.clients import ACTIONS
from humangov.tenant import Identity, Names, parse

from sandbox.paths import REPOSITORY
from tests.deploy.iam import actions, allowed, listed, matches

IAM = REPOSITORY / "deploy" / "iam"
POLICY_FILE = IAM / "operator-policy.json"
PARTITION, REGION, ACCOUNT = "aws-us-gov", "us-gov-west-1", "123456789012"
NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity"}
HANDED_OVER = {"iam:PassRole"}  # by CreateFunction and UpdateFunctionConfiguration, no call of its own
MANAGED_POLICY_LIMIT = 6144  # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html

NAMES = Names(
    tenant=parse(
        {
            "apiVersion": "humangov.io/v1",
            "kind": "HumanGovState",
            "metadata": {"name": "california", "namespace": "humangov"},
            "spec": {
                "table": {"name": "humangov-california-dynamodb"},
                "bucket": {"name": "humangov-california-s3-zsmb"},
            },
        },
        default_region=REGION,
    ),
    identity=Identity(account_id=ACCOUNT, region=REGION, cluster="sample", partition=PARTITION),
)
MAPPING = NAMES.mapping_arn("91eaeb7e-c976-4939-86c8-b8e4f4a5e3d0")
STREAM = f"{NAMES.table_arn}/stream/{datetime(2026, 1, 1, tzinfo=UTC):%Y-%m-%dT%H:%M:%S.000}"
OUR_FUNCTION = {"lambda:FunctionArn": NAMES.function_arn}
THEIR_FUNCTION = {"lambda:FunctionArn": f"arn:{PARTITION}:lambda:{REGION}:{ACCOUNT}:function:payroll"}
TO_LAMBDA = {"iam:PassedToService": "lambda.amazonaws.com"}
HERE = {"aws:RequestedRegion": REGION}


@cache
def policy() -> Mapping[str, Any]:
    """As the README says to fill it in."""
    return _filled({"Partition": PARTITION, "Region": REGION, "Account": ACCOUNT})


def _filled(values: Mapping[str, str]) -> Mapping[str, Any]:
    text = POLICY_FILE.read_text()
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return dict(json.loads(text))


def _requests(action: str) -> list[tuple[str, Mapping[str, str]]]:
    """On what, and under which conditions, the operator makes a call: what AWS checks the policy against."""
    service, name = action.split(":")
    if action in ("lambda:ListEventSourceMappings", "logs:DescribeLogGroups"):
        return [("*", HERE)]
    if action == "lambda:CreateEventSourceMapping":
        return [("*", OUR_FUNCTION | HERE)]
    if action in ("lambda:UpdateEventSourceMapping", "lambda:DeleteEventSourceMapping"):
        return [(MAPPING, OUR_FUNCTION | HERE)]
    if service == "lambda":
        return [(NAMES.function_arn, {}), *([(MAPPING, {})] if "Tag" in name else [])]
    if action == "dynamodb:DescribeStream":
        return [(STREAM, {})]
    if service == "logs":
        # AWS's documents give the ARN with `:*` for some calls and without for others.
        return [(f"{NAMES.log_group_arn}{end}", {}) for end in ("", ":*")]
    if service == "iam":
        return [(NAMES.role_arn, TO_LAMBDA if action == "iam:PassRole" else {})]
    return [({"dynamodb": NAMES.table_arn, "s3": NAMES.bucket_arn}[service], {})]


@cache
def _services() -> Mapping[str, Any]:
    """The service authorization reference, in the form of cfn-lint."""
    return dict(json.loads((resources.files("cfnlint") / "data/AdditionalSpecs/Policies.json").read_text()))


def test_the_policy_names_every_call_of_the_operator_and_no_other() -> None:
    assert actions(policy()) == (ACTIONS.keys() - NEEDS_NO_PERMISSION) | HANDED_OVER


@pytest.mark.parametrize("action", sorted((ACTIONS.keys() - NEEDS_NO_PERMISSION) | HANDED_OVER))
def test_the_policy_allows_the_call_on_what_belongs_to_a_tenant(action: str) -> None:
    for resource, context in _requests(action):
        assert allowed(policy(), action, resource, context), resource


@pytest.mark.parametrize("action", sorted((ACTIONS.keys() - NEEDS_NO_PERMISSION) | HANDED_OVER))
def test_the_policy_refuses_the_same_call_in_another_account(action: str) -> None:
    for resource, context in _requests(action):
        if resource == "*" or action.startswith("s3:"):  # a bucket's ARN names no account
            continue
        other = {key: value.replace(ACCOUNT, "999999999999") for key, value in context.items()}
        assert not allowed(policy(), action, resource.replace(ACCOUNT, "999999999999"), other)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        *((action, f"{NAMES.bucket_arn}/cv.pdf") for action in (
            "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion",
        )),
        *((action, NAMES.bucket_arn) for action in (
            "s3:ListBucket", "s3:ListBucketVersions", "s3:DeleteBucket", "s3:PutBucketPolicy", "s3:PutBucketVersioning",
            "s3:PutLifecycleConfiguration",
        )),
        *((action, NAMES.table_arn) for action in (
            "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem",
            "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "dynamodb:PartiQLSelect",
            "dynamodb:DeleteTable", "dynamodb:CreateTable", "dynamodb:ExportTableToPointInTime",
            "dynamodb:PutResourcePolicy",
        )),
        *((action, STREAM) for action in ("dynamodb:GetRecords", "dynamodb:GetShardIterator")),
        *((action, NAMES.function_arn) for action in (
            "lambda:InvokeFunction", "lambda:AddPermission", "lambda:PublishVersion",
        )),
        *((action, f"{NAMES.log_group_arn}:log-stream:x") for action in ("logs:GetLogEvents", "logs:PutLogEvents")),
        *((action, f"{NAMES.log_group_arn}:*") for action in ("logs:FilterLogEvents", "logs:StartQuery")),
        *((action, NAMES.role_arn) for action in ("iam:AttachRolePolicy", "iam:UpdateRole", "sts:AssumeRole")),
        ("iam:CreatePolicy", f"arn:{PARTITION}:iam::{ACCOUNT}:policy/humangov/x"),
        ("iam:CreateUser", f"arn:{PARTITION}:iam::{ACCOUNT}:user/humangov/x"),
        ("kms:Decrypt", f"arn:{PARTITION}:kms:{REGION}:{ACCOUNT}:key/x"),
    ],
)  # fmt: skip
def test_the_operator_cannot_reach_records_files_receipts_or_more_rights(action: str, resource: str) -> None:
    everything = OUR_FUNCTION | TO_LAMBDA | HERE
    assert not allowed(policy(), action, resource, everything)


@pytest.mark.parametrize("action", sorted(action for action in actions(policy()) if action.startswith("iam:")))
@pytest.mark.parametrize("role", ["admin", "humangov", "humangovx/admin", "other/humangov/x", "humangov-operator"])
def test_the_operator_cannot_touch_or_pass_a_role_outside_its_path(action: str, role: str) -> None:
    assert not allowed(policy(), action, f"arn:{PARTITION}:iam::{ACCOUNT}:role/{role}", TO_LAMBDA)


@pytest.mark.parametrize("service", ["ec2.amazonaws.com", "glue.amazonaws.com", "lambda.amazonaws.com.cn"])
def test_the_operator_can_pass_its_roles_to_lambda_alone(service: str) -> None:
    assert not allowed(policy(), "iam:PassRole", NAMES.role_arn, {"iam:PassedToService": service})
    assert not allowed(policy(), "iam:PassRole", NAMES.role_arn)


@pytest.mark.parametrize(
    "action",
    ["lambda:CreateEventSourceMapping", "lambda:UpdateEventSourceMapping", "lambda:DeleteEventSourceMapping"],
)
def test_the_operator_cannot_touch_the_trigger_of_a_function_that_is_not_its_own(action: str) -> None:
    for resource, _ in _requests(action):
        assert not allowed(policy(), action, resource, THEIR_FUNCTION | HERE)
        assert not allowed(policy(), action, resource, HERE)


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
def test_the_policy_ends_at_our_names_and_region(action: str, resource: str) -> None:
    assert not allowed(policy(), action, resource)


@pytest.mark.parametrize("action", sorted(actions(policy())))
def test_every_action_exists_in_aws_and_star_stands_only_where_aws_knows_no_resource(action: str) -> None:
    service, name = action.split(":")
    known = _services()[service]
    assert name.lower() in known["Actions"]
    types = known["Actions"][name.lower()].get("Resources", [])
    for statement in policy()["Statement"]:
        if action not in listed(statement["Action"]):
            continue
        for resource in listed(statement["Resource"]):
            if resource == "*":
                assert types == [], "the service could narrow this"
                assert statement["Condition"], "a star without a condition"
            else:
                formats = [arn for kind in types for arn in known["Resources"][kind.lower()]["ARNFormats"]]
                assert any(_fits(resource, arn) for arn in formats), formats


def _fits(resource: str, arn_format: str) -> bool:
    values = {"${Partition}": PARTITION, "${Region}": REGION, "${Account}": ACCOUNT}
    for placeholder, value in values.items():
        arn_format = arn_format.replace(placeholder, value)
    return matches(arn_format.replace(".*", "*"), resource)


def test_no_action_has_a_wildcard_and_no_statement_repeats_one() -> None:
    assert not any("*" in action for action in actions(policy()))
    sids = [statement["Sid"] for statement in policy()["Statement"]]
    assert len(sids) == len(set(sids))
    for statement in policy()["Statement"]:
        named = listed(statement["Action"])
        assert named == sorted(set(named)), statement["Sid"]


def test_the_policy_fits_into_one_managed_policy() -> None:
    filled = _filled({"Partition": "aws-us-gov", "Region": "ap-southeast-1", "Account": ACCOUNT})
    assert len(json.dumps(filled, separators=(",", ":"))) <= MANAGED_POLICY_LIMIT


def test_a_placeholder_that_is_left_in_allows_nothing_on_a_named_resource() -> None:
    left = _filled({})
    for action in actions(left):
        for resource, context in _requests(action):
            assert not allowed(left, action, resource, context)


def test_the_readme_s_command_fills_the_policy_in(tmp_path: Path) -> None:
    readme = (IAM / "README.md").read_text()
    block = readme.split("```bash\n")[1].split("```")[0]
    command = block.split("\naws iam")[0].replace("> operator-policy.json", f"> {tmp_path}/out.json")
    subprocess.run(["bash", "-euc", command], cwd=REPOSITORY, check=True)
    filled = json.loads((tmp_path / "out.json").read_text())
    assert filled == _filled({"Partition": "aws", "Region": "us-east-1", "Account": "123456789012"})


def test_the_readme_explains_every_statement() -> None:
    readme = (IAM / "README.md").read_text()
    assert [statement["Sid"] for statement in policy()["Statement"] if f"`{statement['Sid']}`" not in readme] == []
