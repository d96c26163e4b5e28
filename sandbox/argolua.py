"""Scripts run as Argo CD runs its health checks and resource actions: built from the Go module beside this.

With the Lua that it uses (gopher-lua), the few libraries that it opens, and its time limit. It can't show what Argo
CD's server does with what an action returns: it patches the difference, under its own service account.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox import gobuild, paths
from sandbox.errors import SandboxError

PROGRAM = gobuild.Program(
    name="argolua",
    called="Argo CD's Lua",
    source=paths.REPOSITORY / "sandbox" / "argolua",
    package=".",
    first_build="half a minute",
    needed_disk_bytes=1024**3,
)


def run(
    scripts: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    folder: Path,
    say: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
) -> list[Any]:
    """What each script returns for its object, `{"error": …}` where it fails. Raises SandboxError."""
    program = gobuild.ensure_built(PROGRAM, say=say, environ=environ)
    file = folder / "scripts.json"
    file.write_text(json.dumps([{"script": script, "obj": resource} for script, resource in scripts]))
    done = subprocess.run([program, file], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise SandboxError(f"argolua ended with {done.returncode}: {done.stderr.strip()}")
    answers: list[Any] = json.loads(done.stdout)
    return answers
