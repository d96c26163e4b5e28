"""The dashboard for Grafana, made by Grafana's own library: `make manifests` writes it into the chart.

Each query selects one release. tests/e2e/test_dashboard.py has a real Prometheus answer each.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, VariableRefresh

RELEASE = 'release="$release",release_namespace="$release_namespace"'
STATE = "{{namespace}}/{{name}}"
_WIDTH = 24
_HEIGHT = 7


class Query(NamedTuple):
    """`expr` in PromQL, with RELEASE where `%` stands; `legend` as Grafana fills it in."""

    expr: str
    legend: str


class Panel(NamedTuple):
    title: str
    description: str
    unit: str
    queries: Sequence[Query]


def _quantiles(metric: str, by: str = "", *, over: str = "$__rate_interval") -> list[Query]:
    """Of a histogram: the median, and what one in twenty exceeds."""
    legend, also = (f"{{{{{by}}}}} ", f", {by}") if by else ("", "")
    buckets = f"sum by (le{also}) (rate({metric}_bucket{{%}}[{over}]))"
    return [
        Query(f"histogram_quantile({share}, {buckets})", f"{legend}{name}")
        for share, name in ((0.5, "median"), (0.95, "95 %"))
    ]


def _rate(metric: str, by: str) -> Query:
    return Query(f"sum by ({by}) (rate({metric}{{%}}[$__rate_interval]))", f"{{{{{by}}}}}")


def _of_each(metric: str) -> Query:
    """Of each HumanGovState. After a change of the leader both pods may tell of it for a moment."""
    return Query(f"max by (namespace, name) ({metric}{{%}})", STATE)


ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    (
        "HumanGovStates",
        (
            Panel(
                "Ready, by reason",
                "HumanGovStates by status and reason of their condition Ready.",
                "short",
                [Query('sum by (status, reason) (humangov_tenants{%,condition="Ready"})', "{{status}} {{reason}}")],
            ),
            Panel(
                "Warnings",
                "HumanGovStates by warnings: Ready does not depend on them.",
                "short",
                [
                    Query(
                        'sum by (condition, reason) (humangov_tenants{%,status="False",'
                        'condition=~"RecordsDelivered|RecordsHandled|FailuresHandled|SweepSucceeded"})',
                        "{{condition}} {{reason}}",
                    )
                ],
            ),
            Panel(
                "Action required",
                "What needs a person first, by HumanGovState. Each reason has a runbook.",
                "short",
                [
                    Query(
                        "max by (namespace, name, condition, reason) (humangov_action_required{%})",
                        f"{STATE}: {{{{condition}}}} {{{{reason}}}}",
                    )
                ],
            ),
            Panel(
                "Leader",
                "1 in the pod that is the leader. Only the leader tells of HumanGovStates.",
                "short",
                [Query("max by (instance) (humangov_leader{%})", "{{instance}}")],
            ),
        ),
    ),
    (
        "Erasures by the functions",
        (
            Panel(
                "Stream lag",
                "Age of the last record that the function got. Streams keep records for 24 hours.",
                "s",
                [_of_each("humangov_iterator_age_seconds")],
            ),
            Panel(
                "Failed records",
                "Records that the function could not handle in the last 15 minutes.",
                "short",
                [_of_each("humangov_failed_records")],
            ),
            Panel(
                "Limited records",
                "Records handed back in the last three hours because of the erasure limit.",
                "short",
                [_of_each("humangov_limited_records")],
            ),
            Panel(
                "Stopped",
                "HumanGovStates that are, or are to be, stopped: their functions erase nothing.",
                "short",
                [Query("max(humangov_stopped_tenants{%})", "stopped")],
            ),
        ),
    ),
    (
        "Sweeps and orphans",
        (
            Panel("Orphans", "Orphans that the last sweep has left.", "short", [_of_each("humangov_sweep_orphans")]),
            Panel(
                "Erased, kept, failed",
                "Confirmed orphans of the last sweeps, by outcome.",
                "short",
                [
                    Query(
                        "sum by (outcome) (max by (namespace, name, outcome) (humangov_sweep_files{%}))", "{{outcome}}"
                    )
                ],
            ),
            Panel(
                "Age of the last sweep",
                "Time since the last sweep ended.",
                "s",
                [Query("time() - max by (namespace, name) (humangov_sweep_ended_timestamp_seconds{%})", STATE)],
            ),
            Panel(
                "Sweeps",
                "Sweeps that run, and that wait for their turn.",
                "short",
                [
                    Query("max(humangov_running_sweeps{%})", "running"),
                    Query("max(humangov_waiting_sweeps{%})", "waiting"),
                ],
            ),
        ),
    ),
    (
        "Reconciliations",
        (
            Panel(
                "Time to Ready",
                "From a new generation, or the operator's start, to Ready, within the last hour.",
                "s",
                _quantiles("humangov_ready_duration_seconds", over="1h"),
            ),
            Panel("Duration", "Duration of reconciliations.", "s", _quantiles("humangov_reconcile_duration_seconds")),
            Panel(
                "Results", "Reconciliations a second, by result.", "ops", [_rate("humangov_reconcile_total", "result")]
            ),
            Panel(
                "Work queue",
                "HumanGovStates that wait for a worker, and that are being reconciled.",
                "short",
                [
                    Query("max(humangov_workqueue_depth{%})", "waiting"),
                    Query("max(humangov_workqueue_running{%})", "running"),
                ],
            ),
            Panel(
                "Longest wait",
                "Of the HumanGovState that has been due the longest.",
                "s",
                [Query("max(humangov_workqueue_longest_wait_seconds{%})", "longest wait")],
            ),
        ),
    ),
    (
        "AWS",
        (
            Panel("Calls", "AWS calls a second, by service.", "ops", [_rate("humangov_aws_calls_total", "service")]),
            Panel(
                "Duration of calls",
                "With the SDK's retries.",
                "s",
                _quantiles("humangov_aws_call_duration_seconds", "service"),
            ),
            Panel("Errors", "Failed AWS calls a second, by code.", "ops", [_rate("humangov_aws_errors_total", "code")]),
            Panel(
                "Throttles",
                "Throttled AWS calls a second, by service.",
                "ops",
                [_rate("humangov_aws_throttles_total", "service")],
            ),
            Panel(
                "Leaked",
                "Deleted HumanGovStates with leaked AWS resources.",
                "short",
                [Query("max(humangov_leaked_tenants{%})", "leaked")],
            ),
        ),
    ),
    (
        "Process",
        (
            Panel(
                "Memory",
                "Resident memory of each pod.",
                "bytes",
                [Query("max by (instance) (process_resident_memory_bytes{%})", "{{instance}}")],
            ),
            Panel(
                "CPU",
                "Processor seconds a second, of each pod.",
                "short",
                [Query("sum by (instance) (rate(process_cpu_seconds_total{%}[$__rate_interval]))", "{{instance}}")],
            ),
        ),
    ),
)


def rendered() -> str:
    """The dashboard as Grafana stores it: JSON."""
    source = DataSourceRef(type_val="prometheus", uid="${datasource}")
    board = (
        dashboard.Dashboard("HumanGov operator")
        .uid("humangov-operator")
        .description("One release of the operator: its HumanGovStates, and what needs a person.")
        .tags(["humangov"])
        .refresh("1m")
        .time("now-6h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_variable("release_namespace", "Namespace", "humangov_leader", source))
        .with_variable(
            _variable("release", "Release", 'humangov_leader{release_namespace="$release_namespace"}', source)
        )
    )
    for title, panels in ROWS:
        board = board.with_row(dashboard.Row(title))
        for panel in panels:
            board = board.with_panel(_panel(panel, source, span=_WIDTH // min(len(panels), 4)))
    return json.dumps(json.loads(JSONEncoder(sort_keys=True).encode(board.build())), indent=1, sort_keys=True) + "\n"


def _variable(name: str, label: str, series: str, source: DataSourceRef) -> dashboard.QueryVariable:
    """The values of a label of these series."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(f"label_values({series}, {name})")
        .datasource(source)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _panel(panel: Panel, source: DataSourceRef, *, span: int) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .min(0)
        .datasource(source)
        .height(_HEIGHT)
        .span(span)
        .fill_opacity(10)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            options.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
        .tooltip(options.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )
    for number, query in enumerate(panel.queries):
        made = made.with_target(
            prometheus.Dataquery()
            .expr(query.expr.replace("%", RELEASE))
            .legend_format(query.legend)
            .ref_id(chr(ord("A") + number))
            .datasource(source)
        )
    return made
