"""The end of a tenant: everything of ours removed in order and seen to be gone, or let go, before the finalizer is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from humangov import sweeps
from humangov.admission import refusal
from humangov.aws import function, log_group, role, stream, trigger
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.model import NotOwnedError, finding_of_error
from humangov.kube import Resource
from humangov.passes import Operator, identify, report, tell
from humangov.queue import Outcome
from humangov.status import Event, Finding
from humangov.store import key_of
from humangov.tenant import FINALIZER, InvalidSpecError, Names, Tenant

logger = logging.getLogger(__name__)


@dataclass
class _Remains:
    """What a pass found gone, and what stays, for people."""

    gone: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)


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
            await sweeps.remove(operator, tenant)
            return await _let_go(operator, resource, None)
    clients = operator.clients_for(tenant)
    identity = await identify(operator, resource, clients)
    if tenant.deletion_policy == "Retain":
        await sweeps.remove(operator, tenant)
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
    names, remains = Names(tenant=tenant, identity=identity), _Remains()
    await sweeps.stop(operator, tenant)
    try:
        detached = await operator.in_thread(partial(_detach, clients, names, remains))
        waiting = detached.waiting
        if waiting is None and detached.function is not None and _reads_once_more(tenant):
            waiting = await sweeps.last_look(operator, resource, names)
        if waiting is None:
            waiting = await operator.in_thread(partial(_remove, operator, clients, names, remains, detached))
    except AwsError as error:
        waiting = finding_of_error(error)
    memory = operator.store.memory(tenant.key)
    gone = memory.gone  # by this pass or one before
    gone |= dict.fromkeys(remains.gone)
    if waiting is None:
        waiting = _second_look(operator, tenant)
    else:
        memory.absent_since = None
    if waiting is None:
        told = await sweeps.told_of_end(operator, resource, names)
        await sweeps.remove(operator, tenant)
        event = _deleted_event(tenant, gone=list(gone), stays=remains.stays, late=told)
        return await _let_go(operator, resource, event)
    return await report(operator, resource, ready=waiting, names=names)


async def end_unreadable(operator: Operator, resource: Resource, error: InvalidSpecError) -> Outcome:
    """A tenant whose spec can't be read can't be torn down, only let go. Raises KubeError."""
    if FINALIZER not in (resource["metadata"].get("finalizers") or ()):
        return Outcome(forget=True)
    if (resource.get("spec") or {}).get("deletionPolicy") == "Retain":
        event = Event(kind="Warning", reason="Retained", message=f"let go with whatever there is in AWS: {error}")
        return await _let_go(operator, resource, event)
    advice = "mend the spec, or set deletionPolicy: Retain to let it go with whatever there is in AWS"
    return await report(operator, resource, ready=Finding.needs_person("InvalidSpec", f"{error}; {advice}"))


@dataclass(frozen=True, kw_only=True)
class _Detached:
    """waiting: until no mapping of ours calls the function. function: as it was seen; None: absent, or not ours."""

    waiting: Finding | None
    function: function.Observed | None
    is_ours: bool


def _detach(clients: Clients, names: Names, remains: _Remains) -> _Detached:
    """Remove the trigger, if the function is ours or absent. Raises AwsError."""
    try:
        observed = function.observe(clients, names, deep=False)
        if observed is not None:
            function.require_known_owner(observed, names)
    except NotOwnedError as error:
        remains.stays.append(str(error))  # and so is its trigger someone else's
        return _Detached(waiting=None, function=None, is_ours=False)
    waiting = _remove_trigger(clients, names, function_is_there=observed is not None)
    if waiting is None:
        remains.gone.append("trigger")
    return _Detached(waiting=waiting, function=observed, is_ours=True)


def _reads_once_more(tenant: Tenant) -> bool:
    """Whether records that were deleted just before are yet to be honoured: what stops erasing stops that too."""
    shared = tenant.files_shared > 0 or tenant.table.file_names == "Shared"
    return tenant.trigger.enabled and not tenant.suspend and not shared


def _remove(
    operator: Operator, clients: Clients, names: Names, remains: _Remains, detached: _Detached
) -> Finding | None:
    """Remove the rest of ours, in order; what is waited for, or None when all of it is gone. Raises AwsError."""
    tenant = names.tenant
    steps: list[tuple[str, Callable[[], bool]]] = []
    if detached.is_ours:
        remove_function = partial(function.remove, clients, names, detached.function)
        steps.append((f"function {tenant.function.name}", remove_function))
    steps.append((f"role {tenant.role_name}", partial(role.remove, clients, names)))
    if tenant.logs.on_delete == "Delete":
        steps.append((f"log group {tenant.log_group_name}", partial(log_group.remove, clients, names)))
    for what, remove in steps:
        try:
            if not remove():
                return _deleting(what)
            remains.gone.append(what)
        except NotOwnedError as error:
            remains.stays.append(str(error))
    if tenant.logs.on_delete == "Retain":
        try:
            log_group.release(clients, names)
        except NotOwnedError as error:
            remains.stays.append(str(error))
        else:
            remains.stays.append(f"log group {tenant.log_group_name} (spec.logs.onDelete: Retain)")
    return _remove_stream(operator, clients, names, remains)


def _remove_trigger(clients: Clients, names: Names, *, function_is_there: bool) -> Finding | None:
    """Remove our mappings of the function, which is ours or absent; what is waited for. Raises AwsError."""
    left = trigger.remove(clients, names, function_is_ours=function_is_there)
    going = [mapping for mapping in left if trigger.reads_table(mapping, names)]
    foreign = [mapping for mapping in left if not trigger.reads_table(mapping, names)]
    if not function_is_there:
        going = [mapping for mapping in going if mapping.tags is None or mapping.state == "Deleting"]
        foreign = []
    if going:
        return _deleting(f"trigger {', '.join(mapping.uuid for mapping in going)}")
    if foreign:
        told = ", ".join(f"{mapping.uuid} (from {mapping.source_arn})" for mapping in foreign)
        return Finding.needs_person(
            "ForeignTrigger",
            f"{told} also calls function {names.tenant.function.name} and is not ours. Delete that event source "
            "mapping, or set deletionPolicy: Retain",
        )
    return None


def _remove_stream(operator: Operator, clients: Clients, names: Names, remains: _Remains) -> Finding | None:
    """Turn the stream off if we turned it on and nobody else reads it. Raises AwsError."""
    table = names.tenant.table.name
    observed = stream.observe(clients, names, deep=False)
    if observed is None:
        return None
    observed = stream.with_tags(clients, names, observed)
    if observed.enabled and observed.arn:
        decision = stream.may_disable(
            observed, owner=names.owner, now=operator.now(),
            other_readers=partial(trigger.other_readers, clients, stream_arn=observed.arn),
        )  # fmt: skip
        if decision is None:
            return Finding.waiting(
                "Deleting", f"waiting until the tags of table {table} can be relied on", look_again_seconds=2
            )
        if decision:
            stream.disable(clients, names)
            remains.gone.append(f"stream of table {table}")
        else:
            remains.stays.append(
                f"the stream of table {table} (it was not enabled by us, has other readers, or is a global table's)"
            )
            if _is_young(operator, names.tenant) and operator.store.memory(names.tenant.key).absent_since is None:
                return None  # the second look needs our marks: the other reader may be a trigger that we did not see
    stream.untag(clients, names, observed)
    return None


def _second_look(operator: Operator, tenant: Tenant) -> Finding | None:
    """What was made seconds ago may be gone only to the eye: a young tenant's absence is confirmed once more."""
    if not _is_young(operator, tenant):
        return None
    memory, now = operator.store.memory(tenant.key), operator.monotonic()
    if memory.absent_since is None:
        memory.absent_since = now
    left = operator.settings.confirm_seconds - (now - memory.absent_since)
    if left <= 0:
        return None
    return Finding.waiting(
        "Deleting", "everything is gone; it was young, so one more look is taken", look_again_seconds=left
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


def _deleting(what: str) -> Finding:
    return Finding.waiting("Deleting", f"waiting until {what} is gone", look_again_seconds=0.5)


async def _let_go(operator: Operator, resource: Resource, event: Event | None) -> Outcome:
    memory = operator.store.memory(key_of(resource))
    if event and not memory.farewell:
        memory.farewell = True  # a conflict over the finalizer brings us here again
        logger.info("%s: %s", event.reason, event.message, extra={"tenant": key_of(resource)})
        await tell(operator, resource, event)
    await operator.kube.set_finalizer(resource, present=False)
    return Outcome(forget=True)
