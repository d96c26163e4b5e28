"""Values of CloudWatch's metrics: one bulk call for all, up to 500 metrics each.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from humangov.aws.clients import Clients

_METRICS_A_CALL = 500


@dataclass(frozen=True, kw_only=True)
class Metric:
    """owner, field: whose it is and what it means, for the caller. dimensions: by name."""

    owner: str
    field: str
    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str
    period_seconds: int


@dataclass(frozen=True, kw_only=True)
class Value:
    """begun: of its period."""

    begun: datetime
    number: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Values of one metric, newest first. complete: whether CloudWatch could read it."""

    metric: Metric
    values: Sequence[Value]
    complete: bool


def read(
    clients: Clients, metrics: Sequence[Metric], *, target: str, now: datetime, window: timedelta
) -> list[Answer]:  # fmt: skip
    """Each metric's values of the time until now. Raises AwsError."""
    return [
        answer
        for some in _batched(metrics)
        for answer in _ask(clients, some, target=target, begin=now - window, end=now)
    ]


def _ask(
    clients: Clients, metrics: Sequence[Metric], *, target: str, begin: datetime, end: datetime
) -> list[Answer]:  # fmt: skip
    """One call of several pages. The response reports for each metric whether it could be read."""
    by_id = {f"m{number}": metric for number, metric in enumerate(metrics)}
    pages = clients.pages(
        "cloudwatch:GetMetricData", "MetricDataResults", token=("NextToken", "NextToken"), target=target,
        MetricDataQueries=[{"Id": name, "MetricStat": _stat(metric)} for name, metric in by_id.items()],
        StartTime=begin, EndTime=end, ScanBy="TimestampDescending",
    )  # fmt: skip
    values: dict[str, list[Value]] = defaultdict(list)  # a metric may go on in the next page
    status: dict[str, str | None] = {}
    for page in pages:
        both = zip(page.get("Timestamps") or (), page.get("Values") or (), strict=True)
        values[page["Id"]] += [Value(begun=begun, number=number) for begun, number in both]
        status[page["Id"]] = page.get("StatusCode")
    return [
        Answer(metric=metric, values=values[name], complete=status.get(name) == "Complete")
        for name, metric in by_id.items()
    ]


def _stat(metric: Metric) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in metric.dimensions.items()]
    of = {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions}
    return {"Metric": of, "Period": metric.period_seconds, "Stat": metric.statistic}


def _batched(metrics: Sequence[Metric]) -> Iterator[Sequence[Metric]]:
    for begin in range(0, len(metrics), _METRICS_A_CALL):
        yield metrics[begin : begin + _METRICS_A_CALL]
