"""The report of all tenants: a table of states, the worst first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from humangov.proof.report import Report

_SHOWN = ("records", "erased", "open", "unknown", "stays", "swept", "median_ms", "p99_ms", "latest_ms")


@dataclass(frozen=True, kw_only=True)
class State:
    """One row. page: name of the file of its own report; None: there is none, and problem says why.

    numbers: figures by name; None where they are not known. orphans: found by the last sweep of the period, before it
    erased any.
    """

    tenant: str
    page: str | None
    problem: str | None
    numbers: dict[str, int | None]
    orphans: int | None
    gaps: tuple[str, ...]


def of_report(report: Report, *, page: str) -> State:
    runs = report.sweeps.runs if report.sweeps else ()
    return State(
        tenant=report.subject.tenant,
        page=page,
        problem=None,
        numbers={name: report.figures[name] if report.figures else None for name in _SHOWN},
        orphans=runs[-1].orphans if runs else None,
        gaps=tuple(gap.kind for gap in report.gaps),
    )


def without_report(tenant: str, *, problem: str) -> State:
    return State(
        tenant=tenant, page=None, problem=problem, numbers=dict.fromkeys(_SHOWN), orphans=None, gaps=("NoReport",)
    )  # fmt: skip


def without_resources(tenant: str, *, problem: str) -> State:
    """It has nothing in AWS, so there is nothing to report, and no gap."""
    return replace(without_report(tenant, problem=problem), gaps=())


def worst_first(states: Sequence[State]) -> list[State]:
    """By what is not proven: no report, no receipts, files not settled, gaps, orphans; then by the latest file.

    Last are those that have nothing in AWS.
    """
    return sorted(states, key=_badness)


def as_json(states: Sequence[State]) -> list[dict[str, Any]]:
    return [asdict(one) for one in states]


def _badness(state: State) -> tuple[bool, bool, bool, int, int, int, int, str]:
    """The smaller, the worse."""
    numbers = state.numbers
    return (
        state.page is None and not state.gaps, state.problem is None, numbers["erased"] is not None,
        -(numbers["open"] or 0), -len(state.gaps), -(state.orphans or 0), -(numbers["latest_ms"] or 0), state.tenant,
    )  # fmt: skip
