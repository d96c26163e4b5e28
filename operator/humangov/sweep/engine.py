"""One sweep: list the bucket, read the table, erase what no record names in two sweeps that are a day apart.

The application uploads a file before it writes the record, so in this order the scan finds every record that names a
listed file. Every step before the erasure only reads, or writes under `.humangov/`. After a crash the next sweep starts
again. It reuses the orphan lists in the bucket, never a decision.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.cleanup.calls import Calls, NoReceiptError
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.reading.named_files import named_keys, read_table, ready_table, require_same_table
from humangov.reading.progress import FailedError, Steps, s3_time
from humangov.reading.snapshot import Sink, TableDescription
from humangov.redrive.redrive import RefusedError, redrive
from humangov.redrive.redrive import Surroundings as RedriveSurroundings
from humangov.redrive.result import RedriveResult
from humangov.sweep import (
    bucket_claim,
    earlier_lists,
    erasure,
    incomplete_uploads,
    list_expiry,
    orphan_list,
    shared_files,
    stored_files,
)
from humangov.sweep.earlier_lists import EarlierLists
from humangov.sweep.erasure import ErasureResult
from humangov.sweep.incomplete_uploads import IncompleteUploads
from humangov.sweep.list_expiry import ExpiredLists
from humangov.sweep.listing import Stored
from humangov.sweep.orphan_list import OrphanList, OrphanListHead
from humangov.sweep.result import DELETE, SweepResult
from humangov.sweep.safety_checks import SHRUNKEN_PERCENT, Facts, SafetyCheck, failed_checks
from humangov.sweep.scratch_db import Counts, Scratch
from humangov.sweep.stored_files import StoredFiles

_LARGEST = 10


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a sweep needs from outside, apart from AWS.

    may_erase  called before the second scan, before every batch, and throughout the redrive: the reason not to erase,
               or None
    approved   sha256 of the orphan list that a person approved
    """

    steps: Steps = field(default_factory=Steps)
    may_erase: Callable[[], str | None] = lambda: None
    approved: str | None = None
    now: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep


def sweep(clients: AwsClients, names: Names, begun: SweepResult, *, around: Surroundings) -> Iterator[SweepResult]:
    """One run, started by `result.begin`: yields the result after each step; the last one is final.

    Raises ClaimedError, FailedError, StoppedError, NoReceiptError, sqlite3.Error, and ClientError or BotoCoreError
    where the bucket or the table can't be read. It never erases a file because something could not be read.
    """
    run = _prepare(clients, names, around)
    bucket_claim.claim(clients.patient_s3, names, write=not begun.dry_run)
    result = begun if begun.dry_run else replace(begun, redriven=_redrive(run))
    yield result
    with Scratch() as scratch:
        result = result if result.dry_run else replace(result, expired=_expire_lists(run, scratch))
        stored = _list(run, scratch)
        result = replace(result, uploads=_list_uploads(run, scratch))
        records = _read(run, scratch.name, stage="reading the table", total=run.table.records or None)
        joined = _join(run, scratch)
        result = replace(
            result, listed=stored.listed, too_young=stored.too_young, records=records, live=joined.counts.live,
            orphans=joined.counts.orphans, orphan_bytes=joined.counts.orphan_bytes, largest=joined.largest,
        )  # fmt: skip
        yield result
        result = replace(result, shared=_shared(run, joined.named_twice))
        yield result
        require_same_table(clients, names, table=run.table)

        ended = _read_bucket(clients, names).now
        earlier = _compare(run, scratch)
        failed = failed_checks(_facts(run, result, earlier, other_claims=stored.other_claims))
        blocking = [check for check in failed if not (check.approval and earlier.approved)]
        result = replace(result, failed_checks=blocking, approved=len(blocking) < len(failed))
        yield result
        if earlier.compared:
            confirmed = scratch.confirm(earlier.compared, approved_only=result.approved)
            result = replace(result, confirmed=confirmed)
            yield result
        if not result.dry_run:
            kept = _write_list(run, scratch, result, failed=failed, at=ended)
            result = replace(result, orphan_list=kept)
            yield result
            aborts = _aborts_uploads(run, scratch, result, earlier)
            if result.mode == DELETE and not blocking and (result.confirmed or aborts):
                yield from _erase(run, scratch, result, listed_in=kept.key, aborts=aborts)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What all steps of a run use. began: S3's time before the listing, in seconds since the epoch."""

    clients: AwsClients
    names: Names
    around: Surroundings
    table: TableDescription
    versioned: bool
    began: float


class _Bucket(NamedTuple):
    versioned: bool
    now: float


def _prepare(clients: AwsClients, names: Names, around: Surroundings) -> _Run:
    around.steps.check()
    bucket = _read_bucket(clients, names)
    return _Run(
        clients=clients, names=names, around=around, table=ready_table(clients, names),
        versioned=bucket.versioned, began=bucket.now,
    )  # fmt: skip


