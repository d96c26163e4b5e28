"""Lost records: those that the function never receives, and so never handles. Their files stay until a sweep. Pure.

A record is lost where its stream has it no longer, or never had it: nobody read it for the 24 hours that a stream
keeps it; the stream was disabled when it was written; another's function received it; Lambda gave it up and could not
store that.
Condition RecordsHandled tells from when to when. Times that are not known exactly are taken so that the span is too
long, never too short. It is in status.records: a restart of the operator forgets nothing. It stays until a sweep has
succeeded that began after it, for that is what finds those files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from humangov.api.conditions import TRIGGER_READY, Finding, find_condition
from humangov.api.spec import SWEEP_ANNOTATION, Tenant
from humangov.api.times import parse_time, timestamp
from humangov.aws import function_observed, resources, stream_observed, trigger
from humangov.aws.ownership import is_owned
from humangov.aws.resources import FUNCTION, STREAM, TRIGGER, Observations, Unread
from humangov.aws.stream_lag import StreamLag
from humangov.cleanup.environment import SHARED
from humangov.reconcile.context import Reconciliation
from humangov.reconcile.delivery import Delivery

STATUS_FIELD = "records"
_STREAM_DISABLED, _NOT_READ, _ANOTHERS, _NOT_STORED = "StreamDisabled", "NotRead", "FunctionNotOwned", "NotStored"
_WHY: Mapping[str, str] = {
    _STREAM_DISABLED: "the table's stream was disabled, or the table re-created, so those records are in no stream",
    _NOT_READ: "nothing read the stream, which keeps records for 24 hours",
    _ANOTHERS: "the trigger invoked a function of the same name that someone else owns",
    _NOT_STORED: "Lambda discarded them, and could not store them in the failures bucket",
}
_SUCCEEDED = ("Detected", "Erased")  # status.sweep.result


@dataclass(frozen=True, kw_only=True)
class Lost:
    """since, until: the span in which the records were written; until None: it goes on. cause: one of _WHY."""

    since: datetime
    until: datetime | None
    cause: str


@dataclass(frozen=True, kw_only=True)
class Records:
    """status.records.

    stream        label of the stream that the trigger reads, or read last; None: it has read none yet
    unread_since  since when nothing reads it; None: it is read
    lost          what no successful sweep has found yet
    """

    stream: str | None = None
    unread_since: datetime | None = None
    lost: Lost | None = None

    @property
    def status(self) -> dict[str, Any] | None:
        """As the status records it; None: absent."""
        lost = self.lost and {
            "from": timestamp(self.lost.since),
            "until": self.lost.until and timestamp(self.lost.until),
            "cause": self.lost.cause,
        }
        fields = {
            "stream": self.stream,
            "unreadSince": self.unread_since and timestamp(self.unread_since),
            "lost": lost and _present(lost),
        }
        return _present(fields) or None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a reconciliation shows of the records' way.

    stream        label of the table's stream; None: it has none
    is_read       the function receives its records
    cause         why not
    unread_since  since when not, if AWS tells
    """

    stream: str | None
    is_read: bool
    cause: str = _NOT_READ
    unread_since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Handling:
    """records: for status.records. finding: condition RecordsHandled; None leaves it as it was."""

    records: Records
    finding: Finding | None = None


def state(
    this: Reconciliation, observed: Observations, works: Delivery, *, lag: StreamLag | None
) -> Handling:  # fmt: skip
    """lag: CloudWatch's last values of this process."""
    tenant, status, now = this.tenant, this.stored_status, this.context.now
    if tenant.table.file_names == SHARED:
        return Handling(records=Records())  # only its sweep erases
    before = records_of(status)
    covered = covered_until(status.get("sweep") or {}, tenant)
    known = [this.memory.read_at, covered, _became_ready(status)]
    read_at = max((one for one in known if one is not None), default=now)
    records = following(before, seen(this, observed, works), read_at=min(read_at, now), now=now)
    if lag is not None and lag.not_stored is not None:
        first, last = lag.not_stored
        records = extended(records, Lost(since=first - _oldest(tenant), until=last, cause=_NOT_STORED))
    lost = records.lost
    if lost is None:
        return Handling(records=records)
    if lost.until is not None and covered is not None and covered >= lost.until:
        return Handling(records=replace(records, lost=None), finding=_swept(before.lost, covered))
    return Handling(records=records, finding=_finding(lost, tenant))


def seen(this: Reconciliation, observed: Observations, works: Delivery) -> Seen | None:
    """None: not known, or changing."""
    table, triggers = observed[STREAM], observed[TRIGGER]
    if isinstance(table, Unread):
        return None
    if table is None or not table.enabled or not table.label:
        return Seen(stream=None, is_read=False, cause=_STREAM_DISABLED)
    if isinstance(triggers, Unread):
        return None
    desired = this.desired(observed)[TRIGGER]
    enabled = trigger.is_enabled(triggers, desired)
    if enabled and _is_anothers(resources.observation(observed, FUNCTION), this):
        return Seen(stream=table.label, is_read=False, cause=_ANOTHERS)
    if enabled and works.unread is None:
        return None
    if enabled and works.unread:
        return Seen(stream=table.label, is_read=False, unread_since=works.since)
    return None if enabled is None else Seen(stream=table.label, is_read=enabled)


def _is_anothers(found: function_observed.Observed | None, this: Reconciliation) -> bool:
    """Not if only the ownership tag was removed."""
    if found is None or found.tags is None or is_owned(found.tags, this.names):
        return False
    return found.code_sha256 != this.bundle.code_sha256


