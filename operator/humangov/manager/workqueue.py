"""A keyed work queue: one run a key at a time, back-off a key, two lanes, resync.

`Schedule` decides and knows no clock but the `now` (seconds, monotonic) it is given; `Workers` runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum

from humangov.reconcile.outcome import Outcome

logger = logging.getLogger(__name__)

SOON_SECONDS = (0.5, 30.0)  # first and longest back-off of transient errors
SLOWLY_SECONDS = (5.0, 300.0)  # of terminal and unknown errors


class Lane(IntEnum):
    """FAST: someone changed something. SLOW: resync, retries and waiting; never takes the last worker."""

    FAST = 0
    SLOW = 1


@dataclass
class _Key:
    due: float | None = None  # None: not waiting
    lane: Lane = Lane.SLOW
    running_since: float | None = None
    requeue: Lane | None = None  # requested while running
    failures: int = 0
    slow_failures: int = 0  # of them, those of terminal and unknown errors
    failing_since: float | None = None

    def reset(self) -> None:
        self.failures, self.slow_failures, self.failing_since = 0, 0, None


@dataclass
class Schedule:
    """Which key is due when."""

    resync_seconds: float
    rng: random.Random = field(default_factory=random.Random)
    _keys: dict[str, _Key] = field(default_factory=dict)
    _last_end: float | None = None  # when a run ended last

    def add(self, key: str, *, now: float, lane: Lane, delay: float = 0.0) -> None:
        """Ask for a run. A FAST one also resets the back-off: something has changed."""
        entry = self._keys.setdefault(key, _Key())
        if lane is Lane.FAST:
            entry.reset()
        if entry.running_since is not None:
            entry.requeue = lane if entry.requeue is None else min(entry.requeue, lane)
            return
        self._put(entry, due=now + delay, lane=lane)

    def take(
        self, *, now: float, lanes: tuple[Lane, ...] = (Lane.FAST, Lane.SLOW), failing_at_once: int | None = None
    ) -> str | None:
        """The key that is due first, fast lane before slow; it is running until `done`.

        failing_at_once: of keys whose last run failed, no more than so many run; None: any number.
        """
        running = sum(entry.running_since is not None and entry.failures > 0 for entry in self._keys.values())
        only_sound = failing_at_once is not None and running >= failing_at_once
        due = [
            (entry.lane, entry.due, key)
            for key, entry in self._keys.items()
            if entry.due is not None and entry.due <= now and entry.lane in lanes
            and not (only_sound and entry.failures > 0)
        ]  # fmt: skip
        if not due:
            return None
        _, _, key = min(due)
        entry = self._keys[key]
        entry.due, entry.running_since = None, now
        return key

    def done(self, key: str, outcome: Outcome, *, now: float) -> None:
        """A run has ended; put the key back for when it is next to run."""
        entry = self._keys[key]
        entry.running_since, self._last_end = None, now
        if outcome.failed:
            if outcome.progressed:
                entry.failures, entry.slow_failures = 0, 0
            entry.failures += 1
            entry.slow_failures += not outcome.soon
            entry.failing_since = entry.failing_since if entry.failing_since is not None else now
        else:
            entry.reset()
        requeue, entry.requeue = entry.requeue, None
        if requeue is not None:
            if requeue is Lane.FAST:
                entry.reset()
            self._put(entry, due=now, lane=requeue)
        elif outcome.forget:
            del self._keys[key]
        else:
            self._put(entry, due=now + self._delay(outcome, entry), lane=Lane.SLOW)

    def next_due(self, *, after: float = -math.inf) -> float | None:
        """When the next key falls due (it may be in the past) after that time; None if none does."""
        dues = (entry.due for entry in self._keys.values() if entry.due is not None)
        return min((due for due in dues if due > after), default=None)

    def failing_seconds(self, key: str, *, now: float) -> float:
        """For how long the key's runs have failed without a break."""
        entry = self._keys.get(key)
        return 0.0 if entry is None or entry.failing_since is None else now - entry.failing_since

    def standstill_seconds(self, *, now: float) -> float:
        """For how long something has been due and no run has ended: slow is not still."""
        waited = self.longest_wait_seconds(now=now)
        return waited if self._last_end is None else max(0.0, min(waited, now - self._last_end))

    def waiting(self, *, now: float) -> int:
        """How many are due and wait for a worker."""
        return sum(entry.due is not None and entry.due <= now for entry in self._keys.values())

    def longest_wait_seconds(self, *, now: float) -> float:
        """How long the most overdue key has waited for a worker."""
        return max((now - entry.due for entry in self._keys.values() if entry.due is not None), default=0.0)

    def longest_run_seconds(self, *, now: float) -> float:
        """How long the longest present run has taken."""
        running = (entry.running_since for entry in self._keys.values())
        return max((now - since for since in running if since is not None), default=0.0)

    def running(self) -> list[str]:
        return [key for key, entry in self._keys.items() if entry.running_since is not None]

    def __len__(self) -> int:
        return len(self._keys)

    def _delay(self, outcome: Outcome, entry: _Key) -> float:
        if outcome.failed:
            # A call that was throttled eight times and is denied once must not wait as if denied for the ninth time.
            failures = entry.failures if outcome.soon else entry.slow_failures
            first, longest = SOON_SECONDS if outcome.soon else SLOWLY_SECONDS
            backoff: float = min(longest, first * 2.0 ** min(failures - 1, 20)) * self.rng.uniform(0.9, 1.1)
            return backoff if outcome.requeue_after_seconds is None else min(outcome.requeue_after_seconds, backoff)
        if outcome.requeue_after_seconds is not None:
            return outcome.requeue_after_seconds
        return self.resync_seconds * self.rng.uniform(0.9, 1.1)

    def _put(self, entry: _Key, *, due: float, lane: Lane) -> None:
        if entry.due is not None:  # already waiting: the sooner, and the faster lane, win
            due, lane = min(due, entry.due), min(lane, entry.lane)
        entry.due, entry.lane = due, lane


