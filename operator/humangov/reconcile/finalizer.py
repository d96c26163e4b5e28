"""Deletion of a tenant: its AWS resources are deleted in order, or released; then the finalizer is removed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from humangov.api.allowed_names import not_allowed
from humangov.api.conditions import Event, Finding, find_condition
from humangov.api.conflicts import refusal
from humangov.api.names import Identity, Names
from humangov.api.spec import FINALIZER, InvalidSpecError, Tenant
from humangov.api.stop import Stop
from humangov.aws import failed_invocations, function, log_group, removal, role, stream, trigger
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.ownership import NotOwnedError
from humangov.aws.removal import Removal, Removed
from humangov.kube.client import Resource
from humangov.reconcile import sweep_jobs
from humangov.reconcile.cache import FinalizerMemory, key_of, uid_of
from humangov.reconcile.context import Operator, Reconciliation, identify, post_event, ripened, store_answer
from humangov.reconcile.outcome import Outcome
from humangov.reconcile.status import Conclusion, publish

logger = logging.getLogger(__name__)

YOUNG_SECONDS = 30.0  # below this age an absence is confirmed
CONFIRM_AFTER_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """One tenant's, as one reconciliation works on it.

    confirms: the absence of everything is confirmed once. patient: a transient error of the API server is retried.
    """

    operator: Operator
    resource: Resource
    removal: Removal
    confirms: bool
    patient: bool

    @property
    def names(self) -> Names:
        return self.removal.names

    @property
    def tenant(self) -> Tenant:
        return self.removal.names.tenant


Step = Callable[[Deletion, Removed], Awaitable[Removed]]


async def add_finalizer(operator: Operator, this: Reconciliation) -> Reconciliation:
    """Before anything is created that has to be deleted. Raises KubeError."""
    if _has_finalizer(this.resource) or this.tenant.suspend:
        return this
    write = operator.kube.set_finalizer(this.resource, present=True)
    return replace(this, resource=await store_answer(operator, this.resource, write))


async def finalize(
    operator: Operator, resource: Resource, tenant: Tenant, *, stop: Stop | None, patient: bool
) -> Outcome:
    """One reconciliation of a tenant that is being deleted. Raises KubeError."""
    if not _has_finalizer(resource):
        return Outcome(forget=True)
    if stop is not None:
        await sweep_jobs.remove(operator, tenant)  # the final stream read begins anew once the tenant is started
        waits = Finding.in_sync("Stopped", "the deletion waits")  # publish says for what
        return await publish(operator, resource, Conclusion(ready=waits))
    if not _identity_is_recorded(resource):
        # status.aws is written before the first AWS write, so most likely nothing was created. But a cached copy may be
        # old, and a status may have been lost: unless the tenant was never allowed, AWS is read all the same.
        fresh = await operator.kube.read(resource)
        if fresh is None:
            return Outcome(forget=True)
        resource = fresh
        if not _identity_is_recorded(resource) and refusal(tenant, allowed=operator.settings.allowed, others=()):
            await sweep_jobs.remove(operator, tenant)
            return await _remove_finalizer(operator, resource, final_event=None)
    clients = operator.clients_for(tenant)
    identity = await identify(operator, resource, clients)
    if tenant.deletion_policy == "Retain":
        return await _retain(operator, resource, tenant, clients, identity, patient=patient)
    if isinstance(identity, Finding):
        return await publish(operator, resource, Conclusion(ready=identity))
    # Decided once: a tenant that becomes old during the reconciliation has still kept its tags in it.
    confirms = _confirms(operator, tenant)
    scope = Removal(
        clients=clients, names=Names(tenant=tenant, identity=identity), now=operator.now, keep_tags=confirms,
        recorded=frozenset((*tenant.mappings, *operator.store.memory(tenant.key).finalizer.mappings)),
    )  # fmt: skip
    deletion = Deletion(operator=operator, resource=resource, removal=scope, confirms=confirms, patient=patient)
    return await _delete(deletion)


async def finalize_unreadable(
    operator: Operator, resource: Resource, error: InvalidSpecError, *, stop: Stop | None
) -> Outcome:
    """A tenant whose spec can't be read can't be deleted, only released. Raises KubeError."""
    if not _has_finalizer(resource):
        return Outcome(forget=True)
    if stop is None and (resource.get("spec") or {}).get("deletionPolicy") == "Retain":
        event = Event(
            kind="Warning",
            reason="Retained",
            message=f"released without changes in AWS, because the spec is invalid: {error}",
        )
        return await _remove_finalizer(operator, resource, final_event=event)
    advice = "fix the spec, or set deletionPolicy: Retain to release its AWS resources as they are"
    ready = Finding.action_required("InvalidSpec", f"{error}; {advice}")
    return await publish(operator, resource, Conclusion(ready=ready))


# Deletion


async def _delete(deletion: Deletion) -> Outcome:
    """Every step, up to one that has to wait or fails; the final event and the finalizer, when all are done."""
    operator, tenant = deletion.operator, deletion.tenant
    await sweep_jobs.remove_but_final_read(operator, tenant)
    done = await _remove_all(deletion, Removed())
    waiting, memory = _progress(deletion, done, operator.store.memory(tenant.key).finalizer)
    operator.store.remember(tenant.key, uid=tenant.uid, finalizer=memory)
    if waiting is None:
        return await _finish(deletion, done, memory)
    conclusion = Conclusion(ready=waiting, names=deletion.names, deleted=memory.deleted, mappings=done.mappings)
    outcome = await publish(operator, deletion.resource, conclusion)
    if done.mappings:
        written = replace(memory, mappings=(*memory.mappings, *done.mappings))
        operator.store.remember(tenant.key, uid=tenant.uid, finalizer=written)
    return outcome


def _in_aws(step: removal.Step, *, ends: str = "") -> Step:
    """ends: what ripens until the step is done; others wait for the like."""

    async def run(deletion: Deletion, done: Removed) -> Removed:
        done = await deletion.operator.in_thread(partial(removal.attempt, step, deletion.removal, done))
        if ends and not done.ended:
            await ripened(deletion.operator, deletion.names, ends)
        return done

    return run


def _in_turn(*steps: Step) -> Step:
    """Up to one that has to wait or fails, or a stop that came meanwhile."""

    async def run(deletion: Deletion, done: Removed) -> Removed:
        for step in steps:
            if deletion.operator.store.stop_of(deletion.tenant.key) is not None:
                waits = Finding.waiting("Deleting", "the deletion waits", requeue_after_seconds=1.0)
                return replace(done, waiting=waits)
            done = await step(deletion, done)
            if done.ended:
                break
        return done

    return run


def _side_by_side(*steps: Step) -> Step:
    async def run(deletion: Deletion, done: Removed) -> Removed:
        return done.joined(await asyncio.gather(*(step(deletion, done) for step in steps)))

    return run


async def _read_stream_finally(deletion: Deletion, done: Removed) -> Removed:
    """The final stream read and redrive; where erasing is stopped, the Job only records what can be redriven later."""
    operator, tenant = deletion.operator, deletion.tenant
    if not tenant.mappings or tenant.table.file_names == "Shared":  # never invoked; or only the sweep erases
        return done
    if not_allowed(tenant, operator.settings.allowed):  # then nobody reads or erases anything for it any more
        memory = operator.store.memory(tenant.key).finalizer
        operator.store.remember(tenant.key, uid=tenant.uid, finalizer=replace(memory, final_read_failed=True))
        return done
    read = await sweep_jobs.final_read(operator, deletion.names, patient=deletion.patient)
    if read.failed:
        memory = operator.store.memory(tenant.key).finalizer
        operator.store.remember(tenant.key, uid=tenant.uid, finalizer=replace(memory, final_read_failed=True))
    return replace(done, waiting=read.waiting)


def _is_read_finally(deletion: Deletion) -> bool:
    """Whether there is a final stream read, or it is to be told why there is none."""
    operator, tenant = deletion.operator, deletion.tenant
    may_be = bool(tenant.mappings) and tenant.table.file_names != "Shared"
    return may_be and (
        operator.settings.sweep_template is not None or bool(not_allowed(tenant, operator.settings.allowed))
    )


# Once the function is gone nothing uses them, nor do they use each other.
_ROLE_AND_LOG_GROUP = _side_by_side(_in_aws(removal.remove_role), _in_aws(removal.remove_log_group))
WITH_FINAL_READ = _in_turn(
    # Every shard of a disabled stream has an end, and stays readable for 24 hours.
    _in_aws(removal.disable_stream),
    _read_stream_finally,
    _in_aws(removal.remove_function),
    _side_by_side(_ROLE_AND_LOG_GROUP, _in_aws(removal.untag_table)),
)
WITHOUT_FINAL_READ = _side_by_side(
    _in_turn(_in_aws(removal.disable_stream), _in_aws(removal.untag_table)),
    _in_turn(_in_aws(removal.remove_function), _ROLE_AND_LOG_GROUP),
)


async def _remove_what_it_used(deletion: Deletion, done: Removed) -> Removed:
    """Nothing invokes the function any more: neither stream nor function waits for the other."""
    steps = WITH_FINAL_READ if _is_read_finally(deletion) else WITHOUT_FINAL_READ
    return await steps(deletion, done)


_remove_all = _in_turn(_in_aws(removal.remove_trigger, ends=removal.TRIGGER_DELETING), _remove_what_it_used)


def _progress(deletion: Deletion, done: Removed, memory: FinalizerMemory) -> tuple[Finding | None, FinalizerMemory]:
    """What the deletion waits for (None: nothing), and the memory for the next reconciliation."""
    memory = replace(
        memory,
        deleted=tuple(dict.fromkeys((*memory.deleted, *done.deleted))),
        existed=tuple(dict.fromkeys((*memory.existed, *done.existed))),
    )
    waiting = finding_of_error(done.error, removing=True) if done.error is not None else done.waiting
    if waiting is None and deletion.confirms:
        now = deletion.operator.monotonic()
        memory = replace(memory, absent_since=now if memory.absent_since is None else memory.absent_since)
        return _to_confirm(memory, now=now), memory
    # An error alone shows neither that something exists, nor that it did.
    inconclusive = done.error is not None and done.error.meaning is not Meaning.CONFLICT and done.function is None
    if waiting is not None and not inconclusive:
        memory = replace(memory, absent_since=None)
    return waiting, memory


def _to_confirm(memory: FinalizerMemory, *, now: float) -> Finding:
    left = CONFIRM_AFTER_SECONDS - (now - (memory.absent_since or 0.0))
    text = "all resources are deleted; they were created recently, so the operator reads AWS once more to confirm it"
    return Finding.waiting("Deleting", text, requeue_after_seconds=max(left, 0.1))


def _confirms(operator: Operator, tenant: Tenant) -> bool:
    """Whether another reconciliation follows even if this one finds nothing; our tags are kept for it.

    Reads are eventually consistent: what was created seconds ago may only appear to be absent, so the absence is
    confirmed. And another reader of the stream may be our own trigger that did not show yet.
    """
    absent_since = operator.store.memory(tenant.key).finalizer.absent_since
    confirmed = absent_since is not None and operator.monotonic() - absent_since >= CONFIRM_AFTER_SECONDS
    return _is_young(operator, tenant) and not confirmed


def _is_young(operator: Operator, tenant: Tenant) -> bool:
    """Whether the tenant is seconds old, or this process, which can't know what the last one did."""
    age = (operator.now() - tenant.created).total_seconds()
    return min(age, operator.monotonic() - operator.started_at) <= YOUNG_SECONDS


