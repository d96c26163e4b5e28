"""A report of a million receipts, beside a CloudWatch Logs that answers at its quota: seconds, memory, files.

What makes it runs in a process of its own (report_program), so that the memory is the report's and not the bench's.
What the SDK takes to parse a page is not in it.
"""

from __future__ import annotations

import json
import subprocess
import sys

from bench.measure import Report, Table
from bench.rig import NotMeasuredError, Say
from sandbox.paths import REPOSITORY

RECEIPTS = 1_000_000

_NOTES = """
A receipt is two lines of about 500 bytes. Page, JSON and database are written.
""".strip().splitlines()


def run(*, say: Say, receipts: int) -> Report:
    """Raises NotMeasuredError if the report does not count what was stored."""
    command = [sys.executable, "-m", "bench.report_program", str(receipts)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as program:  # fmt: skip
        assert program.stdout is not None
        assert program.stderr is not None
        line = ""
        for line in program.stderr:
            say(line.rstrip())
        printed = program.stdout.read()
    if program.returncode != 0:
        raise NotMeasuredError(line.strip() or "the report does not count what was stored")
    figures = json.loads(printed)
    shown = (f"{size / 1_048_576:,.1f}" for size in figures["bytes"])
    row = (
        f"{receipts:,}", f"{figures['seconds']:.0f}", f"{figures['cpu_seconds']:.0f}", f"{figures['memory_mib']:.0f}",
        *shown,
    )  # fmt: skip
    header = ("RECEIPTS", "SECONDS", "CPU SECONDS", "MiB OF MEMORY", "MiB OF PAGE", "OF JSON", "OF DATABASE")
    return Report(tables=[Table("A report of one month", header, [row])], notes=_NOTES, figures=figures)
