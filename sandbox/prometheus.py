"""Prometheus and promtool: the machine's own, or Debian's package, unpacked into the cache and not installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from sandbox import paths
from sandbox.errors import SandboxError
from sandbox.state import locked

_DOWNLOAD_SECONDS = 300


def program(name: str, *, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Path:
    """`prometheus` or `promtool`. Raises SandboxError if it is not on this machine and can't be fetched."""
    found = shutil.which(name, path=environ.get("PATH", os.defpath))
    if found is not None:
        return Path(found)
    cache = paths.cache(environ)
    unpacked = cache / "prometheus"
    with locked(cache / "prometheus.lock", say=say, waiting_for="another download of Prometheus", deadline_seconds=600):
        if not unpacked.exists():
            say("fetching Prometheus, a package of Debian")
            _unpack(unpacked)
    return unpacked / "usr" / "bin" / name


def _unpack(target: Path) -> None:
    """Raises SandboxError."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".prometheus-") as folder:
        scratch = Path(folder)
        try:
            _run("apt-get", "download", "prometheus", folder=scratch)
        except SandboxError:  # the lists of packages may be old, or none
            if os.geteuid() != 0:
                raise
            _run("apt-get", "update", folder=scratch)
            _run("apt-get", "download", "prometheus", folder=scratch)
        [package] = scratch.glob("prometheus_*.deb")
        _run("dpkg-deb", "--extract", package.name, "package", folder=scratch)
        (scratch / "package").rename(target)


def _run(*command: str, folder: Path) -> None:
    remedy = "Install Prometheus (Debian: apt-get install prometheus), then try again."
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxError(f"`{' '.join(command)}`: {error}. {remedy}") from error
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise SandboxError(f"`{' '.join(command)}` failed (exit {done.returncode}): {' '.join(last)}. {remedy}")
