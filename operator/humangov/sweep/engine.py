"""One sweep: list the bucket, read the table, erase what no record names in two sweeps that are a day apart.

The application uploads a file before it writes the record, so in this order the scan finds every record that names a
listed file. Every step before the erasure only reads, or writes under `.humangov/`. After a crash the next sweep starts
again. It reuses the orphan lists in the bucket, never a decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import NamedTuple

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.cleanup.calls import NoReceiptError
from humangov.cleanup.outcomes import FileOutcome
from humangov.reading.named_files import read_table, ready_table, require_same_table
from humangov.reading.progress import FailedError, s3_time
from humangov.reading.snapshot import Sink
from humangov.redrive.redrive import RefusedError, redrive
from humangov.redrive.redrive import Surroundings as RedriveSurroundings
from humangov.redrive.result import RedriveResult
from humangov.sweep import (
    begun_batch,
    bucket_claim,
    candidates,
    earlier_lists,
    incomplete_uploads,
    list_expiry,
    orphan_list,
    shared_files,
)
from humangov.sweep.earlier_lists import EarlierLists
from humangov.sweep.incomplete_uploads import IncompleteUploads
from humangov.sweep.list_expiry import ExpiredLists
from humangov.sweep.listing import Stored
from humangov.sweep.orphan_list import OrphanList, OrphanListHead
from humangov.sweep.result import DELETE, SweepResult
from humangov.sweep.safety_checks import Facts, SafetyCheck, failed_checks
from humangov.sweep.scratch_db import Counts, Scratch
from humangov.sweep.search import Search, SearchOf, StoredFiles
from humangov.sweep.second_reading import erase
from humangov.sweep.surroundings import Run, Surroundings, calls_of, receipts_of

_LARGEST = 10
_SHOWN_CLAIMS = 3


def sweep(
    clients: AwsClients, names: Names, begun: SweepResult, *, around: Surroundings, search_of: SearchOf
) -> Iterator[SweepResult]:
    """One run, started by `result.begin`: yields the result after each step; the last one is final.

    search_of: finds the orphans; whatever it returns, the same rules decide what becomes of them.
    Raises ClaimedError, FailedError, StoppedError, NoReceiptError, sqlite3.Error, and ClientError or BotoCoreError
    where the bucket or the table can't be read. It never erases a file because something could not be read.
    """
    run = _prepare(clients, names, around)
    bucket_claim.claim(clients.patient_s3, names, write=not begun.dry_run)
    result = begun if begun.dry_run else replace(begun, redriven=_redrive(run))
    yield result
    for settled in () if result.dry_run else _settle(run, result):
        result = replace(result, settled=settled)
        yield result
    with Scratch() as scratch:
        if not result.dry_run:
            result = replace(result, expired=_expire_lists(run, scratch))
            yield result
        with search_of(run) as files:
            stored = files.list_stored()
            other_claims = _other_claims(run, stored)
            result = replace(result, uploads=_list_uploads(run, scratch))
            named = files.read_named()
            joined = _join(run, scratch, files, stored)
        result = replace(
            result, listed=stored.listed, too_young=stored.too_young, records=named.records,
            live=joined.live, orphans=joined.counts.orphans, orphan_bytes=joined.counts.orphan_bytes,
            alike=joined.counts.alike, largest=joined.largest, scan_alone=named.scan_alone,
        )  # fmt: skip
        yield result
        result = replace(result, shared=_shared(run, joined.named_twice))
        yield result
        require_same_table(clients, names, table=run.table)

        ended = _read_bucket(clients, names).now
        earlier = _compare(run, scratch)
        failed = failed_checks(_facts(run, result, earlier, other_claims=other_claims))
        blocking = [check for check in failed if not (check.approval and earlier.approved)]
        overridden = len(blocking) < len(failed)
        approver = around.approver if overridden else None
        result = replace(result, failed_checks=blocking, approved=overridden, approver=approver)
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
            aborts = _aborts_uploads(run, scratch, result, earlier)
            if result.mode == DELETE and not blocking and (result.confirmed or aborts):
                yield from erase(run, scratch, result, listed_in=kept.key, aborts=aborts)


class _Bucket(NamedTuple):
    versioned: bool
    now: float


def _prepare(clients: AwsClients, names: Names, around: Surroundings) -> Run:
    around.steps.check()
    bucket = _read_bucket(clients, names)
    return Run(
        clients=clients, names=names, around=around, table=ready_table(clients, names),
        versioned=bucket.versioned, began=bucket.now,
    )  # fmt: skip


def _read_bucket(clients: AwsClients, names: Names) -> _Bucket:
    """Whether it keeps versions, and S3's time, which determines the age of files."""
    answer = clients.patient_s3.get_bucket_versioning(
        Bucket=names.tenant.bucket.name, ExpectedBucketOwner=names.identity.account_id
    )
    return _Bucket(versioned=answer.get("Status") in ("Enabled", "Suspended"), now=s3_time(answer))


