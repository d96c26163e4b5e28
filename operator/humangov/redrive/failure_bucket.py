"""The invocation records that wait in a bucket: listed with all their versions, read, and removed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from humangov.cleanup.references import FAILURES_PREFIX
from humangov.redrive.invocation import LIMIT_BYTES, UnreadableError

_PER_CALL = 1000
_READ_ATTEMPTS = 3
_GONE = ("NoSuchKey", "NoSuchVersion", "404")


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One invocation record. older: its other versions and markers; they hold what it holds, so they go with it."""

    key: str
    version_id: str
    size: int
    written: datetime
    older: tuple[str, ...]

    @property
    def mapping(self) -> str:
        """UUID of the mapping that wrote it."""
        return self.key.removeprefix(FAILURES_PREFIX).split("/")[0]


@dataclass(frozen=True, kw_only=True)
class _Version:
    key: str
    version_id: str
    is_latest: bool
    is_marker: bool
    size: int
    written: datetime


def waiting(s3: Any, *, bucket: str, owner: str) -> Iterator[Waiting]:
    """Every record that is not hidden by a delete marker, in the order of the keys: of one shard, the oldest first.

    owner: the account that the bucket must belong to. Raises ClientError, BotoCoreError: a page that fails ends it.
    """
    for key, group in itertools.groupby(_versions(s3, bucket=bucket, owner=owner), key=lambda one: one.key):
        versions = list(group)
        latest = next((one for one in versions if one.is_latest and not one.is_marker), None)
        if latest is not None:
            older = tuple(one.version_id for one in versions if one is not latest)
            yield Waiting(
                key=key, version_id=latest.version_id, size=latest.size, written=latest.written, older=older
            )  # fmt: skip


def body(s3: Any, one: Waiting, *, bucket: str, owner: str) -> bytes | None:
    """What it holds; None if it went meanwhile. Raises UnreadableError if it is too large, else as `waiting` does."""
    if one.size > LIMIT_BYTES:
        raise UnreadableError(f"it has {one.size:,} bytes, more than any invocation record")
    for attempt in range(1, _READ_ATTEMPTS + 1):
        try:
            answer = s3.get_object(Bucket=bucket, Key=one.key, VersionId=one.version_id, ExpectedBucketOwner=owner)
            return bytes(answer["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return None
            raise
        except BotoCoreError:  # cut off within the body, where the SDK itself does not try again
            if attempt == _READ_ATTEMPTS:
                raise
    raise AssertionError


def remove(s3: Any, one: Waiting, *, bucket: str, owner: str) -> str | None:
    """Erase it, the version that was read last: cut off anywhere, it still waits. The reason if S3 keeps any of it.

    Raises as `waiting` does.
    """
    for start in range(0, len(one.older), _PER_CALL):
        part = one.older[start : start + _PER_CALL]
        if reason := _delete(s3, one.key, part, bucket=bucket, owner=owner):
            return reason
    return _delete(s3, one.key, (one.version_id,), bucket=bucket, owner=owner)


def _delete(s3: Any, key: str, versions: tuple[str, ...], *, bucket: str, owner: str) -> str | None:
    if not versions:
        return None
    objects = [{"Key": key, "VersionId": version} for version in versions]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True}, ExpectedBucketOwner=owner)
    errors = answer.get("Errors") or ()
    return str(errors[0].get("Code", "Unknown")) if errors else None


def _versions(s3: Any, *, bucket: str, owner: str) -> Iterator[_Version]:
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=bucket, Prefix=FAILURES_PREFIX, ExpectedBucketOwner=owner
    )
    for page in pages:
        found = [
            _Version(
                key=one["Key"], version_id=one["VersionId"], is_latest=bool(one["IsLatest"]), is_marker=is_marker,
                size=int(one.get("Size", 0)), written=one["LastModified"],
            )
            for name, is_marker in (("Versions", False), ("DeleteMarkers", True))
            for one in page.get(name) or ()
        ]  # fmt: skip
        # Stable: of one key, the newest version stays first.
        yield from sorted(found, key=lambda version: version.key.encode())
