"""What every bench needs and no bench should do twice. Pure."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Table:
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Report:
    """What a bench found: tables and notes for people, `figures` for machines."""

    tables: Sequence[Table]
    notes: Sequence[str]
    figures: dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """The same thing measured several times."""

    values: tuple[float, ...]

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def figures(self) -> dict[str, float]:
        return {"min": self.low, "median": self.median, "max": self.high, "n": len(self.values)}


@dataclass(frozen=True)
class Write:
    """One write that the API server was asked for; `name` is empty where the server chooses it."""

    verb: str
    resource: str
    """With its subresource: `humangovstates/status`."""
    name: str
    code: int

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


@dataclass(frozen=True)
class Phase:
    """What one stretch of time cost: AWS calls by operation, and Kubernetes writes."""

    reads: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    kube_writes: Counter[str] = field(default_factory=Counter)

    @property
    def aws_calls(self) -> int:
        return self.reads.total() + self.writes.total()

    def by_operation(self) -> dict[str, int]:
        """Writes first, then reads, then Kubernetes writes; the most frequent first."""
        return {
            operation: count for counted in (self.writes, self.reads, self.kube_writes)
            for operation, count in counted.most_common()
        }  # fmt: skip


def spread(values: Iterable[float]) -> Spread:
    """Raises ValueError for no values: a figure without a measurement must not exist."""
    found = tuple(values)
    if not found:
        raise ValueError("nothing was measured")
    return Spread(values=found)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 < share ≤ 1) of the values do not exceed: nearest rank."""
    if not values:
        raise ValueError("nothing was measured")
    if not 0 < share <= 1:
        raise ValueError(f"a share is above 0 and at most 1, not {share}")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def typical(phases: Sequence[Phase]) -> Phase:
    """The phase in the middle by its number of AWS calls, then of Kubernetes writes: its operations did happen."""
    ordered = sorted(phases, key=lambda phase: (phase.aws_calls, phase.kube_writes.total()))
    return ordered[(len(ordered) - 1) // 2]


def writes_by(user: str, audit_lines: Iterable[str]) -> list[Write]:
    """What `user` wrote, from an audit log (audit.k8s.io/v1, one JSON event a line), whatever the answer was.

    An unfinished last line is left for the next time.
    """
    found = []
    for line in audit_lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event.get("stage") != "ResponseComplete" or event.get("verb") not in WRITE_VERBS:
            continue
        if event.get("user", {}).get("username") != user:
            continue
        target = event.get("objectRef") or {}
        parts = [target.get("resource", "?"), target.get("subresource")]
        found.append(
            Write(
                verb=event["verb"],
                resource="/".join(part for part in parts if part),
                name=target.get("name", ""),
                code=int((event.get("responseStatus") or {}).get("code", 0)),
            )
        )
    return found


def whole(value: float) -> float | int:
    """A count is shown as one: 6, not 6.0; a mean of counts that is no whole number stays."""
    return int(value) if float(value).is_integer() else value


def spread_row(name: str, found: Spread, *, unit: str = "") -> tuple[str, str, str, str, int, str]:
    """min, median, max: counts as they are, seconds with three digits."""
    low, median, high = (
        f"{value:.3f}" if unit == "s" else str(whole(value)) for value in (found.low, found.median, found.high)
    )
    return (name, low, median, high, len(found.values), unit)


def table_lines(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Columns as wide as their widest cell; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    if any(len(row) != len(header) for row in cells):
        raise ValueError("a row has another number of cells than the header")
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    to_the_right = [
        bool(rows) and all(_is_number(str(row[column])) for row in rows if str(row[column]))
        for column in range(len(header))
    ]
    return [
        "   ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, to_the_right, strict=True)
        ).rstrip()
        for row in cells
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
