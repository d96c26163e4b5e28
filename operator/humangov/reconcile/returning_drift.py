"""Drift that comes back: the same correction, made again and again, is Stalled, and made ever more seldom. Pure.

Somebody else declares the same field, or AWS holds two values as one. A correction a minute would help neither side,
and each correction of a stream costs records. What closes a way in, or disables a trigger, is never put off. Known in
this process only: after a restart it takes three corrections more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from humangov.api.conditions import Finding
from humangov.api.times import timestamp
from humangov.aws.change import Change
from humangov.reconcile.cache import Correction
from humangov.reconcile.decide import Decision, without

OFTEN, WITHIN = 3, timedelta(hours=1)
_FIRST, _LONGEST = timedelta(minutes=10), timedelta(hours=1)
_FORGOTTEN_AFTER = timedelta(hours=2)
_MOST = 100
_OF_STREAM = "dynamodb:TagResource"


def recorded(
    before: Sequence[Correction], changes: Sequence[Change], *, generation: int, now: datetime
) -> tuple[Correction, ...]:
    """With the changes that were just made. Another generation, or two quiet hours, begin anew."""
    fresh = {one.what for one in before if now - one.at <= _FORGOTTEN_AFTER}
    kept = [one for one in before if one.generation == generation and one.what in fresh]
    new = [Correction(what=change.what, generation=generation, at=now) for change in changes if _counts(change)]
    return (*kept, *new)[-_MOST:]


def held_back(decision: Decision, corrections: Sequence[Correction], *, generation: int, now: datetime) -> Decision:
    """The decision without the changes that are put off, and with a finding of each part that they concern."""
    findings: dict[str, Finding] = {}
    put_off: set[tuple[str, ...]] = set()
    for part, changes in decision.changes.items():
        for change in changes:
            times = [one.at for one in corrections if one.what == change.what and one.generation == generation]
            due = _due(times)
            if _counts(change) and due is not None and now < due:
                put_off.add(change.what)
                findings.setdefault(part, _finding(change, times, due))
    if not put_off:
        return decision
    left = {part: without(some, put_off) for part, some in decision.changes.items()}
    return replace(
        decision, changes=left, findings={**decision.findings, **findings}, put_off=frozenset(put_off)
    )  # fmt: skip


def _due(times: Sequence[datetime]) -> datetime | None:
    """When the next correction may be made; None: at once. times: of those before, in order."""
    often = next((end for end in range(OFTEN - 1, len(times)) if times[end] - times[end - OFTEN + 1] <= WITHIN), None)
    if often is None:
        return None
    doubled = _FIRST * (1 << min(len(times) - 1 - often, 10))
    return times[-1] + min(_LONGEST, doubled)


def _counts(change: Change) -> bool:
    """A creation is followed by none; and what keeps files safe is never put off.

    The table's tags are written before and after its stream is enabled, which counts.
    """
    is_own_doing = change.of_rollout or change.adopts or ":Create" in change.action
    return not (is_own_doing or change.keeps_safe or change.action == _OF_STREAM)


def _finding(change: Change, times: Sequence[datetime], due: datetime) -> Finding:
    call = change.action.partition(":")[2]
    return Finding.action_required(
        "DriftReturns",
        f"the operator has corrected this {len(times)} times since {timestamp(times[0])}, and each time somebody "
        f"changed it back: {change.resource} {change.target}: {change.summary}. Another owner manages it too: "
        f"CloudTrail's events {call} name them. Let only one of the two manage it, or set spec.suspend: true. The "
        "next correction is "
        f"at {timestamp(due)}",
    )
