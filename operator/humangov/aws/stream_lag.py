"""Stream lag of the functions, and what came of their records, from CloudWatch.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from humangov.aws import metric_data
from humangov.aws.clients import Clients
from humangov.aws.metric_data import Answer, Metric
from humangov.cleanup.embedded_metrics import DIMENSION, NAMESPACE

WINDOW = timedelta(minutes=15)
_MINUTE = timedelta(minutes=1)
_PERIOD_SECONDS = 300
_MINUTE_SECONDS = 60
_LAMBDA, _DYNAMODB = "AWS/Lambda", "AWS/DynamoDB"
_DETAILS = (
    ("throttles", "Throttles"), ("invocations", "Invocations"), ("errors", "Errors"),
    ("not_stored", "DestinationDeliveryErrors"),
)  # fmt: skip
_BY_MINUTE = ("invocations", "errors")
_HANDLED = ("erased", "kept", "retained")
_OF_LAG = ("iterator_age_seconds", "throttles")
_OF_WORK = {"invocations", "errors", "failed_records", "handled_files"}
_OF_WAY = {"written", "invocations", "throttles", "records_read", "stream_reads"}


@dataclass(frozen=True, kw_only=True)
class LagQuery:
    """A function, the ownership tag's value, the dimension of its failed records, and what the function reads.

    stream    label of the table's stream; None: not known
    detailed  whether to read as well what tells why records are late or fail; each metric costs
    """

    function: str
    owner: str
    table: str
    stream: str | None = None
    detailed: bool = False


@dataclass(frozen=True, kw_only=True)
class StreamLag:
    """CloudWatch's values for one HumanGovState's function, of the last 15 minutes. None: no value, or not asked for.

    failed_records       that were handed back
    failing_invocations  in how many of the latest minutes with invocations every one of them failed
    failing_erasures     in how many of the latest periods of five minutes with records some failed, and no file was
                         handled: erased, or kept for a reason
    succeeded_at         when the latest minute ended in which an invocation did not fail
    read_at              when they were read
    undelivered_since    by when the table had been written to without any invocation since then
    way                  where those records are, as far as it is known
    not_stored           when failed invocations could not be stored in the failures bucket, from the first to the last
    """

    iterator_age_seconds: float | None = None
    throttles: float | None = None
    failed_records: float | None = None
    failing_invocations: int = 0
    failing_erasures: int = 0
    succeeded_at: datetime | None = None
    read_at: datetime | None = None
    undelivered_since: datetime | None = None
    way: Way | None = None
    not_stored: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, kw_only=True)
class Way:
    """What became of records that no invocation received. Each may be another reader's, but for the first.

    throttled  Lambda was refused invocations of the function
    read       the stream gave records to a reader
    reads      the stream was read, whether it gave records or not
    """

    throttled: bool
    read: bool
    reads: bool


def read(clients: Clients, queries: Sequence[LagQuery], *, now: datetime) -> dict[str, StreamLag]:
    """By function, except those whose lag CloudWatch could not read: that is not an absence. Raises AwsError."""
    metrics = [metric for query in queries for metric in _metrics(query)]
    answers: dict[str, list[Answer]] = defaultdict(list)
    for answer in metric_data.read(clients, metrics, target=f"{len(queries)} functions", now=now, window=WINDOW):
        answers[answer.metric.owner].append(answer)
    lags = {function: _lag(of_function) for function, of_function in answers.items()}
    return {function: replace(lag, read_at=now) for function, lag in lags.items() if lag is not None}


def _lag(answers: Sequence[Answer]) -> StreamLag | None:
    """Of one function; None where its lag could not be read. Pure."""
    values: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        values[answer.metric.field] += [value.number for value in answer.values]
    ages = values["iterator_age_seconds"]
    if not ages and any(not answer.complete and answer.metric.field in _OF_LAG for answer in answers):
        return None
    lag = StreamLag(
        iterator_age_seconds=ages[0] / 1000 if ages else None,
        throttles=sum(values["throttles"]) if values["throttles"] else None,
        failed_records=sum(values["failed_records"]) if values["failed_records"] else None,
        undelivered_since=_undelivered_since(answers),
        not_stored=_not_stored(answers),
    )
    # Of an incomplete answer nothing is known: neither that all failed nor that some did not.
    if not any(answer.metric.field == "handled_files" for answer in answers):
        return lag
    if _complete(answers, _OF_WAY) and any(answer.metric.field == "stream_reads" for answer in answers):
        lag = replace(lag, way=Way(
            throttled=sum(values["throttles"]) > 0, read=sum(values["records_read"]) > 0,
            reads=sum(values["stream_reads"]) > 0,
        ))  # fmt: skip
    return _with_work(lag, _by_begin(answers)) if _complete(answers, _OF_WORK) else lag


def _complete(answers: Sequence[Answer], fields: Collection[str]) -> bool:
    return all(answer.complete for answer in answers if answer.metric.field in fields)


def _undelivered_since(answers: Sequence[Answer]) -> datetime | None:
    """When the first period ended that wrote to the table, and after whose begin no invocation was. None: no such."""
    if not _complete(answers, {"written", "iterator_age_seconds", "invocations"}):
        return None
    # Lambda tells the age of what it invokes the function with.
    invoked = [*_periods(answers, "iterator_age_seconds", least=0), *_periods(answers, "invocations", least=1)]
    since = max((end for _, end in invoked), default=None)
    written = _periods(answers, "written", least=0.5)
    return min((end for begun, end in written if since is None or begun >= since), default=None)


def _not_stored(answers: Sequence[Answer]) -> tuple[datetime, datetime] | None:
    periods = _periods(answers, "not_stored", least=1)
    return (min(periods)[0], max(end for _, end in periods)) if periods else None


def _periods(answers: Sequence[Answer], field: str, *, least: float) -> list[tuple[datetime, datetime]]:
    """Begin and end of each period in which the field had at least that value."""
    return [
        (value.begun, value.begun + timedelta(seconds=answer.metric.period_seconds))
        for answer in answers
        if answer.metric.field == field
        for value in answer.values
        if value.number >= least
    ]


def continued(before: StreamLag | None, lag: StreamLag) -> StreamLag:
    """With what was known of undelivered records, which were written before these values begin.

    They are still undelivered if there was no invocation since, and if no time passed of which nothing is known.
    """
    if before is None or before.undelivered_since is None or before.read_at is None or lag.read_at is None:
        return lag
    if lag.iterator_age_seconds is not None or lag.succeeded_at is not None or lag.failing_invocations:
        return lag
    if lag.read_at - before.read_at >= WINDOW:
        return lag
    since = min(before.undelivered_since, lag.undelivered_since or before.undelivered_since)
    seen = before.way is not None and before.way.read
    way = replace(lag.way, read=lag.way.read or seen) if lag.way is not None else before.way
    return replace(lag, undelivered_since=since, way=way)


def _with_work(lag: StreamLag, periods: Sequence[tuple[datetime, Mapping[str, float]]]) -> StreamLag:
    """With what came of the invocations. periods: each field's sum, the latest period first."""
    invoked = [(begun, one["errors"] >= one["invocations"]) for begun, one in periods if one["invocations"]]
    handled = [not one["handled_files"] for _, one in periods if one["failed_records"] or one["handled_files"]]
    return replace(
        lag,
        failing_invocations=_streak(failed for _, failed in invoked),
        failing_erasures=_streak(handled),
        succeeded_at=next((begun + _MINUTE for begun, failed in invoked if not failed), None),
    )