async def _finish(deletion: Deletion, done: Removed, memory: FinalizerMemory) -> Outcome:
    operator, resource, tenant = deletion.operator, deletion.resource, deletion.tenant
    read = await sweep_jobs.final_read_result(operator, resource, tenant, failed=memory.final_read_failed)
    late = [read.message] if read.message else []
    late += [] if read.counted else await _failed_invocations(deletion)
    await sweep_jobs.remove(operator, tenant)
    left = f"; retained: {'; '.join(done.stays)}" if done.stays else ""
    left += "".join(f"; {text}" for text in late)
    event = Event(
        kind="Normal",
        reason="Deleted",
        message=f"{_what_was_deleted(memory)}; table {tenant.table.name} and bucket {tenant.bucket.name} were "
        f"not changed{left}",
    )
    return await _remove_finalizer(operator, resource, final_event=event)


def _what_was_deleted(memory: FinalizerMemory) -> str:
    """Not what never was there, or went before: by another's hand, or by this operator before a restart."""
    deleted = [what for what in memory.deleted if what in memory.existed]
    return f"deleted: {', '.join(deleted)}" if deleted else "no AWS resources were left to delete"


async def _failed_invocations(deletion: Deletion) -> list[str]:
    """Those that no final read has counted, for the event: the bucket does not tell whose mappings these were."""
    tenant, names = deletion.tenant, deletion.names
    if not tenant.mappings:
        return []
    try:
        observe = partial(failed_invocations.observe, deletion.removal.clients, names)
        observed = await deletion.operator.in_thread(observe)
    except AwsError as error:
        return [f"failed invocations in bucket {tenant.failures.bucket} could not be counted: {error}"]
    text = failed_invocations.left_behind(observed, names)
    return [text] if text else []


