"""One sweep: list the bucket, read the table, erase what no record names in two sweeps that are a day apart.

The application uploads a file before it writes the record, so in this order the scan finds every record that names a
listed file. Every step before the erasure only reads, or writes under `.humangov/`. After a crash the next sweep starts
again. It reuses the orphan lists in the bucket, never a decision.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.cleanup.calls import Calls, NoReceiptError
from humangov.cleanup.outcomes import FileOutcome
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.reading.followed_stream import Keep
from humangov.reading.named_files import read_table, ready_table, require_same_table
from humangov.reading.progress import FailedError, Steps, s3_time
from humangov.reading.snapshot import Sink, TableDescription
from humangov.reading.table_reading import KeepByRecord, TableReading, read_completely, scan_alone_sentence
from humangov.redrive.redrive import RefusedError, redrive
from humangov.redrive.redrive import Surroundings as RedriveSurroundings
from humangov.redrive.result import RedriveResult
from humangov.sweep import begun_batch, bucket_claim, earlier_lists, erasure, orphan_list, shared_files, stored_files
from humangov.sweep.earlier_lists import EarlierLists
from humangov.sweep.erasure import ErasureResult, ReadOn
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
    if not result.dry_run:
        result = replace(result, settled=_settle(run, result))
        yield result
    with Scratch() as scratch:
        stored = _list(run, scratch)
        reading = _read(
            run, scratch.name, keep_since=scratch.name_since, stage="reading the table", total=run.table.records or None
        )  # fmt: skip
        joined = _join(run, scratch)
        result = replace(
            result, listed=stored.listed, too_young=stored.too_young, records=reading.records,
            live=joined.counts.live, orphans=joined.counts.orphans, orphan_bytes=joined.counts.orphan_bytes,
            alike=joined.alike, largest=joined.largest, scan_alone=reading.scan_alone,
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
            multipart_before = run.began - names.tenant.sweep.minimum_age_seconds
            confirmed = scratch.confirm(
                earlier.compared, multipart_before=multipart_before, approved_only=result.approved
            )
            result = replace(result, confirmed=confirmed)
            yield result
        if not result.dry_run:
            kept = _write_list(run, scratch, result, failed=failed, at=ended)
            result = replace(result, orphan_list=kept)
            yield result
            if result.mode == DELETE and not blocking and result.confirmed:
                yield from _erase(run, scratch, result, listed_in=kept.key)


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
    except (RefusedError, ClientError, BotoCoreError, NoReceiptError) as error:
        return RedriveResult(problem=str(error))


def _settle(run: _Run, result: SweepResult) -> Counter[FileOutcome]:
    """Stores the outcomes of what an interrupted sweep had begun; returns them. Raises NoReceiptError."""
    s3, calls, receipts = run.clients.patient_s3, _calls(run), _receipts(run)
    settled = Counter[FileOutcome]()
    for stored, batch in begun_batch.unsettled(s3, run.names, now=run.began):
        run.around.steps.check()
        settled += begun_batch.settle(batch, run.names, run=result.run, calls=calls, receipts=receipts)
        begun_batch.remove(s3, run.names, stored, versioned=run.versioned)
    return settled


def _list(run: _Run, scratch: Scratch) -> StoredFiles:
    return stored_files.list_stored(
        run.clients, run.names, scratch, began=run.began, versioned=run.versioned, steps=run.around.steps
    )


def _read(run: _Run, keep: KeepByRecord, *, keep_since: Keep, stage: str, total: int | None) -> TableReading:
    """Hands the keys that each record may mean to `keep`, and what the stream names to `keep_since`."""
    around = run.around
    around.steps.begin(stage, total=total)
    return read_completely(
        run.clients, run.names, keep, keep_since=keep_since, table=run.table, steps=around.steps, now=around.now,
        pause=around.pause,
    )  # fmt: skip


def _scan(run: _Run, sink: Sink, more: Sequence[str] = ()) -> int:
    return read_table(
        run.clients, run.names, sink, more, table=run.table, steps=run.around.steps, pause=run.around.pause
    )  # fmt: skip


class _Joined(NamedTuple):
    """largest: orphans. named_twice: keys that several records may name, although file names are unique.

    alike: orphans that a record may mean that names no file of the bucket.
    """

    counts: Counts
    alike: int
    largest: Sequence[Stored]
    named_twice: Sequence[bytes]


def _join(run: _Run, scratch: Scratch) -> _Joined:
    counts = scratch.join()
    may_share = run.names.tenant.table.file_names == "Shared"
    named_twice = [] if may_share else scratch.named_twice(limit=shared_files.MOST)
    alike = scratch.find_alike() if counts.orphans else 0
    scratch.forget_names()
    return _Joined(counts, alike, scratch.largest(_LARGEST), named_twice)


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
        alike=result.alike,
        shared=len(result.shared),
        may_share=tenant.table.file_names == "Shared",
        maximum_orphan_percent=tenant.sweep.maximum_orphan_percent,
        table_id=table.table_id,
        earlier_table_id=earlier.last_table_id,
        created_at=table.created_at,
        backup_at=table.backup_at,
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
    )
    return orphan_list.write(
        run.clients.patient_s3, head, scratch.orphans(), owner=names.identity.account_id, folder=scratch.folder
    )


def _erase(run: _Run, scratch: Scratch, result: SweepResult, *, listed_in: str) -> Iterator[SweepResult]:
    """Reads the table a second time, then erases the files that still no record names.

    listed_in: the orphan list's key.
    """
    if reason := run.around.may_erase():
        yield replace(result, erased=ErasureResult(unfinished=reason, stopped=True))
        return
    alone = bucket_claim.still_alone(run.clients.patient_s3, run.names, now=run.around.now)
    alone()
    reading = _read_again(run, scratch, result)
    still = scratch.confirmed_number()
    result = replace(
        result, spared=result.confirmed - still, scan_alone=reading.scan_alone or result.scan_alone
    )  # fmt: skip
    yield result
    receipts = _receipts(run)
    receipts.open()
    result = replace(result, log_stream=receipts.stream_name)
    yield result

    def may_go_on() -> str | None:
        alone()
        return run.around.may_erase()

    several = erasure.erase(
        scratch, names=run.names, run=result.run, listed_in=listed_in, versioned=run.versioned, calls=_calls(run),
        patient_s3=run.clients.patient_s3, receipts=receipts, steps=run.around.steps,
        read_on=partial(_read_on, run, reading), may_go_on=may_go_on,
    )  # fmt: skip
    for erased in several:
        yield replace(
            result, erased=erased, spared=result.spared + erased.spared,
            scan_alone=reading.scan_alone or result.scan_alone,
        )  # fmt: skip


def _read_again(run: _Run, scratch: Scratch, result: SweepResult) -> TableReading:
    """Spares files that a record names now. Raises FailedError if the reading is unreliable."""
    reading = _read(
        run, scratch.spare, keep_since=scratch.spare_keys, stage="reading the table again", total=result.records
    )  # fmt: skip
    require_same_table(run.clients, run.names, table=run.table)
    if reading.records < result.records * SHRUNKEN_PERCENT / 100:
        raise FailedError(
            f"the first scan read {result.records:,} records, the second only {reading.records:,}, so nothing was "
            "erased"
        )
    return reading


def _read_on(run: _Run, reading: TableReading) -> ReadOn:
    """The second reading, as of now: what records name by now is spared."""
    reading.read_on()
    too_old = None
    if reading.is_too_old(now=run.around.now()):
        too_old = (
            f"{scan_alone_sentence(str(reading.scan_alone))}; it began more than 15 minutes ago, so the next sweep "
            "handles the rest"
        )
    return ReadOn(is_snapshot=reading.scan_alone is None, too_old=too_old)


def _receipts(run: _Run) -> ReceiptLog:
    return ReceiptLog(
        run.clients.logs, log_group=run.names.tenant.log_group_name, now=run.around.now, pause=run.around.pause,
        prefix="sweep",
    )  # fmt: skip


def _calls(run: _Run) -> Calls:
    return Calls(
        dynamodb=run.clients.dynamodb, s3=run.clients.s3, out_of_time=lambda: False, pause=run.around.pause,
        now=run.around.now, write=erasure.lines_ignored, keeps_versions=lambda: run.versioned,
    )  # fmt: skip