def _by_begin(answers: Sequence[Answer]) -> list[tuple[datetime, Mapping[str, float]]]:
    """Each field's sum in each period, the latest period first."""
    periods: dict[datetime, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for answer in answers:
        for value in answer.values:
            periods[value.begun][answer.metric.field] += value.number
    return sorted(periods.items(), reverse=True)


def _streak(found: Iterable[bool]) -> int:
    """How many are true before the first that is not."""
    return sum(1 for _ in itertools.takewhile(bool, found))


def _metrics(query: LagQuery) -> Iterator[Metric]:
    function, owner, table = {"FunctionName": query.function}, {DIMENSION: query.owner}, {"TableName": query.table}
    yield _metric(query, "iterator_age_seconds", _LAMBDA, "IteratorAge", function, "Maximum")
    yield _metric(query, "failed_records", NAMESPACE, "failed", owner)
    yield _metric(query, "written", _DYNAMODB, "ConsumedWriteCapacityUnits", table)
    if not query.detailed:
        return
    for field, name in _DETAILS:
        found = _metric(query, field, _LAMBDA, name, function)
        yield replace(found, period_seconds=_MINUTE_SECONDS) if field in _BY_MINUTE else found
    for name in _HANDLED:
        yield _metric(query, "handled_files", NAMESPACE, name, owner)
    if query.stream is not None:
        reads = {**table, "StreamLabel": query.stream, "Operation": "GetRecords"}
        yield _metric(query, "records_read", _DYNAMODB, "ReturnedRecordsCount", reads)
        yield _metric(query, "stream_reads", _DYNAMODB, "SuccessfulRequestLatency", reads, "SampleCount")


def _metric(
    query: LagQuery, field: str, namespace: str, name: str, dimensions: Mapping[str, str], statistic: str = "Sum"
) -> Metric:
    return Metric(
        owner=query.function, field=field, namespace=namespace, name=name, dimensions=dimensions, statistic=statistic,
        period_seconds=_PERIOD_SECONDS,
    )  # fmt: skip
