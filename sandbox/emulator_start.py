"""MiniStack, run in its own environment, with more patience for what functions log.

It gives a function's log 50 ms to arrive once the function has answered, and 5 ms between two lines. On a busy machine
that is too short: lines then come with the next invocation, and without one never.
"""

from __future__ import annotations

from ministack.app import main  # type: ignore[import-not-found]
from ministack.core.lambda_runtime import Worker  # type: ignore[import-not-found]

FIRST_LINE_SECONDS, NEXT_LINE_SECONDS, AT_MOST_SECONDS = 1.0, 0.05, 2.0

if __name__ == "__main__":
    Worker._drain_stderr_bounded.__defaults__ = (FIRST_LINE_SECONDS, NEXT_LINE_SECONDS, AT_MOST_SECONDS)
    main()
