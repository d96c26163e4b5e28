"""Status: the result of a reconciliation is written once, posted as events, and turned into the queue's outcome."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from humangov.api.conditions import (
    STOPPED,
    Event,
    Finding,
    compose,
    differs,
    ready_generation,
    transitions,
)
from humangov.api.names import Names
from humangov.api.spec import RECONCILE_ANNOTATION
from humangov.aws.change import Change
from humangov.kube.client import Resource
from humangov.reconcile import overdue, stop
from humangov.reconcile.cache import StatusMemory, key_of, uid_of
from humangov.reconcile.context import Operator, Reconciliation, post_event, ripens, store_answer
from humangov.reconcile.identity import is_recorded
from humangov.reconcile.outcome import Outcome

logger = logging.getLogger(__name__)

_OF_CONCLUSION = ("hold", "erasureLimit", "sweepSchedule", "failingSince", "records")
MAPPINGS_RECORDED = 100
"""A tenant has one, and another after each re-created stream. What is forgotten is not redriven by itself."""


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """The result of a reconciliation.

    findings       by condition
    names          None: the identity in AWS is unknown, and the status keeps the recorded one
    applied        the changes that were made
    deleted        what a deletion has deleted so far
    handled_sweep  the value of the sweep annotation that was handled
    mappings       UUIDs of event source mappings that are to be recorded beside those that are
    redrives       a legal hold is over, and what it kept is to be redriven
    status_fields  status.hold, erasureLimit, sweepSchedule, failingSince and records; None: as they were
    quiet          no status write and no event, except of an adoption
    """

    ready: Finding
    findings: Mapping[str, Finding] = field(default_factory=dict)
    names: Names | None = None
    applied: tuple[Change, ...] = ()
    deleted: tuple[str, ...] = ()
    handled_sweep: str | None = None
    mappings: tuple[str, ...] = ()
    redrives: bool = False
    status_fields: Mapping[str, Any] | None = None
    quiet: bool = False


async def announce(operator: Operator, this: Reconciliation) -> Reconciliation:
    """status.aws is there before the first AWS write: after a restart the operator must know where the resources are.

    Raises KubeError.
    """
    if is_recorded(this.stored_status.get("aws"), this.names.identity):
        return this
    status = compose(
        this.stored_status,
        generation=this.tenant.generation,
        ready=Finding.waiting("Provisioning", "the AWS resources are being created"),
        findings={},
        now=operator.now(),
        fields={"aws": this.names.identity.recorded, "functionName": this.tenant.function.name},
    )
    resource = await store_answer(operator, this.resource, operator.kube.apply_status(this.resource, status))
    return replace(this, resource=resource, announced=True)


async def publish(operator: Operator, resource: Resource, conclusion: Conclusion) -> Outcome:
    """One status write if anything differs, then an event a transition. Raises KubeError."""
    now = operator.now()
    conclusion = _with_stop(operator, resource, conclusion, now=now)
    key, uid = key_of(resource), uid_of(resource)
    before, generation = resource.get("status") or {}, _generation(resource)
    wait = overdue.judged(conclusion.ready, before, generation=generation, now=now)
    conclusion = replace(conclusion, ready=wait.ready, findings=wait.of_parts(conclusion.findings))
    status = _composed(resource, conclusion, waiting_since=wait.status, now=now)
    written = differs(before, status) and not conclusion.quiet
    if written:
        await store_answer(operator, resource, operator.kube.apply_status(resource, status))
    memory = operator.store.memory(key)
    stopped = memory.stop.stop is not None
    was_ready = (
        memory.status.ready_generation if memory.status.ready_generation is not None else ready_generation(before)
    )
    ready = ready_generation(status) or was_ready
    if ready == generation != was_ready and memory.generation == generation and not memory.status.stopped:
        operator.became_ready(operator.monotonic() - memory.seen_at)
    ripe = await _ripens(operator, conclusion)
    outcome, done = _outcome(conclusion, memory.status, ripe=ripe)
    left = StatusMemory(
        ready_generation=None if stopped else ready,  # what is restored after a stop is no drift
        done_while_failing=done,
        stopped=stopped or (memory.status.stopped and ready_generation(status) is None),
    )
    operator.store.remember(key, uid=uid, status=left)
    for event in _events(conclusion, before, status, was_ready=was_ready, generation=generation):
        await post_event(operator, resource, event)
    logger.info(
        "%s: %s",
        conclusion.ready.reason,
        conclusion.ready.message,
        extra={"tenant": key, "action": "report", "changed": written},
    )
    return outcome


def is_news(operator: Operator, this: Reconciliation, conclusion: Conclusion) -> bool:
    """Whether publishing it would change what is shown of AWS. Of the sweeps' schedule it says nothing."""
    before, now = this.stored_status, operator.now()
    fields = {**(conclusion.status_fields or {}), "sweepSchedule": before.get("sweepSchedule")}
    conclusion = replace(conclusion, status_fields=fields)
    wait = overdue.judged(conclusion.ready, before, generation=this.tenant.generation, now=now)
    status = _composed(this.resource, conclusion, waiting_since=wait.status, now=now)
    return wait.ready != conclusion.ready or differs(before, status)


