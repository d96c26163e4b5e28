"""The versions of a file: listed, and why S3 retains one; and the one paginator of ListObjectVersions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from .calls import Calls, error_code
from .outcomes import RETAINED_HOLD, FileOutcome, failed, retained_until

NULL = "null"
"""The version ID of objects that were written while the bucket kept no versions."""

FIRST_PAGE, FURTHER_PAGES = 10, 1000

_NOT_LOCKED = ("NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest")
"""S3's error codes for a version without a lock, and for a bucket without Object Lock."""


class Version(NamedTuple):
    """One version or delete marker of a key.

    modified      rounded down to the second by S3; of a multipart object, when its upload began
    is_multipart  the object was uploaded in parts: its ETag ends in `-<parts>`
    """

    version_id: str
    modified: datetime
    is_marker: bool
    is_multipart: bool = False


Versions = tuple[Version, ...]


class ListedVersion(NamedTuple):
    """An entry of a listing. size: bytes, 0 for a delete marker. etag: empty for one."""

    key: str
    version: Version
    is_latest: bool
    size: int
    etag: str


class ListingError(Exception):
    """S3's answer can't be continued, or the versions changed so that it seemed so. A later listing may succeed."""


def version_pages(
    list_page: Callable[..., Mapping[str, Any]],
    where: Mapping[str, str],
    *,
    after: str = "",
    sizes: tuple[int | None, int | None] = (None, None),
) -> Iterator[tuple[list[ListedVersion], bool]]:
    """Every page of ListObjectVersions, and whether more follow. where: Bucket, Prefix and similar parameters.

    A page is sorted by the keys' bytes; within a key, versions come before markers, each the newest first. after: the
    key after which it starts; sizes: of the first page and of further ones. No entry is yielded twice. Raises what
    `list_page` raises, and ListingError if another page is needed and the response has no valid marker for it, or
    nothing new.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html

    The next page starts after the last key but one: some S3 pass over keys, or repeat entries, after a version marker.
    It is only needed where all of a page is of one key.
    """
    markers: Mapping[str, str] = {"KeyMarker": after} if after else {}
    known: set[tuple[str, str]] = set()
    for size in itertools.chain(sizes[:1], itertools.repeat(sizes[-1])):
        answer = list_page(**where, **({"MaxKeys": size} if size else {}), **markers)
        more, entries = bool(answer.get("IsTruncated")), _entries(answer)
        new = [one for one in entries if (one.key, one.version.version_id) not in known]
        yield new, more
        if not more:
            return
        if entries and not new:
            raise ListingError("S3's listing of versions does not advance: the page has nothing new")
        markers, before = _following(answer, entries), markers
        if markers == before or markers["KeyMarker"].encode() < before.get("KeyMarker", "").encode():
            raise ListingError("S3's listing of versions does not advance: NextKeyMarker is unchanged")
        known |= {(one.key, one.version.version_id) for one in entries}
        known = {one for one in known if one[0].encode() >= markers["KeyMarker"].encode()}


def list_versions(calls: Calls, *, bucket: str, key: str) -> Versions:
    """Every version and delete marker of exactly this key; () if S3 has none. Raises as `version_pages` does."""
    return tuple(one.version for one in list_entries(calls, bucket=bucket, key=key))


def list_entries(calls: Calls, *, bucket: str, key: str) -> tuple[ListedVersion, ...]:
    """The same, as S3 lists them.

    The listing is by prefix and sorted by the keys' bytes: the key itself comes first, `a.pdf.bak` after it. Raises as
    `version_pages` does.
    """
    list_page = partial(calls.on_bucket, calls.s3.list_object_versions, bucket)
    found: list[ListedVersion] = []
    for page, _ in version_pages(list_page, {"Prefix": key}, sizes=(FIRST_PAGE, FURTHER_PAGES)):
        found += [one for one in page if one.key == key]
        if any(one.key != key for one in page):
            break
    return tuple(found)


def keeps_versions(versions: Versions) -> bool:
    """Whether these versions show that the bucket keeps or kept versions."""
    return any(one.is_marker or one.version_id != NULL for one in versions)


def hold(calls: Calls, *, bucket: str, key: str, version_id: str) -> FileOutcome | None:
    """The outcome if Object Lock retains this version now, else None. Never bypasses governance mode.

    Without the permission to read the lock, or without a response, the outcome is a failure, and the erasure is
    retried.
    """
    which = {"Key": key, "VersionId": version_id}
    try:
        legal_hold = _lock(calls, calls.s3.get_object_legal_hold, "LegalHold", bucket, which)
        if legal_hold.get("Status") == "ON":
            return RETAINED_HOLD
        until = _lock(calls, calls.s3.get_object_retention, "Retention", bucket, which).get("RetainUntilDate")
    except Exception as error:
        return failed(calls.failed("GetObjectRetention", error))
    if until is None or until.timestamp() <= calls.now():
        return None
    return retained_until(until.timestamp())


def _entries(answer: Mapping[str, Any]) -> list[ListedVersion]:
    found = [
        ListedVersion(
            one["Key"],
            Version(one["VersionId"], one["LastModified"], is_marker, "-" in str(one.get("ETag", ""))),
            bool(one.get("IsLatest")), int(one.get("Size", 0)), str(one.get("ETag", "")),
        )
        for name, is_marker in (("Versions", False), ("DeleteMarkers", True))
        for one in answer.get(name) or ()
    ]  # fmt: skip
    return sorted(found, key=lambda one: one.key.encode())


def _following(answer: Mapping[str, Any], entries: Sequence[ListedVersion]) -> dict[str, str]:
    """The markers of the next page. entries: of this one, sorted."""
    if not answer.get("NextKeyMarker"):
        raise ListingError("S3 truncated its listing of versions: NextKeyMarker is missing")
    keys = list(dict.fromkeys(one.key for one in entries))
    if len(keys) > 1:
        return {"KeyMarker": keys[-2]}
    version = answer.get("NextVersionIdMarker")
    return {"KeyMarker": answer["NextKeyMarker"], **({"VersionIdMarker": version} if version else {})}


def _lock(calls: Calls, method: Any, name: str, bucket: str, which: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = calls.on_bucket(method, bucket, **which).get(name) or {}
    except Exception as error:
        if error_code(error) not in _NOT_LOCKED:
            raise
        return {}
    return answer
