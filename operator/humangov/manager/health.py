"""Liveness, readiness and metrics over HTTP. Liveness is not whether the process turns, but whether the queue moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from humangov.manager.metrics import Metrics

LONGEST_RUN_SECONDS = 300.0  # a reconcile takes seconds; each of its calls has a time-out
LONGEST_STANDSTILL_SECONDS = 300.0  # while AWS is unavailable reconciliations are slow, but they end


@dataclass(frozen=True, kw_only=True)
class Health:
    """ready: it is the leader, or can take over. problem: why it should restart. activity: what it is doing."""

    ready: bool
    problem: str | None
    activity: str | None = None


def judge(*, longest_run_seconds: float, standstill_seconds: float, ready: bool, died: bool) -> Health:
    """What the probes answer. Pure."""
    problem = None
    if died:
        problem = "a worker of the work queue has ended"
    elif longest_run_seconds > LONGEST_RUN_SECONDS:
        problem = f"a reconciliation has been running for {longest_run_seconds:.0f} s"
    elif standstill_seconds > LONGEST_STANDSTILL_SECONDS:
        problem = f"HumanGovStates are due, but no reconciliation has ended for {standstill_seconds:.0f} s"
    return Health(ready=ready, problem=problem)


def judge_candidate(*, standby: bool, trouble: str | None) -> Health:
    """What the probes answer before it is the leader: a standby can take over, unless there is trouble. Pure."""
    activity = f"not the leader: {trouble}" if trouble else "standby" if standby else None
    return Health(ready=standby and not trouble, problem=None, activity=activity)


async def serve(health: Callable[[], Health], metrics: Metrics, *, host: str, port: int) -> web.AppRunner:
    """/healthz and /readyz, answering 200 or 503 with a sentence, and /metrics. Raises OSError if the port is taken.

    /metrics is in the format that is asked for: OpenMetrics, or Prometheus' own.
    """

    async def healthz(_: web.Request) -> web.Response:
        problem = health().problem
        return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")

    async def readyz(_: web.Request) -> web.Response:
        now = health()
        answer = now.activity or ("ok" if now.ready else "not watching yet")
        return web.Response(status=200 if now.ready else 503, text=f"{answer}\n")

    application = web.Application()
    application.add_routes([
        web.get("/healthz", healthz), web.get("/readyz", readyz),
        web.get("/metrics", make_aiohttp_handler(metrics.registry)),
    ])  # fmt: skip
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