def _with_stop(operator: Operator, resource: Resource, conclusion: Conclusion, *, now: datetime) -> Conclusion:
    """Whatever a reconciliation concluded, a stop goes before it; it is shown however the reconciliation ended."""
    found = stop.findings(
        resource,
        operator.store.memory(key_of(resource)).stop,
        ready=conclusion.ready,
        deleting=bool(resource["metadata"].get("deletionTimestamp")),
        now=now,
    )
    if found is None:
        return conclusion
    stopped = found.stopped.status != "False"
    calm = stop.is_calm(resource.get("status") or {}, operator.store.memory(key_of(resource)).stop, now=now)
    spaced = overdue.at_growing_intervals if calm else dict[str, Finding]
    return replace(
        conclusion,
        ready=replace(found.ready, requeue_after_seconds=None) if calm else found.ready,
        findings={**spaced(conclusion.findings), STOPPED: found.stopped},
        quiet=conclusion.quiet and not stopped,
    )


def _composed(
    resource: Resource, conclusion: Conclusion, *, waiting_since: str | None, now: datetime
) -> dict[str, Any]:  # fmt: skip
    before, names = resource.get("status") or {}, conclusion.names
    fields = before if conclusion.status_fields is None else conclusion.status_fields
    return compose(
        before,
        generation=_generation(resource),
        ready=conclusion.ready,
        findings=conclusion.findings,
        now=now,
        fields={
            "aws": names.identity.recorded if names else before.get("aws"),
            "functionName": names.tenant.function.name if names else before.get("functionName"),
            "mappings": _mappings(before.get("mappings") or (), conclusion.mappings),
            "lastHandledReconcile": (resource["metadata"].get("annotations") or {}).get(RECONCILE_ANNOTATION),
            "lastHandledSweep": conclusion.handled_sweep or before.get("lastHandledSweep"),
            overdue.STATUS_FIELD: waiting_since,
            **{name: fields.get(name) for name in _OF_CONCLUSION},
        },
    )


def _mappings(recorded: Sequence[str], found: Sequence[str]) -> list[str] | None:
    """The latest of them, without repeats; None: there are none."""
    return list(dict.fromkeys((*recorded, *found)))[-MAPPINGS_RECORDED:] or None


async def _ripens(operator: Operator, conclusion: Conclusion) -> float | None:
    """In how many seconds AWS is asked again about what ripens; None: nothing does."""
    if conclusion.names is None:
        return None
    findings = [conclusion.ready, *conclusion.findings.values()]
    failed = any(finding.failed for finding in findings)
    return await ripens(operator, conclusion.names, findings, failed=failed)


