"""A keyed work queue: one run a key at a time, back-off a key, two lanes, a share for each namespace, resync.

`Schedule` decides and knows no clock but the `now` (seconds, monotonic) it is given; `Workers` runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from enum import IntEnum

from humangov.manager.due import Line, namespace_of
from humangov.reconcile.outcome import Outcome

logger = logging.getLogger(__name__)

SOON_SECONDS = (0.5, 30.0)  # first and longest back-off of transient errors
SLOWLY_SECONDS = (5.0, 300.0)  # of terminal and unknown errors
RESYNC_JITTER = (0.9, 1.1)  # of the resync interval
FIRST_RESYNC_JITTER = (0.25, 1.0)  # the same, after a run that was no resync


class Lane(IntEnum):
    """FAST: someone changed something. SLOW: retries and waiting; never takes the last worker.

    RESYNC: nobody waits for it; never takes more than half of the workers.
    """

    FAST = 0
    SLOW = 1
    RESYNC = 2


def share(number: int) -> int:
    """How many of so many places one namespace may take where others are: a quarter, but at least one, is theirs."""
    return max(1, number - max(1, number // 4))


def lanes_of(workers: int) -> list[tuple[Lane, ...]]:
    """Of each of so many workers (two at least) the lanes, in its order.

    One keeps to the fast lane: a person's change never waits behind retries and resyncs. Up to half of the others leave
    resyncs alone, which nobody waits for. And one prefers them, so that they never stand still.
    """
    changes = (Lane.FAST,)
    urgent = (Lane.FAST, Lane.SLOW)
    number = max(0, (workers - 1) // 2)
    return [changes, *[urgent] * number, *[tuple(Lane)] * (workers - 2 - number), (Lane.FAST, Lane.RESYNC, Lane.SLOW)]


@dataclass
class _Key:
    due: float | None = None  # None: not waiting
    lane: Lane = Lane.SLOW
    running_since: float | None = None
    runs_failing: bool = False  # it is running, and its last run failed
    requeue: Lane | None = None  # requested while running
    failures: int = 0
    slow_failures: int = 0  # of them, those of terminal and unknown errors
    failing_since: float | None = None
    in_place: bool = False  # its last run was successful, and its next one is a resync

    def reset(self) -> None:
        self.failures, self.slow_failures, self.failing_since = 0, 0, None


@dataclass
class Schedule:
    """Which key is due when.

    What waits for its moment is in one heap, what is due in lines (manager/due.py): no step looks at all the keys, but
    those that metrics and probes ask for.
    """

    resync_seconds: float
    rng: random.Random = field(default_factory=random.Random)
    _keys: dict[str, _Key] = field(default_factory=dict)
    _running: dict[str, float] = field(default_factory=dict)  # and since when
    _running_failing: int = 0  # of them, those whose last run had failed
    _of_namespace: Counter[str] = field(default_factory=Counter)
    _later: list[tuple[float, str]] = field(default_factory=list)  # a heap; see _is_current
    _fallen_due_until: float = -math.inf
    _due: dict[tuple[Lane, bool], Line] = field(default_factory=dict)  # by lane, and whether the last run failed
    _last_end: float | None = None  # when a run ended last

    def add(self, key: str, *, now: float, lane: Lane, delay: float = 0.0) -> None:
        """Ask for a run, after `delay` seconds. A FAST one also resets the back-off: something has changed."""
        entry = self._keys.get(key)
        if entry is None:
            entry = self._keys[key] = _Key()
            self._of_namespace[namespace_of(key)] += 1
        entry.in_place = delay > 0  # whoever asks for a run at a moment of its own has chosen it by chance
        was_failing = entry.failures > 0
        if lane is Lane.FAST:
            entry.reset()
            self._running_failing -= entry.runs_failing
            entry.runs_failing = False
        if entry.running_since is not None:
            entry.requeue = lane if entry.requeue is None else min(entry.requeue, lane)
            return
        changes_line = was_failing and not entry.failures
        self._put(key, entry, due=now + delay, lane=lane, changes_line=changes_line)

    def take(
        self,
        *,
        now: float,
        lanes: tuple[Lane, ...] = tuple(Lane),
        failing_at_once: int | None = None,
        of_namespace_at_once: int | None = None,
    ) -> str | None:
        """The key that is due first, in the first of these lanes that has one; it is running until `done`.

        failing_at_once: of keys whose last run failed, no more than so many run; None: any number.
        of_namespace_at_once: of one namespace, if there are others; None: any number. Whoever may edit in a namespace
        can keep all of its keys due, and in the fast lane.
        """
        self._fall_due(now)
        only_sound = failing_at_once is not None and self._running_failing >= failing_at_once
        full = self._full(of_namespace_at_once)
        for lane in lanes:
            lines = [(lane, False)] if only_sound else [(lane, False), (lane, True)]
            firsts = [first for line in lines if (first := self._first(line, passing_over=full))]
            if firsts:
                _, key = min(firsts)
                self._begin(key, now=now)
                return key
        return None

    def done(self, key: str, outcome: Outcome, *, now: float) -> None:
        """A run has ended; put the key back for when it is next to run."""
        entry = self._keys[key]
        self._running_failing -= entry.runs_failing
        self._running.pop(key)
        entry.running_since, entry.runs_failing, self._last_end = None, False, now
        if outcome.failed:
            if outcome.progressed:
                entry.failures, entry.slow_failures = 0, 0
            entry.failures += 1
            entry.slow_failures += not outcome.soon
            if entry.failing_since is None and not outcome.throttled:
                entry.failing_since = now
        else:
            entry.reset()
        requeue, entry.requeue = entry.requeue, None
        if requeue is not None:
            if requeue is Lane.FAST:
                entry.reset()
            self._put(key, entry, due=now, lane=requeue)
        elif outcome.forget:
            self._forget(key)
        else:
            delay = self._delay(outcome, entry)
            lane = Lane.RESYNC if entry.in_place or outcome.put_off else Lane.SLOW
            self._put(key, entry, due=now + delay, lane=lane)

    def next_due(self, *, after: float = -math.inf) -> float | None:
        """When the next key falls due (it may be in the past) after that time; None if none does."""
        if after < self._fallen_due_until:
            dues = (entry.due for entry in self._keys.values() if entry.due is not None)
            return min((due for due in dues if due > after), default=None)
        self._fall_due(after)
        while self._later and not self._is_current(*self._later[0]):
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def failing_seconds(self, key: str, *, now: float) -> float:
        """For how long the key's runs have failed without a break, since the first failure but throttling."""
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
        return max((now - since for since in self._running.values()), default=0.0)

    def running(self) -> list[str]:
        return list(self._running)

    def __len__(self) -> int:
        return len(self._keys)

    def _begin(self, key: str, *, now: float) -> None:
        entry = self._keys[key]
        entry.due, entry.running_since = None, now
        entry.runs_failing = entry.failures > 0
        self._running[key] = now
        self._running_failing += entry.runs_failing

    def _forget(self, key: str) -> None:
        del self._keys[key]
        namespace = namespace_of(key)
        self._of_namespace[namespace] -= 1
        if not self._of_namespace[namespace]:
            del self._of_namespace[namespace]

    def _full(self, at_once: int | None) -> set[str]:
        """The namespaces that have their share of the runs, where there are several."""
        if at_once is None or len(self._running) < at_once:
            return set()
        running = Counter(namespace_of(key) for key in self._running)
        full = {namespace for namespace, number in running.items() if number >= at_once}
        return full if len(self._of_namespace) > len(full) else set()

    def _delay(self, outcome: Outcome, entry: _Key) -> float:
        was_in_place, entry.in_place = entry.in_place, False
        if outcome.failed:
            # A call that was throttled eight times and is denied once must not wait as if denied for the ninth time.
            failures = entry.failures if outcome.soon else entry.slow_failures
            first, longest = SOON_SECONDS if outcome.soon else SLOWLY_SECONDS
            backoff: float = min(longest, first * 2.0 ** min(failures - 1, 20)) * self.rng.uniform(0.9, 1.1)
            return backoff if outcome.requeue_after_seconds is None else min(outcome.requeue_after_seconds, backoff)
        if outcome.requeue_after_seconds is not None:
            return outcome.requeue_after_seconds
        entry.in_place = True
        # What many have in common (an apply, an outage of AWS) puts them side by side: that ends with their next run.
        return self.resync_seconds * self.rng.uniform(*(RESYNC_JITTER if was_in_place else FIRST_RESYNC_JITTER))

    def _put(self, key: str, entry: _Key, *, due: float, lane: Lane, changes_line: bool = False) -> None:
        if entry.due is not None:  # already waiting: the sooner, and the faster lane, win
            due, lane = min(due, entry.due), min(lane, entry.lane)
            if (due, lane) == (entry.due, entry.lane) and not changes_line:
                return
        entry.due, entry.lane = due, lane
        heapq.heappush(self._later, (due, key))

    def _fall_due(self, now: float) -> None:
        """Move what is due from the heap into its line."""
        self._fallen_due_until = max(self._fallen_due_until, now)
        while self._later and self._later[0][0] <= now:
            due, key = heapq.heappop(self._later)
            if self._is_current(due, key):
                entry = self._keys[key]
                self._due.setdefault((entry.lane, entry.failures > 0), Line()).add(due, key)

    def _first(self, line: tuple[Lane, bool], *, passing_over: Collection[str]) -> tuple[float, str] | None:
        def waits_here(due: float, key: str) -> bool:
            if not self._is_current(due, key):
                return False
            entry = self._keys[key]
            return (entry.lane, entry.failures > 0) == line

        return self._due[line].first(waits_here, passing_over=passing_over) if line in self._due else None

    def _is_current(self, due: float, key: str) -> bool:
        """Whether the key still waits for that moment: heaps keep what was since moved, taken or forgotten."""
        entry = self._keys.get(key)
        return entry is not None and entry.due == due


