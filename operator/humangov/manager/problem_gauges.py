"""What of a tenant needs a person first, from its status, for metrics and alerts. Pure.

One problem often shows in several conditions: a function that fails delays records, which then expire, and leaves
failed invocations. Of these a tenant tells one, so that no cause alerts twice; the next shows when the first is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from humangov.api.conditions import (
    FAILURES_HANDLED,
    HELD,
    RECORDS_DELIVERED,
    RECORDS_HANDLED,
    STOPPED,
    find_condition,
)

STALLED, LOG_GROUP_READY = "Stalled", "LogGroupReady"


class Problem(NamedTuple):
    """A condition, and its reason."""

    condition: str
    reason: str


def problem_of(status: Mapping[str, Any]) -> Problem | None:
    """The most urgent; None: nobody need do anything. What a person has stopped is none before 12 hours."""
    return next(_problems(status), None)


def _problems(status: Mapping[str, Any]) -> Iterator[Problem]:
    """The most urgent first: a mass erasure, a stop that is not obeyed, records about to be lost, then all else."""
    stalled = _found(status, STALLED, "True")
    if stalled and stalled.reason == "ErasureLimit":
        yield stalled
    if stopping := _found(status, STOPPED, "Unknown"):
        yield stopping
    delivered = _found(status, RECORDS_DELIVERED, "False")
    if delivered and delivered.reason == "RecordsExpiring":
        yield delivered
    stopped = _found(status, STOPPED, "True")
    if stopped and stopped.reason == "StoppedForLong":
        yield stopped
    if stalled and stalled.reason == "Stopped":
        return  # what follows from it is meant
    if stalled and stalled.reason != "LegalHold":
        yield stalled
    later = (
        delivered,
        _found(status, FAILURES_HANDLED, "False"),
        _found(status, RECORDS_HANDLED, "False"),
        stalled,
        _found(status, HELD, "Unknown", reason="HoldEnding"),
        _found(status, LOG_GROUP_READY, "True", reason="ReceiptsMasked"),
    )
    yield from (problem for problem in later if problem)


def _found(status: Mapping[str, Any], name: str, answer: str, *, reason: str | None = None) -> Problem | None:
    condition = find_condition(status, name)
    if condition is None or condition["status"] != answer or reason not in (None, condition["reason"]):
        return None
    return Problem(name, condition["reason"])
