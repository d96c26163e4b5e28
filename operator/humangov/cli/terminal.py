"""The one way of a command's text to standard output and standard error.

Tenants and their users choose the names of files, records and prefixes: such a name may hold control characters. Every
line is escaped here, so that none of them forges a line or reaches the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from humangov.logs import printable

_CLEAR_LINE = "\r\x1b[K"


def show(*lines: str, err: bool = False) -> None:
    """Each of them as one line. err: on standard error."""
    for line in lines:
        click.echo(printable(line), err=err)


def show_stored(lines: Iterable[str]) -> None:
    """Lines of a form that programs read, such as CSV: escaped only if a person sees them."""
    for line in lines:
        click.echo(printable(line) if sys.stdout.isatty() else line)


def overwrite(line: str = "") -> None:
    """Replaces the last line of a terminal, on standard error."""
    click.echo(f"{_CLEAR_LINE}{printable(line)}", nl=False, err=True)
