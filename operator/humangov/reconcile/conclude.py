"""Conclude: a finding for every part, from what is known after the writes, and whether the tenant is Ready. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from humangov.api import erasure_limit
from humangov.api.conditions import HELD, RECORDS_DELIVERED, RECORDS_HANDLED, Finding, steady, summary
from humangov.api.spec import SWEEP_ANNOTATION, Tenant
from humangov.aws import failed_invocations, log_group, resources, trigger, trigger_mappings
from humangov.aws.change import Change
from humangov.aws.error_findings import ROLE_RIPENS, finding_of_error
from humangov.aws.resources import (
    BUCKET,
    FAILURES,
    FUNCTION,
    LOG_GROUP,
    STAGES,
    TRIGGER,
    Observations,
    Unread,
)
from humangov.cleanup.environment import SHARED
from humangov.reconcile import delivery, due_reads, legal_hold, lost_records, returning_drift
from humangov.reconcile.apply import Applied
from humangov.reconcile.cache import Carried, Correction, Memory, ReconcilerMemory
from humangov.reconcile.context import Reconciliation, shares_files
from humangov.reconcile.decide import Decision
from humangov.reconcile.due_reads import COPIES
from humangov.reconcile.gather import Gathered
from humangov.reconcile.status import Conclusion


def conclude(this: Reconciliation, decision: Decision, applied: Applied, *, known: Memory) -> Conclusion:
    """The conditions. known: what the monitors last found is in it."""
    findings = _findings(this, decision, applied)
    works = delivery.state(this, applied.observed, findings[TRIGGER], lag=known.deliveries)
    findings |= {TRIGGER: works.finding} if works.finding else {}
    handling = lost_records.state(this, applied.observed, works, lag=known.deliveries)
    ready = summary(findings, **ready_text(this.tenant, sweeps=this.sweeps))
    if ready.status == "True" and shares_files(this.tenant):
        ready = _files_shared(this.tenant)
    hold = legal_hold.state(this, applied.observed)
    failures = _failed_invocations(this, applied.observed)
    findings |= {FAILURES: failures} if failures else {}
    findings |= {RECORDS_DELIVERED: known.stream_lag} if known.stream_lag else {}
    findings |= {RECORDS_HANDLED: handling.finding} if handling.finding else {}
    findings |= {HELD: hold.finding} if hold.finding else {}
    failed = any(finding.failed for finding in findings.values())
    return Conclusion(
        ready=legal_hold.ready(this, ready),
        findings=findings,
        names=this.names,
        applied=applied.changes,
        mappings=_mappings(this, applied.observed),
        status_fields={
            "hold": hold.status,
            "erasureLimit": erasure_limit.status_field(this.context.erasure_limit),
            delivery.STATUS_FIELD: works.status,
            lost_records.STATUS_FIELD: handling.records.status,
        },
        redrives=hold.redrive,
        # "Provisioning" has just been written; what is only waited for is read again in a moment.
        quiet=this.announced and not failed and ready.status == "Unknown",
    )


def remembered(
    this: Reconciliation,
    seen: Gathered,
    decision: Decision,
    applied: Applied,
    conclusion: Conclusion,
    *,
    known: Memory,
    now: float,
) -> ReconcilerMemory:
    """What the next reconciliation is to know. known: from before; now: monotonic."""
    memory, findings = this.memory, conclusion.findings
    failing = (conclusion.status_fields or {}).get(delivery.STATUS_FIELD) is not None
    is_read = lost_records.is_read(this, applied.observed, failing=failing)
    settled = decision.in_sync and conclusion.ready.status == "True" and not applied.changes
    reading = _reading(this, seen, findings, now=now) if settled else None
    bucket_was_read = BUCKET in seen.deep_parts and not isinstance(seen.observed[BUCKET], Unread)
    return ReconcilerMemory(
        reconciliations=memory.reconciliations + 1,
        settled_generation=this.tenant.generation if conclusion.ready.status == "True" else None,
        reading=reading,
        bucket=seen.observed[BUCKET] if bucket_was_read else memory.bucket,
        log_group=_known_log_group(seen, memory),
        # What only deep reads see is not left to the next ones in turn.
        # Nor what a new tenant has become Ready without.
        deep_failed=seen.deep
        and (this.announced or seen.carried is not None or any(finding.failed for finding in findings.values())),
        failures_counted=_failures_counted(memory, applied.observed, findings) and this.tenant.hold is None,
        carried=_carried(this, seen, applied, findings, now=now),
        read_at=_seen_at(this, seen, known, now=now) if is_read else memory.read_at,
        trigger_problem=_trigger_problem(this, applied.observed),
        corrections=_corrections(this, applied, conclusion, known),
        code=_code(this, applied.observed),
    )


def _seen_at(this: Reconciliation, seen: Gathered, known: Memory, *, now: float) -> datetime:
    """When the trigger was seen last: by this reconciliation, or by the snapshot that it relies on."""
    if TRIGGER not in seen.confirmed or known.confirmation is None:
        return this.context.now
    return this.context.now - timedelta(seconds=max(0.0, now - known.confirmation.at))


def _reading(
    this: Reconciliation, seen: Gathered, findings: Mapping[str, Finding], *, now: float
) -> due_reads.Reading | None:
    """What single reads have shown, this reconciliation's among them, of a tenant in sync that was not changed."""
    failed = [part for part, found in seen.observed.items() if isinstance(found, Unread)]
    failed += [part for part in seen.deep_parts if part in findings and findings[part].failed]
    before = this.memory.reading
    if seen.deep or seen.deferred:
        if seen.carried or failed:
            return None
        return due_reads.first(
            this.tenant.generation, seen.observed, uid=this.tenant.uid, now=now, deferred=seen.deferred,
            copies_at=now if before is None or COPIES in seen.deep_parts else before.read_at[COPIES],
        )  # fmt: skip
    read = {part: found for part, found in seen.observed.items() if part not in seen.confirmed}
    if before is None:
        return None
    return due_reads.continued(before, read, deep=seen.deep_parts, failed=failed, now=now)


