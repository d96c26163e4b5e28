"""Records were written and none was delivered, although Lambda reports no problem: not Ready, and Stalled.

What DynamoDB and Lambda would tell CloudWatch is put into the emulated one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from humangov.aws import stream_lag
from humangov.aws.stream_lag import LagQuery, StreamLag, Way
from humangov.manager import stream_lag_monitor
from humangov.manager.stream_lag_monitor import LagCheck
from humangov.reconcile.delivery import cause_of
from hypothesis import given
from hypothesis import strategies as st

from testing.reconciler.drifts import NAME, TABLE, awslambda, mapping_uuid
from testing.reconciler.line import Fault, on
from testing.reconciler.world import World
from testing.samples import NOW

MINUTE, PERIOD = timedelta(minutes=1), timedelta(minutes=5)


def put(world: World, metrics: Mapping[str, float]) -> None:
    """Of the function, of its table, or of the table's stream."""
    label = world.status("humangov/california")["records"]["stream"]
    reads = {"TableName": TABLE, "StreamLabel": label, "Operation": "GetRecords"}
    for name, value in metrics.items():
        of_stream = {"ReturnedRecordsCount": reads, "SuccessfulRequestLatency": reads}
        dimensions = {"ConsumedWriteCapacityUnits": {"TableName": TABLE}, **of_stream}.get(name, {"FunctionName": NAME})
        world.sdk.client("cloudwatch").put_metric_data(
            Namespace="AWS/Lambda" if "FunctionName" in dimensions else "AWS/DynamoDB",
            MetricData=[
                {
                    "MetricName": name, "Dimensions": [{"Name": one, "Value": of} for one, of in dimensions.items()],
                    "Timestamp": world.clock.now() - MINUTE, "Value": value,
                }
            ],
        )  # fmt: skip


def check(world: World) -> None:
    """The monitor's turn; and the reconciliations that it asks for."""
    asked: list[str] = []

    async def ask(key: str) -> None:
        asked.append(key)

    asyncio.run(stream_lag_monitor.check(world.operator, LagCheck(), ask_for_reconcile=ask))
    for key in asked:
        world.reconcile_once(key)


def live(world: World, key: str, minutes: int, **each_minute: float) -> list[str]:
    """So many minutes, with a check in each fifth, as they are; what Ready was."""
    found = []
    for minute in range(minutes):
        if each_minute:
            put(world, each_minute)
        if minute % 5 == 0:
            check(world)
            world.reconcile_once(key)
            found.append(world.ready(key).partition(":")[0])
        world.clock.forward(60)
    return found


@pytest.fixture
def key(world: World) -> str:
    """A tenant whose trigger has been enabled for long."""
    key = world.provisioned()
    world.clock.forward(1800)
    world.reconcile_once(key)
    world.line.forget()
    return key


POLLS = {"SuccessfulRequestLatency": 3.0}
WRITES = {"ConsumedWriteCapacityUnits": 4.0}


def test_records_that_were_written_and_not_delivered_are_not_ready_and_stalled(world: World, key: str) -> None:
    found = live(world, key, 25, **WRITES, **POLLS, ReturnedRecordsCount=2)
    assert found[0].startswith("True"), "it may come in a moment"
    assert found[-1] == "False RecordsNotDelivered"
    assert world.condition(key, "Stalled")["status"] == "True"
    assert f"--uuid {mapping_uuid(world)}" in world.ready(key)
    assert [(event.kind, event.reason) for event in world.kube.events] == [("Warning", "RecordsNotDelivered")]
    world.line.forget()
    live(world, key, 30, **POLLS)
    assert world.ready(key).startswith("False RecordsNotDelivered"), "the table is idle, and they are still there"
    assert world.line.writes() == []
    assert world.line.kube_writes() == []


def test_records_not_delivered_ends_with_one_invocation(world: World, key: str) -> None:
    live(world, key, 25, **WRITES, **POLLS, ReturnedRecordsCount=2)
    assert world.ready(key).startswith("False RecordsNotDelivered")
    put(world, {"IteratorAge": 20_000, "Invocations": 1})
    check(world)
    assert world.ready(key).startswith("True InSync")
    assert "failingSince" not in world.status(key)


def made_now(world: World, answer: Any) -> Any:
    """The emulated Lambda dates a mapping by the machine's clock."""
    for mapping in answer["EventSourceMappings"]:
        mapping["LastModified"] = world.clock.now()
    return answer


