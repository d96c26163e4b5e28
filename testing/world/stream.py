"""The table's stream: shards that split, records that are trimmed after 24 hours, and their two forms for readers."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Item = Mapping[str, Any]
KEPT_SECONDS = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class StreamRecord:
    """record: the item's id. at: true time of the change. held, names: object keys that it named before, and after.

    freed: those that it surely named before, and does not name after.
    """

    number: str
    kind: str
    record: str
    at: float
    moment: int
    old: Item | None
    new: Item | None
    held: frozenset[str]
    freed: frozenset[str]
    names: frozenset[str]
    shard: str
    stream: str
    view: str

    @property
    def event_id(self) -> str:
        return f"event-{int(self.number)}"

    def for_lambda(self) -> dict[str, Any]:
        """As Lambda hands it to a function: binary values in base64."""
        return {**self._common(), "dynamodb": _encoded(self._change(int(self.at))), "eventSourceARN": self.stream}

    def for_readers(self) -> dict[str, Any]:
        """As GetRecords answers."""
        return {**self._common(), "dynamodb": self._change(datetime.fromtimestamp(int(self.at), UTC))}

    def _common(self) -> dict[str, Any]:
        return {
            "eventID": self.event_id,
            "eventName": self.kind,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
        }

    def _change(self, at: object) -> dict[str, Any]:
        images = {"OldImage": self.old, "NewImage": self.new if self.view == "NEW_AND_OLD_IMAGES" else None}
        return {
            "ApproximateCreationDateTime": at,
            "Keys": {"id": {"S": self.record}},
            "SequenceNumber": self.number,
            "SizeBytes": 100,
            "StreamViewType": self.view,
            **{name: image for name, image in images.items() if image is not None},
        }


@dataclass
class Shard:
    name: str
    parent: str | None
    records: list[StreamRecord] = field(default_factory=list)
    closed_at: float | None = None
    children: tuple[str, ...] = ()

    def end(self) -> str | None:
        if self.closed_at is None:
            return None
        return self.records[-1].number if self.records else "000000000000000000000"


@dataclass
class Stream:
    """One stream of the table: a table that is restored gets another one."""

    arn: str
    view: str
    born: float
    shards: dict[str, Shard] = field(default_factory=dict)
    roots: list[str] = field(default_factory=list)
    enabled: bool = True

    def begin(self, count: int) -> None:
        self.roots = [self._add(None) for _ in range(count)]

    def _add(self, parent: str | None) -> str:
        name = f"shardId-{zlib.crc32(self.arn.encode()):020d}-{len(self.shards):08x}"
        self.shards[name] = Shard(name, parent)
        return name

    def shard_of(self, record: str) -> Shard:
        place = zlib.crc32(record.encode())
        shard = self.shards[self.roots[place % len(self.roots)]]
        while shard.children:
            place //= 7
            shard = self.shards[shard.children[place % len(shard.children)]]
        return shard

    def split(self, name: str, *, now: float) -> tuple[str, ...]:
        """Closes an open shard and returns its children."""
        shard = self.shards[name]
        shard.closed_at, shard.children = now, (self._add(name), self._add(name))
        return shard.children

    def disable(self, *, now: float) -> None:
        """Closes every shard: the stream can be read for another day."""
        self.enabled = False
        for shard in self.shards.values():
            if shard.closed_at is None:
                shard.closed_at = now

    @property
    def open_shards(self) -> list[str]:
        return [name for name, shard in self.shards.items() if shard.closed_at is None]

    def listed(self, *, now: float) -> list[Shard]:
        """A closed shard goes when its last record does."""
        return [
            shard for shard in self.shards.values() if shard.closed_at is None or now - shard.closed_at < KEPT_SECONDS
        ]


def _encoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: _encoded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(inner) for inner in value]
    return value