def _read_bucket(clients: AwsClients, names: Names) -> _Bucket:
    """Whether it keeps versions, and S3's time, which determines the age of files."""
    answer = clients.patient_s3.get_bucket_versioning(
        Bucket=names.tenant.bucket.name, ExpectedBucketOwner=names.identity.account_id
    )
    return _Bucket(versioned=answer.get("Status") in ("Enabled", "Suspended"), now=s3_time(answer))


def _redrive(run: _Run) -> RedriveResult:
    """Failed invocations come first, with checks and receipts of their own, in either mode of the sweep.

    It reads the table itself, if there are any of this tenant: their files must be gone before the bucket is listed,
    and the sweep's own reading must come after that. What goes wrong with them is told; orphans are found all the same.
    """
    around = run.around
    surroundings = RedriveSurroundings(
        may_erase=around.may_erase, stop=lambda: around.steps.why_stop() is not None, now=around.now, pause=around.pause
    )
    try:
        return redrive(run.clients, run.names, around=surroundings)
    except (RefusedError, NoReceiptError, *SDK_ERRORS) as error:
        return RedriveResult(problem=without_names(error))


def _list(run: _Run, scratch: Scratch) -> StoredFiles:
    return stored_files.list_stored(
        run.clients, run.names, scratch, began=run.began, versioned=run.versioned, steps=run.around.steps
    )


def _expire_lists(run: _Run, scratch: Scratch) -> ExpiredLists:
    return list_expiry.expire(
        run.clients.patient_s3, run.names, now=run.began, versioned=run.versioned, folder=scratch.folder,
        steps=run.around.steps,
    )  # fmt: skip


def _list_uploads(run: _Run, scratch: Scratch) -> IncompleteUploads:
    run.around.steps.begin("listing incomplete uploads")
    return incomplete_uploads.list_uploads(
        run.clients.patient_s3, run.names, began=run.began, included=stored_files.included(run.names),
        sink=scratch.store_uploads, steps=run.around.steps,
    )  # fmt: skip


def _aborts_uploads(run: _Run, scratch: Scratch, result: SweepResult, earlier: EarlierLists) -> bool:
    """Whether there are incomplete uploads that mode Delete aborts."""
    since = earlier.known_since(run.table.table_id)
    may_abort = incomplete_uploads.may_abort(
        result.uploads, live=result.live, table_known_seconds=0.0 if since is None else run.began - since,
        approved=result.approved,
    )  # fmt: skip
    return may_abort and scratch.uploads_number() > 0


def _read(run: _Run, keep: Callable[[Iterable[bytes]], None], *, stage: str, total: int | None) -> int:
    """Hands every key that a record names to `keep`; returns the number of records."""
    run.around.steps.begin(stage, total=total)
    return _scan(run, lambda items: keep(named_keys(items, run.names)))


def _scan(run: _Run, sink: Sink, more: Sequence[str] = ()) -> int:
    return read_table(
        run.clients, run.names, sink, more, table=run.table, steps=run.around.steps, pause=run.around.pause
    )  # fmt: skip


class _Joined(NamedTuple):
    """largest: orphans. named_twice: keys that several records may name, although file names are unique."""

    counts: Counts
    largest: Sequence[Stored]
    named_twice: Sequence[bytes]


def _join(run: _Run, scratch: Scratch) -> _Joined:
    counts = scratch.join()
    may_share = run.names.tenant.table.file_names == "Shared"
    named_twice = [] if may_share else scratch.named_twice(limit=shared_files.MOST)
    scratch.forget_names()
    return _Joined(counts, scratch.largest(_LARGEST), named_twice)


def _shared(run: _Run, suspected: Sequence[bytes]) -> tuple[str, ...]:
    if not suspected:
        return ()
    return shared_files.really_shared(
        run.clients, run.names, suspected, table=run.table, scan=partial(_scan, run), pause=run.around.pause
    )


def _compare(run: _Run, scratch: Scratch) -> EarlierLists:
    return earlier_lists.compare(
        run.clients, run.names, scratch, steps=run.around.steps, approved_sha256=run.around.approved,
        table_id=run.table.table_id, began=run.began,
    )  # fmt: skip


def _facts(run: _Run, result: SweepResult, earlier: EarlierLists, *, other_claims: Sequence[str]) -> Facts:
    tenant, table = run.names.tenant, run.table
    return Facts(
        records=result.records,
        earlier_records=earlier.most_records(table.table_id),
        counted_records=table.records,
        listed=result.listed,
        live=result.live,
        orphans=result.orphans,
        shared=len(result.shared),
        may_share=tenant.table.file_names == "Shared",
        maximum_orphan_percent=tenant.sweep.maximum_orphan_percent,
        table_id=table.table_id,
        earlier_table_id=earlier.last_table_id,
        restored_at=table.restored_at,
        other_claims=other_claims,
        now=datetime.fromtimestamp(run.began, UTC),
    )


