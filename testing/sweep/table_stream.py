"""A table's stream in memory: its shards, and the changes in them. What readers are answered is in streams.py."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """at: when it was written."""

    record: str
    at: float
    old: Item | None
    new: Item | None
    number: str

    def shown(self, view: str) -> dict[str, Any]:
        """As GetRecords answers."""
        images = {"OldImage": self.old, "NewImage": self.new}
        seen = {name: image for name, image in images.items() if image is not None and _shows(view, name)}
        kind = "INSERT" if self.old is None else "REMOVE" if self.new is None else "MODIFY"
        change = {
            "ApproximateCreationDateTime": datetime.fromtimestamp(int(self.at), UTC),
            "Keys": {"id": {"S": self.record}}, "SequenceNumber": self.number, "StreamViewType": view, **seen,
        }  # fmt: skip
        return {"eventID": f"event-{self.number}", "eventName": kind, "dynamodb": change}


def _shows(view: str, image: str) -> bool:
    return view == "NEW_AND_OLD_IMAGES" or view.replace("_", "").lower() == image.lower()


@dataclass
class Shard:
    name: str
    parent: str | None
    changes: list[Change] = field(default_factory=list)
    children: tuple[str, ...] = ()
    is_closed: bool = False


@dataclass
class TableStream:
    """readers: functions whose mappings read it. lag: seconds before a change shows. page: records on one.

    empty: so many pages come empty before the next record shows, in the midst of a shard.
    """

    arn: str
    view: str = "NEW_AND_OLD_IMAGES"
    status: str = "ENABLED"
    readers: list[str] = field(default_factory=list)
    lag: float = 0.0
    page: int = 1000
    empty: int = 0
    shards: dict[str, Shard] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._number = 0
        self.root = self._add(None)

    def put(self, record: str, *, old: Item | None, new: Item | None, now: float) -> None:
        if old == new or self.status != "ENABLED":
            return
        self._number += 1
        shard, place = self.shards[self.root], zlib.crc32(record.encode())
        while shard.children:
            shard, place = self.shards[shard.children[place % len(shard.children)]], place // 7
        shard.changes.append(Change(record, now, old, new, f"{self._number:021d}"))

    def split(self) -> None:
        """Every open shard is closed, and two follow it."""
        for shard in [one for one in self.shards.values() if not one.is_closed]:
            shard.is_closed, shard.children = True, (self._add(shard.name), self._add(shard.name))

    def disable(self) -> None:
        self.status = "DISABLED"
        for shard in self.shards.values():
            shard.is_closed = True

    def _add(self, parent: str | None) -> str:
        name = f"shardId-{len(self.shards):020d}-00000000"
        self.shards[name] = Shard(name, parent)
        return name
