"""What became of a file, and of a batch, as values; receipt_lines.spell makes an outcome's text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

OutcomeKind = Literal["erased", "absent", "kept", "retained", "failed"]
"""What an outcome is counted as."""


class FileOutcome(NamedTuple):
    """What became of one file.

    detail  why it is kept or retained; of a failure, AWS's code or an exception's name
    until   when the retention ends, seconds since the epoch; None where no date ends it
    """

    kind: OutcomeKind
    detail: str = ""
    until: float | None = None

    @property
    def is_failure(self) -> bool:
        """Whether Lambda has to bring the record again."""
        return self.kind == "failed"

    @property
    def undated(self) -> FileOutcome:
        """As it is counted with others: without its date."""
        return self if self.until is None else self._replace(until=None)


ERASED = FileOutcome("erased")
ABSENT = FileOutcome("absent")
KEPT_LIVE = FileOutcome("kept", "live")
KEPT_NEWER = FileOutcome("kept", "newer")
KEPT_RESERVED = FileOutcome("kept", "reserved")
KEPT_UNDATED = FileOutcome("kept", "undated")
LEFT_TO_SWEEP = FileOutcome("kept", "left to the sweep")
RETAINED_HOLD = FileOutcome("retained", "legal hold")
RETAINED_MFA = FileOutcome("retained", "MFA delete")
RETAINED_UNTIL = FileOutcome("retained", "until")


def failed(code: str) -> FileOutcome:
    return FileOutcome("failed", code)


def retained_until(seconds: float) -> FileOutcome:
    """seconds: since the epoch."""
    return RETAINED_UNTIL._replace(until=seconds)


class FileResult(NamedTuple):
    """versions: how many versions and markers were erased; None where S3 does not say.

    A bucket that keeps none answers alike for a file and for none.
    """

    outcome: FileOutcome
    versions: int | None = None


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What one invocation has come to. Numbers are stream records, if nothing else is said.

    outcomes        of files: outcome without its date → how many
    malformed       let through, as no retry can cure them
    failed          they, or one of their files; unhandled: not begun in time
    hand_back       sequence numbers of what Lambda is to bring again, in the order of the batch
    latencies_ms    of each erased file, from the removal
    started, ended  seconds since the epoch
    """

    records: int
    outcomes: Mapping[FileOutcome, int]
    malformed: int
    failed: int
    unhandled: int
    hand_back: tuple[str, ...]
    latencies_ms: tuple[int, ...]
    started: float
    ended: float

    @property
    def answer(self) -> dict[str, list[dict[str, str]]]:
        """https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html"""
        return {"batchItemFailures": [{"itemIdentifier": number} for number in self.hand_back]}
