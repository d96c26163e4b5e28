"""Checks the chains of log streams while their lines are read, in bounded memory (cleanup/receipt_chain.py). Pure.

FilterLogEvents sorts by timestamp. The lines of one call of PutLogEvents share theirs, and come in any order: so the
lines of a stream with the same timestamp are sorted by their numbers before they are compared.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from humangov.cleanup.receipt_chain import EMPTY, Link
from humangov.proof.log_events import CHAINED, is_not_chained, stream_of

MOST_BREAKS = 50
HOUR_MS = 3_600_000


class Break(NamedTuple):
    """A line that does not follow the one before it. number: of the line, as it says itself.

    inserted: a later line follows the one before it, so that it, and any that follow it until then, are inserted
    """

    stream: str
    number: int
    expected: int
    inserted: bool = False


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
    others    by log stream that is not chained: lines that call themselves receipts, and are none
    unread    by chained stream: lines that are no link: not JSON, or without number and hash
    """

    covered: Covered = NOTHING
    lines: int = 0
    others: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
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
    _fitting: dict[str, tuple[Link, int]] = field(default_factory=dict)
    """Of each broken stream: the end before its last break, and that break's place among `breaks`."""

    @property
    def begun(self) -> int:
        """Streams whose first line was not read: it was stored before what was read, or is removed."""
        return sum(first.number > 1 for first in self.firsts.values())

    def take(self, event: Mapping[str, Any]) -> None:
        stream, message, at = stream_of(event), str(event["message"]), int(event["timestamp"])
        if not stream.startswith(CHAINED):
            if is_not_chained(event):
                self.others[stream] += 1
            return
        line = _link(message, at)
        if line is None:
            self.unread[stream] += 1
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
            self._broken(stream, line, before)
        self.ends[stream] = Link(line.number, line.sha256)
        self.hours.setdefault(stream, {})[line.at // HOUR_MS] = line.number

    def _broken(self, stream: str, line: _Line, before: Link) -> None:
        fitting, place = self._fitting.get(stream, (None, MOST_BREAKS))
        if fitting == (line.number - 1, line.previous):  # it goes on before the last break: that was an insertion
            if place < len(self.breaks):
                self.breaks[place] = self.breaks[place]._replace(inserted=True)
            del self._fitting[stream]
            return
        self.broken[stream] += 1
        self._fitting[stream] = before, len(self.breaks)
        if len(self.breaks) < MOST_BREAKS:
            self.breaks.append(Break(stream, line.number, before.number + 1))

    def _compare_with_checkpoint(self, stream: str, line: _Line) -> None:
        covered = self.covered.lines.get(stream, 0)
        if line.number == covered:
            self.watched[stream] = line.sha256
        elif line.number > covered:
            (self.inserted if line.at <= self.covered.until_ms else self.later)[stream] += 1


def places_of(breaks: Sequence[Break], *, covered: int = 0, holds: bool | None = None) -> list[str]:
    """What was altered, removed or inserted in one stream, as exactly as its chain allows, for people.

    breaks: of this stream, in its order. covered: number of the last line that a checkpoint states; holds: whether that
    line is the one that the checkpoint states; None: not known, and then of two lines that don't fit, either may be it.

    A line holds the hash of the one before it. So going back from a line that a checkpoint proves, each is proven up to
    the first that does not fit: that one was altered.
    """
    texts, altered, proven = list[str](), set[int](), holds is True
    for one in reversed(breaks):
        before, number = one.expected - 1, one.number
        if one.inserted:
            texts.append(_inserted(one))
        elif number > one.expected:
            one_line = number == one.expected + 1
            texts.append(
                f"line {one.expected:,} is missing" if one_line
                else f"lines {one.expected:,} to {number - 1:,} are missing"
            )  # fmt: skip
        elif number < one.expected:
            texts.append(f"line {number:,} is stored again after line {before:,}")
        elif number not in altered:
            which = _altered(one, covered=covered, holds=holds, proven=proven)
            altered.update(which if len(which) == 1 else ())
            texts.append(f"{' or '.join(f'line {one:,}' for one in which)} was altered")
        proven = proven and (one.inserted or number > covered)
    return list(dict.fromkeys(reversed(texts)))


def _inserted(one: Break) -> str:
    where = f"after line {one.expected - 1:,}" if one.expected > 1 else "before line 1"
    return f"a line that calls itself line {one.number:,} was inserted {where}"


def _altered(one: Break, *, covered: int, holds: bool | None, proven: bool) -> Sequence[int]:
    """Which of the two lines is not the one that was stored: one of them, or both where that is not known.

    proven: the lines from this one to the covered one.
    """
    before = one.number - 1
    if before == 0:
        return (one.number,)
    if before == covered and holds is not None:
        return (one.number,) if holds else (before,)
    return (before,) if proven and one.number <= covered else (before, one.number)


def _link(message: str, at: int) -> _Line | None:
    try:
        line = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict):
        return None
    number, previous = line.get("line"), line.get("previous")
    if type(number) is not int or type(previous) is not str or number < 1:
        return None
    return _Line(number, previous, hashlib.sha256(message.encode(errors="surrogatepass")).hexdigest(), at)
