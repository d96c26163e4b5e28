"""Tenants in AWS accounts of their own: as whom the operator works, for how long, and that nobody works as another.

On MiniStack, which hands out credentials of the role's account; it asks no trust, and its roles last as long as we say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from humangov.api.spec import Tenant, parse
from humangov.aws.clients import Called, Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.aws.sessions import REGIONS_AT_ONCE, ROLES_AT_ONCE, Directory

from sandbox.handle import Sandbox
from testing import samples
from testing.reconciler.sdk import REGION, Sdk
from testing.reconciler.world import World

OWN = "111111111111"
ROLE = "arn:aws:iam::{}:role/humangov-tenant-california"


@pytest.fixture(scope="module")
def sdk(sandbox: Sandbox) -> Iterator[Sdk]:
    """These clients go the SDK's whole way, to the emulated AWS's server."""
    if sandbox.aws != "emulator" or sandbox.aws_endpoint_url is None:
        pytest.skip("these tests make accounts of the emulated AWS")
    made = Sdk(sandbox.aws_endpoint_url)
    yield made
    made.close()


class Wire:
    """What the SDK's clients of this process ask, and what AssumeRole answers them."""

    def __init__(self) -> None:
        self.taken_on: list[Mapping[str, Any]] = []
        self.lasts = timedelta(hours=1)
        self.refuses: ClientError | None = None

    def __call__(self, ask: Any, client: BaseClient, operation: str, parameters: Mapping[str, Any]) -> Any:
        if operation != "AssumeRole":
            return ask(client, operation, parameters)
        self.taken_on.append(parameters)
        if self.refuses:
            raise self.refuses
        answer = ask(client, operation, parameters)
        answer["Credentials"]["Expiration"] = datetime.now(UTC) + self.lasts
        return answer


