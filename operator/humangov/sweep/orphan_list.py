"""What a sweep saw, stored in the bucket: one gzip file of JSON lines per run, from the head to the end line.

{prefix}.humangov/sweeps/{S3's time}-{run}.jsonl.gz. A person approves this list, and the next sweep compares with it.
No sweep counts it as a file of the tenant.
"""

from __future__ import annotations

import gzip
import hashlib
import heapq
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from humangov.api.names import Names
from humangov.api.sweep_schedule import sightings_last
from humangov.aws.error_words import without_names
from humangov.aws.s3_codes import NOT_FOUND
from humangov.cleanup.calls import error_code
from humangov.reading.progress import FailedError
from humangov.sweep import list_lines
from humangov.sweep.incomplete_uploads import Upload
from humangov.sweep.list_lines import STORED_BYTES, ForgedError
from humangov.sweep.listing import Stored

FOLDER = ".humangov/sweeps/"
SUFFIX = ".jsonl.gz"

MOST_LISTS = 1000
"""As many as one sweep reads, the youngest first."""

_FORMAT = 1
_CHECKED_LINES = 10_000
_STORED_AS = {"failed_checks": "safetyChecks", "incomplete_uploads": "incompleteUploads"}
"""Field names that differ in the stored format."""


class Sighting(NamedTuple):
    """An orphan in an orphan list.

    since: when the first sweep saw it, in seconds since the epoch, if it was uploaded in parts; None: not known.
    alike: the key that a record names that names no file of the bucket, if it may mean this orphan.
    """

    stored: Stored
    since: float | None
    alike: str | None = None


def counts_for_seconds(names: Names) -> float:
    """How long a list of this tenant's is a valid sighting, and so keeps its names at least."""
    return sightings_last(names.tenant.sweep).total_seconds()


@dataclass(frozen=True, kw_only=True)
class OrphanListHead:
    """The list's first line. Times: S3's, in seconds since the epoch; the sighting ended at `at`.

    sighting: whether it is a valid sighting. It is not if a safety check found the scan unreliable.
    incomplete_uploads: how many there are; None: not known.
    """

    tenant: str
    table: str
    table_id: str
    bucket: str
    key_prefix: str
    run: str
    mode: str
    at: float
    include: tuple[str, ...]
    minimum_age_seconds: int
    records: int
    listed: int
    too_young: int
    live: int
    orphans: int
    orphan_bytes: int
    shared: tuple[str, ...]
    failed_checks: tuple[str, ...]
    sighting: bool
    incomplete_uploads: int | None = None


@dataclass(frozen=True, kw_only=True)
class OrphanList:
    """An orphan list in the bucket. sha256: of the object as it is stored, in hex."""

    key: str
    sha256: str
    head: OrphanListHead


def key_of(head: OrphanListHead) -> str:
    moment = datetime.fromtimestamp(head.at, UTC)
    return f"{head.key_prefix}{FOLDER}{moment:%Y-%m-%dT%H-%M-%SZ}-{head.run}{SUFFIX}"


def write(
    s3: Any, head: OrphanListHead, orphans: Iterable[Sighting], uploads: Iterable[Upload], *, owner: str, folder: Path
) -> OrphanList:
    """Writes it to the bucket, never over another.

    orphans: sorted by key. uploads: incomplete ones, old enough to be aborted, to keys that no record names. owner: the
    bucket's account. Raises what the SDK raises.
    """
    path = folder / "orphans.jsonl.gz"
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        packed.write(_line({"orphanList": _FORMAT, **_stored(head)}))
        number = 0
        for one in orphans:
            packed.write(_entry(one))
            number += 1
        for upload in uploads:
            packed.write(
                _line({"uploadOf": upload.key, "uploadID": upload.upload_id, "initiated": upload.initiated})
            )  # fmt: skip
            number += 1
        packed.write(_line({"end": number}))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        s3.put_object(
            Bucket=head.bucket, Key=key_of(head), Body=file, ContentType="application/gzip",
            IfNoneMatch="*", ExpectedBucketOwner=owner,
        )  # fmt: skip
    return OrphanList(key=key_of(head), sha256=digest, head=head)


def keys_between(s3: Any, names: Names, *, since: datetime, until: datetime) -> Iterator[str]:
    """What is beside this tenant's lists, the lists too, by the times in their names, in UTC and to the second.

    Raises what the SDK raises.
    """
    prefix = f"{names.tenant.bucket.key_prefix}{FOLDER}"
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=names.tenant.bucket.name, Prefix=prefix, StartAfter=f"{prefix}{since:%Y-%m-%dT%H-%M-%SZ}",
        ExpectedBucketOwner=names.identity.account_id,
    )  # fmt: skip
    end = f"{prefix}{until:%Y-%m-%dT%H-%M-%SZ}.."
    keys = (one["Key"] for page in pages for one in page.get("Contents") or ())
    return itertools.takewhile(lambda key: key < end, keys)


