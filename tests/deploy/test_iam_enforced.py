"""The policies where they are enforced: MiniStack with AUTH=true in a process of its own, installed by our template.

It judges each call of each session by trust, identity policy and permissions boundary, and makes the call's resource
by itself out of the request. It does not judge PassRole, knows no role's path and no resource of five calls, and sends
neither iam:PermissionsBoundary nor lambda:FunctionArn: `as_far_as_judged`. Nor does it send lambda:SourceFunctionArn:
the code of a function is judged by `boundary_of_code`, and everybody else by the boundary as it is. test_iam.py shows
these.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from humangov.bundle import bundle

from sandbox import emulator
from testing import iam
from testing.live.enforcing_aws import enforcing_aws
from testing.live.waiting import wait_for
from testing.reconciler.sdk import Sdk
from testing.reconciler.world import World
from tests.deploy import policies

ACCOUNT, REGION = emulator.ACCOUNT, emulator.REGION
ISSUER = f"oidc.eks.{REGION}.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
CLAIMS = {
    "iss": f"https://{ISSUER}", "aud": "sts.amazonaws.com", "sub": "system:serviceaccount:humangov:humangov-operator",
}  # fmt: skip
TABLE, BUCKET = "humangov-california-dynamodb", f"humangov-california-s3-{ACCOUNT}"
NEVER_SENT = {"iam:PermissionsBoundary", "lambda:FunctionArn"}
RESOURCE_UNKNOWN = [
    "dynamodb:DescribeStream", "dynamodb:ListTagsOfResource", "dynamodb:TagResource", "dynamodb:UntagResource",
    "lambda:CreateFunction",
]  # fmt: skip
_CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)


@dataclass(frozen=True)
class Principal:
    """Whoever calls AWS: the keys of the account's root, or of a session."""

    endpoint_url: str
    access_key: str
    secret: str
    token: str | None = None

    def client(self, service: str) -> Any:
        return boto3.client(
            service, endpoint_url=self.endpoint_url, region_name=REGION, config=_CONFIG,
            aws_access_key_id=self.access_key, aws_secret_access_key=self.secret, aws_session_token=self.token,
        )  # fmt: skip

    def session(self, credentials: Mapping[str, str]) -> Principal:
        return Principal(
            self.endpoint_url, credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
        )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Principal]:
    """An account of an AWS that enforces, in which our template was deployed and the application has its data."""
    with enforcing_aws(tmp_path_factory.mktemp("enforcing")) as url:
        account = Principal(url, ACCOUNT, emulator.SECRET)
        deploy(account)
        furnish(account)
        yield account


def deploy(account: Principal) -> None:
    """As the README says, by IRSA."""
    parameters = {"Region": REGION, "Identity": "IRSA", "OIDCProvider": ISSUER}
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(
        StackName="humangov-operator",
        TemplateBody=(policies.FOLDER / "cloudformation" / "humangov-operator.yaml").read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )

    def status() -> str:
        return str(cloudformation.describe_stacks(StackName="humangov-operator")["Stacks"][0]["StackStatus"])

    wait_for(lambda: status() == "CREATE_COMPLETE", what="the stack is made", seen=status)


def furnish(account: Principal) -> None:
    """Tables with a record, buckets with a file: California's, and another application's."""
    for table, bucket in ((TABLE, BUCKET), ("payroll", "payroll-files")):
        dynamodb, s3 = account.client("dynamodb"), account.client("s3")
        dynamodb.create_table(
            TableName=table, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )  # fmt: skip
        dynamodb.put_item(TableName=table, Item={"id": {"S": "1"}, "pdf": {"S": "cv.pdf"}})
        s3.create_bucket(Bucket=bucket)
        for key in ("cv.pdf", "other.pdf"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"%PDF-1.4")


def token(**claims: str) -> str:
    """A service account's token. MiniStack reads it and does not check its signature; AWS does."""
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({}, claims))
    return ".".join([*parts, "signature"])


def by_token(account: Principal, **claims: str) -> Principal:
    answer = account.client("sts").assume_role_with_web_identity(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/humangov-operator", RoleSessionName="test",
        WebIdentityToken=token(**CLAIMS | claims),
    )  # fmt: skip
    return account.session(answer["Credentials"])


@pytest.fixture(scope="module")
def operator(root: Principal) -> Principal:
    return by_token(root)


