"""The real kubectl, shown as it is run."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.demo.narration import Narrator
from sandbox.paths import REPOSITORY


class KubectlError(Exception):
    """kubectl said no; the message is what it said."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl as the cluster's administrator, in the repository's folder."""

    program: str
    environment: Mapping[str, str]
    narrator: Narrator

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it quietly; its standard output. Raises KubectlError."""
        done = self._run(arguments, stdin=stdin)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {shlex.join(arguments)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def show(self, *arguments: str) -> str:
        """Run it before the eyes of the audience. Raises KubectlError."""
        self.narrator.command(shown("kubectl", *arguments))
        printed = self.run(*arguments)
        self.narrator.output(printed)
        return printed

    def ask(self, *arguments: str) -> str:
        """Run a question before the eyes of the audience; kubectl's "no" has an exit code, too."""
        self.narrator.command(shown("kubectl", *arguments))
        done = self._run(arguments)
        self.narrator.output(done.stdout or done.stderr)
        return (done.stdout or done.stderr).strip()

    def read(self, *arguments: str) -> dict[str, Any]:
        """The answer of `kubectl … -o json`. Raises KubectlError."""
        answer: dict[str, Any] = json.loads(self.run(*arguments, "-o", "json"))
        return answer

    def _run(self, arguments: Sequence[str], *, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            input=stdin,
            env=dict(self.environment),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )


def shown(*words: str) -> str:
    """A command as one would type it."""
    return shlex.join(words)
