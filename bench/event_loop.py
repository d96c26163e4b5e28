"""Delay of the operator's event loop beside threads that compute, by Python's switch interval.

The event loop renews the lease, answers probes and follows the watch. In threads of this process, without a sandbox.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable

from humangov.manager.manager import THREAD_SWITCH_SECONDS

from bench.measure import Report, Spread, Table

PYTHONS_OWN_SECONDS = 0.005
SLEEP_SECONDS = 0.01


def run(*, say: Callable[[str], None], threads: int, times: int) -> Report:
    before = sys.getswitchinterval()
    late = {}
    try:
        for interval in (PYTHONS_OWN_SECONDS, THREAD_SWITCH_SECONDS):
            say(f"{threads} busy threads, a switch interval of {interval * 1000:g} ms")
            late[interval] = late_seconds(interval, threads=threads, times=times)
    finally:
        sys.setswitchinterval(before)
    rows = [
        (f"{interval * 1000:g} ms", *(f"{seconds * 1000:.1f}" for seconds in (found.low, found.median, found.high)))
        for interval, found in late.items()
    ]
    table = Table(
        f"Delay of the event loop beside {threads} busy threads", ("INTERVAL", "MIN", "MEDIAN", "MAX ms"), rows
    )
    figures = {
        "late_ms": {f"{interval * 1000:g}": found.median * 1000 for interval, found in late.items()},
        "times_as_soon": late[PYTHONS_OWN_SECONDS].median / late[THREAD_SWITCH_SECONDS].median,
    }
    return Report([table], [], figures)


def late_seconds(interval: float, *, threads: int, times: int) -> Spread:
    sys.setswitchinterval(interval)
    end = threading.Event()

    def compute() -> None:
        while not end.is_set():
            sum(number * number for number in range(2_000))

    busy = [threading.Thread(target=compute) for _ in range(threads)]
    for thread in busy:
        thread.start()
    try:
        return Spread(asyncio.run(_wake_ups(times)))
    finally:
        end.set()
        for thread in busy:
            thread.join()


async def _wake_ups(times: int) -> tuple[float, ...]:
    late = []
    for _ in range(times):
        due = time.monotonic() + SLEEP_SECONDS
        await asyncio.sleep(SLEEP_SECONDS)
        late.append(time.monotonic() - due)
    return tuple(late)
