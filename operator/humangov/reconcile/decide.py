"""Decide: what is to be written, given what was observed, and what stands in its way. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from humangov.api.conditions import Finding, missing, missing_since
from humangov.api.names import Names
from humangov.aws import bucket, resources, stream
from humangov.aws.change import Change
from humangov.aws.error_findings import finding_of_error
from humangov.aws.ownership import is_owned
from humangov.aws.resources import BUCKET, FUNCTION, STREAM, TRIGGER, Observations, Unread
from humangov.reconcile.context import Reconciliation

Changes = Mapping[str, Sequence[Change]]
"""Part → its changes, in order."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to be written.

    in_sync   nothing has to change, nor is anything another's
    changes   what of the changes may be made now
    findings  of what people make, and of what is not the tenant's
    blocked   something that people create is missing, or something is not the tenant's: meanwhile nothing is created
    put_off   changes (Change.what) that are not made now: they were undone again and again (returning_drift.py)
    """

    in_sync: bool
    changes: Changes
    findings: Mapping[str, Finding]
    blocked: bool
    put_off: frozenset[tuple[str, ...]] = frozenset()

    @property
    def writes(self) -> bool:
        return any(self.changes.values())


def decide(this: Reconciliation, observed: Observations) -> Decision:
    """A plan for every part, and which of it may be made."""
    planned = this.plan(observed)
    not_owned = {part: plan for part, plan in planned.items() if isinstance(plan, Finding)}
    findings = {**_prerequisites(this, observed), **not_owned}
    blocked = any(finding.status != "True" for finding in findings.values())
    changes: Changes = {part: plan for part, plan in planned.items() if not isinstance(plan, Finding)}
    if this.tenant.suspend:
        changes = {}
    elif blocked:
        changes = _keeping_safe(changes, observed, this.names)
    return Decision(in_sync=not any(planned.values()), changes=changes, findings=findings, blocked=blocked)


def rewrites(changes: Changes) -> bool:
    """Whether anything that exists is to be changed. Of what is created, AWS itself refuses a second one."""
    return any(":Create" not in change.action for some in changes.values() for change in some[:1])


def without(changes: Sequence[Change], put_off: Collection[tuple[str, ...]]) -> list[Change]:
    """The changes that are not put off."""
    return [change for change in changes if change.what not in put_off]


def despite_others(changes: Changes, observed: Observations, names: Names) -> Changes:
    """What may be changed although what it stands on is not ready: existing triggers, and ways in, which are closed."""
    closing = {part: [change for change in some if change.opened] for part, some in changes.items()}
    return {**closing, **on_existing_triggers(changes, observed, names)}


def on_existing_triggers(changes: Changes, observed: Observations, names: Names) -> Changes:
    """Those to a mapping that is there, and the tenant's: by its function, or by an ownership tag of its own."""
    triggers, function = resources.observation(observed, TRIGGER), resources.observation(observed, FUNCTION)
    if triggers is None:
        return {}
    function_is_owned = function is not None and is_owned(function.tags, names)
    owned = {one.uuid for one in triggers.mappings if function_is_owned or is_owned(one.tags, names)}
    return {TRIGGER: [change for change in changes.get(TRIGGER, ()) if change.parameters.get("UUID") in owned]}


def _keeping_safe(changes: Changes, observed: Observations, names: Names) -> Changes:
    """Those that disable a trigger (spec.trigger.enabled: false) or close a way in: despite any other problem."""
    return {
        part: [change for change in some if change.keeps_safe]
        for part, some in despite_others(changes, observed, names).items()
    }


def _prerequisites(this: Reconciliation, observed: Observations) -> dict[str, Finding]:
    """Findings of what users create: without the table and the bucket nothing is created."""
    table = _table(this, observed)
    return {**({STREAM: table} if table else {}), BUCKET: _bucket(this, observed)}


def _table(this: Reconciliation, observed: Observations) -> Finding | None:
    table = observed[STREAM]
    if isinstance(table, Unread):
        return finding_of_error(table.error)
    if table is not None:
        return None
    text = f"table {this.tenant.table.name} does not exist; nothing is created until it does"
    return _missing(this, Finding.waiting(stream.NOT_FOUND, text), part=STREAM, kind="table")


def _bucket(this: Reconciliation, observed: Observations) -> Finding:
    found = observed[BUCKET]
    if isinstance(found, Unread):
        return finding_of_error(found.error)
    finding = bucket.finding(found, this.names)
    return finding if found is not None else _missing(this, finding, part=BUCKET, kind="bucket")


def _missing(this: Reconciliation, finding: Finding, *, part: str, kind: str) -> Finding:
    now = this.context.now
    since = missing_since(this.stored_status, part=part, reason=finding.reason, now=now)
    return missing(finding, kind=kind, since=since, now=now)
