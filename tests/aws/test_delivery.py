"""Records that reach the function late are a standing warning, long before the stream forgets them.

CloudWatch is emulated: what Lambda would tell it is put into it here.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from humangov.api.conditions import Finding
from humangov.aws import stream_lag as cloudwatch
from humangov.aws.clients import Clients
from humangov.aws.stream_lag import StreamLag
from humangov.manager import stream_lag_monitor
from humangov.manager.stream_lag_monitor import LagCheck, judge

from testing.reconciler.drifts import NAME
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import denied, throttled
from testing.reconciler.world import CLUSTER, World
from testing.samples import NOW

MINUTE, HOUR = 60.0, 3600.0
READ = "cloudwatch:GetMetricData"
PROBLEM = "PROBLEM: Function call failed"


def put(
    world: World,
    metric: str,
    value: float,
    *,
    namespace: str = "AWS/Lambda",
    of: tuple[str, str] = ("FunctionName", NAME),
) -> None:
    """As Lambda, or the function's own log, would have told it a moment ago."""
    moment = world.clock.now() - timedelta(minutes=1)
    world.sdk.client("cloudwatch").put_metric_data(
        Namespace=namespace,
        MetricData=[
            {"MetricName": metric, "Dimensions": [{"Name": of[0], "Value": of[1]}], "Timestamp": moment, "Value": value}
        ],
    )


def check(world: World, before: LagCheck | None = None) -> tuple[LagCheck, list[str]]:
    """One check; and for whom a reconcile was asked, who then has it."""
    asked: list[str] = []

    async def ask(key: str) -> None:
        asked.append(key)

    found = asyncio.run(stream_lag_monitor.check(world.operator, before or LagCheck(), ask_for_reconcile=ask))
    for key in asked:
        world.reconcile_once(key)
    return found, asked


def look(world: World) -> list[str]:
    """For whom a check asked for a reconcile."""
    return check(world)[1]


def reported(world: World, key: str) -> Any:
    return next((one for one in world.status(key)["conditions"] if one["type"] == "RecordsDelivered"), None)


def test_stream_without_lag_adds_no_event_and_no_write(world: World) -> None:
    key = world.provisioned()
    put(world, "IteratorAge", 20 * MINUTE * 1000)
    found, asked = check(world)
    assert asked == []
    for _ in range(7):
        world.reconcile_once(key)
    assert reported(world, key) is None
    assert world.line.kube_writes() == []
    [(whose, lag)] = found.lags.items()
    assert whose == ("humangov", "california")
    assert lag.iterator_age_seconds == 20 * MINUTE


def test_stream_lag_is_warned_about_once_and_its_end_is_reported(world: World) -> None:
    key = world.provisioned()
    put(world, "IteratorAge", 40 * MINUTE * 1000)
    assert look(world) == [key]
    condition = reported(world, key)
    assert (condition["status"], condition["reason"]) == ("False", "StreamLagging")
    assert "over 30m old" in condition["message"]
    assert "log group" in condition["message"]
    assert world.ready(key).startswith("True")
    world.line.forget()
    put(world, "IteratorAge", 50 * MINUTE * 1000)
    assert look(world) == []
    world.reconcile_once(key)
    assert world.line.kube_writes() == []

    world.clock.forward(20 * MINUTE)
    put(world, "IteratorAge", 5 * MINUTE * 1000)
    assert look(world) == [key]
    assert (reported(world, key)["status"], reported(world, key)["reason"]) == ("True", "StreamCaughtUp")
    assert world.event_reasons() == ["StreamLagging", "StreamCaughtUp"]
    assert [event.kind for event in world.kube.events] == ["Warning", "Normal"]


def test_missing_metrics_clear_a_stream_lag_warning_only_without_denied_calls(world: World) -> None:
    key = world.provisioned()
    put(world, "IteratorAge", 2 * HOUR * 1000)
    look(world)
    world.clock.forward(HOUR)
    put(world, "Throttles", 3)
    assert look(world) == []
    assert reported(world, key)["status"] == "False"
    world.clock.forward(HOUR)
    assert look(world) == [key]
    assert reported(world, key)["status"] == "True"


def ail(world: World) -> None:
    """From now on Lambda reports a problem of each trigger."""

    def alter(answer: Any) -> Any:
        mappings = [{**mapping, "LastProcessingResult": PROBLEM} for mapping in answer["EventSourceMappings"]]
        return {**answer, "EventSourceMappings": mappings}

    world.line.faults = [Fault(on("lambda:ListEventSourceMappings"), alter=alter)]


