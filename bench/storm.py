"""Fifty states through bad weather: all Ready, then all deleted, nothing left in AWS, none stuck."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import rig
from bench.measure import Report, Table
from bench.rig import NotMeasuredError, Rig, Say
from sandbox.weather import Weather, layer
from sandbox.weather.__main__ import recording

SEED = 7
WITHIN_SECONDS = 420.0
RESYNC_SECONDS = 600.0  # the operator's default
_NOTES = (
    "Kubernetes: the real API server. AWS: MiniStack behind sandbox/weather, in AWS's words and shorter times.",
    "Leaked resources are searched in AWS itself, without the weather.",
    "The seed names the weather: the same call of a state meets the same fault; what depends on the clock may differ.",
)


@dataclass(frozen=True, kw_only=True)
class Storm:
    """What 50 states went through. Seconds are from the beginning of kubectl's command to the last one's end."""

    states: int
    ready: int
    deleted_states: int
    leaked: Mapping[str, Sequence[str]]
    aws_calls: int
    failed_calls: int
    apply_to_ready_seconds: float
    delete_to_removed_seconds: float
    forecast: str
    seed: int
    faults: Mapping[str, int]
    stuck: str
    """What was not reached in time, in words; empty."""


def run(*, say: Say, states: int, seed: int, forecast: str, record: Path | None = None) -> Report:
    """Takes two to ten minutes. Raises SandboxError, OperatorError or NotMeasuredError."""
    with contextlib.ExitStack() as stack:
        note = stack.enter_context(recording(record)) if record else None
        weather = Weather.named(forecast, seed=seed, note=note)
        say(f"{forecast} weather, seed {seed}")
        bench = stack.enter_context(rig.opened(say=say, layers=[layer(weather)]))
        return report(_measured(bench, weather, states=states))


def _measured(bench: Rig, weather: Weather, *, states: int) -> Storm:
    names = [f"storm-{number}" for number in range(1, states + 1)]
    for name in names:
        bench.create_holdings(name)
    stuck = ""
    ready: Mapping[str, float] = {}
    deleted_at: Mapping[str, float] = {}
    with bench.operator(resync_seconds=RESYNC_SECONDS):
        bench.say(f"{states} states at once: apply")
        began = bench.apply(names)
        try:
            ready = bench.ready(names, since=began, within_seconds=WITHIN_SECONDS)
        except NotMeasuredError as error:
            stuck = str(error)
        applied = time.monotonic() - began
        bench.say(f"{states} states at once: delete")
        began = bench.delete(names)
        try:
            deleted_at = bench.removed(names, since=began, within_seconds=WITHIN_SECONDS)
        except NotMeasuredError as error:
            stuck = f"{stuck}; {error}" if stuck else str(error)
        deleted = time.monotonic() - began
        if stuck:
            bench.say(_log_tail(bench))
    calls = bench.recorder.calls
    return Storm(
        states=states,
        ready=len(ready),
        deleted_states=len(deleted_at),
        leaked=leaked(bench.aws, tables=[rig.table(name) for name in names]),
        aws_calls=len(calls),
        failed_calls=sum(not 200 <= call.status < 400 for call in calls),
        apply_to_ready_seconds=applied,
        delete_to_removed_seconds=deleted,
        forecast=weather.forecast.name,
        seed=weather.seed,
        faults={kind: number for kind, number in weather.counts.most_common() if kind != "passed"},
        stuck=stuck,
    )


def leaked(aws: Mapping[str, Any], *, tables: Sequence[str]) -> dict[str, list[str]]:
    """All that the operator makes and that is there, by kind; kinds of which nothing is there are left out."""

    def listed(service: str, method: str, items: str, name: str) -> list[str]:
        pages = aws[service].get_paginator(method).paginate()
        return sorted(str(one[name]) for page in pages for one in page[items])

    described = {table: aws["dynamodb"].describe_table(TableName=table)["Table"] for table in tables}
    found = {
        "roles": listed("iam", "list_roles", "Roles", "RoleName"),
        "functions": listed("lambda", "list_functions", "Functions", "FunctionName"),
        "triggers": listed("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
        "log groups": listed("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "streams": [
            name for name, table in described.items() if (table.get("StreamSpecification") or {}).get("StreamEnabled")
        ],
        "tags on tables": [
            name
            for name, table in described.items()
            if aws["dynamodb"].list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
        ],
    }
    return {kind: names for kind, names in found.items() if names}


def _log_tail(bench: Rig) -> str:
    """What the states that are still there say of themselves."""
    return "still there:\n" + bench.kubectl("get", rig.RESOURCE, "-n", bench.namespace, "-o", "wide")


def report(storm: Storm) -> Report:
    """Pure."""
    leaked_count = sum(map(len, storm.leaked.values()))
    faults = sum(storm.faults.values())
    return Report(
        tables=[
            Table(
                title=f"{storm.states} states in {storm.forecast} weather, seed {storm.seed}",
                header=("WHAT", "FOUND"),
                rows=[
                    ("Ready", f"{storm.ready} of {storm.states}"),
                    ("kubectl apply begun → the last one Ready", f"{storm.apply_to_ready_seconds:.1f} s"),
                    ("deleted", f"{storm.deleted_states} of {storm.states}"),
                    ("kubectl delete begun → the last one deleted", f"{storm.delete_to_removed_seconds:.1f} s"),
                    ("left in AWS", leaked_count),
                    ("AWS calls", storm.aws_calls),
                    ("  of which got no answer, or an error", storm.failed_calls),
                    ("faults of the weather", faults),
                ],
            ),
            Table(title="Faults by kind", header=("KIND", "CALLS"), rows=list(storm.faults.items())),
        ],
        notes=[
            *_NOTES,
            *(f"left in AWS: {kind}: {', '.join(names)}" for kind, names in storm.leaked.items()),
            *([f"stuck: {storm.stuck}"] if storm.stuck else []),
        ],
        figures={
            "states": storm.states,
            "ready": storm.ready,
            "gone": storm.deleted_states,
            "left_over": leaked_count,
            "aws_calls": storm.aws_calls,
            "seconds": storm.apply_to_ready_seconds + storm.delete_to_removed_seconds,
            "apply_to_ready_s": storm.apply_to_ready_seconds,
            "delete_to_gone_s": storm.delete_to_removed_seconds,
            "forecast": storm.forecast,
            "seed": storm.seed,
            "faults": dict(storm.faults),
        },
    )
