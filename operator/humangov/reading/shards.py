"""Reads a table's streams to their ends, page by page, in the form that Lambda passes to a function.

Only a shard whose iterator ends has been read completely: an empty page means nothing, and an iterator that expired is
an error. Every shard of a disabled stream has an end. An open shard has none that a reader can see: it is read until a
record is younger than T, or until every page for ten seconds after T was empty. T is when the shards were listed.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from humangov.cleanup.calls import error_code

QUIET_SECONDS = 10.0
"""An open shard whose pages were all empty for so long after T counts as read up to T."""

_QUIET_PAGES = 20
"""So many of them, too: seconds that pass while records are handled say nothing of the shard."""

OUT_OF_TIME = "OutOfTime"
_AT_ONCE = 16
_PAUSE_SECONDS = 0.2
_DISABLING_PAUSE_SECONDS = 1.0
_EXPIRED = "ExpiredIteratorException"
_TRIMMED = "TrimmedDataAccessException"
_FROM_THE_FIRST: Mapping[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}


@dataclass(frozen=True, kw_only=True)
class StreamPage:
    """One step of the read.

    shards   1 at the beginning of a shard
    open     1 at the beginning of a stream that stays enabled: it can only be read up to T
    unread   why a shard was not read to its end: AWS's code, or OutOfTime
    records  in Lambda's form
    """

    shards: int = 0
    open: int = 0
    unread: str | None = None
    records: Sequence[Mapping[str, Any]] = ()


class Reading(NamedTuple):
    """What every step needs. late: once true, the rest is not read. now: seconds since the epoch."""

    streams: Any
    late: Callable[[], bool]
    now: Callable[[], float]
    pause: Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class _Cursor:
    """A shard's place. after: sequence number of the last record that was read.

    quiet_since: of an open shard, the later of T and its last record; None where the shard has an end. quiet_pages:
    empty ones since. renewed: the iterator was just fetched again. trimmed: records expired before they were read,
    which was unread.
    """

    arn: str
    shard: str
    iterator: str
    after: str | None = None
    began: float
    quiet_since: float | None
    quiet_pages: int = 0
    renewed: bool = False
    trimmed: bool = False


def stream_pages(reading: Reading, arns: Sequence[str]) -> Iterator[StreamPage]:
    """Every page of these streams. The order of a key's records does not matter: the table decides.

    Raises ClientError or BotoCoreError if a stream can't be described.
    """
    for arn in arns:
        at, is_disabled, shards = _listed(reading, arn)
        # A shard that is closed meanwhile has children that were not listed: the stream has no end either way.
        yield StreamPage(open=0 if is_disabled else 1)
        yield from _stream_pages(reading, arn, shards, at=None if is_disabled else at)


def stream_arns(streams: Any, *, table: str, table_arn: str, latest: str | None) -> list[str]:
    """The table's streams that can still be read: also those disabled within 24 hours. Raises what the SDK raises.

    latest: from DescribeTable, because the list is eventually consistent.
    """
    found = [latest] if latest else []
    more: dict[str, Any] = {}
    while True:
        answer = streams.list_streams(TableName=table, **more)
        found += [one["StreamArn"] for one in answer.get("Streams") or ()]
        if not answer.get("LastEvaluatedStreamArn"):
            return [arn for arn in dict.fromkeys(found) if arn.startswith(f"{table_arn}/stream/")]
        more = {"ExclusiveStartStreamArn": answer["LastEvaluatedStreamArn"]}


def _stream_pages(reading: Reading, arn: str, shards: Sequence[str], *, at: float | None) -> Iterator[StreamPage]:
    """Some shards at once: an open one alone would take ten seconds, and an iterator expires after fifteen minutes.

    at: T, of a stream that is not disabled.
    """
    ahead, active = list(shards), list[_Cursor]()
    while ahead or active:
        while ahead and len(active) < _AT_ONCE and not reading.late():
            begun = _begun(reading, arn, ahead.pop(0), at=at)
            yield StreamPage(shards=1, unread=begun if isinstance(begun, str) else None)
            active += [] if isinstance(begun, str) else [begun]
        if reading.late():
            yield from (StreamPage(unread=OUT_OF_TIME) for one in active if not one.trimmed)
            yield from (StreamPage(shards=1, unread=OUT_OF_TIME) for _ in ahead)
            return
        steps = [_step(reading, one) for one in active]
        yield from (page for page, _ in steps)
        active = [following for _, following in steps if following is not None]
        if active and not any(page.records for page, _ in steps):
            reading.pause(_PAUSE_SECONDS)


def _listed(reading: Reading, arn: str) -> tuple[float, bool, list[str]]:
    """T, whether the stream is disabled, and the IDs of its shards, listed after T and once its state is final."""
    at, (status, shards) = reading.now(), _described(reading.streams, arn)
    while status == "DISABLING" and not reading.late():
        reading.pause(_DISABLING_PAUSE_SECONDS)
        at, (status, shards) = reading.now(), _described(reading.streams, arn)
    return at, status == "DISABLED", shards


def _described(streams: Any, arn: str) -> tuple[str, list[str]]:
    """The stream's state as the list of its shards began, and the list."""
    status, shards = "", list[str]()
    more: dict[str, Any] = {}
    while True:
        answer = streams.describe_stream(StreamArn=arn, **more)["StreamDescription"]
        status = status or str(answer.get("StreamStatus") or "UNKNOWN")
        shards += [str(one["ShardId"]) for one in answer.get("Shards") or ()]
        if not answer.get("LastEvaluatedShardId"):
            return status, shards
        more = {"ExclusiveStartShardId": answer["LastEvaluatedShardId"]}


