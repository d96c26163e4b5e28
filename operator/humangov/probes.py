"""Liveness and readiness over HTTP: not whether the process turns, but whether the queue moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

LONGEST_RUN_SECONDS = 300.0  # a pass takes seconds; each of its calls has a time-out
LONGEST_STANDSTILL_SECONDS = 300.0  # while AWS is ill passes are slow, but they end


@dataclass(frozen=True, kw_only=True)
class Health:
    """`ready`: the resources have been listed and are watched. `problem`: why the process should be restarted."""

    ready: bool
    problem: str | None


def judge(*, longest_run_seconds: float, standstill_seconds: float, ready: bool, died: bool) -> Health:
    """What the probes answer. Pure."""
    problem = None
    if died:
        problem = "a worker of the queue has ended"
    elif longest_run_seconds > LONGEST_RUN_SECONDS:
        problem = f"a pass has been running for {longest_run_seconds:.0f} s"
    elif standstill_seconds > LONGEST_STANDSTILL_SECONDS:
        problem = f"tenants wait, and no pass has ended for {standstill_seconds:.0f} s"
    return Health(ready=ready, problem=problem)


async def serve(health: Callable[[], Health], *, host: str, port: int) -> web.AppRunner:
    """/healthz and /readyz, answering 200 or 503 with a sentence. Raises OSError if the port is taken."""

    async def healthz(_: web.Request) -> web.Response:
        problem = health().problem
        return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")

    async def readyz(_: web.Request) -> web.Response:
        ready = health().ready
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else "not watching yet\n")

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
