"""A stop, as whole reconciles obey it: whatever else is wrong, and declared values afterwards.

Runs on MiniStack, which disables a mapping at once. What Lambda does with a reserved concurrency of 0 it can't show.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames
from humangov.api.conditions import Finding
from humangov.api.names import OWNER_TAG
from humangov.api.spec import RECONCILE_ANNOTATION
from humangov.api.stop import STOP_ANNOTATION, stop_of_all
from humangov.api.times import parse_time, timestamp
from humangov.reconcile.outcome import Outcome
from humangov.reconcile.stop import findings, obey_at_once

from testing import kstatus
from testing.killed import Killed
from testing.reconciler import snapshot
from testing.reconciler.line import Call, Fault, on
from testing.reconciler.sdk import denied, error, throttled
from testing.reconciler.world import World
from tests.aws.test_sweeps import with_sweeps

NAME = "humangov-california-delete-file"
PUT, DELETE = "lambda:PutFunctionConcurrency", "lambda:DeleteFunctionConcurrency"
UPDATE = "lambda:UpdateEventSourceMapping"
CONFIG_MAP = {
    "metadata": {"name": "humangov-stop", "namespace": "humangov", "creationTimestamp": "2026-03-01T10:00:00Z"},
    "data": {"reason": "audit"},
}


def stop(world: World, key: str, reason: str = "a wrong import (alice)") -> None:
    world.kube.edit(key, lambda one: one["metadata"].setdefault("annotations", {}).update({STOP_ANNOTATION: reason}))


def start(world: World, key: str) -> None:
    world.kube.edit(key, lambda one: one["metadata"]["annotations"].pop(STOP_ANNOTATION))


def reserved(world: World) -> int | None:
    found = world.sdk.client("lambda").get_function(FunctionName=NAME)
    concurrency: int | None = found.get("Concurrency", {}).get("ReservedConcurrentExecutions")
    return concurrency


def mappings(world: World) -> list[str]:
    return [one["State"] for one in world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]]


def is_stopped(world: World) -> bool:
    return reserved(world) == 0 and set(mappings(world)) <= {"Disabled", "Disabling"}


def told(world: World, key: str) -> str:
    return str(world.condition(key, "Stopped")["message"])


def test_a_stop_sets_reserved_concurrency_0_then_disables_the_trigger_in_one_reconciliation(world: World) -> None:
    key = world.provisioned()
    stop(world, key)
    world.reconcile_once(key)
    assert world.line.writes() == [PUT, UPDATE]
    assert is_stopped(world)
    assert world.ready(key).startswith("False Stopped: Stopped by annotation humangov.io/stop: a wrong import (alice).")
    assert world.condition(key, "Stopped")["status"] == "True"
    assert world.condition(key, "TriggerReady")["reason"] == "Stopped"
    assert kstatus.problems(world.kube.objects[key]) == []
    assert world.event_reasons() == ["Stopped"]  # not one of Ready, and another of condition Stopped


def test_a_stop_names_until_when_invocations_that_had_begun_may_run(world: World) -> None:
    key = world.provisioned(function={"timeoutSeconds": 60})
    stop(world, key)
    begun = world.clock.now()
    world.reconcile_once(key)
    first = told(world, key)
    until = parse_time(first.partition("Invocations that had begun may run until ")[2].partition("Z")[0] + "Z")
    assert until is not None
    assert timedelta(seconds=64) <= until - begun <= timedelta(seconds=70)
    world.clock.forward(30)
    world.reconcile_once(key)
    assert told(world, key) == first
    world.restart_operator()
    world.reconcile_once(key)
    assert told(world, key) == first


def test_a_stopped_tenant_is_settled_nothing_is_written_again(world: World) -> None:
    key = world.provisioned()
    stop(world, key)
    world.settle(key)
    world.line.forget()
    world.kube.events.clear()
    for _ in range(7):
        world.reconcile_once(key)
        world.clock.forward(600)
    assert world.line.writes() + world.line.kube_writes() == []


@pytest.mark.parametrize("declared", [None, 3])
def test_after_a_stop_the_declared_concurrency_and_trigger_come_back(world: World, declared: int | None) -> None:
    key = world.provisioned(function={"reservedConcurrency": declared} if declared else {})
    before = snapshot.snapshot(world)
    stop(world, key)
    world.settle(key)
    assert snapshot.snapshot(world) != before
    start(world, key)
    world.line.forget()
    world.kube.events.clear()
    world.settle(key)
    assert snapshot.snapshot(world) == before
    assert reserved(world) == declared
    assert world.line.writes() == [PUT if declared else DELETE, UPDATE]  # so what is enabled can run
    assert world.ready(key).startswith("True InSync")
    assert world.condition(key, "Stopped")["status"] == "False"
    assert world.event_reasons() == ["InSync", "Started"]  # and no drift


def test_concurrency_0_that_a_person_sets_by_hand_is_drift_as_before(world: World) -> None:
    key = world.provisioned()
    world.sdk.client("lambda").put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=0)
    world.settle(key)
    assert reserved(world) is None
    assert "DriftCorrected" in world.event_reasons()


def test_trigger_that_a_person_enables_in_aws_while_stopped_is_stopped_again_with_an_event(world: World) -> None:
    key = world.provisioned()
    stop(world, key)
    world.settle(key)
    world.sdk.client("lambda").delete_function_concurrency(FunctionName=NAME)
    world.kube.events.clear()
    world.reconcile_once(key)
    assert is_stopped(world)
    [event] = world.kube.events
    assert (event.kind, event.reason) == ("Warning", "DriftCorrected")
    assert "reserved concurrency none → 0" in event.message


def _account_changed(world: World, key: str) -> None:
    world.cluster = "another-name"
    world.restart_operator()


def _suspended(world: World, key: str) -> None:
    world.kube.edit(key, lambda one: one["spec"].update(suspend=True))


def _not_allowed(world: World, key: str) -> None:
    world.settings = replace(world.settings, allowed=AllowedNames({}))
    world.restart_operator()


def _invalid(world: World, key: str) -> None:
    world.kube.edit(key, lambda one: one["spec"].update(trigger={"batchSize": "many"}))


def _table_gone(world: World, key: str) -> None:
    world.sdk.client("dynamodb").delete_table(TableName="humangov-california-dynamodb")


def _denied(*actions: str) -> Callable[[World, str], None]:
    def deny(world: World, key: str) -> None:
        world.line.faults = [Fault(hits=on(action), error=denied(action)) for action in actions]

    return deny


def _conflict(world: World, key: str) -> None:
    older = world.manifest("california-1", table={"name": "humangov-california-dynamodb"})
    world.apply(older, age_seconds=86400)


OBSTACLES = [
    _account_changed, _suspended, _not_allowed, _invalid, _table_gone, _conflict,
    _denied("dynamodb:DescribeTable", "iam:GetRole", "logs:DescribeLogGroups", "s3:ListBucket"),
]  # fmt: skip


@pytest.mark.parametrize(
    "obstacle",
    OBSTACLES,
    ids=["identity", "suspended", "not allowed", "invalid spec", "no table", "conflict", "denied"],
)
def test_stop_works_whatever_else_is_wrong_and_the_other_problem_is_reported_too(
    world: World, obstacle: Callable[[World, str], None]
) -> None:
    key = world.provisioned()
    obstacle(world, key)
    stop(world, key)
    for _ in range(2):
        world.reconcile_once(key)
    assert is_stopped(world)
    assert world.condition(key, "Stopped")["status"] == "True"
    assert world.ready(key).startswith("False Stopped: Stopped by annotation")
    assert ("In addition: " in world.ready(key)) is (obstacle is not _suspended)
    assert kstatus.problems(world.kube.objects[key]) == []


def test_a_suspended_tenant_that_is_started_again_stays_stopped_in_aws_and_says_so(world: World) -> None:
    key = world.provisioned()
    stop(world, key)
    _suspended(world, key)
    world.settle(key)
    start(world, key)
    world.reconcile_once(key)
    assert reserved(world) == 0
    assert "spec.suspend is true, so the operator does not apply: reserved concurrency 0 → none" in world.ready(key)


def test_a_stop_goes_on_after_an_error_says_what_is_not_stopped_and_is_retried_within_seconds(world: World) -> None:
    key = world.provisioned()
    stop(world, key)
    world.line.faults = [Fault(hits=on(PUT), error=throttled())]
    outcome = world.reconcile_once(key)
    assert (reserved(world), mappings(world)) == (None, ["Disabled"])
    assert world.condition(key, "Stopped")["status"] == "Unknown"
    assert "its function may still be invoked" in world.ready(key)
    assert outcome.failed
    assert outcome.requeue_after_seconds is not None
    assert outcome.requeue_after_seconds <= 2
    world.line.faults = []
    world.reconcile_once(key)
    assert is_stopped(world)
    assert world.condition(key, "Stopped")["status"] == "True"


@pytest.mark.parametrize("call", ["lambda:GetFunction", PUT, "sts:GetCallerIdentity"])
def test_condition_stopped_is_never_true_while_that_is_unknown(world: World, call: str) -> None:
    key = world.provisioned()
    stop(world, key)
    world.restart_operator()  # which does not know the account yet
    world.line.faults = [Fault(hits=on(call), error=error("InternalFailure", "", status=500))]
    world.reconcile_once(key)
    assert world.condition(key, "Stopped")["status"] == "Unknown"
    assert mappings(world) == ["Disabled"]


def test_one_read_that_misses_the_function_is_not_taken_for_a_stop(world: World) -> None:
    """Lambda's reads may be seconds behind."""
    key = world.provisioned()
    stop(world, key)
    missing = error("ResourceNotFoundException", "Function not found", status=404)
    world.line.faults = [Fault(hits=on("lambda:GetFunction"), error=missing, times=1)]
    assert not obey(world, key).forget
    assert obey(world, key).forget
    assert is_stopped(world)


