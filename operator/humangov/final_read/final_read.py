"""The last look at a tenant's stream: the trigger is gone, and records deleted just before are honoured yet.

A stream's records can be read from its shards' beginnings only, so the youngest shards are read first, and their
parents as far as they may hold records that are young enough.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html
"""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.aws import function
from humangov.aws.data_plane import AwsClients
from humangov.aws.receipt_log import Receipts
from humangov.cleanup import batch
from humangov.cleanup.calls import Calls, Line
from humangov.cleanup.environment import read_settings
from humangov.cleanup.receipt_lines import is_failure, kind

WITHIN_SECONDS = 120.0
_BATCH = 1000
_EMPTY_PAGES = 5
"""An open shard has no end: after so many answers without a record it is taken as read."""

_TRIMMED = ("TrimmedDataAccessException", "ResourceNotFoundException", "ExpiredIteratorException")


@dataclass
class LastLook:
    """records: read and young enough. unread: shards that were not read to their end, or not at all."""

    shards: int = 0
    records: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    unread: int = 0
    log_stream: str | None = None

    @property
    def erased(self) -> int:
        return sum(number for outcome, number in self.outcomes.items() if kind(outcome) == "erased")

    @property
    def complete(self) -> bool:
        return self.unread == 0 and self.failed == 0


def last_look(
    clients: AwsClients,
    names: Names,
    *,
    since: datetime,
    stop: Callable[[], bool] = lambda: False,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
) -> LastLook:
    """Has every record of the stream since then handled as the function handles it, in two minutes at most.

    Raises NoReceiptError, and ClientError or BotoCoreError where the stream can't be described.
    """
    ends_at = now() + WITHIN_SECONDS
    found = LastLook()
    table = clients.patient_dynamodb.describe_table(TableName=names.tenant.table.name)["Table"]
    arn = table.get("LatestStreamArn")
    if not arn or not (table.get("StreamSpecification") or {}).get("StreamEnabled"):
        return found
    receipts = Receipts(
        clients.logs, log_group=names.tenant.log_group_name, now=now, pause=pause, prefix="last-look"
    )  # fmt: skip
    late = lambda: stop() or now() >= ends_at  # noqa: E731 - two conditions in one word
    waiting: list[Mapping[str, Any]] = []
    for record in _records(clients.streams, str(arn), since=since, late=late, found=found, pause=pause):
        waiting.append(record)
        if len(waiting) >= _BATCH:
            _handle(waiting, clients, names, found, receipts=receipts, late=late, now=now, pause=pause)
            waiting = []
    if waiting:
        _handle(waiting, clients, names, found, receipts=receipts, late=late, now=now, pause=pause)
    return found


def _records(
    streams: Any,
    arn: str,
    *,
    since: datetime,
    late: Callable[[], bool],
    found: LastLook,
    pause: Callable[[float], None],
) -> Iterator[dict[str, Any]]:
    """As Lambda would hand them over. A record's order against others of its key does not matter: the table decides."""
    shards = {one["ShardId"]: one for one in _shards(streams, arn)}
    parents = {one.get("ParentShardId") for one in shards.values()}
    ahead = [one for name, one in shards.items() if name not in parents]  # the youngest
    begun: set[str] = set()
    while ahead:
        shard = ahead.pop()
        name = shard["ShardId"]
        if name in begun:
            continue
        begun.add(name)
        if late():
            found.unread += 1
            continue
        found.shards += 1
        older = False
        try:
            for record in _of_shard(streams, arn, shard, late=late, pause=pause):
                created = record["dynamodb"].get("ApproximateCreationDateTime")
                if created is not None and created < since:
                    older = True
                    continue
                found.records += 1
                yield _event(record, arn)
        except _UnreadError:
            found.unread += 1
        parent = shards.get(shard.get("ParentShardId") or "")
        if parent is not None and not older:  # else all of the parent's records are older still
            ahead.append(parent)


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
) -> Iterator[Mapping[str, Any]]:
    empty = 0
    try:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        ).get("ShardIterator")
        while iterator:
            if late():
                raise _UnreadError
            answer = streams.get_records(ShardIterator=iterator)
            yield from answer.get("Records") or ()
            iterator = answer.get("NextShardIterator")
            empty = 0 if answer.get("Records") else empty + 1
            is_open = not (shard.get("SequenceNumberRange") or {}).get("EndingSequenceNumber")
            if is_open and empty >= _EMPTY_PAGES:
                return
            if empty:
                pause(0.1)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _TRIMMED:
            raise _UnreadError from error


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


def _handle(
    records: Sequence[Mapping[str, Any]],
    clients: AwsClients,
    names: Names,
    found: LastLook,
    *,
    receipts: Receipts,
    late: Callable[[], bool],
    now: Callable[[], float],
    pause: Callable[[float], None],
) -> None:
    receipts.open()
    found.log_stream = receipts.stream_name

    def write(lines: Iterable[Line]) -> None:
        told = list(lines)
        receipts.write(told)
        for line in told:
            if line.get("message") == "batch":
                found.outcomes.update({name: count for name, count in line["files"].items() if not is_failure(name)})

    calls = Calls(
        dynamodb=clients.dynamodb, s3=clients.s3, out_of_time=late, pause=pause, now=now, write=write,
        keeps_versions=lambda: True,  # every file is erased by exactly the versions that were listed
    )  # fmt: skip
    answer = batch.run({"Records": list(records)}, settings=read_settings(function.environment(names)), calls=calls)
    found.failed += len(answer["batchItemFailures"])
