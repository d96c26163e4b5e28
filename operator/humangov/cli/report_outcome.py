"""What became of the reports that `humangov report` writes: for people, for programs, and as its exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from humangov.api.counts import counted
from humangov.cli import terminal
from humangov.proof.gaps import Gap
from humangov.proof.period import Period

COUNTED = ("erased", "open", "swept")

GAPS = 2
"""Exit code of a report that is written, and says that something could not be shown."""


@dataclass(frozen=True, kw_only=True)
class ReportOutcome:
    """What became of one report; or of the table of all, which has no tenant.

    numbers: None if no receipt could be read. files: those that are kept here, the page first. stored: the folder in
    the bucket. problem: why there is no report; failed: that is an error.
    """

    title: str
    tenant: str | None
    numbers: Mapping[str, int | None] | None = None
    gaps: tuple[Gap, ...] = ()
    files: tuple[str, ...] = ()
    stored: str | None = None
    problem: str | None = None
    failed: bool = False


def exit_code(every: Sequence[ReportOutcome], *, accept_gaps: bool) -> int:
    """A state without any report is an error, whatever was not shown of others."""
    if any(one.failed for one in every):
        return 1
    return GAPS if not accept_gaps and any(one.gaps for one in every) else 0


def show(one: ReportOutcome) -> None:
    if sys.stderr.isatty():
        terminal.overwrite()
    if one.problem is not None:
        terminal.show(f"{one.title}: no report: {one.problem}", err=True)
        return
    if one.tenant is None:
        terminal.show(*(f"{one.title}: {place}" for place in (one.stored, *one.files[:1]) if place))
        return
    numbers = "no receipt could be read"
    if one.numbers:
        erased, unsettled, swept = (one.numbers[name] for name in COUNTED)
        files, orphans = counted(erased or 0, "file"), counted(swept or 0, "orphan")
        numbers = f"{files} erased, {unsettled:,} not settled, {orphans} erased by sweeps"
    terminal.show(f"{one.title}: {numbers}", *(f"  {place}" for place in (one.stored, *one.files[:1]) if place))
    terminal.show(*(f"  not shown: {gap.message}" for gap in one.gaps))


def fields(every: Sequence[ReportOutcome], of: Period) -> dict[str, Any]:
    return {
        "period": of.title,
        "reports": [
            {
                "tenant": one.tenant,
                **(one.numbers or dict.fromkeys(COUNTED)),
                "gaps": [gap._asdict() for gap in one.gaps],
                "files": list(one.files),
                "stored": one.stored,
                "problem": one.problem,
                "failed": one.failed,
            }
            for one in every
            if one.tenant is not None
        ],
        "table": next(({"files": list(one.files), "stored": one.stored} for one in every if one.tenant is None), None),
    }
