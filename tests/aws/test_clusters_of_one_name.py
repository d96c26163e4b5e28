"""Two clusters that have one name write the same ownership tag: the UID of each one's kube-system tells them apart.

Runs on MiniStack. The second cluster is another API server in memory, beside the same AWS account. That nothing is
written is read from the record of all calls, and from AWS's state before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from humangov.api.names import CLUSTER_UID_TAG

from testing.killed import Killed
from testing.reconciler import snapshot
from testing.reconciler.drifts import GROUP, NAME, ROLE, TABLE, function_arn, group_arn
from testing.reconciler.kube import FakeKube
from testing.reconciler.world import CLUSTER, CLUSTER_UID, World

OTHER_UID = "1a7c64fe-6a6b-47a5-9d0c-0c8d6d3f0b02"
KEY = "humangov/california"


def enter(world: World, uid: str | None, *, moved_from: tuple[str, ...] = (), restored: bool = False) -> None:
    """The operator of another cluster of the same name. restored: with the HumanGovStates and their status."""
    kube = FakeKube()
    if restored:
        kube.restore(world.kube)
    world.kube, world.cluster_uid = kube, uid
    world.settings = replace(world.settings, moved_from=frozenset(moved_from))
    world.restart_operator()


def uids(world: World) -> dict[str, str | None]:
    """Of each AWS resource, the tag of its cluster's UID."""
    look = world.sdk.look
    role = look("iam").get_role(RoleName=ROLE)["Role"].get("Tags", ())
    mapping = snapshot.mapping_arn(world, snapshot.mappings_of(world, NAME)[0]["UUID"])
    table = look("dynamodb").list_tags_of_resource(ResourceArn=table_arn(world))["Tags"]
    tags: dict[str, Mapping[str, str]] = {
        "function": look("lambda").list_tags(Resource=function_arn(world))["Tags"],
        "trigger": look("lambda").list_tags(Resource=mapping)["Tags"],
        "role": {tag["Key"]: tag["Value"] for tag in role},
        "log group": look("logs").list_tags_for_resource(resourceArn=group_arn(world))["tags"],
        "table": {tag["Key"]: tag["Value"] for tag in table},
    }
    return {kind: found.get(CLUSTER_UID_TAG) for kind, found in tags.items()}


def table_arn(world: World) -> str:
    return f"arn:aws:dynamodb:us-east-1:{world.account}:table/{TABLE}"


def untag(world: World) -> None:
    """As a version of the operator left it that knew no such tag."""
    keys = [CLUSTER_UID_TAG]
    mapping = snapshot.mapping_arn(world, snapshot.mappings_of(world, NAME)[0]["UUID"])
    for arn in (function_arn(world), mapping):
        world.sdk.client("lambda").untag_resource(Resource=arn, TagKeys=keys)
    world.sdk.client("iam").untag_role(RoleName=ROLE, TagKeys=keys)
    world.sdk.client("logs").untag_resource(resourceArn=group_arn(world), tagKeys=keys)
    world.sdk.client("dynamodb").untag_resource(ResourceArn=table_arn(world), TagKeys=keys)


def edit_status(world: World, change: Callable[[dict[str, Any]], None]) -> None:
    status = dict(world.status(KEY))
    status["aws"] = dict(status["aws"])
    change(status["aws"])
    world.kube.edit(KEY, lambda resource: resource.update(status=status))


def test_each_resource_and_the_status_have_the_uid_of_the_cluster(world: World) -> None:
    key = world.provisioned()
    assert set(uids(world).values()) == {CLUSTER_UID}
    assert world.status(key)["aws"]["clusterUID"] == CLUSTER_UID


