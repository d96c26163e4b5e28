"""What is left of tenants whose HumanGovState was taken away by force: found, told, removed, and nothing beside it.

Runs on MiniStack. Its tagging API knows functions and tables alone; what AWS's tells of log groups and mappings, and
that it lags behind, is put in by faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from humangov.api.names import CLUSTER_UID_TAG
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.aws.removal import Removed
from humangov.kube.client import KubeError, Resource
from humangov.leaks import output, remove
from humangov.manager import leak_monitor
from humangov.manager.leak_monitor import LeakCheck

from testing.killed import Killed
from testing.reconciler import snapshot
from testing.reconciler.line import Call, Fault, on
from testing.reconciler.sdk import REGION, denied, throttled
from testing.reconciler.world import CLUSTER, CLUSTER_UID, World

NAME = "humangov-california-delete-file"
READS = [
    "tag:GetResources", "iam:ListRoles", "iam:GetRole", "lambda:ListTags", "dynamodb:ListTagsOfResource",
    "lambda:GetFunction", "lambda:ListEventSourceMappings", "sts:GetCallerIdentity", "kube:states", "kube:name",
]  # fmt: skip


class FakeApiServer(remove.ApiServer):
    """The world's API server; its questions can fail like any other."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def cluster_name(self) -> tuple[str, str | None]:
        name: str = self._asked("name", self.world.cluster)
        return name, self.world.cluster_uid

    async def states(self, namespaces: Sequence[str]) -> list[Resource]:
        every = self.world.kube.objects.values()
        there = [one for one in every if not namespaces or one["metadata"]["namespace"] in namespaces]
        answer: list[Resource] = self._asked("states", there)
        return answer

    def _asked(self, what: str, answer: Any) -> Any:
        return self.world.line.pass_through(Call(f"kube:{what}", {}, writes=False), lambda: answer)


def door(world: World) -> Clients:
    return world.process.clients_for(_Somewhere())  # type: ignore[arg-type] # of a tenant, it looks at the region alone


class _Somewhere:
    region = REGION


def find(world: World, **asked: Any) -> remove.FoundLeaks:
    settings = remove.LeakSearch(cluster=None, region=REGION, **asked)
    return remove.search_leaks(FakeApiServer(world), door(world), settings, sleep=world.clock.forward)


def remove_all(world: World, *, keep_logs: bool = False, **asked: Any) -> dict[str, Removed]:
    """As `humangov leaks --delete` does it."""
    found = find(world, **asked)
    one = partial(remove.remove, FakeApiServer(world), door(world), found, keep_logs=keep_logs)
    return {key: one(key, sleep=world.clock.forward, now=world.clock.now) for key in found.leaked}


def lose(world: World, key: str) -> None:
    """The finalizer is stripped and the resource deleted, with the operator away."""
    del world.kube.objects[key]
    world.restart_operator()


def reported(found: remove.FoundLeaks) -> dict[str, list[str]]:
    return {key: [f"{one.kind} {one.name}" for one in objects] for key, objects in found.leaked.items()}


def test_leaked_tenant_is_listed_and_deleted_down_to_its_last_tag(world: World) -> None:
    lose(world, world.provisioned())
    before = snapshot.snapshot(world)
    found = find(world)
    assert reported(found) == {
        "humangov/california": [
            f"function {NAME}", f"log group /aws/lambda/{NAME}", f"role {NAME}-us-east-1",
            "table humangov-california-dynamodb",
        ]
    }  # fmt: skip
    assert world.line.writes() == []
    assert snapshot.snapshot(world) == before
    [done] = remove_all(world).values()
    assert (done.stays, done.waiting) == ((), None)
    assert world.remains() == []
    assert find(world).leaked == {}


def test_receipts_log_group_loses_its_ownership_tag_and_is_kept_unless_deletion_is_requested(world: World) -> None:
    lose(world, world.provisioned())
    [done] = remove_all(world, keep_logs=True).values()
    assert done.stays == (f"log group /aws/lambda/{NAME} (--delete-logs was not given)",)
    assert world.remains() == [f"log group /aws/lambda/{NAME}"]
    [group] = snapshot.log_groups(world)
    assert "humangov.io/tenant" not in group["tags"]


def test_leaked_function_with_a_custom_name_is_found_by_that_name(world: World) -> None:
    lose(world, world.provisioned(function={"name": "humangov-erases"}))
    [done] = remove_all(world).values()
    assert "function humangov-erases" in done.deleted
    assert world.remains() == []
    assert snapshot.log_groups(world) == []


def test_existing_tenant_is_not_leaked_even_if_re_created_under_the_same_name(world: World) -> None:
    key = world.provisioned()
    assert find(world).leaked == {}
    lose(world, key)
    world.apply()
    assert find(world).leaked == {}
    assert remove_all(world) == {}
    assert world.line.writes() == []


