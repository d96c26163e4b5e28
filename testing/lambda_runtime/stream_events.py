"""Records of a DynamoDB stream, as Lambda hands them to a function."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

Item = Mapping[str, Any]
Event = dict[str, Any]

_TABLES = "arn:aws:dynamodb:us-east-1:123456789012:table"
_numbers = itertools.count(1)


def employee(one: str, pdf: str | None = None, **more: Any) -> dict[str, Any]:
    """An item in DynamoDB JSON: key `id`, attribute `pdf`, and the personal data that no log may show."""
    item: dict[str, Any] = {"id": {"S": one}, "name": {"S": "Secret Name"}, "salary": {"N": "987654"}}
    if pdf is not None:
        item["pdf"] = {"S": pdf}
    return item | more


def change(
    event_name: str,
    *,
    old: Item | None = None,
    new: Item | None = None,
    table: str = "california",
    age_seconds: float = 1,
    key_names: Sequence[str] = ("id",),
    expired: bool = False,
    at: float | None = None,
) -> Event:
    """One record; age_seconds: how long ago the item changed, or `at`: when. Sequence numbers rise with each call."""
    number = next(_numbers)
    image = old if old is not None else new or {}
    dynamodb: dict[str, Any] = {
        "ApproximateCreationDateTime": int(time.time() - age_seconds if at is None else at),
        "Keys": {name: image[name] for name in key_names},
        "SequenceNumber": f"{number:021d}",
        "SizeBytes": 100,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    if old is not None:
        dynamodb["OldImage"] = old
    if new is not None:
        dynamodb["NewImage"] = new
    record: Event = {
        "eventID": f"event-{number}",
        "eventName": event_name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": dynamodb,
        "eventSourceARN": f"{_TABLES}/{table}/stream/2026-01-01T00:00:00.000",
    }
    if expired:
        record["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    return record


def insert(new: Item, **more: Any) -> Event:
    return change("INSERT", new=new, **more)


def modify(old: Item, new: Item, **more: Any) -> Event:
    return change("MODIFY", old=old, new=new, **more)


def remove(old: Item, **more: Any) -> Event:
    return change("REMOVE", old=old, **more)


def batch(*records: Any) -> Event:
    return {"Records": list(records)}


def number_of(record: Event) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def failures(*records: Event) -> dict[str, list[dict[str, str]]]:
    """What the function returns when exactly these records are to be brought again."""
    return {"batchItemFailures": [{"itemIdentifier": number_of(record)} for record in records]}