def _known_log_group(seen: Gathered, memory: ReconcilerMemory) -> log_group.Observed | None:
    """As it was, where this reconciliation did not read it deep."""
    found = seen.observed[LOG_GROUP]
    return memory.log_group if LOG_GROUP not in seen.deep_parts or isinstance(found, Unread) else found


def _corrections(
    this: Reconciliation, applied: Applied, conclusion: Conclusion, known: Memory
) -> tuple[Correction, ...]:  # fmt: skip
    """What a stop changes and its end restores is no drift; nor is what makes a generation Ready."""
    becomes_ready = conclusion.ready.status == "True" and known.status.ready_generation != this.tenant.generation
    if this.context.stopped or known.status.stopped or becomes_ready:
        return ()
    return returning_drift.recorded(
        this.memory.corrections, applied.changes, generation=this.tenant.generation, now=this.context.now
    )


def _findings(this: Reconciliation, decision: Decision, applied: Applied) -> dict[str, Finding]:
    """Of every part; what came up before and during the writes goes before what is observed after them."""
    findings = {**decision.findings, **applied.failures}
    observed = applied.observed
    desired = this.desired(observed)
    remaining = this.plan(observed)
    for number, stage in enumerate(STAGES):
        earlier = [findings[part] for before in STAGES[:number] for part in before]
        held = decision.blocked or any(not finding.carries for finding in earlier)
        for part in stage:
            if part in findings:
                continue
            left = remaining[part]
            if isinstance(observed[part], Unread):
                findings[part] = finding_of_error(observed[part].error, now=this.context.now)
            elif isinstance(left, Finding):
                findings[part] = left
            else:
                found = resources.finding(part, observed, desired)
                findings[part] = _unfinished(found, left, this.tenant, held=held)
    return {part: _steady(this, part, finding) for part, finding in findings.items()}


def _steady(this: Reconciliation, part: str, finding: Finding) -> Finding:
    """What was in sync stays so for two minutes of errors, and for as long as calls are throttled."""
    if not this.patient and not finding.throttled:
        return finding
    return steady(finding, previous=this.stored_status, part=part, generation=this.tenant.generation)


def _unfinished(finding: Finding, left: list[Change], tenant: Tenant, *, held: bool) -> Finding:
    """A part's finding, given the changes that were not made."""
    if not left or finding.stalled:
        return finding
    changes = "; ".join(change.summary for change in left)
    if tenant.suspend:
        # Nothing is in progress, and nothing has failed.
        return Finding.warning("Suspended", f"spec.suspend is true, so the operator does not apply: {changes}")
    if held:  # what it waits for says when the next reconciliation is due
        what = f"not applied yet: {changes}" if finding.status == "True" else finding.message
        return Finding.waiting(
            "DependencyNotReady", f"{what}; a resource that it needs is not ready yet", for_others=True
        )
    if finding.status == "True":
        return Finding.waiting("Updating", changes, requeue_after_seconds=1)
    # A function that was deleted to be created again: nothing else asks for the next reconciliation.
    is_dated = finding.failed or finding.requeue_after_seconds is not None
    return finding if is_dated else replace(finding, requeue_after_seconds=1)


def _failed_invocations(this: Reconciliation, observed: Observations) -> Finding | None:
    """What is to be reported of them; None leaves what was reported before."""
    if FAILURES not in observed:
        return None
    if isinstance(observed[FAILURES], Unread):
        return failed_invocations.unknown(observed[FAILURES].error)
    mappings = {*this.tenant.mappings, *_mappings(this, observed)}
    counted, since = observed[FAILURES], this.context.hold_since
    if this.tenant.hold is not None and since is not None:
        held = failed_invocations.held(counted, this.names, mappings=mappings, since=since)
        if held is not None:
            return held
    return failed_invocations.finding(counted, this.names, mappings=mappings)


