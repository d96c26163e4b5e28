"""One call, tried again after the errors and the pauses that the caller names."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def retry(
    call: Callable[[], T],
    *,
    passes: Callable[[Exception], bool],
    pauses_seconds: Sequence[float],
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
    within_seconds: float = math.inf,
    stop: Callable[[], bool] = lambda: False,
) -> T:
    """What the call returns, begun once more after each pause. Raises the last attempt's error.

    passes: whether an error may; one that may not is raised at once. After `within_seconds`, or once `stop` says
    so, no further attempt begins.
    """
    started = now()
    for seconds in pauses_seconds:
        try:
            return call()
        except Exception as error:
            if not passes(error):
                raise
            pause(seconds)
            if now() - started > within_seconds or stop():
                raise
    return call()
