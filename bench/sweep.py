"""A sweep beside the bare listing and scan by the same client, and beside the usual script, which holds two sets.

Against an endpoint that makes its pages on the fly, in a process of its own. Each (bench/sweep_programs.py) is
measured in a new process, in turn.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.endpoint import ORPHAN_EVERY
from bench.measure import Report, Table
from bench.rig import NotMeasuredError, Say
from sandbox.paths import BUILD, REPOSITORY

SIZES = (10_000, 100_000, 1_000_000)
TIME_RATIO, PEAK_MIB = 1.2, 200.0
START_SECONDS = 20.0


@dataclass(frozen=True)
class MeasuredProgram:
    seconds: float
    peak_mib: float
    requests: int


def run(*, say: Say, sizes: tuple[int, ...] = SIZES, repeats: int = 3) -> Report:
    """Raises NotMeasuredError."""
    found: dict[int, dict[str, MeasuredProgram]] = {}
    for size in sizes:
        say(f"{size:,} files and records")
        with _endpoint(size) as url:
            runs: dict[str, list[MeasuredProgram]] = {"bare": [], "sets": [], "ours": []}
            for number in range(repeats if size <= 100_000 else max(1, repeats - 2)):
                for name in ("bare", "ours", "sets"):
                    runs[name].append(_measured(name, url, size))
                    say(f"{name} {number + 1}: {runs[name][-1].seconds:.1f} s")
            found[size] = {name: _middle(several) for name, several in runs.items()}
    rows = [
        (f"{size:,}", name, f"{one.seconds:.1f}", f"{one.seconds / all_of['bare'].seconds:.2f}",
         f"{one.peak_mib:.0f}", f"{one.requests:,}")
        for size, all_of in found.items()
        for name, one in all_of.items()
    ]  # fmt: skip
    figures = {
        str(size): {
            "time_ratio": all_of["ours"].seconds / all_of["bare"].seconds,
            "peak_mib": all_of["ours"].peak_mib,
            "requests": all_of["ours"].requests,
            "seconds": all_of["ours"].seconds,
            "sets_time_ratio": all_of["sets"].seconds / all_of["bare"].seconds,
            "sets_peak_mib": all_of["sets"].peak_mib,
        }
        for size, all_of in found.items()
    }
    largest = found[max(found)]["ours"]
    return Report(
        tables=[Table("A sweep in mode Detect", ("FILES", "WHAT", "SECONDS", "RATIO", "PEAK MIB", "REQUESTS"), rows)],
        notes=(
            "bare: the listing and the scan by the SDK's paginators, one after the other, nothing kept.",
            "sets: the usual script, which holds all keys and all names in two Python sets; it decides nothing else.",
            "ours: listed and scanned in parallel, joined on disk, with claim, redrive and orphan list.",
            f"At most: ratio {TIME_RATIO}, peak {PEAK_MIB:.0f} MiB.",
        ),
        figures={
            "time_ratio": largest.seconds / found[max(found)]["bare"].seconds,
            "peak_mib": largest.peak_mib,
            "requests": largest.requests,
            "by_size": figures,
        },
    )


def _middle(several: list[MeasuredProgram]) -> MeasuredProgram:
    return sorted(several, key=lambda one: one.seconds)[len(several) // 2]


def _measured(program: str, url: str, size: int) -> MeasuredProgram:
    _asked(url)
    done = subprocess.run(
        [sys.executable, "-m", "bench.sweep_programs", program, str(size), str(ORPHAN_EVERY)],
        env=_environment(url), capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    if done.returncode != 0:
        raise NotMeasuredError(f"a run failed: {done.stderr[-1000:]}")
    printed = json.loads(done.stdout)
    return MeasuredProgram(seconds=printed["seconds"], peak_mib=printed["peak_mib"], requests=sum(_asked(url).values()))


def _environment(url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'operator'}", "PYTHONPYCACHEPREFIX": str(BUILD / "pycache"),
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    }  # fmt: skip


def _asked(url: str) -> Mapping[str, int]:
    """Requests since the last time this was asked."""
    with urllib.request.urlopen(f"{url}/asked", timeout=10) as answer:  # noqa: S310 - our own endpoint
        found: dict[str, Any] = json.loads(answer.read())
    return found


@contextmanager
def _endpoint(size: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="humangov-bench-") as folder:
        port = Path(folder) / "port"
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.endpoint", str(size), str(port)], cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'operator'}"},
        )  # fmt: skip
        try:
            deadline = time.monotonic() + START_SECONDS
            while not port.exists() or not port.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NotMeasuredError("the endpoint did not start")
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port.read_text()}"
        finally:
            process.kill()
            process.wait()
