"""`humangov`, as one types it, in a process of its own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sandbox.paths import REPOSITORY
from testing.live.forked import spawn

_WITHIN_SECONDS = 120.0


def run_humangov(
    *arguments: str, environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What it prints, and its exit code. `environment` says in which cluster and account; `folder`: where it runs."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        running = spawn(
            arguments, environment={**environment, "PYTHONPATH": str(REPOSITORY / "operator")}, folder=folder,
            stdout=stdout.fileno(), stderr=stderr.fileno(),
        )  # fmt: skip
        try:
            code = running.wait(_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            raise
        for one in (stdout, stderr):
            one.seek(0)
        return subprocess.CompletedProcess(["humangov", *arguments], code, stdout.read(), stderr.read())
