"""What Lambda wrote about an invocation that it gave up: whose it is, and the event in it. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LIMIT_BYTES = 32 * 1024 * 1024
"""Far above what Lambda writes: a payload of 6 MB, escaped once more, and a frame of a kilobyte."""


class UnreadableError(ValueError):
    """It can't be told whose it is, or what is in it. The text is a reason to be counted; it quotes nothing."""


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """condition: Lambda's word for why it gave up. records: of the stream, as the function was sent them."""

    condition: str
    records: Sequence[Any]


def read(body: bytes, *, function_arn: str, table_arn: str) -> Invocation | None:
    """The invocation if it was this function's (any version or alias), of a stream of this table; None if not.

    Raises UnreadableError.
    """
    record = _json(body, "the object is not JSON")
    context = _part(record, "requestContext")
    arn = context.get("functionArn")
    if not isinstance(arn, str):
        raise UnreadableError("it is not an invocation record")
    stream_arn = _part(record, "DDBStreamBatchInfo").get("streamArn")
    if not _is_function(arn, function_arn) or not _is_stream(stream_arn, table_arn):
        return None
    records = _records(record.get("payload"), stream_arn=stream_arn)
    return Invocation(condition=str(context.get("condition") or "unknown"), records=records)


def _records(payload: Any, *, stream_arn: Any) -> Sequence[Any]:
    """The stream records of the event. Raises UnreadableError."""
    if not isinstance(payload, str):
        raise UnreadableError("it has no payload")
    event = _json(payload, "its payload is not JSON")
    records = event.get("Records") if isinstance(event, Mapping) else None
    # An event that the function takes for an empty one would count as handled.
    if not isinstance(records, list) or not records:
        raise UnreadableError("its payload is not an event with records")
    if not all(isinstance(one, Mapping) and one.get("eventSourceARN") == stream_arn for one in records):
        raise UnreadableError("its payload is not of the stream that the record names")
    return records


def _part(record: Any, name: str) -> Mapping[str, Any]:
    """An object within the record; empty if there is none."""
    part = record.get(name) if isinstance(record, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _json(text: bytes | str, reason: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(reason) from error


def _is_function(arn: str, ours: str) -> bool:
    name, colon, qualifier = arn[: len(ours)], arn[len(ours) : len(ours) + 1], arn[len(ours) + 1 :]
    return arn == ours or (name == ours and colon == ":" and qualifier != "" and ":" not in qualifier)


def _is_stream(arn: Any, table_arn: str) -> bool:
    label = arn.removeprefix(f"{table_arn}/stream/") if isinstance(arn, str) else ""
    return bool(label) and label != arn and "/" not in label
