"""One pass over one tenant: gather → decide → apply → report. Safe to kill between any two calls, and to repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from humangov.api import conflicts
from humangov.api.conditions import DELIVERING, SWEEPING, Finding, compose, missing, missing_since, steady, summary
from humangov.api.names import OWNER_TAG, Names
from humangov.api.spec import FINALIZER, RECONCILE_ANNOTATION, SWEEP_ANNOTATION, InvalidSpecError, Tenant, parse
from humangov.aws import bucket, failed_invocations, resources, stream, trigger
from humangov.aws.change import Change, Context, boundary_of
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.aws.resources import BUCKET, FAILURES, FUNCTION, ROLE, STAGES, STREAM, TRIGGER, Observations, Unread
from humangov.kube.client import Resource
from humangov.reconcile import sweep_jobs
from humangov.reconcile.cache import Carried, Memory
from humangov.reconcile.context import Operator, aws_fields, identify, keep, report
from humangov.reconcile.finalizer import end_unreadable, teardown
from humangov.reconcile.outcome import Outcome

_CARRIED_SECONDS = 10.0


async def reconcile(operator: Operator, key: str, *, failing_seconds: float) -> Outcome:
    """Bring one tenant a step nearer to what its HumanGovState declares. Raises KubeError."""
    resource = operator.store.get(key)
    if resource is None:
        return Outcome(forget=True)
    try:
        tenant = parse(resource, default_region=operator.settings.region)
    except InvalidSpecError as error:
        if resource["metadata"].get("deletionTimestamp"):
            return await end_unreadable(operator, resource, error)
        return await report(operator, resource, ready=Finding.needs_person("InvalidSpec", str(error)))
    if tenant.deleting:
        return await teardown(operator, resource, tenant, failing_seconds=failing_seconds)
    refused = conflicts.refusal(tenant, allowed=operator.settings.allowed, others=operator.store.tenants())
    if refused:
        return await report(operator, resource, ready=refused)
    clients = operator.clients_for(tenant)
    identity = await identify(operator, resource, clients)
    if isinstance(identity, Finding):
        shown = bool((resource.get("status") or {}).get("conditions"))
        if shown and identity.failed and identity.soon and failing_seconds < operator.settings.patience_seconds:
            return Outcome(failed=True, soon=True)  # as with any passing failure: retried before it is shown
        return await report(operator, resource, ready=identity)
    return await _bring_in_step(
        operator, resource, clients, Names(tenant=tenant, identity=identity),
        patient=failing_seconds < operator.settings.patience_seconds,
    )  # fmt: skip


async def _bring_in_step(
    operator: Operator, resource: Resource, clients: Clients, names: Names, *, patient: bool
) -> Outcome:
    tenant, memory = names.tenant, operator.store.memory(names.tenant.key)
    if _shares_files(tenant):  # the function sees one record at a time: it must not erase
        tenant = replace(tenant, trigger=replace(tenant.trigger, enabled=False))
        names = replace(names, tenant=tenant)
    context = Context(
        names=names,
        default_tags=operator.settings.default_tags,
        permissions_boundary_arn=boundary_of(operator.settings.permissions_boundary_arn, names),
        now=operator.now(),
    )
    deep = _is_deep(memory, tenant, resource, every=operator.settings.deep_every)
    carried = _carried(memory, tenant, now=operator.monotonic())
    known = carried.observations if carried else {}
    # A new tenant has none yet, so its first passes need not ask.
    count = memory.settled_generation == tenant.generation and (deep or not memory.failures_counted)
    observed = await resources.gather(
        clients, names, deep=deep, in_thread=operator.in_thread, known=known, count_failures=count
    )
    desired = resources.desires(names, context, observed, bundle=operator.bundle)
    planned = resources.plans(observed, desired)
    if not deep and any(planned.values()):
        # Nothing is written on what a shallow read knows: whose the objects are is read first.
        deep = True
        counted = {FAILURES: observed[FAILURES]} if count else {}
        observed = counted | await resources.gather(clients, names, deep=True, in_thread=operator.in_thread)
        desired = resources.desires(names, context, observed, bundle=operator.bundle)
        planned = resources.plans(observed, desired)
    if deep and not isinstance(observed[BUCKET], Unread):
        memory.bucket = observed[BUCKET]
    observed.setdefault(BUCKET, memory.bucket)

    findings = _prerequisites(observed, names, resource.get("status") or {}, now=context.now)
    findings |= {part: plan for part, plan in planned.items() if isinstance(plan, Finding)}
    blocked = any(finding.status != "True" for finding in findings.values())
    changes = {part: plan for part, plan in planned.items() if isinstance(plan, list)}
    if blocked:  # the emergency stop (spec.trigger.enabled: false) works whatever else is wrong
        changes = {part: _stops(plan, observed, names) if part == TRIGGER else [] for part, plan in changes.items()}
    applied: list[Change] = []
    if FINALIZER not in (resource["metadata"].get("finalizers") or ()) and not tenant.suspend:
        resource = await keep(operator, resource, operator.kube.set_finalizer(resource, present=True))
    announced = False
    if any(changes.values()) and not tenant.suspend:
        before = resource
        resource = await _announce(operator, resource, names)
        announced = resource is not before
        applied = await _apply(operator, clients, context, observed, desired, changes, findings, blocked=blocked)
    _conclude(operator, context, observed, findings, blocked=blocked)
    if not isinstance(observed[TRIGGER], Unread):
        memory.trigger_problem = trigger.problem(observed[TRIGGER], desired[TRIGGER])
    if patient:
        previous = resource.get("status") or {}
        findings = {
            part: steady(finding, previous=previous, part=part, generation=tenant.generation)
            if finding.failed else finding
            for part, finding in findings.items()
        }  # fmt: skip
    memory.passes += 1
    # What only a deep pass sees is not left to the next one in turn.
    memory.deep_failed = deep and any(finding.failed for finding in findings.values())
    ready = summary(findings, **_ready_words(tenant))
    if ready.status == "True" and _shares_files(tenant):
        ready = _files_shared(tenant)
    if FAILURES in observed:
        warning = _warning(observed, names)
        memory.failures_counted = warning is not None and warning.status == "True"
        findings |= {FAILURES: warning} if warning else {}
    if memory.delivering is not None:
        findings |= {DELIVERING: memory.delivering}
    memory.settled_generation = tenant.generation if ready.status == "True" else None
    memory.carried = _carry(observed, findings, carried, tenant, wrote=bool(applied), now=operator.monotonic())
    # Suspending pauses sweeps at once, whatever is left undone.
    swept = await sweep_jobs.bring(operator, resource, names) if ready.status != "Unknown" or tenant.suspend else None
    if swept is not None and swept.finding is not None:
        findings |= {SWEEPING: swept.finding}
    return await report(
        operator, resource, ready=ready, findings=findings, names=names, applied=applied,
        handled_sweep=swept.handled if swept is not None else None,
        # "Provisioning" has just been written; what is only waited for is looked at again in a moment.
        quiet=announced and not any(finding.failed for finding in findings.values()) and ready.status == "Unknown",
    )  # fmt: skip


async def _apply(
    operator: Operator,
    clients: Clients,
    context: Context,
    observed: Observations,
    desired: dict[str, Any],
    changes: dict[str, list[Change]],
    findings: dict[str, Finding],
    *,
    blocked: bool,
) -> list[Change]:
    """Write stage by stage; what each write's answer shows goes into `observed`, what failed into `findings`."""
    applied: list[Change] = []

    async def bring(part: str) -> None:
        module = resources.MODULES[part]
        for change in changes[part]:
            before = observed[part]
            try:
                observed[part] = await operator.in_thread(partial(module.apply, clients, change, before, desired[part]))
            except AwsError as error:
                role = observed[ROLE]
                created = None if role is None or isinstance(role, Unread) else role.created
                findings[part] = finding_of_error(error, role_created=created, now=context.now)
                return
            if observed[part] is not before:  # else AWS was too busy, and it was left for the next pass
                applied.append(change)

    for stage in STAGES:
        if stage == (TRIGGER,) and not blocked:
            # The stream's ARN may have become known just now.
            desired |= resources.desires(context.names, context, observed, bundle=operator.bundle)
            changes |= {TRIGGER: [] if isinstance(observed[TRIGGER], Unread) else _trigger_plan(observed, desired)}
        await asyncio.gather(*(bring(part) for part in stage if part in changes))
        if not blocked and any(_waits(part, observed, desired, findings) for part in stage):
            # What is not there yet waits for what it stands on; a trigger that is there can be mended at once.
            for part in (part for later in STAGES[STAGES.index(stage) + 1 :] for part in later):
                changes[part] = _of_our_mappings(changes.get(part, []), observed, context.names)
            blocked = True
    return applied


