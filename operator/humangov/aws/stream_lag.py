"""Stream lag of the functions, from CloudWatch.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from humangov.aws import metric_data
from humangov.aws.clients import Clients
from humangov.aws.metric_data import Answer, Metric
from humangov.cleanup.embedded_metrics import DIMENSION, NAMESPACE

WINDOW = timedelta(minutes=15)
_PERIOD_SECONDS = 300
_LAMBDA = "AWS/Lambda"


@dataclass(frozen=True, kw_only=True)
class LagQuery:
    """A function, and the ownership tag's value, the dimension of its failed records.

    throttles: whether to read them as well; each metric costs.
    """

    function: str
    owner: str
    throttles: bool = False


@dataclass(frozen=True, kw_only=True)
class StreamLag:
    """CloudWatch's values for one HumanGovState's function. None: no value."""

    iterator_age_seconds: float | None = None
    throttles: float | None = None
    failed_records: float | None = None


def read(clients: Clients, queries: Sequence[LagQuery], *, now: datetime) -> dict[str, StreamLag]:
    """By function, except those whose lag CloudWatch could not read: that is not an absence. Raises AwsError."""
    metrics = [metric for query in queries for metric in _metrics(query)]
    answers: dict[str, list[Answer]] = defaultdict(list)
    for answer in metric_data.read(clients, metrics, target=f"{len(queries)} functions", now=now, window=WINDOW):
        answers[answer.metric.owner].append(answer)
    lags = {function: _lag(of_function) for function, of_function in answers.items()}
    return {function: lag for function, lag in lags.items() if lag is not None}


def _lag(answers: Sequence[Answer]) -> StreamLag | None:
    """Of one function; None where its lag could not be read. Pure."""
    values: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        values[answer.metric.field] += [value.number for value in answer.values]
    ages, throttles, failed = (values[field] for field in ("iterator_age_seconds", "throttles", "failed_records"))
    if not ages and any(not answer.complete and answer.metric.field != "failed_records" for answer in answers):
        return None
    return StreamLag(
        iterator_age_seconds=ages[0] / 1000 if ages else None,
        throttles=sum(throttles) if throttles else None,
        failed_records=sum(failed) if failed else None,
    )


def _metrics(query: LagQuery) -> Iterator[Metric]:
    yield _metric(query, "iterator_age_seconds", _LAMBDA, "IteratorAge", ("FunctionName", query.function), "Maximum")
    yield _metric(query, "failed_records", NAMESPACE, "failed", (DIMENSION, query.owner), "Sum")
    if query.throttles:
        yield _metric(query, "throttles", _LAMBDA, "Throttles", ("FunctionName", query.function), "Sum")


def _metric(
    query: LagQuery, field: str, namespace: str, name: str, dimension: tuple[str, str], statistic: str
) -> Metric:
    return Metric(
        owner=query.function, field=field, namespace=namespace, name=name, dimension=dimension, statistic=statistic,
        period_seconds=_PERIOD_SECONDS,
    )  # fmt: skip
