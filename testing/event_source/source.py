"""Shards and lanes: which records are sent when, and what becomes of them.

Not shown: the polling of shards four times a second (a record is seen at once), and that the checkpoints of a shard's
lanes depend on each other.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from testing.event_source import batches, decisions, destination
from testing.event_source.answers import Answer, failed_from, number_of
from testing.event_source.batches import Record
from testing.event_source.clock import StillClock
from testing.event_source.decisions import Attempt, Discarded, Reading
from testing.event_source.filters import matches
from testing.event_source.mapping import PAYLOAD_BYTES, Trigger

_REMEMBERED = 1000  # records of a lane that can come again
SHARD = "shardId-00000001573689847184-864758bb"


class ThrottledError(Exception):
    """The function could not be called: that uses up no retry."""


Invoke = Callable[[Any], Answer]
Deliver = Callable[[str, bytes], None]


def pause_seconds(failures: int) -> float:
    """Before the next attempt, after so many failures in a row. Lambda's pauses are not published: an assumption."""
    return float(min(60, 2 ** min(failures - 1, 10)))


@dataclass(frozen=True)
class Invocation:
    """One call of the function. failed_from: index of the first record that comes again, None after a success."""

    shard: str
    lane: int
    started: float
    ended: float
    numbers: tuple[str, ...]
    answer: Answer
    failed_from: int | None


@dataclass
class _Waiting:
    record: Record
    since: float
    size: int


@dataclass
class _Lane:
    """What is processed in order: a shard, or the part of a shard's keys that ParallelizationFactor makes."""

    shard: str
    index: int
    waiting: deque[_Waiting] = field(default_factory=deque)
    attempts: deque[Attempt] = field(default_factory=deque)
    ready_at: float = 0.0
    busy: bool = False
    failures: int = 0
    done: deque[Record] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    starts: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    @property
    def idle(self) -> bool:
        return not self.busy and not self.waiting and not self.attempts


