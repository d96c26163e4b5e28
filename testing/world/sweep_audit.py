"""What the auditor knows of sweeps in mode Delete: their sightings, and whether they had to know better.

A sweep may erase what two sightings, `confirmAfter` apart, and a reading of the table after its orphan list have shown.
It has to know of every record that the reading or the stream told it, and of a file that some record has named all the
time since the reading began: a record that moves is named all the time.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from testing.world.actor import Actor, StreamReading
from testing.world.bucket import Bucket, Upload, UploadInParts
from testing.world.clock import DAY
from testing.world.promises import LOST, RECEIPT, STATUS
from testing.world.setting import Setting
from testing.world.table import Naming, Table

LISTS = ".humangov/sweeps/"
READ_WITHIN_SECONDS = 15 * 60
"""Of the scan's start: the age at which a reading that no stream completes shows nothing any more."""

_LOOK_COUNTS_SECONDS = 60.0
_EMPTY_FOR_SECONDS = 10.0
_ROUNDED_SECONDS = 2.0
"""S3's dates are whole seconds."""

_UPLOADS_KEPT_SECONDS, _LISTS_COUNT_SECONDS = 7 * DAY, 14 * DAY
_CALLS_AFTER_A_STOP = 12
"""What was begun when the stop came: the check, and storing intents with every retry."""


class Sighting(NamedTuple):
    """An orphan list that was stored. at: its own time, S3's. moment: when it was stored."""

    at: float
    moment: int
    keys: frozenset[str]


