"""Helm: built from the Go module beside this file, so that what it renders does not depend on whose Helm it is.

`python -m sandbox.helm …` is that helm.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from sandbox import gobuild, paths
from sandbox.errors import SandboxError

SOURCE = paths.REPOSITORY / "sandbox" / "helm"
MODULE = "helm.sh/helm/v4"
VARIABLE = "HELM"
"""Names another helm to use, of the same major version."""


def program(go_mod: str) -> gobuild.Program:
    """Helm as go.mod requires it."""
    version = gobuild.required_version(go_mod, MODULE)
    return gobuild.Program(
        name="helm",
        called="Helm",
        source=SOURCE,
        package=f"{MODULE}/cmd/helm",
        flags=[f"-X {MODULE}/internal/version.version={version}"],
        first_build="about 2 minutes",
        # With the modules and objects that the control plane needs as well.
        needed_disk_bytes=2 * 1024**3,
    )


def locate(*, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Path:
    """The binary: the one that HELM names, else built once. Raises SandboxError."""
    chosen = environ.get(VARIABLE)
    if chosen is None:
        return gobuild.ensure_built(program((SOURCE / "go.mod").read_text()), say=say, environ=environ)
    needed, found = MODULE.rpartition("/v")[2], _major(Path(chosen), environ)
    if found != needed:
        raise SandboxError(
            f"{VARIABLE}={chosen} is {f'Helm {found}' if found else 'no helm that runs'}; Helm {needed} is needed. "
            f"Without {VARIABLE}, it is built."
        )
    return Path(chosen)


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables under which helm takes nothing from the user's settings and leaves nothing in the home."""
    own = paths.BUILD / "helm"
    return {
        **{name: value for name, value in environ.items() if not name.startswith("HELM_")},
        **{f"HELM_{kind.upper()}_HOME": str(own / kind) for kind in ("cache", "config", "data")},
    }


def run(
    *arguments: str, say: Callable[[str], None], environ: Mapping[str, str] = os.environ, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """What helm answers, whatever it is. `environ` says in KUBECONFIG which cluster is meant."""
    return subprocess.run(
        [locate(say=say, environ=environ), *arguments],
        env=environment(environ),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def _major(command: Path, environ: Mapping[str, str]) -> str | None:
    """`4`; None if it does not run, or says no version."""
    try:
        done = subprocess.run(
            [command, "version", "--short"],
            env=environment(environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"v(\d+)\.", done.stdout)
    return match.group(1) if match else None


def main() -> None:
    """Become helm, with this sandbox's settings."""
    try:
        command = locate(say=lambda line: print(f"helm: {line}", file=sys.stderr))
    except SandboxError as error:
        sys.exit(f"helm: {error}")
    os.execve(command, [str(command), *sys.argv[1:]], environment())


if __name__ == "__main__":
    main()
