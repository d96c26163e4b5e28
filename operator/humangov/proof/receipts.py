"""Reads receipts from the function's log group: which files were erased, and when.

A receipt is two lines, `intent` and `outcome`, joined by event ID and key. cleanup/receipt_lines.py writes them. An
intent may have no outcome of its own, because its attempt was cut off: the outcome of the next delivery, or of the next
sweep, settles it, and the receipt says both.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from humangov.cleanup.outcomes import ABSENT, ERASED
from humangov.cleanup.receipt_lines import parse, spell, timestamp
from humangov.proof.log_events import is_not_chained, line_of, stream_of
from humangov.proof.standing import names_record
from humangov.sweep.erasure import BATCH

PATTERN = '{ ($.receipt = "intent") || ($.receipt = "outcome") }'
"""https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html"""

CHAINED_PATTERN = '{ ($.receipt = "intent") || ($.receipt = "outcome") || ($.line > 0) }'
"""Also the lines between receipts in their log streams, without which a chain can't be checked."""

CUT_OFF = "unknown: cut off"
ABSENT_AFTER_INTENT = "absent after intent"
"""Nothing is under the key, and an intent was stored before: erased by an attempt without an outcome, or by others."""

AFTER_CUT_OFF = ", after a cut-off attempt"
AFTER_FAILURE = ", after a failed attempt"
SETTLED_WITHIN = timedelta(hours=1)
"""Lines of an attempt that were stored so long before or after a period are read with it."""

_REPEATED_WITHIN_MS = 3_600_000
"""A line that is stored again follows its first copy within seconds; an hour allows for any clock."""

_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class WhenError(ValueError):
    """Not a valid time; the text is a sentence for people."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One file of one deleted record. Times: UTC, RFC 3339 with milliseconds, or None.

    outcome          as listed in docs/security.md; `unknown: cut off` for an intent without an outcome
    versions_erased  versions and delete markers; None if the bucket keeps none
    versions_left    the same, under the key after the erasure; None if S3 was not asked
    cut_off          number of earlier attempts that stored an intent and no outcome
    record_key       primary key in DynamoDB JSON
    intended_at      time of the first intent
    log_stream, logged_at   log stream and time of the outcome's line
    """

    deleted_at: str | None
    erased_at: str | None
    outcome: str
    versions_erased: int | None
    versions_left: int | None
    cut_off: int
    bucket: str
    key: str
    record_key: Mapping[str, Any]
    event: str
    event_id: str
    sequence_number: str
    tenant: str
    intended_at: str | None
    logged_at: str
    log_stream: str


def moment(text: str, *, now: datetime) -> datetime:
    """`7d`, `36h`, `2026-01-31` or RFC 3339, within 1970 to 9998; without a zone: UTC. Raises WhenError."""
    ago = re.fullmatch(r"(\d{1,5})([smhdw])", text)
    try:
        found = (
            now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            if ago
            else datetime.fromisoformat(text.replace("Z", "+00:00"))
        )
        return min(max(found if found.tzinfo else found.replace(tzinfo=UTC), _EARLIEST), _LATEST)
    except (ValueError, OverflowError):
        raise WhenError(f"{text!r} is not a valid time: expected 7d, 36h, 2026-01-31 or 2026-01-31T12:00:00Z") from None


def read(
    logs: Any, *, group: str, since: datetime, until: datetime, pattern: str = PATTERN, stream: str | None = None
) -> Iterator[Mapping[str, Any]]:
    """Every log event of the group, or of one stream, that may be a line of a receipt.

    Raises ClientError, BotoCoreError.
    """
    # An empty page with a token is not the last one: the paginator continues.
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group,
        startTime=milliseconds(since),
        endTime=milliseconds(until),
        filterPattern=pattern,
        **({"logStreamNames": [stream]} if stream else {}),
    )
    for page in pages:
        yield from page.get("events") or ()


def of_period(
    logs: Any, *, group: str, since: datetime, until: datetime, others: Counter[str] | None = None
) -> Iterator[Receipt]:
    """The receipts whose last line was stored in the period, by all of their lines. Raises as `read` does.

    others: counts, by log stream, the lines that call themselves receipts and are in no chained stream.
    """
    events = read(logs, group=group, since=since - SETTLED_WITHIN, until=until + SETTLED_WITHIN)
    return of_events(events if others is None else _counted(events, others), since=since, until=until)


def around(logs: Any, *, group: str, since: datetime, until: datetime) -> Iterator[Mapping[str, Any]]:
    """The chained lines of the period, and those by which its receipts are joined. Raises as `read` does."""
    since, until = since - SETTLED_WITHIN, until + SETTLED_WITHIN
    return read(logs, group=group, since=since, until=until, pattern=CHAINED_PATTERN)


def every_line(logs: Any, *, group: str, until: datetime, stream: str | None = None) -> Iterator[Mapping[str, Any]]:
    """All chained lines that are left, of the group or of one stream. Raises as `read` does."""
    return read(logs, group=group, since=_EARLIEST, until=until, pattern=CHAINED_PATTERN, stream=stream)


def of_events(events: Iterable[Mapping[str, Any]], *, since: datetime, until: datetime) -> Iterator[Receipt]:
    """The receipts whose last line was stored in the period. events: those of `around`.

    An intent at the end of the period has its outcome after it: that belongs to the next period.
    """
    first, last = str(timestamp(since.timestamp())), str(timestamp(until.timestamp()))
    return (one for one in joined(events) if first <= one.logged_at <= last)


