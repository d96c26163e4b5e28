"""The invocation record that Lambda writes to an S3 bucket for records that it gave up. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html, "Configuring destinations".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from testing.event_source.answers import number_of
from testing.event_source.batches import Record, payload
from testing.event_source.decisions import Discarded, created
from testing.event_source.mapping import Trigger


def object_key(trigger: Trigger, *, shard: str, now: float, random: str) -> str:
    at = datetime.fromtimestamp(now, UTC)
    return f"aws/lambda/{trigger.uuid}/{shard}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{random}"


def body(
    discarded: Discarded, trigger: Trigger, *, shard: str, now: float, request_id: str, error: str | None
) -> bytes:
    """error: the last invocation's kind of error; None if the function answered, or never was called."""
    record: dict[str, Any] = {
        "requestContext": {
            "requestId": request_id,
            "functionArn": trigger.function_arn,
            "condition": discarded.condition,
            "approximateInvokeCount": discarded.invocations,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            **({"functionError": error} if error else {}),
        },
        "version": "1.0",
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "DDBStreamBatchInfo": _batch(discarded.records, trigger, shard=shard),
        "payload": payload(discarded.records).decode(),
    }
    return json.dumps(record).encode()


def event(stored: bytes) -> Any:
    """The event in an invocation record: what the function was sent."""
    return json.loads(json.loads(stored)["payload"])


def _batch(records: Sequence[Record], trigger: Trigger, *, shard: str) -> dict[str, Any]:
    first, last = records[0], records[-1]
    return {
        "shardId": shard,
        "startSequenceNumber": number_of(first),
        "endSequenceNumber": number_of(last),
        "approximateArrivalOfFirstRecord": f"{datetime.fromtimestamp(created(first), UTC):%Y-%m-%dT%H:%M:%SZ}",
        "approximateArrivalOfLastRecord": f"{datetime.fromtimestamp(created(last), UTC):%Y-%m-%dT%H:%M:%SZ}",
        "batchSize": len(records),
        "streamArn": trigger.stream_arn,
    }
