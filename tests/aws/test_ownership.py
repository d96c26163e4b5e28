"""Unowned resources are unchanged: those under the operator's names without ownership tag, or with another owner's.

Runs on MiniStack. That nothing is written is read from the record of all calls, and from AWS's state before and after.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames, Patterns
from humangov.aws.clients import Clients
from humangov.reconcile.outcome import Outcome

from testing.reconciler import snapshot
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import denied, error
from testing.reconciler.world import CLUSTER, World

NAME = "humangov-california-delete-file"
ROLE = f"{NAME}-us-east-1"
GROUP = f"/aws/lambda/{NAME}"
TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
})  # fmt: skip
OWNERS = [None, "other-cluster/humangov/california", f"{CLUSTER}/humangov/california-2"]


def tags(owner: str | None) -> dict[str, str]:
    return {"humangov.io/tenant": owner} if owner else {"team": "theirs"}


def make_role(world: World, owner: str | None) -> None:
    world.sdk.client("iam").create_role(
        RoleName=ROLE, AssumeRolePolicyDocument=TRUST,
        Tags=[{"Key": key, "Value": value} for key, value in tags(owner).items()],
    )  # fmt: skip


def make_function(world: World, owner: str | None) -> None:
    world.sdk.client("lambda").create_function(
        FunctionName=NAME, Runtime="python3.13", Role=f"arn:aws:iam::{world.account}:role/x", Handler="a.b",
        Code={"ZipFile": world.bundle.zip}, Tags=tags(owner),
    )  # fmt: skip


def make_log_group(world: World, owner: str | None) -> None:
    world.sdk.client("logs").create_log_group(logGroupName=GROUP, tags=tags(owner))


OBJECTS = [make_role, make_function, make_log_group]


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("make", OBJECTS)
def test_unowned_resource_stalls_the_tenant_without_any_write(
    world: World, make: Callable[[World, str | None], None], owner: str | None
) -> None:
    world.make_table()
    world.make_bucket()
    make(world, owner)
    before = snapshot.snapshot(world)
    key = world.apply()
    for _ in range(3):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False NotOwned")
    assert world.condition(key, "Stalled")["status"] == "True"
    assert (owner or "no humangov.io/tenant tag") in world.ready(key)
    assert world.line.writes() == []
    assert snapshot.snapshot(world) == before
    assert world.event_reasons() == ["NotOwned"]


@pytest.mark.parametrize("owner", OWNERS[:2])
@pytest.mark.parametrize("make", OBJECTS)
def test_deletion_changes_no_unowned_resource(
    world: World, make: Callable[[World, str | None], None], owner: str | None
) -> None:
    world.make_table()
    world.make_bucket()
    make(world, owner)
    before = snapshot.snapshot(world)
    key = world.apply()
    world.reconcile_once(key)
    # As if it had been provisioned by an earlier life: the identity is there.
    status = {**world.status(key), "aws": {"accountID": world.account, "region": "us-east-1", "cluster": CLUSTER}}
    world.kube.edit(key, lambda resource: resource.update(status=status))
    world.delete(key)
    world.settle(key)
    assert key not in world.kube.objects
    assert snapshot.snapshot(world) == before


@pytest.mark.parametrize("make", OBJECTS)
def test_resource_without_its_ownership_tag_is_no_longer_owned(
    world: World, make: Callable[[World, str | None], None]
) -> None:
    key = world.provisioned()
    mark = "humangov.io/tenant"
    if make is make_role:
        world.sdk.client("iam").untag_role(RoleName=ROLE, TagKeys=[mark])
    elif make is make_function:
        arn = f"arn:aws:lambda:us-east-1:{world.account}:function:{NAME}"
        world.sdk.client("lambda").untag_resource(Resource=arn, TagKeys=[mark])
    else:
        arn = f"arn:aws:logs:us-east-1:{world.account}:log-group:{GROUP}"
        world.sdk.client("logs").untag_resource(resourceArn=arn, tagKeys=[mark])
    before = snapshot.snapshot(world)
    for _ in range(6):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False NotOwned")
    assert snapshot.snapshot(world) == before
    assert world.line.writes() == []


def test_replaced_log_group_of_another_owner_is_recognized_before_its_retention_is_changed(
    world: World,
) -> None:
    key = world.provisioned()
    world.sdk.client("logs").delete_log_group(logGroupName=GROUP)
    make_log_group(world, None)
    world.reconcile_once(key)
    assert world.ready(key).startswith("False NotOwned")
    assert world.line.writes() == []


def test_tags_unavailable_from_lambda_are_unknown_and_not_absent(world: World) -> None:
    key = world.provisioned()
    world.restart_operator()

    def without_tags(answer: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in answer.items() if name != "Tags"}
        return kept | {"TagsError": {"ErrorCode": "AccessDenied", "Message": "no"}}

    configured = world.sdk.client("lambda").update_function_configuration(FunctionName=NAME, Timeout=3)
    assert configured["Timeout"] == 3
    world.line.faults = [Fault(on("lambda:GetFunction"), alter=without_tags)]
    for _ in range(3):
        outcome = world.reconcile_once(key)
    assert outcome.failed
    assert "NotOwned" not in world.ready(key)
    assert world.line.writes() == []
    world.delete(key)
    for _ in range(3):
        world.reconcile_once(key)
    assert "lambda:DeleteFunction" not in world.line.writes()
    assert "humangov.io/cleanup" in world.kube.objects[key]["metadata"]["finalizers"]
    world.line.faults = []
    world.settle(key)
    assert world.remains() == []


@pytest.mark.parametrize("action", ["logs:ListTagsForResource", "lambda:ListTags", "dynamodb:ListTagsOfResource"])
def test_denied_tag_read_is_never_taken_as_absence(world: World, action: str) -> None:
    key = world.provisioned()
    world.restart_operator()
    world.line.faults = [Fault(on(action), error=denied(action))]
    for _ in range(3):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False AccessDenied")
    assert action in world.ready(key)
    assert world.line.writes() == []
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True")


def test_disabling_does_not_change_the_trigger_of_an_unowned_function(world: World) -> None:
    world.make_table(view_type="NEW_AND_OLD_IMAGES")
    world.make_bucket()
    make_function(world, None)
    [table] = snapshot.tables(world)
    world.sdk.client("lambda").create_event_source_mapping(
        FunctionName=NAME, EventSourceArn=table["arn"], StartingPosition="LATEST"
    )
    before = snapshot.snapshot(world)
    key = world.apply(world.manifest(trigger={"enabled": False}))
    for _ in range(3):
        world.reconcile_once(key)
    assert world.line.writes() == []
    assert snapshot.snapshot(world) == before
    assert world.ready(key).startswith("False NotOwned")


def test_disabling_for_an_unreadable_function_disables_only_owned_triggers(world: World) -> None:
    key = world.provisioned()
    world.kube.edit(key, lambda resource: resource["spec"].update(trigger={"enabled": False}))
    world.line.faults = [Fault(on("lambda:GetFunction"), error=denied("lambda:GetFunction"))]
    world.reconcile_once(key)
    assert snapshot.mappings(world)[0]["State"] == "Disabled"
    assert world.line.writes() == ["lambda:UpdateEventSourceMapping"]


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ({"cluster": "another"}, "cluster was test-cluster and is now another"),
        ({"account": "999999999999"}, "accountID was"),
        ({"region": "eu-west-1"}, "region was us-east-1 and is now eu-west-1"),
    ],
)
def test_changed_identity_stalls_without_any_write(world: World, change: dict[str, str], reported: str) -> None:
    key = world.provisioned()
    before = snapshot.snapshot(world)
    if "cluster" in change:
        world.cluster = change["cluster"]
    if "account" in change:
        world.sdk.enter(change["account"])
    if "region" in change:
        world.settings = replace(world.settings, region=change["region"])
    world.restart_operator()
    for _ in range(2):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False IdentityChanged")
    assert reported in world.ready(key)
    assert world.line.reads() == ["sts:GetCallerIdentity"]
    assert world.line.writes() == []
    world.delete(key)
    world.reconcile_once(key)
    assert world.line.writes() == []
    assert key in world.kube.objects, "the finalizer stays"
    world.sdk.enter(world.account)
    assert snapshot.snapshot(world) == before
    world.kube.edit(key, lambda resource: resource["spec"].update(deletionPolicy="Retain"))
    world.settle(key)
    assert key not in world.kube.objects
    assert snapshot.functions(world) != []


def test_account_of_the_credentials_is_asked_for_at_the_start_and_again_after_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, accounts = [0.0], iter(["111111111111", "222222222222"])
    clients = Clients(region="us-east-1", clock=lambda: now[0])
    monkeypatch.setattr(clients, "call", lambda *_, **__: {"Account": next(accounts)})
    found = []
    for seconds in (0.0, 3599.0, 3600.0):
        now[0] = seconds
        found.append(clients.identity(cluster="c").account_id)
    assert found == ["111111111111", "111111111111", "222222222222"]


def test_tenant_with_a_bucket_outside_its_allowed_names_makes_no_aws_call(world: World) -> None:
    world.settings = replace(
        world.settings,
        allowed=AllowedNames({"humangov": Patterns(tables=("humangov-california-*",), buckets=("florida-*",))}),
    )
    world.restart_operator()
    key = world.apply()
    outcome = world.reconcile_once(key)
    assert outcome == Outcome(failed=True, soon=False)
    assert world.ready(key).startswith("False NotAllowed")
    assert world.line.reads() + world.line.writes() == []
    assert world.kube.objects[key]["metadata"]["finalizers"] == []
    world.delete(key)
    assert key not in world.kube.objects


def test_younger_of_two_tenants_with_one_table_waits_until_the_older_is_deleted(world: World) -> None:
    world.make_table()
    world.make_bucket()
    older = world.apply(age_seconds=100)
    world.settle(older)
    table = {"name": "humangov-california-dynamodb"}
    younger = world.kube.apply(world.manifest("copy", table=table), created=world.clock.now())
    before = snapshot.snapshot(world)
    world.reconcile_once(younger)
    assert world.ready(younger).startswith("False Conflict")
    assert "humangov/california" in world.ready(younger)
    assert snapshot.snapshot(world) == before
    world.delete(older)
    world.settle(older)
    world.settle(younger)
    assert world.ready(younger).startswith("True")


def test_role_created_concurrently_by_another_owner_is_not_written(world: World) -> None:
    """GetRole said "absent", CreateRole says "exists": nothing is put on what somebody else made meanwhile."""
    world.make_table()
    world.make_bucket()
    key = world.apply()
    make_role(world, None)
    gone = error("NoSuchEntity", f"The role with name {ROLE} cannot be found.", status=404)
    world.line.faults = [Fault(on("iam:GetRole"), error=gone, times=1)]
    world.reconcile_once(key)
    assert "iam:PutRolePolicy" not in world.line.writes()
    world.reconcile_once(key)
    assert world.ready(key).startswith("False NotOwned")
    [role] = snapshot.roles(world)
    assert role["inline"] == {}


def test_log_group_created_concurrently_by_another_owner_is_not_written(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    make_log_group(world, None)
    world.line.faults = [Fault(on("logs:DescribeLogGroups"), alter=lambda _: {"logGroups": []}, times=1)]
    world.reconcile_once(key)
    assert "logs:PutRetentionPolicy" not in world.line.writes()
    world.reconcile_once(key)
    assert world.ready(key).startswith("False NotOwned")


def test_resource_whose_name_only_shares_a_prefix_is_not_owned(world: World) -> None:
    """DescribeLogGroups filters by prefix."""
    logs = world.sdk.client("logs")
    logs.create_log_group(logGroupName=f"{GROUP}-2", tags={"team": "theirs"})
    key = world.provisioned()
    assert [group["name"] for group in snapshot.log_groups(world)] == [GROUP, f"{GROUP}-2"]
    assert snapshot.log_groups(world)[1]["retention"] is None
    logs.delete_log_group(logGroupName=GROUP)
    world.reconcile_once(key)
    assert [group["name"] for group in snapshot.log_groups(world)] == [GROUP, f"{GROUP}-2"]
    world.delete(key)
    world.settle(key)
    assert snapshot.log_groups(world) == [
        {"name": f"{GROUP}-2", "retention": None, "key": None, "tags": {"team": "theirs"}}
    ]


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("was_absent", [True, False])
@pytest.mark.parametrize("during", ["lambda:ListEventSourceMappings", "dynamodb:UpdateTable"])
def test_unowned_function_created_during_the_deletion_is_kept(
    world: World, during: str, was_absent: bool, owner: str | None
) -> None:
    """The first read of a deletion may be minutes old when it comes to delete the function."""
    key = world.provisioned()
    client = world.sdk.client("lambda")

    def replaced(answer: Any) -> Any:
        if not was_absent:
            client.delete_function(FunctionName=NAME)
        make_function(world, owner)
        return answer

    if was_absent:
        client.delete_function(FunctionName=NAME)
    world.clock.forward(3600)
    world.delete(key)
    world.line.faults = [Fault(on(during), alter=replaced, times=1)]
    world.settle(key)
    assert key not in world.kube.objects
    assert "lambda:DeleteFunction" not in world.line.writes()
    assert [one["name"] for one in snapshot.functions(world)] == [NAME]
    assert f"retained: function {NAME}" in world.kube.events[-1].message
