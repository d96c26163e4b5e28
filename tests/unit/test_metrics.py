"""What Prometheus is told, read with Prometheus' own reader."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.aws.clients import Called
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.stream_lag import StreamLag
from humangov.manager import reconciliations
from humangov.manager.metrics import RESULTS, Gauges, Metrics
from humangov.manager.problem_gauges import Problem, problem_of
from humangov.manager.sweep_gauges import SweepGauges, sweep_gauges
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

LABELS = {"service": "lambda", "operation": "GetFunction"}


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
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


def test_metrics_report_the_most_urgent_condition_that_requires_action() -> None:
    metrics = Metrics(version="1")
    metrics.gauges = lambda: Gauges(problems={("humangov", "ohio"): Problem("Stalled", "TableNotFound")})
    found = value(metrics, "humangov_action_required", **OF_OHIO, condition="Stalled", reason="TableNotFound")
    assert found == 1


def conditions(**answers: str) -> dict[str, Any]:
    """`Stalled="True:NotOwned"`."""
    split = {name: answer.partition(":") for name, answer in answers.items()}
    return {"conditions": [{"type": name, "status": status, "reason": why} for name, (status, _, why) in split.items()]}


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({"Ready": "True:InSync", "Stalled": "False:InSync"}, None),
        ({"Stalled": "True:NotOwned", "RecordsDelivered": "False:StreamLagging"}, ("Stalled", "NotOwned")),
        (
            {"Stalled": "True:FunctionFailing", "RecordsDelivered": "False:RecordsExpiring"},
            ("RecordsDelivered", "RecordsExpiring"),
        ),
        ({"Stalled": "True:ErasureLimit", "Stopped": "Unknown:Stopping"}, ("Stalled", "ErasureLimit")),
        ({"Stalled": "True:Stopped", "Stopped": "Unknown:Stopping"}, ("Stopped", "Stopping")),
        ({"Stalled": "True:Stopped", "Stopped": "True:Stopped", "FailuresHandled": "False:RedriveNeeded"}, None),
        ({"Stalled": "True:Stopped", "Stopped": "True:StoppedForLong"}, ("Stopped", "StoppedForLong")),
        ({"Stopped": "False:Started"}, None),
        ({"RecordsHandled": "False:RecordsLost", "FailuresHandled": "True:Held"}, ("RecordsHandled", "RecordsLost")),
        (
            {"Stalled": "True:LegalHold", "FailuresHandled": "False:RedriveNeeded"},
            ("FailuresHandled", "RedriveNeeded"),
        ),
        ({"Held": "Unknown:HoldStarting"}, None),
        ({"Held": "Unknown:HoldEnding"}, ("Held", "HoldEnding")),
        ({"LogGroupReady": "True:ReceiptsSentElsewhere"}, None),
        ({"LogGroupReady": "True:ReceiptsMasked"}, ("LogGroupReady", "ReceiptsMasked")),
    ],
)  # fmt: skip
def test_a_state_has_one_problem_the_most_urgent(answers: dict[str, str], problem: tuple[str, str] | None) -> None:
    assert problem_of(conditions(**answers)) == problem


def test_counters_of_reconciliations_begin_with_zero_for_each_result_in_the_code() -> None:
    source = inspect.getsource(reconciliations)
    results = set(re.findall(r'(?:result = |return |else )"(\w+)"', source)) | {"transient_error", "success"}
    assert results == set(RESULTS)
    assert {value(Metrics(version="1"), "humangov_reconcile_total", result=result) for result in RESULTS} == {0}


OF_OHIO = {"namespace": "humangov", "name": "ohio"}
SWEPT: dict[str, Any] = {
    "metadata": {"creationTimestamp": "2026-03-01T12:00:00Z"},
    "status": {
        "conditions": [{"type": "SweepSucceeded", "status": "True", "reason": "Erased"}],
        "sweepSchedule": {"schedule": "17 3 * * *", "timeZone": "Etc/UTC"},
        "sweep": {
            "finishedAt": "2026-03-02T03:20:00Z", "orphans": 7, "erased": 3, "retained": 1, "kept": 2, "failed": 4,
        },
    },
}  # fmt: skip


def test_metrics_report_the_last_sweep_of_each_state() -> None:
    metrics = Metrics(version="1")
    swept = sweep_gauges(SWEPT, stopped=False)
    assert swept is not None
    metrics.gauges = lambda: Gauges(sweeps={("humangov", "ohio"): swept}, running_sweeps=10, waiting_sweeps=2)
    assert value(metrics, "humangov_sweep_result", **OF_OHIO, status="True", reason="Erased") == 1
    ended = datetime(2026, 3, 2, 3, 20, tzinfo=UTC)
    assert value(metrics, "humangov_sweep_ended_timestamp_seconds", **OF_OHIO) == ended.timestamp()
    due = datetime(2026, 3, 3, 3, 17, tzinfo=UTC)
    assert value(metrics, "humangov_sweep_due_timestamp_seconds", **OF_OHIO) == due.timestamp()
    assert value(metrics, "humangov_sweep_orphans", **OF_OHIO) == 7
    files = {
        outcome: value(metrics, "humangov_sweep_files", **OF_OHIO, outcome=outcome)
        for outcome in ("erased", "retained", "kept", "failed")
    }
    assert files == {"erased": 3, "retained": 1, "kept": 2, "failed": 4}
    assert value(metrics, "humangov_running_sweeps") == 10
    assert value(metrics, "humangov_waiting_sweeps") == 2
    metrics.gauges = Gauges
    assert value(metrics, "humangov_waiting_sweeps") is None  # not known is not none


@pytest.mark.parametrize("without", ["stopped", "deleted", "sweepSchedule"])
def test_no_sweep_is_due_of_a_state_that_is_stopped_deleted_or_has_no_schedule(without: str) -> None:
    metadata = {**SWEPT["metadata"], **({"deletionTimestamp": "2026-03-03T00:00:00Z"} if without == "deleted" else {})}
    status = {name: value for name, value in SWEPT["status"].items() if name != without}
    found = sweep_gauges({"metadata": metadata, "status": status}, stopped=without == "stopped")
    assert found is not None
    assert (found.due, found.orphans) == (None, 7)


def test_first_sweep_is_due_from_the_creation_on_and_a_state_without_sweeps_has_no_metrics() -> None:
    status = {name: value for name, value in SWEPT["status"].items() if name != "sweep"}
    found = sweep_gauges({**SWEPT, "status": status}, stopped=False)
    assert found == SweepGauges(result=("True", "Erased"), due=datetime(2026, 3, 2, 3, 17, tzinfo=UTC).timestamp())
    assert sweep_gauges({**SWEPT, "status": {}}, stopped=False) is None


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
