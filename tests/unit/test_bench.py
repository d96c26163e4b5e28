"""The benches' arithmetic. What they measure is shown by running them: `make bench NAME=calls`."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import calls, cost, critical, failing, latency, rig, storm
from bench.measure import Phase, percentile, spread, spread_row, table_lines, typical, whole, writes_by
from sandbox.operations import Operation
from sandbox.paths import REPOSITORY
from sandbox.recorder import RecordedCall

OPERATOR = "system:serviceaccount:bench-1:humangov-operator"


def audit_line(verb: str, *, user: str = OPERATOR, code: int = 200, **event: Any) -> str:
    return json.dumps(
        {
            "stage": "ResponseComplete",
            "verb": verb,
            "user": {"username": user},
            "objectRef": {"resource": "humangovstates", "name": "one"},
            "responseStatus": {"code": code},
            **event,
        }
    )


def call(name: str, *, started: float = 0.0) -> RecordedCall:
    return RecordedCall(
        operation=Operation("lambda", name), access_key="1", region="us-east-1", method="GET", url="/", status=200,
        error="", started=started, duration_seconds=0.01,
    )  # fmt: skip


def phase(reads: int, writes: int = 0, kube: int = 0) -> Phase:
    return Phase(
        reads=Counter({"lambda:GetFunction": reads}) if reads else Counter(),
        writes=Counter({"lambda:CreateFunction": writes}) if writes else Counter(),
        kube_writes=Counter({"patch humangovstates/status": kube}) if kube else Counter(),
    )


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.5, 5), (0.51, 6), (0.99, 10), (1.0, 10)])
def test_percentile_is_a_measured_value(share: float, expected: float) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == expected


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([3.5], 0.5) == percentile([3.5], 1.0) == 3.5


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1)])
def test_percentile_without_measurements_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match=r"nothing was measured|a share is"):
        percentile(values, share)


def test_spread_without_measurements_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_spread_has_minimum_median_and_maximum() -> None:
    assert spread([3, 1, 2, 10]).figures() == {"min": 1, "median": 2.5, "max": 10, "n": 4}


def test_only_the_operators_writes_are_counted_with_any_response_code() -> None:
    status = {"resource": "humangovstates", "subresource": "status", "name": "one"}
    lines = [
        audit_line("patch", objectRef=status),
        audit_line("patch", objectRef=status, code=409),
        audit_line("create", objectRef={"resource": "events", "apiGroup": "events.k8s.io"}, code=201),
        audit_line("get"),
        audit_line("list"),
        audit_line("watch"),
        audit_line("patch", stage="RequestReceived"),
        audit_line("patch", user="sandbox-admin"),
        audit_line("patch", user=OPERATOR + "-2"),
        '{"stage": "ResponseComp',
    ]
    found = writes_by(OPERATOR, lines)
    assert Counter(map(str, found)) == {"patch humangovstates/status": 2, "create events": 1}
    assert [write.code for write in found] == [200, 409, 201]


def test_aws_calls_are_counted_as_reads_and_writes() -> None:
    found = rig.phase_of([call("GetFunction"), call("ListTags"), call("CreateFunction")], kube_writes=())
    assert found.reads == {"lambda:GetFunction": 1, "lambda:ListTags": 1}
    assert found.writes == {"lambda:CreateFunction": 1}
    assert found.aws_calls == 3
    assert list(found.by_operation()) == ["lambda:CreateFunction", "lambda:GetFunction", "lambda:ListTags"]


def test_typical_phase_is_a_measured_one() -> None:
    assert typical([phase(19), phase(21), phase(20), phase(30)]) == phase(20)


def test_watch_line_is_ready_only_for_the_current_generation() -> None:
    line = "MODIFIED|one|2|{}|True\n"
    assert rig.parse_sighting(line.format(2), at=1.0) == rig.WatchedChange(
        at=1.0, kind="MODIFIED", name="one", ready=True
    )
    old = rig.parse_sighting(line.format(1), at=1.0)
    assert old is not None
    assert not old.ready
    new = rig.parse_sighting("ADDED|one|1||\n", at=1.0)
    assert new is not None
    assert not new.ready
    assert rig.parse_sighting("BOOKMARK|one|2|2|True", at=1.0) is None
    assert rig.parse_sighting("error: no such thing", at=1.0) is None


KUBECTL = """#!/bin/sh
case "$*" in
  *--watch*)
    printf 'ADDED|two|1||\\n'
    if [ -e "$0.ended" ]; then exec sleep 60; fi
    touch "$0.ended"; printf 'ADDED|one|1||\\n' ;;
  *) printf two ;;
