"""DynamoDB as a sweep asks it: the table, its scan in pages and segments, and items by their keys.

In place of one table, after https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/. It can't show throughput,
unprocessed keys, or a scan that is not consistent.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from testing.sweep import streams
from testing.sweep.reply import Reply
from testing.sweep.tenant_data import TenantData


def describe_table(data: TenantData, _params: Mapping[str, Any]) -> Reply:
    table = {
        "TableArn": data.names.table_arn, "TableName": data.names.tenant.table.name, "TableId": data.table_id,
        "TableStatus": "ACTIVE", "ItemCount": len(data.records), "TableSizeBytes": 100 * len(data.records),
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    }  # fmt: skip
    if data.created is not None:
        table["CreationDateTime"] = datetime.fromtimestamp(data.created, UTC)
    return Reply(200, {"Table": table | streams.of_table(data) | data.table})


def place_of(record: str) -> tuple[str, str]:
    """A partition's place in a scan, which has nothing to do with its key's order."""
    return hashlib.sha256(record.encode()).hexdigest(), record


def scan(data: TenantData, params: Mapping[str, Any]) -> Reply:
    places = sorted(map(place_of, data.records))
    if "Segment" in params:
        places = [one for one in places if int(one[0][:4], 16) % params["TotalSegments"] == params["Segment"]]
    after = params.get("ExclusiveStartKey", {}).get("id", {}).get("S")
    if after is not None:
        places = places[bisect.bisect_right(places, place_of(after)) :]
    page = [record for _, record in places[: data.page]]
    wanted = set(params["ExpressionAttributeNames"].values())
    items = [
        {name: value for name, value in (data.item(record) or {}).items() if name in wanted} for record in page
    ]  # fmt: skip
    answer: dict[str, Any] = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
    if len(places) > len(page):
        answer["LastEvaluatedKey"] = {"id": {"S": page[-1]}}
    return Reply(200, answer)


def batch_get_item(data: TenantData, params: Mapping[str, Any]) -> Reply:
    ((name, asked),) = params["RequestItems"].items()
    ids = [key["id"]["S"] for key in asked["Keys"]]
    return Reply(200, {"Responses": {name: [data.item(one) for one in ids if one in data.records]}})