def _outcome(
    conclusion: Conclusion, memory: StatusMemory, *, ripe: float | None
) -> tuple[Outcome, frozenset[str]]:  # fmt: skip
    """For the queue, and what has been done since reconciliations fail. ripe: when to ask about what ripens.

    Progress is what had not been done in any of these; what is done again and again is none.
    """
    findings = [conclusion.ready, *conclusion.findings.values()]
    failed = [finding for finding in findings if finding.failed]
    waits = [
        finding.requeue_after_seconds
        for finding in findings
        if finding.requeue_after_seconds is not None and not (ripe is not None and finding.ripens)
    ]
    waits += [ripe] if ripe is not None else []
    done = {*conclusion.deleted, *(f"{change.action} {change.target}" for change in conclusion.applied)}
    outcome = Outcome(
        requeue_after_seconds=min(waits, default=None),
        failed=bool(failed),
        soon=any(finding.soon for finding in failed),
        throttled=bool(failed) and conclusion.ready.status == "True" and all(finding.throttled for finding in failed),
        progressed=bool(done - memory.done_while_failing),
    )
    return outcome, memory.done_while_failing | done if failed else frozenset()


def _events(
    conclusion: Conclusion,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    was_ready: int | None,
    generation: int,
) -> list[Event]:
    """Of an adoption even if the conclusion is quiet: it happens once."""
    applied = conclusion.applied
    adoptions = _event_of_adoption([change for change in applied if change.adopts])
    if conclusion.quiet:
        return adoptions
    corrections = [change for change in applied if not change.adopts]
    return [
        *adoptions,
        *transitions(before, after, own_doing=bool(applied)),
        *_event_of_changes(was_ready, generation, corrections),
    ]


def _event_of_adoption(adoptions: Sequence[Change]) -> list[Event]:
    if not adoptions:
        return []
    return [Event(kind="Normal", reason="Adopted", message="; ".join(change.summary for change in adoptions))]


def _event_of_changes(was_ready: int | None, generation: int, changes: Sequence[Change]) -> list[Event]:
    """Changes to a tenant that has been Ready deserve an event; of the first provisioning Ready itself is one."""
    if not changes or was_ready is None:
        return []
    of_rollout = [change for change in changes if change.of_rollout]
    of_cluster = [change for change in changes if change.of_cluster]  # by an upgrade, or a move to this cluster
    changes = [change for change in changes if not (change.of_rollout or change.of_cluster)]
    updates = [Event(kind="Normal", reason="CodeUpdated", message=_texts(of_rollout))] if of_rollout else []
    updates += [Event(kind="Normal", reason="Updated", message=_texts(of_cluster))] if of_cluster else []
    if not changes:
        return updates
    text, is_drift = _texts(changes), was_ready == generation
    concerning = any(change.opened or (is_drift and change.redirects) for change in changes)
    kind = "Warning" if concerning else "Normal"
    if is_drift:
        text = f"AWS resources were changed outside the operator. Corrections: {text}"
        return [*updates, Event(kind=kind, reason="DriftCorrected", message=text), *_event_of_stream(changes)]
    return [*updates, Event(kind=kind, reason="Updated", message=text)]


def _texts(changes: Sequence[Change]) -> str:
    return "; ".join(f"{change.resource}: {change.summary}" for change in changes)


def _event_of_stream(changes: Sequence[Change]) -> list[Event]:
    """The stream was disabled behind the function's back: what was deleted meanwhile is in no stream."""
    if not any(change.action == "dynamodb:UpdateTable" for change in changes):
        return []
    message = (
        "somebody disabled the table's stream, and the operator enabled it again: the function never sees the records "
        "that were deleted in between. Their files stay until a sweep finds them: start one (annotation "
        "humangov.io/sweep). Condition RecordsHandled says from when to when. CloudTrail's events UpdateTable name who "
        "disabled it"
    )
    return [Event(kind="Warning", reason="StreamWasDisabled", message=message)]


def _generation(resource: Resource) -> int:
    return int(resource["metadata"].get("generation") or 0)
