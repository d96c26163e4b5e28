"""One process at work: an invocation of the function, a redrive, a sweep, a final stream read; what it was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from testing.world.clock import HostClock
from testing.world.pool import Pool
from testing.world.stream import StreamRecord

FUNCTION, REDRIVE, SWEEP, FINAL_READ = "function", "redrive", "sweep", "final read"


@dataclass
class Actor:
    """shown: stream records that it was handed, or that Lambda first sent together with those; by number.

    given: those that it handles. read: record → moment of the last consistent read that asked for it. scanned: moment
    at which its last whole reading of the table began. listed: key → moment of the last listing of its versions.
    destroyed: versions with data, by key. removed: invocation records.
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

    def show(self, records: Iterable[StreamRecord]) -> None:
        self.shown.update((one.number, one) for one in records)

    def give(self, records: Iterable[StreamRecord]) -> None:
        several = list(records)
        self.given.update((one.number, one) for one in several)
        self.show(several)

    def freeing(self, key: str) -> list[StreamRecord]:
        """The changes that it handles and whose old image named this file: any of them may have freed it."""
        return [one for one in self.given.values() if key in one.held]