def test_missing_metrics_keep_a_stream_lag_warning_while_the_trigger_has_a_problem_or_is_unread(world: World) -> None:
    key = world.provisioned()
    put(world, "IteratorAge", 2 * HOUR * 1000)
    look(world)
    world.clock.forward(HOUR)
    ail(world)
    world.reconcile_once(key)
    assert look(world) == []
    world.restart_operator()
    ail(world)
    world.operator.store.put(copy.deepcopy(world.kube.objects[key]))  # as the first list does
    assert look(world) == []
    world.reconcile_once(key)
    assert look(world) == []
    assert reported(world, key)["status"] == "False"
    world.line.faults = []
    world.reconcile_once(key)
    assert look(world) == [key]
    assert reported(world, key)["status"] == "True"


def test_stream_lag_of_a_tenant_in_deletion_is_not_read(world: World) -> None:
    key = world.provisioned()
    put(world, "IteratorAge", 2 * HOUR * 1000)
    world.line.faults = [Fault(on("lambda:DeleteEventSourceMapping"), error=throttled())]
    world.delete(key)
    world.reconcile_once(key)
    world.line.forget()
    assert look(world) == []
    assert world.line.reads() == []


def test_failed_invocations_are_counted(world: World) -> None:
    world.provisioned()
    owner = f"{CLUSTER}/humangov/california"
    put(world, "failed", 3, namespace="HumanGov", of=("tenant", owner))
    found, _ = check(world)
    assert found.lags["humangov", "california"].failed_records == 3