def test_resources_of_another_cluster_are_counted_and_not_changed(world: World) -> None:
    lose(world, world.provisioned())
    before = snapshot.snapshot(world)
    world.cluster = "re-created"
    found = find(world)
    assert (found.leaked, found.others) == ({}, {CLUSTER: 1})
    assert remove_all(world) == {}
    assert snapshot.snapshot(world) == before
    assert f"1 tenant of cluster {CLUSTER}" in "\n".join(output.heading(found))


def test_released_resources_are_not_leaked(world: World) -> None:
    key = world.provisioned(deletionPolicy="Retain")
    world.delete(key)
    world.settle(key)
    assert key not in world.kube.objects
    before = snapshot.snapshot(world)
    assert remove_all(world) == {}
    assert snapshot.snapshot(world) == before


def test_untagged_and_foreign_resources_under_a_leaked_tenants_names_are_kept(world: World) -> None:
    lose(world, world.provisioned())
    world.sdk.client("iam").untag_role(RoleName=f"{NAME}-us-east-1", TagKeys=["humangov.io/tenant"])
    other = [{"Key": "humangov.io/tenant", "Value": f"{CLUSTER}x/humangov/california"}]
    world.sdk.client("dynamodb").tag_resource(
        ResourceArn=snapshot.tables(world)[0]["arn"].split("/stream")[0], Tags=other
    )
    roles, tables = snapshot.roles(world), snapshot.tables(world)
    [done] = remove_all(world).values()
    assert any("has no humangov.io/tenant tag" in what for what in done.stays)
    assert (snapshot.functions(world), snapshot.mappings(world)) == ([], [])
    assert (snapshot.roles(world), snapshot.tables(world)) == (roles, tables)


def test_leaks_delete_killed_after_any_write_ends_the_same_when_repeated(world: World) -> None:
    lose(world, world.provisioned())
    kills = 0
    while True:
        world.restart_operator()
        world.line.kill_after_write = 1
        try:
            if not remove_all(world):
                break
        except Killed:
            kills += 1
    assert kills > 5
    assert world.remains() == []


@pytest.mark.parametrize("action", READS)
def test_leaks_delete_removes_nothing_when_a_read_fails(world: World, action: str) -> None:
    lose(world, world.provisioned())
    before = snapshot.snapshot(world)
    refused: Exception = denied(action)
    if action.startswith("kube:"):
        refused = KubeError(action, status=403, reason="no")
    world.line.faults = [Fault(on(action), error=refused)]
    with pytest.raises((AwsError, KubeError)):
        remove_all(world)
    assert world.line.writes() == []
    assert snapshot.snapshot(world) == before


def test_leaks_delete_ends_when_the_tenant_is_re_created_while_it_waits(world: World) -> None:
    """A trigger takes minutes to be deleted; then the operator's new resources have the same ownership tag."""
    key = world.provisioned()
    lose(world, key)
    found = find(world)
    re_created: list[str] = []

    def wait(seconds: float) -> None:
        world.clock.forward(seconds)
        if not re_created:
            re_created.append(world.apply())
            world.settle(key)

    world.line.faults = [Fault(on("iam:DeleteRole"), error=throttled(), times=1)]
    with pytest.raises(remove.UncertainLeakError, match=f"{key} exists again and owns these resources"):
        remove.remove(FakeApiServer(world), door(world), found, key, keep_logs=False, sleep=wait, now=world.clock.now)
    assert re_created == [key]
    assert [one["name"] for one in snapshot.functions(world)] == [NAME]
    assert [one["State"] for one in snapshot.mappings(world)] == ["Enabled"]


@pytest.mark.parametrize("action", ["lambda:DeleteEventSourceMapping", "lambda:DeleteFunction", "iam:DeleteRole"])
def test_leaks_delete_ends_when_the_tenant_is_re_created_between_two_steps(world: World, action: str) -> None:
    key = world.provisioned()
    lose(world, key)
    found = find(world)

    def re_create(answer: Any) -> Any:
        world.apply()
        return answer

    world.line.faults = [Fault(on(action), alter=re_create, times=1)]
    with pytest.raises(remove.UncertainLeakError, match="nothing more was deleted"):
        remove.remove(
            FakeApiServer(world), door(world), found, key, keep_logs=False, sleep=world.clock.forward,
            now=world.clock.now,
        )  # fmt: skip
    assert world.line.writes()[-1] == action


def test_leaks_delete_retries_a_throttled_step(world: World) -> None:
    lose(world, world.provisioned())
    world.line.faults = [Fault(on("iam:DeleteRole"), error=throttled(), times=2)]
    [done] = remove_all(world).values()
    assert done.waiting is None
    assert world.remains() == []


# The running operator


