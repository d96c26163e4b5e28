"""When a sweep runs: its schedule as the CronJob controller reads it, and how long a sighting then lasts. Pure.

The controller's parser is robfig/cron: https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format. What is
accepted here is accepted there, and starts at the same moments. Macros (`@daily`), signs, empty items of a list and
more than one space between fields are refused here, as by the definition, and are not needed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from humangov.api.spec import Sweep

SIGHTINGS_LAST_AT_LEAST = timedelta(days=14)
LONGEST_GAP = timedelta(days=366)
_SWEEP_LASTS = timedelta(days=1)
"""More than a sweep waits and runs."""

_NIGHT_MINUTES = 6 * 60  # from midnight on
_CALENDAR_REPEATS = (date(2001, 1, 1), date(2029, 1, 1))  # after 28 years, weekdays and leap years included
_GIVES_UP_AFTER_DAYS = 5 * 366  # as the controller does
_ITEM = re.compile(r"(?:([*?])|([0-9]{1,2}|[A-Za-z]{3})(?:-([0-9]{1,2}|[A-Za-z]{3}))?)(?:/([0-9]{1,3}))?")
_REMEDY = "Give another one, or remove the field: the sweep then runs once a night"


class ScheduleError(Exception):
    """No sweep can run on this schedule; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class CronSchedule:
    """either_day: a day fits by its number or by its weekday, not by both. Sunday is 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def has(self, day: date) -> bool:
        by_number, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        fits = by_number or by_weekday if self.either_day else by_number and by_weekday
        return fits and day.month in self.months


@dataclass(frozen=True, kw_only=True)
class _Field:
    what: str
    first: int
    last: int
    expected: str
    names: Sequence[str] = ()


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS = (
    _Field(what="minute", first=0, last=59, expected="0 to 59"),
    _Field(what="hour", first=0, last=23, expected="0 to 23"),
    _Field(what="day of the month", first=1, last=31, expected="1 to 31"),
    _Field(what="month", first=1, last=12, expected="1 to 12 or JAN to DEC", names=_MONTHS),
    _Field(what="day of the week", first=0, last=6, expected="0 (Sunday) to 6 or SUN to SAT", names=_WEEKDAYS),
)


def schedule_of(options: Sweep, *, owner: str) -> str:
    """The schedule in effect: the given one; else one time each night, which `owner` (names.owner) determines.

    So the sweeps of many tenants are spread over the night, and each keeps its time.
    """
    if options.schedule:
        return options.schedule
    minute = int.from_bytes(hashlib.sha256(owner.encode()).digest()[:8]) % _NIGHT_MINUTES
    return f"{minute % 60} {minute // 60} * * *"


def refusal(options: Sweep) -> str | None:
    """Why no sweep can run on the given schedule, and what to do; None if one can."""
    try:
        _longest_gap(options.schedule) if options.schedule else None
    except ScheduleError as error:
        return str(error)
    return None


def sightings_last(options: Sweep) -> timedelta:
    """How long an orphan list counts as a sighting: so long that two sweeps on this schedule can confirm an orphan."""
    try:
        gap = _longest_gap(options.schedule) if options.schedule else timedelta(days=1)
    except ScheduleError:
        return SIGHTINGS_LAST_AT_LEAST
    return max(SIGHTINGS_LAST_AT_LEAST, timedelta(seconds=options.confirm_after_seconds) + gap + _SWEEP_LASTS)


@lru_cache(maxsize=1024)
def parse_schedule(text: str) -> CronSchedule:
    """Five fields, as `17 3 * * *`. Raises ScheduleError."""
    parts = text.split(" ")
    if len(parts) != len(_FIELDS):
        raise ScheduleError(
            f"spec.sweep.schedule must have five fields (minute, hour, day of the month, month, day of the week), such "
            f"as 17 3 * * *, not {text!r}. {_REMEDY}"
        )
    minutes, hours, days, months, weekdays = (
        _numbers(part, one, text) for part, one in zip(parts, _FIELDS, strict=True)
    )
    return CronSchedule(
        minutes=minutes, hours=hours, days=days, months=months, weekdays=weekdays,
        either_day=not _is_any(parts[2]) and not _is_any(parts[4]),
    )  # fmt: skip


def next_start(text: str, time_zone: str, *, after: datetime) -> datetime | None:
    """When the CronJob next starts a Job, in UTC; None if it never does, or if that is unknown.

    A time that the clock skips does not come that day; one that it repeats comes twice.
    """
    try:
        schedule, zone = parse_schedule(text), ZoneInfo(time_zone)
    except (ScheduleError, ZoneInfoNotFoundError, ValueError, OSError):
        return None
    first = after.astimezone(zone).date()
    for number in range(_GIVES_UP_AFTER_DAYS):
        day = first + timedelta(days=number)
        for hour in sorted(schedule.hours) if schedule.has(day) else ():
            begins = datetime(day.year, day.month, day.day, hour, tzinfo=zone)
            if begins.replace(minute=59, fold=1).astimezone(UTC) > after:
                later = [moment for moment in _moments(schedule, begins) if moment > after]
                if later:
                    return min(later)
    return None


def _moments(schedule: CronSchedule, begins: datetime) -> Iterator[datetime]:
    """Of an hour that begins then; none that the clock skips, twice those that it repeats."""
    for minute in schedule.minutes:
        for fold in (0, 1):
            local = begins.replace(minute=minute, fold=fold)
            moment = local.astimezone(UTC)
            if moment.astimezone(begins.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None):
                yield moment


def _longest_gap(text: str) -> timedelta:
    """The longest time between the dates of two sweeps. Raises ScheduleError."""
    longest = _longest_gap_of_dates(replace(parse_schedule(text), minutes=frozenset(), hours=frozenset()))
    if longest is None:
        raise ScheduleError(f"spec.sweep.schedule {text!r} never occurs: there is no such date. {_REMEDY}")
    if longest > LONGEST_GAP:
        raise ScheduleError(f"spec.sweep.schedule {text!r} occurs less often than once a year. {_REMEDY}")
    return longest


@lru_cache(maxsize=128)
def _longest_gap_of_dates(schedule: CronSchedule) -> timedelta | None:
    """None: there is no date. It takes 10,000 steps, once for all schedules of the same dates."""
    first, end = _CALENDAR_REPEATS
    dates = [day for number in range((end - first).days) if schedule.has(day := first + timedelta(days=number))]
    if not dates:
        return None
    again = dates[0] + (end - first)
    return max(later - earlier for earlier, later in zip(dates, [*dates[1:], again], strict=True))


def _numbers(part: str, one: _Field, text: str) -> frozenset[int]:
    """Raises ScheduleError."""
    found: set[int] = set()
    for item in part.split(","):
        numbers = _range(item, one)
        if numbers is None:
            raise ScheduleError(
                f"spec.sweep.schedule {text!r} is not valid: its {one.what} is {item!r}, and must be {one.expected}, "
                f"*, a range such as 1-5, or one with a step such as */2. {_REMEDY}"
            )
        found |= set(numbers)
    return frozenset(found)


def _range(item: str, one: _Field) -> range | None:
    """None if it is none."""
    matched = _ITEM.fullmatch(item)
    if matched is None:
        return None
    anything, given_low, given_high, given_step = matched.groups()
    step = 1 if given_step is None else int(given_step)
    if anything:
        low, high = one.first, one.last
    else:
        to_the_end = given_high is None and given_step is not None  # N/step: from N on
        found = (_number(given_low, one), one.last if to_the_end else _number(given_high or given_low, one))
        if found[0] is None or found[1] is None:
            return None
        low, high = found[0], found[1]
    if not one.first <= low <= high <= one.last or step == 0:
        return None
    return range(low, high + 1, step)


def _number(text: str, one: _Field) -> int | None:
    if text.isdecimal():
        return int(text)
    return one.first + one.names.index(text.upper()) if text.upper() in one.names else None


def _is_any(part: str) -> bool:
    """Whether it restricts nothing, so that the other field of the day alone decides."""
    return any(re.fullmatch(r"[*?](/0*1)?", item) for item in part.split(","))
