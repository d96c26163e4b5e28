"""A share of the crash matrix and the fault matrix; `make bench NAME=crash-matrix` and `fault-matrix` try all of both.

Of the main flows every write is cut off, and many a read; of the drifts, and of the failures, a sample that is the same
in each run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import pytest

from testing.reconciler import matrix
from testing.reconciler.flows import FLOWS, IN_BULK, MAIN, REPAIRS, Flow
from testing.reconciler.world import World

FAILURES_OF_A_MAIN_FLOW, FAILURES_OF_A_DRIFT = 12, 2
Worlds = Callable[..., World]
Some = TypeVar("Some")


def name(flow: Flow) -> str:
    return flow.name.replace(": ", "-").replace(" ", "-")


@pytest.mark.parametrize("flow", [*MAIN, *REPAIRS[::4]], ids=name)
def test_reconciliation_killed_or_failed_at_any_call_has_the_same_result(
    worlds: Worlds, flow: Flow, measured: Callable[[str], None]
) -> None:
    run = matrix.undisturbed(worlds, flow)
    every = matrix.crashes(run)
    # After a call is before the next one, but for the memory that dies.
    after_writes = [point for point in every if point.side == "after" and run.calls[point.number - 1].writes]
    if flow in MAIN:
        crashes = [*after_writes, *sample(every, len(every) // 6, of=flow)]
        failures = sample(matrix.failures(run), FAILURES_OF_A_MAIN_FLOW, of=flow)
    else:
        crashes = after_writes[:1]
        failures = sample(matrix.failures(run), FAILURES_OF_A_DRIFT, of=flow)
    points: list[matrix.Point] = [*crashes, *failures]
    for point in points:
        wrong = matrix.tried(worlds, run, point)
        assert wrong is None, f"{matrix.describe(run, point)}: {wrong}"
    measured(f"{flow.name}: of {len(run.calls)} calls {len(crashes)} were cut off, and {len(failures)} failed")


@pytest.mark.parametrize("flow", [*MAIN[:3], *IN_BULK[::6]], ids=name)
def test_reconciliation_with_bulk_reads_killed_or_failed_at_any_call_has_the_same_result(
    worlds: Worlds, flow: Flow, measured: Callable[[str], None]
) -> None:
    in_bulk = partial(worlds, bulk_reads=True)
    run = matrix.undisturbed(in_bulk, flow)
    listed = [number for number, call in enumerate(run.calls, 1) if call.action == "lambda:ListFunctions"]
    assert listed or flow in MAIN, "nothing is read in bulk"
    every, failures = matrix.crashes(run), matrix.failures(run)
    both: list[matrix.Point] = [*every, *failures]
    of_listings = [point for point in both if point.number in listed[:1]]
    points: list[matrix.Point] = [*of_listings, *sample(every, 4, of=flow), *sample(failures, 4, of=flow)]
    for point in points:
        wrong = matrix.tried(in_bulk, run, point)
        assert wrong is None, f"{matrix.describe(run, point)}: {wrong}"
    measured(f"in bulk, {flow.name}: of {len(run.calls)} calls {len(points)} were cut off or failed")


def sample(points: Sequence[Some], number: int, *, of: Flow) -> list[Some]:
    """Evenly over the run; from flow to flow other ones."""
    step = len(points) / number
    begin = (*FLOWS, *IN_BULK).index(of) * 7
    return [points[int(begin + place * step) % len(points)] for place in range(number)]
