"""Conditions and events: kstatus's rules as properties. Runs on nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from humangov.api.conditions import (
    PARTS,
    Finding,
    compose,
    find_condition,
    missing,
    missing_since,
    steady,
    summary,
    transitions,
)
from humangov.api.times import timestamp
from hypothesis import given
from hypothesis import strategies as st

from testing.samples import NOW

WORDS = st.sampled_from(["InSync", "Enabled", "Pending", "TransientError", "DependencyNotReady", "AccessDenied"])
TEXTS = st.sampled_from(["a", "b", "c"])


@st.composite
def one_finding(draw: st.DrawFn) -> Finding:
    reason, message = draw(WORDS), draw(TEXTS)
    match draw(st.integers(0, 3)):
        case 0:
            return Finding.in_sync(reason, message)
        case 1:
            return Finding.waiting(reason, message, requeue_after_seconds=draw(st.none() | st.just(1.0)))
        case 2:
            return Finding.transient(reason, message, soon=draw(st.booleans()))
        case _:
            return Finding.action_required(reason, message)


FINDINGS = st.dictionaries(st.sampled_from(PARTS), one_finding())
GENERATIONS = st.integers(1, 3)


def composed(
    previous: Mapping[str, Any], findings: Mapping[str, Finding], *, generation: int = 1, now: datetime = NOW
) -> dict[str, Any]:
    ready = summary(findings, ready_reason="InSync", ready_message="fine")
    return compose(
        previous, generation=generation, ready=ready, findings=findings, now=now, fields={"functionName": "f"}
    )


def status_of(status: Mapping[str, Any], name: str) -> str:
    condition = find_condition(status, name)
    assert condition is not None
    return str(condition["status"])


@given(before=FINDINGS, after=FINDINGS, generation=GENERATIONS)
def test_conditions_follow_the_rules_of_kstatus(
    before: dict[str, Finding], after: dict[str, Finding], generation: int
) -> None:
    status = composed(composed({}, before), after, generation=generation)
    ready, reconciling, stalled = (status_of(status, name) for name in ("Ready", "Reconciling", "Stalled"))
    assert not (reconciling == "True" and stalled == "True")
    assert (ready == "Unknown") == (reconciling == "True")
    assert (ready == "False") == (stalled == "True")
    assert status["observedGeneration"] == generation
    assert {condition["observedGeneration"] for condition in status["conditions"]} == {generation}
    types = [condition["type"] for condition in status["conditions"]]
    assert types == ["Ready", "Reconciling", "Stalled", *[part for part in PARTS if part in after]]
    assert (ready == "True") == all(finding.status == "True" for finding in after.values())
    assert all(condition["reason"] for condition in status["conditions"])


@given(before=FINDINGS, after=FINDINGS)
def test_last_transition_time_changes_only_with_the_status(
    before: dict[str, Finding], after: dict[str, Finding]
) -> None:
    old = composed({}, before)
    new = composed(old, after, now=NOW + timedelta(hours=1))
    for condition in new["conditions"]:
        was = find_condition(old, condition["type"])
        same = was is not None and was["status"] == condition["status"]
        moment = NOW if same else NOW + timedelta(hours=1)
        assert condition["lastTransitionTime"] == timestamp(moment)


@given(before=FINDINGS, after=FINDINGS)
def test_equal_findings_give_an_equal_status_and_no_event(
    before: dict[str, Finding], after: dict[str, Finding]
) -> None:
    once = composed(composed({}, before), after)
    again = composed(once, after, now=NOW + timedelta(days=1))
    assert again == once
    assert transitions(once, again, own_doing=False) == []


def test_stop_of_two_conditions_is_one_event() -> None:
    running = {"type": "Ready", "status": "True", "reason": "InSync", "message": "", "observedGeneration": 1}
    said = {"reason": "Stopped", "message": "Stopped: a trial", "observedGeneration": 1}
    new = [
        {"type": "Ready", "status": "False", **said}, {"type": "Stalled", "status": "True", **said},
        {"type": "Stopped", "status": "True", **said},
    ]  # fmt: skip
    events = transitions({"conditions": [running]}, {"conditions": new}, own_doing=True)
    assert [(event.kind, event.reason, event.message) for event in events] == [
        ("Warning", "Stopped", "Stopped: a trial")
    ]


@given(before=FINDINGS, after=FINDINGS, own_doing=st.booleans())
def test_each_transition_gives_at_most_one_event(
    before: dict[str, Finding], after: dict[str, Finding], own_doing: bool
) -> None:
    old = composed({}, before)
    new = composed(old, after, now=NOW + timedelta(hours=1))
    events = transitions(old, new, own_doing=own_doing)
    was, now = find_condition(old, "Ready"), find_condition(new, "Ready")
    assert was is not None
    assert now is not None
    if (was["status"], was["reason"]) == (now["status"], now["reason"]):
        assert events == []
    elif now["status"] == "True":
        assert [event.kind for event in events] == ["Normal"]
    elif now["status"] == "False":
        assert [event.kind for event in events] == ["Warning"]
    else:
        assert len(events) <= 1
        assert not (events and own_doing)


@given(findings=FINDINGS)
def test_ready_message_lists_every_stalled_finding_once(findings: dict[str, Finding]) -> None:
    ready = summary(findings, ready_reason="InSync", ready_message="fine")
    stalled = [finding for finding in findings.values() if finding.stalled]
    if stalled:
        assert ready.status == "False"
        assert all(finding.message in ready.message for finding in stalled)
        assert len(ready.message.split("; ")) == len({finding.message for finding in stalled})


def test_ready_message_names_a_cause_before_its_dependents() -> None:
    ready = summary(
        {
            "StreamReady": Finding.waiting("DependencyNotReady", "later", for_others=True),
            "FunctionReady": Finding.waiting("Pending", "first"),
        },
        ready_reason="x",
        ready_message="x",
    )
    assert (ready.reason, ready.message) == ("Pending", "first")


def test_status_fields_without_a_value_are_omitted() -> None:
    status = compose(
        {}, generation=1, ready=Finding.in_sync("a", "b"), findings={}, now=NOW, fields={"aws": None, "x": "y"}
    )
    assert set(status) == {"x", "observedGeneration", "conditions"}


def test_long_condition_message_is_cut_at_4000_characters() -> None:
    status = composed({}, {"RoleReady": Finding.action_required("TerminalError", "x" * 100_000)})
    assert all(len(condition["message"]) <= 4000 for condition in status["conditions"])


def shown(finding: Finding, *, generation: int = 1, now: datetime = NOW) -> dict[str, Any]:
    return composed({}, {"RoleReady": finding}, generation=generation, now=now)


PASSING = Finding.transient("TransientError", "throttled", soon=True)


def test_transient_error_of_an_in_sync_part_is_not_shown_but_counts_as_a_failure() -> None:
    previous = shown(Finding.in_sync("InSync", "fine"))
    kept = steady(PASSING, previous=previous, part="RoleReady", generation=1)
    assert (kept.status, kept.reason, kept.message, kept.failed, kept.soon) == ("True", "InSync", "fine", True, True)
    assert composed(previous, {"RoleReady": kept}) == previous


@pytest.mark.parametrize(
    ("finding", "previous", "generation"),
    [
        (PASSING, {}, 1),
        (PASSING, shown(Finding.in_sync("InSync", "fine")), 2),
        (PASSING, shown(Finding.waiting("Pending", "x")), 1),
        (Finding.action_required("AccessDenied", "x"), shown(Finding.in_sync("InSync", "fine")), 1),
        (Finding.transient("TransientError", "?", soon=False), shown(Finding.in_sync("InSync", "fine")), 1),
        (Finding.waiting("Pending", "x"), shown(Finding.in_sync("InSync", "fine")), 1),
    ],
)
def test_other_findings_are_shown_at_once(finding: Finding, previous: dict[str, Any], generation: int) -> None:
    assert steady(finding, previous=previous, part="RoleReady", generation=generation) == finding


def looked_for(previous: Mapping[str, Any], now: datetime) -> tuple[Finding, dict[str, Any]]:
    since = missing_since(previous, part="StreamReady", reason="TableNotFound", now=now)
    finding = missing(Finding.waiting("TableNotFound", "no table."), kind="table", since=since, now=now)
    return finding, composed(previous, {"StreamReady": finding}, now=now)


def test_missing_resource_stalls_after_15_minutes_across_restarts() -> None:
    status: dict[str, Any] = {}
    for minutes in range(40):
        finding, status = looked_for(status, NOW + timedelta(minutes=minutes))
        assert finding.stalled == (minutes >= 15), minutes
        assert finding.requeue_after_seconds == (None if finding.stalled else 5)
        assert finding.failed == finding.stalled, "then the queue backs off: it is looked for ever more seldom"


def test_throttled_read_does_not_restart_the_15_minutes_of_a_missing_resource() -> None:
    _, status = looked_for({}, NOW)
    status = composed(status, {"StreamReady": PASSING}, now=NOW + timedelta(minutes=10))
    finding, status = looked_for(status, NOW + timedelta(minutes=14))
    assert not finding.stalled
    finding, _ = looked_for(status, NOW + timedelta(minutes=16))
    assert finding.stalled


def test_resource_found_in_between_restarts_the_15_minutes() -> None:
    _, status = looked_for({}, NOW)
    status = composed(status, {"StreamReady": Finding.in_sync("Enabled", "x")}, now=NOW + timedelta(minutes=10))
    finding, _ = looked_for(status, NOW + timedelta(minutes=16))
    assert not finding.stalled
