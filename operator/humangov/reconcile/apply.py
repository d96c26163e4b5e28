"""Apply: the changes are made stage by stage; what each write's answer shows is returned.

{stream, role, log group} → function → trigger: a stage stands on the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from humangov.api.conditions import Finding
from humangov.aws import resources
from humangov.aws.change import Change
from humangov.aws.error_findings import ROLE_RIPENS, finding_of_error, role_unknown
from humangov.aws.errors import AwsError
from humangov.aws.resources import FUNCTION, MODULES, ROLE, STAGES, TRIGGER, Observations, Unread
from humangov.reconcile.context import Operator, Reconciliation, is_early, is_stopped_since
from humangov.reconcile.decide import Decision, despite_others, without


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The result of the writes: what is observed after them, the changes that were made, and what of a part failed."""

    observed: Observations
    changes: tuple[Change, ...] = ()
    failures: Mapping[str, Finding] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _PartApplied:
    part: str
    observed: Any
    changes: tuple[Change, ...]
    error: AwsError | None = None


async def apply(operator: Operator, this: Reconciliation, decision: Decision, observed: Observations) -> Applied:
    """Make the changes that are decided, each stage given what the one before came to."""
    done, changes, held = Applied(observed=observed), decision.changes, decision.blocked
    if not decision.writes:
        return done
    for stage in STAGES:
        desired = this.desired(done.observed)
        if TRIGGER in stage and not held:  # the stream's ARN may have become known just now
            changes = {**changes, TRIGGER: without(_trigger_changes(done.observed, desired), decision.put_off)}
        if FUNCTION in stage and _role_is_early(operator, this, done, changes):
            done = replace(done, failures={**done.failures, FUNCTION: role_unknown()})
            changes = {**changes, FUNCTION: ()}
        parts = [
            _apply_part(operator, this, part, changes[part], done.observed[part], desired[part])
            for part in stage
            if changes.get(part)
        ]
        done = _with(done, await asyncio.gather(*parts), this)
        if not held and not all(_is_ready(part, done, desired) for part in stage):
            held, changes = True, despite_others(changes, done.observed, this.names)
    return done


def _role_is_early(
    operator: Operator, this: Reconciliation, done: Applied, changes: Mapping[str, Sequence[Change]]
) -> bool:  # fmt: skip
    """Whether Lambda need not be asked about a role that was created a moment ago: it does not know older ones yet."""
    creates = any(change.action == "lambda:CreateFunction" for change in changes.get(FUNCTION, ()))
    is_new = any(change.action == "iam:CreateRole" for change in done.changes)
    return creates and is_new and is_early(operator, this.names, ROLE_RIPENS)


async def _apply_part(
    operator: Operator, this: Reconciliation, part: str, changes: Sequence[Change], observed: Any, desired: Any
) -> _PartApplied:
    """One write after the other, up to the first that fails, or until the tenant is stopped.

    That a way in could not be closed keeps nothing else from being corrected.
    """
    applied: tuple[Change, ...] = ()
    failed: AwsError | None = None
    for change in changes:
        if is_stopped_since(operator, this):
            break
        before = observed
        try:
            observed = await operator.in_thread(partial(MODULES[part].apply, this.clients, change, before, desired))
        except AwsError as error:
            failed = failed or error
            if change.opened:
                continue
            return _PartApplied(part=part, observed=before, changes=applied, error=failed)
        if observed is not before:  # else AWS was too busy, and it is left for the next reconciliation
            applied = (*applied, change)
    return _PartApplied(part=part, observed=observed, changes=applied, error=failed)


def _with(done: Applied, parts: Sequence[_PartApplied], this: Reconciliation) -> Applied:
    observed = {**done.observed, **{one.part: one.observed for one in parts}}
    role = resources.observation(observed, ROLE)
    failures = {
        one.part: finding_of_error(one.error, role_created=role.created if role else None, now=this.context.now)
        for one in parts
        if one.error is not None
    }
    return Applied(
        observed=observed,
        changes=(*done.changes, *(change for one in parts for change in one.changes)),
        failures={**done.failures, **failures},
    )


def _trigger_changes(observed: Observations, desired: Mapping[str, Any]) -> list[Change]:
    if isinstance(observed[TRIGGER], Unread):
        return []
    changes: list[Change] = MODULES[TRIGGER].plan(observed[TRIGGER], desired[TRIGGER])
    return changes


def _is_ready(part: str, done: Applied, desired: Mapping[str, Any]) -> bool:
    """Whether a part is what later stages stand on."""
    if part in done.failures or isinstance(done.observed[part], Unread):
        return False
    return resources.finding(part, done.observed, desired).carries