class EventSource:
    """One mapping at work. deliver: puts an object into the bucket of failures.

    An invocation may itself call `put` and `step`: what happens meanwhile, in other lanes.
    """

    def __init__(
        self,
        trigger: Trigger,
        *,
        clock: StillClock,
        invoke: Invoke,
        deliver: Deliver | None = None,
        reading: Reading = Reading.HALVES,
        pause: Callable[[int], float] = pause_seconds,
        payload_bytes: int = PAYLOAD_BYTES,
    ) -> None:
        self._trigger, self._clock, self._invoke, self._deliver = trigger, clock, invoke, deliver
        self._reading, self._pause, self._payload_bytes = reading, pause, payload_bytes
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._parents: dict[str, str] = {}
        self._requests = 0
        self.invocations: list[Invocation] = []
        self.discarded: list[Discarded] = []

    def split(self, parent: str, *children: str) -> None:
        """The children's records wait until everything of the parent is through."""
        self._parents.update(dict.fromkeys(children, parent))

    def put(self, record: Record, *, shard: str = SHARD) -> None:
        """A record is in the stream, now."""
        key = json.dumps(record["dynamodb"]["Keys"], sort_keys=True).encode()
        index = zlib.crc32(key) % self._trigger.parallelization_factor
        lane = self._lanes.setdefault((shard, index), _Lane(shard, index))
        if matches(record, self._trigger.filters):
            lane.waiting.append(_Waiting(record, self._clock.now, batches.size(record)))

    def rewind(self, count: int) -> None:
        """Each idle lane gets its last records once more: Lambda promises each record at least once, not only once."""
        for lane in self._lanes.values():
            if (again := tuple(lane.done)[-count:]) and not lane.busy:
                lane.attempts.appendleft(Attempt(again))

    def rewind_invocations(self, count: int) -> None:
        """The same, from where the last invocations but `count` began: Lambda goes back to a checkpoint only."""
        for lane in self._lanes.values():
            if lane.busy or len(lane.starts) < count:
                continue
            numbers = [number_of(record) for record in lane.done]
            if (start := lane.starts[-count]) in numbers:
                lane.attempts.appendleft(Attempt(tuple(lane.done)[numbers.index(start) :]))

    def run(self, *, until: float | None = None) -> None:
        """Until nothing is left to do, or until that time."""
        while (due := self.due_at) is not None and (until is None or due <= until):
            self.step()
        if until is not None:
            self._clock.now = max(self._clock.now, until)

    @property
    def due_at(self) -> float | None:
        """When there is something to do next; None if there is nothing, or only what waits for a running invocation."""
        return min((due for lane in self._lanes.values() if (due := self._due(lane)) is not None), default=None)

    def step(self) -> bool:
        """The next thing to do, with the clock moved on to it. False if there is nothing."""
        due = {key: at for key, lane in self._lanes.items() if (at := self._due(lane)) is not None}
        if not due:
            return False
        first = min(due, key=lambda key: (due[key], key))
        self._clock.now = max(self._clock.now, due[first])
        self._work(self._lanes[first])
        return True

    def _due(self, lane: _Lane) -> float | None:
        if lane.busy or self._held_back(lane.shard):
            return None
        if lane.attempts:
            return lane.ready_at
        if not lane.waiting:
            return None
        count = self._count(lane)
        full = count < len(lane.waiting) or count == self._trigger.batch_size
        window = 0.0 if full else self._trigger.batching_window_seconds
        since = lane.waiting[count - 1].since if full else lane.waiting[0].since
        return max(lane.ready_at, since + window)

    def _count(self, lane: _Lane) -> int:
        sizes = (one.size for one in lane.waiting)
        return batches.fitting(sizes, batch_size=self._trigger.batch_size, payload_bytes=self._payload_bytes)

    def _held_back(self, shard: str) -> bool:
        parent = self._parents.get(shard)
        if parent is None:
            return False
        return self._held_back(parent) or not all(
            lane.idle for (name, _), lane in self._lanes.items() if name == parent
        )

    def _work(self, lane: _Lane) -> None:
        if not lane.attempts:
            taken = [lane.waiting.popleft().record for _ in range(self._count(lane))]
            lane.attempts.append(Attempt(tuple(taken)))
        attempt, too_old = decisions.young(lane.attempts.popleft(), now=self._clock.now, trigger=self._trigger)
        if too_old:
            self._discard(too_old, lane, error=None)
        if attempt is None:
            return
        started = self._clock.now
        lane.starts.append(number_of(attempt.records[0]))
        lane.busy = True
        try:
            answer = self._invoke(json.loads(batches.payload(attempt.records)))
        except ThrottledError:
            lane.attempts.appendleft(attempt)
            self._wait(lane)
            return
        finally:
            lane.busy = False
        self._requests += 1
        place = failed_from(answer, attempt.records, reports_items=self._trigger.reports_items)
        self.invocations.append(
            Invocation(
                shard=lane.shard, lane=lane.index, started=started, ended=self._clock.now,
                numbers=tuple(map(number_of, attempt.records)), answer=answer, failed_from=place,
            )
        )  # fmt: skip
        lane.done.extend(attempt.records[:place])
        following = decisions.after(
            attempt, failed_from=place, raised=answer.error is not None, trigger=self._trigger, reading=self._reading
        )
        for one in following:
            if isinstance(one, Discarded):
                self._discard(one, lane, error=answer.error)
        lane.attempts.extendleft(reversed([one for one in following if isinstance(one, Attempt)]))
        if any(isinstance(one, Attempt) for one in following):
            self._wait(lane)
        else:
            lane.failures, lane.ready_at = 0, self._clock.now

    def _wait(self, lane: _Lane) -> None:
        lane.failures += 1
        lane.ready_at = self._clock.now + self._pause(lane.failures)

    def _discard(self, discarded: Discarded, lane: _Lane, *, error: str | None) -> None:
        self.discarded.append(discarded)
        lane.done.extend(discarded.records)
        if self._deliver is None or self._trigger.failures_bucket is None:
            return
        now, name = self._clock.now, _name(self._trigger, len(self.discarded))
        key = destination.object_key(self._trigger, shard=lane.shard, now=now, random=name)
        self._deliver(
            key,
            destination.body(
                discarded, self._trigger, shard=lane.shard, now=now, request_id=_name(self._trigger, -self._requests),
                error=error,
            ),
        )  # fmt: skip


def _name(trigger: Trigger, number: int) -> str:
    """A UUID that looks random and is the same in each run."""
    return str(uuid.uuid5(uuid.UUID(trigger.uuid), str(number)))


def redeliver(stored: Mapping[str, bytes], invoke: Invoke) -> list[Answer]:
    """Every invocation record's event sent to the function once more, as a redrive does."""
    return [invoke(destination.event(body)) for _, body in sorted(stored.items())]