class Workers:
    """Runs what is due. All methods belong to one event loop."""

    def __init__(
        self,
        *,
        schedule: Schedule,
        run: Callable[[str], Awaitable[Outcome]],
        count: int,
        clock: Callable[[], float],
        hurry: Callable[[str], None] = lambda _: None,
    ) -> None:
        """hurry: called with each key that someone changes; it may be running."""
        self.schedule = schedule
        self._hurry = hurry
        self._run = run
        self._count = max(2, count)
        self._clock = clock
        self._changed = asyncio.Condition()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        lanes = lanes_of(self._count)
        self._tasks = [asyncio.create_task(self._work(lane), name=f"worker-{n}") for n, lane in enumerate(lanes)]

    def died(self) -> bool:
        """Whether a worker ended unexpectedly: the process should end too."""
        return not self._stopping and any(task.done() for task in self._tasks)

    async def add(self, key: str, *, lane: Lane, delay: float = 0.0) -> None:
        if lane is Lane.FAST:
            self._hurry(key)
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
            key = self.schedule.take(
                now=now, lanes=lanes, failing_at_once=self._count // 2, of_namespace_at_once=share(self._count)
            )  # fmt: skip
            if key is None:
                # What is due already waits for a worker that may take it, not for the clock.
                due = self.schedule.next_due(after=now)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), None if due is None else due - now)
            return key
