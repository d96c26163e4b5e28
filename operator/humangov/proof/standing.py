"""What checkpoints prove of receipts: of all of them by number, and of one record by its lines. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from humangov.api.counts import counted
from humangov.proof.chain_check import ChainCheck
from humangov.proof.checkpoint import Chain
from humangov.proof.log_events import CHAINED

PROVEN, DIFFERS, LATER, UNKNOWN = "proven", "differs", "later", "unknown"
NO_RECEIPT = "no receipt"
_NAMED: Mapping[str, type] = {"S": str, "N": str}
"""DynamoDB's types of a key that people can read, and how its JSON has them."""


class Standings(NamedTuple):
    """Numbers of receipts.

    proven   by a checkpoint
    differs  in log streams that are not as a checkpoint states, or whose chain is broken
    later    not covered yet: stored after the last checkpoint
    unknown  not compared: checkpoints that don't hold, or a log stream that goes on after what was read
    """

    proven: int = 0
    differs: int = 0
    later: int = 0
    unknown: int = 0

    @property
    def phrases(self) -> Iterator[str]:
        """For people; what is none is left out, but for what is proven."""
        yield f"{counted(self.proven, 'is', plural='are')} proven by a checkpoint"
        if self.differs:
            of = "in a log stream that is" if self.differs == 1 else "in log streams that are"
            yield f"{counted(self.differs, 'is', plural='are')} {of} not as a checkpoint states"
        if self.later:
            yield f"{counted(self.later, 'is', plural='are')} not yet covered by a checkpoint"
        if self.unknown:
            yield f"{self.unknown:,} could not be compared"

    def __str__(self) -> str:
        *most, last = self.phrases
        return f"{', '.join(most)} and {last}" if most else last


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What is known of log streams. holds: the checkpoints are as they were written, and all was read.

    differing: not as a checkpoint states, or not chained. fitting: the last line that a checkpoint states was read, and
    is that line.
    """

    holds: bool
    differing: Collection[str]
    fitting: Collection[str]

    def standing(self, stream: str, *, covered: bool) -> str:
        """Of a line. covered: it is dated up to the time of the last checkpoint."""
        if stream in self.differing:
            return DIFFERS
        if not stream.startswith(CHAINED):
            return UNKNOWN
        if not covered:
            return LATER
        return PROVEN if self.holds and stream in self.fitting else UNKNOWN


def judged(check: ChainCheck, chain: Chain, *, differing: Collection[str], holds: bool) -> Judged:
    """differing: beside those whose chain is broken."""
    return Judged(
        holds=holds, differing={*differing, *+check.broken, *+check.unread},
        fitting={name for name, sha256 in check.watched.items()
                 if name in chain.streams and sha256 == chain.streams[name].sha256},
    )  # fmt: skip


def standings(numbers: Mapping[str, int]) -> Standings:
    return Standings(**{name: numbers.get(name, 0) for name in Standings._fields})


class OneLine(NamedTuple):
    """A line of a receipt of the record that is asked about. at: milliseconds since the epoch."""

    kind: str
    number: int | None
    stream: str
    at: int
    standing: str = UNKNOWN


@dataclass
class OfRecord:
    """The lines of one record's receipts, by event ID and file. record: as `humangov receipts --record` has it."""

    record: str
    lines: dict[tuple[str, str], list[OneLine]] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any], line: Mapping[str, Any]) -> None:
        """line: of a receipt."""
        if not names_record(line.get("record_key"), self.record):
            return
        number, pair = line.get("line"), (str(line.get("event_id")), str(line.get("key")))
        one = OneLine(
            str(line["receipt"]), number if type(number) is int else None, str(event.get("logStreamName")),
            int(event["timestamp"]),
        )  # fmt: skip
        self.lines.setdefault(pair, []).append(one)

    def judge(self, by: Judged, *, until_ms: int) -> list[JudgedReceipt]:
        found = []
        for (_, key), lines in self.lines.items():
            each = [one._replace(standing=by.standing(one.stream, covered=one.at <= until_ms)) for one in lines]
            found.append(JudgedReceipt(key, worst({one.standing for one in each}), tuple(each)))
        return found


class JudgedReceipt(NamedTuple):
    """key: the file's."""

    key: str
    standing: str
    lines: tuple[OneLine, ...]


def worst(every: Collection[str]) -> str:
    """Of several lines or receipts, all of which must be proven; of none: no receipt."""
    return next((one for one in (DIFFERS, UNKNOWN, LATER, PROVEN) if one in every), NO_RECEIPT)


def names_record(record_key: Any, record: str) -> bool:
    """record: a value of the primary key, or the whole key in DynamoDB JSON. A forged key has any form."""
    if not isinstance(record_key, Mapping):
        return False
    values = [str(value) for one in record_key.values() if isinstance(one, Mapping) for value in one.values()]
    if record in values:
        return True
    try:
        return bool(json.loads(record) == record_key)
    except (ValueError, RecursionError):
        return False


def record_name(key: str) -> str:
    """A record's key for people: `id CA-1002`; as receipts spell it where it is of another form."""
    try:
        parts = [(name, *one) for name, typed in json.loads(key).items() for one in typed.items()]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return key
    known = all(_NAMED.get(kind) is type(value) for _, kind, value in parts)
    return ", ".join(f"{name} {value}" for name, _, value in parts) if parts and known else key


def counts_of(rows: Collection[tuple[str, bool, int]], by: Judged) -> Standings:
    """rows: log stream, whether its time is covered, number of receipts."""
    numbers = Counter[str]()
    for stream, covered, number in rows:
        numbers[by.standing(stream, covered=covered)] += number
    return standings(numbers)
