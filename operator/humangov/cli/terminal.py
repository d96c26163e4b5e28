"""The one way of a command's text to standard output and standard error.

Tenants and their users choose the names of files, records and prefixes: such a name may hold control characters. Every
line is escaped here, so that none of them forges a line or reaches the terminal. And names of files stay out of logs:
only a person is shown them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

from humangov.logs import printable

_CLEAR_LINE = "\r\x1b[K"
# A command that is quicker shows no progress.
_PATIENCE_SECONDS = 2.0
_REDRAWN_EVERY_SECONDS = 1.0

Shown = TypeVar("Shown")


def show(*lines: str, err: bool = False) -> None:
    """Each of them as one line. err: on standard error."""
    _progress.end()
    for line in lines:
        click.echo(printable(line), err=err)


def show_result(fields: Mapping[str, Any], lines: Iterable[str], *, form: str) -> None:
    """A command's result: its lines for people (`table`), or one object for programs (`json`, `yaml`)."""
    if form == "table":
        show(*lines)
    else:
        _show_object(fields, form=form)


def show_each(
    results: Iterable[Shown],
    *,
    form: str,
    show_one: Callable[[Shown], None],
    whole: Callable[[Sequence[Shown]], Mapping[str, Any]],
) -> list[Shown]:
    """The same of results that come one after the other: a person sees each at once, a program one object of all.

    An error that ends them leaves the object of those before it, for something may have been changed.
    """
    shown: list[Shown] = []
    try:
        for one in results:
            shown.append(one)
            if form == "table":
                show_one(one)
    except BaseException:
        if form != "table" and shown:
            _show_object(whole(shown), form=form)
        raise
    if form != "table":
        _show_object(whole(shown), form=form)
    return shown


def _show_object(fields: Mapping[str, Any], *, form: str) -> None:
    if form == "json":
        show(json.dumps(fields))
        return
    import yaml  # only who asks for it waits for it to load

    show(*yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=False).splitlines())


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
    _progress.end()
    for line in lines:
        click.echo(printable(line) if sys.stdout.isatty() else line)


def overwrite(line: str = "") -> None:
    """Replaces the last line of a terminal, on standard error. A command that does so tells more than the seconds."""
    _progress.end()
    _overwrite(line)


class _Progress:
    """The line about a command that takes long. It ends with the command's first output."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._drawn = False

    def begin(self, command: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ended, began = threading.Event(), clock()
        threading.Thread(target=self._draw, args=(self._ended, command, began, clock), daemon=True).start()

    def end(self) -> None:
        with self._lock:
            self._ended.set()
            if self._drawn:
                _overwrite()
            self._drawn = False

    def _draw(self, ended: threading.Event, command: str, began: float, clock: Callable[[], float]) -> None:
        pause = _PATIENCE_SECONDS
        while not ended.wait(pause):
            pause = _REDRAWN_EVERY_SECONDS
            with self._lock:
                if not ended.is_set():
                    _overwrite(f"humangov {command}: {clock() - began:.0f} s")
                    self._drawn = True


_progress = _Progress()


def begin_progress(command: str) -> None:
    """Shows on a terminal that the command is at work, until it shows something itself."""
    if sys.stderr.isatty():
        _progress.begin(command)


def end_progress() -> None:
    _progress.end()


def _overwrite(line: str = "") -> None:
    click.echo(f"{_CLEAR_LINE}{printable(line)}", nl=False, err=True)
