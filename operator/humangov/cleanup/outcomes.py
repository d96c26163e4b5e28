"""Outcomes of a file and of a batch, as values; receipt_lines.spell returns an outcome's text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

OutcomeKind = Literal["erased", "absent", "kept", "retained", "limited", "held", "failed"]
"""The kinds that are counted."""


class FileOutcome(NamedTuple):
    """The outcome of one file.

    detail  why it is kept, retained or held; for a failure, AWS's code or an exception's name
    until   end of the retention, in seconds since the epoch; None if it has no end
    """

    kind: OutcomeKind
    detail: str = ""
    until: float | None = None

    @property
    def is_failure(self) -> bool:
        """Whether Lambda must retry the record, or keep it as an invocation record."""
        return self.kind in ("failed", "limited", "held")

    @property
    def undated(self) -> FileOutcome:
        """Without its date, as outcomes are counted."""
        return self if self.until is None else self._replace(until=None)


ERASED = FileOutcome("erased")
ABSENT = FileOutcome("absent")
KEPT_LIVE = FileOutcome("kept", "live")
KEPT_NEWER = FileOutcome("kept", "newer")
KEPT_RESERVED = FileOutcome("kept", "reserved")
KEPT_UNDATED = FileOutcome("kept", "undated")
LEFT_TO_SWEEP = FileOutcome("kept", "left to the sweep")
LIMITED = FileOutcome("limited")
NO_RECEIPT = FileOutcome("failed", "NoReceipt")
NEARLY_TOO_OLD = FileOutcome("failed", "NearlyTooOld")
STILL_THERE = FileOutcome("failed", "StillThere")
RETAINED_HOLD = FileOutcome("retained", "legal hold")
RETAINED_MFA = FileOutcome("retained", "MFA delete")
RETAINED_UNTIL = FileOutcome("retained", "until")


def failed(code: str) -> FileOutcome:
    return FileOutcome("failed", code)


def held(*, reason: str, since: str) -> FileOutcome:
    """A legal hold. since: RFC 3339, or empty if that is not known."""
    return FileOutcome("held", f"{reason} (since {since})" if since else reason)


def retained_until(seconds: float) -> FileOutcome:
    """seconds: since the epoch."""
    return RETAINED_UNTIL._replace(until=seconds)


class FileResult(NamedTuple):
    """versions: number of erased versions and delete markers; None if S3 does not report it.

    A bucket without versions gives the same answer whether or not the file existed.
    left: number of versions and delete markers under the key after the erasure; None if S3 was not asked.
    announced: whether this attempt has stored an intent.
    """

    outcome: FileOutcome
    versions: int | None = None
    left: int | None = None
    announced: bool = False


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """The result of one invocation. Numbers count stream records unless stated otherwise.

    outcomes        number of files by outcome, without its date
    malformed       skipped, because no retry can fix them
    unresolved      a removed name is none of a file of this bucket for certain, so nothing was erased for it
    failed          the record or one of its files failed; unhandled: not started in time
    hand_back       sequence numbers of the records that Lambda must retry, in the order of the batch
    latencies_ms    of each erased file, from the removal
    started, ended  seconds since the epoch
    limited         of the others, not started because of the limit of erasures in an hour
    unstored        why receipts could not be stored; None if all of them were
    """

    records: int
    outcomes: Mapping[FileOutcome, int]
    malformed: int
    unresolved: int
    failed: int
    unhandled: int
    hand_back: tuple[str, ...]
    latencies_ms: tuple[int, ...]
    started: float
    ended: float
    limited: int = 0
    unstored: str | None = None

    @property
    def held(self) -> int:
        """Number of files that a legal hold keeps from being erased."""
        return sum(number for outcome, number in self.outcomes.items() if outcome.kind == "held")

    @property
    def answer(self) -> dict[str, list[dict[str, str]]]:
        """https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html"""
        return {"batchItemFailures": [{"itemIdentifier": number} for number in self.hand_back]}
