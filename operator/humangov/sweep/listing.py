"""Lists the whole bucket: several ranges of keys at once, each page in S3's order. A failed page ends the listing.

Ranges are split during the listing: a range that is not finished gives half of its remaining keys to a free worker.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from humangov.cleanup.versions import ListedVersion, ListingError, version_pages
from humangov.reading.progress import FailedError, Steps

WORKERS = 8
_TRIED_PAGES = 3
_FIRST, _LAST = 0x20, 0x7E  # what keys are mostly made of; only where a range is cut depends on it
_BASE = _LAST - _FIRST + 2
_DIGITS = 6
_HIGHEST = "\U0010ffff"


class StoredVersion(NamedTuple):
    """modified: seconds since the epoch."""

    version_id: str
    modified: int
    is_marker: bool
    size: int


class Stored(NamedTuple):
    """What S3 holds under one key.

    etag, size   of the object; of several versions: their ETags in this order, with blanks between, and the sum
    modified     when the youngest of it was written, seconds since the epoch
    versions     the newest first; () in a bucket that keeps none
    """

    key: str
    etag: str
    size: int
    modified: int
    versions: tuple[StoredVersion, ...] = ()

    @property
    def is_multipart(self) -> bool:
        """Whether S3 dates any of it by the start of its upload: nobody can see when that upload was finished.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
        """
        return "-" in self.etag


Sink = Callable[[Sequence[Stored]], None]


def list_bucket(s3: Any, *, bucket: str, owner: str, prefix: str, versioned: bool, sink: Sink, steps: Steps) -> None:
    """Passes every key under the prefix to `sink`, once, page by page; from several threads, but one at a time.

    Raises FailedError for an inconsistent response, StoppedError, and what the SDK raises.
    """
    listing = _Listing(s3, bucket=bucket, owner=owner, prefix=prefix, versioned=versioned, sink=sink, steps=steps)
    listing.run()


def workers_that_pay(*, seconds: float, cpu_seconds: float) -> int:
    """How many ranges at once keep one processor busy, from the times of a page: more would wait for each other."""
    return max(1, min(WORKERS, round(seconds / max(cpu_seconds, 1e-6))))


def middle(after: str, end: str | None, *, shared: str) -> str | None:
    """A key about half-way between two; None if there is no such key.

    shared: what all keys begin with. end None: the last of those.
    """
    common = _common(after, end) if end is not None else shared
    low = _fraction(after[len(common) :])
    high = _fraction(end[len(common) :]) if end is not None else 1.0
    found = common + _text((low + high) / 2)
    return found if after < found and (end is None or found < end) else None


def _common(one: str, other: str) -> str:
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(letter for letter, _ in pairs)


def _fraction(text: str) -> float:
    value, weight = 0.0, 1.0
    for letter in text[:_DIGITS]:
        weight /= _BASE
        value += (min(max(ord(letter), _FIRST), _LAST) - _FIRST + 1) * weight
    return value


def _text(fraction: float) -> str:
    letters = []
    for _ in range(_DIGITS):
        fraction *= _BASE
        digit = min(int(fraction), _BASE - 1)
        fraction -= digit
        letters.append(chr(_FIRST + max(digit - 1, 0)))
    return "".join(letters)


class _Listing:
    def __init__(
        self, s3: Any, *, bucket: str, owner: str, prefix: str, versioned: bool, sink: Sink, steps: Steps
    ) -> None:
        self._s3, self._where = s3, {"Bucket": bucket, "Prefix": prefix, "ExpectedBucketOwner": owner}
        self._prefix, self._versioned, self._sink, self._steps = prefix, versioned, sink, steps
        self._lock = threading.Lock()
        self._ranges: list[Future[None]] = []
        self._active, self._workers = 0, 1
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="list")
        self._tried = [0, 0.0, 0.0]  # pages, seconds, seconds of processor time, while one range is listed alone
        self._failed = threading.Event()
        self._shared: str | None = None

    def run(self) -> None:
        with self._pool:
            with self._lock:
                self._begin("", None)
            try:
                while True:
                    with self._lock:
                        known = list(self._ranges)
                    done, pending = wait(known, return_when=FIRST_EXCEPTION)
                    for one in done:
                        one.result()
                    with self._lock:
                        if not pending and len(known) == len(self._ranges):
                            return
            finally:
                self._failed.set()  # whatever still runs ends with its page

    def _begin(self, after: str, end: str | None) -> None:
        self._active += 1
        self._ranges.append(self._pool.submit(self._range, after, end))

    def _range(self, after: str, end: str | None) -> None:
        """after: exclusive, end: inclusive."""
        try:
            pages = self._versions(after) if self._versioned else self._objects(after)
            began, began_cpu = time.monotonic(), time.thread_time()
            for page, more in pages:
                _require_order(page, after=after)
                inside = _up_to(page, end)
                if more and page and self._shared is None and self._workers > 1:
                    self._shared = self._begin_of_all(page[-1].key)
                with self._lock:
                    if self._failed.is_set():
                        return
                    self._take(inside)
                    if not more or len(inside) < len(page):
                        return
                    self._measure(time.monotonic() - began, time.thread_time() - began_cpu)
                    if page:
                        after = page[-1].key
                        end = self._split(after, end)
                began, began_cpu = time.monotonic(), time.thread_time()
        finally:
            with self._lock:
                self._active -= 1

    def _take(self, page: Sequence[Stored]) -> None:
        self._steps.check()
        self._sink(page)
        self._steps.add(len(page))

    def _measure(self, seconds: float, cpu_seconds: float) -> None:
        if self._active == 1 and self._tried[0] < _TRIED_PAGES:
            self._tried = [now + more for now, more in zip(self._tried, (1, seconds, cpu_seconds), strict=True)]
            if self._tried[0] == _TRIED_PAGES:
                self._workers = workers_that_pay(seconds=self._tried[1], cpu_seconds=self._tried[2])

    def _begin_of_all(self, key: str) -> str:
        """The common prefix of this key and all later ones, found with a few calls: ranges are cut where keys are."""
        low, high = len(self._prefix), len(key)  # nothing lies beyond the first, something beyond the second
        while high - low > 1:
            length = (low + high) // 2
            beyond = self._s3.list_objects_v2(**self._where, StartAfter=f"{key[:length]}{_HIGHEST}", MaxKeys=1)
            low, high = (low, length) if beyond.get("Contents") else (length, high)
        return key[:low]

    def _split(self, after: str, end: str | None) -> str | None:
        """Where this range ends from now on."""
        if self._active >= self._workers or self._shared is None:
            return end
        cut = middle(after, end, shared=self._shared)
        if cut is None:
            return end
        self._begin(cut, end)
        return cut

    def _objects(self, after: str) -> Iterator[tuple[list[Stored], bool]]:
        request: dict[str, Any] = {**self._where, **({"StartAfter": after} if after else {})}
        while True:
            answer = self._s3.list_objects_v2(**request)
            page = [
                Stored(one["Key"], one["ETag"], one["Size"], int(one["LastModified"].timestamp()))
                for one in answer.get("Contents") or ()
            ]
            more = bool(answer.get("IsTruncated"))
            yield page, more
            if not more:
                return
            request = {**self._where, "ContinuationToken": _following(answer, "NextContinuationToken")}

    def _versions(self, after: str) -> Iterator[tuple[list[Stored], bool]]:
        held: dict[str, list[ListedVersion]] = {}  # the page's last key: its further versions may be on the next
        try:
            for entries, more in version_pages(self._s3.list_object_versions, self._where, after=after):
                for entry in entries:
                    held.setdefault(entry.key, []).append(entry)
                ready = list(held)[: -1 if more else None]
                yield [of_versions(key, held.pop(key)) for key in ready], more
        except ListingError as error:
            raise FailedError(str(error)) from error


def _require_order(page: Sequence[Stored], *, after: str) -> None:
    """Raises FailedError."""
    keys = [one.key for one in page]
    if keys != sorted(set(keys)) or (keys and keys[0] <= after):
        raise FailedError("S3 listed keys out of order, so the listing is not reliable and no orphan was erased")


def _up_to(page: Sequence[Stored], end: str | None) -> Sequence[Stored]:
    """end: inclusive."""
    return page if end is None or not page or page[-1].key <= end else [one for one in page if one.key <= end]


def _following(answer: Mapping[str, Any], name: str) -> str:
    token = answer.get(name)
    if not token:
        raise FailedError(f"S3 truncated its listing without a valid next marker ({name} is missing)")
    return str(token)


def of_versions(key: str, entries: Iterable[ListedVersion]) -> Stored:
    """What S3 holds under a key, of which it listed these versions, at least one."""
    several = [(_version(one), one.etag) for one in entries]
    several.sort(key=lambda one: (-one[0].modified, one[0].version_id))
    versions = tuple(version for version, _ in several)
    return Stored(
        key,
        " ".join(etag for _, etag in several if etag),
        sum(one.size for one in versions),
        max(one.modified for one in versions),
        versions,
    )


def _version(entry: ListedVersion) -> StoredVersion:
    version = entry.version
    return StoredVersion(version.version_id, int(version.modified.timestamp()), version.is_marker, entry.size)
