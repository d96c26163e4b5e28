"""Ready is said of what works, not of what is configured: a trigger with a problem, a function that fails everything.

Lambda's word of its last attempt is put into its answers; CloudWatch's metrics are put into the emulated CloudWatch.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from humangov.aws.stream_lag import StreamLag
from humangov.manager import stream_lag_monitor
from humangov.manager.stream_lag_monitor import LagCheck
from humangov.reconcile.delivery import SHOWN_AFTER, cause_of

from testing.reconciler.drifts import NAME
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import throttled
from testing.reconciler.world import CLUSTER, World
from testing.samples import NOW

MINUTE = 60.0
UNREADABLE = (
    "PROBLEM: Cannot access stream. Please ensure the role can perform the GetRecords, GetShardIterator, "
    "DescribeStream, and ListStreams Actions on your stream in IAM."
)
FAILED = "PROBLEM: Function call failed"
LIST = "lambda:ListEventSourceMappings"


def reports(world: World, result: str) -> None:
    """What Lambda says of its last attempt, from now on."""

    def said(answer: Any) -> Any:
        for mapping in answer["EventSourceMappings"]:
            mapping["LastProcessingResult"] = result
        return answer

    world.line.faults = [Fault(on(LIST), alter=said)]


def put(world: World, ago: float = MINUTE, **metrics: float) -> None:
    """Invocations and Errors are Lambda's; the others are from the function's log."""
    for name, value in metrics.items():
        lambdas = name in ("Invocations", "Errors")
        dimension = ("FunctionName", NAME) if lambdas else ("tenant", f"{CLUSTER}/humangov/california")
        world.sdk.client("cloudwatch").put_metric_data(
            Namespace="AWS/Lambda" if lambdas else "HumanGov",
            MetricData=[
                {
                    "MetricName": name, "Dimensions": [{"Name": dimension[0], "Value": dimension[1]}],
                    "Timestamp": world.clock.now() - timedelta(seconds=ago), "Value": value,
                }
            ],
        )  # fmt: skip


def check(world: World) -> list[str]:
    """The monitor's turn; and the reconciliations that it asks for."""
    asked: list[str] = []

    async def ask(key: str) -> None:
        asked.append(key)

    asyncio.run(stream_lag_monitor.check(world.operator, LagCheck(), ask_for_reconcile=ask))
    for key in asked:
        world.reconcile_once(key)
    return asked


def pass_minutes(world: World, key: str, minutes: int) -> None:
    """With a reconciliation a minute, as the queue makes them while something is in doubt."""
    for _ in range(minutes):
        world.clock.forward(MINUTE)
        world.reconcile_once(key)


def stalled(world: World, key: str) -> bool:
    return bool(world.condition(key, "Stalled")["status"] == "True")


def test_trigger_problem_of_five_minutes_is_not_ready_and_stalled_with_lambdas_words(world: World) -> None:
    key = world.provisioned()
    reports(world, UNREADABLE)
    outcome = world.reconcile_once(key)
    assert outcome.requeue_after_seconds == MINUTE, "it is looked at again soon"
    pass_minutes(world, key, 4)
    assert world.ready(key).startswith("True"), "it may pass"
    assert world.event_reasons() == []
    pass_minutes(world, key, 2)
    assert world.ready(key).startswith("False TriggerProblem: ")
    assert stalled(world, key)
    assert UNREADABLE.rstrip(".") in world.ready(key)
    assert "organization" in world.ready(key)
    assert [(event.kind, event.reason) for event in world.kube.events] == [("Warning", "TriggerProblem")]
    world.line.forget()
    pass_minutes(world, key, 30)
    assert world.line.kube_writes() == [], "it is said once"
    assert world.line.writes() == []


def test_ready_returns_when_lambda_reports_no_problem_any_more(world: World) -> None:
    key = world.provisioned()
    reports(world, UNREADABLE)
    world.reconcile_once(key)
    pass_minutes(world, key, 6)
    assert "failingSince" in world.status(key)
    reports(world, "OK")
    world.reconcile_once(key)
    assert world.ready(key).startswith("True InSync")
    assert not stalled(world, key)
    assert "failingSince" not in world.status(key)


def test_five_minutes_of_a_trigger_problem_survive_a_restart_of_the_operator(world: World) -> None:
    key = world.provisioned()
    reports(world, UNREADABLE)
    world.reconcile_once(key)
    since = world.status(key)["failingSince"]
    world.clock.forward(4 * MINUTE)
    world.restart_operator()
    reports(world, UNREADABLE)
    world.reconcile_once(key)
    assert world.status(key)["failingSince"] == since
    world.clock.forward(1 + SHOWN_AFTER.total_seconds() - 4 * MINUTE)
    world.reconcile_once(key)
    assert world.ready(key).startswith("False TriggerProblem")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [({"trigger": {"enabled": False}}, "TriggerDisabled"), ({"hold": {"reason": "case 7"}}, "LegalHold")],
)
def test_problem_of_a_trigger_that_is_to_handle_nothing_is_no_failure(
    world: World, spec: dict[str, Any], reason: str
) -> None:
    """Under a legal hold every batch fails on purpose."""
    key = world.provisioned(**spec)
    before = world.ready(key)
    reports(world, FAILED)
    world.reconcile_once(key)
    pass_minutes(world, key, 20)
    assert world.ready(key) == before
    assert reason in before
    assert "failingSince" not in world.status(key)


