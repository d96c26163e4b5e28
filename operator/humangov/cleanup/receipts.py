"""The lines of proof: what was about to be erased, then what became of it. Pure.

A file that is erased has two lines, joined by event ID and key: `intent`, flushed before the call, and
`outcome`. A file that stays has its outcome alone. An intent without an outcome is an invocation that was cut
off: its redelivery leaves another pair.
"""

from __future__ import annotations

from datetime import UTC, datetime

from .calls import Line
from .records import Change
from .settings import Settings

ERASED = "erased"
HIDDEN = "hidden: versions remain"
ABSENT = "absent"
KEPT_LIVE = "kept: live"
KEPT_NEWER = "kept: newer"
KEPT_RESERVED = "kept: reserved"
KEPT_UNDATED = "kept: undated"


def failed(code: str) -> str:
    return f"failed: {code}"


def is_failure(outcome: str) -> bool:
    """Whether Lambda has to bring the record again."""
    return outcome.startswith("failed: ")


def intent(change: Change, key: str, *, settings: Settings) -> Line:
    return {"receipt": "intent", **_what(change, key, settings)}


def outcome(change: Change, key: str, result: str, *, settings: Settings, at: float) -> Line:
    """at: when S3's answer was here, seconds since the epoch."""
    return {
        "receipt": "outcome",
        **_what(change, key, settings),
        "outcome": result,
        "erased_at": timestamp(at) if result == ERASED else None,
    }


def timestamp(seconds: float | None) -> str | None:
    """UTC with milliseconds: 2026-01-01T00:00:00.000Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _what(change: Change, key: str, settings: Settings) -> dict[str, object]:
    return {
        "tenant": settings.tenant,
        "bucket": settings.bucket,
        "key": key,
        "record_key": change.record_key,
        "event_id": change.event_id,
        "sequence_number": change.sequence_number,
        "event": change.event_name,
        "expired": change.expired,
        "deleted_at": timestamp(change.removed_at),
    }