def _trigger_plan(observed: Observations, desired: Mapping[str, Any]) -> list[Change]:
    planned = resources.MODULES[TRIGGER].plan(observed[TRIGGER], desired[TRIGGER])
    return list(planned)


def _waits(part: str, observed: Observations, desired: Mapping[str, Any], findings: Mapping[str, Finding]) -> bool:
    """Whether a part is not yet what later stages stand on."""
    if part in findings and findings[part].status != "True":
        return True
    if isinstance(observed[part], Unread):
        return True
    finding: Finding = resources.MODULES[part].finding(observed[part], desired[part])
    return finding.status != "True"


def _stops(changes: list[Change], observed: Observations, names: Names) -> list[Change]:
    """Of the trigger's changes, those that switch a mapping of ours off."""
    return [
        change for change in _of_our_mappings(changes, observed, names) if change.parameters.get("Enabled") is False
    ]


def _of_our_mappings(changes: list[Change], observed: Observations, names: Names) -> list[Change]:
    """Of the trigger's changes, those to a mapping that is there, and ours: by its function, or by its own mark."""
    if isinstance(observed[TRIGGER], Unread):
        return []
    seen = observed[FUNCTION]
    function_is_ours = not isinstance(seen, Unread) and seen is not None and _is_ours(seen.tags, names)
    ours = {mapping.uuid for mapping in observed[TRIGGER].mappings if function_is_ours or _is_ours(mapping.tags, names)}
    return [change for change in changes if change.parameters.get("UUID") in ours]