def test_poison_record_among_others_that_are_handled_leaves_ready_true(world: World) -> None:
    key = world.provisioned()
    reports(world, FAILED)
    world.reconcile_once(key)
    for _ in range(3):
        world.clock.forward(3 * MINUTE)
        put(world, Invocations=40, Errors=3, erased=100)
        check(world)
        world.reconcile_once(key)
        assert world.ready(key).startswith("True"), "Lambda's word is of its last batch only"


def test_function_that_fails_every_invocation_is_not_ready_after_five_minutes(world: World) -> None:
    key = world.provisioned()
    reports(world, FAILED)
    world.reconcile_once(key)
    world.clock.forward(6 * MINUTE)
    put(world, Invocations=12, Errors=12)
    check(world)
    world.reconcile_once(key)
    assert world.ready(key).startswith("False TriggerProblem")
    reports(world, "No records processed")  # its last batch was given up
    world.reconcile_once(key)
    assert world.ready(key).startswith("False FunctionFailing")
    assert "log group" in world.ready(key).lower()


def test_function_that_hands_back_every_removal_is_not_ready_although_no_invocation_fails(world: World) -> None:
    key = world.provisioned()
    put(world, ago=6 * MINUTE, failed=3)
    check(world)  # that something failed, so more is read the next time
    put(world, ago=6 * MINUTE, Invocations=3, Errors=0)
    put(world, failed=5, Invocations=5, Errors=0)
    assert check(world) == [key]
    assert world.ready(key).startswith("True")
    world.clock.forward(5 * MINUTE)
    put(world, failed=5, Invocations=5, Errors=0)
    check(world)
    world.reconcile_once(key)
    assert world.ready(key).startswith("False FunctionFailing")
    world.clock.forward(5 * MINUTE)
    put(world, erased=13, Invocations=5, Errors=0)
    check(world)
    assert world.ready(key).startswith("True InSync")


def test_failing_function_stays_reported_until_cloudwatch_shows_success_also_after_a_restart(world: World) -> None:
    key = world.provisioned()
    put(world, ago=6 * MINUTE, failed=3)
    check(world)
    put(world, failed=5)
    check(world)
    world.clock.forward(6 * MINUTE)
    put(world, failed=5)
    check(world)
    world.reconcile_once(key)
    before = world.ready(key)
    assert before.startswith("False FunctionFailing")
    world.restart_operator()
    world.reconcile_once(key)
    assert world.ready(key) == before, "nothing is known yet"


def test_unread_trigger_neither_begins_nor_ends_a_problem(world: World) -> None:
    key = world.provisioned()
    reports(world, UNREADABLE)
    world.reconcile_once(key)
    since = world.status(key)["failingSince"]
    world.line.faults = [Fault(on(LIST), error=throttled())]
    world.reconcile_once(key)
    assert world.status(key)["failingSince"] == since


@pytest.mark.parametrize(
    ("problem", "lag", "reason"),
    [
        (None, None, None), (FAILED, None, "TriggerProblem"), (None, StreamLag(), None),
        (FAILED, StreamLag(succeeded_at=NOW - timedelta(minutes=9), read_at=NOW), "TriggerProblem"),
        (FAILED, StreamLag(succeeded_at=NOW, read_at=NOW), None),
        (None, StreamLag(failing_invocations=1), "FunctionFailing"),
        (None, StreamLag(failing_erasures=1, failed_records=1), None),
        (None, StreamLag(failing_erasures=2, failed_records=2), "FunctionFailing"),
    ],
)  # fmt: skip
def test_cause_of_failing_deliveries_follows_from_lambdas_result_and_cloudwatchs_metrics(
    problem: str | None, lag: StreamLag | None, reason: str | None
) -> None:
    found = cause_of(problem, lag, since=NOW - timedelta(minutes=5))
    assert (found.reason if found else None) == reason


def test_poison_record_in_one_shard_of_a_busy_tenant_never_makes_ready_flap(world: World) -> None:
    """Lambda's word is of that shard; CloudWatch is read every five minutes, and shows what is two minutes old."""
    key = world.provisioned()
    reports(world, FAILED)
    for _ in range(3):  # it is busy before as well
        put(world, ago=2 * MINUTE, Invocations=40, Errors=1, erased=100)
        world.reconcile_once(key)
        check(world)
        world.clock.forward(2 * MINUTE)
    world.line.forget()
    world.kube.events.clear()
    for minute in range(40):
        put(world, ago=2 * MINUTE, Invocations=40, Errors=1, erased=100)
        if minute % 5 == 0:
            check(world)
        world.clock.forward(MINUTE)
        world.reconcile_once(key)
        assert world.ready(key).startswith("True"), minute
    assert world.event_reasons() == []
    assert world.line.kube_writes() == []


def test_busy_tenant_whose_trigger_stops_working_is_not_ready_within_a_quarter_of_an_hour(world: World) -> None:
    key = world.provisioned()
    put(world, ago=2 * MINUTE, Invocations=40, Errors=0, erased=100)
    check(world)
    reports(world, UNREADABLE)
    for minute in range(15):
        if minute % 5 == 0:
            check(world)
        world.clock.forward(MINUTE)
        world.reconcile_once(key)
    assert world.ready(key).startswith("False TriggerProblem")
