"""A function that reached its erasure limit is stopped until a person approves that occurrence.

AWS is emulated, CloudWatch too: what the function's log would tell it is put into it here. The function's own side,
counting and handing back, is shown in tests/lambda.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from humangov.api.erasure_limit import APPROVE_ERASURES_ANNOTATION, LIMIT_TAG
from humangov.api.stop import stop_of
from humangov.manager import erasure_limit_monitor
from humangov.manager.erasure_limit_monitor import LimitCheck

from testing.killed import Killed
from testing.reconciler.drifts import NAME
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import denied, throttled
from testing.reconciler.world import CLUSTER, World

READ = "cloudwatch:GetMetricData"


def limited(world: World, key: str, number: float) -> None:
    """As the function's log would have told CloudWatch a minute ago."""
    world.sdk.client("cloudwatch").put_metric_data(
        Namespace="HumanGov",
        MetricData=[
            {
                "MetricName": "LimitedRecords",
                "Dimensions": [{"Name": "tenant", "Value": f"{CLUSTER}/{key}"}],
                "Timestamp": world.clock.now() - timedelta(minutes=1),
                "Value": number,
            }
        ],
    )


def check(world: World, before: LimitCheck | None = None) -> tuple[LimitCheck, list[str]]:
    """One check; and for whom a reconcile was asked."""
    asked: list[str] = []

    async def ask(key: str) -> None:
        asked.append(key)

    found = asyncio.run(erasure_limit_monitor.check(world.operator, before or LimitCheck(), ask_for_reconcile=ask))
    return found, asked


def approve(world: World, key: str, at: str | None = None) -> None:
    """As `humangov approve` does; at: of the occurrence, as status names it."""
    reached = at or world.status(key)["erasureLimit"]["reachedAt"]
    added = {APPROVE_ERASURES_ANNOTATION: reached}
    world.kube.edit(key, lambda one: one["metadata"].setdefault("annotations", {}).update(added))