@pytest.fixture
def wire(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    for name, value in (("AWS_ACCESS_KEY_ID", OWN), ("AWS_SECRET_ACCESS_KEY", "test"),
                        ("AWS_ENDPOINT_URL", world.sdk.endpoint_url)):  # fmt: skip
        monkeypatch.setenv(name, value)
    wire, ask = Wire(), BaseClient._make_api_call
    monkeypatch.setattr(
        BaseClient, "_make_api_call", lambda client, operation, parameters: wire(ask, client, operation, parameters)
    )
    yield wire
    for asked in wire.taken_on:
        world.sdk.evidence.note(
            "sts:AssumeRole", target=asked["RoleArn"], parameters={"Resource": asked["RoleArn"]},
            account=world.account, region=REGION, client=world.sdk.client,
        )  # fmt: skip


def tenant(world: World, name: str = "california", *, external_id: str | None = "e-1", **account: Any) -> Tenant:
    spec: dict[str, Any] = {"roleARN": ROLE.format(world.account)}
    spec |= {"externalID": external_id} if external_id else {}
    resource = world.kube.objects[world.apply(world.manifest(name, account={**spec, **account}))]
    return parse(resource, default_region=REGION)


def known(*tenants: Tenant) -> Any:
    return lambda: [one.key for one in tenants]


def account_of(clients: Clients) -> str:
    return clients.identity(cluster="test").account_id


def test_tenant_resources_are_created_in_the_account_of_its_role_and_none_in_the_operators(
    world: World, wire: Wire
) -> None:
    world.make_table()
    world.make_bucket()
    directory = Directory(Clients)
    world.process.operator = replace(world.operator, clients_for=directory.of_tenant)
    key = world.apply(world.manifest(account={"roleARN": ROLE.format(world.account), "externalID": "california-7f3a"}))
    world.settle(key, reconciliations=200)  # these clients see the emulator's Pending, half a second long
    assert world.ready(key).startswith("True")
    assert world.status(key)["aws"]["accountID"] == world.account
    function = world.sdk.client("lambda").get_function(FunctionName="humangov-california-delete-file")
    assert function["Configuration"]["Role"].startswith(f"arn:aws:iam::{world.account}:role/humangov/")
    own = boto3.Session(aws_access_key_id=OWN, aws_secret_access_key="test", region_name=REGION)
    assert own.client("lambda", endpoint_url=world.sdk.endpoint_url).list_functions()["Functions"] == []
    # One hour's credentials do for all reconciliations, whatever their number.
    [asked] = wire.taken_on
    assert asked["ExternalId"] == "california-7f3a"
    assert asked["RoleSessionName"] == "humangov-humangov-california"
    world.delete(key)
    world.settle(key, reconciliations=200)
    assert world.remains() == []


def test_two_tenants_never_share_a_session_even_with_the_same_role(world: World, wire: Wire) -> None:
    one, other = tenant(world), tenant(world, "nevada", external_id="e-2")
    directory = Directory(Clients, known=known(one, other))
    assert directory.of_tenant(one) is directory.of_tenant(one)
    assert directory.of_tenant(one) is not directory.of_tenant(other)
    assert account_of(directory.of_tenant(one)) == account_of(directory.of_tenant(other)) == world.account
    assert [asked["ExternalId"] for asked in wire.taken_on] == ["e-1", "e-2"]
    keys = [
        directory.of_tenant(of)._session.get_credentials().get_frozen_credentials().access_key for of in (one, other)
    ]
    assert len(set(keys)) == 2


def test_re_created_tenant_with_another_external_id_gets_a_new_session(world: World, wire: Wire) -> None:
    directory = Directory(Clients)
    account_of(directory.of_tenant(tenant(world)))
    account_of(directory.of_tenant(tenant(world, external_id=None)))
    assert [asked.get("ExternalId") for asked in wire.taken_on] == ["e-1", None]


def test_tenants_without_a_role_share_the_operators_own_identity(world: World, wire: Wire) -> None:
    directory = Directory(Clients)
    resources = [world.kube.objects[world.apply(world.manifest(name))] for name in ("california", "nevada")]
    one, other = (directory.of_tenant(parse(resource, default_region=REGION)) for resource in resources)
    assert one is other is directory.of_region(REGION)
    assert account_of(one) == OWN
    assert wire.taken_on == []


def test_sessions_of_deleted_tenants_are_dropped(world: World, wire: Wire) -> None:
    there = [tenant(world), tenant(world, "nevada")]
    directory = Directory(Clients, known=lambda: [one.key for one in there])
    for one in there:
        directory.of_tenant(one)
    there[:] = [tenant(world, "utah")]
    directory.of_tenant(there[0])
    assert set(directory._of_tenant) == {"humangov/utah"}


def test_sessions_are_bounded_and_those_that_were_used_last_stay() -> None:
    """Of a region 8 to 19 MiB, and whoever may edit HumanGovStates can name regions that exist nowhere."""
    made: list[str] = []

    def make(*, region: str, **_: Any) -> Clients:
        made.append(region)
        return Clients(region=region)

    directory = Directory(make, known=lambda: several)
    several = [f"humangov/s{number}" for number in range(3 * ROLES_AT_ONCE)]
    own = directory.of_region(REGION)
    for number in range(3 * REGIONS_AT_ONCE):
        directory.of_region(f"us-evil-{number}")
        assert directory.of_region(REGION) is own
    assert len(directory._of_region) == REGIONS_AT_ONCE

    tenants = [
        parse(
            samples.resource(key.split("/")[1], account={"roleARN": ROLE.format("222222222222")}), default_region=REGION
        )
        for key in several
    ]
    for one in tenants:
        directory.of_tenant(one)
    assert len(directory._of_tenant) == ROLES_AT_ONCE
    made.clear()
    directory.of_tenant(tenants[-1])
    assert made == []
    directory.of_tenant(tenants[0])
    assert made == [REGION]


def test_credentials_are_renewed_before_they_expire(world: World, wire: Wire) -> None:
    wire.lasts = timedelta(minutes=5)  # the SDK renews what lasts less than ten, before the call
    clients = Directory(Clients).of_tenant(tenant(world))
    for _ in range(3):
        clients.call("iam:GetRole", target="x", RoleName=made_role(world))
    assert len(wire.taken_on) >= 3
    wire.lasts = timedelta(hours=1)
    clients.call("iam:GetRole", target="x", RoleName="there")
    renewed = len(wire.taken_on)
    for _ in range(3):
        clients.call("iam:GetRole", target="x", RoleName="there")
    assert len(wire.taken_on) == renewed


def made_role(world: World) -> str:
    iam = world.sdk.client("iam")
    if "there" not in {role["RoleName"] for role in iam.list_roles()["Roles"]}:
        iam.create_role(RoleName="there", AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    return "there"


def test_role_that_does_not_trust_the_operator_is_reported_with_its_arn_and_the_remedy(
    world: World, wire: Wire
) -> None:
    role = ROLE.format(world.account)
    text = (
        f"User: arn:aws:sts::{OWN}:assumed-role/humangov-operator/x is not authorized to perform: sts:AssumeRole "
        f"on resource: {role}"
    )
    wire.refuses = ClientError({"Error": {"Code": "AccessDenied", "Message": text}}, "AssumeRole")
    counted: list[Called] = []
    clients = Directory(partial(Clients, called=counted.append)).of_tenant(tenant(world))
    with pytest.raises(AwsError) as refused:
        clients.call("lambda:GetFunction", target="a-function", FunctionName="a-function")
    assert (refused.value.action, refused.value.target) == ("sts:AssumeRole", role)
    assert [(one.service, one.operation, one.code) for one in counted] == [("sts", "AssumeRole", "AccessDenied")]
    reported = finding_of_error(refused.value)
    assert (reported.reason, reported.stalled) == ("AccessDenied", True)
    assert f"denies the operator sts:AssumeRole on {role}" in reported.message
    assert "trust policy" in reported.message
    assert "spec.account.externalID" in reported.message
    # And it goes on by itself.
    wire.refuses = None
    assert account_of(clients) == world.account


def test_role_in_another_account_than_before_stops_reconciliation_before_the_first_write(
    world: World, wire: Wire
) -> None:
    key = world.provisioned()
    world.kube.objects[key]["spec"]["account"] = {"roleARN": ROLE.format("222222222222")}
    world.kube.objects[key]["metadata"]["generation"] += 1
    world.process.operator = replace(world.operator, clients_for=Directory(Clients).of_tenant)
    world.reconcile_once(key)
    assert world.ready(key).startswith("False IdentityChanged"), world.ready(key)
    assert [call for call in world.line.calls if call.writes and not call.action.startswith("kube:")] == []
    elsewhere = boto3.Session(aws_access_key_id="222222222222", aws_secret_access_key="test", region_name=REGION)
    assert elsewhere.client("lambda", endpoint_url=world.sdk.endpoint_url).list_functions()["Functions"] == []


@pytest.mark.parametrize(("service", "host"), [
    ("lambda", "lambda-fips.us-gov-west-1.amazonaws.com"), ("dynamodb", "dynamodb-fips.us-gov-west-1.amazonaws.com"),
    ("iam", "iam.us-gov.amazonaws.com"), ("logs", "logs.us-gov-west-1.amazonaws.com"),
    ("s3", "s3-fips.us-gov-west-1.amazonaws.com"), ("sts", "sts.us-gov-west-1.amazonaws.com"),
])  # fmt: skip
def test_fips_endpoints_are_used_when_the_environment_requires_them(
    service: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which host is FIPS in which region is the SDK's knowledge (its endpoint rules), not ours."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OWN)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = Clients(region="us-gov-west-1")._client(service, writes=False)
    assert client.meta.endpoint_url == f"https://{host}"
