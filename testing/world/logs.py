"""CloudWatch Logs' operations on the function's log group.

After https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/. What was stored stays stored, whether or
not the answer came. It can't show Logs' own delays, or filter patterns: every event is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from testing.world.account import Account, Answer, RefusedError
from testing.world.actor import Actor

Params = Mapping[str, Any]
_CALL_BYTES, _EVENT_BYTES, _EVENTS = 1_048_576, 26, 10_000
_PAGE = 50


def create_log_stream(account: Account, actor: Actor, params: Params) -> Answer:
    _require_group(account, params)
    if params["logStreamName"] in account.logs.streams:
        raise RefusedError("ResourceAlreadyExistsException")
    account.logs.streams.add(params["logStreamName"])
    return {}


def put_log_events(account: Account, actor: Actor, params: Params) -> Answer:
    _require_group(account, params)
    events = params["logEvents"]
    size = sum(len(one["message"].encode()) + _EVENT_BYTES for one in events)
    times = [one["timestamp"] for one in events]
    if not 1 <= len(events) <= _EVENTS or size > _CALL_BYTES or times != sorted(times):
        raise RefusedError("InvalidParameterException")
    if params["logStreamName"] not in account.logs.streams:
        raise RefusedError("ResourceNotFoundException")
    if account.weather.strikes("Logs: rejected because of its time", share=0.4):
        return {"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": len(events)}}
    lines = account.logs.store(params["logStreamName"], times[-1], [one["message"] for one in events])
    account.audit.lines(actor, lines)
    return {"nextSequenceToken": "ignored"}


def describe_log_streams(account: Account, actor: Actor, params: Params) -> Answer:
    _require_group(account, params)
    prefix = params.get("logStreamNamePrefix", "")
    return {"logStreams": [{"logStreamName": one} for one in sorted(account.logs.streams) if one.startswith(prefix)]}


def filter_log_events(account: Account, actor: Actor, params: Params) -> Answer:
    _require_group(account, params)
    place = int(params.get("nextToken", "0"))
    events = account.logs.events
    page = [
        {"logStreamName": one.stream, "timestamp": one.timestamp, "message": one.message, "eventId": f"{place + at}"}
        for at, one in enumerate(events[place : place + _PAGE])
        if params.get("startTime", 0) <= one.timestamp <= params.get("endTime", one.timestamp)
    ]
    return {"events": page, **({"nextToken": str(place + _PAGE)} if place + _PAGE < len(events) else {})}


def get_log_events(account: Account, actor: Actor, params: Params) -> Answer:
    """Forwards, one page; the same token twice is the end."""
    _require_group(account, params)
    of_stream = [one for one in account.logs.events if one.stream == params["logStreamName"]]
    place = int(str(params.get("nextToken", "f/0")).split("/")[1])
    page = of_stream[place : place + _PAGE]
    return {
        "events": [{"timestamp": one.timestamp, "message": one.message} for one in page],
        "nextForwardToken": f"f/{place + len(page)}",
    }


def _require_group(account: Account, params: Params) -> None:
    if params["logGroupName"] != account.logs.name or not account.logs.exists:
        raise RefusedError("ResourceNotFoundException")


OPERATIONS: Mapping[str, Callable[[Account, Actor, Params], Answer]] = {
    "create_log_stream": create_log_stream,
    "put_log_events": put_log_events,
    "describe_log_streams": describe_log_streams,
    "filter_log_events": filter_log_events,
    "get_log_events": get_log_events,
}