def test_stream_lag_warning_survives_an_operator_restart_and_a_failed_read(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    key = world.provisioned()
    put(world, "IteratorAge", 13 * HOUR * 1000)
    look(world)
    assert reported(world, key)["reason"] == "RecordsExpiring"
    world.restart_operator()
    world.reconcile_once(key)
    world.line.forget()
    known = LagCheck()
    for failure in (denied(READ), denied(READ), throttled()):
        world.line.faults = [Fault(on(READ), error=failure)]
        known, asked = check(world, known)
        assert asked == []
    world.reconcile_once(key)
    assert reported(world, key)["status"] == "False"
    assert world.line.kube_writes() == []
    assert known.lags == {}
    assert caplog.text.count("the stream lag could not be read") == 1


def test_one_cloudwatch_call_reads_all_tenants_of_an_account(world: World) -> None:
    world.provisioned(bucket={"name": world.bucket, "keyPrefix": "california/"})
    for name in ("florida", "ohio"):
        world.make_table(f"humangov-{name}-dynamodb")
        world.settle(world.apply(world.manifest(name, bucket={"name": world.bucket, "keyPrefix": f"{name}/"})))
    world.line.forget()
    found, _ = check(world)
    assert world.line.reads() == [READ]
    assert sorted(found.lags) == [("humangov", name) for name in ("california", "florida", "ohio")]


class Pages:
    """CloudWatch, as far as its limits go: two answers a page."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def pages(self, action: str, items: str, *, token: Any, target: str, **parameters: Any) -> list[Any]:
        queries: Sequence[Any] = parameters["MetricDataQueries"]
        self.asked.append(len(queries))
        return [
            {"Id": one["Id"], "Timestamps": [NOW], "Values": [float(number)], "StatusCode": "Complete"}
            for number, one in enumerate(queries)
        ]


def test_more_than_500_metrics_take_another_cloudwatch_call() -> None:
    pages = Pages()
    asked = [
        cloudwatch.LagQuery(function=f"f{number}", owner=f"o{number}", table=f"t{number}") for number in range(300)
    ]
    found = cloudwatch.read(pages, asked, now=NOW)  # type: ignore[arg-type]
    assert pages.asked == [500, 400]
    assert len(found) == 300
    assert found["f1"] == StreamLag(iterator_age_seconds=0.003, failed_records=4.0, read_at=NOW, undelivered_since=None)


def test_stream_lag_warning_that_was_never_published_has_no_end_event(world: World) -> None:
    key = world.provisioned()
    put(world, "IteratorAge", 40 * MINUTE * 1000)

    async def busy(_: str) -> None:
        """No worker comes to it before the next look."""

    asyncio.run(stream_lag_monitor.check(world.operator, LagCheck(), ask_for_reconcile=busy))
    world.clock.forward(20 * MINUTE)
    put(world, "IteratorAge", 1000)
    assert look(world) == []
    world.reconcile_once(key)
    assert reported(world, key) is None
    assert world.event_reasons() == []


class Unanswered:
    """CloudWatch, where it answers the call and yet not for each metric."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = statuses

    def pages(self, action: str, items: str, *, token: Any, target: str, **parameters: Any) -> list[Any]:
        queries: Sequence[Any] = parameters["MetricDataQueries"]
        return [{"Id": one["Id"], "Values": [], "StatusCode": status} for status in self.statuses for one in queries]


@pytest.mark.parametrize(
    ("statuses", "reported"),
    [
        (("Complete",), True), (("PartialData", "Complete"), True),
        (("InternalError",), False), (("Forbidden",), False), (("PartialData",), False),
    ],
)  # fmt: skip
def test_metric_that_cloudwatch_could_not_read_does_not_clear_a_warning(
    statuses: tuple[str, ...], reported: bool
) -> None:
    asked = [cloudwatch.LagQuery(function="f", owner="o", table="t", detailed=True)]
    found = cloudwatch.read(Unanswered(*statuses), asked, now=datetime.now(UTC))  # type: ignore[arg-type]
    assert ("f" in found) is reported


def test_stream_lag_is_reported_even_if_other_metrics_could_not_be_read() -> None:
    asked = [cloudwatch.LagQuery(function="f", owner="o", table="t", detailed=True)]

    class Partly(Unanswered):
        def pages(self, *_: str, **parameters: Any) -> list[Any]:
            age, *others = parameters["MetricDataQueries"]
            known = {"Id": age["Id"], "Timestamps": [NOW], "Values": [HOUR * 1000], "StatusCode": "Complete"}
            return [known, *({"Id": one["Id"], "Values": [], "StatusCode": "InternalError"} for one in others)]

    found = cloudwatch.read(Partly(), asked, now=datetime.now(UTC))  # type: ignore[arg-type]
    assert found["f"].iterator_age_seconds == HOUR
    assert found["f"].failed_records is None


def test_warning_stays_when_cloudwatch_answers_with_partial_data(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key = world.provisioned()
    put(world, "IteratorAge", 2 * HOUR * 1000)
    look(world)
    pages = Unanswered("InternalError").pages
    monkeypatch.setattr(Clients, "pages", lambda _, *args, **parameters: pages(*args, **parameters))
    world.clock.forward(HOUR)
    found, asked = check(world)
    assert asked == []
    assert reported(world, key)["status"] == "False"
    assert found.lags == {}


# The verdict

LATE = {"conditions": [{"type": "RecordsDelivered", "status": "False", "reason": "StreamLagging", "message": ""}]}
ON = {"type": "TriggerReady", "status": "True", "reason": "Enabled", "message": ""}
OFF = {**ON, "reason": "Disabled"}


def judged(
    age: float | None, status: Any = None, *, limit: float = 12 * HOUR, problem: str | None = None, **lag: Any
) -> Finding | None:
    return judge(
        StreamLag(iterator_age_seconds=age, **lag), status or {}, trigger_problem=problem,
        record_age_limit_seconds=limit,
    )  # fmt: skip


def verdict(age: float | None, status: Any = None, **of: Any) -> str | None:
    found = judged(age, status, **of)
    return found.reason if found else None


@pytest.mark.parametrize(
    ("age", "wanted"),
    [
        (None, None), (0, None), (30 * MINUTE - 1, None), (30 * MINUTE, "StreamLagging"), (8 * HOUR, "StreamLagging"),
        (10 * HOUR, "RecordsExpiring"), (23.5 * HOUR, "RecordsExpiring"), (40 * HOUR, "RecordsExpiring"),
    ],
)  # fmt: skip
def test_stream_lag_warns_at_30_minutes_and_is_urgent_at_three_quarters_of_the_record_age(
    age: float | None, wanted: str | None
) -> None:
    assert verdict(age) == wanted


def test_stream_lag_is_urgent_at_12_hours_without_a_maximum_record_age() -> None:
    assert verdict(11 * HOUR, limit=-1) == "StreamLagging"
    assert verdict(12 * HOUR, limit=-1) == "RecordsExpiring"
    found = judged(12 * HOUR, limit=-1)
    assert found is not None
    assert "redrive" not in found.message
    assert "in less than 12h" in found.message


def test_stream_lag_that_oscillates_around_the_limit_is_reported_once() -> None:
    assert verdict(20 * MINUTE, LATE) == "StreamLagging"
    assert verdict(15 * MINUTE - 1, LATE) == "StreamCaughtUp"


@pytest.mark.parametrize(
    ("trigger", "problem", "wanted"),
    [(ON, None, "StreamCaughtUp"), (ON, PROBLEM, None), (OFF, None, None), (None, None, None)],
)
def test_missing_metrics_mean_no_lag_only_while_the_trigger_is_enabled_and_healthy(
    trigger: Any, problem: str | None, wanted: str | None
) -> None:
    status = {"conditions": [*LATE["conditions"], *([trigger] if trigger else [])]}
    assert verdict(None, status, problem=problem) == wanted
    assert verdict(None, status, problem=problem, throttles=1.0) is None
    assert verdict(None, status, problem=problem, undelivered_since=NOW) is None


def test_stream_lag_message_changes_in_steps_and_not_every_minute() -> None:
    ages = [minutes * MINUTE for minutes in range(30, 24 * 60, 5)]
    messages = [judged(age, limit=-1) for age in ages]
    assert len({one.message for one in messages if one}) == 14
