"""Metrics in CloudWatch's embedded format: CloudWatch extracts them from the log, without any permission. Pure.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMESPACE = "HumanGov"
DIMENSION = "tenant"
LATENCY = "erasure_latency_ms"
LIMITED_RECORDS = "LimitedRecords"

VALUES_LIMIT = 100
"""Limit of one metric's values in one line."""


def metrics(counts: Mapping[str, int], *, latencies_ms: Sequence[int], at: float) -> dict[str, Any]:
    """The fields that turn a line with a field `tenant` into a metric line. at: seconds since the epoch."""
    values: dict[str, Any] = dict(counts)
    definitions = [{"Name": name, "Unit": "Count"} for name in counts]
    if latencies_ms:
        values[LATENCY] = sample(latencies_ms)
        definitions.append({"Name": LATENCY, "Unit": "Milliseconds"})
    directive = {"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": definitions}
    return {"_aws": {"Timestamp": round(at * 1000), "CloudWatchMetrics": [directive]}, **values}


def sample(values: Sequence[int]) -> list[int]:
    """At most VALUES_LIMIT of them, evenly by rank, including the smallest and the largest."""
    ranked = sorted(values)
    if len(ranked) <= VALUES_LIMIT:
        return ranked
    last = len(ranked) - 1
    return [ranked[round(rank * last / (VALUES_LIMIT - 1))] for rank in range(VALUES_LIMIT)]
