"""The end of a tenant: everything of ours removed in order and seen to be gone, or let go, before the finalizer is."""

from __future__ import annotations

import logging
from functools import partial

from humangov.api.conditions import Event, Finding
from humangov.api.conflicts import refusal
from humangov.api.names import Names
from humangov.api.spec import FINALIZER, InvalidSpecError, Tenant
from humangov.aws import function, log_group, removal, role, stream, trigger
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.ownership import NotOwnedError
from humangov.kube.client import Resource
from humangov.reconcile import sweep_jobs
from humangov.reconcile.cache import Memory, key_of
from humangov.reconcile.context import Operator, identify, report, tell
from humangov.reconcile.outcome import Outcome

logger = logging.getLogger(__name__)


async def teardown(operator: Operator, resource: Resource, tenant: Tenant, *, failing_seconds: float) -> Outcome:
    """One pass over a tenant that is being deleted. Raises KubeError."""
    patient = failing_seconds < operator.settings.patience_seconds
    if FINALIZER not in (resource["metadata"].get("finalizers") or ()):
        return Outcome(forget=True)
    if not (resource.get("status") or {}).get("aws"):
        # status.aws comes before the first AWS write, so most likely nothing was made. That is not left to a cached
        # copy, nor to a status that may have been lost: unless the tenant was never allowed, AWS is asked all the same.
        fresh = await operator.kube.read(resource)
        if fresh is None:
            return Outcome(forget=True)
        resource = fresh
        recorded = (resource.get("status") or {}).get("aws")
        if not recorded and refusal(tenant, allowed=operator.settings.allowed, others=()):
            await sweep_jobs.remove(operator, tenant)
            return await _let_go(operator, resource, None)
    clients = operator.clients_for(tenant)
    identity = await identify(operator, resource, clients)
    if tenant.deletion_policy == "Retain":
        await sweep_jobs.remove(operator, tenant)
        passing, marked = identity if isinstance(identity, Finding) else None, "all of them"
        if not isinstance(identity, Finding):
            failed = await operator.in_thread(partial(_release, clients, Names(tenant=tenant, identity=identity)))
            passing = next((error for error in map(finding_of_error, failed.values()) if error.soon), None)
            marked = ", ".join(failed)
        if patient and passing is not None and passing.soon:
            return await report(operator, resource, ready=passing)
        return await _let_go(operator, resource, _retained_event(tenant, marked))
    if isinstance(identity, Finding):
        return await report(operator, resource, ready=identity)
    names, remains = Names(tenant=tenant, identity=identity), removal.Remains()
    # Judged once: a tenant that is no longer young at the end of the pass has kept its marks in it.
    looks_again = _looks_again(operator, tenant)
    await sweep_jobs.stop(operator, tenant)
    told_nothing, detached = False, None
    try:
        detached = await operator.in_thread(partial(removal.detach, clients, names, remains))
        waiting = detached.waiting
        if waiting is None and detached.function is not None and _reads_once_more(tenant):
            waiting = await sweep_jobs.last_look(operator, resource, names)
        if waiting is None:
            waiting = await operator.in_thread(
                partial(removal.remove, clients, names, remains, detached, now=operator.now, keep_marks=looks_again)
            )
    except AwsError as error:
        waiting = finding_of_error(error)
        told_nothing = error.meaning is not Meaning.CONFLICT and (detached is None or detached.function is None)
    memory = operator.store.memory(tenant.key)
    gone = memory.gone  # by this pass or one before
    gone |= dict.fromkeys(remains.gone)
    if waiting is None and looks_again:
        waiting = _second_look(operator, memory)
    elif waiting is not None and not told_nothing:  # something is there, or was; an error alone says neither
        memory.absent_since = None
    if waiting is None:
        told = await sweep_jobs.told_of_end(operator, resource, names)
        await sweep_jobs.remove(operator, tenant)
        event = _deleted_event(tenant, gone=list(gone), stays=remains.stays, late=told)
        return await _let_go(operator, resource, event)
    return await report(operator, resource, ready=waiting, names=names, gone=gone)


