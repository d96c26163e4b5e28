"""A program of bench/sweep_programs.py, run in a process of its own beside an endpoint in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.endpoint import ORPHAN_EVERY
from bench.rig import NotMeasuredError
from sandbox.paths import BUILD, REPOSITORY


@dataclass(frozen=True)
class MeasuredProgram:
    """seconds: from the first request on; whole_seconds: of the process, with its start and all imports.

    cpu_seconds: processor time of the program; endpoint_cpu_seconds: of the endpoint meanwhile.
    """

    seconds: float
    whole_seconds: float
    cpu_seconds: float
    peak_mib: float
    requests: int
    endpoint_cpu_seconds: float


def measured(program: str, url: str, size: int) -> MeasuredProgram:
    """Raises NotMeasuredError."""
    _usage(url)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bench.sweep_programs", program, str(size), str(ORPHAN_EVERY)],
        env=_environment(url), capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    if done.returncode != 0:
        raise NotMeasuredError(f"a run failed: {done.stderr[-1000:]}")
    whole, usage = time.perf_counter() - began, _usage(url)
    return MeasuredProgram(
        **json.loads(done.stdout), whole_seconds=whole, requests=sum(usage["requests"].values()),
        endpoint_cpu_seconds=usage["cpu_seconds"],
    )  # fmt: skip


def middle(several: Sequence[MeasuredProgram]) -> MeasuredProgram:
    return sorted(several, key=lambda one: one.seconds)[len(several) // 2]


def _environment(url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'operator'}", "PYTHONPYCACHEPREFIX": str(BUILD / "pycache"),
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    }  # fmt: skip


def _usage(url: str) -> Mapping[str, Any]:
    """What the endpoint was asked since the last time."""
    with urllib.request.urlopen(f"{url}/asked", timeout=60) as answer:  # noqa: S310 - our own endpoint
        found: dict[str, Any] = json.loads(answer.read())
    return found
