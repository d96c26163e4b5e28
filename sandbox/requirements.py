"""Python environments from locked requirements: by uv where there is one, else by venv and pip."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from sandbox import paths
from sandbox.errors import SandboxError
from sandbox.state import locked


def pinned(text: str) -> dict[str, str]:
    """Package → version, as a requirements file pins them. Markers are not evaluated."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, flags=re.MULTILINE)
    return {re.sub(r"[-_.]+", "_", name).lower(): version for name, version in found}


def installed(environment: Path) -> dict[str, str]:
    """Package → version, as they lie in the environment, by names of folders: no Python is started."""
    folders = environment.glob("lib/python*/site-packages/*.dist-info")
    pairs = (folder.name.removesuffix(".dist-info").rsplit("-", 1) for folder in folders)
    return {re.sub(r"[-_.]+", "_", name).lower(): version for name, version in pairs}


def complete(environment: Path, requirements: Path) -> bool:
    have = installed(environment)
    wanted = pinned(requirements.read_text())
    return all(have.get(name) == version for name, version in wanted.items())


def ensure(
    environment: Path,
    requirements: Path,
    *,
    what: str,
    say: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Make `environment` hold what `requirements` pins, hashes checked. Does nothing if it does already."""
    if not requirements.exists():
        raise SandboxError(f"{requirements} is missing: it lists what {what} needs. Restore it from git.")
    lock = environment.with_name(f"{environment.name}.lock")
    with locked(lock, say=say, waiting_for=f"another command that installs {what}", deadline_seconds=900):
        if complete(environment, requirements):
            return
        say(f"installing {what} from {requirements.name}")
        uv = find_uv(environ)
        if uv is not None:
            _run(
                [
                    str(uv),
                    "venv",
                    "--quiet",
                    "--allow-existing",
                    "--python",
                    sys.executable,
                    str(environment),
                ],
                environ,
            )
            sync = ["pip", "sync", "--quiet", "--require-hashes", "--python", str(environment / "bin/python")]
            _run([str(uv), *sync, str(requirements)], environ)
        else:
            _run([sys.executable, "-m", "venv", str(environment)], environ)
            install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
            _run([str(environment / "bin/python"), *install, "-r", str(requirements)], environ)


def find_uv(environ: Mapping[str, str]) -> Path | None:
    own = paths.BIN / "uv"
    if own.exists():
        return own
    found = shutil.which("uv", path=environ.get("PATH"))
    return None if found is None else Path(found)


def _run(command: list[str], environ: Mapping[str, str]) -> None:
    """Raises SandboxError with the end of the output if the command fails or is not there."""
    cache = paths.cache(environ)
    variables = {
        # Downloads are kept with the other caches, unless the user keeps them elsewhere.
        "UV_CACHE_DIR": str(cache / "uv"),
        "PIP_CACHE_DIR": str(cache / "pip"),
        # A virtual environment that is active must not be taken for the one that we name.
        **{name: value for name, value in environ.items() if name not in ("VIRTUAL_ENV", "PYTHONHOME")},
    }
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        output = (done.stderr + done.stdout).strip().splitlines()[-15:]
        raise SandboxError(
            "\n".join([f"`{' '.join(command)}` failed (exit {done.returncode}):", *(f"  | {line}" for line in output)])
        )
