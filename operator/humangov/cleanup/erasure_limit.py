"""How many files may be erased in an hour: a table that is emptied by mistake does not take all its files along."""

from __future__ import annotations

from collections import deque

HOUR_SECONDS = 3600.0


class ErasureLimit:
    """Counts the erasures that were started in the last hour, in this process. Not safe to use from several threads.

    maximum: files in any hour; 0: no limit.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._started: deque[tuple[float, int]] = deque()

    def room(self, number: int, *, now: float) -> int:
        """How many of so many files may be started now. now: seconds since the epoch."""
        if not self.maximum:
            return number
        while self._started and self._started[0][0] <= now - HOUR_SECONDS:
            self._started.popleft()
        return max(0, min(number, self.maximum - sum(count for _, count in self._started)))

    def start(self, number: int, *, now: float) -> None:
        """Counts files whose erasure starts now."""
        if self.maximum and number:
            self._started.append((now, number))
