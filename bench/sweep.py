"""A sweep beside the bare listing and scan by the SDK, and beside the usual script, which holds two sets.

Against an endpoint that makes its pages on the fly, in a process of its own. Each (bench/sweep_programs.py) is
measured in a new process, in turn. The endpoint shows that it is not the limit: by what it takes to give the same pages
to who does not read them, and by its processor time during the sweep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pygal

from bench.listening import listening
from bench.measure import Report, Table
from bench.measured_program import MeasuredProgram, measured, middle
from bench.rig import Say

SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
VERSIONED = 1_000_000
BARE_UP_TO = 1_000_000
REPEATED_UP_TO = 100_000

_HEADER = ("FILES", "WHAT", "SECONDS", "WHOLE", "CPU", "RATIO", "CPU RATIO", "PEAK MIB", "REQUESTS", "ENDPOINT'S CPU")
_BARS = (
    "At most: at 10^6 ratio 0.25 and 200 MiB; at 10^7 12 times the seconds of 10^6 and 300 MiB; with versions ratio "
    "0.35; at 10^3 1.5 s for the whole process."
)

Runs = Mapping[str, MeasuredProgram]


def run(
    *,
    say: Say,
    sizes: Sequence[int] = SIZES,
    repeats: int = 3,
    bare_up_to: int = BARE_UP_TO,
    sets_up_to: int = BARE_UP_TO,
    versioned: int = VERSIONED,
    picture: Path | None = None,
    earlier: Path | None = None,
) -> Report:
    """bare_up_to, sets_up_to: the SDK's own listing, and the usual script, are measured up to this size.

    versioned: files of a bucket that keeps versions. picture: where the growth is drawn; earlier: the output of an
    earlier run, drawn too where this one has no such size. Raises NotMeasuredError.
    """
    found = {
        size: _one_size(size, repeats=repeats, bare_up_to=bare_up_to, sets_up_to=sets_up_to, say=say)
        for size in sorted(sizes)
    }
    with_versions = (
        _in_turn(versioned, ("bare-versions", "ours"), "--versioned", repeats=1, say=say) if versioned else {}
    )
    rows = [row for size, all_of in found.items() for row in _rows(f"{size:,}", all_of, bare="bare")]
    rows += _rows(f"{versioned:,}, versions", with_versions, bare="bare-versions")
    by_size = {str(size): _figures(all_of, bare="bare") for size, all_of in found.items()}
    for smaller, larger in zip(found, list(found)[1:], strict=False):
        by_size[str(larger)]["times_the_smaller"] = found[larger]["ours"].seconds / found[smaller]["ours"].seconds
    figures: dict[str, Any] = {"by_size": by_size}
    if with_versions:
        figures["versioned"] = {"files": versioned, **_figures(with_versions, bare="bare-versions")}
    if picture:
        before = json.loads(earlier.read_text().strip().splitlines()[-1])["by_size"] if earlier else {}
        draw({**before, **by_size}, picture)
    return Report(
        tables=[Table("A sweep in mode Detect", _HEADER, rows)],
        notes=(
            "bare: the listing and the scan by the SDK's paginators, one after the other, nothing kept.",
            "sets: the usual script, which holds all keys and all names in two Python sets; it decides nothing else.",
            "ours: listed and scanned in parallel, joined on disk, with claim, redrive and orphan list.",
            "raw: the pages of the listing over a socket, unread: the endpoint is not the limit.",
            "WHOLE: seconds of the process, with its start and its imports; all else is from the first request on.",
            _BARS,
        ),
        figures=figures,
    )


def _one_size(size: int, *, repeats: int, bare_up_to: int, sets_up_to: int, say: Say) -> Runs:
    compared = [name for name, up_to in (("bare", bare_up_to), ("sets", sets_up_to)) if size <= up_to]
    return _in_turn(size, (*compared, "ours", "raw"), repeats=repeats if size <= REPEATED_UP_TO else 1, say=say)


def _in_turn(size: int, programs: Sequence[str], *options: str, repeats: int, say: Say) -> Runs:
    say(f"{size:,} files and records {' '.join(options)}")
    runs: dict[str, list[MeasuredProgram]] = {program: [] for program in programs}
    with listening("bench.endpoint", size, *options) as url:
        for number in range(repeats):
            for program in programs:
                runs[program].append(measured(program, url, size))
                say(f"{program} {number + 1}: {runs[program][-1].seconds:.1f} s")
    return {program: middle(several) for program, several in runs.items()}


def _rows(files: str, all_of: Runs, *, bare: str) -> list[Sequence[object]]:
    of = all_of.get(bare)
    return [
        (
            files, name, f"{one.seconds:.1f}", f"{one.whole_seconds:.1f}", f"{one.cpu_seconds:.1f}",
            f"{one.seconds / of.seconds:.2f}" if of else "", f"{one.cpu_seconds / of.cpu_seconds:.2f}" if of else "",
            f"{one.peak_mib:.0f}", f"{one.requests:,}", f"{one.endpoint_cpu_seconds:.1f}",
        )
        for name, one in all_of.items()
    ]  # fmt: skip


def _figures(all_of: Runs, *, bare: str) -> dict[str, Any]:
    swept, of = all_of["ours"], all_of.get(bare)
    figures: dict[str, Any] = {
        "seconds": swept.seconds, "whole_seconds": swept.whole_seconds, "cpu_seconds": swept.cpu_seconds,
        "peak_mib": swept.peak_mib, "requests": swept.requests,
        "endpoint_cpu_ratio": swept.endpoint_cpu_seconds / swept.cpu_seconds,
    }  # fmt: skip
    if "raw" in all_of:
        figures["endpoint_pages_per_second"] = all_of["raw"].requests / all_of["raw"].seconds
    if of:
        figures |= {
            "time_ratio": swept.seconds / of.seconds,
            "cpu_ratio": swept.cpu_seconds / of.cpu_seconds,
        }
    if "sets" in all_of and of:
        figures |= {
            "sets_time_ratio": all_of["sets"].seconds / of.seconds, "sets_peak_mib": all_of["sets"].peak_mib,
        }  # fmt: skip
    return figures


def draw(by_size: Mapping[str, Mapping[str, float]], picture: Path) -> None:
    """Seconds and peak memory of sweeps, over the number of files; both axes are logarithmic. by_size: as printed."""
    found = sorted((int(size), figures) for size, figures in by_size.items())
    chart = pygal.XY(
        title="A sweep in mode Detect", x_title="files", logarithmic=True, stroke=True, width=720, height=420,
        xrange=(found[0][0], found[-1][0]), js=(), x_labels=[size for size, _ in found], pretty_print=True,
        x_value_formatter=lambda value: f"{value:,.0f}", value_formatter=lambda value: f"{value:,.1f}",
    )  # fmt: skip
    for name, figure in (
        ("seconds", "seconds"),
        ("of processor time", "cpu_seconds"),
        ("peak memory, MiB", "peak_mib"),
    ):
        chart.add(name, [(size, figures[figure]) for size, figures in found])
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(chart.render())
