"""spec.adoption: IfUntagged: what the hand-made walkthrough leaves in an account is taken over, and nothing else is.

Runs on MiniStack. The walkthrough: a function HumanGovDeleteFile with a role of full access, a trigger from LATEST, a
stream turned on by hand, and the log group that Lambda made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames
from humangov.api.names import ORIGIN_TAG, OWNER_TAG

from testing.reconciler import snapshot
from testing.reconciler.drifts import NAME, OTHER_CODE, group_arn
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


ANYTHING: Any = {
    "tables": ["*"], "buckets": ["*"], "functions": ["*"], "failuresBuckets": ["*"], "adoption": True,
}  # fmt: skip


@pytest.mark.parametrize("retained", [{"logs": {"onDelete": "Retain"}}, {"deletionPolicy": "Retain"}])
@pytest.mark.parametrize("untagged_by_hand", [False, True])
def test_another_namespace_adopts_nothing_that_a_tenant_has_retained(
    world: World, retained: dict[str, Any], untagged_by_hand: bool
) -> None:
    """Neither receipts nor a function and its role: florida would cut their retention, and delete them with its own."""
    world.settings = replace(
        world.settings, allowed=AllowedNames.parse({"humangov": ANYTHING, "florida": ANYTHING})
    )  # fmt: skip
    world.restart_operator()
    key = world.provisioned(**retained)
    if untagged_by_hand:
        world.sdk.client("logs").untag_resource(resourceArn=group_arn(world), tagKeys=[OWNER_TAG])
    world.delete(key)
    world.settle(key)
    before = snapshot.snapshot(world)
    assert before["log groups"]

    world.make_table("humangov-florida-dynamodb")
    files = f"{world.bucket}-fl"
    taking = world.manifest(
        "florida", function={"name": NAME}, adoption="IfUntagged", logs={"retentionDays": 1}, bucket={"name": files}
    )
    taking["metadata"]["namespace"] = "florida"
    world.sdk.client("s3").create_bucket(Bucket=files)
    florida = world.apply(taking)
    for _ in range(4):
        world.reconcile_once(florida)
    assert world.ready(florida).startswith("False NotOwned"), world.ready(florida)
    assert "was retained by a HumanGovState of another namespace" in world.ready(florida)
    assert ORIGIN_TAG in world.ready(florida)
    world.clock.forward(100)
    world.delete(florida)
    world.settle(florida, reconciliations=30)
    after = snapshot.snapshot(world)
    for kind in ("log groups", *(("functions", "roles") if "deletionPolicy" in retained else ())):
        assert after[kind] == before[kind], kind


@pytest.mark.parametrize("adoption", ["IfUntagged", "Never"])
def test_namespace_adopts_and_deletes_no_function_of_others_in_the_account(world: World, adoption: str) -> None:
    """An unrelated function, without a tag, that nobody's HumanGovState names: florida adopted and deleted it."""
    awslambda = world.sdk.client("lambda")
    role = world.sdk.client("iam").create_role(RoleName="api", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    awslambda.create_function(
        FunctionName="humangov-api", Runtime="python3.13", Role=role, Handler="api.handle",
        Code={"ZipFile": OTHER_CODE}, Environment={"Variables": {"DB": "theirs"}},
    )  # fmt: skip
    before = snapshot.snapshot(world)["functions"]
    own = {"tables": ["humangov-florida-*"], "buckets": ["humangov-california-s3-*"]}
    world.settings = replace(world.settings, allowed=AllowedNames.parse({"florida": own}))
    world.restart_operator()
    world.make_table("humangov-florida-dynamodb")
    world.make_bucket()
    taking = world.manifest("florida", function={"name": "humangov-api"}, adoption=adoption)
    taking["metadata"]["namespace"] = "florida"
    florida = world.apply(taking)
    for _ in range(4):
        world.reconcile_once(florida)
    assert world.ready(florida).startswith("False NotAllowed"), world.ready(florida)
    world.delete(florida)
    world.settle(florida, reconciliations=30)
    assert florida not in world.kube.objects
    assert before
    assert snapshot.snapshot(world)["functions"] == before


def test_resource_from_before_the_origin_tag_gets_it_once(world: World) -> None:
    """Of an operator that did not set the tag yet."""
    key = world.provisioned()
    world.sdk.client("logs").untag_resource(resourceArn=group_arn(world), tagKeys=[ORIGIN_TAG])
    world.restart_operator()
    world.settle(key)
    assert world.line.writes() == ["logs:TagResource"]
    assert snapshot.log_groups(world)[0]["tags"][ORIGIN_TAG] == snapshot.log_groups(world)[0]["tags"][OWNER_TAG]


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
