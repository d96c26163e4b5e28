"""Log lines that are not receipts: a batch's summary, a malformed record, an unexpected error. Pure."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .calls import Line, NoReceiptError
from .embedded_metrics import LIMITED_RECORDS, metrics
from .environment import FunctionSettings
from .outcomes import BatchResult
from .receipt_lines import spell


def batch_line(result: BatchResult, *, settings: FunctionSettings) -> Line:
    """files: outcome → number. max_latency_ms: from the removal, known to the second, to the erasure."""
    kinds: Counter[str] = Counter()
    for outcome, number in result.outcomes.items():
        kinds[outcome.kind] += number
    counts = {kind: kinds[kind] for kind in ("erased", "kept", "retained", "held")}
    counts |= {"malformed": result.malformed, "unresolved": result.unresolved, "failed": result.failed}
    counts[LIMITED_RECORDS] = result.limited
    return {
        "level": "INFO",
        "message": "batch",
        "tenant": settings.tenant,
        "records": result.records,
        "files": {spell(outcome): number for outcome, number in result.outcomes.items()},
        "unhandled": result.unhandled,
        "max_latency_ms": max(result.latencies_ms, default=None),
        "duration_ms": round((result.ended - result.started) * 1000),
        **metrics(counts, latencies_ms=result.latencies_ms, at=result.ended),
    }


def malformed_line(reason: str, number: str, event_id: Any, *, settings: FunctionSettings, **more: Any) -> Line:
    return _skipped("malformed record skipped", reason, number, event_id, settings, more)


def unresolved_line(reason: str, number: str, event_id: Any, *, settings: FunctionSettings, **more: Any) -> Line:
    """The file that the record may have named stays; the sweep erases it if no record may name it."""
    return _skipped("unresolved file name skipped", reason, number, event_id, settings, more)


def _skipped(
    message: str, reason: str, number: str, event_id: Any, settings: FunctionSettings, more: Mapping[str, Any]
) -> Line:  # fmt: skip
    return {
        "level": "WARN",
        "message": message,
        "tenant": settings.tenant,
        "reason": reason,
        "event_id": event_id,
        "sequence_number": number,
        **more,
    }


def no_receipt_line(error: NoReceiptError, *, number: int, settings: FunctionSettings) -> Line:
    """number: of lines of receipts that are not stored."""
    return {
        "level": "ERROR",
        "message": "receipts could not be stored, the records will be retried",
        "tenant": settings.tenant,
        "reason": str(error),
        "lines": number,
    }


def limit_line(limited: int, *, maximum: int, settings: FunctionSettings) -> Line:
    """limited: number of records that were handed back."""
    return {
        "level": "WARN",
        "message": "erasure limit reached",
        "tenant": settings.tenant,
        "limited": limited,
        "maximum_per_hour": maximum,
    }


def bug_line(error: Exception, numbers: Sequence[str], *, settings: FunctionSettings) -> Line:
    """A bug. Only its type and place: its text could quote a record. numbers: sequence numbers of affected records."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "level": "ERROR",
        "message": "unexpected error, the records will be retried",
        "tenant": settings.tenant,
        "error": type(error).__name__,
        "place": [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames],
        "sequence_numbers": list(numbers)[:10],
        "records": len(numbers),
    }