async def end_unreadable(operator: Operator, resource: Resource, error: InvalidSpecError) -> Outcome:
    """A tenant whose spec can't be read can't be torn down, only let go. Raises KubeError."""
    if FINALIZER not in (resource["metadata"].get("finalizers") or ()):
        return Outcome(forget=True)
    if (resource.get("spec") or {}).get("deletionPolicy") == "Retain":
        event = Event(kind="Warning", reason="Retained", message=f"let go with whatever there is in AWS: {error}")
        return await _let_go(operator, resource, event)
    advice = "mend the spec, or set deletionPolicy: Retain to let it go with whatever there is in AWS"
    return await report(operator, resource, ready=Finding.needs_person("InvalidSpec", f"{error}; {advice}"))


def _reads_once_more(tenant: Tenant) -> bool:
    """Whether records that were deleted just before are yet to be honoured: what stops erasing stops that too."""
    shared = tenant.files_shared > 0 or tenant.table.file_names == "Shared"
    return tenant.trigger.enabled and not tenant.suspend and not shared


def _looks_again(operator: Operator, tenant: Tenant) -> bool:
    """Whether another pass is to follow even if this one finds nothing, for which our marks are kept.

    What was made seconds ago may be gone only to the eye: a young tenant's absence is confirmed once more. And another
    reader of its stream may be a trigger of ours that we did not see.
    """
    absent_since = operator.store.memory(tenant.key).absent_since
    seconds = operator.settings.confirm_seconds
    confirmed = absent_since is not None and operator.monotonic() - absent_since >= seconds
    return _is_young(operator, tenant) and not confirmed


def _second_look(operator: Operator, memory: Memory) -> Finding:
    now = operator.monotonic()
    if memory.absent_since is None:
        memory.absent_since = now
    left = operator.settings.confirm_seconds - (now - memory.absent_since)
    return Finding.waiting(
        "Deleting", "everything is gone; it was young, so one more look is taken", look_again_seconds=max(left, 0.1)
    )


def _is_young(operator: Operator, tenant: Tenant) -> bool:
    """Whether the tenant, or this life of the operator, which can't know what the last one did, is seconds old."""
    age = (operator.now() - tenant.created).total_seconds()
    return min(age, operator.monotonic() - operator.started_at) <= operator.settings.young_seconds


def _release(clients: Clients, names: Names) -> dict[str, AwsError]:
    """Take our marks off what stays, as far as AWS lets us; what kept its mark, and why."""
    marked = {}
    for what, release in (
        ("trigger", partial(trigger.release, clients, names)),
        ("function", partial(function.release, clients, names)),
        ("role", partial(role.release, clients, names)),
        ("log group", partial(log_group.release, clients, names)),
        ("stream", partial(stream.release, clients, names)),
    ):
        try:
            release()
        except NotOwnedError:
            continue
        except AwsError as error:
            if error.meaning is not Meaning.GONE:
                marked[what] = error
    return marked


def _retained_event(tenant: Tenant, marked: str) -> Event:
    note = f"; our ownership tags could not be taken off: {marked}" if marked else ""
    return Event(
        kind="Normal",
        reason="Retained",
        message=f"deletionPolicy is Retain: function {tenant.function.name} with its trigger, role {tenant.role_name}, "
        f"log group {tenant.log_group_name} and the stream of table {tenant.table.name} stay and work on, cared for by "
        f"nobody{note}",
    )


def _deleted_event(tenant: Tenant, *, gone: list[str], stays: list[str], late: str | None) -> Event:
    left = f"; what stays: {'; '.join(stays)}" if stays else ""
    left += f"; {late}" if late else ""
    return Event(
        kind="Normal",
        reason="Deleted",
        message=f"gone: {', '.join(gone)}; table {tenant.table.name} and bucket {tenant.bucket.name} were not "
        f"touched{left}",
    )


async def _let_go(operator: Operator, resource: Resource, event: Event | None) -> Outcome:
    memory = operator.store.memory(key_of(resource))
    if event and not memory.farewell:
        memory.farewell = True  # a conflict over the finalizer brings us here again
        logger.info("%s: %s", event.reason, event.message, extra={"tenant": key_of(resource)})
        await tell(operator, resource, event)
    await operator.kube.set_finalizer(resource, present=False)
    return Outcome(forget=True)
