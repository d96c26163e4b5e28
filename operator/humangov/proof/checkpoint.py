"""Checkpoints of receipts: how many lines each log stream had, and the hash of the last one. Pure.

A chain alone does not show that its last lines, or a whole stream, were removed. A checkpoint does: it states the ends
of all streams that have had lines since the checkpoint before, whose SHA-256 it holds: checkpoints are a chain too.

A checkpoint is a JSON object. docs/reports.md describes it for whoever checks receipts without this program.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from humangov.proof.chain_check import HOUR_MS, ChainCheck, Covered

FORMAT = 1
NONE_BEFORE = "0" * 64
SETTLES_AFTER_MINUTES = 60
"""CloudWatch Logs shows lines a while after it has stored them: younger ones are left to the next checkpoint."""

READ_BEFORE = timedelta(days=1)
"""Lines are dated by the writers' clocks, which may be behind."""


class CheckpointError(ValueError):
    """No checkpoint that this program has written; the text says why."""


class StreamEnd(NamedTuple):
    """lines: number of the last line. sha256: its hash. hours: (hour since the epoch, number of its last line)."""

    lines: int
    sha256: str
    hours: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """until_ms: lines dated until then are covered. retention_days: of the log group then; None: for ever.

    previous: SHA-256 of the checkpoint before. streams: those that had lines since. problems: what did not hold when it
    was written: what it says of these streams is what was there, not what should have been. minimum_age: of the lines
    that it covers, in minutes; an older program did not record it.
    """

    tenant: str
    log_group: str
    region: str
    until_ms: int
    retention_days: int | None
    previous: str
    streams: Mapping[str, StreamEnd]
    problems: tuple[str, ...] = ()
    minimum_age: int = SETTLES_AFTER_MINUTES


@dataclass(frozen=True, kw_only=True)
class Chain:
    """All checkpoints of a log group. streams: the last that is known of each.

    sha256: of the last checkpoint. retention_days: the longest that any of them states. problems: of checkpoints that
    were altered, or are missing. minimum_age: the least that any of them states. signed: number of those with a second
    line. objects: names of all that was in their folder when they were read.
    """

    number: int = 0
    until_ms: int = -1
    sha256: str = NONE_BEFORE
    retention_days: int | None = 0
    streams: Mapping[str, StreamEnd]
    problems: tuple[str, ...] = ()
    minimum_age: int = SETTLES_AFTER_MINUTES
    signed: int = 0
    objects: frozenset[str] = frozenset()

    @property
    def covered(self) -> Covered:
        return Covered({name: end.lines for name, end in self.streams.items()}, self.until_ms)


EMPTY_CHAIN = Chain(streams={})


def of_lines(
    check: ChainCheck, before: Chain, *, tenant: str, log_group: str, region: str, until_ms: int,
    retention_days: int | None, minimum_age: int = SETTLES_AFTER_MINUTES,
) -> Checkpoint:  # fmt: skip
    """check: of the lines dated until then; of each stream that had any since `before`, all that follow `before`."""
    streams, problems = {}, []
    for name, end in sorted(check.ends.items()):
        known = before.streams.get(name)
        if known is not None and end.number <= known.lines and check.watched.get(name) == known.sha256:
            continue
        if problem := why_not_following(check, before, name):
            problems.append(problem)
        streams[name] = StreamEnd(end.number, end.sha256, tuple(sorted(check.hours[name].items())))
    return Checkpoint(
        tenant=tenant, log_group=log_group, region=region, until_ms=until_ms, retention_days=retention_days,
        previous=before.sha256, streams=streams, problems=tuple(problems),
        minimum_age=minimum_age,
    )  # fmt: skip


def why_not_following(check: ChainCheck, before: Chain, stream: str) -> str | None:
    """Why the lines of this stream that were read do not go on from what checkpoints say of it; None: they do."""
    known, first = before.streams.get(stream), check.firsts[stream]
    if check.broken[stream]:
        return f"log stream {stream}: its chain is broken"
    if known is None:
        return None if first.number == 1 else f"log stream {stream}: its first {first.number - 1:,} lines are missing"
    if first.number > known.lines + 1:
        return f"log stream {stream}: lines after line {known.lines:,} are missing"
    follows = first.sha256 if first.number == known.lines + 1 else check.watched.get(stream)
    return None if follows == known.sha256 else f"log stream {stream}: it is not the one of the last checkpoint"


