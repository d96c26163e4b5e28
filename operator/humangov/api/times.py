"""Moments as Kubernetes and receipts write them: RFC 3339, in UTC. All are aware datetimes. And durations. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_time(text: str | None) -> datetime | None:
    """RFC 3339, of any precision and zone, as an aware datetime; None for nothing. Raises ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def timestamp(moment: datetime) -> str:
    """A Time: `2026-03-01T12:00:00Z`. Conditions and metadata have these; what is below a second is cut off."""
    return _utc(moment, "seconds")


def timestamp_milliseconds(moment: datetime) -> str:
    """`2026-03-01T12:00:00.123Z`, as receipts have it."""
    return _utc(moment, "milliseconds")


def micro_time(moment: datetime) -> str:
    """A MicroTime: `2026-03-01T12:00:00.123456Z`. Leases and events have these, of six digits, never fewer."""
    return _utc(moment, "microseconds")


def duration(seconds: float) -> str:
    """For people, as they write it in a spec: `24h`, `90s`, `1h30m`, `3d`. What is below a second is cut off.

    Days only where there is nothing beside them, and from two on: a day is `24h`.
    """
    whole = int(seconds)
    days, rest = divmod(whole, 86400)
    if days > 1 and rest == 0:
        return f"{days}d"
    (minutes, second), hours = divmod(whole, 60), whole // 3600
    parts = ((hours, "h"), (minutes % 60, "m"), (second, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def _utc(moment: datetime, precision: str) -> str:
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
