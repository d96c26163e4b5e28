"""A stream's records, shard by shard, a page at a time, in the form in which Lambda gives them to a function.

A stream's records can be read from its shards' beginnings only, so the youngest shards are read first, and their
parents as far as they may hold records that are young enough.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from humangov.cleanup.calls import error_code

_EMPTY_PAGES = 5
"""An open shard has no end: after so many answers without a record it is taken as read."""

_EMPTY_PAUSE_SECONDS = 0.1
_TRIMMED = ("TrimmedDataAccessException", "ResourceNotFoundException", "ExpiredIteratorException")


@dataclass(frozen=True, kw_only=True)
class StreamPage:
    """One step through the stream.

    shards   1 where a shard begins
    unread   1 where a shard was not read to its end, or not at all
    records  young enough, as Lambda would hand them over
    """

    shards: int = 0
    unread: int = 0
    records: Sequence[Mapping[str, Any]] = ()


def stream_pages(
    streams: Any, arn: str, *, since: datetime, late: Callable[[], bool], pause: Callable[[float], None]
) -> Iterator[StreamPage]:
    """The stream since then; a record's order against others of its key does not matter: the table decides.

    late: once it says so, what is left is not read. Raises ClientError or BotoCoreError where the stream can't be
    described.
    """
    shards = {one["ShardId"]: one for one in _shards(streams, arn)}
    parents = {one.get("ParentShardId") for one in shards.values()}
    ahead = [one for name, one in shards.items() if name not in parents]  # the youngest
    begun: set[str] = set()
    while ahead:
        shard = ahead.pop()
        if shard["ShardId"] in begun:
            continue
        begun.add(shard["ShardId"])
        if late():
            yield StreamPage(unread=1)
            continue
        older = yield from _young(streams, arn, shard, since=since, late=late, pause=pause)
        parent = shards.get(shard.get("ParentShardId") or "")
        if parent is not None and not older:  # else all of the parent's records are older still
            ahead.append(parent)


def _young(
    streams: Any,
    arn: str,
    shard: Mapping[str, Any],
    *,
    since: datetime,
    late: Callable[[], bool],
    pause: Callable[[float], None],
) -> Generator[StreamPage, None, bool]:
    """The shard's records since then. Returns whether it has older ones."""
    yield StreamPage(shards=1)
    older = False
    try:
        for page in _of_shard(streams, arn, shard, late=late, pause=pause):
            young = [record for record in page if not _is_older(record, since)]
            older = older or len(young) < len(page)
            yield StreamPage(records=[_event(record, arn) for record in young])
    except _UnreadError:
        yield StreamPage(unread=1)
    return older


class _UnreadError(Exception):
    """A shard could not be read to its end."""


def _shards(streams: Any, arn: str) -> Iterator[Mapping[str, Any]]:
    more: dict[str, Any] = {}
    while True:
        answer = streams.describe_stream(StreamArn=arn, **more)["StreamDescription"]
        yield from answer.get("Shards") or ()
        if not answer.get("LastEvaluatedShardId"):
            return
        more = {"ExclusiveStartShardId": answer["LastEvaluatedShardId"]}


def _of_shard(
    streams: Any, arn: str, shard: Mapping[str, Any], *, late: Callable[[], bool], pause: Callable[[float], None]
) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Pages with records. Raises _UnreadError."""
    is_open = not (shard.get("SequenceNumberRange") or {}).get("EndingSequenceNumber")
    empty = 0
    try:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        ).get("ShardIterator")
        while iterator:
            if late():
                raise _UnreadError
            answer = streams.get_records(ShardIterator=iterator)
            if records := answer.get("Records"):
                yield records
            iterator = answer.get("NextShardIterator")
            empty = 0 if records else empty + 1
            if is_open and empty >= _EMPTY_PAGES:
                return
            if empty:
                pause(_EMPTY_PAUSE_SECONDS)
    except ClientError as error:
        if error_code(error) not in _TRIMMED:
            raise _UnreadError from error


def _is_older(record: Mapping[str, Any], since: datetime) -> bool:
    created = record["dynamodb"].get("ApproximateCreationDateTime")
    return created is not None and created < since


def _event(record: Mapping[str, Any], arn: str) -> dict[str, Any]:
    """A record of GetRecords in the form in which Lambda gives it to a function."""
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
