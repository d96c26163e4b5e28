"""MiniStack, run in its own environment: by a faster server, and with more patience for what functions log.

MiniStack comes with hypercorn, whose HTTP is written in Python and takes more processor time for a request than
MiniStack itself.

Its stores find what is an account's without looking through all others' (emulator_stores.py).

It reads all streams of all accounts in one thread, and waits there for each function: one that is slow to start, or
hangs until its timeout, kept every other table's records waiting. Here each trigger waits for its own function alone.

It gives a function's log 50 ms to arrive once the function has answered, and 5 ms between two lines. On a busy machine
that is too short: lines then come with the next invocation, and without one never.

It writes the lines of an invocation that outlives its function, and creates the log group anew for them. In AWS nobody
may do that in the name of our functions' roles, and the role is deleted with its function. Here such lines are lost.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import uvicorn  # type: ignore[import-not-found]
from ministack.app import app  # type: ignore[import-not-found]
from ministack.core.lambda_runtime import Worker  # type: ignore[import-not-found]
from ministack.services import dynamodb, lambda_svc  # type: ignore[import-not-found]

sys.path.append(str(Path(__file__).parent))  # the environment has nothing of ours
import emulator_stores  # type: ignore[import-not-found]

logger = logging.getLogger(__name__)

FIRST_LINE_SECONDS, NEXT_LINE_SECONDS, AT_MOST_SECONDS = 1.0, 0.05, 2.0
KEEP_ALIVE_SECONDS = 75  # as MiniStack's own start has it
TRIGGERS_AT_ONCE = 16
Trigger = tuple[str, str, dict[str, Any]]
"""Account, region, and MiniStack's record of the event source mapping."""


class Triggers:
    """MiniStack's poller of table streams, for one trigger at a time in a thread of its own."""

    def __init__(self, poll: Callable[[], bool], every: Callable[[], Iterator[Trigger]]) -> None:
        """MiniStack's: `poll` goes through what `every` yields, and returns whether any batch was done with."""
        self._poll, self._every = poll, every
        self._only: ContextVar[Trigger | None] = ContextVar("only", default=None)
        self._threads = ThreadPoolExecutor(TRIGGERS_AT_ONCE, thread_name_prefix="trigger")
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def every(self) -> Iterator[Trigger]:
        only = self._only.get()
        return iter([only]) if only is not None else self._every()

    def poll(self) -> bool:
        """Have every trigger read on that has something to read and does not already. Never waits for one."""
        for trigger in self._every():
            name = trigger[2]["UUID"]
            with self._lock:
                if name in self._busy or not has_records(trigger):
                    continue
                self._busy.add(name)
            self._threads.submit(self._poll_one, trigger)
        return False  # whoever is done with a batch wakes the poller

    def _poll_one(self, trigger: Trigger) -> None:
        self._only.set(trigger)
        processed = False
        try:
            processed = self._poll()
        except Exception:
            logger.exception("the records for trigger %s could not be read", trigger[2]["UUID"])
        finally:
            with self._lock:
                self._busy.discard(trigger[2]["UUID"])
            if processed:
                lambda_svc.esm_wake.set()


def has_records(trigger: Trigger) -> bool:
    """Whether its table's stream holds records that it has not read, and it may read them now."""
    account, region, mapping = trigger
    source = str(mapping.get("EventSourceArn", "")).split("/")
    if not mapping.get("Enabled", True) or len(source) < 4:
        return False
    key = (account, region, mapping["UUID"])
    if lambda_svc._esm_backoff_until._data.get(key, 0.0) > time.time():
        return False
    read: int | None = lambda_svc._dynamodb_stream_positions._data.get(key)
    end: int = dynamodb.stream_end_position(source[1], account_id=account, region=region)
    return read is None or read < end


def of_existing_functions(write: Callable[..., None]) -> Callable[..., None]:
    """MiniStack's own way to write an invocation's lines, for functions that have not been deleted meanwhile."""

    def written(function: dict[str, Any], *arguments: Any, **more: Any) -> None:
        if (function.get("config") or function).get("FunctionName") in lambda_svc._functions:
            write(function, *arguments, **more)

    return written


def main() -> None:
    """Serve until SIGTERM. BIND_HOST and GATEWAY_PORT say where, as they do to MiniStack's own start."""
    Worker._drain_stderr_bounded.__defaults__ = (FIRST_LINE_SECONDS, NEXT_LINE_SECONDS, AT_MOST_SECONDS)
    emulator_stores.find_by_account()
    triggers = Triggers(lambda_svc._poll_dynamodb_streams, lambda_svc._iter_all_esms)
    lambda_svc._iter_all_esms, lambda_svc._poll_dynamodb_streams = triggers.every, triggers.poll
    lambda_svc._emit_lambda_logs = of_existing_functions(lambda_svc._emit_lambda_logs)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvicorn.run(
        app, host=os.environ["BIND_HOST"], port=int(os.environ["GATEWAY_PORT"]), http="httptools", loop="asyncio",
        ws="none", access_log=False, log_level="warning", server_header=False, date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=1,
    )  # fmt: skip


if __name__ == "__main__":
    main()
