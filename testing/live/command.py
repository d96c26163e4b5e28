"""`humangov`, as one types it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sandbox.paths import BUILD, REPOSITORY


def run_humangov(
    *arguments: str, environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What it prints, and its exit code. `environment` says in which cluster and account; `folder`: where it runs."""
    return subprocess.run(
        [sys.executable, "-m", "humangov.cli", *arguments],
        env={
            **environment,
            "PYTHONPATH": str(REPOSITORY / "operator"),
            # Without compiled files each start would spend seconds on compiling the SDKs.
            "PYTHONPYCACHEPREFIX": str(BUILD / "pycache"),
        },
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
