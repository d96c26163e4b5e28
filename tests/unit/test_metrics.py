"""What Prometheus is told, read with Prometheus' own reader."""

from __future__ import annotations

from typing import Any

import pytest
from humangov.aws.clients import Called
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.stream_lag import StreamLag
from humangov.manager.metrics import Gauges, Metrics
from prometheus_client.parser import text_string_to_metric_families

LABELS = {"service": "lambda", "operation": "GetFunction"}


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def value(metrics: Metrics, name: str, /, **labels: Any) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def test_metrics_count_aws_calls_by_operation_and_failures_by_code() -> None:
    metrics = Metrics(version="1")
    metrics.called(Called(service="lambda", operation="GetFunction", seconds=0.03))
    metrics.called(
        Called(service="lambda", operation="GetFunction", seconds=3.0, code="TooManyRequestsException", throttled=True)
    )
    assert value(metrics, "humangov_aws_calls_total", **LABELS) == 2
    assert value(metrics, "humangov_aws_errors_total", **LABELS, code="TooManyRequestsException") == 1
    assert value(metrics, "humangov_aws_throttles_total", **LABELS) == 1
    assert value(metrics, "humangov_aws_call_duration_seconds_count", **LABELS) == 2
    assert value(metrics, "humangov_aws_call_duration_seconds_bucket", **LABELS, le="0.05") == 1


@pytest.mark.parametrize(
    ("code", "throttled"),
    [("ThrottlingException", True), ("Throttling", True), ("SlowDown", True), ("RequestLimitExceeded", True),
     ("AccessDenied", False), ("InternalFailure", False), ("ResourceInUseException", False)],
)  # fmt: skip
def test_throttling_codes_count_as_throttled(code: str, throttled: bool) -> None:
    error = AwsError(action="iam:GetRole", target="x", code=code, text="", meaning=Meaning.RETRY_SOON)
    assert error.throttled == throttled


def test_gauges_are_read_at_each_scrape() -> None:
    metrics = Metrics(version="1.2.3")
    assert value(metrics, "humangov_leader") == 0
    assert value(metrics, "humangov_leaked_tenants") is None  # not known is not none
    metrics.gauges = lambda: Gauges(
        leading=True, waiting=3, running=2, longest_wait_seconds=1.5, leaked_tenants=0,
        tenants={("Ready", "True", "InSync"): 49, ("Ready", "False", "AccessDenied"): 1},
        stream_lags={("humangov", "ohio"): StreamLag(iterator_age_seconds=12.0)},
    )  # fmt: skip
    assert value(metrics, "humangov_leader") == 1
    assert value(metrics, "humangov_workqueue_depth") == 3
    assert value(metrics, "humangov_workqueue_running") == 2
    assert value(metrics, "humangov_workqueue_longest_wait_seconds") == 1.5
    assert value(metrics, "humangov_tenants", condition="Ready", status="False", reason="AccessDenied") == 1
    assert value(metrics, "humangov_leaked_tenants") == 0
    assert value(metrics, "humangov_iterator_age_seconds", namespace="humangov", name="ohio") == 12
    assert value(metrics, "humangov_failed_records", namespace="humangov", name="ohio") is None
    assert value(metrics, "humangov_build_info", version="1.2.3") == 1


def test_metrics_count_reconciliations_and_times_to_ready() -> None:
    metrics = Metrics(version="1")
    metrics.reconciled("success", seconds=0.2)
    metrics.reconciled("transient_error", seconds=2.0)
    metrics.became_ready(0.7)
    assert value(metrics, "humangov_reconcile_total", result="success") == 1
    assert value(metrics, "humangov_reconcile_total", result="transient_error") == 1
    assert value(metrics, "humangov_reconcile_duration_seconds_count") == 2
    assert value(metrics, "humangov_ready_duration_seconds_bucket", le="1.0") == 1
    assert value(metrics, "humangov_ready_duration_seconds_bucket", le="0.5") == 0


def test_metrics_include_memory_and_cpu_of_the_process() -> None:
    names = {name for name, _ in samples(Metrics(version="1"))}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= names
