"""Incomplete multipart uploads: parts of files that no listing of files shows. Counted, and in mode Delete aborted.

An upload that is neither completed nor aborted keeps its parts for ever. One that is older than a week, and whose key
no record names in both readings of the table, is aborted by its upload ID: the object under that key, if there is one,
stays as it is. https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.cleanup import receipt_lines
from humangov.cleanup.calls import Calls, Line, error_code
from humangov.cleanup.outcomes import STILL_THERE, FileOutcome, FileResult, OutcomeKind, failed
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.cleanup.references import reserved_prefixes
from humangov.reading.progress import Steps
from humangov.sweep.surroundings import ReadOn

MINIMUM_AGE_SECONDS = 7 * 86400
"""S3 knows no longest time of an upload; AWS's own lifecycle rules for them begin with a week."""

ABORTED = FileOutcome("erased", "incomplete upload")
"""In receipts: the parts of one upload, never the object under the key."""

ABSENT_UPLOAD = FileOutcome("absent", "incomplete upload")
"""S3 no longer knows the upload: it was completed, or somebody else aborted it."""

BATCH, AT_ONCE = 100, 16
_ABSENT = ("NoSuchUpload", "404")
_SLACK_SECONDS = 3600
"""A weekly sweep does not begin at the same second."""


class Upload(NamedTuple):
    """initiated: seconds since the epoch."""

    key: str
    upload_id: str
    initiated: int


@dataclass(frozen=True, kw_only=True)
class IncompleteUploads:
    """What is known of them, and what became of them.

    number      under the key prefix, without reserved keys; None: not known, and `problem` says why
    oldest      when the oldest of these began, in seconds since the epoch
    outcomes    number of uploads by outcome
    unfinished  why some that were to be aborted are left; stopped: somebody stopped it
    """

    number: int | None = None
    oldest: int | None = None
    problem: str | None = None
    outcomes: Counter[FileOutcome] = field(default_factory=Counter)
    unfinished: str | None = None
    stopped: bool = False

    def count(self, kind: OutcomeKind) -> int:
        return sum(number for outcome, number in self.outcomes.items() if outcome.kind == kind)


def list_uploads(
    s3: Any,
    names: Names,
    *,
    began: float,
    included: Callable[[str], bool],
    sink: Callable[[Sequence[Upload]], None],
    steps: Steps,
) -> IncompleteUploads:
    """Counts those under the key prefix, and hands those that may be aborted by name and age to `sink`.

    began: S3's time, in seconds since the epoch. included: whether spec.sweep.include matches a key. What can't be read
    is not known, and no reason for the sweep to fail. Raises StoppedError.
    """
    bucket, reserved = names.tenant.bucket, reserved_prefixes(names.tenant.bucket.key_prefix)
    where = {"Bucket": bucket.name, "Prefix": bucket.key_prefix, "ExpectedBucketOwner": names.identity.account_id}
    number, oldest = 0, None
    try:
        for page in _pages(s3, where):
            steps.check()
            own = [one for one in page if not one.key.startswith(reserved)]
            number += len(own)
            oldest = min([one.initiated for one in own] + ([] if oldest is None else [oldest]), default=None)
            sink([one for one in own if began - one.initiated > MINIMUM_AGE_SECONDS and included(one.key)])
    except (*SDK_ERRORS, _NoMarkerError) as error:
        return IncompleteUploads(problem=f"incomplete uploads could not be listed: {without_names(error)}")
    return IncompleteUploads(number=number, oldest=oldest)


def may_abort(found: IncompleteUploads, *, live: int, table_known_seconds: float, approved: bool) -> bool:
    """Whether they may be aborted: only where the rest shows that this table and these files belong together.

    live: files that a record names. table_known_seconds: how long ago a sweep first saw this very table; one that was
    restored or replaced since then is another. approved: a safety check failed, and a person approved the orphan list,
    which is about files.
    """
    known = table_known_seconds > MINIMUM_AGE_SECONDS - _SLACK_SECONDS
    return found.problem is None and live > 0 and known and not approved


