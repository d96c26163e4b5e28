"""Thousands of histories in the adversarial world: what was lost, left unsaid or said falsely, and what went wrong.

Each history is drawn from its seed (testing/world), so that one that fails can be run again alone.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat

from bench.measure import Report, Table
from bench.rig import Say
from testing.world.history import run as run_history
from testing.world.promises import KINDS, Violation

HISTORIES = 20_000
_A_TASK = 50
_SAY_EVERY = 1000

_NOTES = """
A history: a tenant and its weather are drawn; the application, Lambda, redrive and sweeps take steps in any order, also
within each other's calls; then come quiet nights, or the tenant's deletion. testing/world says what a violation is.
Faults: how often each kind struck, over all histories. Excused: live files that went within the declared limits.
Run one again, with its steps: python -m testing.world SEED
""".strip().splitlines()


@dataclass
class _Sum:
    histories: int = 0
    steps: int = 0
    erased: int = 0
    deleting: int = 0
    swept: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, Violation]] = field(default_factory=list)
    short: int = 0

    def add(self, other: _Sum) -> None:
        self.histories += other.histories
        self.steps += other.steps
        self.erased += other.erased
        self.deleting += other.deleting
        self.swept += other.swept
        self.faults += other.faults
        self.excused += other.excused
        self.violations += other.violations
        self.short += other.short


def run(*, say: Say, histories: int, steps: int, seed: int, jobs: int, delete: float) -> Report:
    """Takes about fifteen minutes on two processors. delete: share of histories whose sweeps run in mode Delete."""
    started, reported, total = time.monotonic(), 0, _Sum()
    # The order of a set of texts differs from process to process, unless this is set before it starts.
    os.environ["PYTHONHASHSEED"] = "0"
    tasks = [range(first, min(first + _A_TASK, seed + histories)) for first in range(seed, seed + histories, _A_TASK)]
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in pool.map(_of, tasks, repeat(steps), repeat(delete)):
            for at, one in done.violations:
                say(f"seed {at}: {one.kind}: {one.why}: {one.what}") if len(total.violations) < _SAY_EVERY else None
            total.add(done)
            if total.histories >= reported + _SAY_EVERY:
                reported = total.histories
                say(f"{total.histories:,} of {histories:,} histories, {len(total.violations):,} violations")
    return _report(total, seed=seed, seconds=time.monotonic() - started)


def _of(seeds: Sequence[int], steps: int, delete: float) -> _Sum:
    total = _Sum()
    for seed in seeds:
        one = run_history(seed, steps=steps, delete_share=delete)
        total.add(
            _Sum(
                1, one.steps, one.erased, one.deleting, one.swept, one.faults, one.excused,
                [(seed, found) for found in one.violations], int(one.steps < steps),
            )
        )  # fmt: skip
    return total


def _report(total: _Sum, *, seed: int, seconds: float) -> Report:
    kinds = Counter(one.kind for _, one in total.violations)
    reasons: dict[tuple[str, str], list[int]] = {}
    for at, one in total.violations:
        reasons.setdefault((one.kind, one.why), []).append(at)
    return Report(
        tables=[
            Table("Faults that struck", ("KIND", "TIMES"), sorted(total.faults.items())),
            Table("Live files that went within the declared limits", ("LIMIT", "FILES"), sorted(total.excused.items())),
            Table(
                "Violations", ("KIND", "WHY", "TIMES", "SEEDS"),
                [(*key, len(of), " ".join(map(str, dict.fromkeys(of[:5])))) for key, of in sorted(reasons.items())],
            ),
        ],
        notes=_NOTES,
        figures={
            "histories": total.histories,
            "steps": total.steps,
            "histories_below_steps": total.short,
            "files_erased": total.erased,
            "sweeps_in_delete": total.deleting,
            "files_swept": total.swept,
            "faults": dict(sorted(total.faults.items())),
            "excused": dict(sorted(total.excused.items())),
            **{kind: kinds[kind] for kind in KINDS},
            "seed": seed,
            "seconds": seconds,
        },
    )  # fmt: skip