def refused(call: Callable[..., Any], **parameters: Any) -> bool:
    """Whether AWS denies it; False if it does it, or finds another fault."""
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"]).startswith("AccessDenied")
    return False


# Who may be the operator


def test_operators_service_account_assumes_the_operator_role(operator: Principal) -> None:
    who = operator.client("sts").get_caller_identity()["Arn"]
    assert who == f"arn:aws:sts::{ACCOUNT}:assumed-role/humangov-operator/test"


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "system:serviceaccount:humangov:default"},
        {"sub": "system:serviceaccount:florida:humangov-operator"},
        {"aud": "vault"},
        {"iss": "https://oidc.eks.us-east-1.amazonaws.com/id/FEDCBA9876543210FEDCBA9876543210"},
    ],
    ids=["account", "namespace", "audience", "cluster"],
)
def test_no_other_token_assumes_the_operator_role(root: Principal, claims: Mapping[str, str]) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        by_token(root, **claims)


# What the operator cannot

FILE = {"Bucket": BUCKET, "Key": "cv.pdf"}
RECORD = {"TableName": TABLE, "Key": {"id": {"S": "1"}}}
EVERYTHING = json.dumps({
    "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
})  # fmt: skip
LAMBDA_MAY = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
})  # fmt: skip
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/humangov-cleanup-boundary"


