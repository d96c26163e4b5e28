"""What a redrive found and did. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from humangov.cleanup.outcomes import FileOutcome


@dataclass(frozen=True, kw_only=True)
class RedriveResult:
    """For one invocation record or a whole run. Numbers count invocation records unless stated otherwise.

    own, others  of this tenant's mappings, function and table; of others, which are not read
    by_condition, by_mapping  own ones by Lambda's reason; by the UUID of their mapping
    by_other_mapping  of others, by the UUID that their key names
    oldest      when the oldest own record was written
    records     stream records in own ones
    outcomes    number of files by outcome, without failures
    malformed   stream records that no retry can fix: skipped, as the function does
    unresolved  stream records with a name that is none of a file of this bucket for certain: nothing erased for it
    failed      not removed, because some of its stream records failed: key → why
    unreadable  could not be read, or is not valid, so not removed: key → why
    kept        handled, but not removed by S3: key → AWS's code
    problem     why nothing more was handled
    unstored    why receipts could not be stored, and the run ended; files in `outcomes` are erased all the same
    scan_alone  why a reading of the table was no snapshot, as a part of a sentence about the table; None: all were
    """

    found: int = 0
    others: int = 0
    own: int = 0
    by_condition: Counter[str] = field(default_factory=Counter)
    by_mapping: Counter[str] = field(default_factory=Counter)
    by_other_mapping: Counter[str] = field(default_factory=Counter)
    oldest: datetime | None = None
    records: int = 0
    outcomes: Counter[FileOutcome] = field(default_factory=Counter)
    malformed: int = 0
    unresolved: int = 0
    removed: int = 0
    failed: Mapping[str, Sequence[FileOutcome]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
    stopped: bool = False
    log_stream: str | None = None
    unstored: str | None = None
    scan_alone: str | None = None

    @property
    def left(self) -> int:
        """Own ones, and those that may be."""
        return self.own - self.removed + len(self.unreadable)

    @property
    def counted(self) -> bool:
        """Whether `left` is the number of all that are left, and nothing else is in doubt."""
        return not (self.problem or self.stopped or self.unstored)

    @property
    def erased(self) -> int:
        """Files."""
        return sum(number for outcome, number in self.outcomes.items() if outcome.kind == "erased")

    def __add__(self, other: RedriveResult) -> RedriveResult:
        return RedriveResult(
            found=self.found + other.found,
            others=self.others + other.others,
            own=self.own + other.own,
            by_condition=self.by_condition + other.by_condition,
            by_mapping=self.by_mapping + other.by_mapping,
            by_other_mapping=self.by_other_mapping + other.by_other_mapping,
            oldest=min(filter(None, (self.oldest, other.oldest)), default=None),
            records=self.records + other.records,
            outcomes=self.outcomes + other.outcomes,
            malformed=self.malformed + other.malformed,
            unresolved=self.unresolved + other.unresolved,
            removed=self.removed + other.removed,
            failed={**self.failed, **other.failed} if other.failed else self.failed,
            unreadable={**self.unreadable, **other.unreadable} if other.unreadable else self.unreadable,
            kept={**self.kept, **other.kept} if other.kept else self.kept,
            problem=self.problem or other.problem,
            stopped=self.stopped or other.stopped,
            log_stream=other.log_stream or self.log_stream,
            unstored=self.unstored or other.unstored,
            scan_alone=other.scan_alone or self.scan_alone,
        )
