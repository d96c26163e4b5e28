"""The operator's clock, which tests move on.

In place of `time.monotonic` and `datetime.now`, which the manager hands to a reconcile. It runs with real time, so it
cannot show two clocks that differ, or one that jumps back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class Clock:
    """Real time, moved forward at will."""

    shift: timedelta = timedelta()
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift

    def monotonic(self) -> float:
        return (self.now() - self.started).total_seconds()

    def forward(self, seconds: float) -> None:
        self.shift += timedelta(seconds=seconds)