def function_of(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.sdk.client("lambda").get_function(FunctionName=NAME)
    return found


def concurrency(world: World) -> int | None:
    return (function_of(world).get("Concurrency") or {}).get("ReservedConcurrentExecutions")


def mapping_state(world: World) -> str:
    [mapping] = world.sdk.client("lambda").list_event_source_mappings(FunctionName=NAME)["EventSourceMappings"]
    return str(mapping["State"])


def variables(world: World) -> dict[str, str]:
    found: dict[str, str] = function_of(world)["Configuration"]["Environment"]["Variables"]
    return found


def stopped(world: World, **spec: Any) -> str:
    """A tenant whose function reached the limit, stopped for it."""
    key = world.provisioned(**spec)
    limited(world, key, 7)
    assert check(world)[1] == [key]
    settle_stopped(world, key)
    return key


def settle_stopped(world: World, key: str) -> None:
    for _ in range(6):
        world.clock.forward(world.reconcile_once(key).requeue_after_seconds or 1.0)


def test_function_that_reached_its_erasure_limit_is_stopped_and_stalled(world: World) -> None:
    key = stopped(world)
    assert (concurrency(world), mapping_state(world)) == (0, "Disabled")
    assert world.status(key)["erasureLimit"]["limited"] == 7
    ready, stalled = world.condition(key, "Ready"), world.condition(key, "Stalled")
    assert (ready["status"], stalled["status"], stalled["reason"]) == ("False", "True", "ErasureLimit")
    assert "returned 7 records" in stalled["message"]
    assert f"humangov approve {key}" in stalled["message"]
    assert "ErasureLimitReached" in world.event_reasons()
    assert [one.kind for one in world.kube.events if one.reason == "ErasureLimitReached"] == ["Warning"]
    assert not world.kube.objects[key]["metadata"].get("annotations")
    assert stop_of(world.kube.objects[key], of_all=None) is not None  # what sweep, redrive and final read ask


def test_tenant_without_limited_records_is_asked_nothing_and_written_nothing(world: World) -> None:
    key = world.provisioned()
    limited(world, key, 0)
    found, asked = check(world)
    assert asked == []
    assert found.numbers == {("humangov", "california"): 0}
    world.reconcile_once(key)
    assert world.line.kube_writes() == []


def test_approval_lets_the_tenant_go_on_with_new_environments_of_the_function(world: World) -> None:
    key = stopped(world)
    assert "HUMANGOV_ERASURES_APPROVED_AT" not in variables(world)
    world.line.forget()
    world.clock.forward(60)
    approve(world, key)
    world.settle(key)
    assert world.ready(key).startswith("True InSync")
    assert (concurrency(world), mapping_state(world)) == (None, "Enabled")
    assert "erasureLimit" not in world.status(key)
    assert variables(world)["HUMANGOV_ERASURES_APPROVED_AT"]
    # New environments come before the first invocation: the old ones still count.
    calls = [call.action for call in world.line.calls]
    assert calls.index("lambda:UpdateFunctionConfiguration") < calls.index("lambda:DeleteFunctionConcurrency")
    world.line.forget()
    world.kube.events.clear()
    assert check(world)[1] in ([], [key])  # CloudWatch still shows what was limited before the approval
    for _ in range(3):
        world.reconcile_once(key)
    assert world.ready(key).startswith("True InSync")
    assert [call.action for call in world.line.calls if call.writes] == []


def test_tag_that_lambda_can_not_return_does_not_undo_an_approval(world: World) -> None:
    key = stopped(world)
    world.clock.forward(60)
    approve(world, key)
    world.settle(key)
    check(world)
    without = {"Tags": None, "TagsError": {"ErrorCode": "ServiceUnavailable", "Message": "again"}}
    world.line.faults = [Fault(on("lambda:GetFunction"), alter=lambda answer: answer | without)]
    for _ in range(3):
        world.reconcile_once(key)
    assert "erasureLimit" not in world.status(key)
    assert concurrency(world) is None


def test_approval_is_for_one_occurrence_only(world: World) -> None:
    key = stopped(world)
    world.clock.forward(60)
    approve(world, key)
    world.settle(key)
    world.clock.forward(3600)
    limited(world, key, 3)
    assert check(world)[1] == [key]
    settle_stopped(world, key)
    assert world.condition(key, "Stalled")["reason"] == "ErasureLimit"
    assert world.status(key)["erasureLimit"]["limited"] == 3
    assert concurrency(world) == 0


def test_approval_of_another_occurrence_changes_nothing(world: World) -> None:
    key = stopped(world)
    approve(world, key, at="2020-01-01T00:00:00Z")
    settle_stopped(world, key)
    assert world.condition(key, "Stalled")["reason"] == "ErasureLimit"
    assert concurrency(world) == 0


def test_stop_by_the_erasure_limit_survives_a_restart_of_the_operator(world: World) -> None:
    key = stopped(world)
    world.clock.forward(24 * 3600)  # CloudWatch is not asked about that time any more
    world.restart_operator()
    settle_stopped(world, key)
    assert world.condition(key, "Stalled")["reason"] == "ErasureLimit"
    assert (concurrency(world), mapping_state(world)) == (0, "Disabled")


def test_stop_by_the_erasure_limit_survives_a_lost_status(world: World) -> None:
    key = stopped(world)
    reached = world.status(key)["erasureLimit"]
    world.clock.forward(24 * 3600)
    world.kube.objects[key]["status"] = {}  # as after a move to another cluster
    world.restart_operator()
    world.line.forget()
    settle_stopped(world, key)
    assert world.status(key)["erasureLimit"] == reached
    assert world.condition(key, "Stalled")["reason"] == "ErasureLimit"
    assert (concurrency(world), mapping_state(world)) == (0, "Disabled")
    restarts = ("lambda:DeleteFunctionConcurrency", "lambda:UpdateEventSourceMapping")
    assert [call.action for call in world.line.calls if call.action in restarts] == []


def test_stop_by_the_erasure_limit_survives_a_lost_tag(world: World) -> None:
    key = stopped(world)
    arn = function_of(world)["Configuration"]["FunctionArn"]
    tag = function_of(world)["Tags"][LIMIT_TAG]
    world.sdk.client("lambda").untag_resource(Resource=arn, TagKeys=[LIMIT_TAG])
    settle_stopped(world, key)
    assert function_of(world)["Tags"][LIMIT_TAG] == tag
    assert concurrency(world) == 0


@pytest.mark.parametrize("at", range(1, 8))
def test_operator_killed_after_any_write_stops_the_tenant_in_its_next_life(world: World, at: int) -> None:
    key = world.provisioned()
    limited(world, key, 7)
    check(world)
    world.line.kill_after_write = world.line.writes_so_far + at
    with pytest.raises(Killed):
        settle_stopped(world, key)
    world.restart_operator()
    check(world)
    settle_stopped(world, key)
    assert world.condition(key, "Stalled")["reason"] == "ErasureLimit"
    assert (concurrency(world), mapping_state(world)) == (0, "Disabled")


@pytest.mark.parametrize("at", range(1, 8))
def test_operator_killed_at_a_second_occurrence_does_not_start_the_tenant_by_the_approval_of_the_first(
    world: World, at: int
) -> None:
    """The first reconciliations of its next life come before CloudWatch has been read."""
    key = stopped(world)
    world.clock.forward(60)
    approve(world, key)
    world.settle(key)
    world.clock.forward(4 * 3600)
    limited(world, key, 9)
    check(world)
    world.line.kill_after_write = world.line.writes_so_far + at
    with pytest.raises(Killed):
        settle_stopped(world, key)
    told = "erasureLimit" in world.status(key)
    world.restart_operator()
    settle_stopped(world, key)
    assert ("erasureLimit" in world.status(key)) is told
    assert (concurrency(world), mapping_state(world)) == ((0, "Disabled") if told else (None, "Enabled"))
    check(world)
    settle_stopped(world, key)
    assert world.condition(key, "Stalled")["reason"] == "ErasureLimit"
    assert (concurrency(world), mapping_state(world)) == (0, "Disabled")


@pytest.mark.parametrize("error", [denied(READ), throttled()])
def test_unread_metric_is_no_news(world: World, error: Any) -> None:
    key = world.provisioned()
    world.line.faults = [Fault(on(READ), error=error)]
    found, asked = check(world)
    assert (asked, found.refused) == ([], True)
    assert world.operator.store.memory(key).limited == ()