def test_trigger_that_is_deleted_as_the_remedy_says_is_created_again_and_given_time(world: World, key: str) -> None:
    live(world, key, 25, **WRITES, **POLLS, ReturnedRecordsCount=2)
    before = mapping_uuid(world)
    awslambda(world).delete_event_source_mapping(UUID=before)
    world.line.faults = [Fault(on("lambda:ListEventSourceMappings"), alter=partial(made_now, world))]
    world.settle(key)
    assert world.ready(key).startswith("True InSync")
    assert mapping_uuid(world) != before
    [made] = awslambda(world).list_event_source_mappings(FunctionName=NAME)["EventSourceMappings"]
    assert made["StartingPosition"] == "TRIM_HORIZON"


def test_records_not_delivered_stay_reported_after_a_restart_until_cloudwatch_was_read(world: World, key: str) -> None:
    live(world, key, 25, **WRITES, **POLLS, ReturnedRecordsCount=2)
    before = world.ready(key)
    world.restart_operator()
    world.reconcile_once(key)
    assert world.ready(key) == before


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ({**WRITES, **POLLS, "ReturnedRecordsCount": 2, "Throttles": 5}, "throttles every invocation"),
        (WRITES, "does not read its stream"),
    ],
)
def test_each_cause_of_undelivered_records_has_its_own_sentence(
    world: World, key: str, metrics: Mapping[str, float], text: str
) -> None:
    live(world, key, 25, **metrics)
    assert world.ready(key).startswith("False RecordsNotDelivered")
    assert text in world.ready(key)


@pytest.mark.parametrize(
    "metrics",
    [
        {}, POLLS, {**WRITES, **POLLS, "ReturnedRecordsCount": 0}, {**POLLS, "ReturnedRecordsCount": 5},
        {**WRITES, **POLLS, "ReturnedRecordsCount": 9, "IteratorAge": 100, "Invocations": 3},
        {**WRITES, "IteratorAge": 100},
    ],
)  # fmt: skip
def test_idle_table_and_writes_that_change_nothing_and_busy_functions_are_ready(
    world: World, key: str, metrics: Mapping[str, float]
) -> None:
    """Of an unchanged item a write makes no record. A reading of the stream by others gives records that are old."""
    assert set(live(world, key, 60, **metrics)) == {"True InSync"}
    assert world.event_reasons() == []
    assert world.line.kube_writes() == []


def test_trigger_that_was_just_enabled_is_given_time(world: World) -> None:
    key = world.provisioned()
    assert set(live(world, key, 14, **WRITES, **POLLS, ReturnedRecordsCount=2)) == {"True InSync"}


@pytest.mark.parametrize("spec", [{"trigger": {"enabled": False}}, {"hold": {"reason": "case 7"}}, {"suspend": False}])
def test_tenant_whose_trigger_is_to_deliver_nothing_is_not_failing(world: World, spec: dict[str, Any]) -> None:
    key = world.provisioned(**spec)
    if spec == {"suspend": False}:
        world.kube.edit(key, lambda one: one["metadata"].update(annotations={"humangov.io/stop": "a drill"}))
        world.settle(key)
    world.clock.forward(1800)
    world.kube.edit(key, lambda one: one["status"].setdefault("records", {}).setdefault("stream", "s"))
    live(world, key, 40, **WRITES, **POLLS, ReturnedRecordsCount=2)
    assert "RecordsNotDelivered" not in world.ready(key)
    assert "failingSince" not in world.status(key)


def test_sweep_that_reads_the_stream_meanwhile_is_no_sign_of_records(world: World, key: str) -> None:
    """It reads what was delivered long ago, while writes that change nothing make no record."""
    sweep = {"run": "r", "startedAt": "2026-01-01T00:00:00Z", "result": "Running", "mode": "Detect"}
    world.kube.edit(key, lambda one: one["status"].update(sweep=sweep))
    world.reconcile_once(key)
    found = live(world, key, 30, **WRITES, **POLLS, ReturnedRecordsCount=500)
    assert set(found) == {"True InSync"}


# The rule

WAY = Way(throttled=False, read=True, reads=True)


