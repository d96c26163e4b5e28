"""A failed batch → what is tried again, and what is given up. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from testing.event_source.answers import number_of
from testing.event_source.batches import Record
from testing.event_source.mapping import UNLIMITED, Trigger

RETRIES_EXHAUSTED = "RetryAttemptsExhausted"
TOO_OLD = "RecordAgeExceeded"
"""The pages do not give this one's name: nothing may depend on it."""


class Reading(Enum):
    """What a mapping that bisects does with a batch of which the first record was reported as failed.

    The page says that "the batch is bisected at the returned sequence number and Lambda retries only the remaining
    records"; of a batch whose first record failed, all of them remain. Tests hold for both.
    """

    HALVES = "it is split in two halves, as after an error of the function"
    REST = "it is tried again as a whole, and that uses up a retry"


@dataclass(frozen=True)
class Attempt:
    """Records to be sent together. retries: used up so far; invocations: made so far with the first of them."""

    records: tuple[Record, ...]
    retries: int = 0
    invocations: int = 0


@dataclass(frozen=True)
class Discarded:
    """Records that Lambda discards, and why."""

    records: tuple[Record, ...]
    condition: str
    invocations: int

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(map(number_of, self.records))


def after(
    attempt: Attempt, *, failed_from: int | None, raised: bool, trigger: Trigger, reading: Reading
) -> list[Attempt | Discarded]:
    """What follows an invocation, in order; nothing after a success. raised: the function answered nothing.

    Bisecting uses up no retries. Retries are those beyond the first attempt: 0 means that it is not repeated.
    """
    if failed_from is None:
        return []
    records, invocations = attempt.records[failed_from:], attempt.invocations + 1
    if trigger.bisects:
        if failed_from:
            return [Attempt(records, attempt.retries, invocations)]
        if len(records) > 1 and (raised or reading is Reading.HALVES):
            middle = len(records) // 2
            return [Attempt(part, attempt.retries, invocations) for part in (records[:middle], records[middle:])]
    if trigger.maximum_retry_attempts != UNLIMITED and attempt.retries >= trigger.maximum_retry_attempts:
        return [Discarded(records, RETRIES_EXHAUSTED, invocations)]
    return [Attempt(records, attempt.retries + 1, invocations)]


def young(attempt: Attempt, *, now: float, trigger: Trigger) -> tuple[Attempt | None, Discarded | None]:
    """What of an attempt is still young enough, and what is not: it is given up without a further invocation."""
    old: Sequence[Record] = [one for one in attempt.records if now - created(one) >= trigger.oldest_seconds]
    if not old:
        return attempt, None
    rest = tuple(one for one in attempt.records if now - created(one) < trigger.oldest_seconds)
    expired = Discarded(tuple(old), TOO_OLD, attempt.invocations)
    return (Attempt(rest, attempt.retries, attempt.invocations) if rest else None), expired


def created(record: Record) -> float:
    return float(record["dynamodb"]["ApproximateCreationDateTime"])