def test_second_cluster_of_the_name_changes_nothing_and_names_both_uids_and_the_remedy(world: World) -> None:
    world.provisioned()
    before = snapshot.snapshot(world)
    enter(world, OTHER_UID)
    key = world.apply()
    for _ in range(8):
        world.reconcile_once(key)
        world.clock.forward(20)
    said = world.ready(key)
    assert said.startswith("False OtherCluster")
    assert world.condition(key, "Stalled")["status"] == "True"
    assert CLUSTER_UID in said
    assert OTHER_UID in said
    assert f"--moved-from {CLUSTER_UID}" in said
    assert world.line.writes() == []
    assert snapshot.snapshot(world) == before
    assert world.event_reasons() == ["OtherCluster"]


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_deletion_in_the_second_cluster_leaves_what_is_the_firsts(world: World, policy: str) -> None:
    world.provisioned()
    before = snapshot.snapshot(world)
    enter(world, OTHER_UID)
    key = world.apply(world.manifest(deletionPolicy=policy))
    world.reconcile_once(key)
    world.delete(key)
    world.settle(key, reconciliations=30)  # also until a tag of its own would show on the table
    assert key not in world.kube.objects
    assert snapshot.snapshot(world) == before


def test_stop_in_the_second_cluster_does_not_stop_the_firsts_function(world: World) -> None:
    world.provisioned()
    before = snapshot.snapshot(world)
    enter(world, OTHER_UID)
    key = world.apply()
    world.reconcile_once(key)
    recorded = {"accountID": world.account, "region": "us-east-1", "cluster": CLUSTER, "clusterUID": OTHER_UID}
    world.kube.edit(key, lambda resource: resource.update(status={**(resource.get("status") or {}), "aws": recorded}))
    world.kube.edit(key, lambda resource: resource["metadata"].update(annotations={"humangov.io/stop": "why"}))
    for _ in range(3):
        world.reconcile_once(key)
    assert snapshot.snapshot(world) == before


def test_status_that_was_restored_in_another_cluster_is_not_taken_for_its_own(world: World) -> None:
    key = world.provisioned()
    before = snapshot.snapshot(world)
    enter(world, OTHER_UID, restored=True)
    for _ in range(3):
        world.reconcile_once(key)
    said = world.ready(key)
    assert said.startswith("False OtherCluster")
    assert CLUSTER_UID in said
    assert OTHER_UID in said
    assert world.line.writes() == []
    assert snapshot.snapshot(world) == before


@pytest.mark.parametrize("restored", [False, True])
def test_documented_move_takes_everything_over_and_the_former_cluster_changes_nothing_more(
    world: World, restored: bool
) -> None:
    key = world.provisioned()
    former = world.kube
    before = snapshot.snapshot(world)
    enter(world, OTHER_UID, moved_from=(CLUSTER_UID,), restored=restored)
    if not restored:
        world.apply()
    world.settle(key)
    assert world.ready(key).startswith("True")
    assert {*uids(world).values()} == {OTHER_UID}
    assert world.status(key)["aws"]["clusterUID"] == OTHER_UID
    assert [event for event in world.kube.events if event.kind == "Warning"] == []
    assert {action.partition(":")[2] for action in world.line.writes()} == {"TagResource", "TagRole"}
    # The option may go then: the move is over.
    world.settings = replace(world.settings, moved_from=frozenset())
    world.restart_operator()
    world.settle(key)
    assert world.ready(key).startswith("True")
    assert world.line.writes() == []
    # Somebody starts the former cluster's operator again.
    after = snapshot.snapshot(world)
    assert after != before
    world.kube, world.cluster_uid = former, CLUSTER_UID
    world.restart_operator()
    for _ in range(8):
        world.reconcile_once(key)
        world.clock.forward(20)
    assert world.ready(key).startswith("False OtherCluster")
    assert world.line.writes() == []
    assert snapshot.snapshot(world) == after


def test_resources_from_before_the_cluster_tag_are_owned_and_get_it_without_a_warning(world: World) -> None:
    key = world.provisioned()
    untag(world)
    edit_status(world, lambda aws: aws.pop("clusterUID"))
    assert {*uids(world).values()} == {None}
    world.restart_operator()
    world.reconcile_once(key)
    assert world.ready(key).startswith("True"), "it works all the while"
    world.settle(key)
    assert {*uids(world).values()} == {CLUSTER_UID}
    assert world.status(key)["aws"]["clusterUID"] == CLUSTER_UID
    assert {(event.kind, event.reason) for event in world.kube.events} == {("Normal", "Updated")}
    world.line.forget()
    world.restart_operator()
    world.settle(key)
    assert world.line.writes() == []