def retag(world: World, key: str, arn: str, owner: str | None) -> None:
    """owner: None: the ownership tag is lost."""
    lambda_ = world.sdk.client("lambda")
    if owner is None:
        lambda_.untag_resource(Resource=arn, TagKeys=[OWNER_TAG])
    else:
        lambda_.tag_resource(Resource=arn, Tags={OWNER_TAG: owner})


@pytest.mark.parametrize("owner", [None, "other/humangov/california"], ids=["no tag", "another owner"])
def test_a_function_that_is_not_owned_is_not_stopped_and_the_condition_says_so(world: World, owner: str | None) -> None:
    key = world.provisioned(function={"timeoutSeconds": 60})
    retag(world, key, world.names(key).function_arn, owner)
    [mapping] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    stop(world, key)
    begun = world.clock.now()
    for _ in range(3):  # nor is it believed the second time
        outcome = world.reconcile_once(key)
        assert reserved(world) is None
        assert mappings(world) == ["Disabled"], "the trigger has an ownership tag of its own"
        condition = world.condition(key, "Stopped")
        assert (condition["status"], condition["reason"]) == ("Unknown", "Stopping")
        assert "its function may still be invoked" in condition["message"]
        assert f"function {NAME} exists, but " in condition["message"]
        assert "so it is not changed. Delete it, or choose another spec.function.name" in condition["message"]
        assert outcome.failed
        until = parse_time(condition["message"].partition(" may run until ")[2].partition("Z")[0] + "Z")
        assert until is not None
        assert timedelta(seconds=64) <= until - begun <= timedelta(seconds=70)
        world.clock.forward(10)
    assert [call.parameters["UUID"] for call in world.line.calls if call.action == UPDATE] == [mapping["UUID"]]


