"""What metrics tell of a tenant's sweeps, from its status. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from humangov.api.conditions import SWEEP_SUCCEEDED, find_condition
from humangov.api.sweep_schedule import next_start
from humangov.api.times import parse_time
from humangov.kube.client import Resource

OUTCOMES = ("erased", "retained", "kept", "failed")
"""Fields of status.sweep: numbers of confirmed orphans."""


@dataclass(frozen=True, kw_only=True)
class SweepGauges:
    """Of one tenant; times in seconds since the epoch, None: there is none.

    result   status and reason of condition SweepSucceeded
    ended    when the last sweep ended
    due      when its schedule starts the one after that, or should have; None while no schedule is in effect
    orphans  that the last sweep has left
    files    of the last sweep, by outcome
    """

    result: tuple[str, str] | None = None
    ended: float | None = None
    due: float | None = None
    orphans: int | None = None
    files: Mapping[str, int] = field(default_factory=dict)


def sweep_gauges(resource: Resource, *, stopped: bool) -> SweepGauges | None:
    """None if the tenant has no sweeps. stopped: no sweep runs."""
    status = resource.get("status") or {}
    condition = find_condition(status, SWEEP_SUCCEEDED)
    if condition is None:
        return None
    swept = status.get("sweep") or {}
    ended = parse_time(swept.get("finishedAt"))
    return SweepGauges(
        result=(condition["status"], condition["reason"]),
        ended=ended.timestamp() if ended else None,
        due=None if stopped or "deletionTimestamp" in resource["metadata"] else _due(resource),
        orphans=swept.get("orphans"),
        files={outcome: swept[outcome] for outcome in OUTCOMES if outcome in swept},
    )


def _due(resource: Resource) -> float | None:
    status = resource.get("status") or {}
    schedule = status.get("sweepSchedule")
    since = parse_time((status.get("sweep") or {}).get("finishedAt") or resource["metadata"].get("creationTimestamp"))
    if not schedule or since is None:
        return None
    due = next_start(schedule["schedule"], schedule["timeZone"], after=since)
    return due.timestamp() if due else None
