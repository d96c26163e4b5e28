"""How many files may be erased in an hour: a table that is emptied by mistake does not take all its files along."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Sequence

HOUR_SECONDS = 3600.0

RECENT_KEYS = 10_000
"""As many as the largest batch has records: Lambda delivers a batch again if one of its records fails.
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html
"""


class ErasureLimit:
    """Counts the files whose erasure was started in the last hour, in this process.

    A file whose batch is delivered again within the hour counts once. maximum: files in any hour; 0: no limit. Not safe
    to use from several threads.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._started: deque[tuple[float, int]] = deque()
        self._recent: dict[str, float] = {}  # key → when it was started, in the order of their starts

    def beyond(self, keys: Sequence[str], *, now: float) -> frozenset[str]:
        """The files that may not be started now. now: seconds since the epoch."""
        if not self.maximum:
            return frozenset()
        self._forget(now)
        room = max(0, self.maximum - sum(count for _, count in self._started))
        return frozenset([key for key in keys if key not in self._recent][room:])

    def start(self, keys: Collection[str], *, now: float) -> None:
        """Counts the files whose erasure starts now."""
        self._forget(now)
        new = [key for key in keys if key not in self._recent]
        if self.maximum and new:
            self._started.append((now, len(new)))
            self._recent |= dict.fromkeys(new, now)
            for key in list(self._recent)[: max(0, len(self._recent) - RECENT_KEYS)]:
                del self._recent[key]

    def _forget(self, now: float) -> None:
        """What was started more than an hour ago: a key that was, and is to go again, counts again."""
        while self._started and self._started[0][0] <= now - HOUR_SECONDS:
            self._started.popleft()
        for key in [*itertools.takewhile(lambda key: self._recent[key] <= now - HOUR_SECONDS, self._recent)]:
            del self._recent[key]