def following(before: Records, found: Seen | None, *, read_at: datetime, now: datetime) -> Records:
    """status.records after what was found. read_at: when the stream was last known to be read."""
    if found is None or (before.stream is None and not found.is_read):
        return before  # of a tenant that is being set up nothing is expected yet: what there is, its sweep finds
    if not found.is_read:
        return _unread(before, found, since=before.unread_since or found.unread_since or read_at, now=now)
    replaced = before.stream is not None and before.stream != found.stream
    since = before.unread_since or (read_at if replaced else None)
    after = Records(stream=found.stream, lost=before.lost)
    if since is None:
        return after
    ends, expired = [], now - trigger.STREAM_RECORDS_LAST
    if replaced:
        ends.append((stream_observed.born_at(found.stream) or now, _STREAM_DISABLED))
    if expired > since:
        ends.append((expired, _NOT_READ))
    if not ends and before.lost is not None and before.lost.until is None:
        ends.append((now, before.lost.cause))
    if not ends:
        return after
    until, cause = max(ends)
    until = max(until, since)
    if after.lost is not None and after.lost.until is None:
        after = replace(after, lost=replace(after.lost, until=until))
    return extended(after, Lost(since=since, until=until, cause=cause))


def _unread(before: Records, found: Seen, *, since: datetime, now: datetime) -> Records:
    old = before.lost
    if old is not None and old.until is not None and since < old.until:
        # After a restart `since` may lie before a loss that has ended. Of both one span, or its end would be forgotten.
        before = replace(before, lost=replace(old, since=min(old.since, since)))
        since = old.until
    after = replace(before, unread_since=since)
    if found.cause == _NOT_READ and now - since <= trigger.STREAM_RECORDS_LAST:
        return after
    return extended(after, Lost(since=since, until=None, cause=found.cause))


def extended(records: Records, new: Lost) -> Records:
    """One span of both, with what lies between them. An open loss stays open, whatever else is lost."""
    old = records.lost
    if old is None:
        return replace(records, lost=new)
    until = None if new.until is None or old.until is None else max(new.until, old.until)
    cause = old.cause if old.until is None and new.until is not None else new.cause
    return replace(records, lost=Lost(since=min(old.since, new.since), until=until, cause=cause))


def records_of(status: Mapping[str, Any]) -> Records:
    """As the status has recorded it."""
    fields = status.get(STATUS_FIELD) or {}
    lost = fields.get("lost") or {}
    since = parse_time(lost.get("from"))
    return Records(
        stream=fields.get("stream"),
        unread_since=parse_time(fields.get("unreadSince")),
        lost=Lost(since=since, until=parse_time(lost.get("until")), cause=lost.get("cause") or _NOT_READ)
        if since
        else None,
    )


def covered_until(swept: Mapping[str, Any], tenant: Tenant) -> datetime | None:
    """The last sweep has found the files of all records that were removed before; None: it has not succeeded.

    swept: status.sweep. A sweep leaves out files younger than spec.sweep.minimumAge.
    """
    began = parse_time(swept.get("startedAt"))
    if began is None or swept.get("result") not in _SUCCEEDED:
        return None
    return began - timedelta(seconds=tenant.sweep.minimum_age_seconds) if swept.get("tooYoung", 1) else began


def is_read(this: Reconciliation, observed: Observations, *, failing: bool) -> bool:
    """Whether the stream is being read now, as far as is known. failing: status.failingSince is there."""
    found = None if failing else seen(this, observed, Delivery())
    return found is not None and found.is_read


def _oldest(tenant: Tenant) -> timedelta:
    """How old a record is at most when Lambda gives it up."""
    limit = tenant.trigger.maximum_record_age_seconds
    return timedelta(seconds=limit) if limit >= 0 else trigger.STREAM_RECORDS_LAST


def _became_ready(status: Mapping[str, Any]) -> datetime | None:
    """When the trigger, which is enabled according to the status, was not yet known not to work."""
    condition = find_condition(status, TRIGGER_READY)
    if condition is None or (condition["status"], condition["reason"]) != ("True", "Enabled"):
        return None
    return parse_time(condition["lastTransitionTime"])


def _finding(lost: Lost, tenant: Tenant) -> Finding:
    files = "The files of records that were deleted then stay until a sweep finds them"
    how = f"annotation {SWEEP_ANNOTATION}, or humangov sweep"
    if lost.until is None:
        text = (
            f"records written since {timestamp(lost.since)} are lost, and more will be lost until Ready is True: "
            f"{_WHY.get(lost.cause, lost.cause)}. {files}: start one after that ({how})"
        )
        return Finding.warning("RecordsLost", text)
    surely = timestamp(lost.until + timedelta(seconds=tenant.sweep.minimum_age_seconds))
    return Finding.warning(
        "RecordsLost",
        f"records written from {timestamp(lost.since)} to {timestamp(lost.until)} may be lost: "
        f"{_WHY.get(lost.cause, lost.cause)}. {files}: start one ({how}). This condition becomes True after a "
        "successful sweep that began later and skipped no file as too young, at the latest after one that began "
        f"after {surely}",
    )


def _swept(lost: Lost | None, covered: datetime) -> Finding | None:
    if lost is None:
        return None
    return Finding.in_sync(
        "Swept", f"a sweep has found the files of all records that were removed before {timestamp(covered)}"
    )


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
