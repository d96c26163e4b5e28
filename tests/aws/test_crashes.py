"""The operator killed after, and failed by, every call that changes anything: it ends in step, and leaves nothing.

Runs on MiniStack, which takes duplicate mappings where AWS refuses them: what is left over here would be there too.

The calls are those of a recorded run. A kill before a write leaves the same world as one after the write before it, and
reads leave no trace, so "killed after each write, and before the first" is a kill between any two calls. A call that
fails while the process lives on is another matter: it is tried with no effect (5xx), and with its effect taken place
and the answer lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from humangov.kube import KubeError

from tests.aws import snapshot
from tests.aws.world import Call, Fault, Killed, World, answer_lost, error

Story = Callable[[World, str], None]


def create(world: World, key: str) -> None:
    """Nothing to do: the tenant is there, and its objects are not."""


def update(world: World, key: str) -> None:
    def change(resource: dict[str, Any]) -> None:
        resource["spec"] |= {
            "function": {"memoryMiB": 1024, "reservedConcurrency": 2},
            "logs": {"retentionDays": 30},
            "trigger": {"batchSize": 5},
            "tags": {"team": "records"},
            "table": {"name": "humangov-california-dynamodb", "fileAttributes": ["pdf", "photo"]},
        }

    world.kube.edit(key, change)


def repair(world: World, key: str) -> None:
    """By hand: a stream switched off, a role and a log group removed."""
    name = "humangov-california-delete-file"
    world.sdk.client("dynamodb").update_table(
        TableName="humangov-california-dynamodb", StreamSpecification={"StreamEnabled": False}
    )
    world.sdk.client("iam").delete_role_policy(RoleName=f"{name}-us-east-1", PolicyName="humangov-cleanup")
    world.sdk.client("iam").delete_role(RoleName=f"{name}-us-east-1")
    world.sdk.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")


def delete(world: World, key: str) -> None:
    world.delete(key)


STORIES: dict[str, Story] = {"create": create, "update": update, "repair": repair, "delete": delete}


def begin(world: World, story: str) -> str:
    """A tenant at the point where the story's passes begin, in a new life of the operator."""
    world.make_table()
    world.make_bucket()
    key = world.apply()
    if story != "create":
        world.settle(key)
    STORIES[story](world, key)
    world.new_life()
    world.kube.events.clear()
    return key


def assert_well(world: World, key: str, story: str) -> None:
    """In step and settled with one of each; or, at the end of a deletion, nothing left."""
    if story == "delete":
        assert key not in world.kube.objects
        assert world.remains() == []
        return
    found = snapshot.snapshot(world)
    assert [len(found[kind]) for kind in ("functions", "roles", "log groups")] == [1, 1, 1]
    current = [mapping for mapping in found["mappings"] if mapping["EventSourceArn"] == found["tables"][0]["arn"]]
    assert len(current) == 1, "two mappings of one stream"
    assert world.ready(key).startswith("True"), world.ready(key)
    world.line.forget()
    world.one_pass(key)
    assert world.line.writes() + world.line.kube_writes() == []
    if story == "create":  # what a broken creation left must not outlive the deletion
        world.delete(key)
        world.settle(key, passes=30)
        assert world.remains() == []


# How many writes each story makes, Kubernetes' among them; the recorded runs hold the numbers to it.
WRITES = {"create": 13, "update": 12, "repair": 10, "delete": 16}


@pytest.mark.parametrize("story", STORIES)
def test_the_stories_make_as_many_writes_as_are_tried(world: World, story: str) -> None:
    key = begin(world, story)
    world.settle(key, passes=30)
    writes = [call.action for call in world.line.calls if call.writes]
    assert len(writes) == WRITES[story], writes
    assert_well(world, key, story)


@pytest.mark.parametrize(
    ("story", "number"), [(story, number) for story in STORIES for number in range(1, WRITES[story] + 1)]
)
def test_killed_after_any_write_the_next_life_ends_well(world: World, story: str, number: int) -> None:
    key = begin(world, story)
    world.line.kill_after_write = number
    try:
        world.settle(key, passes=30)
    except Killed:
        world.new_life()
    world.settle(key, passes=30)
    assert_well(world, key, story)


def test_killed_again_and_again_it_ends_well_all_the_same(world: World) -> None:
    for story in ("create", "delete"):
        if story == "create":
            key = begin(world, story)
        else:
            world.delete(key)
        for life in range(40):
            world.new_life()
            # Not always after the first: the mark before a stream is enabled is written anew in each life.
            world.line.kill_after_write = 1 + life % 3
            try:
                world.settle(key, passes=30)
                break
            except Killed:
                continue
        else:
            raise AssertionError(f"{story} does not come to an end: {world.ready(key)}")
    assert world.remains() == []


def nth_write(number: int) -> Callable[[Call], bool]:
    seen: list[Call] = []

    def hits(call: Call) -> bool:
        if call.writes and not any(call is one for one in seen):
            seen.append(call)
        return call.writes and len(seen) == number and call is seen[-1]

    return hits


@pytest.mark.parametrize("lost", [False, True], ids=["failed", "answer-lost"])
@pytest.mark.parametrize(
    ("story", "number"), [(story, number) for story in STORIES for number in range(1, WRITES[story] + 1)]
)
def test_failed_at_any_write_the_same_life_ends_well(world: World, story: str, number: int, lost: bool) -> None:
    key = begin(world, story)
    hits = nth_write(number)

    def of_kubernetes(call: Call) -> bool:
        return call.action.startswith("kube:") and hits(call)

    def of_aws(call: Call) -> bool:
        return not call.action.startswith("kube:") and hits(call)

    failure = answer_lost() if lost else error("InternalFailure", "", status=500)
    world.line.faults = [
        Fault(of_aws, error=failure, after_effect=lost, times=1),
        Fault(of_kubernetes, error=KubeError("x", status=None, reason="reset"), after_effect=lost, times=1),
    ]
    world.settle(key, passes=30)
    assert_well(world, key, story)
