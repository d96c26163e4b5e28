"""Which of the records that wait make the next batch. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]


def payload(records: Iterable[Record]) -> bytes:
    """The event as the function is sent it."""
    return json.dumps({"Records": list(records)}).encode()


def size(record: Record) -> int:
    """Bytes of the record in the payload, with what parts it from the next."""
    return len(json.dumps(record)) + 2


def fitting(sizes: Iterable[int], *, batch_size: int, payload_bytes: int) -> int:
    """How many of the first records one batch holds: at most so many, and so many bytes; never none."""
    total = len(payload([])) - 2
    count = 0
    for one in sizes:
        total += one
        if count and (count == batch_size or total > payload_bytes):
            break
        count += 1
    return count
