"""Reads a stream's records, shard by shard and page by page, in the form that Lambda passes to a function.

Each shard is read from its beginning. The youngest shards come first, then their parents if these may contain recent
records.
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
"""An open shard has no end: after this number of empty pages, it counts as read."""

_EMPTY_PAUSE_SECONDS = 0.1
_TRIMMED = ("TrimmedDataAccessException", "ResourceNotFoundException", "ExpiredIteratorException")


@dataclass(frozen=True, kw_only=True)
class StreamPage:
    """One step of the read.

    shards   1 at the beginning of a shard
    unread   1 for a shard that was not read completely, or not at all
    records  recent records, in Lambda's form
    """

    shards: int = 0
    unread: int = 0
    records: Sequence[Mapping[str, Any]] = ()


def stream_pages(
    streams: Any, arn: str, *, since: datetime, late: Callable[[], bool], pause: Callable[[float], None]
) -> Iterator[StreamPage]:
    """The stream's pages since then. The order of a key's records does not matter: the table decides.

    late: once true, the rest is not read. Raises ClientError or BotoCoreError if the stream can't be described.
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
        if parent is not None and not older:  # otherwise all of the parent's records are older
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
    """The shard's records since then. Returns whether it also has older records."""
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
    """A shard could not be read completely."""


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
