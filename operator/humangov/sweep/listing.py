"""Lists the whole bucket: several ranges of keys at once, each page in S3's order. A failed page ends the listing.

Ranges are split during the listing: a range that is not finished gives half of its remaining keys to a free worker.
A few questions find where to cut; whatever they say, every key is in exactly one range, and is listed.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from __future__ import annotations

import itertools
import math
import operator
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, NamedTuple

from humangov.cleanup.versions import ListedVersion, ListingError, version_pages
from humangov.reading.progress import FailedError, Steps

WORKERS = 16
_AHEAD = 2  # so many ranges for each that one processor can keep up with: pages do not come evenly
_TRIED_PAGES = 3
_PAGES_THAT_PAY = 2  # less is left of a range that is not cut any more
_TOPS = "9FZfz"  # the highest letters of numbers, of hexadecimal ones, of names
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
    return max(1, min(WORKERS, round(_AHEAD * seconds / max(cpu_seconds, 1e-6))))


def middle(after: str, limit: str) -> str | None:
    """A key about half-way between two; None if there is no such key."""
    common = _common(after, limit)
    found = common + _text((_fraction(after[len(common) :]) + _fraction(limit[len(common) :])) / 2)
    return found if after < found < limit else None


def pages_left(first: str, after: str, limit: str) -> float:
    """How many pages lie between `after` and `limit` if keys are everywhere as dense as from `first` to `after`."""
    common = len(_common(after, limit))
    if first[:common] != after[:common]:
        return math.inf  # the page has keys of elsewhere
    low, here, high = (_fraction(key[common:]) for key in (first, after, limit))
    return (high - here) / (here - low) if here > low else math.inf


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


@dataclass
class _Range:
    """after: exclusive, of what is still to be listed; end: inclusive, None: of the whole listing.

    limit: beyond it are few keys or none, as far as anybody knows; None: not yet. given: the last part that went to
    another worker; its result: the number of its keys.
    """

    after: str
    end: str | None
    limit: str | None
    given: Future[int] | None = None


class _Listing:
    def __init__(
        self, s3: Any, *, bucket: str, owner: str, prefix: str, versioned: bool, sink: Sink, steps: Steps
    ) -> None:
        self._s3, self._where = s3, {"Bucket": bucket, "Prefix": prefix, "ExpectedBucketOwner": owner}
        self._prefix, self._versioned, self._sink, self._steps = prefix, versioned, sink, steps
        self._lock = threading.Lock()
        self._ranges: list[Future[int]] = []
        self._active, self._workers = 0, 1
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="list")
        self._tried = [0, 0.0, 0.0]  # pages, seconds, seconds of processor time, while one range is listed alone
        self._failed = threading.Event()

    def run(self) -> None:
        with self._pool:
            self._begin("", None, None)
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

    def _begin(self, after: str, end: str | None, limit: str | None) -> Future[int] | None:
        """Gives a range to a free worker; None if there is none."""
        with self._lock:
            if self._failed.is_set() or self._active >= self._workers:
                return None
            self._active += 1
            self._ranges.append(self._pool.submit(self._range, _Range(after, end, limit)))
            return self._ranges[-1]

    def _range(self, one: _Range) -> int:
        """Returns the number of its keys."""
        number = 0
        try:
            pages = self._versions(one.after) if self._versioned else self._objects(one.after)
            began, began_cpu = time.monotonic(), time.thread_time()
            for page, more in pages:
                _require_order(page, after=one.after)
                inside = _up_to(page, one.end)
                number += len(inside)
                with self._lock:
                    if self._failed.is_set():
                        return number
                    self._take(inside)
                    if not more or len(inside) < len(page):
                        return number
                    self._measure(time.monotonic() - began, time.thread_time() - began_cpu)
                    may_split = self._active < self._workers
                if page:
                    one.after = page[-1].key
                    if may_split:
                        self._split(one, first=page[0].key)
                began, began_cpu = time.monotonic(), time.thread_time()
            return number
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

    def _split(self, one: _Range, *, first: str) -> None:
        """Gives what lies behind a cut to a free worker. first: of the last page."""
        given = one.given
        if one.limit is None or (given and given.done() and not given.exception() and not given.result()):
            limit = self._limit(one.after, one.end)
            one.limit, one.given = limit if one.end is None else min(limit, one.end), None
        if pages_left(first, one.after, one.limit) < _PAGES_THAT_PAY:
            return
        cut = middle(one.after, one.limit)
        if cut is not None and (given := self._begin(cut, one.end, one.limit)):
            one.given, one.end, one.limit = given, cut, cut

    def _limit(self, key: str, end: str | None) -> str:
        """Where the keys end that this range has most of, found with a few calls: cuts are to be where keys are.

        It only chooses the cuts: what lies beyond is listed like all else.
        """
        low, high = len(self._prefix), len(key)  # nothing lies beyond the first, something beyond the second
        while high - low > 1:
            length = (low + high) // 2
            low, high = (low, length) if self._is_any(key[:length] + _HIGHEST, end) else (length, high)
        tops = [top for top in _TOPS if top >= key[low : low + 1]]
        top = next((top for top in tops if not self._is_any(key[:low] + top + _HIGHEST, end)), "")
        return key[:low] + top + _HIGHEST

    def _is_any(self, after: str, end: str | None) -> bool:
        """Whether an object is there. Deleted ones of a bucket that keeps versions are not looked for."""
        found = self._s3.list_objects_v2(**self._where, StartAfter=after, MaxKeys=1).get("Contents")
        return bool(found) and (end is None or found[0]["Key"] <= end)

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
    if not all(map(operator.lt, keys, keys[1:])) or (keys and keys[0] <= after):
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