# Release


async def _retain(
    operator: Operator,
    resource: Resource,
    tenant: Tenant,
    clients: Clients,
    identity: Identity | Finding,
    *,
    patient: bool,
) -> Outcome:
    """Release: tags that AWS refuses to remove stay, and are reported; transient errors are retried for a while."""
    await sweep_jobs.remove(operator, tenant)
    if isinstance(identity, Finding):
        findings, tagged = [identity], "all of them"
    else:
        names = Names(tenant=tenant, identity=identity)
        errors = await operator.in_thread(partial(_release, clients, names))
        findings, tagged = [finding_of_error(error) for error in errors.values()], ", ".join(errors)
    transient = next((finding for finding in findings if finding.soon), None)
    if patient and transient is not None:
        return await publish(operator, resource, Conclusion(ready=transient))
    note = f"; the ownership tags could not be removed from: {tagged}" if tagged else ""
    event = Event(
        kind="Normal",
        reason="Retained",
        message=f"deletionPolicy is Retain: {_what_stays(operator, resource, tenant)}; no operator manages them{note}",
    )
    return await _remove_finalizer(operator, resource, final_event=event)


def _what_stays(operator: Operator, resource: Resource, tenant: Tenant) -> str:
    """A deletion that had begun has removed some of it."""
    all_of_it = (
        f"function {tenant.function.name} with its trigger, role {tenant.role_name}, log group "
        f"{tenant.log_group_name} and the stream of table {tenant.table.name}"
    )
    memory = operator.store.memory(tenant.key).finalizer
    deleted = [what for what in memory.deleted if what in memory.existed]
    ready = find_condition(resource.get("status") or {}, "Ready")
    if deleted:
        return f"the deletion had begun and deleted {', '.join(deleted)}; of {all_of_it}, the rest stays"
    if ready is not None and ready["reason"] == "Deleting":
        return f"the deletion had begun; what it has not deleted of {all_of_it} stays"
    return f"{all_of_it} stay and keep working"


