"""What holds of an erasure limit, from tag, status, approval and CloudWatch. Runs on nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from humangov.api.erasure_limit import (
    APPROVE_ERASURES_ANNOTATION,
    Approved,
    ErasureLimit,
    LimitedRecords,
    Reached,
    judge,
    reached_in,
    status_field,
    tag_value,
)
from humangov.api.times import timestamp
from hypothesis import given
from hypothesis import strategies as st

from testing.samples import NOW

MINUTE = timedelta(minutes=1)
REACHED = Reached(at=NOW - 30 * MINUTE, limited=12)
APPROVED = Approved(at=NOW - 10 * MINUTE)
LIMITS = st.one_of(
    st.none(), st.builds(Reached, at=st.just(NOW), limited=st.integers(0, 10**6)), st.builds(Approved, at=st.just(NOW))
)


def limited(minutes_ago: int, number: int = 5) -> LimitedRecords:
    begun = NOW - minutes_ago * MINUTE
    return LimitedRecords(begun=begun, ended=begun + MINUTE, number=number)


def found(
    *records: LimitedRecords, tag: str | None = None, status: ErasureLimit | None = None, approves: str = ""
) -> ErasureLimit | None:
    annotations = {APPROVE_ERASURES_ANNOTATION: approves} if approves else {}
    kept = status_field(status)
    return judge(
        tag=tag, status={"erasureLimit": kept} if kept else {}, annotations=annotations, limited=records, now=NOW
    )


def test_limited_records_mean_that_the_limit_was_reached_when_the_last_of_them_was_handed_back() -> None:
    assert found() is None
    assert found(limited(9, 0)) is None
    assert found(limited(9, 5), limited(3, 2)) == Reached(at=NOW - 2 * MINUTE, limited=7)


@pytest.mark.parametrize(
    "kept", [{"tag": tag_value(REACHED)}, {"status": REACHED}, {"tag": tag_value(REACHED), "status": REACHED}]
)
def test_limit_that_tag_or_status_remembers_stays_reached_until_it_is_approved(kept: dict[str, str]) -> None:
    assert found(**kept) == REACHED  # type: ignore[arg-type]
    assert found(limited(1), **kept) == REACHED  # type: ignore[arg-type]
    assert found(approves="2020-01-01T00:00:00Z", **kept) == REACHED  # type: ignore[arg-type]
    assert found(approves=timestamp(REACHED.at), **kept) == Approved(at=NOW)  # type: ignore[arg-type]


def test_approval_ends_the_erasure_limit_reached_before_it_and_not_one_reached_after_it() -> None:
    tag = tag_value(APPROVED)
    assert found(limited(11), tag=tag, status=REACHED) == APPROVED
    assert found(limited(11, 9), limited(9, 4), tag=tag) == Reached(at=NOW - 8 * MINUTE, limited=4)


def test_later_erasure_limit_that_only_the_status_has_outlives_the_tag_of_an_earlier_approval() -> None:
    """After a kill between the two writes, or while the tag can't be written; CloudWatch may show nothing any more."""
    later = Reached(at=NOW - MINUTE, limited=9)
    assert found(tag=tag_value(APPROVED), status=later) == later
    assert found(tag=tag_value(APPROVED), status=later, approves=timestamp(later.at)) == Approved(at=NOW)
    assert found(tag=tag_value(later), status=REACHED) == later


@pytest.mark.parametrize(
    "tag", ["reached", "reached yesterday 5", "approved", "approved 2026-03-01", "yes", "reached x y"]
)
def test_unreadable_erasure_limit_tag_means_that_the_limit_was_reached(tag: str) -> None:
    assert isinstance(found(tag=tag), Reached)


@given(limit=LIMITS)
def test_erasure_limit_round_trips_through_tag_and_status(limit: ErasureLimit | None) -> None:
    if limit is not None:
        assert found(tag=tag_value(limit)) == limit
    if isinstance(limit, Reached):
        assert reached_in({"erasureLimit": status_field(limit)}) == limit
    else:
        assert status_field(limit) is None
