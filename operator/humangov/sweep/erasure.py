"""Erases confirmed orphans: exactly the objects, or the versions, that were seen, and nothing newer.

In a bucket without versions: a conditional delete by ETag. A test object shows whether S3 honours the condition; if
not, each object is checked just before. In a bucket with versions: exactly the versions that were seen.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.aws.error_words import without_names
from humangov.cleanup import receipt_lines
from humangov.cleanup.calls import Calls, Line, error_code
from humangov.cleanup.erase import erase_versions
from humangov.cleanup.outcomes import ABSENT, ERASED, KEPT_NEWER, FileOutcome, FileResult, OutcomeKind, failed
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.cleanup.versions import NULL, Version, list_versions
from humangov.reading.progress import FailedError, Steps
from humangov.sweep.listing import Stored
from humangov.sweep.orphan_list import FOLDER

BATCH = 100
AT_ONCE = 16
WITHIN_SECONDS = 15 * 60
"""Maximum age of the second scan when the last file is erased."""

_LATE = "the second scan is more than 15 minutes old, so the next sweep handles the rest"
_CHANGED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_NOT_FOUND = ("NoSuchKey", "404", "NoSuchVersion")
_UNKNOWN = ("NotImplemented", "501")


@dataclass(frozen=True, kw_only=True)
class ErasureResult:
    """Number of files by outcome.

    unfinished   why files remain
    stopped      somebody stopped it; unfinished says who
    conditional  whether this S3 honours the condition of a delete
    """

    outcomes: Counter[FileOutcome] = field(default_factory=Counter)
    erased_bytes: int = 0
    unfinished: str | None = None
    stopped: bool = False
    conditional: bool = True

    def count(self, kind: OutcomeKind) -> int:
        return sum(number for outcome, number in self.outcomes.items() if outcome.kind == kind)


def erase(
    confirmed: Sequence[Stored],
    *,
    names: Names,
    run: str,
    listed_in: str,
    versioned: bool,
    calls: Calls,
    patient_s3: Any,
    receipts: ReceiptLog,
    steps: Steps,
    may_go_on: Callable[[], str | None],
) -> Iterator[ErasureResult]:
    """Erases them in batches, with a receipt before and after each. listed_in: the orphan list's key.

    Yields the result so far after each batch: whatever ends the run, what was erased until then is counted. may_go_on:
    called before every batch; returns the reason to stop, or None. Raises NoReceiptError.
    """
    conditional = versioned or not confirmed or _honours_conditions(patient_s3, names, run)
    result = ErasureResult(conditional=conditional)
    started = calls.now()
    steps.begin("erasing", total=len(confirmed))
    line = partial(_line, names=names, run=run, listed_in=listed_in)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="erase") as pool:
        for first in range(0, len(confirmed), BATCH):
            late = calls.now() - started > WITHIN_SECONDS
            if (reason := may_go_on()) is not None:
                yield replace(result, unfinished=reason, stopped=True)
                return
            if late:
                yield replace(result, unfinished=_LATE)
                return
            batch = confirmed[first : first + BATCH]
            receipts.write(line(one, "intent") for one in batch)
            if versioned:
                results = _versions(batch, names=names, calls=calls, pool=pool)
            else:
                results = list(pool.map(partial(_one, names=names, calls=calls, conditional=conditional), batch))
            at = calls.now()
            result = _with_batch(result, batch, results)
            yield result
            receipts.write(
                {**line(one, "outcome"), **receipt_lines.result_fields(of_one, at=at), "announced": True}
                for one, of_one in zip(batch, results, strict=True)
            )
            steps.add(len(batch))
            if any(of_one.outcome == _VERSIONS_NOW for of_one in results):
                yield replace(result, unfinished=_VERSIONS_SINCE)
                return
    yield result


_VERSIONS_NOW = failed("VersioningChanged")
_VERSIONS_SINCE = "versioning was enabled during the sweep; the next sweep lists the versions"


def _with_batch(result: ErasureResult, batch: Sequence[Stored], results: Sequence[FileResult]) -> ErasureResult:
    erased = sum(one.size for one, of_one in zip(batch, results, strict=True) if of_one.outcome == ERASED)
    outcomes = result.outcomes + Counter(of_one.outcome.undated for of_one in results)
    return replace(result, outcomes=outcomes, erased_bytes=result.erased_bytes + erased)


def _one(one: Stored, *, names: Names, calls: Calls, conditional: bool) -> FileResult:
    """Erases one object if it is unchanged."""
    where = {
        "Bucket": names.tenant.bucket.name, "Key": one.key, "ExpectedBucketOwner": names.identity.account_id,
    }  # fmt: skip
    as_seen = {**where, "IfMatch": one.etag}
    try:
        if not conditional:
            calls.attempt(calls.s3.head_object, **as_seen)  # type: ignore[attr-defined] # the function never needs it
        answer = calls.attempt(calls.s3.delete_object, **(as_seen if conditional else where))
    except ClientError as error:
        code = error_code(error)
        if code in _CHANGED:
            return FileResult(KEPT_NEWER)
        return FileResult(ABSENT if code in _NOT_FOUND else failed(calls.failed("DeleteObject", error)))
    except Exception as error:
        return FileResult(failed(calls.failed("DeleteObject", error)))
    # A marker hides the file and erases nothing.
    return FileResult(_VERSIONS_NOW if answer.get("DeleteMarker") else ERASED)


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
        present = list_versions(calls, bucket=bucket, key=one.key)
    except Exception as error:
        return failed(calls.failed("ListObjectVersions", error))
    now = {(version.version_id, int(version.modified.timestamp()), version.is_marker) for version in present}
    if not now:
        return ABSENT
    return None if now == {version[:3] for version in one.versions} else KEPT_NEWER


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
        if error_code(error) in _UNKNOWN:
            s3.delete_object(**where)
            return False
        if error_code(error) not in _CHANGED:
            raise FailedError(f"a conditional delete of {key} failed: {without_names(error)}") from error
        s3.delete_object(**where, IfMatch=etag)
        return True
    return False


def _line(one: Stored, kind: str, *, names: Names, run: str, listed_in: str) -> Line:
    return {
        "receipt": kind,
        "tenant": names.owner,
        "bucket": names.tenant.bucket.name,
        "key": one.key,
        "record_key": {},
        "event_id": f"sweep {run}",
        "sequence_number": "",
        "event": "SWEEP",
        "expired": False,
        "deleted_at": None,
        "manifest": listed_in,
    }


def lines_ignored(_lines: Iterable[Line]) -> None:
    """Discards the log of failed calls: the outcome's line has the code."""
