"""A module of the bench in a process of its own that listens: how it is started, where it is, how it ends.

The module writes its port to the file that its first argument names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.rig import NotMeasuredError
from sandbox.paths import REPOSITORY

START_SECONDS = 60.0


@contextmanager
def listening(module: str, *arguments: object) -> Iterator[str]:
    """Its address. Raises NotMeasuredError if it does not listen within a minute."""
    with tempfile.TemporaryDirectory(prefix="humangov-bench-") as folder:
        port = Path(folder) / "port"
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(port), *map(str, arguments)], cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'operator'}"},
        )  # fmt: skip
        try:
            deadline = time.monotonic() + START_SECONDS
            while not port.exists() or not port.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NotMeasuredError(f"{module} did not start")
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port.read_text()}"
        finally:
            process.kill()
            process.wait()