def earlier(
    s3: Any, names: Names, *, now: float, folder: Path, check: Callable[[], None] = lambda: None
) -> Iterator[tuple[OrphanList, Path]]:
    """This tenant's orphan lists that count as sightings, the youngest first, each with the local file that has it.

    Whatever else is there, or is no list that a sweep has written, is passed over. check: called often; raises to stop.
    Raises what the SDK raises, and FailedError.
    """
    since = datetime.fromtimestamp(now - counts_for_seconds(names), UTC)
    keys = keys_between(s3, names, since=since, until=datetime.fromtimestamp(now, UTC))
    lists = heapq.nlargest(MOST_LISTS, (key for key in keys if key.endswith(SUFFIX)))
    for number, key in enumerate(lists):
        path = folder / f"earlier-{number}{SUFFIX}"
        found = fetch(s3, names, key=key, path=path, check=check)
        if found is not None and since.timestamp() <= found.head.at <= now:
            yield found, path
        path.unlink(missing_ok=True)


def fetch(
    s3: Any,
    names: Names,
    *,
    key: str,
    path: Path,
    version_id: str | None = None,
    check: Callable[[], None] = lambda: None,
) -> OrphanList | None:
    """The tenant's orphan list under this key, copied to `path`; None if it is none, another's, too large, or gone.

    Raises what the SDK raises, FailedError if the connection was cut off, and what `check` raises.
    """
    bucket, owner = names.tenant.bucket.name, names.identity.account_id
    version = {} if version_id is None else {"VersionId": version_id}
    digest, size = hashlib.sha256(), 0
    try:
        answer = s3.get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner, **version)
        with path.open("wb") as file:
            for chunk in answer["Body"].iter_chunks(1 << 20):
                check()
                size += len(chunk)
                if size > STORED_BYTES:
                    return None
                digest.update(chunk)
                file.write(chunk)
    except ClientError as error:
        if error_code(error) in NOT_FOUND:
            return None
        raise
    except BotoCoreError as error:  # cut off within the body
        raise FailedError(f"reading {key} in bucket {bucket} was interrupted: {without_names(error)}") from error
    head = _head(path, check)
    if head is None or (head.tenant, head.bucket) != (names.owner, bucket) or key_of(head) != key:
        return None
    return OrphanList(key=key, sha256=digest.hexdigest(), head=head)


def read(path: Path, head: OrphanListHead) -> Iterator[Sighting]:
    """The orphans in a list that `earlier` fetched, each with its first sighting: in this list, if not before."""
    for line in map(list_lines.parsed, list_lines.lines(path)):
        if "key" in line:
            yield Sighting(list_lines.stored_of(line), line.get("since", head.at))


def _stored(head: OrphanListHead) -> dict[str, Any]:
    return {_STORED_AS.get(name, name): value for name, value in asdict(head).items()}


def _head(path: Path, check: Callable[[], None]) -> OrphanListHead | None:
    """The head of a complete list; None for anything else. Every line is looked at."""
    first: Mapping[str, Any] | None = None
    last: Mapping[str, Any] = {}
    number = -1
    try:
        for last in map(list_lines.parsed, list_lines.lines(path)):
            first = first or last
            number += 1
            if "key" in last:
                list_lines.stored_of(last)
            if number % _CHECKED_LINES == 0:
                check()
        if first is None or first.get("orphanList") != _FORMAT or last.get("end") != number - 1:
            return None
        return OrphanListHead(**_head_values(first))
    except ForgedError:
        return None


def _head_values(line: Mapping[str, Any]) -> dict[str, Any]:
    """Raises ForgedError. What an earlier version did not write has its default."""
    values = {}
    for field in fields(OrphanListHead):
        value = line.get(_STORED_AS.get(field.name, field.name), MISSING)
        if value is MISSING and field.default is not MISSING:
            continue
        if not list_lines.VALID[str(field.type)](value):
            raise ForgedError(f"{field.name} is missing, or not of its type")
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return values


def _entry(sighting: Sighting) -> bytes:
    """One that has too many versions for a line is listed without them and their ETags: a sighting of nothing."""
    one = sighting.stored
    since = {} if sighting.since is None else {"since": sighting.since}
    spelled = {} if sighting.alike is None else {"alike": sighting.alike}
    plain = {
        "key": one.key, "etag": one.etag, "size": one.size, "modified": one.modified, **spelled, **since,
    }  # fmt: skip
    if not one.versions:
        return _line(plain)
    line = _line({**plain, "versions": [list(version) for version in one.versions]})
    return line if list_lines.fits(line[:-1]) else _line({**plain, "etag": ""})


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