def _write_list(
    run: _Run, scratch: Scratch, result: SweepResult, *, failed: Sequence[SafetyCheck], at: float
) -> OrphanList:  # fmt: skip
    """failed: every failed check, overridden or not. at: S3's time at the end of the sighting."""
    names, options = run.names, run.names.tenant.sweep
    head = OrphanListHead(
        tenant=names.owner,
        table=names.table_arn,
        table_id=run.table.table_id,
        bucket=names.tenant.bucket.name,
        key_prefix=names.tenant.bucket.key_prefix,
        run=result.run,
        mode=result.mode,
        at=at,
        include=options.include,
        minimum_age_seconds=options.minimum_age_seconds,
        records=result.records,
        listed=result.listed,
        too_young=result.too_young,
        live=result.live,
        orphans=result.orphans,
        orphan_bytes=result.orphan_bytes,
        shared=result.shared,
        failed_checks=tuple(check.name for check in failed),
        sighting=not any(check.doubtful for check in failed),
        incomplete_uploads=result.uploads.number,
    )
    return orphan_list.write(
        run.clients.patient_s3, head, scratch.orphans(), scratch.uploads(), owner=names.identity.account_id,
        folder=scratch.folder,
    )  # fmt: skip


def _erase(
    run: _Run, scratch: Scratch, result: SweepResult, *, listed_in: str, aborts: bool
) -> Iterator[SweepResult]:  # fmt: skip
    """Reads the table a second time, then erases the files that still no record names.

    listed_in: the orphan list's key. aborts: incomplete uploads are aborted too.
    """
    if reason := run.around.may_erase():
        yield replace(result, erased=ErasureResult(unfinished=reason, stopped=True))
        return
    began = run.around.now()
    _read_again(run, scratch, result)
    still = scratch.confirmed_number()
    result = replace(result, spared=result.confirmed - still)
    yield result
    receipts = ReceiptLog(
        run.clients.logs, log_group=run.names.tenant.log_group_name, now=run.around.now, pause=run.around.pause,
        prefix="sweep",
    )  # fmt: skip
    receipts.open()
    result = replace(result, log_stream=receipts.stream_name)
    yield result
    erased = result.erased
    for erased in _erase_confirmed(run, scratch, result, receipts, listed_in=listed_in):
        yield replace(result, erased=erased)
    limit = run.names.tenant.sweep.maximum_erasures
    if still > limit and erased.unfinished is None:
        capped = f"the next sweep handles the other {still - limit:,} (spec.sweep.maximumErasures is {limit:,})"
        erased = replace(erased, unfinished=capped)
    result = replace(result, erased=erased)
    yield result
    if aborts and erased.unfinished is None:
        for uploads in _abort_uploads(run, scratch, result, receipts, listed_in=listed_in, read_since=began):
            yield replace(result, uploads=uploads)


def _abort_uploads(
    run: _Run, scratch: Scratch, result: SweepResult, receipts: ReceiptLog, *, listed_in: str, read_since: float
) -> Iterator[IncompleteUploads]:
    """What the files have left of the erasures that one sweep may make. read_since: when the second reading began."""

    def read_on() -> str | None:
        if run.around.now() - read_since <= erasure.WITHIN_SECONDS:
            return None
        return "the second scan is more than 15 minutes old, so the next sweep aborts the other incomplete uploads"

    return incomplete_uploads.abort(
        scratch.take_uploads, result.uploads, names=run.names, run=result.run, listed_in=listed_in,
        most=run.names.tenant.sweep.maximum_erasures - result.erased.count("erased"),
        s3=run.clients.s3, calls=_calls(run), receipts=receipts, read_on=read_on, may_go_on=run.around.may_erase,
    )  # fmt: skip


def _read_again(run: _Run, scratch: Scratch, result: SweepResult) -> None:
    """Spares files that a record names now. Raises FailedError if the reading is unreliable."""
    records = _read(run, scratch.spare, stage="reading the table again", total=result.records)
    require_same_table(run.clients, run.names, table=run.table)
    if records < result.records * SHRUNKEN_PERCENT / 100:
        raise FailedError(
            f"the first scan read {result.records:,} records, the second only {records:,}, so nothing was erased"
        )


def _erase_confirmed(
    run: _Run, scratch: Scratch, result: SweepResult, receipts: ReceiptLog, *, listed_in: str
) -> Iterator[ErasureResult]:
    return erasure.erase(
        scratch.confirmed(limit=run.names.tenant.sweep.maximum_erasures),
        names=run.names, run=result.run, listed_in=listed_in, versioned=run.versioned, calls=_calls(run),
        patient_s3=run.clients.patient_s3, receipts=receipts, steps=run.around.steps, may_go_on=run.around.may_erase,
    )  # fmt: skip


def _calls(run: _Run) -> Calls:
    return Calls(
        dynamodb=run.clients.dynamodb, s3=run.clients.s3, out_of_time=lambda: False, pause=run.around.pause,
        now=run.around.now, write=erasure.lines_ignored, keeps_versions=lambda: run.versioned,
    )  # fmt: skip
