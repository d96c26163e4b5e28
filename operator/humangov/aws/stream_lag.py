"""Stream lag of the functions, from CloudWatch.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
_LAMBDA = "AWS/Lambda"
_DETAILS = (("throttles", "Throttles"), ("invocations", "Invocations"), ("errors", "Errors"))
_HANDLED = ("erased", "kept", "retained")
_OF_LAG = ("iterator_age_seconds", "throttles")
_OF_WORK = {"invocations", "errors", "failed_records", "handled_files"}


@dataclass(frozen=True, kw_only=True)
class LagQuery:
    """A function, and the ownership tag's value, the dimension of its failed records.

    detailed: whether to read as well what tells why records are late or fail; each metric costs.
    """

    function: str
    owner: str
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
    """

    iterator_age_seconds: float | None = None
    throttles: float | None = None
    failed_records: float | None = None
    failing_invocations: int = 0
    failing_erasures: int = 0
    succeeded_at: datetime | None = None
    read_at: datetime | None = None


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
    )
    # Of an incomplete answer nothing is known: neither that all failed nor that some did not.
    detailed = any(answer.metric.field == "handled_files" for answer in answers)
    whole = all(answer.complete for answer in answers if answer.metric.field in _OF_WORK)
    return _with_work(lag, _by_begin(answers)) if detailed and whole else lag


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
    yield _metric(query, "iterator_age_seconds", _LAMBDA, "IteratorAge", ("FunctionName", query.function), "Maximum")
    yield _metric(query, "failed_records", NAMESPACE, "failed", (DIMENSION, query.owner), "Sum")
    if query.detailed:
        for field, name in _DETAILS:
            found = _metric(query, field, _LAMBDA, name, ("FunctionName", query.function), "Sum")
            yield replace(found, period_seconds=_MINUTE_SECONDS) if field != "throttles" else found
        for name in _HANDLED:
            yield _metric(query, "handled_files", NAMESPACE, name, (DIMENSION, query.owner), "Sum")


def _metric(
    query: LagQuery, field: str, namespace: str, name: str, dimension: tuple[str, str], statistic: str
) -> Metric:
    return Metric(
        owner=query.function, field=field, namespace=namespace, name=name, dimension=dimension, statistic=statistic,
        period_seconds=_PERIOD_SECONDS,
    )  # fmt: skip