@pytest.mark.parametrize("story", ["upgrade", "move", "create"])
def test_operator_that_is_killed_between_any_two_calls_ends_with_every_tag(world: World, story: str) -> None:
    if story == "create":
        world.make_table()
        world.make_bucket()
        key = world.apply()
    else:
        key = world.provisioned()
    if story == "upgrade":
        untag(world)
        edit_status(world, lambda aws: aws.pop("clusterUID"))
    if story == "move":
        enter(world, OTHER_UID, moved_from=(CLUSTER_UID,))
        world.apply()
    for life in range(40):
        world.restart_operator()
        # Not always after the first: the tag before a stream is enabled is written again in each process.
        world.line.kill_after_write = 1 + life % 3
        try:
            world.settle(key, reconciliations=30)
            break
        except Killed:
            continue
    else:
        raise AssertionError(f"{story} does not come to an end: {world.ready(key)}")
    assert world.ready(key).startswith("True")
    assert {*uids(world).values()} == {world.cluster_uid}
    assert world.status(key)["aws"]["clusterUID"] == world.cluster_uid


def test_uid_that_cannot_be_read_leaves_what_the_status_says_and_takes_nothing_else(world: World) -> None:
    key = world.provisioned()
    world.cluster_uid = None
    world.restart_operator()
    world.settle(key)
    assert world.ready(key).startswith("True"), "status.aws says whose it is"
    assert world.line.writes() == []
    assert world.status(key)["aws"]["clusterUID"] == CLUSTER_UID
    before = snapshot.snapshot(world)
    enter(world, None)
    world.apply()
    for _ in range(3):
        world.reconcile_once(key)
    said = world.ready(key)
    assert said.startswith("False OtherCluster")
    assert "unknown" in said
    assert "get namespace kube-system" in said
    assert world.line.writes() == []
    assert snapshot.snapshot(world) == before


def test_one_function_of_another_cluster_is_enough_for_reason_other_cluster(world: World) -> None:
    """A resource that somebody created again, or that the other cluster's operator took first."""
    key = world.provisioned()
    world.sdk.client("lambda").tag_resource(Resource=function_arn(world), Tags={CLUSTER_UID_TAG: OTHER_UID})
    world.line.forget()
    for _ in range(3):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False OtherCluster"), world.ready(key)
    assert world.line.writes() == []


@pytest.mark.parametrize("kind", ["role", "log group", "table"])
def test_each_of_the_resources_is_compared(world: World, kind: str) -> None:
    key = world.provisioned()
    tag = {"Key": CLUSTER_UID_TAG, "Value": OTHER_UID}
    match kind:
        case "role":
            world.sdk.client("iam").tag_role(RoleName=ROLE, Tags=[tag])
        case "log group":
            world.sdk.client("logs").tag_resource(resourceArn=group_arn(world), tags={CLUSTER_UID_TAG: OTHER_UID})
        case _:
            world.sdk.client("dynamodb").tag_resource(ResourceArn=table_arn(world), Tags=[tag])
    world.restart_operator()
    for _ in range(8):
        world.reconcile_once(key)
        world.clock.forward(20)
    assert world.ready(key).startswith("False OtherCluster"), world.ready(key)
    assert GROUP in world.ready(key) or kind != "log group"
    assert world.line.writes() == []
    world.delete(key)
    world.settle(key)
    assert uids_left(world, kind) == OTHER_UID, "and the deletion leaves it"


def uids_left(world: World, kind: str) -> str | None:
    look = world.sdk.look
    match kind:
        case "role":
            tags = {tag["Key"]: tag["Value"] for tag in look("iam").get_role(RoleName=ROLE)["Role"]["Tags"]}
        case "log group":
            tags = look("logs").list_tags_for_resource(resourceArn=group_arn(world))["tags"]
        case _:
            found = look("dynamodb").list_tags_of_resource(ResourceArn=table_arn(world))["Tags"]
            tags = {tag["Key"]: tag["Value"] for tag in found}
    return tags.get(CLUSTER_UID_TAG)
