"""The lines of a receipt: the intent before an erasure, the outcome after it; and an outcome's text. Pure.

An erased file has two lines, joined by event ID and key: `intent`, stored before the call, and `outcome`. A file that
stays has only an outcome, unless a record named it while its intent was stored. An intent without an outcome means that
the invocation was interrupted: the next delivery writes an outcome, of what is so then.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

from .calls import Line
from .environment import FunctionSettings
from .outcomes import ERASED, LEFT_TO_SWEEP, RETAINED_UNTIL, FileOutcome, FileResult, OutcomeKind, retained_until
from .records import RecordChange


def spell(outcome: FileOutcome) -> str:
    """The text in receipts and summaries: `erased`, `kept: live`, `retained until <time>`, `failed: <code>`."""
    if outcome == LEFT_TO_SWEEP:
        return outcome.detail
    if outcome.undated == RETAINED_UNTIL:
        date = timestamp(outcome.until)
        return f"{outcome.kind} {outcome.detail}" + (f" {date}" if date else "")
    return f"{outcome.kind}: {outcome.detail}" if outcome.detail else outcome.kind


def parse(text: str) -> FileOutcome | None:
    """The outcome that `spell` wrote to a stored receipt; None for any other text."""
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


def intent_line(
    change: RecordChange, key: str, *, settings: FunctionSettings, versions_seen: int | None = None
) -> Line:  # fmt: skip
    """versions_seen: number of versions and delete markers that S3 listed just before; None if it was not asked."""
    return {"receipt": "intent", **_what(change, key, settings), "versions_seen": versions_seen}


def outcome_line(
    change: RecordChange, key: str, result: FileResult, *, settings: FunctionSettings, at: float
) -> Line:  # fmt: skip
    """at: time of S3's response, in seconds since the epoch."""
    return {
        "receipt": "outcome", **_what(change, key, settings), **result_fields(result, at=at),
        "announced": result.announced,
    }  # fmt: skip


def result_fields(result: FileResult, *, at: float) -> Line:
    """The fields that only a line of kind `outcome` has."""
    return {
        "outcome": spell(result.outcome),
        "versions_erased": result.versions,
        "versions_left": result.left,
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
