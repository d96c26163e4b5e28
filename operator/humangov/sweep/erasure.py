"""Erases confirmed orphans: exactly the objects, or the versions, that were seen, and nothing newer.

In a bucket without versions: each object is looked at just before, then a conditional delete by ETag, where S3 honours
the condition; a test object shows that. An ETag is content: only the date tells the same bytes, uploaded again, from
those that were listed. In a bucket with versions: exactly the versions that were seen.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.aws.error_words import without_names
from humangov.aws.s3_codes import CONDITION_FAILED, NOT_FOUND, NOT_IMPLEMENTED
from humangov.cleanup.calls import Calls, error_code
from humangov.cleanup.erase import erase_versions, undo_markers
from humangov.cleanup.outcomes import ABSENT, ERASED, KEPT_NEWER, FileOutcome, FileResult, OutcomeKind, failed
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.cleanup.versions import NULL, Version, list_entries
from humangov.reading.progress import FailedError, Steps
from humangov.sweep import begun_batch
from humangov.sweep.listing import Stored, of_versions
from humangov.sweep.orphan_list import FOLDER
from humangov.sweep.receipts import SweepReceipts
from humangov.sweep.scratch_db import Scratch
from humangov.sweep.surroundings import ReadOn

BATCH = 100
AT_ONCE = 16
_REFUSED = {"403": "AccessDenied"}
"""The answer to a HEAD has no body, so the SDK knows only its status."""


@dataclass(frozen=True, kw_only=True)
class ErasureResult:
    """Number of files by outcome.

    charged      files that spec.sweep.maximumErasures counts: erased in whole or part, or perhaps, after a failure
    unfinished   why files remain
    stopped      somebody stopped it; unfinished says who
    spared       named by a record that was written just before their batch: not begun
    conditional  whether this S3 honours the condition of a delete
    """

    outcomes: Counter[FileOutcome] = field(default_factory=Counter)
    charged: int = 0
    erased_bytes: int = 0
    unfinished: str | None = None
    stopped: bool = False
    spared: int = 0
    conditional: bool = True

    def count(self, kind: OutcomeKind) -> int:
        return sum(number for outcome, number in self.outcomes.items() if outcome.kind == kind)


def erase(
    confirmed: Scratch,
    *,
    of_run: SweepReceipts,
    versioned: bool,
    calls: Calls,
    patient_s3: Any,
    receipts: ReceiptLog,
    steps: Steps,
    read_on: Callable[[], ReadOn],
    may_go_on: Callable[[], str | None],
) -> Iterator[ErasureResult]:
    """Erases them in batches, with a receipt before and after each. of_run: the lines of these receipts.

    Yields the result so far after each batch: whatever ends the run, what was erased until then is counted. Before
    every batch it calls read_on, which spares what records name by then, and may_go_on, which returns the reason to
    stop, or None. A batch is taken after that. Raises NoReceiptError, what read_on raises, and what the SDK raises if
    S3 does not take what `begun_batch` writes: then nothing of the batch is erased.
    """
    total, names, run = confirmed.confirmed_number(), of_run.names, of_run.run
    conditional = versioned or not total or _honours_conditions(patient_s3, names, run)
    result = ErasureResult(conditional=conditional)
    steps.begin("erasing", total=total)
    erase_batch = partial(_batch_results, names=names, calls=calls, versioned=versioned, conditional=conditional)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="erase") as pool:
        for number in itertools.count():
            before = confirmed.confirmed_number()
            if not before:
                break
            reading = read_on()
            result = replace(result, spared=result.spared + before - confirmed.confirmed_number())
            if (reason := may_go_on()) is not None:
                yield replace(result, unfinished=reason, stopped=True)
                return
            if reason := (reading.too_old or _why_enough(result, confirmed, names)):
                yield replace(result, unfinished=reason)
                return
            batch = confirmed.take_confirmed(min(BATCH, names.tenant.sweep.maximum_erasures - result.charged))
            if not batch:
                break
            lines = replace(of_run, reading=reading.kind)
            write_begun = partial(begun_batch.write, patient_s3, names, run=run, orphan_list=of_run.orphan_list)
            stored = write_begun(part=str(number), batch=batch)
            receipts.write(lines.intent(one.key) for one in batch)
            results = erase_batch(batch, pool=pool)
            at = calls.now()
            result = _with_batch(result, batch, results)
            yield result
            receipts.write(lines.outcome(one.key, of_one, at=at) for one, of_one in zip(batch, results, strict=True))
            if unknown := [one for one, of_one in zip(batch, results, strict=True) if _is_unknown(of_one)]:
                write_begun(part=f"{number}-unknown", batch=unknown)
            begun_batch.remove(patient_s3, names, stored, versioned=versioned)
            steps.add(len(batch))
            if any(of_one.outcome == _VERSIONS_NOW for of_one in results):
                yield replace(result, unfinished=_VERSIONS_SINCE)
                return
    yield result


def _why_enough(result: ErasureResult, confirmed: Scratch, names: Names) -> str | None:
    """Why nothing more is erased although files are left, or None. What S3 retains is limited by nothing."""
    limit, left = names.tenant.sweep.maximum_erasures, confirmed.confirmed_number()
    if not left or max(result.charged, result.count("failed")) < limit:
        return None
    return f"the next sweep handles the other {left:,} (spec.sweep.maximumErasures is {limit:,})"


def _batch_results(
    batch: Sequence[Stored],
    *,
    names: Names,
    calls: Calls,
    versioned: bool,
    conditional: bool,
    pool: ThreadPoolExecutor,
) -> Sequence[FileResult]:
    """A result of each file; an unexpected error fails all of them, as what became of them is not known."""
    try:
        if versioned:
            return _versions(batch, names=names, calls=calls, pool=pool)
        return list(pool.map(partial(_one, names=names, calls=calls, conditional=conditional), batch))
    except Exception as error:
        return [FileResult(failed(type(error).__name__))] * len(batch)


_VERSIONS_NOW = failed("VersioningChanged")
_VERSIONS_SINCE = "versioning was enabled during the sweep; the next sweep lists the versions"
_DENIED = failed("AccessDenied")


def _with_batch(result: ErasureResult, batch: Sequence[Stored], results: Sequence[FileResult]) -> ErasureResult:
    erased = sum(one.size for one, of_one in zip(batch, results, strict=True) if of_one.outcome == ERASED)
    outcomes = result.outcomes + Counter(of_one.outcome.undated for of_one in results)
    charged = result.charged + sum(map(_is_charged, results))
    return replace(result, outcomes=outcomes, charged=charged, erased_bytes=result.erased_bytes + erased)


def _is_charged(result: FileResult) -> bool:
    """Whether anything of the file was erased, or may have been."""
    return result.outcome == ERASED or bool(result.versions) or _is_unknown(result)


def _is_unknown(result: FileResult) -> bool:
    """Whether the file may have been erased, although nobody has said so."""
    return result.outcome.kind == "failed" and result.outcome != _DENIED


def _one(one: Stored, *, names: Names, calls: Calls, conditional: bool) -> FileResult:
    """Erases one object if it is unchanged."""
    where = {
        "Bucket": names.tenant.bucket.name, "Key": one.key, "ExpectedBucketOwner": names.identity.account_id,
    }  # fmt: skip
    action = "HeadObject"
    try:
        # Without a condition of its own: some S3 ignores it here too, so its answer alone counts.
        head = calls.attempt(calls.s3.head_object, **where)  # type: ignore[attr-defined] # the function never needs it
        if not _is_as_listed(one, head):
            return FileResult(KEPT_NEWER)
        action = "DeleteObject"
        answer = calls.attempt(calls.s3.delete_object, **where, **({"IfMatch": one.etag} if conditional else {}))
    except ClientError as error:
        code = error_code(error)
        if code in CONDITION_FAILED:
            return FileResult(KEPT_NEWER)
        return FileResult(ABSENT if code in NOT_FOUND else failed(_REFUSED.get(calls.failed(action, error), code)))
    except Exception as error:
        return FileResult(failed(calls.failed(action, error)))
    if not answer.get("DeleteMarker"):
        return FileResult(ERASED)
    # A marker erases nothing, and hides the file, or one that was uploaded meanwhile.
    undo_markers(calls, bucket=where["Bucket"], markers={one.key: str(answer.get("VersionId") or NULL)})
    return FileResult(_VERSIONS_NOW)


def _is_as_listed(one: Stored, head: Mapping[str, Any]) -> bool:
    """Whether this is the object that was listed. An answer that does not tell is none of it."""
    modified = head.get("LastModified")
    return head.get("ETag") == one.etag and modified is not None and int(modified.timestamp()) == one.modified


def _versions(batch: Sequence[Stored], *, names: Names, calls: Calls, pool: ThreadPoolExecutor) -> list[FileResult]:
    bucket = names.tenant.bucket.name
    outcomes: dict[str, FileResult] = {}
    # `null` names whatever was last written without a version: it may be another object now.
    unsure = [one for one in batch if any(version.version_id == NULL for version in one.versions)]
    for one, changed in zip(unsure, pool.map(partial(_has_changed, bucket=bucket, calls=calls), unsure), strict=True):
        if changed is not None:
            outcomes[one.key] = FileResult(changed)
    seen = {
        one.key: tuple(
            Version(version.version_id, datetime.fromtimestamp(version.modified, UTC), version.is_marker)
            for version in one.versions
        )
        for one in batch if one.key not in outcomes
    }  # fmt: skip
    outcomes |= erase_versions(calls, bucket=bucket, seen=seen)
    return [outcomes[one.key] for one in batch]


def _has_changed(one: Stored, *, bucket: str, calls: Calls) -> FileOutcome | None:
    """The outcome if S3 no longer holds exactly what was seen under the key; else None."""
    try:
        present = list_entries(calls, bucket=bucket, key=one.key)
    except Exception as error:
        return failed(calls.failed("ListObjectVersions", error))
    if not present:
        return ABSENT
    return None if of_versions(one.key, present) == one else KEPT_NEWER


def _honours_conditions(s3: Any, names: Names, run: str) -> bool:
    """Whether this S3 rejects a delete with a wrong ETag, tested on an object of the sweep's. Raises as the SDK."""
    key = f"{names.tenant.bucket.key_prefix}{FOLDER}{run}.probe"
    where = {
        "Bucket": names.tenant.bucket.name, "Key": key, "ExpectedBucketOwner": names.identity.account_id,
    }  # fmt: skip
    etag = s3.put_object(**where, Body=b"")["ETag"]
    try:
        s3.delete_object(**where, IfMatch='"00000000000000000000000000000000"')
    except ClientError as error:
        if error_code(error) in NOT_IMPLEMENTED:
            s3.delete_object(**where)
            return False
        if error_code(error) not in CONDITION_FAILED:
            raise FailedError(f"a conditional delete of {key} failed: {without_names(error)}") from error
        s3.delete_object(**where, IfMatch=etag)
        return True
    return False
