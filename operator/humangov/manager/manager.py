"""The process: connections, probes and leader election; then it works as the leader (leader.py), or begins again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from aiohttp import web

from humangov import __version__
from humangov.aws.budget import Budget
from humangov.aws.resources import InThread
from humangov.aws.sessions import Directory
from humangov.bundle import Bundle, bundle
from humangov.kube.kube import Kube
from humangov.kube.leases import Leases
from humangov.manager import health, memory, watch
from humangov.manager.fence import FencedClients, fence
from humangov.manager.first_calls import StoppedError, first_answer
from humangov.manager.leader import STOP_WORKERS, ExitCode, Leader, stop_on_signals, work
from humangov.manager.leader_election import Election
from humangov.manager.metrics import Metrics
from humangov.manager.process_state import ProcessState
from humangov.manager.run_settings import RunSettings
from humangov.reconcile.cache import Store
from humangov.reconcile.context import Operator
from humangov.reconcile.settings import Settings

logger = logging.getLogger(__name__)

_LONG_RUN_SECONDS = 60.0
_AWS_THREADS_PER_WORKER = 6  # a reconcile reads six parts at once
# By Python's own 5 ms, ten busy threads hold up each step of the event loop by 50 ms, and by far more where others use
# the processor: leaders could not renew their lease in time. bench/event_loop.py compares.
THREAD_SWITCH_SECONDS = 0.001


def run(settings: Settings, run_settings: RunSettings) -> int:
    """Run until a stop signal; the exit code. Raises KubeError if the cluster can't be reached at the start."""
    memory.limit_arenas()
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    pauses, metrics = _Pauses(), Metrics(version=__version__)
    while True:
        stop = asyncio.Event()
        code = asyncio.run(_round(settings, run_settings, metrics, stop, pauses))
        if code is not None:
            return code
        if stop.is_set():
            return 0


class _Pauses:
    """Before a next round: ever longer ones, until a round has been a long one."""

    def __init__(self) -> None:
        self._following = iter(watch.EndlessBackoffs())

    def after(self, seconds: float) -> float:
        if seconds > _LONG_RUN_SECONDS:
            self._following = iter(watch.EndlessBackoffs())
        return next(self._following)


async def _round(
    settings: Settings, run_settings: RunSettings, metrics: Metrics, stop: asyncio.Event, pauses: _Pauses
) -> ExitCode:
    """Live once, and pause if the process goes on.

    A stop signal may come at any moment of it, also when it is settled that the process goes on. Outside of the event
    loop nobody would take it: the first process of a container ignores what it has no handler for.
    """
    stop_on_signals(stop)
    begun = time.monotonic()
    code = await _live(settings, run_settings, metrics, stop)
    if code is None:
        stop_on_signals(stop)  # a watch that ended early may have left kopf's
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=pauses.after(time.monotonic() - begun))
    return code


async def _live(
    settings: Settings, run_settings: RunSettings, metrics: Metrics, stop: asyncio.Event
) -> ExitCode:  # fmt: skip
    """From the first connection to the last: standby until this process holds the lease, then work."""
    leases = Leases()  # with connections of their own: a renewal must not wait for reconciles
    election = _election(leases, run_settings)
    before_write = fence(election)
    kube = Kube(identity=socket.gethostname(), before_write=before_write)
    store = Store(default_region=settings.region)
    budget = Budget(
        share=run_settings.aws_limits_share, waited=metrics.waited, published=run_settings.aws_limits_published
    )  # fmt: skip
    metrics.budget = budget.use
    directory = Directory(
        partial(FencedClients, before_write=before_write, called=metrics.called, budget=budget), known=store.__iter__
    )
    executor = ThreadPoolExecutor(run_settings.workers * _AWS_THREADS_PER_WORKER, thread_name_prefix="aws")
    stop_executor = ThreadPoolExecutor(STOP_WORKERS, thread_name_prefix="aws-stop")
    state = ProcessState(election=election, store=store)
    metrics.gauges = state.gauges
    probes: web.AppRunner | None = None
    code: ExitCode = 0
    try:
        if run_settings.probe_port is not None:
            probes = await health.serve(
                state.health, metrics, host=run_settings.probe_host, port=run_settings.probe_port
            )
        if run_settings.cluster_name is None:
            store.cluster_uid = await first_answer(kube.cluster_uid, stop=stop)
        cluster = run_settings.cluster_name or str(store.cluster_uid)
        # All that takes the processor comes before the lease: who holds it has to renew it in time.
        _, code_of_function = await asyncio.gather(
            asyncio.to_thread(directory.of_region(settings.region).warm), asyncio.to_thread(bundle)
        )  # fmt: skip
        memory.settle()
        if election is not None and not await election.acquire(stop=stop):
            logger.info("stopped")
            return 0
        operator = _operator(settings, cluster, kube, store, directory, executor, metrics, code_of_function)
        leader = Leader(
            operator=operator, kube=kube, run_settings=run_settings, state=state, of_region=directory.of_region,
            count=metrics.reconciled, stop=stop, in_thread_of_stops=_in(stop_executor), budget=budget,
        )  # fmt: skip
        code = await work(leader)
        return code
    except StoppedError:
        logger.info("stopped")
        return 0
    finally:
        if probes is not None:
            await probes.cleanup()
        await leases.close()
        await kube.close()
        # What is still being asked of AWS must not come into the next round.
        for one in (executor, stop_executor):
            one.shutdown(wait=code is None and not stop.is_set(), cancel_futures=True)


def _operator(
    settings: Settings,
    cluster: str,
    kube: Kube,
    store: Store,
    directory: Directory,
    executor: ThreadPoolExecutor,
    metrics: Metrics,
    code_of_function: Bundle,
) -> Operator:
    return Operator(
        settings=settings,
        cluster=cluster,
        bundle=code_of_function,
        kube=kube,
        store=store,
        clients_for=directory.of_tenant,
        in_thread=_in(executor),
        monotonic=time.monotonic,
        started_at=time.monotonic(),
        became_ready=metrics.became_ready,
    )


def _in(executor: ThreadPoolExecutor) -> InThread[Any]:
    return lambda call: asyncio.get_running_loop().run_in_executor(executor, copy_context().run, call)


def _election(leases: Leases, run_settings: RunSettings) -> Election | None:
    if run_settings.lease_namespace is None:
        return None
    # A container that is restarted in its pod is another candidate: the lease of the one before may not be its own.
    identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
    return Election(
        leases=leases,
        namespace=run_settings.lease_namespace,
        identity=identity,
        rng=random.Random(),  # noqa: S311 - jitter
    )