esac
"""


def test_watch_that_the_api_server_ends_is_followed_by_another_and_no_deletion_is_missed(tmp_path: Path) -> None:
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    sandbox: Any = SimpleNamespace(kubectl=tmp_path / "kubectl", environment=lambda: {"PATH": os.environ["PATH"]})
    with rig.Watcher(sandbox, namespace="n") as watcher:
        watcher.wait(["one"], lambda one: one.kind == "DELETED", since=0.0, what="the end", within_seconds=20)
        with pytest.raises(rig.NotMeasuredError, match="not within 0 s"):
            watcher.wait(["two"], lambda one: one.kind == "DELETED", since=0.0, what="the end", within_seconds=0)


def test_reconciliations_are_read_from_the_operators_log() -> None:
    entry = {
        "time": "2026-01-01T00:00:01.500+00:00",
        "message": "reconciliation ended",
        "tenant": "a/b",
        "duration_ms": 3.0,
    }
    log = "\n".join([json.dumps(entry), json.dumps({**entry, "message": "watching"}), "Traceback", "[]"])
    assert rig.reconciliations_of(log) == [rig.Reconciliation(tenant="a/b", ended=1767225601.5)]


def test_table_aligns_numbers_and_words() -> None:
    assert table_lines(("WHAT", "N", "UNIT"), [("one", 5, "s"), ("fifteen", 12.5, "")]) == [
        "WHAT         N   UNIT",
        "one          5   s",
        "fifteen   12.5",
    ]


def test_table_row_with_another_number_of_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="another number of cells"):
        table_lines(("A", "B"), [("only one",)])


def test_report_shows_counts_as_integers_and_seconds_with_three_digits() -> None:
    assert spread_row("calls", spread([19, 20])) == ("calls", "19", "19.5", "20", 2, "")
    assert spread_row("time", spread([1.0, 0.25, 2]), unit="s") == ("time", "0.250", "1.000", "2.000", 3, "s")
    assert json.dumps([whole(6.0), whole(0.5)]) == "[6, 0.5]"


def test_calls_report_has_every_documented_figure() -> None:
    measured = calls.Measured(
        apply_to_ready=[1.0, 0.8, 0.9], applied=[phase(10, 9, 4)] * 3, kubectl_apply=[0.1] * 3,
        kubectl_delete=[0.1] * 3, erased=[0.02, 0.03], erased_first=[0.5], delete_to_removed=[0.4, 0.5, 0.6],
        deleted=[phase(12, 10, 2)] * 3, young_delete_to_removed=[2.5], by_hand=[0.5], by_hand_calls=[phase(12, 7)],
        by_hand_removal=[0.25], settled=[phase(6)] * 7, deep=[phase(14)], settled_kube_writes=[0],
    )  # fmt: skip
    crowd = calls.Crowd(
        states=50, apply_to_ready=10.0, applied=phase(500, 450, 200), apply_cpu=3.0, restart=4.0,
        restarted=phase(700), delete_to_removed=9.0, deleted=phase(600, 500, 100),
    )  # fmt: skip
    figures = calls.report(measured, crowd).figures
    expected = {
        "first_apply_aws_calls": 19, "settled_pass_aws_reads": 6, "settled_pass_aws_writes": 0,
        "first_apply_kube_writes": 4, "settled_pass_kube_writes": 0, "delete_aws_calls": 22,
        "apply_to_ready_s": 0.9, "delete_to_gone_s": 0.5, "apply_to_ready_per_by_hand": 1.8,
        "delete_to_gone_per_by_hand": 2.0, "fifty_apply_aws_calls_per_tenant": 19.0,
        "fifty_apply_kube_writes_per_tenant": 4.0, "fifty_restart_kube_writes_per_tenant": 0.0,
        "fifty_apply_to_ready_per_by_hand": 0.4,
    }  # fmt: skip
    assert {key: figures[key] for key in expected} == expected
    assert figures["record_deleted_to_file_erased_s"] == {"p50": 0.03, "max": 0.5, "n": 3, "first_p50": 0.5}
    assert figures["calls_by_operation"]["settled_pass"] == {"lambda:GetFunction": 6}
    json.dumps(figures)


def test_calls_report_without_a_settled_reconcile_is_refused() -> None:
    crowd = calls.Crowd(
        states=2, apply_to_ready=1, applied=phase(1), apply_cpu=1, restart=1, restarted=phase(1), delete_to_removed=1,
        deleted=phase(1),
    )  # fmt: skip
    with pytest.raises(rig.NotMeasuredError):
        calls.report(calls.Measured(deep=[phase(25)]), crowd)


def test_storm_report_lists_ready_states_and_leaked_resources() -> None:
    found = storm.Storm(
        states=50, ready=50, deleted_states=49, leaked={"roles": ["a"], "tags on tables": ["b", "c"]}, aws_calls=9,
        failed_calls=3, apply_to_ready_seconds=2.0, delete_to_removed_seconds=3.0, forecast="stormy", seed=7,
        faults={"reset": 2}, stuck="one",
    )  # fmt: skip
    made = storm.report(found)
    assert {name: made.figures[name] for name in ("ready", "gone", "left_over", "aws_calls", "seconds", "seed")} == {
        "ready": 50, "gone": 49, "left_over": 3, "aws_calls": 9, "seconds": 5.0, "seed": 7,
    }  # fmt: skip
    assert "left in AWS: tags on tables: b, c" in made.notes
    assert "stuck: one" in made.notes


def test_failing_report_gives_delays_as_a_ratio_to_all_healthy() -> None:
    found = {
        "all healthy": failing.Situation(changes=[1.0, 1.0, 3.0], between_reconciliations=[10.0]),
        "never answered": failing.Situation(changes=[2.0, 2.0, 2.0], between_reconciliations=[5.0, 15.0, 20.0]),
    }
    figures = failing.report(found, states=50).figures["never_answered"]
    assert (figures["change_to_all_healthy"], figures["between_passes_to_all_healthy"]) == (2.0, 1.5)
    assert figures["between_passes_longest_s"] == 20.0


def test_latency_is_the_99th_percentile_and_cold_starts_are_counted_separately() -> None:
    found = latency.report({1: [0.1] * 99 + [5.0], 1000: [0.5] * 98 + [0.9, 0.9]}, first={1: 2.0, 1000: 3.0})

    assert found.figures["p99_s"] == {"1": 0.1, "1000": 0.9}
    assert found.figures["first_s"] == {"1": 2.0, "1000": 3.0}
    assert [row[0] for row in found.tables[0].rows] == ["1", "1, of a new process", "1,000", "1,000, of a new process"]


def test_cost_of_a_tenant_is_the_sum_of_units_times_prices() -> None:
    found = {one.item: one for one in cost.costs(cost.Tenant())}
    assert found["sweep: LIST calls"].units == 100 * 30
    assert found["sweep: LIST calls"].usd == pytest.approx(0.015)
    assert found["function: requests"].units == 15_000
    report = cost.run(cost.Tenant())
    assert report.figures["usd_a_month"] == pytest.approx(sum(one.usd for one in found.values()), abs=0.005)


def test_cost_of_the_metrics_is_that_of_the_operations_page() -> None:
    """50 states cost $17.28 per month there."""
    [metrics] = [one for one in cost.costs(cost.Tenant()) if one.item == "operator: metrics read"]
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    assert f"{metrics.units:,.0f} in 30 days" in text
    assert f"50 states cost\n${50 * metrics.usd:.2f} per month" in text


def test_price_of_another_name_is_refused() -> None:
    assert cost.prices_with(["s3-get=1"])["s3-get"] == 1
    with pytest.raises(ValueError, match="no price is called s4-get; there are lambda-request"):
        cost.prices_with(["s4-get=1"])


def test_cost_page_has_the_figures_that_the_bench_prints() -> None:
    text = (REPOSITORY / "docs" / "cost.md").read_text()
    report = cost.run(cost.Tenant())
    for line in table_lines(report.tables[0].header, report.tables[0].rows):
        assert line in text


def test_critical_report_compares_each_time_with_the_chain_that_no_operator_can_shorten() -> None:
    calls_made = Counter({"lambda:GetFunction": 4, "lambda:CreateFunction": 2})
    measured = critical.Measured(
        one={5.0: [10.5, 21.0], 16.0: [21.5]}, one_calls={5.0: [30, 20], 16.0: [40]}, deleted=[3.5, 7.0],
        deleted_calls=[25],
        crowd=critical.Crowd(
            states=2, first=13.5, last=27.0, deleted=7.0, applied=Phase(reads=calls_made), removed=phase(8),
        ),
    )  # fmt: skip
    figures = critical.report(measured).figures
    assert figures["ratio_one"] == {"5": 2.0, "16": 1.0}, "of several the slowest"
    assert figures["calls_one"] == {"5": 30, "16": 40}
    assert {name: figures[name] for name in figures if not isinstance(figures[name], dict)} == {
        "ratio_delete_one": 2.0, "ratio_fifty": 2.0, "first_of_fifty": 1.0, "ratio_delete_fifty": 2.0, "states": 2,
        "calls_per_tenant": 3.0, "delete_calls_per_tenant": 4.0,
    }  # fmt: skip
