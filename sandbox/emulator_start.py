"""MiniStack, run in its own environment: by a faster server, and with more patience for what functions log.

MiniStack comes with hypercorn, whose HTTP is written in Python and takes more processor time for a request than
MiniStack itself.

It gives a function's log 50 ms to arrive once the function has answered, and 5 ms between two lines. On a busy machine
that is too short: lines then come with the next invocation, and without one never.
"""

from __future__ import annotations

import os
import resource

import uvicorn  # type: ignore[import-not-found]
from ministack.app import app  # type: ignore[import-not-found]
from ministack.core.lambda_runtime import Worker  # type: ignore[import-not-found]

FIRST_LINE_SECONDS, NEXT_LINE_SECONDS, AT_MOST_SECONDS = 1.0, 0.05, 2.0
KEEP_ALIVE_SECONDS = 75  # as MiniStack's own start has it


def main() -> None:
    """Serve until SIGTERM. BIND_HOST and GATEWAY_PORT say where, as they do to MiniStack's own start."""
    Worker._drain_stderr_bounded.__defaults__ = (FIRST_LINE_SECONDS, NEXT_LINE_SECONDS, AT_MOST_SECONDS)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvicorn.run(
        app, host=os.environ["BIND_HOST"], port=int(os.environ["GATEWAY_PORT"]), http="httptools", loop="asyncio",
        ws="none", access_log=False, log_level="warning", server_header=False, date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=1,
    )  # fmt: skip


if __name__ == "__main__":
    main()
