"""Waiting for a condition, with a deadline. Nothing in these tests sleeps for a time that was guessed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def wait_for(
    condition: Callable[[], Result], *, what: str, seconds: float = 30.0, seen: Callable[[], object] | None = None
) -> Result:
    """The first true answer of `condition`; fails after `seconds`, telling `what` was awaited and what was `seen`."""
    began = time.monotonic()
    deadline = began + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            suffix = f"; last seen: {seen()}" if seen else f"; last answer: {answer!r}"
            raise AssertionError(f"not within {seconds:.0f} s: {what}{suffix}")
        # Asking costs the machine something: what takes longer is asked for less often.
        time.sleep(0.05 if time.monotonic() < began + 1 else 0.2)
