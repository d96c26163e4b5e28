"""How a command is stopped: the first SIGINT or SIGTERM asks it to end, the second ends it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stopping() -> Iterator[Callable[[], int | None]]:
    """The number of the signal that asked us to stop, once it has. A second one ends the process at once."""
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
    """That of a command which a signal of this number stopped, as shells have it."""
    return otherwise if number is None else 128 + number
