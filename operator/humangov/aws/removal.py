"""The steps that delete a tenant's AWS resources: trigger, stream, function, role, log group, the table's tags.

Each step reads before it deletes, deletes only what has the tenant's ownership tag, and may be repeated. It receives
the result of the steps before it, and returns that with its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from humangov.api.conditions import Finding
from humangov.api.names import OWNER_TAG, Names
from humangov.aws import (
    function,
    function_observed,
    log_group,
    role,
    stream,
    stream_observed,
    trigger,
    trigger_mappings,
)
from humangov.aws.clients import Clients
from humangov.aws.deletion import Deletion
from humangov.aws.errors import SPEC_REMEDY, AwsError
from humangov.aws.event_source_mapping import MappingObserved, reads_table
from humangov.aws.ownership import NotOwnedError, is_owned


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What to delete, and how.

    keep_tags     of a stream that stays, for another reconciliation
    logs_kept_by  the setting that retains the log group, for people
    recorded      UUIDs of mappings that are recorded, so they may be deleted; None: no record is kept
    """

    clients: Clients
    names: Names
    now: Callable[[], datetime]
    keep_tags: bool = False
    logs_kept_by: str = "spec.logs.onDelete: Retain"
    recorded: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Removed:
    """The result of the steps so far.

    deleted, stays  absent and retained resources, for people
    existed      those that a step deleted, though they may not be absent yet: the others never were there
    waiting      what the next step has to wait for
    error        what ended the steps early
    function     as the first step observed it, which tells no later step that it may be deleted; None: absent, not
                 owned (function_is_foreign), or not read yet
    table        the table whose tags are to be removed
    mappings     UUIDs that have to be recorded before they are deleted
    sources      what the region's mappings read (ARNs), as the first step listed them just now; None: it did not
    """

    deleted: tuple[str, ...] = ()
    existed: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    waiting: Finding | None = None
    error: AwsError | None = None
    function: function_observed.Observed | None = None
    function_is_foreign: bool = False
    table: stream_observed.Observed | None = None
    mappings: tuple[str, ...] = ()
    sources: frozenset[str] | None = None

    @property
    def ended(self) -> bool:
        return self.waiting is not None or self.error is not None

    def with_deleted(self, what: str) -> Removed:
        return replace(self, deleted=(*self.deleted, what))

    def with_existed(self, what: str) -> Removed:
        return replace(self, existed=(*self.existed, what))

    def with_stays(self, what: str) -> Removed:
        return replace(self, stays=(*self.stays, what))

    def joined(self, several: Sequence[Removed]) -> Removed:
        """Of steps that each went on from this."""
        return replace(
            self,
            deleted=(*self.deleted, *(what for one in several for what in one.deleted[len(self.deleted) :])),
            existed=(*self.existed, *(what for one in several for what in one.existed[len(self.existed) :])),
            stays=(*self.stays, *(what for one in several for what in one.stays[len(self.stays) :])),
            waiting=next((one.waiting for one in several if one.waiting is not None), None),
            error=next((one.error for one in several if one.error is not None), None),
        )

    def waits(self, for_what: str, *, ripens: str) -> Removed:
        """ripens: its kind, for it is gone after about as long as others of its kind."""
        text = f"waiting until {for_what} is deleted"
        return replace(self, waiting=Finding.ripening("Deleting", text, of=f"{ripens} Deleting"))


Step = Callable[[Removal, Removed], Removed]
TRIGGER = "trigger"
TRIGGER_DELETING = "trigger Deleting"


def run(steps: tuple[Step, ...], removal: Removal) -> Removed:
    """One step after the other, until one has to wait, or AWS fails."""
    done = Removed()
    for step in steps:
        done = attempt(step, removal, done)
        if done.ended:
            break
    return done


def attempt(step: Step, removal: Removal, done: Removed) -> Removed:
    """One step; an error of AWS is a result like any other."""
    try:
        return step(removal, done)
    except AwsError as error:
        return replace(done, error=error)


def remove_trigger(removal: Removal, done: Removed) -> Removed:
    """Of a function that is absent, or another's, only what has the tenant's ownership tag. Raises AwsError."""
    clients, names = removal.clients, removal.names
    observed, foreign_function = function.observe(clients, names, deep=False), None
    try:
        if observed is not None:
            function.require_known_owner(observed, names)
    except NotOwnedError as error:
        if observed is None or OWNER_TAG in (observed.tags or {}):  # its owner's are its triggers too
            return replace(done.with_stays(str(error)), function_is_foreign=True)
        foreign_function = error  # a trigger outlives a function that was deleted, and created again by others
    owned = observed is not None and foreign_function is None
    before = trigger.observe(clients, names, deep=not owned)
    doomed = trigger_mappings.to_remove(before, names, function_is_owned=owned)
    if unrecorded := _unrecorded(doomed, removal):
        # What a mapping could not hand over is in the failures bucket under its UUID, which Lambda forgets with it.
        waiting = Finding.waiting("Deleting", "recording the trigger's UUID", requeue_after_seconds=0.1)
        return replace(done, waiting=waiting, mappings=unrecorded)
    if doomed or (owned and any(reads_table(mapping, names) for mapping in before.mappings)):
        done = done.with_existed(TRIGGER)
    after = trigger.remove(clients, names, doomed) if doomed else before
    foreign = [mapping for mapping in after.mappings if owned and not reads_table(mapping, names)]
    if going := _going(after, doomed, names, function_is_absent=observed is None, function_is_owned=owned):
        return done.waits(f"trigger {', '.join(mapping.uuid for mapping in going)}", ripens="trigger")
    if foreign:
        return replace(done, waiting=_foreign_trigger(foreign, names))
    if foreign_function is not None:
        stays = done.with_stays(str(foreign_function))
        return replace(stays, function_is_foreign=True, sources=after.sources)
    return replace(done.with_deleted(TRIGGER), function=observed, sources=after.sources)


