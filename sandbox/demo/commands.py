"""Commands of the project, run as a person does who has permissions in AWS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from sandbox.demo.stage import Stage
from sandbox.paths import BUILD, REPOSITORY

_SECONDS = 120


def run(stage: Stage, command: Sequence[str], *, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """`humangov` with these arguments. url: of AWS, in place of the stage's."""
    endpoint = {"AWS_ENDPOINT_URL": url} if url else {}
    return subprocess.run(
        [sys.executable, "-m", "humangov.cli", *command],
        env={
            **stage.environment, "PATH": os.environ["PATH"], **endpoint,
            "PYTHONPATH": str(REPOSITORY / "operator"), "PYTHONPYCACHEPREFIX": str(BUILD / "pycache"),
        },
        capture_output=True, text=True, check=False, timeout=_SECONDS,
    )  # fmt: skip
