"""What speaks against an erasure: the live table, and the file's own age where S3 was asked for it."""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .calls import PAUSES_SECONDS, Calls
from .environment import FunctionSettings
from .outcomes import ABSENT, KEPT_LIVE, KEPT_NEWER, KEPT_UNDATED, FileOutcome, failed
from .records import FreedFile, RecordKey, record_id
from .references import Image, mentioned, object_key
from .versions import Versions

KEYS_PER_CALL = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""

LATE_SECONDS = 15 * 60


@dataclass(frozen=True)
class Sight:
    """What a consistent read saw.

    names    every object key that a live record names
    unread   record id → why nothing is known of that record: it is not absent, its files stay
    """

    names: frozenset[str]
    unread: Mapping[str, str]


def look(calls: Calls, *, settings: FunctionSettings, record_keys: Iterable[RecordKey]) -> Sight:
    """Reads each record once, consistently, and of it only its key and the attributes that name files."""
    names: set[str] = set()
    unread: dict[str, str] = {}
    for keys in _calls_of({record_id(key): key for key in record_keys}):
        items, unknown = _read(calls, settings=settings, keys=keys)
        unread.update(unknown)
        for item in items:
            found = mentioned(item, attributes=settings.file_attributes)
            names.update(object_key(name, key_prefix=settings.key_prefix) for name in found)
    return Sight(frozenset(names), unread)


def verdict(file: FreedFile, *, record_ids: Iterable[str], sight: Sight) -> FileOutcome | None:
    """The outcome that forbids the erasure, or None. record_ids: whichever records freed or named it."""
    if file.key in sight.names:
        return KEPT_LIVE
    unknown = [sight.unread[one] for one in record_ids if one in sight.unread]
    return failed(unknown[0]) if unknown else None


def is_late(removed_at: float | None, *, now: float) -> bool:
    """Replayed, redriven or from an old stream: a file of this name may have been written since."""
    return removed_at is None or now - removed_at > LATE_SECONDS


def written_before(last_modified: datetime, removed_at: float) -> bool:
    """Whether the object is surely older than the record's removal.

    S3 cuts LastModified to the second and DynamoDB rounds the removal down: only an earlier second proves it.
    """
    return math.floor(last_modified.timestamp()) < math.floor(removed_at)


def written_after(last_modified: datetime, removed_at: float) -> bool:
    """Whether the object is surely younger than the record's removal."""
    return math.floor(last_modified.timestamp()) > math.floor(removed_at)


def age_verdict(versions: Versions, *, removed_at: float | None, late: bool) -> FileOutcome | None:
    """The outcome that forbids the erasure of these versions of a file, or None.

    A tie speaks for the erasure of a fresh event, as a file can be removed in the second in which it was written,
    and against that of a late one. One younger version keeps them all. Markers hold no file, so have no age.
    """
    if not versions:
        return ABSENT
    if removed_at is None:
        return KEPT_UNDATED
    dates = [one.modified for one in versions if not one.is_marker]
    if late:
        return None if all(written_before(date, removed_at) for date in dates) else KEPT_NEWER
    return KEPT_NEWER if any(written_after(date, removed_at) for date in dates) else None


def _read(
    calls: Calls, *, settings: FunctionSettings, keys: Mapping[str, RecordKey]
) -> tuple[list[Image], dict[str, str]]:
    """The items found, and record id → reason for those of which nothing is known. Absent is the rest."""
    items: list[Image] = []
    for pause_seconds in (*PAUSES_SECONDS, None):
        try:
            request = {settings.table: _request(keys, settings)}
            answer = calls.attempt(calls.dynamodb.batch_get_item, RequestItems=request)
            items += answer["Responses"].get(settings.table, [])
            keys = _unprocessed(answer, keys)
        except Exception as error:  # whichever way the call fails, nothing is known
            return items, dict.fromkeys(keys, calls.failed("BatchGetItem", error))
        if not keys:
            return items, {}
        if pause_seconds is not None:
            calls.pause(pause_seconds)
    return items, dict.fromkeys(keys, "Throttled")


def _request(keys: Mapping[str, RecordKey], settings: FunctionSettings) -> dict[str, Any]:
    # A file may be named by a key attribute: a path given twice is refused.
    attributes = dict.fromkeys(itertools.chain(*keys.values(), settings.file_attributes))
    names = {f"#a{index}": name for index, name in enumerate(attributes)}
    return {
        "Keys": [_binary(key, base64.b64decode) for key in keys.values()],
        "ConsistentRead": True,
        "ProjectionExpression": ", ".join(names),
        "ExpressionAttributeNames": names,
    }


def _unprocessed(answer: Mapping[str, Any], keys: Mapping[str, RecordKey]) -> Mapping[str, RecordKey]:
    left = [key for part in answer.get("UnprocessedKeys", {}).values() for key in part["Keys"]]
    ids = {record_id(_binary(key, lambda value: base64.b64encode(value).decode())) for key in left}
    if not ids <= keys.keys():
        return keys
    return {one: key for one, key in keys.items() if one in ids}


def _binary(key: Mapping[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
    # An event holds binary values in base64, boto3 takes and gives bytes.
    return {
        name: {kind: convert(inner) if kind == "B" else inner for kind, inner in value.items()}
        for name, value in key.items()
    }


def _calls_of(keys: Mapping[str, RecordKey]) -> Iterator[dict[str, RecordKey]]:
    # Keys of another shape go apart: the table refuses a whole call for one key that does not fit its schema.
    shapes: dict[object, list[str]] = {}
    for one, key in keys.items():
        shapes.setdefault(frozenset((name, *kind) for name, kind in key.items()), []).append(one)
    for ids in shapes.values():
        for start in range(0, len(ids), KEYS_PER_CALL):
            yield {one: keys[one] for one in ids[start : start + KEYS_PER_CALL]}