def _going(
    after: trigger_mappings.Observed,
    doomed: Sequence[MappingObserved],
    names: Names,
    *,
    function_is_absent: bool,
    function_is_owned: bool,
) -> list[MappingObserved]:
    """The mappings that a deletion waits for: those of the table's streams, without what is another's."""
    left = [mapping for mapping in after.mappings if reads_table(mapping, names)]
    if function_is_owned:
        return left
    if function_is_absent:
        return [mapping for mapping in left if mapping.tags is None or mapping.state == "Deleting"]
    removed = {mapping.uuid for mapping in doomed}
    return [
        mapping for mapping in left
        if mapping.uuid in removed or (mapping.state == "Deleting" and is_owned(mapping.tags, names))
    ]  # fmt: skip


def remove_function(removal: Removal, done: Removed) -> Removed:
    """Raises AwsError."""
    if done.function_is_foreign:
        return done
    delete = partial(function.remove, removal.clients, removal.names)
    return _remove(f"function {removal.names.tenant.function.name}", delete, done)


def remove_role(removal: Removal, done: Removed) -> Removed:
    """Raises AwsError."""
    delete = partial(role.remove, removal.clients, removal.names)
    return _remove(f"role {removal.names.tenant.role_name}", delete, done)


def remove_log_group(removal: Removal, done: Removed) -> Removed:
    """Or remove its ownership tag, where it is retained. Raises AwsError."""
    clients, names = removal.clients, removal.names
    what = f"log group {names.tenant.log_group_name}"
    if names.tenant.logs.on_delete == "Delete":
        return _remove(what, partial(log_group.remove, clients, names), done)
    try:
        log_group.release(clients, names)
    except NotOwnedError as error:
        return done.with_stays(str(error))
    return done.with_stays(f"{what} ({removal.logs_kept_by})")


def disable_stream(removal: Removal, done: Removed) -> Removed:
    """Disable the stream if the operator enabled it and nothing else reads it. Raises AwsError."""
    clients, names = removal.clients, removal.names
    table = names.tenant.table.name
    observed = stream.observe(clients, names, deep=False)
    if observed is None:
        return done
    observed = stream.with_tags(clients, names, observed)
    if observed.enabled and observed.arn:
        decision = stream.may_disable(
            observed, names=names, now=removal.now(),
            has_readers=partial(_has_readers, removal, done, stream_arn=observed.arn),
        )  # fmt: skip
        if decision is None:
            text = f"waiting until the tags of table {table} are consistent"
            return replace(done, waiting=Finding.waiting("Deleting", text, requeue_after_seconds=2))
        refused = _refused_to_disable(removal) if decision else ""
        if decision and not refused:
            done = done.with_existed(f"stream of table {table}").with_deleted(f"stream of table {table}")
        else:
            why = refused or "someone else enabled it, it has other readers, or the table is a global table"
            done = done.with_stays(f"the stream of table {table} ({why})")
            if removal.keep_tags:
                return done
    return replace(done, table=observed)


def _has_readers(removal: Removal, done: Removed, *, stream_arn: str) -> bool:
    """Raises AwsError."""
    if done.sources is not None:
        return stream_arn in done.sources
    return trigger.has_readers(removal.clients, stream_arn=stream_arn)


def _refused_to_disable(removal: Removal) -> str:
    """Why AWS does not let the stream be disabled; empty if it did. Nothing of ours depends on it. Raises AwsError."""
    try:
        stream.disable(removal.clients, removal.names)
    except AwsError as error:
        if error.remedy != SPEC_REMEDY:  # it refuses the value: neither a permission, nor credentials, nor the time
            raise
        return f"AWS refuses to disable it: {error.text}"
    return ""


def untag_table(removal: Removal, done: Removed) -> Removed:
    """Raises AwsError."""
    if done.table is not None:
        stream.untag(removal.clients, removal.names, done.table)
    return done


def _unrecorded(doomed: Sequence[MappingObserved], removal: Removal) -> tuple[str, ...]:
    recorded = removal.recorded
    return () if recorded is None else tuple(one.uuid for one in doomed if one.uuid not in recorded)


OF_FUNCTION: tuple[Step, ...] = (remove_trigger, remove_function, remove_role, remove_log_group)
OF_TABLE: tuple[Step, ...] = (disable_stream, untag_table)


def _remove(what: str, delete: Callable[[], Deletion], done: Removed) -> Removed:
    """Raises AwsError."""
    try:
        deletion = delete()
    except NotOwnedError as error:
        return done.with_stays(str(error))
    done = done.with_existed(what) if deletion.existed else done
    return done.with_deleted(what) if deletion.confirmed else done.waits(what, ripens=what.split()[0])


def _foreign_trigger(foreign: list[MappingObserved], names: Names) -> Finding:
    whose = ", ".join(f"{mapping.uuid} (from {mapping.source_arn})" for mapping in foreign)
    return Finding.action_required(
        "UnownedTrigger",
        f"event source mapping {whose} also invokes function {names.tenant.function.name}, but does not belong to this "
        "HumanGovState. Delete that mapping, or set deletionPolicy: Retain",
    )
