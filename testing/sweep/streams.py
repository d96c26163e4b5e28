"""DynamoDB Streams as a sweep asks it, and Lambda's list of who reads the stream.

In place of one table's stream, after https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/. Shards split,
records show late, iterators expire, records are trimmed. It can't show throttling (see the world's faults).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testing.sweep.reply import Reply, refusal
from testing.sweep.table_stream import Shard, TableStream
from testing.sweep.tenant_data import TenantData

_ITERATOR_SECONDS, _KEPT_SECONDS = 15 * 60, 24 * 3600.0


def of_table(data: TenantData) -> dict[str, Any]:
    """What DescribeTable answers about the stream."""
    stream = data.stream
    if stream is None:
        return {}
    enabled = {"StreamEnabled": True, "StreamViewType": stream.view}
    return {
        "LatestStreamArn": stream.arn,
        "LatestStreamLabel": stream.arn.rsplit("/", 1)[-1],
        **({"StreamSpecification": enabled} if stream.status == "ENABLED" else {}),
    }


def list_streams(data: TenantData, _params: Mapping[str, Any]) -> Reply:
    return Reply(200, {"Streams": [{"StreamArn": data.stream.arn}] if data.stream else []})


def describe_stream(data: TenantData, params: Mapping[str, Any]) -> Reply:
    stream = data.stream
    if stream is None or stream.arn != params["StreamArn"]:
        return refusal(400, "ResourceNotFoundException")
    shards = [_described(one) for one in stream.shards.values()]
    described = {
        "StreamArn": stream.arn,
        "StreamStatus": stream.status,
        "StreamViewType": stream.view,
        "Shards": shards,
    }
    return Reply(200, {"StreamDescription": described})


def get_shard_iterator(data: TenantData, params: Mapping[str, Any]) -> Reply:
    stream = data.stream
    if stream is None or params["ShardId"] not in stream.shards:
        return refusal(400, "ResourceNotFoundException")
    shard, place = stream.shards[params["ShardId"]], 0
    match params["ShardIteratorType"]:
        case "LATEST":
            place = _visible(data, stream, shard)
        case "AFTER_SEQUENCE_NUMBER":
            place = [one.number for one in shard.changes].index(params["SequenceNumber"]) + 1
        case "TRIM_HORIZON":
            place = _untrimmed(data, shard)
    return Reply(200, {"ShardIterator": _iterator(data, shard, place)})


def get_records(data: TenantData, params: Mapping[str, Any]) -> Reply:
    name, at, born = params["ShardIterator"].split("|")
    stream, place = data.stream, int(at)
    if stream is None:
        return refusal(400, "ResourceNotFoundException")
    if data.now - float(born) > _ITERATOR_SECONDS:
        return refusal(400, "ExpiredIteratorException")
    shard = stream.shards[name]
    if place < _untrimmed(data, shard):
        return refusal(400, "TrimmedDataAccessException")
    found = shard.changes[place : min(_visible(data, stream, shard), place + stream.page)]
    if found and stream.empty:
        stream.empty -= 1
        found = []
    after = place + len(found)
    more = (
        {} if shard.is_closed and after == len(shard.changes) else {"NextShardIterator": _iterator(data, shard, after)}
    )
    return Reply(200, {"Records": [one.shown(stream.view) for one in found], **more})


def list_event_source_mappings(data: TenantData, params: Mapping[str, Any]) -> Reply:
    readers = data.stream.readers if data.stream and params["EventSourceArn"] == data.stream.arn else []
    return Reply(200, {"EventSourceMappings": [{"FunctionArn": one, "State": "Enabled"} for one in readers]})


def _described(shard: Shard) -> dict[str, Any]:
    parent = {"ParentShardId": shard.parent} if shard.parent else {}
    end = {"EndingSequenceNumber": "9"} if shard.is_closed else {}
    return {"ShardId": shard.name, "SequenceNumberRange": {"StartingSequenceNumber": "0", **end}, **parent}


def _iterator(data: TenantData, shard: Shard, place: int) -> str:
    return f"{shard.name}|{place}|{data.now}"


def _visible(data: TenantData, stream: TableStream, shard: Shard) -> int:
    """The place of the first change that does not show yet."""
    return next(
        (place for place, one in enumerate(shard.changes) if one.at + stream.lag > data.now), len(shard.changes)
    )


def _untrimmed(data: TenantData, shard: Shard) -> int:
    since = data.now - _KEPT_SECONDS
    return next((place for place, one in enumerate(shard.changes) if one.at >= since), len(shard.changes))
