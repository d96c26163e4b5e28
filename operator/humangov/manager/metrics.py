"""Metrics for Prometheus: counters and durations as they happen, and gauges, computed at each scrape.

Labels are values of AWS, of Kubernetes and of this operator, whose number is bounded; the one per HumanGovState are its
namespace and name. https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric

from humangov.aws.budget import Use, Waited
from humangov.aws.clients import Called
from humangov.aws.stream_lag import StreamLag
from humangov.manager.problem_gauges import Problem
from humangov.manager.sweep_gauges import SweepGauges

RESULTS = (
    "success", "requeue_after", "transient_error", "terminal_error", "deleted", "kubernetes_error", "abandoned",
    "panic",
)  # fmt: skip
"""Of a reconciliation (reconciliations.py)."""
_CALL_BUCKETS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_BUDGET_BUCKETS = (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_RECONCILE_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_READY_BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0)


@dataclass(frozen=True, kw_only=True)
class Gauges:
    """How things are now. `tenants`: by type, status and reason of a condition. None: not known.

    By (namespace, name): `problems`, `stream_lags`, `limited_records`, `sweeps`.
    """

    leading: bool = False
    waiting: int = 0
    running: int = 0
    longest_wait_seconds: float = 0.0
    tenants: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    problems: Mapping[tuple[str, str], Problem] = field(default_factory=dict)
    leaked_tenants: int | None = None
    stopped_tenants: int = 0
    code_rollout_stopped: bool = False
    stream_lags: Mapping[tuple[str, str], StreamLag] = field(default_factory=dict)
    limited_records: Mapping[tuple[str, str], int] = field(default_factory=dict)
    sweeps: Mapping[tuple[str, str], SweepGauges] = field(default_factory=dict)
    running_sweeps: int | None = None
    waiting_sweeps: int | None = None


class Metrics:
    """Of one process. Safe to use from several threads; `gauges` is called by whoever scrapes."""

    def __init__(self, *, version: str, gauges: Callable[[], Gauges] = Gauges) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each counter and histogram, which nobody reads
        self.gauges = gauges
        self.budget: Callable[[], Use] = Use
        self.registry = CollectorRegistry(auto_describe=False)
        operation = ("service", "operation")
        self._calls = Counter("humangov_aws_calls", "AWS calls.", operation, registry=self.registry)
        self._errors = Counter(
            "humangov_aws_errors", "Failed AWS calls by error code.", (*operation, "code"),
            registry=self.registry,
        )  # fmt: skip
        self._throttles = Counter("humangov_aws_throttles", "Throttled AWS calls.", operation, registry=self.registry)
        self._call_seconds = Histogram(
            "humangov_aws_call_duration_seconds", "Duration of AWS calls, including the SDK's retries.",
            operation, buckets=_CALL_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._budget_calls = Counter(
            "humangov_aws_budget_calls", "AWS calls by the limit that they count against.", ("limit", "priority"),
            registry=self.registry,
        )  # fmt: skip
        self._budget_seconds = Histogram(
            "humangov_aws_budget_wait_seconds", "Time that AWS calls waited for the budget.",
            ("priority",), buckets=_BUDGET_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._reconciles = Counter(
            "humangov_reconcile", "Reconciliations by result.", ("result",),
            registry=self.registry,
        )  # fmt: skip
        for result in RESULTS:  # a counter that begins with 1 shows no increase
            self._reconciles.labels(result)
        self._reconcile_seconds = Histogram(
            "humangov_reconcile_duration_seconds",
            "Duration of reconciliations.",
            buckets=_RECONCILE_BUCKETS,
            registry=self.registry,
        )
        self._ready_seconds = Histogram(
            "humangov_ready_duration_seconds", "Time from a new generation, or the operator's start, to Ready.",
            buckets=_READY_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._version = version
        self.registry.register(_GaugeCollector(self))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def called(self, call: Called) -> None:
        labels = (call.service, call.operation)
        self._calls.labels(*labels).inc()
        self._call_seconds.labels(*labels).observe(call.seconds)
        if call.code is not None:
            self._errors.labels(*labels, call.code).inc()
        if call.throttled:
            self._throttles.labels(*labels).inc()

    def waited(self, call: Waited) -> None:
        priority = call.priority.name.lower()
        self._budget_calls.labels(call.limit, priority).inc()
        self._budget_seconds.labels(priority).observe(call.seconds)

    def reconciled(self, result: str, *, seconds: float) -> None:
        self._reconciles.labels(result).inc()
        self._reconcile_seconds.observe(seconds)

    def became_ready(self, seconds: float) -> None:
        self._ready_seconds.observe(seconds)

    def gauge_families(self) -> Iterator[Metric]:
        now = self.gauges()
        build = GaugeMetricFamily("humangov_build_info", "1; the version is a label.", labels=("version",))
        build.add_metric((self._version,), 1)
        yield build
        for name, description, value in (
            ("leader", "1 in the leader, 0 in a standby.", now.leading),
            ("stopped_tenants", "HumanGovStates that are, or are to be, stopped.", now.stopped_tenants),
            (
                "code_rollout_stopped",
                "1 after the function's new code failed, and the former one was restored.",
                now.code_rollout_stopped,
            ),
            ("workqueue_depth", "HumanGovStates that are due and wait for a worker.", now.waiting),
            ("workqueue_running", "HumanGovStates that are being reconciled.", now.running),
            (
                "workqueue_longest_wait_seconds",
                "Waiting time of the HumanGovState that has been due the longest.",
                now.longest_wait_seconds,
            ),
        ):
            yield GaugeMetricFamily(f"humangov_{name}", description, value=float(value))
        yield from _conditions(now)
        leaked = GaugeMetricFamily("humangov_leaked_tenants", "Deleted HumanGovStates with leaked AWS resources.")
        if now.leaked_tenants is not None:
            leaked.add_metric((), now.leaked_tenants)
        yield leaked
        yield from _stream_lags(now.stream_lags)
        limited = GaugeMetricFamily(
            "humangov_limited_records", "Records handed back in the last 3 hours because of the erasure limit.",
            labels=("namespace", "name"),
        )  # fmt: skip
        for key, number in sorted(now.limited_records.items()):
            limited.add_metric(key, number)
        yield limited
        yield from _queued(now)
        yield from _budget(self.budget())
        yield from _sweeps(now.sweeps)


class _GaugeCollector:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.gauge_families()


def _conditions(now: Gauges) -> Iterator[Metric]:
    tenants = GaugeMetricFamily(
        "humangov_tenants", "HumanGovStates by condition.", labels=("condition", "status", "reason")
    )
    for condition, number in sorted(now.tenants.items()):
        tenants.add_metric(condition, number)
    problems = GaugeMetricFamily(
        "humangov_action_required", "1; the condition, and its reason, that require action first.",
        labels=("namespace", "name", "condition", "reason"),
    )  # fmt: skip
    for key, problem in sorted(now.problems.items()):
        problems.add_metric((*key, *problem), 1)
    yield from (tenants, problems)


def _stream_lags(lags: Mapping[tuple[str, str], StreamLag]) -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "humangov_iterator_age_seconds", "Age of the last record that Lambda gave to the function, from CloudWatch.",
        labels=("namespace", "name"),
    )  # fmt: skip
    failed = GaugeMetricFamily(
        "humangov_failed_records", "Records that the function could not handle in the last 15 minutes.",
        labels=("namespace", "name"),
    )  # fmt: skip
    for key, lag in sorted(lags.items()):
        if lag.iterator_age_seconds is not None:
            age.add_metric(key, lag.iterator_age_seconds)
        if lag.failed_records is not None:
            failed.add_metric(key, lag.failed_records)
    yield from (age, failed)


def _budget(use: Use) -> Iterator[Metric]:
    rates = GaugeMetricFamily(
        "humangov_aws_budget_rate", "AWS calls a second that the budget allows now; of the accounts, the lowest.",
        labels=("limit",),
    )  # fmt: skip
    for limit, rate in sorted(use.rates.items()):
        rates.add_metric((limit,), rate)
    waiting = GaugeMetricFamily(
        "humangov_aws_budget_waiting", "AWS calls that wait for the budget.", labels=("priority",)
    )  # fmt: skip
    for priority, number in use.waiting.items():
        waiting.add_metric((priority.name.lower(),), number)
    yield from (rates, waiting)


def _queued(now: Gauges) -> Iterator[Metric]:
    for name, description, number in (
        ("running_sweeps", "Sweeps that run.", now.running_sweeps),
        ("waiting_sweeps", "Sweeps that wait for their turn.", now.waiting_sweeps),
    ):
        family = GaugeMetricFamily(f"humangov_{name}", description)
        if number is not None:
            family.add_metric((), number)
        yield family


def _sweeps(sweeps: Mapping[tuple[str, str], SweepGauges]) -> Iterator[Metric]:
    of_tenant = ("namespace", "name")
    result = GaugeMetricFamily(
        "humangov_sweep_result", "1; status and reason of the condition SweepSucceeded are labels.",
        labels=(*of_tenant, "status", "reason"),
    )  # fmt: skip
    files = GaugeMetricFamily(
        "humangov_sweep_files", "Files that the last sweep was to erase, by outcome.", labels=(*of_tenant, "outcome")
    )
    ended, due, orphans = (
        GaugeMetricFamily(f"humangov_sweep_{name}", description, labels=of_tenant)
        for name, description in (
            ("ended_timestamp_seconds", "When the last sweep ended."),
            ("due_timestamp_seconds", "When the schedule starts, or should have started, the sweep after the last."),
            ("orphans", "Orphans that the last sweep has left."),
        )
    )
    for key, one in sorted(sweeps.items()):
        if one.result is not None:
            result.add_metric((*key, *one.result), 1)
        for outcome, number in sorted(one.files.items()):
            files.add_metric((*key, outcome), number)
        for family, value in ((ended, one.ended), (due, one.due), (orphans, one.orphans)):
            if value is not None:
                family.add_metric(key, value)
    yield from (result, ended, due, orphans, files)