def test_a_function_and_a_trigger_that_have_lost_their_tags_are_not_reported_as_stopped(world: World) -> None:
    key = world.provisioned()
    retag(world, key, world.names(key).function_arn, None)
    [mapping] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    retag(world, key, mapping["EventSourceMappingArn"], None)
    stop(world, key)
    for _ in range(3):
        assert not obey(world, key).forget
    assert (reserved(world), mappings(world)) == (None, ["Enabled"])
    world.reconcile_once(key)
    assert world.condition(key, "Stopped")["status"] == "Unknown"
    assert "There is no function" not in told(world, key)
    assert f"function {NAME} exists, but has no {OWNER_TAG} tag" in told(world, key)


def test_a_function_that_has_its_tag_back_is_stopped(world: World) -> None:
    key = world.provisioned()
    retag(world, key, world.names(key).function_arn, None)
    stop(world, key)
    world.reconcile_once(key)
    retag(world, key, world.names(key).function_arn, world.names(key).owner)
    world.reconcile_once(key)
    assert is_stopped(world)
    assert world.condition(key, "Stopped")["status"] == "True"


@pytest.mark.parametrize("fault", [throttled(), denied(UPDATE)], ids=["throttled", "denied"])
@pytest.mark.parametrize("of_function", ["no tag", "absent"])
def test_a_trigger_that_is_not_disabled_is_no_stop_where_no_concurrency_was_set(
    world: World, of_function: str, fault: Exception
) -> None:
    key = world.provisioned()
    if of_function == "no tag":
        retag(world, key, world.names(key).function_arn, None)
    stop(world, key)
    missing = error("ResourceNotFoundException", "Function not found", status=404)
    world.line.faults = [Fault(hits=on(UPDATE), error=fault)]
    if of_function == "absent":
        world.line.faults.append(Fault(hits=on("lambda:GetFunction"), error=missing))
    for _ in range(3):
        world.reconcile_once(key)
        assert world.condition(key, "Stopped")["status"] == "Unknown"
        assert "no new invocation begins" not in told(world, key)
        assert UPDATE in told(world, key)
        assert (f"function {NAME} exists, but has no" in told(world, key)) is (of_function == "no tag")
    assert mappings(world) == ["Enabled"]


