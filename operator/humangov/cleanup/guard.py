"""Reasons against an erasure: the live table, and the file's age if S3 listed it."""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from .calls import PAUSES_SECONDS, Calls
from .environment import REUSED, FunctionSettings
from .outcomes import ABSENT, KEPT_LIVE, KEPT_NEWER, KEPT_UNDATED, FileOutcome, failed
from .records import FreedFile, RecordKey, record_id
from .references import Image, keys_to_keep
from .versions import Versions

KEYS_PER_CALL = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""

READS_AT_ONCE = 4
"""One after the other, a batch of 1,000 records would wait for ten answers."""

LATE_SECONDS = 15 * 60

_COMPANIONS_SECONDS = 60.0
"""Within so long, an application writes the records of one change, such as a move to another id."""


@dataclass(frozen=True)
class LiveRecords:
    """What a consistent read found.

    names    every object key that a live record may name
    unread   record id → why the record could not be read: it may exist, so its files stay
    """

    names: frozenset[str]
    unread: Mapping[str, str]


def read_live(calls: Calls, *, settings: FunctionSettings, record_keys: Iterable[RecordKey]) -> LiveRecords:
    """Reads each record once, consistently: only its key and the attributes that name files."""
    names: set[str] = set()
    unread: dict[str, str] = {}
    requests = list(_calls_of({record_id(key): key for key in record_keys}))
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        answers = pool.map(partial(_read, calls, settings), requests) if requests else ()
        for items, unknown in answers:
            unread.update(unknown)
            for item in items:
                names |= keys_to_keep(item, attributes=settings.file_attributes, location=settings.location)
    return LiveRecords(frozenset(names), unread)


def verdict(file: FreedFile, *, record_ids: Iterable[str], live: LiveRecords) -> FileOutcome | None:
    """The outcome that prevents the erasure, or None. record_ids: the records that freed or named the file."""
    if file.key in live.names:
        return KEPT_LIVE
    unknown = next((live.unread[one] for one in record_ids if one in live.unread), None)
    return failed(unknown) if unknown else None


def is_late(removed_at: float | None, *, now: float) -> bool:
    """Whether a file of this name may have been written since: the event is replayed, redriven or old."""
    return removed_at is None or now - removed_at > LATE_SECONDS


def is_nearly_too_old(removed_at: float | None, *, limit_seconds: float | None, now: float) -> bool:
    """Whether a record that was written just before this one may have been discarded by its age already.

    It may name the file, and this invocation would not be told of it. The record is handed back until Lambda gives it
    up too. A redrive then decides, which reads the whole table.
    https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
    """
    if removed_at is None or limit_seconds is None:
        return False
    return now - removed_at > limit_seconds - min(_COMPANIONS_SECONDS, limit_seconds / 6)


def written_before(last_modified: datetime, removed_at: float) -> bool:
    """Whether the object is certainly older than the record's removal.

    S3 and DynamoDB both round down to the second: only an earlier second proves it.
    """
    return math.floor(last_modified.timestamp()) < math.floor(removed_at)


def written_after(last_modified: datetime, removed_at: float) -> bool:
    """Whether the object is certainly younger than the record's removal."""
    return math.floor(last_modified.timestamp()) > math.floor(removed_at)


def must_be_older(removed_at: float | None, *, file_names: str, now: float) -> bool:
    """Whether only what is surely older than the removal may go: a file of this name may have been written since."""
    return file_names == REUSED or is_late(removed_at, now=now)


def age_verdict(versions: Versions, *, removed_at: float | None, older_only: bool) -> FileOutcome | None:
    """The outcome that prevents the erasure of these versions of a file, or None.

    Within the same second, a recent event erases the file, because a file can be removed in the second in which it was
    written; `older_only` keeps it. One younger version keeps all versions. Delete markers have no age.

    S3 dates a multipart object by the start of its upload, and nothing tells its end: it is younger if it was begun
    after the removal, and surely older never.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    if not versions:
        return ABSENT
    if removed_at is None:
        return KEPT_UNDATED
    data = [one for one in versions if not one.is_marker]
    if not older_only:
        return KEPT_NEWER if any(written_after(one.modified, removed_at) for one in data) else None
    if not all(written_before(one.modified, removed_at) for one in data):
        return KEPT_NEWER
    return KEPT_UNDATED if any(one.is_multipart for one in data) else None


def _read(
    calls: Calls, settings: FunctionSettings, keys: Mapping[str, RecordKey]
) -> tuple[list[Image], dict[str, str]]:
    """The items found, and record id → reason for the unread ones. All other records do not exist."""
    items: list[Image] = []
    for pause_seconds in (*PAUSES_SECONDS, None):
        try:
            request = {settings.table: _request(keys, settings)}
            answer = calls.attempt(calls.dynamodb.batch_get_item, RequestItems=request)
            items += items_of(answer, table=settings.table)
            keys = _unprocessed(answer, keys)
        except Exception as error:  # however the call fails, the result is unknown
            return items, dict.fromkeys(keys, calls.failed("BatchGetItem", error))
        if not keys:
            return items, {}
        if pause_seconds is not None:
            calls.pause(pause_seconds)
    return items, dict.fromkeys(keys, "Throttled")


def items_of(answer: Mapping[str, Any], *, table: str) -> list[Image]:
    """The items in BatchGetItem's answer for one table. Raises ValueError if it answers for another one.

    It may leave out a table of which it found no item: other stores than DynamoDB do.
    """
    found: Mapping[str, list[Image]] = answer["Responses"]
    if found.keys() - {table}:
        raise ValueError("an answer for a table that was not asked for")
    return found.get(table, [])


def _request(keys: Mapping[str, RecordKey], settings: FunctionSettings) -> dict[str, Any]:
    # A key attribute may name a file: DynamoDB rejects a path that is given twice.
    attributes = dict.fromkeys(itertools.chain(*keys.values(), settings.file_attributes))
    names = {f"#a{index}": name for index, name in enumerate(attributes)}
    return {
        "Keys": [_binary(key, base64.b64decode) for key in keys.values()],
        "ConsistentRead": True,
        "ProjectionExpression": ", ".join(names),
        "ExpressionAttributeNames": names,
    }


def _unprocessed(answer: Mapping[str, Any], keys: Mapping[str, RecordKey]) -> Mapping[str, RecordKey]:
    parts = answer.get("UnprocessedKeys") or {}
    ids = {record_id(as_in_event(key)) for part in parts.values() for key in part["Keys"]}
    if (parts and not ids) or not ids <= keys.keys():  # which were not read is unknown
        return keys
    return {one: key for one, key in keys.items() if one in ids}


def _binary(key: Mapping[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
    # An event has binary values in base64, boto3 uses bytes.
    return {
        name: {kind: convert(inner) if kind == "B" else inner for kind, inner in value.items()}
        for name, value in key.items()
    }


def as_in_event(key: Mapping[str, Any]) -> dict[str, Any]:
    """A primary key that DynamoDB returned, as an event has it."""
    return _binary(key, lambda value: base64.b64encode(value).decode())


def _calls_of(keys: Mapping[str, RecordKey]) -> Iterator[dict[str, RecordKey]]:
    # Keys of another shape use another call: DynamoDB rejects a whole call for one key that does not match the schema.
    shapes: dict[object, list[str]] = {}
    for one, key in keys.items():
        shapes.setdefault(frozenset((name, *kind) for name, kind in key.items()), []).append(one)
    for ids in shapes.values():
        for start in range(0, len(ids), KEYS_PER_CALL):
            yield {one: keys[one] for one in ids[start : start + KEYS_PER_CALL]}
