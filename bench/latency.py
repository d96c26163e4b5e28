"""From a record's removal to its file's erasure, where each call of AWS takes 35 ms: the zip under Lambda's runtime.

The removal is when the event is handed to the function: Lambda's polling of the stream (four times a second) comes on
top. The erasure is when S3 has done it. `bench.slow_aws` stands for AWS, in a process of its own.
"""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from humangov.bundle import bundle

from bench import function_environment
from bench.listening import listening
from bench.measure import Report, Spread, Table, percentile, spread, spread_row
from bench.rig import NotMeasuredError, Say
from testing.lambda_runtime.runtime_api import RunningFunction
from testing.lambda_runtime.stream_events import batch, employee, remove

CALL_SECONDS = 0.035
BATCHES: Mapping[int, int] = {1: 200, 1000: 120}
"""Records of a batch → how many batches, after a first one."""

LIMIT_SECONDS = 1.0
PATIENCE_SECONDS = 30.0
TABLE, BUCKET = "california", "california-files"

_NOTES = (
    f"Each call takes {CALL_SECONDS * 1000:.0f} ms, and what the two processes need for it here.",
    "The first batch of each size is shown apart: it waits for the process's start, which also creates its log stream.",
    "A batch of 1,000: ten reads of the table, one put of its intents, one erasure, one put of its outcomes.",
)


def run(*, say: Say, call_seconds: float = CALL_SECONDS, batches: Mapping[int, int] = BATCHES) -> Report:
    """Takes about three minutes. Raises NotMeasuredError."""
    first: dict[int, float] = {}
    found: dict[int, list[float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="humangov-bench-") as folder,
        listening("bench.slow_aws", call_seconds) as url,
    ):
        for size, number in batches.items():
            say(f"{number} batches of {size:,}")
            directory = Path(folder) / f"function-{size}"
            directory.mkdir()
            with _function(url, directory) as function:
                first[size] = max(_erased(url, function, size, repeat=0))
                found[size] = [
                    seconds for one in range(1, number + 1) for seconds in _erased(url, function, size, repeat=one)
                ]  # fmt: skip
    return report(found, first=first)


def report(found: Mapping[int, Sequence[float]], *, first: Mapping[int, float]) -> Report:
    """found: records of a batch → seconds of each file. first: of the first batch. Pure."""
    spreads: dict[int, Spread] = {size: spread(seconds) for size, seconds in found.items()}
    p99 = {str(size): percentile(one.values, 0.99) for size, one in spreads.items()}
    return Report(
        tables=[
            Table(
                title="Seconds from the removal to the erasure",
                header=("BATCH OF", "MIN", "MEDIAN", "MAX", "FILES", "UNIT"),
                rows=[
                    row
                    for size, one in spreads.items()
                    for row in (
                        spread_row(f"{size:,}", one, unit="s"),
                        spread_row(f"{size:,}, of a new process", spread([first[size]]), unit="s"),
                    )
                ],
            ),
            Table(
                title="Against the limits",
                header=("FIGURE", "IS", "AT MOST"),
                rows=[
                    (f"p99, batch of {int(size):,}, s", f"{value:.3f}", LIMIT_SECONDS) for size, value in p99.items()
                ],
            ),
        ],
        notes=_NOTES,
        figures={
            "seconds": {str(size): one.figures() for size, one in spreads.items()},
            "first_s": {str(size): seconds for size, seconds in first.items()},
            "p99_s": p99,
        },
    )


def _erased(url: str, function: RunningFunction, size: int, *, repeat: int) -> list[float]:
    """Seconds of each file of one batch. Raises NotMeasuredError if one of them was not erased, or not announced."""
    names = [f"{size}-{repeat}-{one}.pdf" for one in range(size)]
    _call(url, "/put", json.dumps(names).encode())
    event = batch(*(remove(employee(name, name), table=TABLE, age_seconds=0) for name in names))
    removed_at = time.time()
    done = function.invoke(event)
    state = _call(url, "/state")
    if done.result != {"batchItemFailures": []} or state["files"] or state["unannounced"]:
        raise NotMeasuredError(f"not everything was erased after its intent: {done.summary}")
    if state["erased_at"].keys() != set(names):
        raise NotMeasuredError("other files were erased than those of the batch")
    return [state["erased_at"][name] - removed_at for name in names]


def _function(url: str, directory: Path) -> RunningFunction:
    return RunningFunction(
        bundle().zip, handler=bundle().handler, directory=directory,
        environment=function_environment.environment(url, table=TABLE, bucket=BUCKET),
    )  # fmt: skip


def _call(url: str, path: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(f"{url}{path}", data=body, method="PUT" if body else "GET")  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
        return json.loads(answer.read())