class Workers:
    """Runs what is due. All methods belong to one event loop."""

    def __init__(
        self,
        *,
        schedule: Schedule,
        run: Callable[[str], Awaitable[Outcome]],
        count: int,
        clock: Callable[[], float],
    ) -> None:
        self.schedule = schedule
        self._run = run
        self._count = max(2, count)
        self._clock = clock
        self._changed = asyncio.Condition()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        # One worker keeps to the fast lane, so that a person's change never waits behind retries and resyncs.
        lanes = [(Lane.FAST,), *[(Lane.FAST, Lane.SLOW)] * (self._count - 1)]
        self._tasks = [asyncio.create_task(self._work(lane), name=f"worker-{n}") for n, lane in enumerate(lanes)]

    def died(self) -> bool:
        """Whether a worker ended unexpectedly: the process should end too."""
        return not self._stopping and any(task.done() for task in self._tasks)

    async def add(self, key: str, *, lane: Lane, delay: float = 0.0) -> None:
        async with self._changed:
            self.schedule.add(key, now=self._clock(), lane=lane, delay=delay)
            self._changed.notify_all()

    async def stop(self, *, grace_seconds: float) -> list[str]:
        """Take nothing more, let the runs end; returns the keys whose runs were abandoned."""
        self._stopping = True
        async with self._changed:
            self._changed.notify_all()
        _, pending = await asyncio.wait(self._tasks, timeout=grace_seconds) if self._tasks else (set(), set())
        abandoned = self.schedule.running()
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=1)
        return abandoned

    async def _work(self, lanes: tuple[Lane, ...]) -> None:
        while not self._stopping:
            key = await self._next(lanes)
            if key is None:
                continue
            outcome = Outcome(failed=True, soon=False)
            try:
                outcome = await self._run(key)
            except Exception:
                logger.exception(
                    "a bug in the operator ended the reconciliation of %s; it is retried automatically. Report it",
                    key,
                )
            finally:
                async with self._changed:
                    self.schedule.done(key, outcome, now=self._clock())
                    self._changed.notify_all()

    async def _next(self, lanes: tuple[Lane, ...]) -> str | None:
        async with self._changed:
            if self._stopping:
                return None
            now = self._clock()
            # A key whose AWS calls time out holds a worker meanwhile; other keys must not wait for that.
            key = self.schedule.take(now=now, lanes=lanes, failing_at_once=self._count // 2)
            if key is None:
                # What is due already waits for a worker that may take it, not for the clock.
                due = self.schedule.next_due(after=now)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), None if due is None else due - now)
            return key
