"""Each alert fires when it should, alone, and only then: the chart's rules in promtool, over the operator's metrics.

Of conditions and their reasons the series are made by the operator's own code from the status that it would write. It
can't show how long AWS takes to bring such a state about.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from humangov.api.conditions import (
    FAILURES_HANDLED,
    HELD,
    RECORDS_DELIVERED,
    RECORDS_HANDLED,
    STOPPED,
    Finding,
    compose,
)
from humangov.aws.clients import Called
from humangov.manager.metrics import Gauges, Metrics
from humangov.manager.problem_gauges import Problem, problem_of
from humangov.manager.sweep_gauges import SweepGauges
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sandbox import prometheus
from sandbox.errors import SandboxError
from sandbox.paths import REPOSITORY
from tests.deploy.chart import of_kind, render

RUNBOOKS = REPOSITORY / "docs" / "runbooks"
OURS = {"release": "humangov-operator", "release_namespace": "humangov"}
OF_POD = {**OURS, "pod": "a"}
ANOTHER = {"release": "humangov-operator", "release_namespace": "elsewhere"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ("humangov", "california")
IN_SYNC = Finding.in_sync("InSync", "as declared")
UNCHANGED = "unchanged"  # until the last evaluation
SAMPLES, LATER = 130, 65
SEVERAL = 5  # minutes between two samples of what takes days
DAY = 24 * 60 // SEVERAL
DAY_SECONDS = 24 * 3600
DAYS: Mapping[str, Any] = {"every": SEVERAL, "minute": (2 * DAY + 24) * SEVERAL}

Series = Mapping[str, str]
"""`name{labels}` → values, in promtool's notation."""


def rules(*, namespace: str = OURS["release_namespace"], **values: Any) -> dict[str, Any]:
    [found] = of_kind(
        "PrometheusRule", render({"metrics": {"rules": {"enabled": True, **values}}}, namespace=namespace)
    )
    return dict(found["spec"])


def alerts() -> list[dict[str, Any]]:
    return [rule for group in rules()["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def promtool() -> Path:
    try:
        return prometheus.program("promtool", say=lambda line: print(line, file=sys.stderr))
    except SandboxError as error:
        pytest.skip(str(error))


# What a state's status makes of the metrics


def status(ready: Finding, findings: Mapping[str, Finding] | None = None) -> dict[str, Any]:
    """As the operator writes it; a warning is there from the first of its kind on."""
    return compose({}, generation=1, ready=ready, findings=findings or {}, now=NOW, fields={})


def scraped(metrics: Metrics) -> dict[str, str]:
    """What Prometheus stores of it, unchanged all the time."""
    found = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            if sample.name.startswith("humangov_") and not sample.name.endswith(("_bucket", "_created")):
                found[named(sample.name, {**sample.labels, **OF_POD})] = f"{sample.value:.0f}x{UNCHANGED}"
    return found


def named(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{', '.join(f'{key}={json.dumps(value)}' for key, value in sorted(labels.items()))}}}"


def exported(*statuses: Mapping[str, Any], **gauges: Any) -> dict[str, str]:
    """The leader's metrics, of states with these statuses."""
    tenants: dict[tuple[str, str, str], int] = {}
    problems: dict[tuple[str, str], Problem] = {}
    for number, one in enumerate(statuses):
        for condition in one["conditions"]:
            key = condition["type"], condition["status"], condition["reason"]
            tenants[key] = tenants.get(key, 0) + 1
        if problem := problem_of(one):
            problems[KEY[0], KEY[1] if number == 0 else f"state-{number}"] = problem
    now = Gauges(leading=True, tenants=tenants, problems=problems, leaked_tenants=0, **gauges)
    return scraped(Metrics(version="1", gauges=lambda: now))


def swept(result: tuple[str, str], *, due: float | None = None, orphans: int = 0) -> dict[Any, SweepGauges]:
    return {KEY: SweepGauges(result=result, due=due, orphans=orphans)}


# What fires


@dataclass(frozen=True, kw_only=True)
class Case:
    """What fires at a minute after 1970-01-01, name → how often. A case without one shows what does not fire.

    every: minutes from one sample, and evaluation, to the next.
    """

    name: str
    series: Series
    minute: int = LATER
    every: int = 1
    fires: Mapping[str, int] = field(default_factory=dict)
    release: Mapping[str, str] = field(default_factory=lambda: OURS)


def fired(promtool: Path, folder: Path, cases: Sequence[Case], *, of: Iterable[Mapping[str, Any]] = ()) -> str:
    """What promtool says where the alerts that fire are others than expected; empty if all are as expected."""
    files = []
    for number, one in enumerate([*of] or [rules()]):
        files.append(f"rules-{number}.yaml")
        (folder / files[-1]).write_text(yaml.safe_dump(one))
    for every in (1, SEVERAL):
        tests = [as_test(case) for case in cases if case.every == every]
        document = {"rule_files": files, "evaluation_interval": f"{every}m", "tests": tests}
        (folder / f"tests-{every}.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [promtool, "test", "rules", "tests-1.yaml", f"tests-{SEVERAL}.yaml"], cwd=folder, capture_output=True,
        text=True, check=False, timeout=240,
    )  # fmt: skip
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}" or f"exit code {done.returncode}"


