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
from functools import partial
from typing import Any, NamedTuple

from humangov.aws.listed_objects import ListedObjects
from humangov.cleanup.versions import ListedVersion, ListingError, version_pages
from humangov.reading.progress import FailedError, Steps
from humangov.sweep.key_space import HIGHEST, cuts, pages_left

WORKERS = 16
_AHEAD = 2  # so many ranges for each that one processor can keep up with: pages do not come evenly
_TRIED_PAGES = 3
_PAGES_THAT_PAY = 2  # less is left of a range that is not cut any more
_DOUBTFUL_PAGES = 2000  # more are left of few ranges: rather, its keys end long before its limit
_QUESTIONS_AT_ONCE = 6
_LIKE = 16
_TOPS = "9FZfz"  # the highest letters of numbers, of hexadecimal ones, of names


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
_stored_of_row = partial(tuple.__new__, Stored)  # as Stored._make, without a frame of Python for each object


def list_bucket(s3: Any, *, bucket: str, owner: str, prefix: str, versioned: bool, sink: Sink, steps: Steps) -> None:
    """Passes every key under the prefix to `sink`, once, page by page; from several threads, but one at a time.

    Raises FailedError for an inconsistent response, StoppedError, and what the SDK raises.
    """
    listing = _Listing(s3, bucket=bucket, owner=owner, prefix=prefix, versioned=versioned, sink=sink, steps=steps)
    listing.run()


def workers_that_pay(*, seconds: float, cpu_seconds: float) -> int:
    """How many ranges at once keep one processor busy, from the times of a page: more would wait for each other."""
    return max(1, min(WORKERS, round(_AHEAD * seconds / max(cpu_seconds, 1e-6))))


@dataclass(eq=False)
class _Range:
    """after: exclusive, of what is still to be listed; end: inclusive, None: of the whole listing.

    limit: beyond it are few keys or none, as far as anybody knows; None: not yet. asked: the limit that was asked for.
    first, like: the first key of its last page, and a few others. pages: about so many are left; None: to be estimated.
    closed: nothing more is listed of it.
    """

    after: str
    end: str | None
    limit: str | None
    asked: str | None = ""
    first: str = ""
    like: Sequence[str] = ()
    pages: float | None = None
    closed: bool = False

    def estimated(self) -> float:
        if self.pages is None:
            unknown = self.limit is None
            self.pages = math.inf if unknown else pages_left(self.first, self.after, self.limit or "", like=self.like)
        return self.pages


