"""Redrive: handles failed invocations once more with the function's own code, then removes their records.

Lambda writes the whole event of a failed invocation to the tenant's failures bucket, and so can others. So only what a
mapping of the tenant wrote, by its key, is read; and a file is erased only if a reading of the whole table, beside the
function's own checks, shows that no record names it. The redrive can be killed anywhere and run again: a record is
removed after everything in it was handled, and handling it twice is harmless.

docs/security.md lists the permissions that it needs; tests/lambda/test_permissions.py checks them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.api.spec import Tenant
from humangov.api.stop import STOP_ANNOTATION, why_not_erase
from humangov.aws.data_plane import AwsClients
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.aws.errors import AwsError
from humangov.cleanup.calls import NoReceiptError, error_code
from humangov.cleanup.outcomes import BatchResult, FileOutcome, failed
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.cleanup.references import FAILURES_PREFIX
from humangov.reading.progress import FailedError, StoppedError
from humangov.reading.unnamed import AskedKeys, freed_keys, read_named
from humangov.redrive import invocation, mappings, stored
from humangov.redrive.handling import handle_here
from humangov.redrive.invocation import LIMIT_BYTES, Invocation, UnreadableError
from humangov.redrive.result import RedriveResult
from humangov.redrive.stored import StoredObject

KEYS_AT_ONCE = 100_000
"""Invocation records that free so many keys share one reading of the table: they are held in memory."""

_PROGRESS_EVERY_SECONDS = 5.0


class RefusedError(Exception):
    """No file of this tenant may be erased now; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a redrive needs from outside, apart from AWS.

    mappings    UUIDs that are this tenant's, beside those in its status and bucket
    may_erase   called before and during every step; the reason not to erase, or None
    stop        called before each call that starts anything
    before_receipts  called before the receipts of each group of invocations: makes sure that their log group exists
    """

    mappings: Collection[str] = ()
    may_erase: Callable[[], str | None] = lambda: None
    stop: Callable[[], bool] = lambda: False
    before_receipts: Callable[[], None] = lambda: None
    progress: Callable[[str], None] = lambda _line: None
    now: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep


_ALONE = Surroundings()


def redrive(
    clients: AwsClients, names: Names, *, dry_run: bool = False, around: Surroundings = _ALONE
) -> RedriveResult:  # fmt: skip
    """One run.

    Raises RefusedError, and as long as no invocation was begun: NoReceiptError, what `before_receipts` raises, and
    ClientError or BotoCoreError if bucket or table can't be read. Later, such an error is the result's `problem`.
    """
    if not dry_run:
        refuse(names.tenant)
    recorded = mappings.recorded(clients.patient_s3, names)
    run = _Run(
        clients=clients, names=names, around=around, receipts=_receipts(clients, names, around),
        why_end=(lambda: None) if dry_run else around.may_erase,
    )  # fmt: skip
    known = frozenset((*names.tenant.mappings, *recorded.by_uuid, *around.mappings))
    result = RedriveResult(unreadable=recorded.unreadable)
    shown_at = around.now()
    try:
        for group in _groups(run, known):
            result += group.counted
            for handled in _handled(run, group) if not dry_run and group.own else ():
                result += handled
            if around.stop() or result.problem or result.unstored:
                break
            if around.now() - shown_at >= _PROGRESS_EVERY_SECONDS:
                shown_at = around.now()
                around.progress(f"{result.found:,} invocation records read, {result.removed:,} removed")
        if not dry_run and not around.stop() and result.problem is None and result.unstored is None:
            former = {uuid: one for uuid, one in recorded.by_uuid.items() if uuid not in names.tenant.mappings}
            mappings.forget_handled(clients.patient_s3, names, former)
    except (NoReceiptError, AwsError, *SDK_ERRORS) as error:
        if result.log_stream is None:
            raise
        # Files may have been erased: what was done is told, whatever ends it.
        result += RedriveResult(problem=without_names(error))
    return replace(result, stopped=around.stop())


def refuse(tenant: Tenant) -> None:
    """Raises RefusedError where the spec, or what a sweep found, forbids to erase; of a stop the StopSwitch knows."""
    if tenant.hold is not None:
        raise RefusedError(
            f"{tenant.key}: {why_not_erase(tenant)}, so nothing is erased. What the hold keeps is redriven when it ends"
        )
    if STOP_ANNOTATION in tenant.annotations:
        raise RefusedError(f"{tenant.key}: annotation {STOP_ANNOTATION} is set, so nothing is erased. Start it first")
    if not tenant.trigger.enabled:
        raise RefusedError(f"{tenant.key}: spec.trigger.enabled is false, so nothing is erased. Set it to true first")
    if tenant.files_shared and tenant.table.file_names != "Shared":
        raise RefusedError(
            f"{tenant.key}: {tenant.files_shared:,} files are named by more than one record, so nothing is erased. The "
            "condition Ready says what to do"
        )
    if tenant.suspend:
        raise RefusedError(f"{tenant.key}: spec.suspend is true, so nothing is erased. Set it to false first")


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What all steps of a run use. why_end: why nothing may be erased any more; None: go on."""

    clients: AwsClients
    names: Names
    around: Surroundings
    receipts: ReceiptLog
    why_end: Callable[[], str | None]


