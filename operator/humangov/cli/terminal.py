"""The one way of a command's text to standard output and standard error.

Tenants and their users choose the names of files, records and prefixes: such a name may hold control characters. Every
line is escaped here, so that none of them forges a line or reaches the terminal. And names of files stay out of logs:
only a person is shown them.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable

import click

from humangov.logs import printable

_CLEAR_LINE = "\r\x1b[K"


def show(*lines: str, err: bool = False) -> None:
    """Each of them as one line. err: on standard error."""
    for line in lines:
        click.echo(printable(line), err=err)


def shows_names(*, in_job: bool = False) -> bool:
    """Whether a command may show names of files: to a person, never where its output becomes the log of a pod.

    in_job: the operator has started it.
    """
    return not in_job and (sys.stdout.isatty() or "KUBERNETES_SERVICE_HOST" not in os.environ)


def show_failure(error: BaseException) -> None:
    """An error that nobody expected: where it came up, and its text only where names may be shown."""
    shown = traceback.format_exception(error) if shows_names() else [*traceback.format_tb(error.__traceback__)]
    show(*"".join(shown).splitlines(), err=True)
    if not shows_names():
        show(f"{type(error).__name__}: its text may hold a file's name, and so it is not logged", err=True)


def show_stored(lines: Iterable[str]) -> None:
    """Lines of a form that programs read, such as CSV: escaped only if a person sees them."""
    for line in lines:
        click.echo(printable(line) if sys.stdout.isatty() else line)


def overwrite(line: str = "") -> None:
    """Replaces the last line of a terminal, on standard error."""
    click.echo(f"{_CLEAR_LINE}{printable(line)}", nl=False, err=True)
