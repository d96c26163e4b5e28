"""No waiting without an end: what is in progress for longer than it can take becomes Stalled. Pure.

Every result of a reconciliation passes here (status.py), of a removal too, so the rule holds for every state and every
error of AWS, known or not. A Stalled tenant is still reconciled, ever more seldom, and recovers by itself. Since when
it waits is in status.waitingSince: a restart of the operator does not begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from humangov.api.conditions import MESSAGE_LIMIT, Finding, find_condition
from humangov.api.times import parse_time, timestamp

STATUS_FIELD = "waitingSince"
_LEAVES_ROOM = MESSAGE_LIMIT - 400
LASTS = timedelta(minutes=15)
_LASTS_LONGER = {
    # DynamoDB restores and imports large tables in hours.
    "TableNotActive": timedelta(hours=24),
    # Until an invocation that began before has ended: 15 minutes, and Lambda's own delay (reconcile/legal_hold.py).
    "HoldStarting": timedelta(minutes=30),
    # Each of its steps; the Job of the final stream read ends within 25 minutes.
    "Deleting": timedelta(minutes=30),
}


@dataclass(frozen=True, kw_only=True)
class Wait:
    """ready: condition Ready. since: when what it waits for began; None: it does not wait."""

    ready: Finding
    since: datetime | None = None

    @property
    def status(self) -> str | None:
        """status.waitingSince; None: absent."""
        return timestamp(self.since) if self.since else None

    def of_parts(self, findings: Mapping[str, Finding]) -> dict[str, Finding]:
        """The findings of the parts. Of an overdue wait, none asks for a reconciliation sooner than the back-off."""
        return at_growing_intervals(findings) if self.ready.stalled and self.since is not None else dict(findings)


def judged(ready: Finding, before: Mapping[str, Any], *, generation: int, now: datetime) -> Wait:
    """Ready, given the stored status: Stalled if it is the same wait, or the same error, for too long."""
    if ready.status != "Unknown":
        return Wait(ready=ready)
    since = _since(ready, before, generation=generation) or now
    if now - since < lasts(ready):
        return Wait(ready=ready, since=since)
    stalled = replace(
        ready, status="False", stalled=True, failed=True, soon=False, requeue_after_seconds=None, ripens="",
        message=_overdue(ready.message, since),
    )  # fmt: skip
    return Wait(ready=stalled, since=since)


def at_growing_intervals(findings: Mapping[str, Finding]) -> dict[str, Finding]:
    """The same findings, without the moment at which what is in progress is to be read again."""
    return {
        name: replace(finding, requeue_after_seconds=None, soon=False, ripens="")
        if finding.status == "Unknown"
        else finding
        for name, finding in findings.items()
    }


def lasts(ready: Finding) -> timedelta:
    """How long it may be in progress."""
    return _LASTS_LONGER.get(ready.reason, LASTS)


def _since(ready: Finding, before: Mapping[str, Any], *, generation: int) -> datetime | None:
    """None: it has just begun. Errors are the same by their reason: texts may hold numbers that differ each time."""
    since, condition = parse_time(before.get(STATUS_FIELD)), find_condition(before, "Ready")
    if since is None or condition is None or condition.get("observedGeneration") != generation:
        return None
    same = ready.failed or condition["message"] in (ready.message[:MESSAGE_LIMIT], _overdue(ready.message, since))
    return since if same and condition["reason"] == ready.reason else None


def _overdue(message: str, since: datetime) -> str:
    return (
        f"{message[:_LEAVES_ROOM]}. This has lasted since {timestamp(since)}, longer than it normally takes. Check "
        "that resource in AWS, and look up AWS's error code if the message has one. The operator keeps checking, at "
        "growing intervals, and continues automatically when this has ended"
    )
