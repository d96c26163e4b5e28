"""The lines of proof: what was about to be erased, then what became of it; and an outcome's text. Pure.

A file that is erased has two lines, joined by event ID and key: `intent`, flushed before the call, and
`outcome`. A file that stays has its outcome alone. An intent without an outcome is an invocation that was cut
off: its redelivery leaves another pair.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

from .calls import Line
from .environment import FunctionSettings
from .outcomes import ERASED, LEFT_TO_SWEEP, RETAINED_UNTIL, FileOutcome, FileResult, OutcomeKind, retained_until
from .records import RecordChange


def spell(outcome: FileOutcome) -> str:
    """As receipts, summaries and people have it: `erased`, `kept: live`, `retained until <time>`, `failed: <code>`."""
    if outcome == LEFT_TO_SWEEP:
        return outcome.detail
    if outcome.undated == RETAINED_UNTIL:
        date = timestamp(outcome.until)
        return f"{outcome.kind} {outcome.detail}" + (f" {date}" if date else "")
    return f"{outcome.kind}: {outcome.detail}" if outcome.detail else outcome.kind


def parse(text: str) -> FileOutcome | None:
    """What `spell` wrote into a stored receipt; None if it did not write this."""
    for outcome in (LEFT_TO_SWEEP, RETAINED_UNTIL):
        if text == spell(outcome):
            return outcome
    if text.startswith(dated := f"{spell(RETAINED_UNTIL)} "):
        try:
            return retained_until(datetime.fromisoformat(text.removeprefix(dated)).timestamp())
        except ValueError:
            return None
    kind, _, detail = text.partition(": ")
    kinds: dict[str, OutcomeKind] = {one: one for one in get_args(OutcomeKind)}
    return FileOutcome(kinds[kind], detail) if kind in kinds else None


def intent_line(change: RecordChange, key: str, *, settings: FunctionSettings) -> Line:
    return {"receipt": "intent", **_what(change, key, settings)}


def outcome_line(
    change: RecordChange, key: str, result: FileResult, *, settings: FunctionSettings, at: float
) -> Line:  # fmt: skip
    """at: when S3's answer was here, seconds since the epoch."""
    return {"receipt": "outcome", **_what(change, key, settings), **result_fields(result, at=at)}


def result_fields(result: FileResult, *, at: float) -> Line:
    """What a line of kind `outcome` has and one of kind `intent` has not."""
    return {
        "outcome": spell(result.outcome),
        "versions_erased": result.versions,
        "erased_at": timestamp(at) if result.outcome == ERASED else None,
    }


def timestamp(seconds: float | None) -> str | None:
    """UTC with milliseconds: 2026-01-01T00:00:00.000Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _what(change: RecordChange, key: str, settings: FunctionSettings) -> dict[str, object]:
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