def _is_ours(tags: Mapping[str, str] | None, names: Names) -> bool:
    return (tags or {}).get(OWNER_TAG) == names.owner


def _prerequisites(
    observed: Observations, names: Names, previous: Mapping[str, Any], *, now: datetime
) -> dict[str, Finding]:
    """Findings of what people make: without the table and the bucket nothing is made."""
    findings: dict[str, Finding] = {}
    table, found = observed[STREAM], observed[BUCKET]
    if isinstance(table, Unread):
        findings[STREAM] = finding_of_error(table.error)
    elif table is None:
        since = missing_since(previous, part=STREAM, reason=stream.NOT_FOUND, now=now)
        name = names.tenant.table.name
        findings[STREAM] = missing(
            Finding.waiting(stream.NOT_FOUND, f"table {name} does not exist yet: nothing is made before it does"),
            kind="table", since=since, now=now,
        )  # fmt: skip
    if isinstance(found, Unread):
        findings[BUCKET] = finding_of_error(found.error)
        return findings
    findings[BUCKET] = bucket.finding(found, names)
    if found is None:
        since = missing_since(previous, part=BUCKET, reason=bucket.NOT_FOUND, now=now)
        findings[BUCKET] = missing(findings[BUCKET], kind="bucket", since=since, now=now)
    return findings


def _warning(observed: Observations, names: Names) -> Finding | None:
    """What of the invocations that failed is to be told; None leaves it at what was told before."""
    seen, triggers = observed[FAILURES], observed[TRIGGER]
    if isinstance(seen, Unread):
        return failed_invocations.unknown(seen.error)
    mappings = () if isinstance(triggers, Unread) else [mapping.uuid for mapping in triggers.mappings]
    return failed_invocations.finding(seen, names, mappings=mappings)


def _conclude(
    operator: Operator,
    context: Context,
    observed: Observations,
    findings: dict[str, Finding],
    *,
    blocked: bool,
) -> None:
    """A finding for every part that has none yet, from what is known after the writes."""
    names = context.names
    desired = resources.desires(names, context, observed, bundle=operator.bundle)
    remaining = resources.plans(observed, desired)
    for number, stage in enumerate(STAGES):
        held = blocked or any(findings[part].status != "True" for earlier in STAGES[:number] for part in earlier)
        for part in stage:
            if part in findings:
                continue
            if isinstance(observed[part], Unread):
                findings[part] = finding_of_error(observed[part].error, now=context.now)
                continue
            finding: Finding = resources.MODULES[part].finding(observed[part], desired[part])
            left = remaining[part]
            findings[part] = left if isinstance(left, Finding) else _unfinished(finding, left, names.tenant, held=held)


