"""Reads a table's streams, shard by shard and page by page, to their ends or up to a time T.

Only a shard whose iterator ends has been read completely: an empty page means nothing, and an iterator that expired is
an error. Every shard of a disabled stream has an end. An open shard has none that a reader can see: it is read up to T
once a record is younger than T, or once every page for ten seconds after T was empty. All times are AWS's own, from the
Date of its answers, which has no fraction: this machine's clock may be wrong.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from humangov.cleanup.calls import error_code
from humangov.reading.progress import aws_time

QUIET_SECONDS = 10.0
"""An open shard whose pages were all empty for so long after T counts as read up to T."""

QUIET_PAGES = 20
"""So many of them, too: seconds that pass while records are handled say nothing of the shard."""

TRIMMED = "TrimmedDataAccessException"
OUT_OF_TIME = "OutOfTime"
FROM_THE_FIRST: Mapping[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
_AT_ONCE = 16
_PAUSE_SECONDS = 0.2
_DISABLING_PAUSE_SECONDS = 1.0
_EXPIRED = "ExpiredIteratorException"

Record = Mapping[str, Any]
"""As GetRecords answers."""


class Shard(NamedTuple):
    """is_closed: nothing is written to it any more. parent: the shard that it follows."""

    name: str
    parent: str | None
    is_closed: bool


class ListedStream(NamedTuple):
    """A stream's state as the list of its shards began, and the list. at: AWS's second then; infinite if unknown."""

    at: float
    status: str
    view_type: str
    shards: Sequence[Shard]


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """A shard's place.

    after     sequence number of the last record that was read
    newest    when that was written
    empty     when the last empty pages came, since that record: QUIET_PAGES of them at most
    at        when the last page came
    renewed   the iterator was just fetched again
    trimmed   records expired before they were read, which was told
    """

    arn: str
    shard: str
    iterator: str
    after: str | None = None
    newest: float = -math.inf
    empty: tuple[float, ...] = ()
    at: float = -math.inf
    renewed: bool = False
    trimmed: bool = False

    @property
    def read_up_to(self) -> float:
        """T: every record that was written in this second or before has been read."""
        quiet = -math.inf
        if len(self.empty) == QUIET_PAGES:
            quiet = min(self.empty[0], self.empty[-1] - QUIET_SECONDS - 1)
        return max(self.newest - 1, quiet)


class ShardPage(NamedTuple):
    """What one step gave. following: the place after it; None: the shard has ended, or can't be read.

    unread: why a part of the shard can't be read: AWS's code.
    """

    records: Sequence[Record]
    following: Cursor | None
    unread: str | None = None


def listed_stream(streams: Any, arn: str) -> ListedStream:
    """Raises ClientError or BotoCoreError."""
    found, shards = None, list[Shard]()
    more: dict[str, Any] = {}
    while True:
        answer = streams.describe_stream(StreamArn=arn, **more)
        stream = answer["StreamDescription"]
        found = found or ListedStream(
            at=math.inf if (at := aws_time(answer)) is None else at,
            status=str(stream.get("StreamStatus") or "UNKNOWN"),
            view_type=str(stream.get("StreamViewType") or "UNKNOWN"),
            shards=(),
        )
        shards += [_shard(one) for one in stream.get("Shards") or ()]
        if not stream.get("LastEvaluatedShardId"):
            return found._replace(shards=shards)
        more = {"ExclusiveStartShardId": stream["LastEvaluatedShardId"]}


def first_place(streams: Any, arn: str, shard: str, where: Mapping[str, str] = FROM_THE_FIRST) -> Cursor | str:
    """A shard's place, or why it can't be read. where: of GetShardIterator."""
    iterator = _iterator(streams, arn, shard, where)
    if isinstance(iterator, Exception):
        return error_code(iterator)
    return Cursor(arn=arn, shard=shard, iterator=iterator)


def next_page(streams: Any, cursor: Cursor) -> ShardPage:
    """One page of a shard. An iterator that expired is fetched again, and then this page is empty."""
    try:
        answer = streams.get_records(ShardIterator=cursor.iterator)
    except (ClientError, BotoCoreError) as error:
        return _after_error(streams, cursor, error)
    records = answer.get("Records") or ()
    if not answer.get("NextShardIterator"):
        return ShardPage(records, None)
    at = -math.inf if (known := aws_time(answer)) is None else known
    following = replace(cursor, iterator=answer["NextShardIterator"], at=at, renewed=False)
    if records:
        written = max(cursor.newest, *(_written(one) for one in records))
        last = str(records[-1]["dynamodb"]["SequenceNumber"])
        return ShardPage(records, replace(following, after=last, newest=written, empty=()))
    return ShardPage(records, replace(following, empty=(*cursor.empty, at)[-QUIET_PAGES:]))


# Streams of a table, to their ends.


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


class StreamAccess(NamedTuple):
    """What every step needs. late: once true, the rest is not read."""

    streams: Any
    late: Callable[[], bool]
    pause: Callable[[float], None]


def stream_pages(access: StreamAccess, arns: Sequence[str]) -> Iterator[StreamPage]:
    """Every page of these streams. The order of a key's records does not matter: the table decides.

    Raises ClientError or BotoCoreError if a stream can't be described.
    """
    for arn in arns:
        stream = _settled(access, arn)
        is_disabled = stream.status == "DISABLED"
        # A shard that is closed meanwhile has children that were not listed: the stream has no end either way.
        yield StreamPage(open=0 if is_disabled else 1)
        names = [shard.name for shard in stream.shards]
        yield from _stream_pages(access, arn, names, at=math.inf if is_disabled else stream.at)


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


def _stream_pages(access: StreamAccess, arn: str, shards: Sequence[str], *, at: float) -> Iterator[StreamPage]:
    """Some shards at once: an open one alone would take ten seconds, and an iterator expires after fifteen minutes.

    at: T; infinite where every shard has an end.
    """
    ahead, active = list(shards), list[Cursor]()
    while ahead or active:
        while ahead and len(active) < _AT_ONCE and not access.late():
            begun = first_place(access.streams, arn, ahead.pop(0))
            yield StreamPage(shards=1, unread=begun if isinstance(begun, str) else None)
            active += [] if isinstance(begun, str) else [begun]
        if access.late():
            yield from (StreamPage(unread=OUT_OF_TIME) for one in active if not one.trimmed)
            yield from (StreamPage(shards=1, unread=OUT_OF_TIME) for _ in ahead)
            return
        pages = [next_page(access.streams, one) for one in active]
        yield from (StreamPage(unread=page.unread, records=_as_for_lambda(page.records, arn)) for page in pages)
        active = [page.following for page in pages if page.following and page.following.read_up_to < at]
        if active and not any(page.records for page in pages):
            access.pause(_PAUSE_SECONDS)


def _settled(access: StreamAccess, arn: str) -> ListedStream:
    """The stream and its shards, listed once its state is final."""
    stream = listed_stream(access.streams, arn)
    while stream.status == "DISABLING" and not access.late():
        access.pause(_DISABLING_PAUSE_SECONDS)
        stream = listed_stream(access.streams, arn)
    return stream


def _shard(described: Mapping[str, Any]) -> Shard:
    numbers = described.get("SequenceNumberRange") or {}
    closed = numbers.get("EndingSequenceNumber") is not None
    return Shard(str(described["ShardId"]), described.get("ParentShardId"), closed)


def _after_error(streams: Any, cursor: Cursor, error: Exception) -> ShardPage:
    """An iterator that expired is fetched again, once, after the last record; what expired is unread, the rest read."""
    code = error_code(error)
    if code not in (_EXPIRED, TRIMMED) or cursor.renewed:
        return ShardPage((), None, unread=None if cursor.trimmed else code)
    continues = code == _EXPIRED and cursor.after is not None
    where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": cursor.after} if continues else None
    iterator = _iterator(streams, cursor.arn, cursor.shard, where or FROM_THE_FIRST)
    if continues and isinstance(iterator, Exception) and error_code(iterator) == TRIMMED:
        code, iterator = TRIMMED, _iterator(streams, cursor.arn, cursor.shard, FROM_THE_FIRST)
    if isinstance(iterator, Exception):
        return ShardPage((), None, unread=None if cursor.trimmed else error_code(iterator))
    unread = code if code == TRIMMED and not cursor.trimmed else None
    trimmed = cursor.trimmed or code == TRIMMED
    return ShardPage((), replace(cursor, iterator=iterator, renewed=True, trimmed=trimmed), unread=unread)


def _iterator(streams: Any, arn: str, shard: str, where: Mapping[str, Any]) -> str | Exception:
    try:
        answer = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, **where)
    except (ClientError, BotoCoreError) as error:
        failure: Exception = error
        return failure
    return str(answer["ShardIterator"])


def _written(record: Record) -> float:
    """The second in which it was written; AWS says `approximate`."""
    created: datetime | None = record["dynamodb"].get("ApproximateCreationDateTime")
    return -math.inf if created is None else math.floor(created.timestamp())


def _as_for_lambda(records: Sequence[Record], arn: str) -> list[dict[str, Any]]:
    """Records of GetRecords in the form that Lambda passes to a function."""
    return [_event(record, arn) for record in records]


def _event(record: Record, arn: str) -> dict[str, Any]:
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
