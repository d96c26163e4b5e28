"""What goes on during a soak: an application that stores and deletes, and people who change things by hand.

Both act on AWS itself, not through the weather, which is the operator's alone.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import rig
from bench.rig import Rig

KEPT_RECORDS = 4
"""Records that a state keeps: the application deletes the oldest beyond them."""

WAITS_SECONDS = 900.0
"""A file must be erased within this time: a trigger that was disabled by hand waits for the next resync."""


@dataclass
class Application:
    """Records with one file each. Every file's fate is known here: it is live, or waits for its erasure."""

    bench: Rig
    states: Sequence[str]
    live: dict[str, deque[str]] = field(default_factory=dict)
    waiting: dict[tuple[str, str], float] = field(default_factory=dict)
    """(state, file) → when its record was deleted, in monotonic seconds."""
    deleted: int = 0
    longest_seconds: float = 0.0
    """From a record's deletion until its file was seen to be gone: with the time between two looks."""
    _number: int = 0

    def work(self) -> None:
        """Stores one record with its file in the next state, and deletes that state's oldest."""
        self._number += 1
        state = self.states[self._number % len(self.states)]
        key = f"record-{self._number:07d}"
        self.bench.aws["s3"].put_object(Bucket=self.bench.bucket(state), Key=f"{key}.pdf", Body=b"%PDF-1.7")
        item = {"id": {"S": key}, "pdf": {"S": f"{key}.pdf"}}
        self.bench.aws["dynamodb"].put_item(TableName=rig.table(state), Item=item)
        records = self.live.setdefault(state, deque())
        records.append(key)
        if len(records) > KEPT_RECORDS:
            oldest = records.popleft()
            self.bench.aws["dynamodb"].delete_item(TableName=rig.table(state), Key={"id": {"S": oldest}})
            self.waiting[state, f"{oldest}.pdf"] = time.monotonic()
            self.deleted += 1

    def look(self) -> None:
        """Which of the files that wait are gone."""
        for state in sorted({state for state, _ in self.waiting}):
            there = self._files(state)
            for one in [one for one in self.waiting if one[0] == state and one[1] not in there]:
                self.longest_seconds = max(self.longest_seconds, time.monotonic() - self.waiting.pop(one))

    def lost(self) -> list[str]:
        """Files of live records that are not there."""
        return [
            f"{state}/{key}.pdf"
            for state, records in self.live.items()
            for there in [self._files(state)]
            for key in records
            if f"{key}.pdf" not in there
        ]

    def _files(self, state: str) -> set[str]:
        pages = self.bench.aws["s3"].get_paginator("list_objects_v2").paginate(Bucket=self.bench.bucket(state))
        return {one["Key"] for page in pages for one in page.get("Contents", ())}


def _function(state: str) -> str:
    return f"humangov-{state}-delete-file"


def _log_group(state: str) -> str:
    return f"/aws/lambda/{_function(state)}"


def _mapping(aws: Mapping[str, Any], state: str) -> Mapping[str, Any]:
    pages = aws["lambda"].get_paginator("list_event_source_mappings").paginate(FunctionName=_function(state))
    [found] = [one for page in pages for one in page["EventSourceMappings"]]
    return dict(found)


def _slow_function(aws: Mapping[str, Any], state: str) -> None:
    aws["lambda"].update_function_configuration(FunctionName=_function(state), Timeout=3)


def _short_logs(aws: Mapping[str, Any], state: str) -> None:
    aws["logs"].put_retention_policy(logGroupName=_log_group(state), retentionInDays=7)


def _disabled_trigger(aws: Mapping[str, Any], state: str) -> None:
    aws["lambda"].update_event_source_mapping(UUID=_mapping(aws, state)["UUID"], Enabled=False)


def _is_slow(aws: Mapping[str, Any], state: str) -> bool:
    return bool(aws["lambda"].get_function_configuration(FunctionName=_function(state))["Timeout"] == 3)


def _is_short(aws: Mapping[str, Any], state: str) -> bool:
    groups = aws["logs"].describe_log_groups(logGroupNamePrefix=_log_group(state))["logGroups"]
    return bool(groups[0].get("retentionInDays") == 7)


def _is_disabled(aws: Mapping[str, Any], state: str) -> bool:
    return _mapping(aws, state)["State"] in ("Disabled", "Disabling")


DRIFTS: Mapping[str, tuple[Callable[[Mapping[str, Any], str], None], Callable[[Mapping[str, Any], str], bool]]] = {
    "the function's time-out": (_slow_function, _is_slow),
    "the log's retention": (_short_logs, _is_short),
    "a disabled trigger": (_disabled_trigger, _is_disabled),
}
"""The hand that changes it, and whether it is still so."""


@dataclass
class Hands:
    """Changes by hand, of every kind and every state in turn. open: those that the operator has not corrected."""

    bench: Rig
    states: Sequence[str]
    changes: int = 0
    open: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._turns = itertools.cycle([(kind, state) for state in self.states for kind in DRIFTS])

    def change(self) -> None:
        kind, state = next(self._turns)
        DRIFTS[kind][0](self.bench.aws, state)
        self.changes += 1
        self.open.add((kind, state))

    def look(self) -> None:
        self.open = {(kind, state) for kind, state in self.open if DRIFTS[kind][1](self.bench.aws, state)}