@dataclass
class SweepAudit:
    """broken, excused: take what is found. sightings: of every orphan list, whatever became of it."""

    setting: Setting
    bucket: Bucket
    table: Table
    broken: Callable[[str, str, str], None]
    excused: Callable[[str], None]
    sightings: list[Sighting] = field(default_factory=list)
    began: dict[str, int] = field(default_factory=dict)

    def stored(self, actor: Actor, key: str) -> None:
        """A sweep has stored an object: perhaps its orphan list."""
        if LISTS not in key or not key.endswith(".jsonl.gz"):
            return
        actor.sweeping.listed = self.bucket.clock.tick()
        head, keys = read_list(self.bucket.data(key)[-1].body)
        self.sightings.append(Sighting(float(head["at"]), actor.sweeping.listed, keys))
        actor.sweeping.on_list()

    def intends(self, actor: Actor, key: str, event_id: str) -> None:
        actor.sweeping.intended[key] = event_id
        self.began.setdefault(event_id, actor.began)
        if actor.sweeping.stop and actor.calls > actor.sweeping.stopped_at + _CALLS_AFTER_A_STOP:
            self.broken(STATUS, "a sweep was stopped, and began to erase all the same", key)

    def aborted(self, actor: Actor, upload: UploadInParts) -> None:
        if upload.awaited or self.bucket.clock.now - upload.initiated < _UPLOADS_KEPT_SECONDS:
            self.broken(LOST, "an upload that was still to be completed was aborted", f"{upload.key} by {actor.kind}")

    def list_removed(self, key: str, version: Upload) -> None:
        if key.endswith(".jsonl.gz") and self.bucket.clock.now - version.modified < _LISTS_COUNT_SECONDS:
            self.broken(STATUS, "an orphan list that counts was removed", key)

    def swept(self, actor: Actor, key: str, version: Upload, *, newest: bool) -> tuple[str, ...]:
        """A version with data went, after the sweep had stored its list. Returns the events that its receipt is of."""
        actor.sweeping.erased.add(key)
        moment, at = actor.sweeping.looked.get(key, (0, 0.0))
        is_late = version.moment > max(actor.began, moment)
        if is_late and moment and self.bucket.clock.now - at < _LOOK_COUNTS_SECONDS:
            self.excused("uploaded between a sweep's look and its erasure")
        elif is_late:
            self.broken(LOST, "the file was uploaded while a sweep ran, which did not look at its date", key)
        else:
            if why := self._unsighted(key, version):
                self.broken(LOST, why, key)
            if newest:
                self._live(actor, key, version)
        event_id = actor.sweeping.intended.get(key)
        if event_id is None:
            self.broken(RECEIPT, "a file was erased before its intent was stored", f"{key} by {actor.kind}")
        return (event_id,) if event_id else ()

    def _unsighted(self, key: str, version: Upload) -> str | None:
        """Why the rules of a sweep keep this version, whether or not a record names it."""
        options, now = self.setting.names.tenant.sweep, self.bucket.clock.now
        if now - version.modified < options.minimum_age_seconds - _ROUNDED_SECONDS:
            return "a sweep erased a file that is younger than minimumAge"
        since = now - options.confirm_after_seconds + _ROUNDED_SECONDS
        seen = [one for one in self.sightings if key in one.keys and one.at <= since and one.moment > version.moment]
        return None if seen else "a sweep erased a file that no sweep had seen confirmAfter before"

    def _live(self, actor: Actor, key: str, version: Upload) -> None:
        namers = self.table.named(key)
        awaited = self.bucket.awaited.get(key, 0) >= version.moment
        if self.table.is_missed(key) and not namers:
            self.broken(LOST, "a file went whose record an older table lacks, and people are to write it again", key)
        if not namers and not awaited:
            return
        if awaited:
            self.broken(LOST, "a sweep erased a file whose record is still to come", key)
        else:
            self._named(actor, key, list(namers.values()))

    def _named(self, actor: Actor, key: str, namers: list[Naming]) -> None:
        reasons = [why for one in namers if (why := self._known(actor, one))]
        if not reasons and (why := self._through(actor, key)):
            reasons.append(why)
        for why in reasons[:1]:
            self.broken(LOST, why, key)
        if not reasons:
            self.excused("named since a sweep's reading")

    def _known(self, actor: Actor, since: Naming) -> str | None:
        """Why the sweep had to know of this record; None if it came after what the sweep has read."""
        if since.number in actor.shown:
            return "the stream told a sweep of the record, and its file went"
        if since.moment < (actor.sweeping.listed or 0):
            return "a record named the file before the orphan list was stored, and a sweep erased it"
        if actor.scanned is None or since.moment < actor.scanned:
            return "a record named the file before a sweep's last reading began"
        if since.number is not None and self._was_to_be_read(actor.stream, since):
            return "the stream held the record when a sweep read it, and its file went"
        late = not actor.stream.anything and self.bucket.clock.now - actor.scanned_at > READ_WITHIN_SECONDS
        return "a sweep erased by a reading that began more than 15 minutes before" if late else None

    def _was_to_be_read(self, stream: StreamReading, since: Naming) -> bool:
        """Not if a call was refused: then the scan stands alone, whatever pages there were before."""
        if not stream.anything or stream.refused or since.number is None:
            return False
        shard = self.table.changes[since.number].shard
        if self.bucket.clock.now - stream.behind.get(shard, self.bucket.clock.now) >= _EMPTY_FOR_SECONDS:
            return False
        return since.moment < stream.polled.get(shard, stream.described)

    def _through(self, actor: Actor, key: str) -> str | None:
        """Whether some record has named the file all the time since the reading began."""
        if self.table.named_since.get(key, self.bucket.clock.moment) >= (actor.scanned or 0):
            return None
        if actor.stream.refused:
            self.excused("a record moved while a sweep read, and the stream could not be read")
            return None
        return "a record moved while a sweep read the table, and its file went"


def read_list(body: bytes) -> tuple[Mapping[str, Any], frozenset[str]]:
    """An orphan list as it is stored: its head, and the keys in it."""
    lines = [json.loads(line) for line in gzip.decompress(body).splitlines()]
    return lines[0], frozenset(line["key"] for line in lines[1:] if "key" in line)
