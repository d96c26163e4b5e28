"""Reads the whole table consistently: several segments at once, within a share of its read capacity.

A consistent scan is no snapshot: a record that moves to another key during the scan can appear twice, or not at all.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.cleanup.calls import error_code
from humangov.reading.progress import FailedError, Steps

SHARE = 0.25
"""Share of the table's read capacity; the rest is for the application."""

_ON_DEMAND_UNITS = 12_000
"""Read units per second of a new on-demand table.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
"""
_BYTES_PER_UNIT = 4096
_SEGMENTS = 4
_PAGE_BYTES = 1_048_576
_FEW_RECORDS = 2000

Item = Mapping[str, Any]
Sink = Callable[[Sequence[Item]], None]


@dataclass(frozen=True, kw_only=True)
class TableDescription:
    """From DescribeTable. records, item_bytes: approximate, hours old. read_units: per second, of the whole table.

    created_at: also of a restored table, when DynamoDB created it. backup_at: the time that its backup shows.
    """

    table_id: str
    status: str
    records: int
    item_bytes: int
    read_units: int
    created_at: datetime | None
    backup_at: datetime | None
    restoring: bool
    key_attributes: tuple[str, ...]


def describe(dynamodb: Any, names: Names) -> TableDescription:
    """Raises FailedError if it is not the tenant's table, or gone, and what the SDK raises."""
    try:
        table = dynamodb.describe_table(TableName=names.tenant.table.name)["Table"]
    except ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        raise FailedError("the table no longer exists, so it is unknown which files its records name") from error
    if table.get("TableArn") != names.table_arn:
        raise FailedError(f"DynamoDB returned table {table.get('TableArn')}, not {names.table_arn}")
    records, size = int(table.get("ItemCount", 0)), int(table.get("TableSizeBytes", 0))
    restore = table.get("RestoreSummary") or {}
    return TableDescription(
        table_id=str(table.get("TableId", "")),
        status=str(table.get("TableStatus", "")),
        records=records,
        item_bytes=size // records if records else 0,
        read_units=_read_units(table),
        created_at=table.get("CreationDateTime"),
        backup_at=restore.get("RestoreDateTime"),
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
    """Limits the average number of units per second; safe to use from several threads."""

    def __init__(self, units_per_second: float, *, clock: Callable[[], float], pause: Callable[[float], None]) -> None:
        self._rate, self._clock, self._pause = units_per_second, clock, pause
        self._lock = threading.Lock()
        self._free_at = clock()

    def used(self, units: float) -> None:
        """Call it after each page: it returns when the next page may be read."""
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now) + units / self._rate
            wait = self._free_at - now - 1.0  # up to one second of units in advance
        if wait > 0:
            self._pause(wait)


def scan(
    dynamodb: Any,
    *,
    table: TableDescription,
    name: str,
    attributes: Iterable[str],
    sink: Sink,
    steps: Steps,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Passes every record's `attributes` to `sink`, page by page, one thread at a time; returns their number.

    Raises FailedError for an inconsistent response, StoppedError, and what the SDK raises.
    """
    units = max(1.0, table.read_units * SHARE)
    segments = segments_that_pay(units, records=table.records)
    request = _request(name, attributes, limit=_page(units, table, segments))
    pace = Pace(units, clock=clock, pause=pause)
    taking = _Taking(sink, steps)

    def read(place: Mapping[str, int]) -> int:
        return _read_segment(dynamodb, {**request, **place}, taking=taking, pace=pace)

    if segments == 1:
        return read({})
    with ThreadPoolExecutor(segments, thread_name_prefix="scan") as pool:
        places = [{"TotalSegments": segments, "Segment": number} for number in range(segments)]
        return _sum([pool.submit(read, place) for place in places])


def segments_that_pay(units: float, *, records: int) -> int:
    """As many as can read a full page each second within these units a second: more would wait for their capacity."""
    return 1 if records < _FEW_RECORDS else max(1, min(_SEGMENTS, int(units * _BYTES_PER_UNIT // _PAGE_BYTES)))


class _OtherFailedError(Exception):
    """Another segment failed, so this one was cancelled."""


class _Taking:
    """Passes pages to the sink, one thread at a time, until a segment fails."""

    def __init__(self, sink: Sink, steps: Steps) -> None:
        self._sink, self._steps = sink, steps
        self._lock, self._failed = threading.Lock(), threading.Event()

    def take(self, items: Sequence[Item]) -> None:
        """Raises StoppedError, _OtherFailedError."""
        with self._lock:
            self._steps.check()
            if self._failed.is_set():
                raise _OtherFailedError
            self._sink(items)
            self._steps.add(len(items))

    def cancel(self) -> None:
        self._failed.set()


def _read_segment(dynamodb: Any, request: dict[str, Any], *, taking: _Taking, pace: Pace) -> int:
    """Returns the number of its records."""
    number = 0
    try:
        while True:
            answer = dynamodb.scan(**request)
            items = _items(answer)
            taking.take(items)
            number += len(items)
            if not answer.get("LastEvaluatedKey"):
                return number
            request = {**request, "ExclusiveStartKey": answer["LastEvaluatedKey"]}
            pace.used(float((answer.get("ConsumedCapacity") or {}).get("CapacityUnits", 0.0)))
    except BaseException:
        taking.cancel()
        raise


def _items(answer: Mapping[str, Any]) -> Sequence[Item]:
    """Raises FailedError."""
    items = answer.get("Items")
    if not isinstance(items, list) or len(items) != answer.get("Count", len(items)):
        raise FailedError("DynamoDB returned a scan page whose number of records does not match its count")
    return items


def _sum(segments: Sequence[Future[int]]) -> int:
    """Raises the error of the segment that failed first, not of one that was cancelled because of it."""
    errors = [error for one in segments if (error := one.exception()) is not None]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, _OtherFailedError))
    return sum(one.result() for one in segments)


def projection(attributes: Iterable[str]) -> dict[str, Any]:
    """The parameters by which a read answers with these attributes alone."""
    projected = {f"#a{index}": attribute for index, attribute in enumerate(dict.fromkeys(attributes))}
    return {"ProjectionExpression": ", ".join(projected), "ExpressionAttributeNames": projected}


def _request(name: str, attributes: Iterable[str], *, limit: int | None) -> dict[str, Any]:
    return {
        "TableName": name,
        "ConsistentRead": True,
        "ReturnConsumedCapacity": "TOTAL",
        **projection(attributes),
        **({"Limit": limit} if limit else {}),
    }


def _page(units: float, table: TableDescription, segments: int) -> int | None:
    """Limit of records per page, if a full megabyte would use more than one second's share."""
    if units * _BYTES_PER_UNIT >= segments * _PAGE_BYTES:
        return None
    return max(1, math.floor(units * _BYTES_PER_UNIT / segments / max(table.item_bytes, 100)))
