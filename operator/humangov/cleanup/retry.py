"""Retries a call after the errors and pauses that the caller defines."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def retry(
    call: Callable[[], T],
    *,
    retriable: Callable[[Exception], bool],
    pauses_seconds: Sequence[float],
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
    within_seconds: float = math.inf,
    stop: Callable[[], bool] = lambda: False,
) -> T:
    """The call's result, with one retry after each pause. Raises the last attempt's error.

    retriable: whether an error is retried; any other is raised at once. After `within_seconds`, or once `stop` is
    true, no further attempt starts.
    """
    started = now()
    for seconds in pauses_seconds:
        try:
            return call()
        except Exception as error:
            if not retriable(error):
                raise
            pause(seconds)
            if now() - started > within_seconds or stop():
                raise
    return call()
