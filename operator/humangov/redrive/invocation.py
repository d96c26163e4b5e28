"""Parses Lambda's record of a failed invocation: its function and table, and the event in it. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LIMIT_BYTES = 32 * 1024 * 1024
"""Far above the size of Lambda's records: a payload of 6 MB, escaped again, and about a kilobyte of metadata."""


class UnreadableError(ValueError):
    """Not a valid invocation record. The text is a reason to be counted; it quotes no content."""


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """condition: why Lambda discarded the batch. records: the stream records, as sent to the function.

    is_own: it is of this function (any version or alias) and of a stream of this table; else it has no records here.
    """

    condition: str
    records: Sequence[Any]
    is_own: bool = True


def read(body: bytes, *, function_arn: str, table_arn: str, written: datetime) -> Invocation:
    """written: S3's date of the object: nothing in it has happened later, whatever it says.

    Raises UnreadableError.
    """
    record = _json(body, "the object is not JSON")
    context = _part(record, "requestContext")
    arn = context.get("functionArn")
    if not isinstance(arn, str):
        raise UnreadableError("the object is not an invocation record")
    stream_arn = _part(record, "DDBStreamBatchInfo").get("streamArn")
    if not _is_function(arn, function_arn) or not _is_stream(stream_arn, table_arn):
        return Invocation(condition="", records=(), is_own=False)
    records = [_until(written, one) for one in _records(record.get("payload"), stream_arn=stream_arn)]
    return Invocation(condition=str(context.get("condition") or "unknown"), records=records)


def _records(payload: Any, *, stream_arn: Any) -> Sequence[Any]:
    """The stream records of the event. Raises UnreadableError."""
    if not isinstance(payload, str):
        raise UnreadableError("the invocation record has no payload")
    event = _json(payload, "the payload is not JSON")
    records = event.get("Records") if isinstance(event, Mapping) else None
    # The function would count an empty event as handled.
    if not isinstance(records, list) or not records:
        raise UnreadableError("the payload is not an event with records")
    if not all(isinstance(one, Mapping) and one.get("eventSourceARN") == stream_arn for one in records):
        raise UnreadableError("the payload is from another stream than the invocation record names")
    return records


def _until(written: datetime, record: Any) -> Any:
    """The stream record, with a removal that was not after the record itself was written.

    A file that is younger than the removal stays. So who plants a record can't claim the removal of a file that comes
    later: one that was just uploaded, and that no record names yet.
    """
    change = _part(record, "dynamodb")
    claimed, latest = change.get("ApproximateCreationDateTime"), math.floor(written.timestamp())
    if not isinstance(claimed, int | float) or not claimed > latest:
        return record
    return {**record, "dynamodb": {**change, "ApproximateCreationDateTime": latest}}


def _part(record: Any, name: str) -> Mapping[str, Any]:
    """A nested object of the record; empty if it does not exist."""
    part = record.get(name) if isinstance(record, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _json(text: bytes | str, reason: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(reason) from error


def _is_function(arn: str, own: str) -> bool:
    name, colon, qualifier = arn[: len(own)], arn[len(own) : len(own) + 1], arn[len(own) + 1 :]
    return arn == own or (name == own and colon == ":" and qualifier != "" and ":" not in qualifier)


def _is_stream(arn: Any, table_arn: str) -> bool:
    label = arn.removeprefix(f"{table_arn}/stream/") if isinstance(arn, str) else ""
    return bool(label) and label != arn and "/" not in label
