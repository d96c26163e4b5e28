"""Stream lag of the functions, from CloudWatch: one bulk call for all, up to 500 metrics each.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from humangov.aws.clients import Clients
from humangov.cleanup.embedded_metrics import DIMENSION, NAMESPACE

WINDOW = timedelta(minutes=15)
_PERIOD_SECONDS = 300
_METRICS_A_CALL = 500
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


@dataclass(frozen=True, kw_only=True)
class _Metric:
    function: str
    field: str  # of StreamLag
    stat: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """Values of one metric, newest first. complete: whether CloudWatch could read it."""

    metric: _Metric
    values: Sequence[float]
    complete: bool


def read(clients: Clients, queries: Sequence[LagQuery], *, now: datetime) -> dict[str, StreamLag]:
    """By function, except those whose lag CloudWatch could not read: that is not an absence. Raises AwsError."""
    answers: dict[str, list[_Answer]] = defaultdict(list)
    for metrics in _batched([metric for query in queries for metric in _metrics(query)]):
        for answer in _ask(clients, metrics, target=f"{len(queries)} functions", now=now):
            answers[answer.metric.function].append(answer)
    lags = {function: _lag(of_function) for function, of_function in answers.items()}
    return {function: lag for function, lag in lags.items() if lag is not None}


def _ask(clients: Clients, metrics: Sequence[_Metric], *, target: str, now: datetime) -> list[_Answer]:
    """One call of several pages. The response reports for each metric whether it could be read."""
    by_id = {f"m{number}": metric for number, metric in enumerate(metrics)}
    pages = clients.pages(
        "cloudwatch:GetMetricData", "MetricDataResults", token=("NextToken", "NextToken"), target=target,
        MetricDataQueries=[{"Id": name, "MetricStat": metric.stat} for name, metric in by_id.items()],
        StartTime=now - WINDOW, EndTime=now, ScanBy="TimestampDescending",
    )  # fmt: skip
    values: dict[str, list[float]] = defaultdict(list)  # a metric may go on in the next page
    status: dict[str, str | None] = {}
    for page in pages:
        values[page["Id"]] += page.get("Values") or ()
        status[page["Id"]] = page.get("StatusCode")
    return [
        _Answer(metric=metric, values=values[name], complete=status.get(name) == "Complete")
        for name, metric in by_id.items()
    ]


def _lag(answers: Sequence[_Answer]) -> StreamLag | None:
    """Of one function; None where its lag could not be read. Pure."""
    values: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        values[answer.metric.field] += answer.values
    ages, throttles, failed = (values[field] for field in ("iterator_age_seconds", "throttles", "failed_records"))
    if not ages and any(not answer.complete and answer.metric.field != "failed_records" for answer in answers):
        return None
    return StreamLag(
        iterator_age_seconds=ages[0] / 1000 if ages else None,
        throttles=sum(throttles) if throttles else None,
        failed_records=sum(failed) if failed else None,
    )


def _metrics(query: LagQuery) -> Iterator[_Metric]:
    yield _metric(query, "iterator_age_seconds", _LAMBDA, "IteratorAge", ("FunctionName", query.function), "Maximum")
    yield _metric(query, "failed_records", NAMESPACE, "failed", (DIMENSION, query.owner), "Sum")
    if query.throttles:
        yield _metric(query, "throttles", _LAMBDA, "Throttles", ("FunctionName", query.function), "Sum")


def _metric(
    query: LagQuery, field: str, namespace: str, name: str, dimension: tuple[str, str], statistic: str
) -> _Metric:
    key, value = dimension
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": [{"Name": key, "Value": value}]}
    stat = {"Metric": metric, "Period": _PERIOD_SECONDS, "Stat": statistic}
    return _Metric(function=query.function, field=field, stat=stat)


def _batched(metrics: Sequence[_Metric]) -> Iterator[Sequence[_Metric]]:
    for begin in range(0, len(metrics), _METRICS_A_CALL):
        yield metrics[begin : begin + _METRICS_A_CALL]