def abort(
    unnamed: Callable[[int], Sequence[Upload]],
    found: IncompleteUploads,
    *,
    most: int,
    names: Names,
    run: str,
    listed_in: str,
    s3: Any,
    calls: Calls,
    receipts: ReceiptLog,
    read_on: Callable[[], ReadOn],
    may_go_on: Callable[[], str | None],
    waiting: Callable[[], int],
) -> Iterator[IncompleteUploads]:
    """Aborts `most` of them at most, with a receipt before and after each batch; yields the result so far.

    Before every batch it calls read_on, which reads what was written to the table since; then may_go_on, which returns
    the reason to stop, or None; then unnamed, which hands out at most so many that no record names, each once. waiting:
    how many of these are left. Raises NoReceiptError, and what read_on raises.
    """
    result, left = found, most
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="abort") as pool:
        while left > 0:
            reading = read_on()
            if (reason := may_go_on()) is not None:
                yield replace(result, unfinished=reason, stopped=True)
                return
            if reading.too_old:
                yield replace(result, unfinished=reading.too_old)
                return
            batch = unnamed(min(BATCH, left))
            if not batch:
                break
            left -= len(batch)
            line = partial(_line, names=names, run=run, listed_in=listed_in, reading=reading.kind)
            receipts.write(line(one, "intent") for one in batch)
            results = list(pool.map(partial(_one, names=names, s3=s3, calls=calls), batch))
            at = calls.now()
            result = replace(result, outcomes=result.outcomes + Counter(of_one.outcome for of_one in results))
            yield result
            receipts.write(
                {**line(one, "outcome"), **_result_fields(of_one, at=at)}
                for one, of_one in zip(batch, results, strict=True)
            )
    if number := waiting():
        limit = names.tenant.sweep.maximum_erasures
        capped = (
            f"the next sweep aborts the other {number:,} incomplete uploads (spec.sweep.maximumErasures is {limit:,})"
        )
        result = replace(result, unfinished=capped)
    yield result


def _one(one: Upload, *, names: Names, s3: Any, calls: Calls) -> FileResult:
    where = {
        "Bucket": names.tenant.bucket.name, "Key": one.key, "UploadId": one.upload_id,
        "ExpectedBucketOwner": names.identity.account_id,
    }  # fmt: skip
    try:
        calls.attempt(s3.abort_multipart_upload, **where)
    except Exception as error:
        is_absent = isinstance(error, ClientError) and error_code(error) in _ABSENT
        return FileResult(ABSENT_UPLOAD if is_absent else failed(calls.failed("AbortMultipartUpload", error)))
    # A part whose upload went on meanwhile may be stored after the abort.
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
    try:
        calls.attempt(s3.list_parts, **where, MaxParts=1)
    except Exception as error:
        is_absent = isinstance(error, ClientError) and error_code(error) in _ABSENT
        return FileResult(ABORTED if is_absent else failed(calls.failed("ListParts", error)))
    return FileResult(STILL_THERE)


class _NoMarkerError(Exception):
    """S3 truncated its listing of uploads without a valid next marker."""


def _pages(s3: Any, where: Mapping[str, str]) -> Iterator[list[Upload]]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html."""
    markers: dict[str, str] = {}
    while True:
        # A key may hold what XML can't. The SDK decodes listings of objects only.
        answer = s3.list_multipart_uploads(**where, **markers, EncodingType="url")
        decoded = unquote_plus if answer.get("EncodingType") == "url" else str
        yield [
            Upload(decoded(one["Key"]), one["UploadId"], int(one["Initiated"].timestamp()))
            for one in answer.get("Uploads") or ()
        ]
        if not answer.get("IsTruncated"):
            return
        before, markers = markers, {"KeyMarker": decoded(answer.get("NextKeyMarker") or "")}
        if answer.get("NextUploadIdMarker"):
            markers["UploadIdMarker"] = answer["NextUploadIdMarker"]
        if not markers["KeyMarker"] or markers == before:
            raise _NoMarkerError("S3 truncated its listing without a valid next marker")


def _line(one: Upload, kind: str, *, names: Names, run: str, listed_in: str, reading: str) -> Line:
    return {
        "receipt": kind,
        "tenant": names.owner,
        "bucket": names.tenant.bucket.name,
        "key": one.key,
        "upload_id": one.upload_id,
        "record_key": {},
        # A file of this key has a receipt of its own.
        "event_id": f"sweep {run}, upload {one.upload_id}",
        "sequence_number": "",
        "event": "SWEEP",
        "expired": False,
        "deleted_at": None,
        "orphan_list": listed_in,
        "reading": reading,
    }


def _result_fields(result: FileResult, *, at: float) -> Line:
    aborted = {"erased_at": receipt_lines.timestamp(at)} if result.outcome == ABORTED else {}
    return {**receipt_lines.result_fields(result, at=at), **aborted, "announced": True}
