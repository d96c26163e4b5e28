"""What the leader does: fill the cache; then watch, workers and monitors, until a stop signal, or it can't go on."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

from humangov.api.spec import PLURAL
from humangov.api.stop import STOP_CONFIG_MAP, stop_of_all
from humangov.aws.budget import Budget
from humangov.aws.clients import Clients
from humangov.aws.resources import InThread
from humangov.kube.client import KubeError
from humangov.kube.kube import Kube
from humangov.manager import at_start, cluster_uid, code_rollout_monitor, enqueue, memory, monitors, watch
from humangov.manager.enqueue import Queues
from humangov.manager.fence import end_process
from humangov.manager.first_calls import StoppedError, first_answer
from humangov.manager.leader_election import Election
from humangov.manager.process_state import ProcessState
from humangov.manager.reconciliations import CountReconcile, Running, runner
from humangov.manager.run_settings import RunSettings
from humangov.manager.workqueue import Lane, Schedule, Workers
from humangov.reconcile.context import Operator
from humangov.reconcile.ripening import Wake
from humangov.reconcile.stop import obey_at_once

logger = logging.getLogger(__name__)

STOP_GRACE_SECONDS = 18.0  # of the 20 within which the process must end
STOP_WORKERS = 8  # with threads of their own: a stop must not wait for a reconcile

ExitCode = int | None  # None: the process does not end, everything in it restarts


@dataclass(frozen=True, kw_only=True)
class Leader:
    """What the leader works with."""

    operator: Operator
    kube: Kube
    run_settings: RunSettings
    state: ProcessState
    of_region: Callable[[str], Clients]
    count: CountReconcile
    stop: asyncio.Event
    in_thread_of_stops: InThread[Any]
    budget: Budget | None = None


@dataclass(frozen=True, kw_only=True)
class _Hold:
    """Our hold on the lease while we work."""

    election: Election
    renewing: asyncio.Task[str]  # ends, with the reason, when the hold is lost

    async def hand_over(self) -> None:
        """Release the lease, now that nothing is written any more."""
        self.renewing.cancel()
        await asyncio.wait({self.renewing})
        await self.election.release()


async def work(leader: Leader) -> ExitCode:
    """What the leader does, until it receives a stop signal, loses the lease, or the watch ends.

    Raises KubeError, and StoppedError before it has begun.
    """
    state, stop = leader.state, leader.stop
    hold = _hold(state.election)
    try:
        await _fill_cache(leader)
    except (KubeError, StoppedError):
        if hold is not None:
            await hold.hand_over()
        raise
    memory.settle()
    queues = await _start_queues(leader)
    watch_stop = asyncio.Event()
    watching = watch.start(
        namespaces=leader.operator.settings.namespaces,
        on_event=partial(enqueue.on_event, leader.operator.store, queues),
        stop=watch_stop, ready=state.watching,
    )  # fmt: skip
    # Begun in one go with the watch, without a wait between: with kopf end all tasks that are begun after it.
    beside = [
        asyncio.create_task(_started(leader)),
        *monitors.start(
            leader.operator, leader.kube, queues, state,
            of_region=leader.of_region, resync_seconds=leader.run_settings.resync_seconds,
        ),
    ]  # fmt: skip
    await _first_end(watching, stop, hold)
    if hold is not None and hold.renewing.done():
        await _end_without_lease(hold, queues)
    code = 0 if stop.is_set() or not watching.done() else _code_of_watch(watching)
    abandoned = await _stop_working(queues, hold, watching, watch_stop, beside)
    if abandoned:
        ending = 0 if stop.is_set() else 1  # the stop signal may have come after the watch's end
        end_process(ending if code is None else code)
    return code


def _hold(election: Election | None) -> _Hold | None:
    return _Hold(election=election, renewing=asyncio.create_task(election.keep())) if election is not None else None


async def _fill_cache(leader: Leader) -> None:
    """All are known before the first reconcile: who is the older of two must not depend on the order of events.

    And it is known that they may be watched. Raises KubeError, StoppedError.
    """
    namespaces, stop = leader.operator.settings.namespaces, leader.stop
    own = leader.operator.settings.own_namespace
    await first_answer(lambda: cluster_uid.read(leader.operator, leader.kube), stop=stop)
    found = await first_answer(lambda: leader.kube.read_config_map(own, STOP_CONFIG_MAP), stop=stop)
    leader.operator.store.stop_of_all = stop_of_all(found)  # unread is not absent: nothing may be started by mistake
    rollout = await first_answer(lambda: code_rollout_monitor.load(leader.operator, leader.kube), stop=stop)
    leader.operator.store.code_rollout = rollout
    listed = await first_answer(lambda: leader.kube.list_resources(namespaces), stop=stop, waits_for_definition=True)
    for resource in listed:
        leader.operator.store.put(resource)
    await first_answer(lambda: leader.kube.require_watch(namespaces), stop=stop, waits_for_definition=True)


async def _start_queues(leader: Leader) -> Queues:
    """With every tenant that is known on both: a stop may have come while no operator ran, which waits for nothing."""

    async def wake(one: Wake) -> None:
        await workers.add(one.key, lane=Lane.SLOW, delay=one.delay)

    schedule = Schedule(resync_seconds=leader.run_settings.resync_seconds, rng=random.Random())  # noqa: S311 - jitter
    running, operator = Running(), replace(leader.operator, wake=wake)
    workers = Workers(
        schedule=schedule,
        run=runner(operator, schedule, count=leader.count, budget=leader.budget, running=running),
        hurry=running.hurry,
        count=leader.run_settings.workers,
        clock=time.monotonic,
    )
    stops = Workers(
        schedule=Schedule(resync_seconds=leader.run_settings.resync_seconds),
        run=partial(
            obey_at_once,
            replace(leader.operator, in_thread=leader.in_thread_of_stops),
            ask_for_reconcile=partial(workers.add, lane=Lane.FAST),
        ),
        count=STOP_WORKERS,
        clock=time.monotonic,
    )
    queues = Queues(workers=workers, stops=stops)
    leader.state.queues = queues
    for key in leader.operator.store:
        await stops.add(key, lane=Lane.FAST)
    for first in at_start.first_runs(
        leader.operator.store, settings=leader.operator.settings, cluster=leader.operator.cluster,
        resync_seconds=leader.run_settings.resync_seconds, rng=schedule.rng,
    ):  # fmt: skip
        await workers.add(first.key, lane=first.lane, delay=first.delay)
    stops.start()
    workers.start()
    return queues


async def _stop_queues(queues: Queues, *, grace_seconds: float) -> list[str]:
    """The keys whose runs were abandoned."""
    abandoned = await asyncio.gather(
        queues.workers.stop(grace_seconds=grace_seconds), queues.stops.stop(grace_seconds=grace_seconds)
    )
    return list(dict.fromkeys(key for keys in abandoned for key in keys))


async def _started(leader: Leader) -> None:
    """Take the signals over before and after kopf does, which would answer one by cancelling reconciles in mid-call."""
    stop_on_signals(leader.stop)
    await leader.state.watching.wait()
    stop_on_signals(leader.stop)
    settings, run_settings = leader.operator.settings, leader.run_settings
    logger.info(
        "watching %s in %s; cluster %s, region %s, resync every %.0f s, %d workers",
        PLURAL, ", ".join(settings.namespaces) or "all namespaces", leader.operator.cluster, settings.region,
        run_settings.resync_seconds, run_settings.workers,
    )  # fmt: skip


def stop_on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _first_end(watching: asyncio.Task[None], stop: asyncio.Event, hold: _Hold | None) -> None:
    """Wait for whatever comes first: the watch ends, the process receives a stop signal, the lease is lost."""
    stopped = asyncio.create_task(stop.wait())
    ends: set[asyncio.Task[Any]] = {watching, stopped} | ({hold.renewing} if hold is not None else set())
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()


async def _end_without_lease(hold: _Hold, queues: Queues) -> NoReturn:
    """The process ends while nobody else can hold the lease yet."""
    renewing = hold.renewing
    why = renewing.result() if not renewing.cancelled() and not renewing.exception() else _why(renewing)
    logger.error("%s; the process ends, because only the leader may work", why)
    await _stop_queues(queues, grace_seconds=hold.election.seconds_left())
    end_process(1)


def _code_of_watch(watching: asyncio.Task[None]) -> ExitCode:
    """What follows from the end of the watch, with which all tasks ended that were begun after it."""
    again = not watching.cancelled() and watch.restarts_after(watching.exception())
    what = "the operator restarts it" if again else "the process ends too, to be restarted"
    logger.error("the watch has ended: %s; %s", _why(watching), what)
    return None if again else 1


async def _stop_working(
    queues: Queues,
    hold: _Hold | None,
    watching: asyncio.Task[None],
    watch_stop: asyncio.Event,
    beside: Collection[asyncio.Task[None]],
) -> list[str]:
    """Let reconciles end, stop the monitors, then release the lease; the keys whose reconciles were abandoned.

    Monitors write too: one that did so while the lease is released would end the process as if it had lost it.
    """
    started = time.monotonic()
    abandoned = await _stop_queues(queues, grace_seconds=STOP_GRACE_SECONDS)
    for task in beside:
        task.cancel()
    if beside:
        await asyncio.wait(beside, timeout=1)
    if abandoned:
        logger.warning(
            "stopped during the reconciliation of %s; it is repeated at the next start", ", ".join(abandoned)
        )
    elif hold is not None:
        await hold.hand_over()
    watch_stop.set()
    await asyncio.wait({watching}, timeout=max(1.0, STOP_GRACE_SECONDS - (time.monotonic() - started)))
    logger.info("stopped")
    return abandoned


def _why(task: asyncio.Task[Any]) -> str:
    error = None if task.cancelled() else task.exception()
    return f"{type(error).__name__}: {error}" if error else "no error was given"
