"""Reads receipts from the function's log group: which files were erased, and when.

A receipt is two lines, `intent` and `outcome`, joined by event ID and key. cleanup/receipt_lines.py writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from humangov.cleanup.receipt_lines import timestamp

PATTERN = '{ ($.receipt = "intent") || ($.receipt = "outcome") }'
"""https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html"""

CUT_OFF = "unknown: cut off"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class WhenError(ValueError):
    """Not a valid time; the text is a sentence for people."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One file of one deleted record. Times: UTC, RFC 3339 with milliseconds, or None.

    outcome          as listed in docs/security.md; `unknown: cut off` for an intent without an outcome
    versions_erased  versions and delete markers; None if the bucket keeps none
    record_key       primary key in DynamoDB JSON
    log_stream, logged_at   log stream and time of the outcome's line
    """

    deleted_at: str | None
    erased_at: str | None
    outcome: str
    versions_erased: int | None
    bucket: str
    key: str
    record_key: Mapping[str, Any]
    event: str
    event_id: str
    sequence_number: str
    tenant: str
    intended_at: str | None
    logged_at: str
    log_stream: str


def moment(text: str, *, now: datetime) -> datetime:
    """`7d`, `36h`, `2026-01-31` or RFC 3339; without a zone: UTC. Raises WhenError."""
    ago = re.fullmatch(r"(\d{1,5})([smhdw])", text)
    if ago:
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise WhenError(f"{text!r} is not a valid time: expected 7d, 36h, 2026-01-31 or 2026-01-31T12:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read(logs: Any, *, group: str, since: datetime, until: datetime) -> Iterator[Mapping[str, Any]]:
    """Every log event of the group that may be a line of a receipt. Raises ClientError, BotoCoreError."""
    # An empty page with a token is not the last one: the paginator continues.
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, startTime=_milliseconds(since), endTime=_milliseconds(until), filterPattern=PATTERN
    )
    for page in pages:
        yield from page.get("events") or ()


def joined(events: Iterable[Mapping[str, Any]]) -> Iterator[Receipt]:
    """Each outcome with its intent, in the log's order; then the intents without an outcome."""
    open_intents: dict[tuple[str, str], tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
    for event in events:
        line = _line(event)
        if line is None:
            continue
        pair = (str(line.get("event_id")), str(line.get("key")))
        if line["receipt"] == "intent":
            open_intents[pair] = (event, line)
            continue
        intent = open_intents.pop(pair, None)
        yield _receipt(event, line, str(line.get("outcome")), intended=intent[0] if intent else None)
    for event, line in open_intents.values():
        yield _receipt(event, line, CUT_OFF, intended=event)


def wanted(receipt: Receipt, *, record: str | None, key: str | None) -> bool:
    """record: a value of the primary key, or the whole key in DynamoDB JSON; key: the object's."""
    if key is not None and receipt.key != key:
        return False
    if record is None:
        return True
    values = [str(value) for attribute in receipt.record_key.values() for value in attribute.values()]
    try:
        whole = json.loads(record)
    except ValueError:
        whole = None
    return record in values or whole == receipt.record_key


def _line(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    message = str(event["message"])
    try:
        # The line may have a prefix from the runtime.
        line = json.loads(message[max(0, message.find('{"receipt"')) :])
    except ValueError:
        return None
    return line if isinstance(line, dict) and line.get("receipt") in ("intent", "outcome") else None


def _receipt(
    event: Mapping[str, Any], line: Mapping[str, Any], outcome: str, *, intended: Mapping[str, Any] | None
) -> Receipt:
    return Receipt(
        deleted_at=line.get("deleted_at"),
        erased_at=line.get("erased_at"),
        outcome=outcome,
        versions_erased=line.get("versions_erased"),
        bucket=str(line.get("bucket")),
        key=str(line.get("key")),
        record_key=dict(line.get("record_key") or {}),
        event=str(line.get("event")),
        event_id=str(line.get("event_id")),
        sequence_number=str(line.get("sequence_number")),
        tenant=str(line.get("tenant")),
        intended_at=timestamp(intended["timestamp"] / 1000) if intended else None,
        logged_at=str(timestamp(event["timestamp"] / 1000)),
        log_stream=str(event.get("logStreamName")),
    )


def _milliseconds(at: datetime) -> int:
    return max(0, round(at.timestamp() * 1000))
