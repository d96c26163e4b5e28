"""Checks the chains of log streams while their lines are read, in bounded memory (cleanup/receipt_chain.py). Pure.

FilterLogEvents sorts by timestamp. The lines of one call of PutLogEvents share theirs, and come in any order: so the
lines of a stream with the same timestamp are sorted by their numbers before they are compared.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from humangov.cleanup.receipt_chain import EMPTY, Link

CHAINED = ("receipts/", "redrive/", "final-read/", "sweep/")
"""The names of log streams whose lines are chained begin so."""

MOST_BREAKS = 50
HOUR_MS = 3_600_000


class Break(NamedTuple):
    """A line that does not follow the one before it. number: of the line, as it says itself."""

    stream: str
    number: int
    expected: int


class Covered(NamedTuple):
    """What checkpoints say: how many lines of which stream, among those dated until then, in milliseconds."""

    lines: Mapping[str, int]
    until_ms: int


NOTHING = Covered({}, -1)


class _Line(NamedTuple):
    number: int
    previous: str
    sha256: str
    at: int


@dataclass
class ChainCheck:
    """What has been read so far. `finish` after the last line.

    covered   what checkpoints cover
    lines     number of chained lines that were read
    breaks    the first of them; broken counts all, by stream
    firsts    of each stream: number of the first line that was read, and the hash before it
    ends      of each stream: number and hash of its last line
    watched   of each covered stream: hash of the last line that is covered
    hours     of each stream: hour since the epoch → number of the last line that is dated in it
    inserted  lines that are dated as early as covered ones, and are not covered; later: those after
    others    receipts in log streams that are not chained
    unread    chained streams' lines that are no link: not JSON, or without number and hash
    """

    covered: Covered = NOTHING
    lines: int = 0
    others: int = 0
    unread: int = 0
    breaks: list[Break] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    firsts: dict[str, Link] = field(default_factory=dict)
    ends: dict[str, Link] = field(default_factory=dict)
    watched: dict[str, str] = field(default_factory=dict)
    hours: dict[str, dict[int, int]] = field(default_factory=dict)
    inserted: Counter[str] = field(default_factory=Counter)
    later: Counter[str] = field(default_factory=Counter)
    _at: int = -1
    _waiting: dict[str, list[_Line]] = field(default_factory=dict)

    @property
    def begun(self) -> int:
        """Streams whose first line was not read: it was stored before what was read, or is removed."""
        return sum(first.number > 1 for first in self.firsts.values())

    def take(self, event: Mapping[str, Any]) -> None:
        stream, message, at = str(event.get("logStreamName")), str(event["message"]), int(event["timestamp"])
        if not stream.startswith(CHAINED):
            self.others += '"receipt"' in message
            return
        line = _link(message, at)
        if line is None:
            self.unread += 1
            return
        if at != self._at:
            self.finish()
            self._at = at
        self.lines += 1
        self._waiting.setdefault(stream, []).append(line)

    def replace(self, other: ChainCheck) -> None:
        """Of the streams that `other` has read, it knows more."""
        for stream in other.ends:
            self.firsts[stream], self.ends[stream] = other.firsts[stream], other.ends[stream]
            self.hours[stream], self.broken[stream] = other.hours[stream], other.broken[stream]
            self.watched.pop(stream, None)
            if stream in other.watched:
                self.watched[stream] = other.watched[stream]

    def finish(self) -> None:
        """Compares what waits for lines of the same millisecond."""
        for stream, lines in self._waiting.items():
            for line in sorted(lines):
                self._compare(stream, line)
                self._compare_with_checkpoint(stream, line)
        self._waiting = {}

    def _compare(self, stream: str, line: _Line) -> None:
        before = self.ends.get(stream, EMPTY)
        if stream not in self.firsts:
            self.firsts[stream] = Link(line.number, line.previous)
        if (line.number - 1, line.previous) != before and not (stream not in self.ends and line.number > 1):
            self.broken[stream] += 1
            if len(self.breaks) < MOST_BREAKS:
                self.breaks.append(Break(stream, line.number, before.number + 1))
        self.ends[stream] = Link(line.number, line.sha256)
        self.hours.setdefault(stream, {})[line.at // HOUR_MS] = line.number

    def _compare_with_checkpoint(self, stream: str, line: _Line) -> None:
        covered = self.covered.lines.get(stream, 0)
        if line.number == covered:
            self.watched[stream] = line.sha256
        elif line.number > covered:
            (self.inserted if line.at <= self.covered.until_ms else self.later)[stream] += 1


def _link(message: str, at: int) -> _Line | None:
    try:
        line = json.loads(message)
    except ValueError:
        return None
    if not isinstance(line, dict):
        return None
    number, previous = line.get("line"), line.get("previous")
    if type(number) is not int or type(previous) is not str or number < 1:
        return None
    return _Line(number, previous, hashlib.sha256(message.encode(errors="surrogatepass")).hexdigest(), at)
