"""`kubectl humangov`: the same commands as a plugin of kubectl, which finds both programs on the PATH by their names.

https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from click.shell_completion import ShellComplete

from humangov.cli import terminal
from humangov.cli.main import main

# Cobra's directives, https://pkg.go.dev/github.com/spf13/cobra#ShellCompDirective: complete files, or none.
_FILES, _NO_FILES = ":0", ":4"


def run() -> None:
    """The program `kubectl-humangov`."""
    main(prog_name="kubectl humangov")


def complete() -> None:
    """The program `kubectl_complete-humangov`, which kubectl's completion runs: as Cobra's `__complete` answers."""
    terminal.show(*completions(sys.argv[1:]))


def completions(words: Sequence[str]) -> Iterator[str]:
    """words: all after `kubectl humangov`; the last is the one to complete."""
    *before, incomplete = words or [""]
    found = ShellComplete(main, {}, "humangov", "").get_completions(list(before), incomplete)
    yield from (f"{one.value}\t{one.help}" if one.help else one.value for one in found if one.type == "plain")
    yield _FILES if any(one.type in ("file", "dir") for one in found) else _NO_FILES