def as_test(case: Case) -> dict[str, Any]:
    """As promtool reads it: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/"""
    return {
        "name": case.name,
        "interval": f"{case.every}m",
        "input_series": [
            {"series": series, "values": values.replace(UNCHANGED, str(case.minute // case.every + 1))}
            for series, values in case.series.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname, release, release_namespace) (ALERTS{alertstate="firing"})',
                "eval_time": f"{case.minute}m",
                "exp_samples": [
                    {"labels": named("", {"alertname": name, **case.release}), "value": number}
                    for name, number in case.fires.items()
                ],
            }
        ],
    }


def of_state(
    name: str, alert: str | None, one: Mapping[str, Any], *, after: int = 61, before: int | None = None
) -> list[Case]:
    """It fires after so many minutes, and not `before`."""
    series = exported(one)
    cases = [Case(name=name, series=series, minute=after, fires={alert: 1} if alert else {})]
    if before is not None:
        cases.append(Case(name=f"{name}, for {before} minutes", series=series, minute=before))
    return cases


STALLED = Finding.action_required("TableNotFound", "it does not exist")
THROTTLES = named("humangov_aws_throttles_total", {**OF_POD, "service": "iam", "operation": "GetRole"})
OF_CALIFORNIA = {"namespace": "humangov", "name": "california"}
LAGGING = Finding.warning("StreamLagging", "40 minutes")
EXPIRING = Finding.warning("RecordsExpiring", "20 hours")
REDRIVE = Finding.warning("RedriveNeeded", "3 records")
A_STOP = replace(Finding.action_required("Stopped", "stopped by annotation"), failed=False)


def of_states() -> list[Case]:
    """The alerts about what a HumanGovState says of itself."""
    transient = Finding.transient("TransientError", "500", soon=True)
    return [
        *of_state("in sync", None, status(IN_SYNC)),
        *of_state("action required", "HumanGovStateStalled", status(STALLED), before=14),
        *of_state("limit", "HumanGovErasureLimitReached", status(replace(STALLED, reason="ErasureLimit")), after=1),
        *of_state("never ready", "HumanGovStateNotReady", status(transient), before=59),
        *of_state("a restore", None, status(Finding.waiting("TableNotActive", "it is restored")), after=125),
        *of_state("suspended", None, status(Finding.warning("Suspended", "differs"))),
        *of_state(
            "stopping", "HumanGovStateStopping",
            status(replace(A_STOP, failed=True), {STOPPED: Finding.waiting("Stopping", "AWS answers 500")}), before=0,
        ),
        *of_state("stopped", None, status(A_STOP, {STOPPED: Finding.in_sync("Stopped", "by annotation")})),
        *of_state(
            "stopped for long", "HumanGovStateStoppedForLong",
            status(A_STOP, {STOPPED: Finding.in_sync("StoppedForLong", "by annotation")}), after=1,
        ),
        *of_state("expiring", "HumanGovRecordsExpiring", status(IN_SYNC, {RECORDS_DELIVERED: EXPIRING}), after=1),
        *of_state("lagging", "HumanGovStreamLagging", status(IN_SYNC, {RECORDS_DELIVERED: LAGGING}), before=4),
        *of_state("failed", "HumanGovFailedInvocations", status(IN_SYNC, {FAILURES_HANDLED: REDRIVE}), before=14),
        *of_state(
            "no failures bucket", "HumanGovFailuresBucketNotFound",
            status(IN_SYNC, {FAILURES_HANDLED: Finding.warning("FailuresBucketNotFound", "x")}), before=14,
        ),
        *of_state(
            "lost", "HumanGovRecordsLost",
            status(IN_SYNC, {RECORDS_HANDLED: Finding.warning("RecordsLost", "x")}), after=1,
        ),
        *of_state(
            "hold ending", "HumanGovHoldNotEnding",
            status(IN_SYNC, {HELD: Finding.waiting("HoldEnding", "x")}), before=59,
        ),
        *of_state("held", None, status(IN_SYNC, {HELD: Finding.in_sync("LegalHold", "a case")})),
        *of_state(
            "masked", "HumanGovReceiptsMasked",
            status(IN_SYNC, {"LogGroupReady": Finding.in_sync("ReceiptsMasked", "x")}), before=14,
        ),
        *of_state(
            "sent elsewhere", None, status(IN_SYNC, {"LogGroupReady": Finding.in_sync("ReceiptsSentElsewhere", "x")})
        ),
    ]  # fmt: skip


def of_one_cause() -> list[Case]:
    """One cause shows in several conditions and metrics: one alert, the most urgent."""
    failing = Finding.action_required("FunctionFailing", "every invocation fails")
    denied = Finding.action_required("AccessDenied", "AWS denies iam:CreateRole")
    failed_sweep = swept(("False", "SweepFailed"), due=-DAY_SECONDS, orphans=3)
    refused = replace(STALLED, reason="ScheduleRefused")
    growing = f"1x{DAY} 2x{DAY} 3x{DAY}"
    return [
        *of_state(
            "a function that fails", "HumanGovStateStalled",
            status(failing, {RECORDS_DELIVERED: LAGGING, FAILURES_HANDLED: REDRIVE}),
        ),
        *of_state(
            "and its records expire", "HumanGovRecordsExpiring",
            status(failing, {RECORDS_DELIVERED: EXPIRING, FAILURES_HANDLED: REDRIVE}),
        ),
        *of_state(
            "a stop, and what follows from it", "HumanGovStateStoppedForLong",
            status(A_STOP, {
                STOPPED: Finding.in_sync("StoppedForLong", "x"), RECORDS_DELIVERED: LAGGING,
                RECORDS_HANDLED: Finding.warning("RecordsLost", "x"),
            }),
        ),
        Case(
            name="a denied call stalls the state", fires={"HumanGovStateStalled": 1},
            series={**exported(status(denied)), **errors("AccessDenied")},
        ),
        Case(
            name="the sweep of a stalled state fails", fires={"HumanGovStateStalled": 1},
            series=exported(status(STALLED), sweeps=failed_sweep),
        ),
        Case(
            name="a sweep that can't tell its end", fires={"HumanGovSweepFailed": 1},
            series=exported(status(IN_SYNC), sweeps=failed_sweep),
        ),
        Case(
            name="no schedule", fires={"HumanGovStateStalled": 1},
            series=exported(status(refused), sweeps=swept(("False", "ScheduleRefused"), due=-DAY_SECONDS)),
        ),
        Case(
            name="orphans grow, for their erasure fails", fires={"HumanGovSweepFailed": 1}, **DAYS,
            series={
                **exported(status(IN_SYNC), sweeps=swept(("False", "ErasureFailed"))),
                named("humangov_sweep_orphans", {**OF_CALIFORNIA, **OF_POD}): growing,
            },
        ),
        Case(
            name="throttled, so that the queue waits", fires={"HumanGovOperatorThrottled": 1},
            series={
                **exported(status(Finding.transient("TransientError", "x", soon=True)), longest_wait_seconds=900),
                THROTTLES: f"0+60x{SAMPLES}",
            },
        ),
        Case(
            name="fifty states, one cause", fires={"HumanGovStateStalled": 1},
            series=exported(*[status(denied)] * 50),
        ),
    ]  # fmt: skip


def errors(code: str, *, operation: str = "CreateRole") -> Series:
    """Once a minute."""
    metrics = Metrics(version="1")
    metrics.called(Called(service="iam", operation=operation, seconds=1, code=code))
    [series] = [one for one in scraped(metrics) if one.startswith("humangov_aws_errors_total")]
    return {series: f"0+1x{SAMPLES}"}


def results(result: str, *, every: int) -> Series:
    labels = {**OF_POD, "result": result}
    return {
        named("humangov_reconcile_total", labels): " ".join(
            f"{number}x{every - 1}" for number in range(SAMPLES // every)
        )
    }


def of_the_operator() -> list[Case]:
    settled, growing = exported(status(IN_SYNC)), f"1x{DAY} 2x{DAY} 3x{DAY}"
    orphans = named("humangov_sweep_orphans", {**OF_CALIFORNIA, **OF_POD})
    overdue = swept(("True", "Erased"), due=-12 * 3600 + 600)
    standby = named("humangov_leader", OF_POD)
    return [
        Case(name="no pod", series={}, minute=6, fires={"HumanGovOperatorHasNoLeader": 1}),
        Case(name="no pod for a moment", series={}, minute=4),
        Case(name="only standbys", minute=6, series={standby: "0x6"}, fires={"HumanGovOperatorHasNoLeader": 1}),
        Case(
            name="another leads", minute=6,
            series={standby: f"0x{SAMPLES}", named("humangov_leader", {**OURS, "pod": "b"}): f"1x{SAMPLES}"},
        ),
        Case(
            name="the leader of another release", minute=6, fires={"HumanGovOperatorHasNoLeader": 1},
            series={standby: f"0x{SAMPLES}", named("humangov_leader", {**ANOTHER, "pod": "b"}): f"1x{SAMPLES}"},
        ),
        Case(
            name="broken code", fires={"HumanGovCodeRolloutStopped": 1},
            series=exported(status(IN_SYNC), code_rollout_stopped=True),
        ),
        Case(
            name="a failed check", fires={"HumanGovSweepFailed": 1},
            series=exported(status(IN_SYNC), sweeps=swept(("False", "SafetyCheckFailed"))),
        ),
        Case(name="a sweep runs", series=exported(status(IN_SYNC), sweeps=swept(("False", "Running")))),
        Case(
            name="a stopped sweep", minute=61, fires={"HumanGovSweepStopped": 1},
            series=exported(status(IN_SYNC), sweeps=swept(("False", "Stopped"), due=1e9)),
        ),
        Case(
            name="a stopped sweep, a moment ago", minute=59,
            series=exported(status(IN_SYNC), sweeps=swept(("False", "Stopped"), due=1e9)),
        ),
        Case(
            name="a stopped state and its sweep",
            series=exported(
                status(A_STOP, {STOPPED: Finding.in_sync("Stopped", "x")}), sweeps=swept(("False", "Stopped"))
            ),
        ),
        Case(
            name="a sweep overdue", minute=12, fires={"HumanGovSweepOverdue": 1},
            series=exported(status(IN_SYNC), sweeps=overdue),
        ),
        Case(name="a sweep due", minute=9, series=exported(status(IN_SYNC), sweeps=overdue)),
        Case(
            name="orphans grow", **DAYS, fires={"HumanGovOrphansGrow": 1},
            series={**settled, orphans: growing},
        ),
        Case(name="orphans grow once", **DAYS, series={**settled, orphans: f"1x{DAY} 2x{2 * DAY}"}),
        Case(
            name="a denied call of the operator", fires={"HumanGovOperatorAccessDenied": 1},
            series={**settled, **errors("AccessDeniedException", operation="GetMetricData")},
        ),
        Case(name="another error", series={**settled, **errors("ResourceInUseException")}),
        Case(
            name="a denied call, and a state stalled by something else",
            fires={"HumanGovOperatorAccessDenied": 1, "HumanGovStateStalled": 1},
            series={**exported(status(STALLED)), **errors("AccessDenied", operation="GetMetricData")},
        ),
        Case(
            name="throttled", fires={"HumanGovOperatorThrottled": 1}, series={**settled, THROTTLES: f"0+10x{SAMPLES}"}
        ),
        Case(name="throttled now and then", series={**settled, THROTTLES: f"0+1x{SAMPLES}"}),
        Case(
            name="a queue that waits", fires={"HumanGovWorkqueueStuck": 1},
            series=exported(status(IN_SYNC), longest_wait_seconds=400),
        ),
        Case(name="a queue that works", series=exported(status(IN_SYNC), longest_wait_seconds=200)),
        Case(
            name="the API server refuses", fires={"HumanGovOperatorKubernetesErrors": 1},
            series={**settled, **results("kubernetes_error", every=2)},
        ),
        Case(
            name="a conflict now and then",
            series={**settled, **results("kubernetes_error", every=10)},
        ),
        Case(
            name="a mistake of ours", minute=20, fires={"HumanGovReconcilePanicked": 1},
            series={**settled, named("humangov_reconcile_total", {**OF_POD, "result": "panic"}): f"0x9 1x{SAMPLES}"},
        ),
        Case(
            name="a mistake long ago", minute=90,
            series={**settled, named("humangov_reconcile_total", {**OF_POD, "result": "panic"}): f"0x9 1x{SAMPLES}"},
        ),
        Case(
            name="leaked", minute=61, fires={"HumanGovLeakedResources": 1},
            series={**settled, named("humangov_leaked_tenants", OF_POD): f"2x{SAMPLES}"},
        ),
        Case(
            name="leaked a moment ago", minute=59,
            series={**settled, named("humangov_leaked_tenants", OF_POD): f"2x{SAMPLES}"},
        ),
    ]  # fmt: skip


GROUPS: Mapping[str, Callable[[], list[Case]]] = {
    "states": of_states, "one cause": of_one_cause, "operator": of_the_operator,
}  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_alerts_fire_alone_when_they_should_and_only_then(promtool: Path, tmp_path: Path, group: str) -> None:
    assert fired(promtool, tmp_path, GROUPS[group]()) == ""


def test_each_alert_has_a_case_that_fires_it_and_one_near_it_that_does_not() -> None:
    cases = [case for made in GROUPS.values() for case in made()]
    names = {alert["alert"] for alert in alerts()}
    assert {name for case in cases for name in case.fires} == names
    assert len([case for case in cases if not case.fires]) >= len(names) - 3  # some share one


def test_a_second_release_neither_masks_nor_doubles_an_alert(promtool: Path, tmp_path: Path) -> None:
    both = [rules(), rules(namespace="elsewhere")]
    ours, theirs = exported(status(STALLED)), {
        series.replace('release_namespace="humangov"', 'release_namespace="elsewhere"'): values
        for series, values in exported(status(IN_SYNC)).items()
    }  # fmt: skip
    assert len({*ours} & {*theirs}) == 0
    stalled = Case(name="one of two", series={**ours, **theirs}, fires={"HumanGovStateStalled": 1})
    leaderless = Case(name="no leader of one", series=theirs, fires={"HumanGovOperatorHasNoLeader": 1})
    assert fired(promtool, tmp_path, [stalled, leaderless], of=both) == ""


def test_every_reason_for_which_a_state_is_stalled_fires_one_alert(promtool: Path, tmp_path: Path) -> None:
    cases = [
        Case(
            name=reason, series=exported(status(replace(STALLED, reason=reason))), minute=16,
            fires={"HumanGovErasureLimitReached" if reason == "ErasureLimit" else "HumanGovStateStalled": 1},
        )
        for reason in sorted(path.stem for path in (RUNBOOKS / "reasons").glob("*.md"))
        if reason != "Stopped"  # of which HumanGovStateStoppedForLong tells
    ]  # fmt: skip
    assert len(cases) > 30
    assert fired(promtool, tmp_path, cases) == ""


def test_promtool_notices_an_alert_that_is_not_expected(promtool: Path, tmp_path: Path) -> None:
    wrong = Case(name="wrong", series=exported(status(STALLED)), fires={})
    assert "HumanGovStateStalled" in fired(promtool, tmp_path, [wrong])


def test_promtool_finds_nothing_wrong_with_the_rules(promtool: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules()))
    done = subprocess.run(
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"], cwd=tmp_path, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


# Runbooks


@pytest.mark.parametrize("url", ["https://git.example.com/operator/docs/runbooks/", ""])
def test_each_alert_leads_to_its_runbook(url: str) -> None:
    found = [rule for group in rules(runbooksURL=url)["groups"] for rule in group["rules"]]
    base = url.rstrip("/") or "docs/runbooks"
    assert {alert["annotations"]["runbook_url"] for alert in found} == {
        f"{base}/{alert['alert']}.md" for alert in found
    }
    assert {alert["alert"] for alert in found} == {path.stem for path in RUNBOOKS.glob("HumanGov*.md")}
    [stalled] = [alert for alert in found if alert["alert"] == "HumanGovStateStalled"]
    assert f"{base}/reasons/{{{{ $labels.reason }}}}.md" in stalled["annotations"]["description"]
    assert not re.search(r"RUNBOOKS|RELEASE|NAMESPACE", json.dumps(found))
