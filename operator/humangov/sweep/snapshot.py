"""The table, read whole and consistently: several segments at once, no faster than a share of what it can give.

A consistent scan is no snapshot: a record that moves to another key meanwhile can be seen twice, or not at all.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from humangov.api.names import Names
from humangov.sweep.progress import FailedError, Steps

SHARE = 0.25
"""Of the table's read capacity; the application has the rest."""

_ON_DEMAND_UNITS = 12_000
"""What a table on demand can be asked for from the start, a second.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
"""
_BYTES_PER_UNIT = 4096
_SEGMENTS = 4
_FEW_RECORDS = 2000

Item = Mapping[str, Any]
Sink = Callable[[Sequence[Item]], None]


@dataclass(frozen=True, kw_only=True)
class Table:
    """As DescribeTable tells it. records, item_bytes: about, hours old. read_units: a second, of the whole table."""

    table_id: str
    status: str
    records: int
    item_bytes: int
    read_units: int
    restored_at: datetime | None
    restoring: bool
    key_attributes: tuple[str, ...]


def describe(dynamodb: Any, names: Names) -> Table:
    """Raises FailedError if it is not the tenant's table, and what the SDK raises."""
    table = dynamodb.describe_table(TableName=names.tenant.table.name)["Table"]
    if table.get("TableArn") != names.table_arn:
        raise FailedError(f"the table that answers is {table.get('TableArn')}, not {names.table_arn}")
    records, size = int(table.get("ItemCount", 0)), int(table.get("TableSizeBytes", 0))
    restore = table.get("RestoreSummary") or {}
    return Table(
        table_id=str(table.get("TableId", "")),
        status=str(table.get("TableStatus", "")),
        records=records,
        item_bytes=size // records if records else 0,
        read_units=_read_units(table),
        restored_at=restore.get("RestoreDateTime"),
        restoring=bool(restore.get("RestoreInProgress")),
        key_attributes=tuple(one["AttributeName"] for one in table.get("KeySchema") or ()),
    )


def _read_units(table: Mapping[str, Any]) -> int:
    provisioned = int((table.get("ProvisionedThroughput") or {}).get("ReadCapacityUnits", 0))
    if (table.get("BillingModeSummary") or {}).get("BillingMode") != "PAY_PER_REQUEST" and provisioned > 0:
        return provisioned
    limit = int((table.get("OnDemandThroughput") or {}).get("MaxReadRequestUnits", -1))
    warm = int((table.get("WarmThroughput") or {}).get("ReadUnitsPerSecond", 0))
    units = max(warm, _ON_DEMAND_UNITS)
    return min(units, limit) if limit > 0 else units


class Pace:
    """Lets so many units a second through, on average; safe to use from several threads."""

    def __init__(self, units_per_second: float, *, clock: Callable[[], float], pause: Callable[[float], None]) -> None:
        self._rate, self._clock, self._pause = units_per_second, clock, pause
        self._lock = threading.Lock()
        self._free_at = clock()

    def used(self, units: float) -> None:
        """Call it after each page: it returns when the next may be asked for."""
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now) + units / self._rate
            wait = self._free_at - now - 1.0  # a second's worth may be ahead
        if wait > 0:
            self._pause(wait)


def scan(
    dynamodb: Any,
    *,
    table: Table,
    name: str,
    attributes: Iterable[str],
    sink: Sink,
    steps: Steps,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Hands every record's `attributes` to `sink`, a page at a time, one thread at a time; returns their number.

    Raises FailedError for an answer that can't be relied on, StoppedError, and what the SDK raises.
    """
    units = max(1.0, table.read_units * SHARE)
    segments = 1 if table.records < _FEW_RECORDS else _SEGMENTS
    projected = {f"#a{index}": attribute for index, attribute in enumerate(dict.fromkeys(attributes))}
    request: dict[str, Any] = {
        "TableName": name,
        "ConsistentRead": True,
        "ReturnConsumedCapacity": "TOTAL",
        "ProjectionExpression": ", ".join(projected),
        "ExpressionAttributeNames": projected,
    }
    if limit := _page(units, table, segments):
        request["Limit"] = limit
    if segments > 1:
        request["TotalSegments"] = segments
    pace = Pace(units, clock=clock, pause=pause)
    lock, failed = threading.Lock(), threading.Event()

    def read(segment: int) -> int:
        try:
            return _segment(request | ({"Segment": segment} if segments > 1 else {}))
        except BaseException:
            failed.set()
            raise

    def _segment(asked: dict[str, Any]) -> int:
        number = 0
        while True:
            answer = dynamodb.scan(**asked)
            items = answer.get("Items")
            if not isinstance(items, list) or len(items) != answer.get("Count", len(items)):
                raise FailedError("DynamoDB's page of the scan does not hold the records that it counts")
            with lock:
                steps.check()
                if failed.is_set():
                    raise FailedError("another part of the scan failed")
                sink(items)
                steps.add(len(items))
            number += len(items)
            if not answer.get("LastEvaluatedKey"):
                return number
            asked = {**asked, "ExclusiveStartKey": answer["LastEvaluatedKey"]}
            pace.used(float((answer.get("ConsumedCapacity") or {}).get("CapacityUnits", 0.0)))

    if segments == 1:
        return read(0)
    with ThreadPoolExecutor(segments, thread_name_prefix="scan") as pool:
        futures = [pool.submit(read, segment) for segment in range(segments)]
        errors = [error for one in futures if (error := one.exception()) is not None]
        first = [error for error in errors if str(error) != "another part of the scan failed"]
        if errors:
            raise (first or errors)[0]
        return sum(one.result() for one in futures)


def _page(units: float, table: Table, segments: int) -> int | None:
    """How many records a page may have, where a whole megabyte would take more than a second's share."""
    if units * _BYTES_PER_UNIT >= segments * 1_048_576:
        return None
    return max(1, math.floor(units * _BYTES_PER_UNIT / segments / max(table.item_bytes, 100)))
