"""One process at work: an invocation of the function, a redrive, a sweep, a final stream read; what it was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf

from testing.world.clock import HostClock
from testing.world.pool import Pool
from testing.world.stream import StreamRecord

FUNCTION, REDRIVE, SWEEP, FINAL_READ = "function", "redrive", "sweep", "final read"


@dataclass
class StreamReading:
    """What a process has read of the table's streams.

    polled: shard → moment of the last page that it asked for. described: moment of the last list of the shards.
    behind: shard → since when its pages were empty although there was more, true time. refused: some call failed.
    """

    polled: dict[str, int] = field(default_factory=dict)
    described: int = 0
    behind: dict[str, float] = field(default_factory=dict)
    refused: bool = False

    @property
    def anything(self) -> bool:
        return bool(self.polled or self.described)


@dataclass
class Sweeping:
    """What a sweep has done beyond its redrive.

    listed: moment at which its orphan list was stored; None: not yet. looked: key → moment and true time of the last
    look at this object alone. intended: key → event ID of its own intent. erased: keys, after the list was stored.
    on_list: called when the list was stored. stop: why it was told to stop; stopped_at: number of the call before it.
    """

    listed: int | None = None
    looked: dict[str, tuple[int, float]] = field(default_factory=dict)
    intended: dict[str, str] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    on_list: Callable[[], None] = lambda: None
    stop: str | None = None
    stopped_at: int = 0


@dataclass
class Actor:
    """shown: stream records that it was handed, or that Lambda first sent together with those; by number.

    given: those that it handles. read: record → moment of the last consistent read that asked for it. scanned: moment
    at which its last whole reading of the table began. listed: key → moment of the last listing of its versions.
    destroyed: versions with data, by key. removed: invocation records. calls: their number. sweeping: of a sweep.
    """

    kind: str
    host: HostClock
    began: int
    deadline: float = inf
    dead: bool = False
    given: dict[str, StreamRecord] = field(default_factory=dict)
    shown: dict[str, StreamRecord] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    scanned: int | None = None
    listed: dict[str, int] = field(default_factory=dict)
    destroyed: Counter[str] = field(default_factory=Counter)
    removed: set[str] = field(default_factory=set)
    pool: Pool | None = None
    calls: int = 0
    scanned_at: float = 0.0
    segments: set[int] = field(default_factory=set)
    place: tuple[int, str] | None = None
    stream: StreamReading = field(default_factory=StreamReading)
    sweeping: Sweeping = field(default_factory=Sweeping)

    def begins_segment(self, number: int, *, moment: int) -> None:
        """The first page of a segment: of a new reading of the table, unless other segments of it were begun."""
        if self.scanned is None or number in self.segments:
            self.segments.clear()
        if not self.segments:
            self.scanned, self.scanned_at = moment, self.host.true.now
        self.segments.add(number)

    def show(self, records: Iterable[StreamRecord]) -> None:
        self.shown.update((one.number, one) for one in records)

    def give(self, records: Iterable[StreamRecord]) -> None:
        several = list(records)
        self.given.update((one.number, one) for one in several)
        self.show(several)

    def freeing(self, key: str) -> list[StreamRecord]:
        """The changes that it handles and whose old image named this file: any of them may have freed it."""
        return [one for one in self.given.values() if key in one.held]
