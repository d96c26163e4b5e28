"""The end of a sweep in mode Delete: the table is read once more, then what still no record names is erased."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from humangov.cleanup.receipt_log import ReceiptLog
from humangov.reading.named_files import require_same_table
from humangov.reading.progress import FailedError
from humangov.reading.table_reading import TableReading
from humangov.sweep import bucket_claim, erasure, incomplete_uploads
from humangov.sweep.erasure import ErasureResult
from humangov.sweep.incomplete_uploads import IncompleteUploads
from humangov.sweep.receipts import SweepReceipts
from humangov.sweep.result import SweepResult
from humangov.sweep.safety_checks import SHRUNKEN_PERCENT
from humangov.sweep.scratch_db import Scratch
from humangov.sweep.surroundings import ReadOn, Run, calls_of, read, receipts_of

_TOO_OLD = "the scan of the table began more than 15 minutes ago, so the next sweep handles the rest"


def erase(
    run: Run, scratch: Scratch, result: SweepResult, *, listed_in: str, aborts: bool
) -> Iterator[SweepResult]:  # fmt: skip
    """Reads the table a second time, then erases the files that still no record names.

    listed_in: the orphan list's key. aborts: incomplete uploads are aborted too.
    """
    if reason := run.around.may_erase():
        yield replace(result, erased=ErasureResult(unfinished=reason, stopped=True))
        return
    alone = bucket_claim.still_alone(run.clients.patient_s3, run.names, now=run.around.now)
    alone()
    reading = _read_again(run, scratch, result)
    spared, scan_alone = result.confirmed - scratch.confirmed_number(), reading.scan_alone or result.scan_alone
    result = replace(result, spared=spared, scan_alone=scan_alone)
    yield result
    receipts = receipts_of(run)
    receipts.open()
    result = replace(result, log_stream=receipts.stream_name)
    yield result

    def may_go_on() -> str | None:
        alone()
        return run.around.may_erase()

    of_run = SweepReceipts(names=run.names, run=result.run, orphan_list=listed_in, approver=result.approver)
    several = erasure.erase(
        scratch, of_run=of_run, versioned=run.versioned, calls=calls_of(run),
        patient_s3=run.clients.patient_s3, receipts=receipts, steps=run.around.steps,
        read_on=partial(_read_on, run, reading), may_go_on=may_go_on,
    )  # fmt: skip
    for erased in several:
        result = replace(
            result, erased=erased, spared=spared + erased.spared, scan_alone=reading.scan_alone or scan_alone
        )  # fmt: skip
        yield result
    if aborts and result.erased.unfinished is None:
        several_uploads = _abort_uploads(
            run, scratch, result, receipts, reading=reading, listed_in=listed_in, may_go_on=may_go_on
        )
        for uploads in several_uploads:
            yield replace(result, uploads=uploads, scan_alone=reading.scan_alone or scan_alone)


def _abort_uploads(
    run: Run,
    scratch: Scratch,
    result: SweepResult,
    receipts: ReceiptLog,
    *,
    reading: TableReading,
    listed_in: str,
    may_go_on: Callable[[], str | None],
) -> Iterator[IncompleteUploads]:
    """What the files have left of the erasures that one sweep may make."""
    return incomplete_uploads.abort(
        scratch.take_uploads, result.uploads, names=run.names, run=result.run, listed_in=listed_in,
        most=run.names.tenant.sweep.maximum_erasures - result.erased.charged,
        s3=run.clients.s3, calls=calls_of(run), receipts=receipts,
        read_on=partial(_read_on, run, reading), may_go_on=may_go_on, waiting=scratch.uploads_number,
    )  # fmt: skip


def _read_again(run: Run, scratch: Scratch, result: SweepResult) -> TableReading:
    """Spares files that a record names now. Raises FailedError if the reading is unreliable."""
    reading = read(
        run, scratch.spare, keep_since=scratch.spare_keys, stage="reading the table again", total=result.records
    )  # fmt: skip
    require_same_table(run.clients, run.names, table=run.table)
    if reading.records < result.records * SHRUNKEN_PERCENT / 100:
        raise FailedError(
            f"the first scan read {result.records:,} records, the second only {reading.records:,}, so no orphan "
            "was erased"
        )
    return reading


def _read_on(run: Run, reading: TableReading) -> ReadOn:
    """The second reading, as of now: what records name by now is spared."""
    reading.read_on()
    too_old = reading.is_too_old(now=run.around.now())
    return ReadOn(is_snapshot=reading.scan_alone is None, too_old=_TOO_OLD if too_old else None)
