"""The step in which a person has a report written of what the demo did, for the files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.demo.aws_side import log_group
from sandbox.demo.commands import run
from sandbox.demo.kubectl import shown
from sandbox.demo.people import State
from sandbox.demo.stage import Stage
from sandbox.paths import BUILD

FOLDER = BUILD / "demo-report"
"""Stays after the demo, until the next one."""

_GAPS = 2
_AHEAD = timedelta(days=3)


def the_report(stage: Stage) -> str:
    stage.narrator.say(
        "Each month a report states what was erased, what was not, and what can't be shown. A person files it, and "
        "anyone can count again. This one is of the demo. It ends in three days, because the sweeps were shown "
        "S3's clock ahead, which dates their orphan lists:"
    )
    bucket = _checkpoints(stage)
    shutil.rmtree(FOLDER, ignore_errors=True)
    since = max(_created(stage, state) for state in stage.aws.states)
    until = datetime.now(UTC) + _AHEAD
    command = [
        "report", "--all", "--namespace", stage.namespace, "--since", _text(since), "--until", _text(until),
        "-d", str(FOLDER), *(("--bucket", bucket) if bucket else ()),
    ]  # fmt: skip
    _shown_command(stage, command, codes=(0, _GAPS), expected="a report of each state")
    [table] = [json.loads(path.read_text()) for path in FOLDER.glob("all-*.json")]
    of = {one["tenant"]: one for one in table["states"]}
    for state in stage.aws.states:
        numbers = of[f"{stage.namespace}/{state.manifest['metadata']['name']}"]["numbers"]
        erased = sum(outcome == "erased" for outcome in _outcomes(stage, state))
        seen = numbers["erased"] + numbers["swept"]
        stage.observer.require(seen == erased, expected=f"{erased} erased files of {state.name}", seen=seen)
    [page] = FOLDER.glob("*california*.html")
    stage.narrator.say(f"It stays after the demo: {page}")
    every = sum(one["numbers"]["erased"] + one["numbers"]["swept"] for one in of.values())
    seen = f"{len(of)} reports: {every} files erased, as the receipts in the log groups say"
    if bucket is None:
        return seen
    return f"{seen}; {_verified(stage, bucket)} lines of California's log group are proven by its checkpoint"


def _checkpoints(stage: Stage) -> str | None:
    """Of lines of any age: nobody writes receipts now, and the emulated CloudWatch shows a line at once.

    Returns the bucket; None in a real account, where a line may show later.
    """
    if stage.sandbox.aws_endpoint_url is None:
        return None
    bucket = stage.aws.create_report_bucket()
    stage.narrator.say(
        "A checkpoint states where the chains of receipts end, in a bucket apart from the log: a receipt that somebody "
        "alters or removes later then shows. The chart's CronJob writes one each day, of lines that are an hour old. "
        "The demo does not wait:"
    )
    command = ["checkpoint", "--all", "--namespace", stage.namespace, "--bucket", bucket, "--minimum-age", "0"]
    _shown_command(stage, command, codes=(0,), expected="a checkpoint of each state")
    return bucket


def _verified(stage: Stage, bucket: str) -> int:
    """A person asks whether the receipts are as they were stored; how many lines are."""
    stage.narrator.say(
        "Whoever doubts the report compares the log with the checkpoints. Nothing is taken on trust but the bucket:"
    )
    state = stage.aws.state("california")
    name = f"{stage.namespace}/{state.manifest['metadata']['name']}"
    printed = _shown_command(
        stage, ["verify", name, "--bucket", bucket], codes=(0,), expected="receipts that are as they were stored"
    )
    found = re.search(r"(\d+) lines are proven by 1 checkpoint,", printed)
    due = len(_outcomes(stage, state))
    proven = int(found[1]) if found else 0
    stage.observer.require(
        proven >= 2 * due, expected=f"two proven lines for each of {due} receipts", seen=printed
    )  # fmt: skip
    return proven


def _shown_command(stage: Stage, command: list[str], *, codes: Sequence[int], expected: str) -> str:
    stage.narrator.command(shown("humangov", *command))
    done = stage.observer.until(
        lambda: run(stage, command),  # in bad weather, more than once
        lambda done: done.returncode in codes and not re.search("no (report|checkpoint):", done.stdout + done.stderr),
        expected=expected,
    )
    stage.narrator.output(done.stdout)
    return done.stdout


def _created(stage: Stage, state: State) -> datetime:
    """The second after which the log group was there: there is no receipt before."""
    name = log_group(state)
    groups = stage.aws.clients["logs"].describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    [milliseconds] = [one["creationTime"] for one in groups if one["logGroupName"] == name]
    return datetime.fromtimestamp(milliseconds // 1000 + 1, UTC)


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _outcomes(stage: Stage, state: State) -> list[Any]:
    """Of all receipts of the state, read from its log group without the report's code."""
    pages = stage.aws.clients["logs"].get_paginator("filter_log_events").paginate(logGroupName=log_group(state))
    found = []
    for event in (event for page in pages for event in page["events"]):
        try:
            line = json.loads(event["message"])
        except ValueError:
            continue
        if isinstance(line, dict) and line.get("receipt") == "outcome":
            found.append(line.get("outcome"))
    return found