def check(world: World, before: LeakCheck) -> LeakCheck:
    async def states(namespaces: Sequence[str]) -> list[Resource]:
        return await FakeApiServer(world).states(namespaces)

    async def no_pause() -> None:
        """What a test changes, it changes before or after."""

    world.process.operator = replace(world.operator, settings=world.settings)
    return asyncio.run(
        leak_monitor.check(world.operator, before, of_region=lambda _: door(world), list_states=states, pause=no_pause)
    )


OTHER_UID = "1a7c64fe-6a6b-47a5-9d0c-0c8d6d3f0b02"


def test_living_tenant_of_another_cluster_of_the_name_is_not_leaked_here(world: World) -> None:
    """It has no HumanGovState in this cluster, and this cluster's name in its ownership tags."""
    lose(world, world.provisioned())
    world.cluster_uid = OTHER_UID
    world.restart_operator()
    before = snapshot.snapshot(world)
    found = find(world)
    assert found.leaked == {}
    assert found.others == {f"{CLUSTER} (UID {CLUSTER_UID})": 1}
    assert remove_all(world) == {}
    assert check(world, LeakCheck()).leaked_tenants == 0
    assert world.event_reasons() == []
    assert snapshot.snapshot(world) == before
    # Of a cluster that runs no more, in whose place this one is:
    [done] = remove_all(world, moved_from=frozenset({CLUSTER_UID})).values()
    assert (done.stays, done.waiting) == ((), None)
    assert world.remains() == []


def test_resource_that_another_cluster_comes_to_own_during_the_search_is_not_deleted(world: World) -> None:
    key = world.provisioned()
    lose(world, key)
    found = find(world)
    arn = f"arn:aws:lambda:{REGION}:{world.account}:function:{NAME}"
    world.sdk.client("lambda").tag_resource(Resource=arn, Tags={CLUSTER_UID_TAG: OTHER_UID})
    done = remove.remove(
        FakeApiServer(world), door(world), found, key, keep_logs=False, sleep=world.clock.forward, now=world.clock.now
    )
    assert any(f"UID of its namespace kube-system is {OTHER_UID}" in what for what in done.stays)
    assert [one["name"] for one in snapshot.functions(world)] == [NAME]
    assert [one["State"] for one in snapshot.mappings(world)] == ["Enabled"]


def test_leaks_are_unknown_while_the_clusters_uid_is(world: World) -> None:
    lose(world, world.provisioned())
    world.cluster_uid = None
    world.restart_operator()
    before = snapshot.snapshot(world)
    assert check(world, LeakCheck()).leaked_tenants is None
    with pytest.raises(remove.UncertainLeakError, match=r"humangov/california .* get namespace kube-system"):
        find(world)
    assert find(world, key="humangov/florida").leaked == {}
    assert snapshot.snapshot(world) == before


def test_operator_reports_a_leaked_tenant_once_and_deletes_nothing(world: World) -> None:
    key = world.provisioned()
    checked = check(world, LeakCheck())
    assert (checked.leaked_tenants, world.event_reasons()) == (0, [])
    lose(world, key)
    before = snapshot.snapshot(world)
    for _ in range(3):
        checked = check(world, checked)
    assert checked.leaked_tenants == 1
    [event] = world.kube.events
    assert event.reason == "LeakedResourcesFound"
    assert "humangov/california" in event.message
    assert f"humangov leaks --cluster-name {CLUSTER}" in event.message
    assert snapshot.snapshot(world) == before
    remove_all(world)
    checked = check(world, checked)
    assert checked.leaked_tenants == 0


def test_leak_detection_without_leaks_takes_two_calls_for_any_number_of_tenants(world: World) -> None:
    key = world.provisioned()
    world.reconcile_once(key)
    world.line.forget()
    check(world, LeakCheck())
    assert world.line.reads() == ["tag:GetResources", "iam:ListRoles"]


@pytest.mark.parametrize("action", ["tag:GetResources", "iam:ListRoles", "iam:GetRole", "kube:states"])
def test_leak_detection_without_permission_reports_it_and_lists_no_leaks(
    world: World, action: str, caplog: pytest.LogCaptureFixture
) -> None:
    lose(world, world.provisioned())
    refused: Exception = denied(action)
    if action.startswith("kube:"):
        refused = KubeError(action, status=403, reason="no")
    world.line.faults = [Fault(on(action), error=refused)]
    checked = check(world, LeakCheck(leaked_tenants=1))
    assert checked.leaked_tenants is None
    assert world.kube.events == []
    assert "the check for leaked AWS resources in us-east-1 failed" in caplog.text


def test_operator_reports_no_leaks_of_namespaces_it_does_not_watch(world: World) -> None:
    lose(world, world.provisioned())
    world.settings = replace(world.settings, namespaces=("elsewhere",))
    checked = check(world, LeakCheck())
    assert (checked.leaked_tenants, world.event_reasons()) == (0, [])
