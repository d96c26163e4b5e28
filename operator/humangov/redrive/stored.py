"""Objects under a prefix, of invocation records and of mappings: listed with all their versions, read, and removed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from humangov.aws.s3_codes import NOT_FOUND
from humangov.cleanup.calls import error_code
from humangov.cleanup.retry import retry
from humangov.cleanup.versions import version_pages

_PER_CALL = 1000
_PAUSES_SECONDS = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An object's latest version. older: its other versions and delete markers, which are removed with it."""

    key: str
    version_id: str
    size: int
    written: datetime
    older: tuple[str, ...]


def objects(s3: Any, *, bucket: str, owner: str, prefix: str) -> Iterator[StoredObject]:
    """Every object that no delete marker hides, sorted by key.

    owner: the account that must own the bucket. Raises ClientError, BotoCoreError if a page can't be read.
    """
    where = {"Bucket": bucket, "Prefix": prefix, "ExpectedBucketOwner": owner}
    pages = version_pages(s3.list_object_versions, where)
    entries = (entry for page, _ in pages for entry in page)
    for key, group in itertools.groupby(entries, key=lambda entry: entry.key):
        several = list(group)
        latest = next((one for one in several if one.is_latest and not one.version.is_marker), None)
        if latest is not None:
            older = tuple(one.version.version_id for one in several if one is not latest)
            yield StoredObject(
                key=key, version_id=latest.version.version_id, size=latest.size, written=latest.version.modified,
                older=older,
            )  # fmt: skip


def body(s3: Any, one: StoredObject, *, bucket: str, owner: str) -> bytes | None:
    """Its content; None if it no longer exists. Raises what the SDK raises."""

    def read() -> bytes:
        answer = s3.get_object(Bucket=bucket, Key=one.key, VersionId=one.version_id, ExpectedBucketOwner=owner)
        return bytes(answer["Body"].read())

    try:
        # The SDK does not retry a response whose body was interrupted.
        return retry(read, retriable=lambda error: isinstance(error, BotoCoreError), pauses_seconds=_PAUSES_SECONDS)
    except ClientError as error:
        if error_code(error) in NOT_FOUND:
            return None
        raise


def remove(s3: Any, one: StoredObject, *, bucket: str, owner: str) -> str | None:
    """Removes it, the latest version last: after a crash, the object still exists. Returns S3's error code, if any.

    Raises BotoCoreError.
    """
    try:
        for start in range(0, len(one.older), _PER_CALL):
            part = one.older[start : start + _PER_CALL]
            if reason := _delete(s3, one.key, part, bucket=bucket, owner=owner):
                return reason
        return _delete(s3, one.key, (one.version_id,), bucket=bucket, owner=owner)
    except ClientError as error:
        return error_code(error)


def _delete(s3: Any, key: str, versions: tuple[str, ...], *, bucket: str, owner: str) -> str | None:
    if not versions:
        return None
    objects = [{"Key": key, "VersionId": version} for version in versions]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True}, ExpectedBucketOwner=owner)
    errors = answer.get("Errors") or ()
    return str(errors[0].get("Code", "Unknown")) if errors else None