def _mappings(this: Reconciliation, observed: Observations) -> tuple[str, ...]:
    """UUIDs of the tenant's own: after their deletion, they tell whose failed invocations are."""
    triggers = resources.observation(observed, TRIGGER)
    return trigger_mappings.own(triggers, this.names) if triggers else ()


def _failures_counted(memory: ReconcilerMemory, observed: Observations, findings: Mapping[str, Finding]) -> bool:
    """Whether the failed invocations need not be counted until the next deep reads: none was left."""
    if FAILURES not in observed:
        return memory.failures_counted
    counted = findings.get(FAILURES)
    return counted is not None and counted.status == "True"


def _trigger_problem(this: Reconciliation, observed: Observations) -> str | None:
    """As it was, where the trigger could not be read."""
    triggers = resources.observation(observed, TRIGGER)
    if triggers is None:
        return this.memory.trigger_problem
    desired = this.desired(observed)[TRIGGER]
    return trigger.problem(triggers, desired)


def _code(this: Reconciliation, observed: Observations) -> str | None:
    """As it was, where the function could not be read, or Lambda is busy with it."""
    found = resources.observation(observed, FUNCTION)
    return this.memory.code if found is None or found.busy else found.code_sha256


def _carried(
    this: Reconciliation, seen: Gathered, applied: Applied, findings: Mapping[str, Finding], *, now: float
) -> Carried | None:
    """What the next reconciliation may rely on, if this one wrote and now only waits."""
    waiting = any(finding.status == "Unknown" for finding in findings.values())
    ripens = any(finding.ripens for finding in findings.values())
    rests_on_known = applied.changes or seen.carried or (ripens and seen.deep)
    if not waiting or not rests_on_known or any(finding.failed for finding in findings.values()):
        return None
    return Carried(
        generation=this.tenant.generation,
        at=seen.carried.at if seen.carried else now,
        observed={
            part: found
            for part, found in applied.observed.items()
            if part != FAILURES and (findings[part].status == "True" or _is_to_be_created(part, found, findings))
        },
    )


def _is_to_be_created(part: str, found: object, findings: Mapping[str, Finding]) -> bool:
    """That there was no mapping, or no function that waits for its role, holds on: AWS itself refuses a second one."""
    if part == FUNCTION:
        return found is None and findings[part].ripens == ROLE_RIPENS
    return part == TRIGGER and found == trigger_mappings.Observed(mappings=())


def ready_text(tenant: Tenant, *, sweeps: bool) -> dict[str, str]:
    """Reason and message of Ready. sweeps: whether there are sweeps in this cluster."""
    if tenant.suspend:
        reason = "Suspended"
        message = "every AWS resource matches the manifest; spec.suspend is true, so nothing will be changed"
    elif not tenant.trigger.enabled:
        reason = "TriggerDisabled"
        message = (
            "every AWS resource matches the manifest, and the trigger is disabled: files of deleted records stay. "
        ) + _while_disabled(tenant)
    elif tenant.hold is not None:
        reason = "LegalHold"
        message = (
            f"every AWS resource is as declared, and there is a legal hold: {tenant.hold.reason}. The condition Held "
            "says since when nothing is erased"
        )
    else:
        reason, message = "InSync", f"every AWS resource matches the manifest; {_who_erases(tenant, sweeps=sweeps)}"
    return {"ready_reason": reason, "ready_message": message}


def _while_disabled(tenant: Tenant) -> str:
    if tenant.table.file_names == SHARED:
        return (
            "File names are shared (spec.table.fileNames), so only a sweep may erase files, and until you set "
            "spec.trigger.enabled: true it only reports them"
        )
    return "The stream keeps records for 24 hours: set spec.trigger.enabled: true within that time, and nothing is lost"


def _who_erases(tenant: Tenant, *, sweeps: bool) -> str:
    if tenant.table.file_names != SHARED:
        return "files of deleted records are erased"
    only = "file names are shared (spec.table.fileNames), so only a sweep may erase files"
    if not sweeps:
        return f"{only}, and there are no sweeps in this cluster: files of deleted records stay. Run humangov sweep"
    if tenant.sweep.mode != "Delete":
        return (
            f"{only}, and spec.sweep.mode is {tenant.sweep.mode}: files of deleted records stay, and sweeps report them"
        )
    if tenant.sweep.suspend:
        return f"{only}, and spec.sweep.suspend pauses the schedule: files of deleted records stay until one is started"
    return f"{only}: it erases files that no record names any more"


def _files_shared(tenant: Tenant) -> Finding:
    return Finding.action_required(
        "FilesShared",
        f"{tenant.files_shared:,} files are named by more than one record, although spec.table.fileNames is not "
        "Shared: deleting one of these records must not erase the file. The trigger is disabled, and the stream keeps "
        "records deleted meanwhile for 24 hours. The last sweep's orphan list names the files. Give each record its "
        f"own file and sweep again (annotation {SWEEP_ANNOTATION}), or re-create the HumanGovState with "
        "table.fileNames: Shared",
    )
