"""What the tests take for kstatus's rules finds each way of breaking them. Whether kstatus agrees: tests/cluster."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from testing import kstatus

Resource = dict[str, Any]


def ready() -> Resource:
    states = {"Ready": "True", "Reconciling": "False", "Stalled": "False"}
    conditions = [
        {
            "type": kind, "status": status, "reason": "InSync", "message": "as declared", "observedGeneration": 2,
            "lastTransitionTime": "2026-03-01T00:00:00Z",
        }
        for kind, status in states.items()
    ]  # fmt: skip
    return {"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "conditions": conditions}}


def condition(resource: Resource, kind: str) -> Resource:
    found: Resource = next(one for one in resource["status"]["conditions"] if one["type"] == kind)
    return found


@pytest.mark.parametrize("broken", [
    lambda one: condition(one, "Reconciling").update(status="True"),
    lambda one: condition(one, "Stalled").update(status="True"),
    lambda one: condition(one, "Ready").update(status="False"),
    lambda one: condition(one, "Ready").update(status="Perhaps"),
    lambda one: condition(one, "Ready").update(observedGeneration=1),
    lambda one: condition(one, "Ready").update(reason="in sync"),
    lambda one: condition(one, "Ready").update(reason=""),
    lambda one: condition(one, "Ready").update(message="x" * 32769),
    lambda one: condition(one, "Ready").update(type="Ready!"),
    lambda one: one["status"].update(observedGeneration=3),
    lambda one: one["status"]["conditions"].append(condition(one, "Ready")),
])  # fmt: skip
def test_status_that_breaks_a_rule_of_kstatus_is_found(broken: Callable[[Resource], None]) -> None:
    resource = ready()
    assert kstatus.problems(resource) == []
    broken(resource)
    assert kstatus.problems(resource) != []


def test_time_of_a_transition_moves_only_with_the_status() -> None:
    before = ready()
    after = copy.deepcopy(before)
    condition(after, "Ready").update(lastTransitionTime="2026-03-01T00:01:00Z")
    assert kstatus.moves(before["status"], after["status"]) != []
    condition(after, "Ready").update(status="False")
    assert kstatus.moves(before["status"], after["status"]) == []
