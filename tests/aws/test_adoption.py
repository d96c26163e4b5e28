"""spec.adoption: IfUntagged: what the hand-made walkthrough leaves in an account is taken over, and nothing else is.

Runs on MiniStack. The walkthrough: a function HumanGovDeleteFile with a role of full access, a trigger from LATEST, a
stream turned on by hand, and the log group that Lambda made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from humangov.api.names import OWNER_TAG

from testing.reconciler import snapshot
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import REGION, error
from testing.reconciler.walkthrough import (
    FULL_ACCESS,
    FUNCTION,
    GROUP,
    OWNER,
    TRUST,
    adopting_manifest,
    mapping_of,
    set_up_by_hand,
    stream_arn,
)
from testing.reconciler.world import World


def test_adoption_takes_ownership_of_the_walkthroughs_function_and_trigger_and_corrects_drift(world: World) -> None:
    uuid = set_up_by_hand(world)
    before = stream_arn(world)
    key = world.apply(adopting_manifest(world))
    world.settle(key, reconciliations=30)
    assert world.ready(key).startswith("True"), world.ready(key)
    lambda_ = world.sdk.client("lambda")
    found = lambda_.get_function(FunctionName=FUNCTION)
    assert found["Configuration"]["CodeSha256"] == world.bundle.code_sha256
    assert found["Tags"][OWNER_TAG] == OWNER
    assert found["Configuration"]["Role"] == f"arn:aws:iam::{world.account}:role/humangov/{FUNCTION}-{REGION}"
    # The same trigger goes on from where it is: nothing that it was about to see is lost or seen twice.
    [mapping] = lambda_.list_event_source_mappings(FunctionName=FUNCTION)["EventSourceMappings"]
    assert mapping["UUID"] == uuid
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert stream_arn(world) == before
    # Its old role is told of, and left alone.
    role = f"arn:aws:iam::{world.account}:role/HumanGovLambdaRole"
    assert role in world.condition(key, "FunctionReady")["message"]
    attached = world.sdk.client("iam").list_attached_role_policies(RoleName="HumanGovLambdaRole")["AttachedPolicies"]
    assert [one["PolicyArn"] for one in attached] == [FULL_ACCESS]
    reported = [event for event in world.kube.events if event.reason == "Adopted"]
    assert {one.kind for one in reported} == {"Normal"}
    assert any(FUNCTION in one.message and role in one.message for one in reported)
    # Settled, and no surprise to the next life.
    world.restart_operator()
    world.reconcile_once(key)
    assert world.line.writes() + world.line.kube_writes() == []


def test_adoption_writes_the_ownership_tag_first(world: World) -> None:
    set_up_by_hand(world)
    world.settle(world.apply(adopting_manifest(world)), reconciliations=30)
    writes = [
        call.action for call in world.line.calls
        if call.writes and FUNCTION in json.dumps(call.parameters, default=str) and call.action.startswith("lambda:")
    ]  # fmt: skip
    assert writes[0] == "lambda:TagResource"


def test_untagged_resource_without_adoption_is_not_changed_and_the_message_says_how_to_adopt_it(world: World) -> None:
    set_up_by_hand(world)
    before = snapshot.snapshot(world)
    key = world.apply(adopting_manifest(world, adoption="Never"))
    world.reconcile_once(key)
    world.reconcile_once(key)
    assert world.ready(key).startswith("False NotOwned")
    assert "spec.adoption: IfUntagged" in world.ready(key)
    assert snapshot.snapshot(world) == before


def of_another(world: World) -> None:
    arn = f"arn:aws:lambda:{REGION}:{world.account}:function:{FUNCTION}"
    world.sdk.client("lambda").tag_resource(Resource=arn, Tags={OWNER_TAG: "other-cluster/humangov/california"})


def log_of_another(world: World) -> None:
    arn = f"arn:aws:logs:{REGION}:{world.account}:log-group:{GROUP}"
    world.sdk.client("logs").tag_resource(resourceArn=arn, tags={OWNER_TAG: "other-cluster/humangov/california"})


def role_elsewhere(world: World) -> None:
    world.sdk.client("iam").create_role(RoleName=f"{FUNCTION}-{REGION}", AssumeRolePolicyDocument=TRUST)


def second_source(world: World) -> None:
    world.make_table("payroll", view_type="NEW_AND_OLD_IMAGES")
    mapping_of(world, stream_arn(world, "payroll"))


@pytest.mark.parametrize(("spoil", "reported"), [
    (of_another, "is owned by other-cluster/humangov/california"),
    (log_of_another, "is owned by other-cluster/humangov/california"),
    (role_elsewhere, "exists with path /"),
    (second_source, "also invokes it"),
])  # fmt: skip
def test_adoption_refuses_a_resource_that_another_tenant_owns_or_uses_and_writes_nothing(
    world: World, spoil: Callable[[World], None], reported: str
) -> None:
    set_up_by_hand(world)
    spoil(world)
    before = snapshot.snapshot(world)
    key = world.apply(adopting_manifest(world))
    for _ in range(3):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False NotOwned"), world.ready(key)
    assert reported in world.ready(key)
    assert snapshot.snapshot(world) == before
    assert world.line.writes() == []


def test_adoption_refuses_a_container_image_function(world: World) -> None:
    set_up_by_hand(world)

    def as_image(answer: Any) -> Any:
        return {**answer, "Configuration": {**answer["Configuration"], "PackageType": "Image"}}

    world.line.faults = [Fault(on("lambda:GetFunction"), alter=as_image)]
    key = world.apply(adopting_manifest(world))
    for _ in range(2):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False NotOwned")
    assert "container image" in world.ready(key)
    assert [call for call in world.line.writes() if call.startswith("lambda:")] == []


@pytest.mark.parametrize("unread", ["lambda:ListEventSourceMappings", "logs:ListTagsForResource", "iam:GetRole"])
def test_adoption_waits_while_an_ownership_read_fails(world: World, unread: str) -> None:
    set_up_by_hand(world)
    before = snapshot.snapshot(world)
    world.line.faults = [Fault(on(unread), error=error("InternalFailure", "", status=500))]
    key = world.apply(adopting_manifest(world))
    for _ in range(3):
        world.reconcile_once(key)
    after = snapshot.snapshot(world)
    spared = {
        "lambda:ListEventSourceMappings": "functions",
        "logs:ListTagsForResource": "log groups",
        "iam:GetRole": "roles",
    }
    assert after[spared[unread]] == before[spared[unread]]


def test_re_created_state_adopts_its_released_resources(world: World) -> None:
    key = world.provisioned(deletionPolicy="Retain")
    before = snapshot.snapshot(world)
    world.delete(key)
    world.settle(key)
    again = world.apply(world.manifest(adoption="IfUntagged"))
    world.settle(again, reconciliations=30)
    assert world.ready(again).startswith("True"), world.ready(again)
    after = snapshot.snapshot(world)
    assert after["mappings"] == before["mappings"]
    assert after["functions"] == before["functions"]
    assert after["roles"] == before["roles"]
    assert after["log groups"] == before["log groups"]
    world.delete(again)
    world.settle(again, reconciliations=30)
    # Without the ownership tag the stream has no owner, and it may have other readers: it stays, and this is reported.
    assert world.remains() == ["stream"]
    assert "stream" in world.kube.events[-1].message


def test_released_resources_without_adoption_have_no_owner(world: World) -> None:
    key = world.provisioned(deletionPolicy="Retain")
    world.delete(key)
    world.settle(key)
    again = world.apply()
    world.reconcile_once(again)
    world.reconcile_once(again)
    assert world.ready(again).startswith("False NotOwned")


def test_deletion_removes_adopted_resources_but_not_the_former_role_or_a_foreign_stream(world: World) -> None:
    set_up_by_hand(world)
    key = world.apply(adopting_manifest(world))
    world.settle(key, reconciliations=30)
    world.delete(key)
    world.settle(key, reconciliations=30)
    found = snapshot.snapshot(world)
    assert found["functions"] == found["mappings"] == found["log groups"] == []
    assert [role["name"] for role in found["roles"]] == ["HumanGovLambdaRole"]
    assert stream_arn(world)
