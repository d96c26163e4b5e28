"""The one clock of the event source, the function and the tenant: it stands still until something takes time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class StillClock:
    """now: seconds since the epoch. Only its owner moves it."""

    now: float = 1_800_000_000.0

    def advance(self, seconds: float) -> None:
        self.now += seconds
