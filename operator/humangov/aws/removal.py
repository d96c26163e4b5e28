"""What goes of a tenant, and in which order: trigger, function, role, log group, stream, our marks on the table.

Each step reads before it deletes, deletes only what carries the tenant's mark, and may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from humangov.api.conditions import Finding
from humangov.api.names import Names
from humangov.aws import function, log_group, role, stream, trigger
from humangov.aws.clients import Clients
from humangov.aws.ownership import NotOwnedError


@dataclass
class Remains:
    """What a pass found gone, and what stays, for people."""

    gone: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Detached:
    """waiting: until no mapping of ours calls the function. function: as it was seen; None: absent, or not ours."""

    waiting: Finding | None
    function: function.Observed | None
    is_ours: bool


def detach(clients: Clients, names: Names, remains: Remains) -> Detached:
    """Remove the trigger, if the function is ours or absent. Raises AwsError."""
    try:
        observed = function.observe(clients, names, deep=False)
        if observed is not None:
            function.require_known_owner(observed, names)
    except NotOwnedError as error:
        remains.stays.append(str(error))  # and so is its trigger someone else's
        return Detached(waiting=None, function=None, is_ours=False)
    waiting = _remove_trigger(clients, names, function_is_there=observed is not None)
    if waiting is None:
        remains.gone.append("trigger")
    return Detached(waiting=waiting, function=observed, is_ours=True)


def remove(
    clients: Clients,
    names: Names,
    remains: Remains,
    detached: Detached,
    *,
    now: Callable[[], datetime],
    keep_marks: bool,
) -> Finding | None:
    """Remove the rest of ours, in order; what is waited for, or None when all of it is gone. Raises AwsError.

    keep_marks: of a stream that stays, for another look.
    """
    return remove_objects(clients, names, remains, detached) or remove_stream(
        clients, names, remains, now=now, keep_marks=keep_marks
    )


def remove_objects(
    clients: Clients,
    names: Names,
    remains: Remains,
    detached: Detached,
    *,
    logs_kept_by: str = "spec.logs.onDelete: Retain",
) -> Finding | None:
    """Remove function, role and log group; what is waited for. Raises AwsError."""
    tenant = names.tenant
    steps: list[tuple[str, Callable[[], bool]]] = []
    if detached.is_ours:
        remove_function = partial(function.remove, clients, names, detached.function)
        steps.append((f"function {tenant.function.name}", remove_function))
    steps.append((f"role {tenant.role_name}", partial(role.remove, clients, names)))
    if tenant.logs.on_delete == "Delete":
        steps.append((f"log group {tenant.log_group_name}", partial(log_group.remove, clients, names)))
    for what, step in steps:
        try:
            if not step():
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
            remains.stays.append(f"log group {tenant.log_group_name} ({logs_kept_by})")
    return None


def remove_stream(
    clients: Clients, names: Names, remains: Remains, *, now: Callable[[], datetime], keep_marks: bool
) -> Finding | None:
    """Turn the stream off if we turned it on and nobody else reads it. Raises AwsError."""
    table = names.tenant.table.name
    observed = stream.observe(clients, names, deep=False)
    if observed is None:
        return None
    observed = stream.with_tags(clients, names, observed)
    if observed.enabled and observed.arn:
        decision = stream.may_disable(
            observed, owner=names.owner, now=now(),
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
            if keep_marks:
                return None
    stream.untag(clients, names, observed)
    return None


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


def _deleting(what: str) -> Finding:
    return Finding.waiting("Deleting", f"waiting until {what} is gone", look_again_seconds=0.5)