def joined(events: Iterable[Mapping[str, Any]]) -> Iterator[Receipt]:
    """Each outcome with its intent, in the log's order; then the intents without an outcome."""
    open_attempts: dict[tuple[str, str], _Attempts] = {}
    last = _LastOfRuns()
    for one in _each_once(events):
        pair = (str(one.line.get("event_id")), str(one.line.get("key")))
        if pair not in open_attempts and last.has(one):
            continue
        last.note(one)
        before = open_attempts.pop(pair, _Attempts())
        if one.line["receipt"] == "intent":
            open_attempts[pair] = before.begun(one)
            continue
        after = before.answered_by(one)
        yield _settled(one, after)
        if _is_failure(one) and after.intents:
            # Nothing is known of them: a later outcome settles them.
            open_attempts[pair] = after._replace(failed=after.answered)
    for attempts in open_attempts.values():
        if attempts.cut_off:
            yield _receipt(attempts.intents[-1], CUT_OFF, attempts)


class _Stored(NamedTuple):
    """A log event, and the line of a receipt that it holds."""

    event: Mapping[str, Any]
    line: Mapping[str, Any]


class _Attempts(NamedTuple):
    """The attempts on one file of one event that nothing has settled.

    answered: number of those with an outcome. failed: of these, earlier ones that failed, and may have erased.
    """

    intents: tuple[_Stored, ...] = ()
    answered: int = 0
    failed: int = 0

    @property
    def cut_off(self) -> int:
        return len(self.intents) - self.answered

    def begun(self, intent: _Stored) -> _Attempts:
        return self._replace(intents=(*self.intents, intent))

    def answered_by(self, outcome: _Stored) -> _Attempts:
        # Lines of earlier versions do not say whether their attempt had stored an intent.
        own = self.cut_off > 0 and bool(outcome.line.get("announced", True))
        return self._replace(answered=self.answered + own)


@dataclass
class _LastOfRuns:
    """The files of which each sweep's outcomes came last: only these can be settled once more, by the next sweep."""

    _keys: dict[str, deque[str]] = field(default_factory=dict)

    def note(self, one: _Stored) -> None:
        if one.line.get("event") == "SWEEP" and one.line["receipt"] == "outcome":
            self._keys.setdefault(str(one.line.get("event_id")), deque(maxlen=BATCH)).append(str(one.line.get("key")))

    def has(self, one: _Stored) -> bool:
        """Whether it settles a file that has an outcome."""
        settled = self._keys.get(str(one.line.get("event_id")), ())
        return bool(one.line.get("settled_by")) and str(one.line.get("key")) in settled


def _counted(events: Iterable[Mapping[str, Any]], others: Counter[str]) -> Iterator[Mapping[str, Any]]:
    for event in events:
        if is_not_chained(event):
            others[stream_of(event)] += 1
        yield event


def _each_once(events: Iterable[Mapping[str, Any]]) -> Iterator[_Stored]:
    """The lines of receipts. A line that was stored again, because the first answer was lost, counts once.

    A line that has the `id` of another, and says something else, is none that was stored again: both count.
    """
    recent: dict[bytes, int] = {}  # in the order of their times
    for event in events:
        line = line_of(event)
        if line is None:
            continue
        at = int(event["timestamp"])
        while recent and at - (first := next(iter(recent.items())))[1] > _REPEATED_WITHIN_MS:
            del recent[first[0]]
        one = _content(line) if line.get("id") else b""
        if one and one in recent:
            continue
        if one:
            recent[one] = at
        yield _Stored(event, line)


def _content(line: Mapping[str, Any]) -> bytes:
    """The same for a line and for its repeat, which has another place in another stream."""
    content = {name: value for name, value in line.items() if name not in ("line", "previous")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


def _settled(outcome: _Stored, attempts: _Attempts) -> Receipt:
    """The outcome of an attempt, and what earlier ones may have done."""
    text = str(outcome.line.get("outcome"))
    if text == spell(ABSENT) and attempts.intents:
        text = ABSENT_AFTER_INTENT
    elif attempts.cut_off and text != spell(ERASED):
        text += AFTER_CUT_OFF
    elif attempts.failed and text != spell(ERASED):
        text += AFTER_FAILURE
    return _receipt(outcome, text, attempts)


def _is_failure(outcome: _Stored) -> bool:
    parsed = parse(str(outcome.line.get("outcome")))
    return parsed is not None and parsed.is_failure


def wanted(receipt: Receipt, *, record: str | None, key: str | None) -> bool:
    """record: a value of the primary key, or the whole key in DynamoDB JSON; key: the object's."""
    if key is not None and receipt.key != key:
        return False
    return record is None or names_record(receipt.record_key, record)


def _receipt(last: _Stored, outcome: str, attempts: _Attempts) -> Receipt:
    event, line = last
    return Receipt(
        deleted_at=line.get("deleted_at"),
        erased_at=line.get("erased_at"),
        outcome=outcome,
        versions_erased=line.get("versions_erased"),
        versions_left=line.get("versions_left"),
        cut_off=attempts.cut_off,
        bucket=str(line.get("bucket")),
        key=str(line.get("key")),
        record_key=dict(key) if isinstance(key := line.get("record_key"), Mapping) else {},
        event=str(line.get("event")),
        event_id=str(line.get("event_id")),
        sequence_number=str(line.get("sequence_number")),
        tenant=str(line.get("tenant")),
        intended_at=timestamp(attempts.intents[0].event["timestamp"] / 1000) if attempts.intents else None,
        logged_at=str(timestamp(event["timestamp"] / 1000)),
        log_stream=stream_of(event),
    )


def milliseconds(at: datetime) -> int:
    """Since the epoch, as CloudWatch Logs dates lines."""
    return max(0, round(at.timestamp() * 1000))
