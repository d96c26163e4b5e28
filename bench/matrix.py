"""Every flow of a tenant, cut off or failed at every call that it makes: `crash-matrix` and `fault-matrix`.

tests/aws/test_matrix.py tries a share of these points, here all are tried. Worlds are the tests': AWS is MiniStack, the
API server one in memory, both in the process that tries.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache

from humangov.bundle import Bundle, bundle

from bench.measure import Report, Table
from bench.rig import NotMeasuredError, Say
from sandbox import emulator
from testing.reconciler import matrix
from testing.reconciler.flows import FLOWS
from testing.reconciler.sdk import Sdk
from testing.reconciler.world import World

_HEADER = ("FLOW", "CALLS", "POINTS", "FAILED")
_REPAIR = "drift"

_CRASH_NOTES = """
A point is a call of AWS or of the API server at which the process dies, before the call or after its effect; the calls
are those that an undisturbed run made. Its next process has to end in sync, with the same AWS resources and
conditions as the undisturbed run, then write nothing, and leave after a deletion what the undisturbed run left.
""".strip().splitlines()
_FAULT_NOTES = """
A point is a call of AWS or of the API server that fails once in one way: throttled, 500, denied, an unknown code, a
time-out; a write also with its effect taken place and the answer lost; a read also with a stale "not found"; the API
server's also with a conflict. What has to come of it is what the crash matrix asks.
""".strip().splitlines()


@dataclass(frozen=True)
class _Tried:
    flow: str
    calls: int
    points: int
    failed: tuple[str, ...]


def run(*, say: Say, faults: bool, flows: Sequence[str], jobs: int) -> Report:
    """Raises NotMeasuredError."""
    names = [flow.name for flow in FLOWS if not flows or any(flow.name.startswith(name) for name in flows)]
    if not names:
        raise NotMeasuredError(f"no flow begins with {' or '.join(flows)}; there are {', '.join(_kinds())}")
    started = time.monotonic()
    done: list[_Tried] = []
    emulator.install(say=say)
    with ProcessPoolExecutor(jobs) as pool:
        for tried in pool.map(_try, names, [faults] * len(names)):
            say(f"{tried.flow}: {tried.points} points, {len(tried.failed)} failed")
            for failure in tried.failed:
                say(failure)
            done.append(tried)
    return _report(done, faults=faults, seconds=time.monotonic() - started)


def _try(name: str, faults: bool) -> _Tried:
    worlds = _worlds()
    [flow] = [flow for flow in FLOWS if flow.name == name]
    undisturbed = matrix.undisturbed(worlds, flow)
    points = matrix.failures(undisturbed) if faults else matrix.crashes(undisturbed)
    failed = []
    for point in points:
        wrong = matrix.tried(worlds, undisturbed, point)
        if wrong is not None:
            failed.append(f"{matrix.describe(undisturbed, point)}: {wrong}")
    return _Tried(name, len(undisturbed.calls), len(points), tuple(failed))


@cache
def _worlds() -> Callable[[], World]:
    os.environ |= {"AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled", "AWS_EC2_METADATA_DISABLED": "true"}
    sdk, code = Sdk(), _code()
    return lambda: World(sdk=sdk, account=emulator.new_account(), bundle=code)


@cache
def _code() -> Bundle:
    return bundle()


def _kinds() -> list[str]:
    return list(dict.fromkeys(_kind(flow.name) for flow in FLOWS))


def _kind(flow: str) -> str:
    return flow.split(":")[0]


def _report(done: Sequence[_Tried], *, faults: bool, seconds: float) -> Report:
    points, failed = Counter[str](), Counter[str]()
    for tried in done:
        points[_kind(tried.flow)] += tried.points
        failed[_kind(tried.flow)] += len(tried.failed)
    rows = [(tried.flow, tried.calls, tried.points, len(tried.failed)) for tried in done]
    title = "A call fails, and the operator goes on" if faults else "The operator dies, and its next process goes on"
    return Report(
        tables=(Table(title, _HEADER, rows),),
        notes=_FAULT_NOTES if faults else _CRASH_NOTES,
        figures={
            "points": points.total(),
            "failed": failed.total(),
            "by_flow": {kind: {"points": points[kind], "failed": failed[kind]} for kind in points},
            "seconds": round(seconds, 1),
        },
    )