class _Listing:
    def __init__(
        self, s3: Any, *, bucket: str, owner: str, prefix: str, versioned: bool, sink: Sink, steps: Steps
    ) -> None:
        self._s3, self._where = s3, {"Bucket": bucket, "Prefix": prefix, "ExpectedBucketOwner": owner}
        self._prefix, self._versioned, self._sink, self._steps = prefix, versioned, sink, steps
        self._lock = threading.Lock()
        self._tasks: list[Future[None]] = []
        self._open: list[_Range] = []  # those that may be cut
        self._active, self._workers = 0, 1
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="list")
        self._questions = ThreadPoolExecutor(_QUESTIONS_AT_ONCE, thread_name_prefix="ask")
        self._tried = [0, 0.0, 0.0]  # pages, seconds, seconds of processor time, while one range is listed alone
        self._failed = threading.Event()

    def run(self) -> None:
        with self._pool, self._questions:
            with self._lock:
                self._begin(self._list, _Range("", None, None))
            try:
                while True:
                    with self._lock:
                        known = list(self._tasks)
                    done, pending = wait(known, return_when=FIRST_EXCEPTION)
                    for one in done:
                        one.result()
                    with self._lock:
                        if not pending and len(known) == len(self._tasks):
                            return
            finally:
                self._failed.set()  # whatever still runs ends with its page

    def _begin(self, task: Callable[[_Range], None], one: _Range) -> None:
        """Under the lock, and only while a worker is free."""

        def work() -> None:
            try:
                task(one)
            finally:
                with self._lock:
                    self._active -= 1
                    self._share()

        self._active += 1
        self._tasks.append(self._pool.submit(work))

    def _list(self, one: _Range) -> None:
        pages = self._versions(one.after) if self._versioned else self._objects(one.after)
        began, began_cpu = time.monotonic(), time.thread_time()
        try:
            for page, more in pages:
                _require_order(page, after=one.after)
                with self._lock:
                    if not self._went_on(one, page, more=more):
                        return
                    self._measure(time.monotonic() - began, time.thread_time() - began_cpu)
                    self._share()
                began, began_cpu = time.monotonic(), time.thread_time()
        finally:
            with self._lock:
                self._close(one)

    def _went_on(self, one: _Range, page: Sequence[Stored], *, more: bool) -> bool:
        """Takes a page of a range. Whether more of it follow; if not, it is closed before anybody can cut it."""
        if self._failed.is_set():
            return False
        inside = _up_to(page, one.end)
        self._take(inside)
        if not more or len(inside) < len(page):
            self._close(one)
            return False
        if page:
            if not one.like:
                self._open.append(one)
            one.first, one.after = page[0].key, page[-1].key
            one.like = [each.key for each in page[:: len(page) // _LIKE + 1]]
            one.pages = None
        return True

    def _close(self, one: _Range) -> None:
        one.closed = True
        if one in self._open:
            self._open.remove(one)

    def _take(self, page: Sequence[Stored]) -> None:
        self._steps.check()
        self._sink(page)
        self._steps.add(len(page))

    def _measure(self, seconds: float, cpu_seconds: float) -> None:
        if self._active == 1 and self._tried[0] < _TRIED_PAGES:
            self._tried = [now + more for now, more in zip(self._tried, (1, seconds, cpu_seconds), strict=True)]
            if self._tried[0] == _TRIED_PAGES:
                self._workers = workers_that_pay(seconds=self._tried[1], cpu_seconds=self._tried[2])

    def _share(self) -> None:
        """Gives parts of the range with most pages left to the free workers. Under the lock."""
        while self._active < self._workers and self._open and not self._failed.is_set():
            one = max(self._open, key=_Range.estimated)
            pages = one.estimated()
            if pages < _PAGES_THAT_PAY:
                return
            if pages > _DOUBTFUL_PAGES and one.asked != one.limit:
                self._open.remove(one)
                self._begin(self._ask, one)
            else:
                self._cut(one, parts=min(self._workers - self._active + 1, math.ceil(min(pages, WORKERS))))

    def _cut(self, one: _Range, *, parts: int) -> None:
        """Its last parts become ranges of their own; the first remains."""
        for cut in reversed(cuts(one.after, one.limit or "", parts=parts, like=one.like)):
            self._begin(self._list, _Range(cut, one.end, one.limit))
            one.end = one.limit = cut
        one.pages = 0.0  # until its next page

    def _ask(self, one: _Range) -> None:
        """A few questions find where the keys end that this range has most of: cuts are to be where keys are.

        They only choose the cuts: what lies beyond is listed like all else.
        """
        with self._lock:
            key, end = one.after, one.end
        limit = self._limit(key, end, still=lambda: not (one.closed or self._failed.is_set()))
        with self._lock:
            one.limit = one.asked = limit if end is None else min(limit, end)
            if not one.closed:
                one.pages = None
                self._open.append(one)

    def _limit(self, key: str, end: str | None, *, still: Callable[[], bool]) -> str:
        low, high = len(self._prefix), len(key)  # nothing lies beyond the first, something beyond the second
        while high - low > 1 and still():
            step = (high - low) / (_QUESTIONS_AT_ONCE + 1)
            lengths = sorted({low + math.ceil(step * number) for number in range(1, _QUESTIONS_AT_ONCE + 1)} - {high})
            answers = self._are_any([key[:length] + HIGHEST for length in lengths], end)
            low = max([low, *(length for length, found in zip(lengths, answers, strict=True) if not found)])
            high = min([high, *(length for length, found in zip(lengths, answers, strict=True) if found)])
        tops = [top for top in _TOPS if top >= key[low : low + 1]] if still() else []
        answers = self._are_any([key[:low] + top + HIGHEST for top in tops], end)
        top = next((top for top, found in zip(tops, answers, strict=True) if not found), "")
        return key[:low] + top + HIGHEST

    def _are_any(self, after: Sequence[str], end: str | None) -> list[bool]:
        """Whether an object is beyond each. Deleted ones of a bucket that keeps versions are not looked for."""

        def is_any(key: str) -> bool:
            found = self._s3.list_objects_v2(**self._where, StartAfter=key, MaxKeys=1).get("Contents")
            return bool(found) and (end is None or found[0]["Key"] <= end)

        return list(self._questions.map(is_any, after))

    def _objects(self, after: str) -> Iterator[tuple[list[Stored], bool]]:
        request: dict[str, Any] = {**self._where, **({"StartAfter": after} if after else {})}
        while True:
            answer = self._s3.list_objects_v2(**request)
            more = bool(answer.get("IsTruncated"))
            yield _objects_of(answer.get("Contents") or ()), more
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


def _objects_of(entries: Sequence[Mapping[str, Any]]) -> list[Stored]:
    if isinstance(entries, ListedObjects):
        columns = zip(entries.keys, entries.etags, entries.sizes, entries.modified_seconds(), itertools.repeat(()))
        return list(map(_stored_of_row, columns))
    return [Stored(one["Key"], one["ETag"], one["Size"], int(one["LastModified"].timestamp())) for one in entries]


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
