"""The period of a report: a month, or any span. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from humangov.proof.receipts import WhenError, moment

_RESOLUTION = timedelta(milliseconds=1)
"""CloudWatch Logs dates a line to the millisecond."""


@dataclass(frozen=True, kw_only=True)
class Period:
    """since and until, both included, in UTC. name: as in the names of files, such as 2026-11."""

    since: datetime
    until: datetime
    name: str

    @property
    def title(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M} UTC"


def month(text: str) -> Period:
    """`2026-11`: from its first millisecond to its last, in UTC. Raises WhenError."""
    found = re.fullmatch(r"(\d{4})-(\d\d)", text)
    try:
        if found is None:
            raise ValueError
        since = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
        following = (since + timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError):
        raise WhenError(f"{text!r} is not a valid month: expected 2026-11") from None
    return Period(since=since, until=following - _RESOLUTION, name=text)


def last_month(now: datetime) -> Period:
    """The month before the one of `now`, in UTC."""
    before = now.astimezone(UTC).replace(day=1) - timedelta(days=1)
    return month(f"{before:%Y-%m}")


def span(since: str, until: str | None, *, now: datetime) -> Period:
    """In the forms of `receipts.moment`; until None: now. Raises WhenError."""
    first = moment(since, now=now).astimezone(UTC)
    last = moment(until, now=now).astimezone(UTC) if until else now.astimezone(UTC)
    if last <= first:
        raise WhenError(f"the period ends at {last:%Y-%m-%d %H:%M} UTC, before it begins")
    return Period(since=first, until=last, name=f"{first:%Y%m%dT%H%MZ}-{last:%Y%m%dT%H%MZ}")