def _redrive(run: Run) -> RedriveResult:
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


def _settle(run: Run, result: SweepResult) -> Iterator[Counter[FileOutcome]]:
    """Stores the outcomes of what an interrupted sweep had begun; yields them so far. Raises NoReceiptError."""
    s3, calls, receipts = run.clients.patient_s3, calls_of(run), receipts_of(run)
    settled = Counter[FileOutcome]()
    for stored, batch in begun_batch.unsettled(s3, run.names, now=run.began):
        run.around.steps.check()
        settled += begun_batch.settle(batch, run.names, run=result.run, calls=calls, receipts=receipts)
        yield settled
        begun_batch.remove(s3, run.names, stored, versioned=run.versioned)


def _other_claims(run: Run, stored: StoredFiles) -> list[str]:
    """Keys of other tenants' claims under this key prefix, a few of them if there are many."""
    claims = bucket_claim.others_among(run.clients.patient_s3, run.names, stored.possible_claims)
    return [one.key for one in islice(claims, _SHOWN_CLAIMS)]


def _expire_lists(run: Run, scratch: Scratch) -> ExpiredLists:
    return list_expiry.expire(
        run.clients.patient_s3, run.names, now=run.began, versioned=run.versioned, folder=scratch.folder,
        steps=run.around.steps,
    )  # fmt: skip


def _list_uploads(run: Run, scratch: Scratch) -> IncompleteUploads:
    run.around.steps.begin("listing incomplete uploads")
    return incomplete_uploads.list_uploads(
        run.clients.patient_s3, run.names, began=run.began, included=candidates.included(run.names),
        sink=scratch.store_uploads, steps=run.around.steps,
    )  # fmt: skip


def _aborts_uploads(run: Run, scratch: Scratch, result: SweepResult, earlier: EarlierLists) -> bool:
    """Whether there are incomplete uploads that mode Delete aborts."""
    since = earlier.known_since(run.table.table_id)
    may_abort = incomplete_uploads.may_abort(
        result.uploads, live=result.live, table_known_seconds=0.0 if since is None else run.began - since,
        approved=result.approved,
    )  # fmt: skip
    return may_abort and scratch.uploads_number() > 0


def _scan(run: Run, sink: Sink, more: Sequence[str] = ()) -> int:
    return read_table(
        run.clients, run.names, sink, more, table=run.table, steps=run.around.steps, pause=run.around.pause
    )  # fmt: skip


class _Joined(NamedTuple):
    """largest: orphans. named_twice: keys that several records may name, although file names are unique."""

    live: int
    counts: Counts
    largest: Sequence[Stored]
    named_twice: Sequence[bytes]


def _join(run: Run, scratch: Scratch, files: Search, stored: StoredFiles) -> _Joined:
    """Takes over what the search found. Raises FailedError where that can't be."""
    may_share = run.names.tenant.table.file_names == "Shared"
    joined = files.join(named_twice=0 if may_share else shared_files.MOST)
    counts = scratch.store_orphans(
        candidates.checked(files.orphans(), candidates.rules(run.names, began=run.began)), check=run.around.steps.check
    )
    if stored.too_young + joined.live + counts.orphans != stored.listed:
        raise FailedError(
            f"of {stored.listed:,} listed files, {stored.too_young:,} are too young, {joined.live:,} have a record and "
            f"{counts.orphans:,} have none, which is not their sum, so no orphan was erased"
        )
    scratch.spare_uploads(files.named_among)
    return _Joined(joined.live, counts, scratch.largest(_LARGEST), joined.named_twice)


def _shared(run: Run, suspected: Sequence[bytes]) -> tuple[str, ...]:
    if not suspected:
        return ()
    return shared_files.really_shared(
        run.clients, run.names, suspected, table=run.table, scan=partial(_scan, run), pause=run.around.pause
    )


def _compare(run: Run, scratch: Scratch) -> EarlierLists:
    return earlier_lists.compare(
        run.clients, run.names, scratch, steps=run.around.steps, approved_sha256=run.around.approved,
        table_id=run.table.table_id, began=run.began,
    )  # fmt: skip


def _facts(run: Run, result: SweepResult, earlier: EarlierLists, *, other_claims: Sequence[str]) -> Facts:
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
    run: Run, scratch: Scratch, result: SweepResult, *, failed: Sequence[SafetyCheck], at: float
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
