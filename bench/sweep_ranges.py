"""Several ranges of keys, and segments of the table, at once: beside one after the other, at what a page takes on AWS.

Also where one prefix holds 99 % of the files. Against the endpoint of bench/endpoint.py, which waits with each page.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.listening import listening
from bench.measure import Report, Table
from bench.measured_program import measured
from bench.rig import Say

MILLISECONDS = (30, 60, 100)
FILES = 1_000_000

_PAIRS = (("list-one-range", "list"), ("scan-one-segment", "scan"))


def run(*, say: Say, files: int = FILES, milliseconds: Sequence[int] = MILLISECONDS) -> Report:
    """Raises NotMeasuredError."""
    rows, figures = [], dict[str, dict[str, float]]()
    for each in milliseconds:
        for name, options in (("even", ()), ("skewed", ("--skewed",))):
            with listening("bench.endpoint", files, "--page-ms", str(each), *options) as url:
                for one_program, program in _PAIRS if not options else _PAIRS[:1]:
                    say(f"{each} ms a page, {name} keys: {program}")
                    one, several = measured(one_program, url, files), measured(program, url, files)
                    times = one.seconds / several.seconds
                    rows.append(
                        (f"{each} ms", name, program, f"{one.seconds:.1f}", f"{several.seconds:.1f}", f"{times:.1f}",
                         f"{one.cpu_seconds:.1f}", f"{several.cpu_seconds:.1f}", f"{several.requests:,}")
                    )  # fmt: skip
                    figures.setdefault(f"{each}ms", {})[f"{program}_{name}"] = times
    header = ("A PAGE", "KEYS", "WHAT", "ONE BY ONE, S", "AT ONCE, S", "TIMES", "CPU, S", "CPU, S", "REQUESTS")
    return Report(
        tables=[Table(f"{files:,} files and records", header, rows)],
        notes=("skewed: one prefix holds 99 % of the files.",),
        figures={"times_as_fast": figures, "files": files},
    )
