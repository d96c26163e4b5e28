"""RFC 3339 as Kubernetes and receipts write it. Runs on nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from humangov.api.times import duration, micro_time, parse_time, timestamp, timestamp_milliseconds
from hypothesis import given
from hypothesis import strategies as st

MOMENT = datetime(2026, 3, 1, 12, 0, 5, 120_000, tzinfo=UTC)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2999, 1, 1), timezones=ZONES)  # noqa: DTZ001
PRECISIONS = [
    (timestamp, timedelta(seconds=1), "2026-03-01T12:00:05Z"),
    (timestamp_milliseconds, timedelta(milliseconds=1), "2026-03-01T12:00:05.120Z"),
    (micro_time, timedelta(microseconds=1), "2026-03-01T12:00:05.120000Z"),
]


@pytest.mark.parametrize(("write", "_step", "text"), PRECISIONS)
def test_timestamp_has_all_digits_of_its_precision(
    write: Callable[[datetime], str], _step: timedelta, text: str
) -> None:
    assert write(MOMENT) == text


@pytest.mark.parametrize(("write", "step", "_text"), PRECISIONS)
@given(moment=MOMENTS)
def test_timestamp_in_any_zone_is_read_back_to_its_precision(
    write: Callable[[datetime], str], step: timedelta, _text: str, moment: datetime
) -> None:
    found = parse_time(write(moment))
    assert found is not None
    assert timedelta(0) <= moment - found < step


def test_empty_timestamp_is_none_and_an_invalid_one_is_refused() -> None:
    assert parse_time(None) is None
    assert parse_time("") is None
    with pytest.raises(ValueError, match="yesterday"):
        parse_time("yesterday")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (0.9, "0s"), (59, "59s"), (60, "1m"), (133, "2m13s"), (5400, "1h30m"), (3600, "1h"),
        (84600, "23h30m"),
        (86400, "24h"), (90000, "25h"), (2 * 86400, "2d"), (2 * 86400 + 60, "48h1m"), (365 * 86400, "365d"),
    ],
)  # fmt: skip
def test_duration_is_printed_as_people_write_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text