def test_a_stop_whose_trigger_is_not_disabled_yet_says_until_when_invocations_may_run(world: World) -> None:
    key = world.provisioned()
    stop(world, key)
    world.line.faults = [Fault(hits=on(UPDATE), error=throttled())]
    world.reconcile_once(key)
    assert (reserved(world), mappings(world)) == (0, ["Enabled"])
    assert world.condition(key, "Stopped")["status"] == "True"
    assert "no new invocation begins" in told(world, key)
    assert "Invocations that had begun may run until " in told(world, key)


def test_invocations_of_a_function_that_was_deleted_may_run_as_long_as_lambda_lets_any(world: World) -> None:
    key = world.provisioned()
    world.sdk.client("lambda").delete_function(FunctionName=NAME)
    stop(world, key)
    begun = world.clock.now()
    for _ in range(2):
        obey(world, key)
    memory = world.operator.store.memory(key).stop
    found = findings(world.kube.objects[key], memory, ready=Finding.in_sync("InSync", ""), deleting=False, now=begun)
    assert found is not None
    assert found.stopped.status == "True"
    assert "There is no function that could be invoked" in found.stopped.message
    assert f"may run until {timestamp(begun + timedelta(seconds=905))}" in found.stopped.message


def test_a_new_tenant_that_is_stopped_is_provisioned_stopped(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    stop(world, key)
    world.settle(key)
    assert is_stopped(world)
    [created] = [call for call in world.line.calls if call.action == "lambda:CreateEventSourceMapping"]
    assert created.parameters["Enabled"] is False


def test_the_stop_of_all_stops_each_tenant_and_ends_with_the_config_map(world: World) -> None:
    key = world.provisioned()
    world.operator.store.stop_of_all = stop_of_all(CONFIG_MAP)
    world.settle(key)
    assert is_stopped(world)
    assert "by ConfigMap humangov/humangov-stop: audit" in told(world, key)
    assert "humangov start --all" in told(world, key)
    world.operator.store.stop_of_all = None
    world.settle(key)
    assert (reserved(world), mappings(world)) == (None, ["Enabled"])


def obey(world: World, key: str, *, asked: list[str] | None = None) -> Outcome:
    """Beside the tenant's reconciliation, as the manager's second queue does. asked: keys to be reconciled."""
    world.operator.store.put(copy.deepcopy(world.kube.objects[key]))

    async def ask(one: str) -> None:
        if asked is not None:
            asked.append(one)

    return asyncio.run(obey_at_once(world.operator, key, ask_for_reconcile=ask))


def test_a_stop_waits_for_no_running_reconciliation_and_that_does_not_undo_it(world: World) -> None:
    """The reconciliation is about to restore what a stop had changed when the next stop comes."""
    key = world.provisioned()
    stop(world, key)
    world.settle(key)
    start(world, key)
    stops: list[Any] = []

    def meanwhile(call: Call) -> bool:
        if call.action == "dynamodb:DescribeTable" and not stops:
            stops.append(None)
            stop(world, key, "again")
            world.operator.store.put(copy.deepcopy(world.kube.objects[key]))
        return False

    world.line.faults = [Fault(hits=meanwhile, met=1)]
    world.line.forget()
    world.reconcile_once(key)
    assert stops
    assert world.line.writes() == []
    assert is_stopped(world)


def test_a_stop_that_fails_is_retried_by_its_own_queue_until_it_is_done(world: World) -> None:
    key = world.provisioned()
    stop(world, key)
    world.line.faults = [Fault(hits=on(PUT), error=denied(PUT), times=1)]
    outcome = obey(world, key)
    assert (outcome.failed, outcome.forget) == (True, False)
    assert obey(world, key).forget
    assert is_stopped(world)
    start(world, key)
    assert obey(world, key).forget


def test_a_tenant_that_is_started_while_it_is_being_stopped_is_reconciled_once_more(world: World) -> None:
    """Else what its reconciliation had restored would stay undone by the stop that came later."""
    key = world.provisioned()
    stop(world, key)

    def meanwhile(call: Call) -> bool:
        if (
            call.action == "lambda:GetFunction"
            and STOP_ANNOTATION in world.kube.objects[key]["metadata"]["annotations"]
        ):
            start(world, key)
            world.operator.store.put(copy.deepcopy(world.kube.objects[key]))
        return False

    world.line.faults = [Fault(hits=meanwhile, met=1)]
    asked: list[str] = []
    assert obey(world, key, asked=asked).forget
    assert asked == [key]
    world.settle(key)
    assert (reserved(world), mappings(world)) == (None, ["Enabled"])
    assert world.ready(key).startswith("True")


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_the_deletion_of_a_stopped_tenant_waits_and_says_what_to_do(world: World, policy: str) -> None:
    key = with_sweeps(world).provisioned(deletionPolicy=policy)
    stop(world, key)
    world.delete(key)
    for _ in range(3):
        world.reconcile_once(key)
        world.clock.forward(600)
    assert is_stopped(world)
    assert "Its deletion waits" in world.ready(key)
    assert "To start it: humangov start humangov/california" in world.ready(key)
    assert not [action for action in world.line.writes() if "Delete" in action or "Untag" in action]
    assert world.kube.batch == {}, "sweeps and the final stream read are over"


def test_a_deletion_goes_on_once_the_tenant_is_started(world: World) -> None:
    key = world.provisioned()
    stop(world, key)
    world.delete(key)
    world.reconcile_once(key)
    start(world, key)
    world.settle(key)
    assert key not in world.kube.objects
    assert world.remains() == []


def test_a_stop_during_a_deletion_holds_what_is_not_deleted_yet(world: World) -> None:
    key = world.provisioned()
    world.delete(key)
    world.line.faults = [Fault(hits=on("lambda:DeleteFunction"), error=throttled(), times=1)]
    world.reconcile_once(key)
    stop(world, key)
    world.line.forget()
    world.reconcile_once(key)
    assert world.line.writes() == [PUT]
    assert reserved(world) == 0


def test_a_stop_of_twelve_hours_warns_that_the_stream_forgets(world: World) -> None:
    key = world.provisioned()
    stop(world, key)
    world.settle(key)
    began = world.clock.now()
    world.clock.forward(11 * 3600)
    world.reconcile_once(key)
    world.kube.events.clear()
    world.clock.forward(3700)
    world.reconcile_once(key)
    [event] = world.kube.events
    assert (event.kind, event.reason) == ("Warning", "StoppedForLong")
    assert f"from {began + timedelta(hours=24):%Y-%m-%dT%H}" in event.message
    assert world.condition(key, "Stopped")["reason"] == "StoppedForLong"
    world.clock.forward(3600)
    world.reconcile_once(key)
    assert len(world.kube.events) == 1


def test_a_sweep_that_is_asked_for_while_stopped_waits_for_the_start(world: World) -> None:
    key = with_sweeps(world).provisioned()
    stop(world, key)
    world.kube.edit(key, lambda one: one["metadata"]["annotations"].update({"humangov.io/sweep": "now"}))
    world.settle(key)
    assert [name for plural, name in world.kube.batch if plural == "jobs"] == []
    start(world, key)
    world.settle(key)
    assert len([name for plural, name in world.kube.batch if plural == "jobs"]) == 1


def test_an_annotation_without_a_reason_stops_as_well(world: World) -> None:
    key = world.provisioned()
    stop(world, key, "")
    world.reconcile_once(key)
    assert is_stopped(world)
    assert "no reason was given" in world.ready(key)
    world.kube.edit(key, lambda one: one["metadata"]["annotations"].update({RECONCILE_ANNOTATION: "1"}))
    world.reconcile_once(key)
    assert is_stopped(world)


def test_a_stop_that_is_killed_at_any_call_is_completed_by_the_next_life(worlds: Callable[[], World]) -> None:
    calm = worlds()
    key = calm.provisioned()
    stop(calm, key)
    calm.restart_operator()
    calm.reconcile_once(key)
    calls = calm.line.calls
    assert len([call for call in calls if call.writes and not call.action.startswith("kube:")]) == 2
    for number, call in enumerate(calls, 1):
        for side in ("before", "after") if call.writes else ("before",):
            world = worlds()
            key = world.provisioned()
            stop(world, key)
            world.restart_operator()
            world.line.kill_at = (number, side)
            with pytest.raises(Killed):
                world.reconcile_once(key)
            world.restart_operator()
            world.settle(key)
            assert is_stopped(world), (number, call.action, side)
            assert world.condition(key, "Stopped")["status"] == "True"
