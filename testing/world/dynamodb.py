"""DynamoDB's operations: a consistent scan in segments, consistent reads of keys, the table and its stream.

After https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/. A scan is no snapshot: what moves from a place
that is still to be read to one that was read slips through. It can't show capacity, or an index.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from testing.world.account import Account, Answer, RefusedError
from testing.world.actor import FINAL_READ, Actor
from testing.world.stream import KEPT_SECONDS, Shard, Stream

Params = Mapping[str, Any]
_ITERATOR_SECONDS = 15 * 60
_EMPTY_PAGES_SHARE = 3.0
_UNITS_OF_A_SLOW_PAGE, _BYTES_OF_A_LARGE_RECORD = 200.0, 400_000
"""In a table with few units, of which others take most: the next page, of one record, is read minutes later."""


def describe_table(account: Account, actor: Actor, params: Params) -> Answer:
    table = account.table
    described: dict[str, Any] = {
        "TableArn": account.setting.names.table_arn,
        "TableName": table.name,
        "TableId": table.table_id,
        "TableStatus": "ACTIVE",
        "ItemCount": len(table.rows),
        "TableSizeBytes": 100 * len(table.rows),
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        **_billing(account),
        "CreationDateTime": datetime.fromtimestamp(table.created, UTC),
        "LatestStreamArn": table.stream.arn,
        "LatestStreamLabel": table.stream.arn.rsplit("/", 1)[-1],
    }
    if table.stream.enabled:
        described["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": table.view}
    if table.restored is not None:
        restored = datetime.fromtimestamp(table.restored, UTC)
        described["RestoreSummary"] = {"RestoreDateTime": restored, "RestoreInProgress": False}
    return {"Table": described}


def scan(account: Account, actor: Actor, params: Params) -> Answer:
    table_name = params["TableName"]
    _require_table(account, table_name)
    places = sorted(map(place_of, account.table.rows))
    if "Segment" in params:
        places = [one for one in places if one[0] % params["TotalSegments"] == params["Segment"]]
    after = params.get("ExclusiveStartKey", {}).get("id", {}).get("S")
    if after is None:
        actor.begins_segment(params.get("Segment", 0), moment=account.clock.tick())
    else:
        places = [one for one in places if one > place_of(after)]
    page = [record for _, record in places[: min(account.setting.page, params.get("Limit", 1000))]]
    answer: Answer = {"Items": [_projected(account, one, params) for one in page], "Count": len(page)}
    if account.setting.slow_table:
        answer["ConsumedCapacity"] = {"TableName": table_name, "CapacityUnits": _UNITS_OF_A_SLOW_PAGE}
    actor.place = None
    if len(places) > len(page):
        answer["LastEvaluatedKey"] = {"id": {"S": page[-1]}}
        actor.place = place_of(page[-1])
    return answer


def place_of(record: str) -> tuple[int, str]:
    """Where a scan finds this record: it has nothing to do with the order of keys."""
    return zlib.crc32(record.encode()), record


def _billing(account: Account) -> Answer:
    if not account.setting.slow_table:
        return {"BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}}
    return {
        "ProvisionedThroughput": {"ReadCapacityUnits": 4, "WriteCapacityUnits": 4},
        "TableSizeBytes": _BYTES_OF_A_LARGE_RECORD * len(account.table.rows),
    }


def batch_get_item(account: Account, actor: Actor, params: Params) -> Answer:
    ((name, asked),) = params["RequestItems"].items()
    _require_table(account, name)
    keys = asked["Keys"]
    ids = [key["id"]["S"] for key in keys]
    if len(set(ids)) != len(ids) or not 1 <= len(ids) <= 100:
        raise RefusedError("ValidationException")
    if not asked.get("ConsistentRead"):
        raise AssertionError("a read that decides over a file is consistent")
    left = [key for key in keys if account.weather.strikes("DynamoDB: unprocessed key")]
    read = [one for one, key in zip(ids, keys, strict=True) if key not in left]
    actor.read.update(dict.fromkeys(read, account.clock.tick()))
    found = [_projected(account, one, asked) for one in read if one in account.table.rows]
    again = {name: {**asked, "Keys": left}} if left else {}
    return {"Responses": {name: found}, "UnprocessedKeys": again}


def get_item(account: Account, actor: Actor, params: Params) -> Answer:
    _require_table(account, params["TableName"])
    record = params["Key"]["id"]["S"]
    actor.read[record] = account.clock.tick()
    return {"Item": _projected(account, record, params)} if record in account.table.rows else {}


def update_table(account: Account, actor: Actor, params: Params) -> Answer:
    """Only the end of a stream."""
    if params.get("StreamSpecification", {}).get("StreamEnabled") is not False:
        raise RefusedError("ValidationException")
    account.table.stream.disable(now=account.clock.now)
    return {"TableDescription": describe_table(account, actor, params)["Table"]}


def describe_stream(account: Account, actor: Actor, params: Params) -> Answer:
    stream, now = _stream(account, params["StreamArn"]), account.clock.now
    actor.stream.described = account.clock.tick()
    shards = stream.listed(now=now)
    after = params.get("ExclusiveStartShardId")
    names = [shard.name for shard in shards]
    shards = shards[names.index(after) + 1 :] if after in names else shards
    page = shards[: min(account.setting.page, 100)]
    more = {"LastEvaluatedShardId": page[-1].name} if len(shards) > len(page) else {}
    return {
        "StreamDescription": {
            "StreamArn": stream.arn,
            "StreamStatus": "ENABLED" if stream.enabled else "DISABLED",
            "StreamViewType": stream.view,
            "Shards": [_described(shard) for shard in page],
            **more,
        }
    }


def list_streams(account: Account, actor: Actor, params: Params) -> Answer:
    now = account.clock.now
    kept = [one for one in account.table.streams if one.enabled or one.listed(now=now)]
    return {"Streams": [{"StreamArn": one.arn, "TableName": account.table.name} for one in kept]}


def get_shard_iterator(account: Account, actor: Actor, params: Params) -> Answer:
    stream = _stream(account, params["StreamArn"])
    shard = _shard(account, stream, params["ShardId"])
    place = 0
    match params["ShardIteratorType"]:
        case "LATEST":
            place = len(shard.records)
        case "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER" as kind:
            numbers = [one.number for one in shard.records]
            place = numbers.index(params["SequenceNumber"]) + (kind == "AFTER_SEQUENCE_NUMBER")
    return {"ShardIterator": _iterator(account, stream, shard, max(place, _untrimmed(account, shard)))}


def get_records(account: Account, actor: Actor, params: Params) -> Answer:
    arn, name, place_text, born = params["ShardIterator"].split("|")
    stream = _stream(account, arn)
    shard, place, now = _shard(account, stream, name), int(place_text), account.clock.now
    if now - float(born) > _ITERATOR_SECONDS:
        raise RefusedError("ExpiredIteratorException")
    if place < _untrimmed(account, shard):
        raise RefusedError("TrimmedDataAccessException")
    actor.stream.polled[name] = account.clock.tick()
    if account.weather.strikes("Streams: empty page", share=_EMPTY_PAGES_SHARE):
        if place < len(shard.records):
            actor.stream.behind.setdefault(name, now)
        return {"Records": [], "NextShardIterator": _iterator(account, stream, shard, place)}
    actor.stream.behind.pop(name, None)
    records = shard.records[place : place + min(account.setting.page, params.get("Limit", 1000))]
    # Others than a final stream read handle none of them: the stream completes their reading of the table.
    (actor.give if actor.kind == FINAL_READ else actor.show)(records)
    account.clock.tick()
    after = place + len(records)
    ended = shard.closed_at is not None and after == len(shard.records)
    following = {} if ended else {"NextShardIterator": _iterator(account, stream, shard, after)}
    return {"Records": [one.for_readers() for one in records], **following}


def _iterator(account: Account, stream: Stream, shard: Shard, place: int) -> str:
    return f"{stream.arn}|{shard.name}|{place}|{account.clock.now}"


def _untrimmed(account: Account, shard: Shard) -> int:
    """The place of the first record that is younger than a day."""
    since = account.clock.now - KEPT_SECONDS
    return next((place for place, one in enumerate(shard.records) if one.at >= since), len(shard.records))


def _described(shard: Shard) -> Answer:
    first = shard.records[0].number if shard.records else "000000000000000000000"
    numbers = {"StartingSequenceNumber": first}
    if (end := shard.end()) is not None:
        numbers["EndingSequenceNumber"] = end
    parent = {"ParentShardId": shard.parent} if shard.parent else {}
    return {"ShardId": shard.name, "SequenceNumberRange": numbers, **parent}


def _stream(account: Account, arn: str) -> Stream:
    found = next((one for one in account.table.streams if one.arn == arn), None)
    if found is None:
        raise RefusedError("ResourceNotFoundException")
    return found


def _shard(account: Account, stream: Stream, name: str) -> Shard:
    shard = stream.shards.get(name)
    if shard is None or shard not in stream.listed(now=account.clock.now):
        raise RefusedError("ResourceNotFoundException")
    return shard


def _projected(account: Account, record: str, params: Params) -> dict[str, Any]:
    item = account.table.rows[record].item
    if "ProjectionExpression" not in params:
        return dict(item)
    wanted = set(params["ExpressionAttributeNames"].values())
    return {name: value for name, value in item.items() if name in wanted}


def _require_table(account: Account, name: str) -> None:
    if name != account.table.name:
        raise RefusedError("ResourceNotFoundException")


def list_event_source_mappings(account: Account, actor: Actor, params: Params) -> Answer:
    """Who reads the stream: the trigger alone."""
    stream = _stream(account, params["EventSourceArn"])
    reader = {"EventSourceArn": stream.arn, "FunctionArn": account.setting.names.function_arn, "State": "Enabled"}
    return {"EventSourceMappings": [reader]}


Operation = Callable[[Account, Actor, Params], Answer]
TABLE_OPERATIONS: Mapping[str, Operation] = {
    "describe_table": describe_table,
    "scan": scan,
    "batch_get_item": batch_get_item,
    "get_item": get_item,
    "update_table": update_table,
}
STREAM_OPERATIONS: Mapping[str, Operation] = {
    "describe_stream": describe_stream,
    "list_streams": list_streams,
    "get_shard_iterator": get_shard_iterator,
    "get_records": get_records,
}
READER_OPERATIONS: Mapping[str, Operation] = {"list_event_source_mappings": list_event_source_mappings}
"""Lambda's, of who reads a stream."""
