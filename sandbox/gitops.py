"""What Argo CD and Flux do to an object, with their own code: built from the Go module beside this file.

Their engines, not the controllers: argoproj/gitops-engine compares and syncs, fluxcd/pkg/ssa corrects drift. It can't
show when a controller does so, nor what its users configure.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import gobuild, paths
from sandbox.errors import SandboxError

SOURCE = paths.REPOSITORY / "sandbox" / "gitops"
CONTROLLERS = ("argo", "argo-server-side", "flux")
PROGRAM = gobuild.Program(
    name="gitops",
    called="Argo CD's and Flux's engines",
    source=SOURCE,
    package=".",
    first_build="about 4 minutes",
    needed_disk_bytes=3 * 1024**3,
)


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """differs: the controller found that the object is not as in Git. did: in its own words."""

    differs: bool
    did: str


def correct(
    controller: str,
    in_git: Mapping[str, Any],
    *,
    folder: Path,
    say: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
) -> Corrected:
    """Once what the controller does all the time. `environ` says in KUBECONFIG which cluster. Raises SandboxError."""
    return Corrected(**_answer(controller, in_git, folder=folder, say=say, environ=environ))


def kstatus(
    objects: Sequence[Mapping[str, Any]],
    *,
    folder: Path,
    say: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
) -> list[str]:
    """What kstatus's own code computes of each object: Current, InProgress, Failed … Raises SandboxError."""
    found: list[str] = _answer("kstatus", list(objects), folder=folder, say=say, environ=environ)
    return found


def _answer(
    command: str, document: Any, *, folder: Path, say: Callable[[str], None], environ: Mapping[str, str]
) -> Any:  # fmt: skip
    program = gobuild.ensure_built(PROGRAM, say=say, environ=environ)
    file = folder / f"{command}.json"
    file.write_text(json.dumps(document))
    done = subprocess.run(
        [program, command, file], env={**environ}, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode != 0:
        raise SandboxError(f"{command} ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)