def _release(clients: Clients, names: Names) -> dict[str, AwsError]:
    """Remove our tags from what stays; returns what kept its tags, and why."""
    kept = {}
    for what, release in (
        ("trigger", trigger.release),
        ("function", function.release),
        ("role", role.release),
        ("log group", log_group.release),
        ("stream", stream.release),
    ):
        try:
            release(clients, names)
        except NotOwnedError:
            continue
        except AwsError as error:
            if not error.not_found:
                kept[what] = error
    return kept


# The finalizer


async def _remove_finalizer(operator: Operator, resource: Resource, *, final_event: Event | None) -> Outcome:
    key = key_of(resource)
    memory = operator.store.memory(key).finalizer
    if final_event and not memory.final_event_posted:
        # After a conflict over the finalizer this runs again.
        operator.store.remember(key, uid=uid_of(resource), finalizer=replace(memory, final_event_posted=True))
        logger.info("%s: %s", final_event.reason, final_event.message, extra={"tenant": key})
        await post_event(operator, resource, final_event)
    await operator.kube.set_finalizer(resource, present=False)
    operator.ripening.forget(key)
    return Outcome(forget=True)


def _has_finalizer(resource: Resource) -> bool:
    return FINALIZER in (resource["metadata"].get("finalizers") or ())


def _identity_is_recorded(resource: Resource) -> bool:
    return bool((resource.get("status") or {}).get("aws"))