def _unfinished(finding: Finding, left: list[Change], tenant: Tenant, *, held: bool) -> Finding:
    """A part's finding, given the changes that this pass did not make."""
    told = "; ".join(change.summary for change in left)
    if not left or finding.stalled:
        return finding
    if tenant.suspend:
        return Finding.waiting("Suspended", f"suspended: not done is {told}")
    if held:  # what it waits for says when to look again
        what = f"not done yet: {told};" if finding.status == "True" else f"{finding.message} and"
        return Finding.waiting("WaitingForParts", f"{what} waits for other parts")
    if finding.status == "True":
        return Finding.waiting("Updating", told, look_again_seconds=1)
    return finding


async def _announce(operator: Operator, resource: Resource, names: Names) -> Resource:
    """status.aws is there before the first AWS write: a later life must know whose objects these are, and where."""
    status = resource.get("status") or {}
    if status.get("aws") == aws_fields(names.identity):
        return resource
    ready = Finding.waiting("Provisioning", "the AWS objects are being made")
    status = compose(
        status, generation=names.tenant.generation, ready=ready, findings={}, now=operator.now(),
        fields={"aws": aws_fields(names.identity), "functionName": names.tenant.function.name},
    )  # fmt: skip
    return await keep(operator, resource, operator.kube.apply_status(resource, status))


def _ready_words(tenant: Tenant) -> dict[str, str]:
    if tenant.suspend:
        reason, message = (
            "Suspended",
            "every AWS object is as declared; suspended, so nothing will be changed",
        )
    elif not tenant.trigger.enabled:
        reason = "TriggerDisabled"
        message = (
            "every AWS object is as declared, and the trigger is off: files of deleted records stay. The stream keeps "
            "records 24 hours; set spec.trigger.enabled: true within that time and nothing is lost"
        )
    else:
        reason, message = "UpToDate", "every AWS object is as declared; files of deleted records are erased"
    return {"ready_reason": reason, "ready_message": message}


def _shares_files(tenant: Tenant) -> bool:
    return tenant.files_shared > 0 and tenant.table.file_names == "Unique"


def _files_shared(tenant: Tenant) -> Finding:
    return Finding.needs_person(
        "FilesShared",
        f"{tenant.files_shared:,} files are named by more than one record, though spec.table.fileNames is Unique: when "
        "one of these records goes, its file must not. So the trigger is off, and the stream keeps what is deleted "
        "meanwhile for 24 hours. The last sweep's manifest names the files. Give each record a file of its own and "
        f"sweep again (annotation {SWEEP_ANNOTATION}), or make the HumanGovState anew with table.fileNames: Shared",
    )


def _carried(memory: Memory, tenant: Tenant, *, now: float) -> Carried | None:
    """What need not be read again because it was seen in step, for this generation, moments ago."""
    carried = memory.carried
    if carried is None or carried.generation != tenant.generation or now - carried.at > _CARRIED_SECONDS:
        return None
    return carried


def _carry(
    observed: Observations,
    findings: Mapping[str, Finding],
    carried: Carried | None,
    tenant: Tenant,
    *,
    wrote: bool,
    now: float,
) -> Carried | None:
    """What the next pass may rely on, if this one wrote and now only waits."""
    waiting = any(finding.status == "Unknown" for finding in findings.values())
    if not waiting or not (wrote or carried) or any(finding.failed for finding in findings.values()):
        return None
    return Carried(
        generation=tenant.generation,
        at=carried.at if carried else now,
        # That the function had no mapping holds on as well: AWS itself refuses a second one.
        observations={
            part: seen
            for part, seen in observed.items()
            if part != FAILURES and (findings[part].status == "True" or seen == trigger.Observed(mappings=()))
        },
    )


def _is_deep(memory: Memory, tenant: Tenant, resource: Resource, *, every: int) -> bool:
    """Whether this pass also reads what seldom changes."""
    asked = (resource["metadata"].get("annotations") or {}).get(RECONCILE_ANNOTATION)
    return (
        memory.settled_generation != tenant.generation
        or memory.bucket is None  # never read in this life: an absence must be seen, not assumed
        or memory.passes % every == 0
        or asked != (resource.get("status") or {}).get("lastHandledReconcile")
        or memory.deep_failed
    )
