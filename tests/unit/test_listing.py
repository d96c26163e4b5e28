"""Ranges of keys that are listed at once: each key comes once, wherever ranges are cut, and cuts are where keys are."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from humangov.reading.progress import Steps
from humangov.sweep import listing
from humangov.sweep.key_space import HIGHEST, cuts, pages_left
from humangov.sweep.listing import Stored, list_bucket
from hypothesis import given, settings
from hypothesis import strategies as st

TIME = datetime(2026, 1, 1, tzinfo=UTC)


class Bucket:
    """S3's two listings of these keys.

    pages: how many keys each page had. questions: calls for one key alone. workers: that listed.
    """

    def __init__(self, keys: Sequence[str], *, page: int) -> None:
        self.keys, self._page = sorted(set(keys), key=str.encode), page
        self._encoded = [key.encode() for key in self.keys]
        self.pages: list[int] = []
        self.questions = self.workers = 0
        self.lock = threading.Lock()
        self._threads: set[int] = set()

    def _answer(self, after: str, most: int, prefix: str) -> tuple[list[str], bool]:
        first = bisect.bisect_right(self._encoded, after.encode())
        found = [key for key in self.keys[first:] if key.startswith(prefix)]
        with self.lock:
            if most < self._page:
                self.questions += 1
            else:
                self.pages.append(len(found[:most]))
                self.workers += threading.get_ident() not in self._threads
                self._threads.add(threading.get_ident())
        return found[:most], len(found) > most

    def list_objects_v2(self, **asked: Any) -> Any:
        after = asked.get("ContinuationToken") or asked.get("StartAfter", "")
        keys, more = self._answer(after, asked.get("MaxKeys", self._page), asked["Prefix"])
        contents = [{"Key": key, "ETag": "1", "Size": 1, "LastModified": TIME} for key in keys]
        return {"Contents": contents, "IsTruncated": more, **({"NextContinuationToken": keys[-1]} if more else {})}

    def list_object_versions(self, **asked: Any) -> Any:
        keys, more = self._answer(asked.get("KeyMarker", ""), self._page, asked["Prefix"])
        same = {"VersionId": "v", "ETag": "1", "Size": 1, "LastModified": TIME, "IsLatest": True}
        versions = [{"Key": key, **same} for key in keys]
        return {"Versions": versions, "IsTruncated": more, **({"NextKeyMarker": keys[-1]} if more else {})}


@contextmanager
def workers(number: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "workers_that_pay", lambda **_: number)
        yield


def listed(bucket: Bucket, *, prefix: str = "", versioned: bool = False) -> list[str]:
    found: list[str] = []

    def sink(page: Sequence[Stored]) -> None:
        found.extend(one.key for one in page)

    list_bucket(bucket, bucket="b", owner="1", prefix=prefix, versioned=versioned, sink=sink, steps=Steps())
    return found


letters = st.text("0179afz/-~ é\U0001f600\x01", max_size=6)
names = st.builds("".join, st.tuples(st.sampled_from(("", "a/", "zz/deep/down/", "é/")), letters, letters))


@given(keys=st.lists(names.filter(bool), max_size=80), page=st.integers(2, 7), versioned=st.booleans(),
       prefix=st.sampled_from(("", "a/", "zz/deep/")), number=st.integers(1, 16))  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_each_key_comes_once_wherever_ranges_are_cut(
    keys: list[str], page: int, versioned: bool, prefix: str, number: int
) -> None:
    bucket = Bucket(keys, page=page)
    with workers(number):
        found = listed(bucket, prefix=prefix, versioned=versioned)
    assert sorted(found, key=str.encode) == [key for key in bucket.keys if key.startswith(prefix)]


NUMBERED = [f"employee-{number:09d}-curriculum-vitae.pdf" for number in range(20_000)]
LAYOUTS = {
    "numbers": NUMBERED,
    "one prefix holds 99 %": [
        *(f"archive/{name}" for name in NUMBERED[:100]),
        *(f"humangov-california/{name}" for name in NUMBERED[:19_800]),
        *(f"zip/{name}" for name in NUMBERED[:100]),
    ],
    "random hexadecimal numbers": [
        f"files/{UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)}.pdf" for number in range(20_000)
    ],
    "a folder a person": [f"{number % 500:03d}/{number // 500}.pdf" for number in range(20_000)],
}


@pytest.mark.parametrize("keys", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_cuts_take_few_questions_and_few_pages_in_vain(keys: list[str]) -> None:
    """The best of four: how many are in vain also depends on which thread the processor is given to."""
    buckets: list[Bucket] = []
    while not any(map(is_frugal, buckets)) and len(buckets) < 4:
        buckets.append(Bucket(keys, page=100))
        with workers(16):
            assert sorted(listed(buckets[-1])) == buckets[-1].keys
    assert any(map(is_frugal, buckets)), [(one.workers, len(one.pages), one.questions) for one in buckets]


def is_frugal(bucket: Bucket) -> bool:
    pages = len(bucket.keys) / 100
    return bucket.workers >= 8 and len(bucket.pages) < 1.3 * pages and bucket.questions < 0.25 * pages


@pytest.mark.parametrize(
    ("first", "after", "limit", "pages"),
    [("a00", "a10", "a90", 8), ("a000", "a00f", "a01", 0.1), ("a49", "b10", "b11", 0.01), ("a", "b", "c", 1),
     ("a", "a", "c", float("inf"))],
)  # fmt: skip
def test_number_of_remaining_pages_is_estimated_from_the_density_of_the_last_page(
    first: str, after: str, limit: str, pages: float
) -> None:
    assert pages_left(first, after, limit, like=(first, after)) == pytest.approx(pages, abs=0.1)


@given(after=names, limit=names, parts=st.integers(2, 16), like=st.lists(names, max_size=4))
def test_cuts_of_a_range_are_within_it_and_in_order(after: str, limit: str, parts: int, like: list[str]) -> None:
    found = cuts(after, limit, parts=parts, like=like)
    assert all(after < key < limit for key in found)
    assert found == sorted(set(found))
    assert len(found) < parts


@pytest.mark.parametrize(
    ("after", "limit", "found"),
    [
        ("employee-000000999-cv.pdf", f"employee-0009{HIGHEST}", ["employee-00025", "employee-0005", "employee-00075"]),
        ("files/00ab-3.pdf", f"files/f{HIGHEST}", ["files/4", "files/8", "files/c"]),
        ("cv/abe.pdf", f"cv/z{HIGHEST}", ["cv/g", "cv/n", "cv/t"]),
    ],
)
def test_range_is_cut_where_its_kind_of_letters_is_divided_evenly(after: str, limit: str, found: list[str]) -> None:
    several = cuts(after, limit, parts=4, like=[after])
    assert [key[: len(shown)] for key, shown in zip(several, found, strict=True)] == found