def _receipts(clients: AwsClients, names: Names, around: Surroundings) -> ReceiptLog:
    return ReceiptLog(
        clients.logs, log_group=names.tenant.log_group_name, now=around.now, pause=around.pause, prefix="redrive"
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Invocation records that share one reading of the table. own: this tenant's. keys: what these free."""

    counted: RedriveResult
    own: tuple[StoredObject, ...]
    keys: frozenset[str]


def _groups(run: _Run, known: frozenset[str]) -> Iterator[_Group]:
    """Every invocation record, the oldest of a shard first; the rest is not read once the run is to stop."""
    bucket, owner = run.names.tenant.failures.bucket, run.names.identity.account_id
    counted, own, keys = RedriveResult(), list[StoredObject](), set[str]()
    for one in stored.objects(run.clients.patient_s3, bucket=bucket, owner=owner, prefix=FAILURES_PREFIX):
        if run.around.stop():
            break
        read = _read(run, one, known)
        counted += read.counted
        if read.invocation is not None:
            own.append(one)
            keys |= freed_keys(read.invocation.records, run.names)
        if reason := run.why_end():
            counted += RedriveResult(problem=reason)
            break
        if len(keys) >= KEYS_AT_ONCE:
            yield _Group(counted=counted, own=tuple(own), keys=frozenset(keys))
            counted, own, keys = RedriveResult(), [], set()
    yield _Group(counted=counted, own=tuple(own), keys=frozenset(keys))


class _Read(NamedTuple):
    """What one record contains, and how it counts. invocation: if it is the tenant's own."""

    counted: RedriveResult
    invocation: Invocation | None = None


def _read(run: _Run, one: StoredObject, known: frozenset[str]) -> _Read:
    """What another mapping wrote is not read; what can't be read is counted, named and passed over."""
    uuid = mappings.of_invocation(one.key)
    found = RedriveResult(found=1)
    if uuid not in known:
        return _Read(replace(found, others=1, by_other_mapping=Counter({uuid: 1})))
    try:
        own = _invocation(run, one)
    except UnreadableError as error:
        return _Read(replace(found, unreadable={one.key: str(error)}))
    except ClientError as error:
        return _Read(replace(found, unreadable={one.key: f"S3 answers {error_code(error)}"}))
    if own is None:
        return _Read(found)
    if not own.is_own:
        return _Read(replace(found, others=1, by_other_mapping=Counter({uuid: 1})))
    counted = replace(
        found,
        own=1,
        by_condition=Counter({own.condition: 1}),
        by_mapping=Counter({uuid: 1}),
        oldest=one.written,
        records=len(own.records),
    )
    return _Read(counted, own)


def _invocation(run: _Run, one: StoredObject) -> Invocation | None:
    """None: it no longer exists. Raises UnreadableError, and what the SDK raises."""
    if one.size > LIMIT_BYTES:
        raise UnreadableError(f"the object has {one.size:,} bytes, more than any invocation record")
    names = run.names
    body = stored.body(
        run.clients.patient_s3, one, bucket=names.tenant.failures.bucket, owner=names.identity.account_id
    )  # fmt: skip
    if body is None:
        return None
    return invocation.read(body, function_arn=names.function_arn, table_arn=names.table_arn, written=one.written)


def _handled(run: _Run, group: _Group) -> Iterator[RedriveResult]:
    """Reads the table, then handles the group's invocations: yields what is done at once, so that no error hides it.

    Raises NoReceiptError, what `before_receipts` raises, and what the SDK raises.
    """
    around = run.around
    if reason := run.why_end():
        yield RedriveResult(problem=reason)
        return
    try:
        reading = read_named(
            run.clients, run.names, group.keys, why_stop=lambda: "stopped" if around.stop() else run.why_end(),
            now=around.now, pause=around.pause,
        )  # fmt: skip
    except (StoppedError, FailedError) as error:
        yield RedriveResult(problem=None if around.stop() else str(error))
        return
    around.before_receipts()
    run.receipts.open()
    yield RedriveResult(log_stream=run.receipts.stream_name)
    for one in group.own:
        if around.stop():
            return
        if reason := run.why_end():
            yield RedriveResult(problem=reason)
            return
        try:
            reading.read_on(now=around.now())
        except StoppedError as error:
            yield RedriveResult(problem=None if around.stop() else str(error))
            return
        yield RedriveResult(scan_alone=reading.scan_alone)
        for result in _handled_one(run, one, reading):
            yield result
            if result.unstored:
                return


def _handled_one(run: _Run, one: StoredObject, reading: AskedKeys) -> Iterator[RedriveResult]:
    """What became of its files, then of itself. Raises NoReceiptError, and what the SDK raises."""
    around = run.around
    try:
        # Read again: thousands would not fit into memory. A key that it did not have before is not in the reading.
        own = _invocation(run, one)
    except UnreadableError as error:
        yield RedriveResult(failed={one.key: [failed(str(error))]})
        return
    except ClientError as error:
        yield RedriveResult(failed={one.key: [failed(error_code(error))]})
        return
    if own is None or not own.is_own:
        return
    handled = handle_here(
        own.records, clients=run.clients, names=run.names, receipts=run.receipts,
        why_kept=lambda key: reading.why_kept(key, now=around.now()), now=around.now, pause=around.pause,
        stop=lambda: around.stop() or run.why_end() is not None,
    )  # fmt: skip
    yield _counted(handled)
    if not around.stop() and not handled.unstored:
        yield _failed(one, handled) or _removed(run, one)


def _counted(handled: BatchResult) -> RedriveResult:
    outcomes = {outcome: number for outcome, number in handled.outcomes.items() if not outcome.is_failure}
    return RedriveResult(
        outcomes=Counter(outcomes), malformed=handled.malformed, unresolved=handled.unresolved,
        unstored=handled.unstored,
    )  # fmt: skip


def _failed(one: StoredObject, handled: BatchResult) -> RedriveResult | None:
    """None if all of its stream records were handled."""
    if not handled.hand_back:
        return None
    reasons: list[FileOutcome] = [outcome for outcome in handled.outcomes if outcome.is_failure]
    reasons.sort(key=lambda outcome: outcome.detail)
    return RedriveResult(failed={one.key: reasons or [failed("see the log")]})


def _removed(run: _Run, one: StoredObject) -> RedriveResult:
    bucket, owner = run.names.tenant.failures.bucket, run.names.identity.account_id
    reason = stored.remove(run.clients.patient_s3, one, bucket=bucket, owner=owner)
    return RedriveResult(kept={one.key: reason}) if reason else RedriveResult(removed=1)