@pytest.mark.parametrize(
    ("service", "call", "parameters"),
    [
        ("s3", "get_object", FILE),
        ("s3", "head_object", FILE),
        ("s3", "delete_object", FILE),
        ("s3", "delete_objects", {"Bucket": BUCKET, "Delete": {"Objects": [{"Key": "cv.pdf"}]}}),
        ("s3", "put_object", FILE),
        ("s3", "list_objects_v2", {"Bucket": BUCKET}),
        ("s3", "list_objects_v2", {"Bucket": BUCKET, "Prefix": "cv"}),
        ("s3", "list_object_versions", {"Bucket": BUCKET}),
        ("s3", "delete_bucket", {"Bucket": BUCKET}),
        ("dynamodb", "get_item", RECORD),
        ("dynamodb", "delete_item", RECORD),
        ("dynamodb", "scan", {"TableName": TABLE}),
        ("dynamodb", "batch_get_item", {"RequestItems": {TABLE: {"Keys": [{"id": {"S": "1"}}]}}}),
        ("dynamodb", "put_item", {"TableName": TABLE, "Item": {"id": {"S": "2"}}}),
        ("dynamodb", "delete_table", {"TableName": TABLE}),
        ("dynamodb", "describe_table", {"TableName": "payroll"}),
        ("lambda", "invoke", {"FunctionName": "humangov-california-delete-file"}),
        ("lambda", "update_function_code", {"FunctionName": "payroll", "ZipFile": b""}),
        ("logs", "filter_log_events", {"logGroupName": "/aws/lambda/humangov-california-delete-file"}),
        ("logs", "delete_log_group", {"logGroupName": "/aws/lambda/payroll"}),
        ("iam", "create_role", {"RoleName": "admin", "AssumeRolePolicyDocument": LAMBDA_MAY}),
        (
            "iam",
            "create_role",
            {"RoleName": "humangov-x", "Path": "/humangov/", "AssumeRolePolicyDocument": LAMBDA_MAY},
        ),
        (
            "iam",
            "put_role_policy",
            {"RoleName": "humangov-operator", "PolicyName": "more", "PolicyDocument": EVERYTHING},
        ),
        ("iam", "get_role", {"RoleName": "humangov-operator"}),
        (
            "iam",
            "update_assume_role_policy",
            {"RoleName": "humangov-operator", "PolicyDocument": LAMBDA_MAY},
        ),
        ("iam", "create_policy_version", {"PolicyArn": BOUNDARY, "PolicyDocument": EVERYTHING, "SetAsDefault": True}),
        ("iam", "create_user", {"UserName": "me"}),
        ("iam", "create_access_key", {"UserName": "me"}),
        ("sts", "assume_role", {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/humangov/x", "RoleSessionName": "test"}),
    ],
)
def test_operator_is_denied_beyond_its_policy(
    operator: Principal, service: str, call: str, parameters: Mapping[str, Any]
) -> None:
    with pytest.raises(ClientError, match=r"AccessDenied|\(403\)"):
        getattr(operator.client(service), call)(**parameters)


# What it can: all that it does


class Enforced(Sdk):
    """The SDK with the operator's session in place of an account."""

    def __init__(self, who: Principal) -> None:
        super().__init__(who.endpoint_url)
        self._session = boto3.Session(
            aws_access_key_id=who.access_key, aws_secret_access_key=who.secret, aws_session_token=who.token,
            region_name=REGION,
        )  # fmt: skip

    @property
    def is_direct(self) -> bool:
        return False

    def enter(self, account: str) -> None:
        """The session's account is the only one."""


def as_far_as_judged(policy: iam.Policy) -> iam.Policy:
    """The operator's policy without what MiniStack cannot know, so that the rest of it is judged."""
    judged = json.loads(json.dumps(policy).replace("role/humangov/*", "role/humangov-california-delete-file-*"))
    left = set()
    for statement in judged["Statement"]:
        for operands in statement.get("Condition", {}).values():
            for key in NEVER_SENT & operands.keys():
                del operands[key]
            left |= operands.keys()
    assert left == {"iam:PassedToService", "aws:RequestedRegion", "aws:ResourceAccount", "s3:prefix"}
    judged["Statement"].append({"Effect": "Allow", "Action": RESOURCE_UNKNOWN, "Resource": "*"})
    return dict(judged)


@contextmanager
def role(root: Principal, name: str, *, policy: iam.Policy, boundary: str | None = None) -> Iterator[Principal]:
    """A session of a role with this policy."""
    client = root.client("iam")
    limit = {"PermissionsBoundary": boundary} if boundary else {}
    made = client.create_role(RoleName=name, Path="/humangov/", AssumeRolePolicyDocument=LAMBDA_MAY, **limit)["Role"]
    client.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(policy))
    answer = root.client("sts").assume_role(RoleArn=made["Arn"], RoleSessionName="test")
    yield root.session(answer["Credentials"])
    client.delete_role_policy(RoleName=name, PolicyName="all")
    client.delete_role(RoleName=name)


@pytest.fixture
def world(root: Principal, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An operator in California, under its policy."""
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")
    policy = as_far_as_judged(policies.filled(policies.OPERATOR, Partition="aws", Region=REGION, Account=ACCOUNT))
    with role(root, "operator", policy=policy) as who:
        world = World(sdk=Enforced(who), account=ACCOUNT, bundle=bundle())
        world.settings = replace(world.settings, permissions_boundary_arn=BOUNDARY)
        world.restart_operator()
        yield world


def test_operator_creates_corrects_and_deletes_a_tenant_under_its_policy(root: Principal, world: World) -> None:
    key = world.apply(world.manifest(tags={"team": "records"}))
    world.settle(key)
    assert world.ready(key).startswith("True"), world.ready(key)

    # What people undo by hand
    function, name = "humangov-california-delete-file", f"humangov-california-delete-file-{REGION}"
    root.client("lambda").update_function_configuration(FunctionName=function, Timeout=7)
    root.client("logs").put_retention_policy(logGroupName=f"/aws/lambda/{function}", retentionInDays=1)
    root.client("iam").delete_role_permissions_boundary(RoleName=name)
    root.client("iam").put_role_policy(RoleName=name, PolicyName="more", PolicyDocument=EVERYTHING)
    root.client("iam").untag_role(RoleName=name, TagKeys=["team"])
    world.line.forget()
    for _ in range(12):
        world.reconcile_once(key)
    assert {
        "lambda:UpdateFunctionConfiguration", "logs:PutRetentionPolicy", "iam:PutRolePermissionsBoundary",
        "iam:DeleteRolePolicy", "iam:TagRole",
    } <= set(world.line.writes())  # fmt: skip
    assert world.ready(key).startswith("True"), world.ready(key)
    role = root.client("iam").get_role(RoleName=name)["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY

    world.delete(key)
    world.settle(key, reconciliations=30)
    assert key not in world.kube.objects, world.ready(key)
    left = [role["RoleName"] for role in root.client("iam").list_roles()["Roles"]]
    assert sorted(left) == ["humangov-operator", "humangov-report", "humangov-sweep", "operator"]
    assert root.client("lambda").list_functions()["Functions"] == []


# What a role that it makes can do


@pytest.fixture(scope="module")
def boundary_of_code(root: Principal) -> str:
    """The boundary as AWS applies it to a call from a function's code: the statements for Lambda itself are not met."""
    boundary = policies.filled(policies.BOUNDARY, Partition="aws", Region=REGION, Account=ACCOUNT)
    statements = [dict(one) for one in iam.statements(boundary) if "Null" not in one.get("Condition", {})]
    for one in statements:
        conditions = {**one["Condition"]}
        assert conditions.pop("ArnLikeIfExists", None) or one["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
        one["Condition"] = conditions
    document = json.dumps({**boundary, "Statement": statements})
    made = root.client("iam").create_policy(PolicyName="boundary-of-code", PolicyDocument=document)
    return str(made["Policy"]["Arn"])


@pytest.fixture
def bounded(root: Principal, boundary_of_code: str) -> Iterator[Principal]:
    """The code of the worst function that the operator can make: granted everything, under the boundary."""
    with role(root, "humangov-worst", policy=json.loads(EVERYTHING), boundary=boundary_of_code) as who:
        yield who


@pytest.fixture
def unbounded(root: Principal) -> Iterator[Principal]:
    """The same role without the boundary."""
    with role(root, "humangov-worst", policy=json.loads(EVERYTHING)) as who:
        yield who


BEYOND: list[tuple[str, str, dict[str, Any]]] = [
    ("s3", "get_object", FILE),
    ("s3", "put_object", FILE),
    ("s3", "delete_object", {"Bucket": "payroll-files", "Key": "cv.pdf"}),
    ("s3", "list_objects_v2", {"Bucket": "payroll-files"}),
    ("s3", "put_bucket_versioning", {"Bucket": BUCKET, "VersioningConfiguration": {"Status": "Suspended"}}),
    ("dynamodb", "scan", {"TableName": TABLE}),
    ("dynamodb", "get_item", RECORD),
    ("dynamodb", "put_item", {"TableName": TABLE, "Item": {"id": {"S": "1"}, "pdf": {"S": "cv.pdf"}}}),
    ("dynamodb", "batch_get_item", {"RequestItems": {"payroll": {"Keys": [{"id": {"S": "1"}}]}}}),
    ("lambda", "list_functions", {}),
    ("logs", "create_log_group", {"logGroupName": "/aws/lambda/humangov-worst"}),
    ("iam", "list_users", {}),
    ("iam", "delete_role_permissions_boundary", {"RoleName": "humangov-worst"}),
    ("iam", "put_role_policy", {"RoleName": "humangov-operator", "PolicyName": "x", "PolicyDocument": EVERYTHING}),
]


@pytest.mark.parametrize(("service", "call", "parameters"), BEYOND)
def test_administrator_role_is_denied_beyond_the_boundary(
    bounded: Principal, service: str, call: str, parameters: Mapping[str, Any]
) -> None:
    assert refused(getattr(bounded.client(service), call), **parameters)


def test_code_of_a_function_lists_and_writes_no_invocation_record(bounded: Principal) -> None:
    s3 = bounded.client("s3")
    assert refused(s3.list_objects_v2, Bucket=BUCKET, Prefix="aws/lambda/")
    assert refused(s3.put_object, Bucket=BUCKET, Key="aws/lambda/uuid/shard/planted", Body=b"{}")


def test_code_of_a_function_within_the_boundary_can_erase_and_read(root: Principal, bounded: Principal) -> None:
    s3, dynamodb = bounded.client("s3"), bounded.client("dynamodb")
    s3.delete_object(Bucket=BUCKET, Key="other.pdf")
    left = root.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [found["Key"] for found in left] == ["cv.pdf"]
    answer = dynamodb.batch_get_item(RequestItems={TABLE: {"Keys": [{"id": {"S": "1"}}]}})
    assert answer["Responses"][TABLE][0]["pdf"] == {"S": "cv.pdf"}


def test_administrator_role_without_the_boundary_is_not_denied(unbounded: Principal) -> None:
    refusals = [
        (service, call)
        for service, call, parameters in BEYOND
        if call
        not in ("put_item", "put_object", "delete_object", "put_role_policy")  # what would change the others' data
        and refused(getattr(unbounded.client(service), call), **parameters)
    ]
    assert refusals == []
