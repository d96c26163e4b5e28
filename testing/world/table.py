"""The table: its items, which files they mean, since when, and the stream of their changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from testing.world.clock import DAY, WorldClock
from testing.world.stream import Item, Stream, StreamRecord

_MISSED_SECONDS = 14 * DAY
"""So long do people have to write again what an older table lacks; so long a table counts as young."""
_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table"


class Naming(NamedTuple):
    """Since when a record names a file. number: of the stream record that tells so; None: no stream tells."""

    moment: int
    number: str | None


class Row(NamedTuple):
    """files: object keys that the application means by this item. others: what its names might mean beside.

    sure: whether the form of its names leaves no doubt; else a removal frees nothing.
    """

    item: Item
    files: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    sure: bool = True

    @property
    def means(self) -> frozenset[str]:
        return self.files | self.others


@dataclass
class Table:
    """publish: takes each stream record. age: seconds, at first. freed_at: when a record last ceased to name a file,
    told or not. named_since: when a file came to be named, since when some record always has. missed: files whose
    records went with an earlier table of the same name, and when: people are to write them again."""

    name: str
    clock: WorldClock
    view: str
    shards: int
    publish: Callable[[StreamRecord], None] = lambda _record: None
    rows: dict[str, Row] = field(default_factory=dict)
    namers: dict[str, dict[str, Naming]] = field(default_factory=dict)
    changes: dict[str, StreamRecord] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)
    freed_at: dict[str, int] = field(default_factory=dict)
    age: float = 0.0
    created: float = 0.0
    restored: float | None = None
    named_since: dict[str, int] = field(default_factory=dict)
    missed: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.created = self.clock.now - self.age
        self._unnamed: dict[str, tuple[int, float]] = {}
        self._number = 0
        self._enable()

    @property
    def stream(self) -> Stream:
        return self.streams[-1]

    @property
    def table_id(self) -> str:
        return f"table-{len(self.streams)}"

    def write(self, record: str, row: Row) -> None:
        old = self.rows.get(record)
        if old is not None and old.item == row.item:
            return
        self._change(record, old, row)

    def remove(self, record: str) -> None:
        self._change(record, self.rows[record], None)

    def replace(self, backup: dict[str, Row], *, backed_up: float | None) -> None:
        """Another table under the same name, with a backup's items: no stream tells of them.

        backed_up: when, which is what RestoreSummary says; None: it is created anew, and there is none.
        https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_RestoreSummary.html
        """
        self.stream.disable(now=self.clock.now)
        before = set(self.namers)
        moment = self.clock.tick()
        self.rows = dict(backup)
        self.freed_at.update(dict.fromkeys(self.namers, moment))
        self.namers = {}
        for record, row in backup.items():
            for key in row.means:
                self.namers.setdefault(key, {})[record] = Naming(moment, None)
        for key in before - set(self.namers):
            self._ceases(key, moment)
        for key in self.namers:
            self._begins(key, moment)
        self.missed.update(dict.fromkeys(before - set(self.namers), self.clock.now))
        self.created = self.clock.now
        self.restored = backed_up
        self._enable()

    def is_missed(self, key: str) -> bool:
        return self.clock.now - self.missed.get(key, -inf) < _MISSED_SECONDS

    def named(self, key: str) -> dict[str, Naming]:
        """Every live record that names this file."""
        return self.namers.get(key, {})

    def _enable(self) -> None:
        label = f"2026-01-01T00:00:{len(self.streams):02d}.000"
        stream = Stream(f"{_ARN}/{self.name}/stream/{label}", self.view, self.clock.now)
        stream.begin(self.shards)
        self.streams.append(stream)

    def _change(self, record: str, old: Row | None, new: Row | None) -> None:
        before = old.means if old else frozenset[str]()
        after = new.means if new else frozenset[str]()
        moment = self.clock.tick()
        event = self._record(record, old, new, moment) if self.stream.enabled else None
        if new is None:
            del self.rows[record]
        else:
            self.rows[record] = new
        self.freed_at.update(dict.fromkeys(before - after, moment))
        for key in before - after:
            self.namers[key].pop(record)
            if not self.namers[key]:
                del self.namers[key]
                self._ceases(key, moment)
        for key in after - before:
            self._begins(key, moment)
            self.namers.setdefault(key, {})[record] = Naming(moment, event.number if event else None)
        if event is not None:
            self.publish(event)

    def _ceases(self, key: str, moment: int) -> None:
        self._unnamed[key] = (self.named_since.pop(key, moment), self.clock.now)

    def _begins(self, key: str, moment: int) -> None:
        """What ceases and begins at one time is one transaction: nobody's call came between."""
        since, at = self._unnamed.pop(key, (moment, -1.0))
        self.named_since.setdefault(key, since if at == self.clock.now else moment)
        self.missed.pop(key, None)

    def _record(self, record: str, old: Row | None, new: Row | None, moment: int) -> StreamRecord:
        self._number += 1
        shard = self.stream.shard_of(record)
        before = old.means if old else frozenset[str]()
        after = new.means if new else frozenset[str]()
        one = StreamRecord(
            number=f"{self._number:021d}",
            kind="INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
            record=record,
            at=self.clock.now,
            moment=moment,
            old=old.item if old else None,
            new=new.item if new else None,
            held=before,
            freed=old.files - after if old and old.sure else frozenset(),
            names=after,
            shard=shard.name,
            stream=self.stream.arn,
            view=self.view,
        )
        self.changes[one.number] = one
        shard.records.append(one)
        return one
