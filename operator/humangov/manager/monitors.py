"""Periodic tasks beside the queue: everything is listed, leaks and stream lag are checked."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from humangov.api.stop import STOP_CONFIG_MAP, stop_of_all
from humangov.aws.clients import Clients
from humangov.kube.client import KubeError
from humangov.kube.config_maps import ConfigMaps
from humangov.kube.kube import Kube
from humangov.kube.tenants import Tenants
from humangov.manager import (
    bulk_read_monitor,
    cluster_uid,
    code_rollout_monitor,
    enqueue,
    erasure_limit_monitor,
    leak_monitor,
    memory,
    stream_lag_monitor,
    sweep_queue,
)
from humangov.manager.enqueue import Queues
from humangov.manager.process_state import ProcessState
from humangov.manager.workqueue import Lane
from humangov.reconcile.cache import key_of
from humangov.reconcile.context import Operator

logger = logging.getLogger(__name__)

LEAKS_SECONDS = 3600.0
STREAM_LAG_SECONDS = 300.0
ERASURE_LIMIT_SECONDS = 300.0
SWEEP_QUEUE_SECONDS = 3.0
CODE_ROLLOUT_SECONDS = 10.0
MEMORY_SECONDS = 300.0
STOP_SECONDS = 1.5
"""A stop of all has to be obeyed within five."""


def start(
    operator: Operator,
    kube: Kube,
    queues: Queues,
    state: ProcessState,
    *,
    of_region: Callable[[str], Clients],
    resync_seconds: float,
) -> list[asyncio.Task[None]]:
    """Every monitor as a task of its own; what it finds goes into the state."""

    async def check_leaks() -> None:
        state.leaks = await leak_monitor.check(
            operator, state.leaks, of_region=of_region, list_states=kube.list_resources
        )

    async def check_stream_lag() -> None:
        state.stream_lags = await stream_lag_monitor.check(
            operator, state.stream_lags, ask_for_reconcile=partial(queues.workers.add, lane=Lane.SLOW)
        )

    async def check_erasure_limit() -> None:
        state.erasure_limits = await erasure_limit_monitor.check(
            operator, state.erasure_limits, ask_for_reconcile=partial(queues.workers.add, lane=Lane.FAST)
        )

    async def check_code_rollout() -> None:
        state.code_rollout = await code_rollout_monitor.check(
            operator, kube, state.code_rollout,
            ask_for_reconcile=partial(queues.workers.add, lane=Lane.FAST),
            ask_to_look=partial(queues.workers.add, lane=Lane.SLOW),
        )  # fmt: skip

    check_sweep_queue = partial(_check_sweep_queue, operator, kube, queues, state)
    check_bulk_reads = partial(_check_bulk_reads, operator, queues, state, resync_seconds)
    watched = partial(every, after=state.watching)
    monitors = (
        *_of_api_server(operator, kube, queues, resync_seconds=resync_seconds),
        watched(LEAKS_SECONDS, check_leaks, trouble="the check for leaked AWS resources failed", at_once=True),
        watched(resync_seconds, check_bulk_reads, trouble="the bulk reads failed"),
        watched(STREAM_LAG_SECONDS, check_stream_lag, trouble="the check of the stream lag failed"),
        watched(
            ERASURE_LIMIT_SECONDS, check_erasure_limit, trouble="the check of the erasure limits failed", at_once=True
        ),
        watched(
            CODE_ROLLOUT_SECONDS, check_code_rollout, trouble="the rollout of the function's code failed", at_once=True
        ),
        watched(MEMORY_SECONDS, _give_back_memory, trouble="giving back memory failed"),
        watched(
            SWEEP_QUEUE_SECONDS, check_sweep_queue, trouble="the check of the sweeps that wait failed", at_once=True
        ),
    )  # fmt: skip
    return [asyncio.create_task(monitor) for monitor in monitors]


async def _give_back_memory() -> None:
    await asyncio.to_thread(memory.give_back)


def _of_api_server(
    operator: Operator, kube: Kube, queues: Queues, *, resync_seconds: float
) -> tuple[Coroutine[Any, Any, None], ...]:
    """What is read of it beside the watch."""
    return (
        every(
            STOP_SECONDS, partial(read_stop_of_all, operator, kube, queues), trouble="reading the stop of all failed",
        ),
        every(
            resync_seconds, partial(relist, operator, kube, queues, again_seconds=resync_seconds),
            trouble="the periodic list of HumanGovStates failed",
        ),
        every(resync_seconds, partial(cluster_uid.read_again, operator, kube), trouble="the cluster's UID is unread"),
    )  # fmt: skip


async def _check_sweep_queue(operator: Operator, kube: Kube, queues: Queues, state: ProcessState) -> None:
    if operator.settings.sweep_template is not None:
        state.sweep_queue = await sweep_queue.check(
            operator, kube, state.sweep_queue, ask_for_reconcile=partial(queues.workers.add, lane=Lane.SLOW)
        )


async def _check_bulk_reads(
    operator: Operator, queues: Queues, state: ProcessState, resync_seconds: float
) -> None:  # fmt: skip
    state.bulk_reads = await bulk_read_monitor.check(
        operator, state.bulk_reads, ask_for_reconcile=partial(queues.workers.add, lane=Lane.SLOW),
        resync_seconds=resync_seconds,
    )  # fmt: skip


async def every(
    seconds: float,
    do: Callable[[], Awaitable[None]],
    *,
    trouble: str,
    after: asyncio.Event | None = None,
    at_once: bool = False,
) -> None:
    """Do it forever, about every so many seconds. A bug in it must not end the process: it is logged.

    trouble: the log message then. after: nothing is done before this. at_once: the first time without waiting.
    """
    if after is not None:
        await after.wait()
    if not at_once:
        await _pause(seconds)
    while True:
        try:
            await do()
        except Exception:
            logger.exception(trouble)
        await _pause(seconds)


async def read_stop_of_all(operator: Operator, kube: ConfigMaps, queues: Queues) -> None:
    """Whether all are stopped; what is not read stays as it was."""
    namespace = operator.settings.own_namespace
    try:
        found = await kube.read_config_map(namespace, STOP_CONFIG_MAP)
    except KubeError as error:
        logger.warning("%s; what was read last still counts, and it is read again in a moment", error)
        return
    await enqueue.on_stop_of_all(operator.store, queues, stop_of_all(found))


async def relist(operator: Operator, kube: Tenants, queues: Queues, *, again_seconds: float) -> None:
    """List everything, for a watch may miss two things.

    What was removed during a gap in it has no event of deletion. And after an upgrade of the definition it goes on for
    minutes with the old one: a new field is cut out of what it brings.
    """
    known = operator.store.uids()  # before the list: what appears after it, perhaps by the same name, is not missing
    try:
        listed = await kube.list_resources(operator.settings.namespaces)
    except KubeError as error:
        logger.warning("%s; retried in %.0f s", error, again_seconds)
        return
    for resource in listed:
        await enqueue.on_resource(operator.store, queues, resource)
    for key in known.keys() - {key_of(resource) for resource in listed}:
        if operator.store.drop(key, uid=known[key]):
            await queues.workers.add(key, lane=Lane.SLOW)


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
