"""What a sweep has begun: the files of a batch, stored in the bucket until their outcomes are in the log.

If the run ends between, or does not know what became of a file, the next sweep looks what is there, and stores the
outcomes: no delivery comes once more for a sweep. It erases nothing for them, so an
object that somebody else has written there can't do more than add lines that are true.

{prefix}.humangov/begun/{run}-{part}.json, and never a key of a file: `.humangov/` is reserved.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from humangov.api.names import Names
from humangov.aws.s3_codes import NOT_FOUND
from humangov.cleanup.calls import Calls, error_code
from humangov.cleanup.outcomes import ABSENT, KEPT_NEWER, FileOutcome, FileResult
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.cleanup.references import MAXIMUM_KEY_BYTES, is_reserved
from humangov.cleanup.versions import NULL, list_versions
from humangov.sweep.list_lines import is_count, is_text
from humangov.sweep.listing import Stored
from humangov.sweep.receipts import SweepReceipts

FOLDER = ".humangov/begun/"
SETTLED_AFTER_SECONDS = 15 * 60
"""A batch takes seconds. What is younger may be that of a sweep that runs at the same time."""

KEPT_INTERRUPTED = FileOutcome("kept", "interrupted")
"""The file is there, as old as it was when a sweep was about to erase it, and then ended or failed."""

MARKERS_LEFT = FileOutcome("absent", "delete markers are left")
"""No data is under the key."""

MOST_FILES = 100
"""Of a batch. Whatever has more, no sweep has written."""

_FORMAT = 1
_LIMIT_BYTES = 1024 * 1024


class BegunObject(NamedTuple):
    """The object of a batch, as S3 answered when it was written or read. version_id: None without versions."""

    key: str
    etag: str
    version_id: str | None


class BegunFile(NamedTuple):
    """A file of a batch. modified: as in Stored."""

    key: str
    modified: int


@dataclass(frozen=True, kw_only=True)
class BegunBatch:
    """What a run wrote down before it stored the intents. orphan_list: the key of the list that it erased from."""

    run: str
    orphan_list: str
    files: Sequence[BegunFile]


def write(s3: Any, names: Names, *, run: str, part: str, orphan_list: str, batch: Sequence[Stored]) -> BegunObject:
    """part: of the run, once. Raises what the SDK raises."""
    key = f"{names.tenant.bucket.key_prefix}{FOLDER}{run}-{part}.json"
    document = {
        "begun": _FORMAT, "tenant": names.owner, "run": run, "orphanList": orphan_list,
        "files": [[one.key, one.modified] for one in batch],
    }  # fmt: skip
    answer = s3.put_object(
        **_bucket(names), Key=key, Body=json.dumps(document, ensure_ascii=False).encode(),
        ContentType="application/json",
    )  # fmt: skip
    return _object(key, answer)


def remove(s3: Any, names: Names, one: BegunObject, *, versioned: bool) -> None:
    """Its batch has all outcomes. What S3 does not remove is settled once more by the next sweep: that is harmless."""
    where = {**_bucket(names), "Key": one.key}
    as_read = {**where, "IfMatch": one.etag}
    first = {**where, "VersionId": one.version_id or NULL} if versioned else as_read
    with contextlib.suppress(ClientError, BotoCoreError):
        try:
            s3.delete_object(**first)
        except ClientError:
            # Object Lock retains the version: a delete marker hides it. Or this S3 has no conditional deletes.
            s3.delete_object(**(as_read if versioned else where))


def unsettled(s3: Any, names: Names, *, now: float) -> Iterator[tuple[BegunObject, BegunBatch]]:
    """The batches that earlier runs of this tenant have begun, and not ended. now: S3's, in seconds since the epoch.

    What is none of this tenant's batches is passed over. Raises what the SDK raises.
    """
    prefix = f"{names.tenant.bucket.key_prefix}{FOLDER}"
    for page in s3.get_paginator("list_objects_v2").paginate(**_bucket(names), Prefix=prefix):
        for one in page.get("Contents") or ():
            is_old = one["LastModified"] <= datetime.fromtimestamp(now - SETTLED_AFTER_SECONDS, UTC)
            found = _read(s3, names, one["Key"]) if is_old and one["Size"] <= _LIMIT_BYTES else None
            if found is not None:
                yield found


def settle(batch: BegunBatch, names: Names, *, run: str, calls: Calls, receipts: ReceiptLog) -> Counter[FileOutcome]:
    """Stores an outcome of each of its files: of what is so now. run: the run that settles.

    Raises NoReceiptError, and what the SDK raises if a file can't be looked at.
    """
    lines = SweepReceipts(names=names, run=batch.run, orphan_list=batch.orphan_list)
    results = [_present(one, names=names, calls=calls) for one in batch.files]
    at = calls.now()
    receipts.write(
        lines.settlement(one.key, result, at=at, settled_by=run)
        for one, result in zip(batch.files, results, strict=True)
    )
    return Counter(result.outcome for result in results)


def _present(one: BegunFile, *, names: Names, calls: Calls) -> FileResult:
    left = list_versions(calls, bucket=names.tenant.bucket.name, key=one.key)
    data = [version for version in left if not version.is_marker]
    if not data:
        return FileResult(MARKERS_LEFT, left=len(left)) if left else FileResult(ABSENT)
    as_old = any(int(version.modified.timestamp()) <= one.modified for version in data)
    return FileResult(KEPT_INTERRUPTED if as_old else KEPT_NEWER, left=len(left))


def _read(s3: Any, names: Names, key: str) -> tuple[BegunObject, BegunBatch] | None:
    try:
        answer = s3.get_object(**_bucket(names), Key=key)
    except ClientError as error:
        if error_code(error) in NOT_FOUND:
            return None
        raise
    batch = _parsed(answer["Body"].read(_LIMIT_BYTES), names)
    return None if batch is None else (_object(key, answer), batch)


def _parsed(body: bytes, names: Names) -> BegunBatch | None:
    """None of anything that `write` has not written for this tenant."""
    try:
        found = json.loads(body)
        if found["begun"] != _FORMAT or found["tenant"] != names.owner:
            return None
        entries, run, orphan_list = found["files"], found["run"], found["orphanList"]
        if not (is_text(run) and is_text(orphan_list) and len(entries) <= MOST_FILES and all(map(_is_file, entries))):
            return None
        files = tuple(BegunFile(key, modified) for key, modified in entries)
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    batch, prefix = BegunBatch(run=run, orphan_list=orphan_list, files=files), names.tenant.bucket.key_prefix
    is_own = all(one.key.startswith(prefix) and not is_reserved(one.key, key_prefix=prefix) for one in files)
    return batch if is_own else None


def _is_file(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 2:
        return False
    key, modified = entry
    return is_text(key) and 0 < len(key.encode()) <= MAXIMUM_KEY_BYTES and is_count(modified)


def _object(key: str, answer: Mapping[str, Any]) -> BegunObject:
    return BegunObject(key, answer["ETag"], answer.get("VersionId"))


def _bucket(names: Names) -> dict[str, str]:
    return {"Bucket": names.tenant.bucket.name, "ExpectedBucketOwner": names.identity.account_id}
