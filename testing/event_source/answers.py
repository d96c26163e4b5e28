"""What the function answered → from which record on the batch has failed. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html, "Success and failure conditions".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from testing.event_source.batches import Record


@dataclass(frozen=True)
class Answer:
    """result: what the function returned. error: the error's kind, if it raised or was killed."""

    result: Any = None
    error: str | None = None


def number_of(record: Record) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def failed_from(answer: Answer, records: Sequence[Record], *, reports_items: bool) -> int | None:
    """Index of the first record to bring again, None for a success: 0 is the whole batch.

    Null and empty answers are successes. An identifier that is empty, null, under another name or not of this batch
    makes the whole batch fail; of several, the one with the lowest sequence number counts.
    """
    if answer.error is not None:
        return 0
    if not reports_items or not isinstance(answer.result, Mapping):
        return None
    failures = answer.result.get("batchItemFailures")
    if not failures:
        return None
    if not isinstance(failures, Sequence) or isinstance(failures, str):
        return 0
    places = {number_of(record): place for place, record in enumerate(records)}
    found = [places.get(str(one.get("itemIdentifier"))) if isinstance(one, Mapping) else None for one in failures]
    return 0 if None in found else min(place for place in found if place is not None)
