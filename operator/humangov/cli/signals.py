"""Stops a command: the first SIGINT or SIGTERM requests a clean stop, the second ends the process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stopping() -> Iterator[Callable[[], int | None]]:
    """Yields a function that returns the received signal's number, or None. A second signal ends the process."""
    received: list[int] = []

    def note(number: int, _frame: Any) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(number: int | None, *, otherwise: int) -> int:
    """128 + number for a command that a signal stopped, as in shells; else `otherwise`."""
    return otherwise if number is None else 128 + number