def extended(chain: Chain, one: Checkpoint, *, content: bytes, place: str) -> Chain:
    """The chain with the next checkpoint. content: as it is stored; place: where, for people."""
    problems = [f"checkpoint {place}: {problem}" for problem in one.problems]
    if one.previous != chain.sha256:
        problems.append(
            f"checkpoint {place} does not follow the one before it: a checkpoint was altered or removed"
            if chain.number else f"checkpoint {place} is the first one there, but another one was before it"
        )  # fmt: skip
    if one.until_ms <= chain.until_ms:
        problems.append(f"checkpoint {place} is not later than the one before it")
    merged = {
        name: end._replace(hours=_hours(chain.streams.get(name), end)) for name, end in one.streams.items()
    }  # fmt: skip
    return Chain(
        number=chain.number + 1,
        until_ms=max(chain.until_ms, one.until_ms),
        sha256=hashlib.sha256(content).hexdigest(),
        retention_days=_longest(chain.retention_days, one.retention_days),
        streams={**chain.streams, **merged},
        problems=(*chain.problems, *problems),
        minimum_age=min(chain.minimum_age, one.minimum_age),
        signed=chain.signed + bool(content.partition(b"\n")[2]),
    )


def spell(one: Checkpoint) -> bytes:
    """As it is stored, in one line without its end."""
    return json.dumps(
        {
            "humangovCheckpoint": FORMAT,
            "tenant": one.tenant,
            "logGroup": one.log_group,
            "region": one.region,
            "until": one.until_ms,
            "retentionDays": one.retention_days,
            "minimumAgeMinutes": one.minimum_age,
            "previous": one.previous,
            "problems": list(one.problems),
            "streams": {name: [end.lines, end.sha256, [list(hour) for hour in end.hours]]
                        for name, end in one.streams.items()},
        },
        separators=(",", ":"),
    ).encode()  # fmt: skip


def parse(content: bytes) -> Checkpoint:
    """Of its first line: the second may be a signature. Raises CheckpointError."""
    try:
        value = json.loads(content.partition(b"\n")[0])
        if value["humangovCheckpoint"] != FORMAT:
            raise CheckpointError(f"it has format {value['humangovCheckpoint']}, and this program knows {FORMAT}")
        retention, until_ms = value["retentionDays"], int(value["until"])
        datetime.fromtimestamp(until_ms / 1000, UTC)  # what is no time names no key either (key_of)
        return Checkpoint(
            tenant=str(value["tenant"]), log_group=str(value["logGroup"]), region=str(value["region"]),
            until_ms=until_ms, retention_days=None if retention is None else int(retention),
            minimum_age=int(value.get("minimumAgeMinutes", SETTLES_AFTER_MINUTES)),
            previous=str(value["previous"]), problems=tuple(map(str, value["problems"])),
            streams={str(name): _end(end) for name, end in value["streams"].items()},
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, OverflowError, OSError, AttributeError, RecursionError) as error:
        raise CheckpointError(str(error) if isinstance(error, CheckpointError) else "it is no checkpoint") from error


def key_of(prefix: str, tenant: str, *, until_ms: int) -> str:
    """Its key in the bucket: checkpoints sort by time."""
    return f"{folder(prefix, tenant)}{datetime.fromtimestamp(until_ms / 1000, UTC):%Y-%m-%dT%H-%M-%SZ}.json"


def folder(prefix: str, tenant: str) -> str:
    return f"{prefix}checkpoints/{tenant}/"


def first_required(end: StreamEnd, *, retention_days: int | None, now_ms: int) -> int:
    """The number of the first line that cannot have expired yet; lines + 1: all may have.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
    """
    if retention_days is None:
        return 1
    over = now_ms - retention_days * 24 * HOUR_MS
    return 1 + max((last for hour, last in end.hours if hour * HOUR_MS <= over), default=0)


def _hours(known: StreamEnd | None, end: StreamEnd) -> tuple[tuple[int, int], ...]:
    return tuple(sorted({**dict(known.hours if known else ()), **dict(end.hours)}.items()))


def _longest(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _end(value: Sequence[Any]) -> StreamEnd:
    lines, sha256, hours = value
    return StreamEnd(int(lines), str(sha256), tuple((int(hour), int(last)) for hour, last in hours))
