"""Moments as Kubernetes writes them: RFC 3339, in UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_time(text: str | None) -> datetime | None:
    """A Kubernetes timestamp (RFC 3339) as an aware datetime."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def timestamp(moment: datetime) -> str:
    """The API's Time, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_time(moment: datetime) -> str:
    """The API's MicroTime: it takes six digits, never fewer."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
