"""The lines of proof: what was about to be erased, then what became of it. Pure.

A file that is erased has two lines, joined by event ID and key: `intent`, flushed before the call, and
`outcome`. A file that stays has its outcome alone. An intent without an outcome is an invocation that was cut
off: its redelivery leaves another pair.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from .calls import Line
from .environment import Settings
from .records import Change

ERASED = "erased"
ABSENT = "absent"
KEPT_LIVE = "kept: live"
KEPT_NEWER = "kept: newer"
KEPT_RESERVED = "kept: reserved"
KEPT_UNDATED = "kept: undated"
LEFT_TO_SWEEP = "left to the sweep"
RETAINED_HOLD = "retained: legal hold"
RETAINED_MFA = "retained: MFA delete"
RETAINED_UNTIL = "retained until "


class Result(NamedTuple):
    """What became of one file.

    outcome    one of the above, or failed
    versions   how many versions and markers were erased; None where S3 does not say: a bucket that keeps none
               answers alike for a file and for none
    """

    outcome: str
    versions: int | None = None


def failed(code: str) -> str:
    return f"failed: {code}"


def retained_until(seconds: float) -> str:
    return f"{RETAINED_UNTIL}{timestamp(seconds)}"


def is_failure(outcome: str) -> bool:
    """Whether Lambda has to bring the record again."""
    return outcome.startswith("failed: ")


def kind(outcome: str) -> str:
    """What the outcome is counted as: erased, absent, kept, retained or failed."""
    if outcome == LEFT_TO_SWEEP:
        return "kept"
    return outcome.split(":")[0].split(" ")[0]


def counted_as(outcome: str) -> str:
    """The outcome without its date, for the batch's summary."""
    return RETAINED_UNTIL.strip() if outcome.startswith(RETAINED_UNTIL) else outcome


def intent(change: Change, key: str, *, settings: Settings) -> Line:
    return {"receipt": "intent", **_what(change, key, settings)}


def outcome(change: Change, key: str, result: Result, *, settings: Settings, at: float) -> Line:
    """at: when S3's answer was here, seconds since the epoch."""
    return {
        "receipt": "outcome",
        **_what(change, key, settings),
        "outcome": result.outcome,
        "versions_erased": result.versions,
        "erased_at": timestamp(at) if result.outcome == ERASED else None,
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
