"""kstatus's rules, as far as one moment of a resource can keep or break them.

https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

SUMMARY = ("Ready", "Reconciling", "Stalled")
_STATUSES = ("True", "False", "Unknown")
# https://pkg.go.dev/k8s.io/apimachinery/pkg/apis/meta/v1#Condition
_TYPE = re.compile(
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])"
)
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_MESSAGE_LIMIT = 32768


def computed(resource: Mapping[str, Any]) -> str:
    """What kstatus computes of a custom resource: Current, InProgress, Failed or Terminating.

    Its own code is asked too, by tests/cluster/test_gitops.py.
    """
    status, metadata = resource.get("status") or {}, resource["metadata"]
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    states = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    for kind, means in (("Reconciling", "InProgress"), ("Stalled", "Failed")):
        if states.get(kind) == "True":
            return means
    return "Current" if states.get("Ready", "True") == "True" else "InProgress"


def moves(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Which conditions of two statuses, one after the other, have a lastTransitionTime that is none, in words."""
    former = {one["type"]: one for one in before.get("conditions") or ()}
    return [
        f"{one['type']} stays {one['status']} and its lastTransitionTime moves"
        for one in after.get("conditions") or ()
        if one["type"] in former
        and former[one["type"]]["status"] == one["status"]
        and former[one["type"]]["lastTransitionTime"] != one["lastTransitionTime"]
    ]


def problems(resource: Mapping[str, Any]) -> list[str]:
    """Which rules this moment of a resource breaks, in words. One without conditions breaks none."""
    status = resource.get("status") or {}
    conditions = status.get("conditions") or []
    if not conditions:
        return []
    kinds = [one["type"] for one in conditions]
    generation, observed = resource["metadata"]["generation"], status.get("observedGeneration", 0)
    found = [] if len(set(kinds)) == len(kinds) else [f"a condition twice: {kinds}"]
    if observed > generation:
        found.append(f"observedGeneration {observed} is ahead of {generation}")
    for condition in conditions:
        found += _of_condition(condition, observed=observed)
    states = {one["type"]: one["status"] for one in conditions if one["type"] in SUMMARY}
    suspended = any(one["type"] == "Ready" and one["reason"] == "Suspended" for one in conditions)
    return [*found, *_of_summary(states, suspended=suspended)]


def _of_condition(condition: Mapping[str, Any], *, observed: int) -> Iterator[str]:
    kind, about = condition["type"], condition.get("observedGeneration", 0)
    if condition["status"] not in _STATUSES:
        yield f"{kind} is {condition['status']}"
    if about != observed:
        yield f"{kind} is about generation {about}, the status about {observed}"
    if not _TYPE.fullmatch(kind) or not _REASON.fullmatch(condition["reason"]):
        yield f"{kind} or its reason {condition['reason']} is no name"
    if len(condition["message"]) > _MESSAGE_LIMIT:
        yield f"{kind} has a message of {len(condition['message'])} characters"
    yield from (
        f"{kind} has no {field}" for field in ("reason", "message", "lastTransitionTime") if not condition[field]
    )


def _of_summary(states: Mapping[str, str], *, suspended: bool) -> Iterator[str]:
    """Of Ready, Reconciling and Stalled: one of them holds, and only what is stalled has failed.

    What is suspended while it is out of sync is neither ready, nor in progress, nor failed.
    """
    if len(states) < len(SUMMARY):
        yield f"not all of {', '.join(SUMMARY)} are there: {states}"
        return
    if suspended and set(states.values()) == {"False"}:
        return
    if sum(status == "True" for status in states.values()) != 1:
        yield f"not one holds: {states}"
    if (states["Ready"] == "False") != (states["Stalled"] == "True"):
        yield f"Ready is False and Stalled True, or neither: {states}"