@pytest.mark.parametrize(
    ("minutes", "way", "alarm"),
    [
        (10, WAY, True), (9, WAY, False), (60, None, False), (60, Way(throttled=False, read=False, reads=True), False),
        (60, Way(throttled=False, read=False, reads=False), True),
        (60, Way(throttled=True, read=False, reads=True), True),
    ],
)  # fmt: skip
def test_alarm_needs_ten_minutes_and_something_that_says_where_the_records_are(
    minutes: int, way: Way | None, alarm: bool
) -> None:
    lag = StreamLag(undelivered_since=NOW - minutes * MINUTE, way=way, read_at=NOW)
    assert (cause_of(None, lag) is not None) is alarm


class CloudWatch:
    """What it answers, by metric: begin of a period, in minutes before now, and value. `unread` it could not read."""

    def __init__(self, values: Mapping[str, Mapping[int, float]], *, unread: str = "") -> None:
        self.values, self.unread = values, unread

    def pages(self, action: str, items: str, *, token: Any, target: str, **parameters: Any) -> list[Any]:
        return [self._page(query) for query in parameters["MetricDataQueries"]]

    def _page(self, query: Any) -> dict[str, Any]:
        name = query["MetricStat"]["Metric"]["MetricName"]
        values = dict(sorted(self.values.get(name, {}).items()))
        return {
            "Id": query["Id"], "StatusCode": "InternalError" if name == self.unread else "Complete",
            "Timestamps": [NOW - ago * MINUTE for ago in values], "Values": list(values.values()),
        }  # fmt: skip


def read(cloudwatch: CloudWatch) -> StreamLag | None:
    query = LagQuery(function="f", owner="o", table="t", stream="s", detailed=True)
    return stream_lag.read(cloudwatch, [query], now=NOW).get("f")  # type: ignore[arg-type]


@given(
    written=st.dictionaries(st.sampled_from([0, 5, 10]), st.floats(0, 9), max_size=3),
    invoked=st.dictionaries(st.integers(0, 14), st.integers(0, 9).map(float), max_size=5),
    aged=st.dictionaries(st.sampled_from([0, 5, 10]), st.floats(0, 9000), max_size=3),
)
def test_nothing_is_undelivered_if_an_invocation_was_in_or_after_the_last_period_with_writes(
    written: dict[int, float], invoked: dict[int, float], aged: dict[int, float]
) -> None:
    lag = read(CloudWatch({"ConsumedWriteCapacityUnits": written, "Invocations": invoked, "IteratorAge": aged}))
    assert lag is not None
    last_write = min((ago for ago, units in written.items() if units >= 0.5), default=None)
    last_call = min([*aged, *(ago for ago, number in invoked.items() if number)], default=None)
    if last_write is None or (last_call is not None and last_call < last_write):
        assert lag.undelivered_since is None
    if last_write is not None and last_call is None:
        first_write = max(ago for ago, units in written.items() if units >= 0.5)
        assert lag.undelivered_since == NOW - first_write * MINUTE + PERIOD


@pytest.mark.parametrize(
    "unread", ["ConsumedWriteCapacityUnits", "Invocations", "IteratorAge", "SuccessfulRequestLatency"]
)
def test_missing_cloudwatch_metrics_do_not_mean_records_not_delivered(unread: str) -> None:
    lag = read(CloudWatch({"ConsumedWriteCapacityUnits": {10: 5.0}, "ReturnedRecordsCount": {10: 5.0}}, unread=unread))
    assert lag is None or cause_of(None, lag) is None


def test_gap_in_what_is_known_ends_what_was_undelivered_before() -> None:
    before = StreamLag(undelivered_since=NOW - timedelta(hours=1), way=WAY, read_at=NOW - timedelta(minutes=16))
    assert stream_lag.continued(before, StreamLag(read_at=NOW)).undelivered_since is None
    recent = StreamLag(undelivered_since=NOW - timedelta(hours=1), way=WAY, read_at=NOW - timedelta(minutes=5))
    assert stream_lag.continued(recent, StreamLag(read_at=NOW)).undelivered_since == NOW - timedelta(hours=1)
    called = StreamLag(read_at=NOW, iterator_age_seconds=3.0)
    assert stream_lag.continued(recent, called).undelivered_since is None


def test_failed_invocations_that_could_not_be_stored_are_read_with_their_time() -> None:
    lag = read(CloudWatch({"DestinationDeliveryErrors": {10: 1.0, 5: 2.0, 0: 0.0}}))
    assert lag is not None
    assert lag.not_stored == (NOW - 10 * MINUTE, NOW)
