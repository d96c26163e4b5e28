"""actionlint, which checks the workflows in .github: built from the Go module beside this file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from sandbox import gobuild, paths

SOURCE = paths.REPOSITORY / "sandbox" / "actionlint"
MODULE = "github.com/rhysd/actionlint"
PROGRAM = gobuild.Program(
    name="actionlint",
    called="actionlint",
    source=SOURCE,
    package=f"{MODULE}/cmd/actionlint",
    first_build="half a minute",
    needed_disk_bytes=1024**3,
)


def locate(*, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Path:
    """The binary, built once. Raises SandboxError."""
    return gobuild.ensure_built(PROGRAM, say=say, environ=environ)
