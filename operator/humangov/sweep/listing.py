"""The bucket, listed whole: several ranges of keys at once, each page in S3's order, a failed page ends it all.

Ranges are split while they are listed: whoever has keys left gives half of what remains to a worker without any.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, NamedTuple

from humangov.sweep.work import FailedError, Steps

WORKERS = 8
_FIRST, _LAST = 0x20, 0x7E  # what keys are mostly made of; only where a range is cut depends on it
_BASE = _LAST - _FIRST + 2
_DIGITS = 6


class Version(NamedTuple):
    """modified: seconds since the epoch."""

    version_id: str
    modified: int
    is_marker: bool
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What S3 holds under one key.

    etag, size   of the object as it is now; etag is empty where there is none, or where versions tell
    modified     when the youngest of it was written, seconds since the epoch
    versions     the newest first; () in a bucket that keeps none
    """

    key: str
    etag: str
    size: int
    modified: int
    versions: tuple[Version, ...] = ()


Sink = Callable[[Sequence[Stored]], None]


def list_bucket(
    s3: Any, *, bucket: str, owner: str, prefix: str, versioned: bool, sink: Sink, steps: Steps, workers: int = WORKERS
) -> None:
    """Hands every key under the prefix to `sink`, once, a page at a time; from several threads, but one at a time.

    Raises FailedError for an answer that can't be relied on, StoppedError, and what the SDK raises.
    """
    listing = _Listing(s3, bucket=bucket, owner=owner, prefix=prefix, versioned=versioned, sink=sink, steps=steps)
    listing.run(workers)


def middle(after: str, end: str | None, *, prefix: str) -> str | None:
    """A key about half-way between two, both under the prefix; None if there is none to be had. end None: the last."""
    common = _common(after, end) if end is not None else prefix
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
        self._active = 0
        self._failed = threading.Event()

    def run(self, workers: int) -> None:
        self._workers, self._pool = workers, ThreadPoolExecutor(workers, thread_name_prefix="list")
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
            for page, more in pages:
                keys = [after, *(one.key for one in page)]
                if any(later <= earlier for earlier, later in itertools.pairwise(keys)):
                    raise FailedError("S3 lists keys out of their order, so the listing can't be relied on")
                inside = [one for one in page if end is None or one.key <= end]
                with self._lock:
                    if self._failed.is_set():
                        return
                    self._steps.check()
                    self._sink(inside)
                    self._steps.add(len(inside))
                    if not more or len(inside) < len(page):
                        return
                    if page:
                        after = page[-1].key
                        end = self._split(after, end)
        finally:
            with self._lock:
                self._active -= 1

    def _split(self, after: str, end: str | None) -> str | None:
        """Where this range ends from now on."""
        if self._active >= self._workers:
            return end
        cut = middle(after, end, prefix=self._prefix)
        if cut is None:
            return end
        self._begin(cut, end)
        return cut

    def _objects(self, after: str) -> Iterator[tuple[list[Stored], bool]]:
        request: dict[str, Any] = {**self._where, **({"StartAfter": after} if after else {})}
        while True:
            answer = self._s3.list_objects_v2(**request)
            page = [
                Stored(one["Key"], one["ETag"], int(one["Size"]), int(one["LastModified"].timestamp()))
                for one in answer.get("Contents") or ()
            ]
            more = bool(answer.get("IsTruncated"))
            yield page, more
            if not more:
                return
            request = {**self._where, "ContinuationToken": _following(answer, "NextContinuationToken")}

    def _versions(self, after: str) -> Iterator[tuple[list[Stored], bool]]:
        request: dict[str, Any] = {**self._where, **({"KeyMarker": after} if after else {})}
        held: dict[str, list[Version]] = {}  # the page's last key: its further versions may be on the next
        while True:
            answer = self._s3.list_object_versions(**request)
            more = bool(answer.get("IsTruncated"))
            for key, versions in _by_key(answer).items():
                held.setdefault(key, []).extend(versions)
            ready = list(held)[: -1 if more else None]
            yield [_stored(key, held.pop(key)) for key in ready], more
            if not more:
                return
            request = {**self._where, "KeyMarker": _following(answer, "NextKeyMarker")}
            if answer.get("NextVersionIdMarker"):
                request["VersionIdMarker"] = answer["NextVersionIdMarker"]


def _following(answer: Mapping[str, Any], name: str) -> str:
    token = answer.get(name)
    if not token:
        raise FailedError(f"S3 says that its listing goes on and not where ({name} is missing)")
    return str(token)


def _by_key(answer: Mapping[str, Any]) -> dict[str, list[Version]]:
    """The page's keys in their order."""
    found: dict[str, list[Version]] = {}
    for name, is_marker in (("Versions", False), ("DeleteMarkers", True)):
        for one in answer.get(name) or ():
            found.setdefault(one["Key"], []).append(
                Version(one["VersionId"], int(one["LastModified"].timestamp()), is_marker, int(one.get("Size", 0)))
            )
    return {key: found[key] for key in sorted(found)}


def _stored(key: str, versions: list[Version]) -> Stored:
    return Stored(
        key,
        "",
        sum(one.size for one in versions),
        max(one.modified for one in versions),
        tuple(sorted(versions, key=lambda one: (-one.modified, one.version_id))),
    )
