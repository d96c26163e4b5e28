"""When sweeps run. What the API server accepts of the same schedules: tests/cluster/test_schedules.py."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from humangov.api.spec import Sweep
from humangov.api.sweep_schedule import (
    ScheduleError,
    next_start,
    parse_schedule,
    refusal,
    schedule_of,
    sightings_last,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from testing.schedules import ACCEPTED, NEEDLESS, NEVER, REFUSED

DAY = timedelta(days=1)


@pytest.mark.parametrize("text", ACCEPTED)
def test_schedule_of_the_cron_job_api_is_accepted(text: str) -> None:
    assert refusal(Sweep(schedule=text)) is None
    assert next_start(text, "UTC", after=datetime(2026, 1, 1, tzinfo=UTC)) is not None


@pytest.mark.parametrize("text", [*REFUSED, *NEEDLESS])
def test_schedule_that_the_cron_job_api_refuses_is_refused_with_the_remedy(text: str) -> None:
    said = refusal(Sweep(schedule=text))
    assert said is not None
    assert text in said
    assert "Give another one, or remove the field" in said
    with pytest.raises(ScheduleError):
        parse_schedule(text)
    assert next_start(text, "UTC", after=datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize("text", NEVER)
def test_schedule_that_never_comes_or_not_in_every_year_is_refused(text: str) -> None:
    said = refusal(Sweep(schedule=text)) or ""
    assert "never occurs" in said or "less often than once a year" in said


def test_refused_day_of_the_week_names_what_it_may_be() -> None:
    said = refusal(Sweep(schedule="0 0 * * Monday")) or ""
    assert "its day of the week is 'Monday', and must be 0 (Sunday) to 6 or SUN to SAT" in said


def test_sweeps_without_a_schedule_are_spread_over_the_night() -> None:
    times = Counter(schedule_of(Sweep(), owner=f"cluster/humangov/state-{number}") for number in range(720))
    assert len(times) > 250  # of 360 minutes
    assert max(times.values()) <= 10
    hours = Counter(int(text.split()[1]) for text in times)
    assert sorted(hours) == [0, 1, 2, 3, 4, 5]
    assert all(refusal(Sweep(schedule=text)) is None for text in times)


def test_default_schedule_of_a_tenant_never_changes() -> None:
    """Another time would be another schedule of each CronJob, after an upgrade."""
    assert schedule_of(Sweep(), owner="cluster/humangov/california") == "58 1 * * *"
    assert schedule_of(Sweep(schedule="1 2 * * *"), owner="cluster/humangov/california") == "1 2 * * *"


LOS_ANGELES = "America/Los_Angeles"
STARTS = [
    ("17 3 * * *", "Etc/UTC", "2026-03-01T03:17:00+00:00", "2026-03-02T03:17:00+00:00"),
    ("17 3 * * *", "Etc/UTC", "2026-03-01T03:16:59+00:00", "2026-03-01T03:17:00+00:00"),
    ("0 2 * * *", LOS_ANGELES, "2026-03-01T12:30:00+00:00", "2026-03-02T10:00:00+00:00"),
    # 8 March 2026 has no 02:30 there, and 1 November has two 01:30.
    ("30 2 * * *", LOS_ANGELES, "2026-03-08T00:00:00+00:00", "2026-03-09T09:30:00+00:00"),
    ("30 1 * * *", LOS_ANGELES, "2026-11-01T08:00:00+00:00", "2026-11-01T08:30:00+00:00"),
    ("30 1 * * *", LOS_ANGELES, "2026-11-01T08:30:00+00:00", "2026-11-01T09:30:00+00:00"),
    # Both days given: either is enough; one of them *: the other alone decides, but */2 is no *.
    ("0 0 13 * FRI", "UTC", "2026-03-01T00:00:00+00:00", "2026-03-06T00:00:00+00:00"),
    ("0 0 * * FRI", "UTC", "2026-03-01T00:00:00+00:00", "2026-03-06T00:00:00+00:00"),
    ("0 0 13 * ?", "UTC", "2026-03-01T00:00:00+00:00", "2026-03-13T00:00:00+00:00"),
    ("0 0 */2 * SUN", "UTC", "2026-03-01T00:00:00+00:00", "2026-03-03T00:00:00+00:00"),
    ("0 0 */1 * SUN", "UTC", "2026-03-02T00:00:00+00:00", "2026-03-08T00:00:00+00:00"),
    ("0 0 1 1 *", "UTC", "2026-03-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
    ("50/5 23 31 12 *", "UTC", "2026-12-31T23:51:00+00:00", "2026-12-31T23:55:00+00:00"),
]


@pytest.mark.parametrize(("text", "zone", "after", "expected"), STARTS)
def test_next_start_of_a_schedule(text: str, zone: str, after: str, expected: str) -> None:
    assert next_start(text, zone, after=datetime.fromisoformat(after)) == datetime.fromisoformat(expected)


def test_next_start_in_an_unknown_zone_is_unknown() -> None:
    assert next_start("0 0 * * *", "Mars/Olympus", after=datetime(2026, 1, 1, tzinfo=UTC)) is None


numbers = st.integers(0, 23).map(str) | st.sampled_from(["*", "*/7", "2-4", "1,2,3", "20/2"])
weekdays = st.sampled_from(["*", "?", "SUN", "1-5", "6"])
days = st.sampled_from(["*", "1", "8", "*/2", "?"])


@settings(max_examples=60, deadline=None)
@given(
    minute=numbers, hour=numbers, day=days, weekday=weekdays,
    zone=st.sampled_from(["UTC", LOS_ANGELES, "Australia/Lord_Howe", "Asia/Kathmandu"]),
    hours=st.integers(0, 24 * 400),
)  # fmt: skip
def test_next_start_is_the_first_minute_that_fits(
    minute: str, hour: str, day: str, weekday: str, zone: str, hours: int
) -> None:
    text, after = f"{minute} {hour} {day} * {weekday}", datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    found = next_start(text, zone, after=after)
    assert found is not None
    schedule, local = parse_schedule(text), found.astimezone(ZoneInfo(zone))
    assert (local.minute in schedule.minutes, local.hour in schedule.hours, schedule.has(local.date())) == (True,) * 3
    moment = max(after, found - 2 * DAY)
    while (moment := moment + timedelta(minutes=1)) < found:
        local = moment.astimezone(ZoneInfo(zone))
        fits = local.minute in schedule.minutes and local.hour in schedule.hours and schedule.has(local.date())
        assert not fits


@pytest.mark.parametrize(
    ("schedule", "confirm_after", "expected"),
    [
        (None, DAY, timedelta(days=14)),
        ("*/5 * * * *", timedelta(minutes=1), timedelta(days=14)),
        (None, 13 * DAY, timedelta(days=15)),
        ("0 3 * * SUN", 13 * DAY, timedelta(days=21)),
        ("0 3 1 * *", DAY, timedelta(days=33)),
        ("0 3 1 1 *", DAY, timedelta(days=368)),
        ("0 3 31 2 *", DAY, timedelta(days=14)),
    ],
)
def test_sightings_last_until_the_second_sweep_after_confirm_after(
    schedule: str | None, confirm_after: timedelta, expected: timedelta
) -> None:
    options = Sweep(schedule=schedule, confirm_after_seconds=int(confirm_after.total_seconds()))
    assert sightings_last(options) == expected
