"""Apply to Ready and delete to deleted on moto: what other operators' published times were measured on.

Moto makes every object Active at once, so that all of the time is the operator's, kubectl's and the API server's.
It runs no function; nothing is erased here.
"""

from __future__ import annotations

import time

from bench import calls, rig
from bench.calls import NEVER, YOUNG_SECONDS, Crowd
from bench.measure import Report, Spread, Table, spread, spread_row
from bench.rig import Rig, Say

_NOTES = (
    "Kubernetes: the real API server. AWS: a moto server behind the recording proxy; both cost time of their own.",
    "kubectl begins the time and is part of it; a watch sees Ready and deleted.",
    "A tenant is deleted once it and the operator are older than 30 s.",
)


def run(*, say: Say, repeats: int, states: int) -> Report:
    """Takes about two minutes. Raises SandboxError, OperatorError or NotMeasuredError."""
    with rig.opened(say=say, moto=True) as bench:
        applied, kubectl, deleted = _one_by_one(bench, repeats=repeats)
        crowd = calls.measure_crowd(bench, states=states)
    return report(applied=spread(applied), kubectl=spread(kubectl), deleted=spread(deleted), crowd=crowd)


def _one_by_one(bench: Rig, *, repeats: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds of apply to Ready, of kubectl apply in it, and of delete to deleted, one tenant after the other."""
    names = [f"one-{number}" for number in range(1, repeats + 1)]
    applied, kubectl, deleted = [], [], []
    for name in ("warm-up", *names):
        bench.create_holdings(name)
    with bench.operator(resync_seconds=NEVER):
        bench.ready(["warm-up"], since=bench.apply(["warm-up"]))
        for number, name in enumerate(names, 1):
            bench.say(f"tenant {number} of {repeats}: apply")
            begun = bench.apply([name])
            kubectl.append(time.monotonic() - begun)
            applied.append(bench.ready([name], since=begun)[name] - begun)
            time.sleep(rig.QUIET_SECONDS)
        bench.say(f"waiting {YOUNG_SECONDS:.0f} s, until all resources are old enough")
        time.sleep(YOUNG_SECONDS + 2)
        bench.removed(["warm-up"], since=bench.delete(["warm-up"]))
        for number, name in enumerate(names, 1):
            bench.say(f"tenant {number} of {repeats}: delete")
            begun = bench.delete([name])
            deleted.append(bench.removed([name], since=begun)[name] - begun)
    return applied, kubectl, deleted


def report(*, applied: Spread, kubectl: Spread, deleted: Spread, crowd: Crowd) -> Report:
    """Pure."""
    rows = {
        "kubectl apply begun → Ready": applied,
        "  of which kubectl apply itself, at most": kubectl,
        "kubectl delete begun → deleted": deleted,
    }
    return Report(
        tables=[
            Table(
                title="One tenant, a warm operator, moto",
                header=("WHAT", "MIN", "MEDIAN", "MAX", "N", "UNIT"),
                rows=[spread_row(name, found, unit="s") for name, found in rows.items()],
            ),
            calls.crowd_table(crowd),
        ],
        notes=list(_NOTES),
        figures={
            "apply_to_ready_s": applied.median,
            "kubectl_apply_s": kubectl.median,
            "delete_to_gone_s": deleted.median,
            "fifty_states": crowd.states,
            "fifty_apply_to_ready_s": crowd.apply_to_ready,
            "fifty_delete_to_gone_s": crowd.delete_to_removed,
            "fifty_apply_operator_cpu_s": crowd.apply_cpu,
            "apply_to_ready_per_kubectl_apply": applied.median / kubectl.median,
            "spread": {"apply_to_ready_s": applied.figures(), "delete_to_gone_s": deleted.figures()},
        },
    )
