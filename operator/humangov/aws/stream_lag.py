"""What CloudWatch says of functions: one bulk call for all of them, up to 500 metrics each.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from humangov.aws.clients import Clients
from humangov.cleanup.embedded_metrics import DIMENSION, NAMESPACE

WINDOW = timedelta(minutes=15)
_PERIOD_SECONDS = 300
_QUERIES_A_CALL = 500
_LAMBDA = "AWS/Lambda"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A function, and the ownership tag's value by which it counts what it could not handle.

    throttles: whether to ask for them as well; each metric costs.
    """

    function: str
    owner: str
    throttles: bool = False


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What CloudWatch says of one HumanGovState's function. None: it does not say."""

    iterator_age_seconds: float | None = None
    throttles: float | None = None
    failed_records: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Metric:
    of: str  # the function
    field: str  # of Delivered
    query: dict[str, Any]


def read(clients: Clients, asked: Sequence[Asked], *, now: datetime) -> dict[str, Delivered]:
    """By function, but for those whose lateness CloudWatch could not read: that is not silence. Raises AwsError."""
    fields: dict[str, dict[str, float]] = {one.function: {} for one in asked}
    unread: set[str] = set()
    for metrics in _batched([metric for one in asked for metric in _metrics(one)]):
        by_id = {f"m{number}": metric for number, metric in enumerate(metrics)}
        queries = [{"Id": name, "MetricStat": metric.query} for name, metric in by_id.items()]
        answers = clients.pages(
            "cloudwatch:GetMetricData", "MetricDataResults", token=("NextToken", "NextToken"),
            target=f"{len(asked)} functions", MetricDataQueries=queries, StartTime=now - WINDOW, EndTime=now,
            ScanBy="TimestampDescending",
        )  # fmt: skip
        # It answers the call, and says of each metric by itself whether that could be read; of several pages, the last.
        complete = {answer["Id"] for answer in {one["Id"]: one for one in answers}.values() if _is_complete(answer)}
        unread |= {
            metric.of for name, metric in by_id.items() if name not in complete and metric.field != "failed_records"
        }
        for answer in answers:
            values, metric = answer.get("Values") or (), by_id[answer["Id"]]
            if values:  # a metric may go on in the next page: the newest value came first
                found = fields[metric.of]
                if metric.field == "iterator_age_seconds":
                    found.setdefault(metric.field, values[0] / 1000)
                else:
                    found[metric.field] = found.get(metric.field, 0.0) + sum(values)
    return {
        function: Delivered(**found)
        for function, found in fields.items()
        if function not in unread or "iterator_age_seconds" in found
    }


def _is_complete(answer: Mapping[str, Any]) -> bool:
    return bool(answer.get("StatusCode") == "Complete")


def _metrics(asked: Asked) -> Iterator[_Metric]:
    wanted = [
        ("iterator_age_seconds", _LAMBDA, "IteratorAge", "FunctionName", asked.function, "Maximum"),
        ("failed_records", NAMESPACE, "failed", DIMENSION, asked.owner, "Sum"),
    ]
    if asked.throttles:
        wanted.append(("throttles", _LAMBDA, "Throttles", "FunctionName", asked.function, "Sum"))
    for field, namespace, name, dimension, value, stat in wanted:
        metric = {"Namespace": namespace, "MetricName": name, "Dimensions": [{"Name": dimension, "Value": value}]}
        yield _Metric(of=asked.function, field=field, query={"Metric": metric, "Period": _PERIOD_SECONDS, "Stat": stat})


def _batched(metrics: Sequence[_Metric]) -> Iterator[Sequence[_Metric]]:
    for begin in range(0, len(metrics), _QUERIES_A_CALL):
        yield metrics[begin : begin + _QUERIES_A_CALL]
