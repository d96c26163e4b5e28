"""What a redrive has found and done. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from humangov.cleanup.outcomes import FileOutcome


@dataclass(frozen=True, kw_only=True)
class RedriveResult:
    """Of one invocation record or of a whole run. Counts of invocation records, if nothing else is said.

    by_condition, by_mapping  of ours: Lambda's word for why it gave up; the UUID of the mapping that wrote it
    oldest      when the oldest of ours was written
    records     stream records in ours
    outcomes    of files, but for those that failed: outcome → how many
    malformed   stream records that no retry can cure: let through, as the function does
    failed      left whole, as some of its stream records failed: key → why
    unreadable  left, whoever it is of: key → why
    kept        handled, but S3 does not let go of it: key → AWS's code
    """

    found: int = 0
    not_ours: int = 0
    ours: int = 0
    by_condition: Counter[str] = field(default_factory=Counter)
    by_mapping: Counter[str] = field(default_factory=Counter)
    oldest: datetime | None = None
    records: int = 0
    outcomes: Counter[FileOutcome] = field(default_factory=Counter)
    malformed: int = 0
    removed: int = 0
    failed: Mapping[str, Sequence[FileOutcome]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    stopped: bool = False
    log_stream: str | None = None

    @property
    def left(self) -> int:
        """Of ours, and of what may be ours."""
        return self.ours - self.removed + len(self.unreadable)

    def __add__(self, other: RedriveResult) -> RedriveResult:
        return RedriveResult(
            found=self.found + other.found,
            not_ours=self.not_ours + other.not_ours,
            ours=self.ours + other.ours,
            by_condition=self.by_condition + other.by_condition,
            by_mapping=self.by_mapping + other.by_mapping,
            oldest=min(filter(None, (self.oldest, other.oldest)), default=None),
            records=self.records + other.records,
            outcomes=self.outcomes + other.outcomes,
            malformed=self.malformed + other.malformed,
            removed=self.removed + other.removed,
            failed={**self.failed, **other.failed} if other.failed else self.failed,
            unreadable={**self.unreadable, **other.unreadable} if other.unreadable else self.unreadable,
            kept={**self.kept, **other.kept} if other.kept else self.kept,
            stopped=self.stopped or other.stopped,
            log_stream=other.log_stream or self.log_stream,
        )
