"""What the scale bench printed, drawn: calls, processor time, memory and waiting, over the number of tenants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pygal

from bench.measure import Report, Table
from bench.rig import NotMeasuredError

PICTURES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "calls": ("AWS calls of a settled reconciliation", {"calls": "resync_calls_per_tenant"}),
    "cpu": ("Processor time at rest, ms", {"of a reconciliation": "cpu_ms_per_reconcile"}),
    "memory": ("Memory, MiB", {"at rest": "rss_mib", "peak": "peak_mib"}),
    "waiting": (
        "During a restart, seconds",
        {"an edit, 99th percentile": "edit_p99_s", "a new tenant, the slowest": "new_max_s"},
    ),
}
"""Of each picture its title, and which figures it shows under which names."""


def run(outputs: Sequence[Path], folder: Path) -> Report:
    """outputs: of runs of the scale bench, of one size or of several. Raises NotMeasuredError."""
    by_size = {size: figures for output in outputs for size, figures in _printed(output).items()}
    sizes = sorted(by_size, key=int)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (title, shown) in PICTURES.items():
        (folder / f"scale-{name}.svg").write_bytes(_drawn(title, shown, {int(size): by_size[size] for size in sizes}))
    names = sorted({name for _, shown in PICTURES.values() for name in shown.values()})
    rows = [(name, *(f"{by_size[size][name]:.4g}" for size in sizes)) for name in names]
    return Report(
        tables=[Table(title="By number of tenants", header=("WHAT", *sizes), rows=rows)],
        notes=[f"Drawn in {folder}: {', '.join(f'scale-{name}.svg' for name in PICTURES)}."],
        figures=by_size,
    )


def _printed(output: Path) -> dict[str, Mapping[str, Any]]:
    lines = output.read_text().strip().splitlines()
    try:
        figures = json.loads(lines[-1] if lines else "")
        return {size: found for size, found in figures.items() if size.isdigit()}
    except (ValueError, AttributeError):
        raise NotMeasuredError(
            f"{output} does not end in the scale bench's JSON: name a file with its output"
        ) from None


def _drawn(title: str, shown: Mapping[str, str], by_size: Mapping[int, Mapping[str, float]]) -> bytes:
    chart = pygal.XY(
        title=title, x_title="tenants", logarithmic=False, stroke=True, width=560, height=340, js=(),
        range=(0, 1.1 * max(figures[name] for figures in by_size.values() for name in shown.values())),
        x_labels=list(by_size), truncate_label=-1, legend_at_bottom=True,
        x_value_formatter=lambda value: f"{value:,.0f}", value_formatter=lambda value: f"{value:,.1f}",
    )  # fmt: skip
    for label, name in shown.items():
        chart.add(label, [(size, figures[name]) for size, figures in by_size.items()])
    drawn: bytes = chart.render()
    return drawn
