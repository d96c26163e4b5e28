"""The span of lost records: never shorter than what was lost. A model knows of each record whether it was ever read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from humangov.api.times import timestamp
from humangov.aws import stream_observed
from humangov.reconcile.lost_records import Lost, Records, Seen, covered_until, extended, following
from hypothesis import example, given
from hypothesis import strategies as st

from testing.samples import NOW, tenant


@dataclass(frozen=True)
class Hour:
    """What holds from its begin on. seen: the operator reconciles then. restarted: just before that."""

    what: str
    seen: bool
    restarted: bool


HOURS = st.lists(
    st.builds(
        Hour, what=st.sampled_from(["read", "unread", "off", "anew"]), seen=st.booleans(), restarted=st.booleans()
    ),
    max_size=8,
).flatmap(lambda some: st.tuples(*(st.tuples(st.just(one), st.integers(1, 30)) for one in some)))


# A restart forgets when the stream was read, so that a second loss seems to begin before the first one ended.
@example(
    spans=(
        (Hour("unread", seen=False, restarted=False), 3),
        (Hour("anew", seen=True, restarted=False), 1),
        (Hour("unread", seen=False, restarted=True), 21),
    )
)
@given(spans=HOURS)
def test_every_record_that_is_never_read_is_within_the_reported_span(
    spans: tuple[tuple[Hour, int], ...], births: dict[str, datetime]
) -> None:
    """A record an hour. It is handled if its stream is read within 24 hours."""
    hours = [Hour("read", seen=True, restarted=False)]
    for hour, lasts in spans:
        hours += [hour] * (lasts - 1)
        # A trigger that others disable and enable again leaves no trace, unless the operator reconciles between.
        hours.append(replace(hour, seen=hour.seen or hour.what == "unread"))
    hours.append(Hour("read", seen=True, restarted=False))
    births.clear()
    records, read_at, number, was_off = Records(), NOW, 0, False
    written: list[str | None] = []
    for at, hour in enumerate(hours):
        now = NOW + timedelta(hours=at)
        is_off = hour.what == "off"
        number += hour.what == "anew" or (was_off and not is_off)
        was_off = is_off
        label = None if is_off else f"s{number}"
        births.setdefault(label or "", now)
        written.append(label)
        if hour.seen:
            is_read = hour.what in ("read", "anew")
            found = Seen(stream=label, is_read=is_read, cause="StreamDisabled" if is_off else "NotRead")
            records = following(records, found, read_at=NOW if hour.restarted else read_at, now=now)
            read_at = now if is_read else read_at
    readings = [(at, of) for at, of in enumerate(written) if hours[at].what in ("read", "anew")]
    for at, label in enumerate(written):
        if not any(of == label and 0 <= then - at <= 24 for then, of in readings):
            when = NOW + timedelta(hours=at)
            assert records.lost is not None, when
            assert records.lost.until is not None
            assert records.lost.since <= when <= records.lost.until


@pytest.fixture(scope="module")
def births() -> Iterator[dict[str, datetime]]:
    """When each stream was born."""
    born: dict[str, datetime] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_observed, "born_at", lambda label: born.get(label or ""))
        yield born


@pytest.mark.parametrize(
    ("swept", "covers"),
    [
        ({}, None), ({"startedAt": "2026-03-01T12:00:00Z", "result": "Running"}, None),
        ({"startedAt": "2026-03-01T12:00:00Z", "result": "Detected", "tooYoung": 0}, "2026-03-01T12:00:00Z"),
        ({"startedAt": "2026-03-01T12:00:00Z", "result": "Erased", "tooYoung": 1}, "2026-02-28T12:00:00Z"),
        ({"startedAt": "2026-03-01T12:00:00Z", "result": "Erased"}, "2026-02-28T12:00:00Z"),
    ],
)  # fmt: skip
def test_sweep_covers_what_was_removed_before_it_began(swept: Mapping[str, Any], covers: str | None) -> None:
    found = covered_until(swept, tenant())
    assert (timestamp(found) if found else None) == covers


def test_two_losses_are_reported_as_one_span() -> None:
    first = Lost(since=NOW - timedelta(hours=9), until=NOW - timedelta(hours=8), cause="StreamDisabled")
    before = Records(stream="a", unread_since=NOW - timedelta(hours=30), lost=first)
    after = following(before, Seen(stream="a", is_read=True), read_at=NOW, now=NOW)
    assert after.lost == Lost(
        since=NOW - timedelta(hours=30), until=NOW - timedelta(hours=8), cause="NotRead"
    )  # fmt: skip


def test_discarded_records_do_not_end_a_loss_that_goes_on() -> None:
    goes_on = Records(stream="a", unread_since=NOW, lost=Lost(since=NOW, until=None, cause="NotRead"))
    discarded = Lost(since=NOW - timedelta(hours=1), until=NOW + timedelta(hours=1), cause="NotStored")
    lost = extended(goes_on, discarded).lost
    assert lost is not None
    assert (lost.since, lost.until, lost.cause) == (discarded.since, None, "NotRead")


def test_second_loss_that_seems_to_begin_before_the_first_one_ended_keeps_that_end() -> None:
    """After a restart: until then the operator knew that the stream had been read."""
    first = Lost(since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=4), cause="StreamDisabled")
    unread = following(
        Records(stream="a", lost=first),
        Seen(stream="a", is_read=False), read_at=NOW, now=NOW + timedelta(hours=25),
    )  # fmt: skip
    assert unread.lost == replace(first, since=NOW)
    read = following(unread, Seen(stream="a", is_read=True), read_at=NOW, now=NOW + timedelta(hours=26))
    assert read.lost is not None
    assert (read.lost.since, read.lost.until) == (NOW, NOW + timedelta(hours=4))
