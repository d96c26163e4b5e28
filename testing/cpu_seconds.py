"""Processor seconds of tests, and of all that they start: on a machine that others use too, wall time tells nothing.

A test's are those of its own process, of the processes that it started, alive or ended, and, where there is one worker
alone, of the sandbox meanwhile: API server, etcd, controllers and the emulated AWS answer all workers at once.
"""

from __future__ import annotations

import os
import resource
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.state import SandboxState

PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def own(state: SandboxState) -> float:
    """Of this process and of every process that it started, alive or ended, but for the sandbox's parts."""
    used = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    parts = {part.process.pid for part in state.parts.values()}
    living = sum(_of_tree(pid) for pid in _children(os.getpid()) if pid not in parts)
    return sum(one.ru_utime + one.ru_stime for one in used) + living


def of_sandbox(state: SandboxState) -> Mapping[str, float]:
    """Part of the sandbox → its processor seconds since it was started."""
    return {name: _of_tree(part.process.pid) for name, part in state.parts.items()}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one phase of a test cost: in its process and those that it started, in the sandbox, and by the clock."""

    test: str
    own: float
    sandbox: float
    wall: float

    @property
    def file(self) -> str:
        return self.test.partition("::")[0]


def table(costs: Iterable[Cost], *, with_sandbox: bool, slowest: int) -> Iterator[str]:
    """Lines: every file, then the `slowest` tests, the dearest first."""
    every = list(costs)
    for title, groups in (
        ("file", _grouped((one.file, one) for one in every)),
        ("test", dict(list(_grouped((one.test, one) for one in every).items())[:slowest])),
    ):
        yield f"{'own':>8}{'sandbox' if with_sandbox else '':>9}{'wall':>8}  {title} (seconds)"
        for name, group in groups.items():
            sandbox = f"{sum(one.sandbox for one in group):9.2f}" if with_sandbox else " " * 9
            yield f"{sum(one.own for one in group):8.2f}{sandbox}{sum(one.wall for one in group):8.2f}  {name}"


def _grouped(pairs: Iterable[tuple[str, Cost]]) -> dict[str, Sequence[Cost]]:
    groups: dict[str, list[Cost]] = defaultdict(list)
    for name, one in pairs:
        groups[name].append(one)
    return dict(sorted(groups.items(), key=lambda item: -sum(one.own + one.sandbox for one in item[1])))


def _of_tree(pid: int) -> float:
    """Of a process, of its descendants that live, and of those whose end it has seen; 0 if it has ended itself."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS_PER_SECOND + sum(map(_of_tree, _children(pid)))


def _children(pid: int) -> list[int]:
    """That live; they are known by the thread that started them."""
    found: list[int] = []
    try:
        for thread in (PROC / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except OSError:
        return found
    return found
