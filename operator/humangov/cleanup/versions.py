"""The versions of a file: listed, and why S3 does not let one go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .calls import Calls, error_code
from .receipt_lines import RETAINED_HOLD, failed, retained_until

NULL = "null"
"""The version ID of whatever was written while the bucket kept no versions."""

FIRST_PAGE, FURTHER_PAGES = 10, 1000

_NOT_LOCKED = ("NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest")
"""What S3 says of a version without a lock, and of a bucket without Object Lock."""


@dataclass(frozen=True)
class Version:
    """One version or delete marker of a key; modified: cut to the second by S3."""

    version_id: str
    modified: datetime
    is_marker: bool


Versions = tuple[Version, ...]


def list_versions(calls: Calls, *, bucket: str, key: str) -> Versions:
    """Every version and marker of exactly this key; () means that S3 holds nothing under it.

    The listing is by prefix and in the order of the keys' bytes: the key itself comes first, `a.pdf.bak` after
    it. Raises what the call raises, and ValueError for an answer that does not say where it goes on.
    """
    return tuple(_listed(calls, bucket=bucket, key=key))


def keeps_versions(versions: Versions) -> bool:
    """Whether these show that the bucket keeps versions, or did."""
    return any(one.is_marker or one.version_id != NULL for one in versions)


def hold(calls: Calls, *, bucket: str, key: str, version_id: str) -> str | None:
    """The outcome if Object Lock keeps this version now, None if it does not. Never bypasses governance.

    Without the right to ask, or without an answer, the outcome is a failure: the version's erasure is then
    tried again.
    """
    which = {"Bucket": bucket, "Key": key, "VersionId": version_id}
    try:
        legal_hold = _lock(calls, calls.s3.get_object_legal_hold, "LegalHold", which)
        if legal_hold.get("Status") == "ON":
            return RETAINED_HOLD
        until = _lock(calls, calls.s3.get_object_retention, "Retention", which).get("RetainUntilDate")
    except Exception as error:
        return failed(calls.failed("GetObjectRetention", error))
    if until is None or until.timestamp() <= calls.now():
        return None
    return retained_until(until.timestamp())


def _listed(calls: Calls, *, bucket: str, key: str) -> Iterator[Version]:
    page: dict[str, Any] = {"MaxKeys": FIRST_PAGE}
    while True:
        answer = calls.attempt(calls.s3.list_object_versions, Bucket=bucket, Prefix=key, **page)
        versions, markers = answer.get("Versions", ()), answer.get("DeleteMarkers", ())
        for listed, is_marker in ((versions, False), (markers, True)):
            for one in listed:
                if one["Key"] == key:
                    yield Version(one["VersionId"], one["LastModified"], is_marker)
        if not answer.get("IsTruncated") or any(one["Key"] != key for one in (*versions, *markers)):
            return
        if not answer.get("NextKeyMarker"):
            raise ValueError("a truncated listing without its end")
        page = {"MaxKeys": FURTHER_PAGES, "KeyMarker": answer["NextKeyMarker"]}
        if answer.get("NextVersionIdMarker"):
            page["VersionIdMarker"] = answer["NextVersionIdMarker"]


def _lock(calls: Calls, method: Any, name: str, which: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = calls.attempt(method, **which).get(name) or {}
    except Exception as error:
        if error_code(error) not in _NOT_LOCKED:
            raise
        return {}
    return answer
