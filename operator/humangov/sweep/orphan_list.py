"""What a sweep saw, stored in the bucket: one gzip file of JSON lines per run, from the head to the end line.

{prefix}.humangov/sweeps/{S3's time}-{run}.jsonl.gz. A person approves this list, and the next sweep compares with it.
No sweep counts it as a file of the tenant.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError

from humangov.api.names import Names
from humangov.api.sweep_schedule import sightings_last
from humangov.reading.progress import FailedError
from humangov.sweep.listing import Stored, StoredVersion

FOLDER = ".humangov/sweeps/"

_FORMAT = 1
_STORED_AS = {"failed_checks": "safetyChecks"}
"""Field names that differ in the stored format."""


@dataclass(frozen=True, kw_only=True)
class OrphanListHead:
    """The list's first line. Times: S3's, in seconds since the epoch; the sighting ended at `at`.

    sighting: whether it is a valid sighting. It is not if a safety check found the scan unreliable.
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


@dataclass(frozen=True, kw_only=True)
class OrphanList:
    """An orphan list in the bucket. sha256: of the object as it is stored, in hex."""

    key: str
    sha256: str
    head: OrphanListHead


def key_of(head: OrphanListHead) -> str:
    moment = datetime.fromtimestamp(head.at, UTC)
    return f"{head.key_prefix}{FOLDER}{moment:%Y-%m-%dT%H-%M-%SZ}-{head.run}.jsonl.gz"


def write(s3: Any, head: OrphanListHead, orphans: Iterable[Stored], *, owner: str, folder: Path) -> OrphanList:
    """Writes it to the bucket, never over another. owner: the bucket's account. Raises what the SDK raises."""
    path = folder / "orphans.jsonl.gz"
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        packed.write(_line({"orphanList": _FORMAT, **_stored(head)}))
        number = 0
        for one in orphans:
            packed.write(_line(_entry(one)))
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


def earlier(s3: Any, names: Names, *, now: float, folder: Path) -> Iterator[tuple[OrphanList, Path]]:
    """This tenant's orphan lists that count as sightings, the youngest first, each with the local file that has it.

    Other objects and incomplete lists are skipped. Raises what the SDK raises, and FailedError.
    """
    bucket, owner = names.tenant.bucket.name, names.identity.account_id
    since = datetime.fromtimestamp(now, UTC) - sightings_last(names.tenant.sweep)
    prefix = f"{names.tenant.bucket.key_prefix}{FOLDER}"
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, StartAfter=f"{prefix}{since:%Y-%m-%dT%H-%M-%SZ}", ExpectedBucketOwner=owner
    )
    keys = sorted((one["Key"] for page in pages for one in page.get("Contents") or ()), reverse=True)
    for number, key in enumerate(key for key in keys if key.endswith(".jsonl.gz")):
        path = folder / f"earlier-{number}.jsonl.gz"
        digest = _fetch(s3, path, bucket=bucket, key=key, owner=owner)
        head = _head(path)
        if head and head.tenant == names.owner and head.bucket == bucket and since.timestamp() <= head.at <= now:
            yield OrphanList(key=key, sha256=digest, head=head), path
        else:
            path.unlink()


def read(path: Path) -> Iterator[Stored]:
    """The orphans in a list that `earlier` fetched."""
    for line in _lines(path):
        if "key" in line:
            yield Stored(
                line["key"], line["etag"], line["size"], line["modified"],
                tuple(StoredVersion(*one) for one in line.get("versions") or ()),
            )  # fmt: skip


def _fetch(s3: Any, path: Path, *, bucket: str, key: str, owner: str) -> str:
    digest = hashlib.sha256()
    try:
        answer = s3.get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner)
        with path.open("wb") as file:
            for chunk in answer["Body"].iter_chunks(1 << 20):
                digest.update(chunk)
                file.write(chunk)
    except BotoCoreError as error:  # cut off within the body
        raise FailedError(f"reading {key} in bucket {bucket} was interrupted: {error}") from error
    return digest.hexdigest()


def _stored(head: OrphanListHead) -> dict[str, Any]:
    return {_STORED_AS.get(name, name): value for name, value in asdict(head).items()}


def _head(path: Path) -> OrphanListHead | None:
    """The head of a complete list; None for anything else."""
    first: Mapping[str, Any] | None = None
    number, last = -1, {}
    try:
        for last in _lines(path):
            first = first or last
            number += 1
        if first is None or first.get("orphanList") != _FORMAT or last.get("end") != number - 1:
            return None
        values = {name: first[_STORED_AS.get(name, name)] for name in OrphanListHead.__dataclass_fields__}
        lists = {name: tuple(values[name]) for name in ("include", "shared", "failed_checks")}
        return OrphanListHead(**{**values, **lists})
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rb") as packed:
        for line in packed:
            yield json.loads(line)


def _entry(one: Stored) -> dict[str, Any]:
    versions = {"versions": [list(version) for version in one.versions]} if one.versions else {}
    return {"key": one.key, "etag": one.etag, "size": one.size, "modified": one.modified, **versions}


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