def _begun(reading: Reading, arn: str, shard: str, *, at: float | None) -> _Cursor | str:
    """The shard's first place, or why it can't be read. at: T, where the shard has no end."""
    iterator = _iterator(reading.streams, arn, shard, _FROM_THE_FIRST)
    if isinstance(iterator, Exception):
        return error_code(iterator)
    return _Cursor(arn=arn, shard=shard, iterator=iterator, began=at or 0.0, quiet_since=at)


def _step(reading: Reading, cursor: _Cursor) -> tuple[StreamPage, _Cursor | None]:
    """One page, and the place after it; None: the shard ended, is read up to T, or can't be read."""
    try:
        answer = reading.streams.get_records(ShardIterator=cursor.iterator)
    except (ClientError, BotoCoreError) as error:
        return _after_error(reading, cursor, error)
    records = answer.get("Records") or ()
    page = StreamPage(records=[_event(record, cursor.arn) for record in records])
    if not answer.get("NextShardIterator"):
        return page, None
    following = replace(cursor, iterator=answer["NextShardIterator"], renewed=False)
    if records:
        following = replace(following, after=str(records[-1]["dynamodb"]["SequenceNumber"]))
    if cursor.quiet_since is None:
        return page, following
    now = reading.now()
    if records:
        following = replace(following, quiet_since=now, quiet_pages=0)
        is_read = any(_is_younger(record, cursor.began) for record in records)
    else:
        following = replace(following, quiet_pages=cursor.quiet_pages + 1)
        is_read = now - cursor.quiet_since >= QUIET_SECONDS and following.quiet_pages >= _QUIET_PAGES
    return page, None if is_read else following


def _after_error(reading: Reading, cursor: _Cursor, error: Exception) -> tuple[StreamPage, _Cursor | None]:
    """An iterator that expired is fetched again, once, after the last record; what expired is unread, the rest read."""
    code = error_code(error)
    if code not in (_EXPIRED, _TRIMMED) or cursor.renewed:
        return StreamPage(unread=None if cursor.trimmed else code), None
    continues = code == _EXPIRED and cursor.after is not None
    where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": cursor.after} if continues else None
    iterator = _iterator(reading.streams, cursor.arn, cursor.shard, where or _FROM_THE_FIRST)
    if continues and isinstance(iterator, Exception) and error_code(iterator) == _TRIMMED:
        code, iterator = _TRIMMED, _iterator(reading.streams, cursor.arn, cursor.shard, _FROM_THE_FIRST)
    if isinstance(iterator, Exception):
        return StreamPage(unread=None if cursor.trimmed else error_code(iterator)), None
    unread = code if code == _TRIMMED and not cursor.trimmed else None
    trimmed = cursor.trimmed or code == _TRIMMED
    return StreamPage(unread=unread), replace(cursor, iterator=iterator, renewed=True, trimmed=trimmed)


def _iterator(streams: Any, arn: str, shard: str, where: Mapping[str, Any]) -> str | Exception:
    try:
        answer = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, **where)
    except (ClientError, BotoCoreError) as error:
        failure: Exception = error
        return failure
    return str(answer["ShardIterator"])


def _is_younger(record: Mapping[str, Any], at: float) -> bool:
    created: datetime | None = record["dynamodb"].get("ApproximateCreationDateTime")
    return created is not None and created.timestamp() > at


def _event(record: Mapping[str, Any], arn: str) -> dict[str, Any]:
    """A record of GetRecords in the form that Lambda passes to a function."""
    change = dict(record["dynamodb"])
    created = change.get("ApproximateCreationDateTime")
    if created is not None:
        change["ApproximateCreationDateTime"] = created.timestamp()
    return {**record, "dynamodb": _plain(change), "eventSourceARN": arn}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
