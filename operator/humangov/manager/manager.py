"""kopf in front of the queue: settings, election, login, event → queue, probes, shutdown.

kopf owns the watch and its reconnects. Its handlers for changes are not used: they keep state on the resource. The one
low-level handler here puts a key on the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import random
import secrets
import signal
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn

import kopf
from kopf._cogs.clients.errors import APIError
from kopf._cogs.clients.watching import WatchingError

from humangov import __version__, logs
from humangov.api.conditions import OWN_CONDITIONS
from humangov.api.conflicts import shared
from humangov.api.spec import FINALIZER, GROUP, PLURAL, RECONCILE_ANNOTATION, SWEEP_ANNOTATION, VERSION
from humangov.aws.clients import Clients
from humangov.aws.sessions import Directory
from humangov.bundle import bundle
from humangov.kube import client
from humangov.kube.kube import Kube
from humangov.kube.leases import Leases
from humangov.manager import health, stream_lag_monitor
from humangov.manager.leader_election import Election
from humangov.manager.leak_monitor import EVERY_SECONDS, Lookout, look
from humangov.manager.metrics import Metrics, Standing
from humangov.manager.stream_lag_monitor import Delivery
from humangov.manager.workqueue import Lane, Schedule, Workers
from humangov.reconcile.cache import Store, key_of
from humangov.reconcile.context import Operator
from humangov.reconcile.outcome import Outcome
from humangov.reconcile.reconciler import reconcile
from humangov.reconcile.settings import Settings

logger = logging.getLogger(__name__)

Passed = Callable[..., None]  # Metrics.passed
STOP_GRACE_SECONDS = 18.0  # of the 20 within which the process is to end
START_PATIENCE_SECONDS = 60.0  # with an API server that is ill at the start
_AGAIN = -1  # instead of an exit code: the same process begins anew
_LONG_LIFE_SECONDS = 60.0
_AWS_THREADS_PER_WORKER = 6  # a pass reads six parts at once


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How the process runs, beside what it does."""

    cluster_name: str | None
    resync_seconds: float
    workers: int
    probe_host: str
    probe_port: int | None  # None: no probes
    lease_namespace: str | None  # None: no election, for there is no other operator


def run(settings: Settings, run_settings: RunSettings) -> int:
    """Run until told to stop; the exit code. Raises KubeError if the cluster can't be reached at the start."""
    pauses, metrics = iter(_EndlessBackoffs()), Metrics(version=__version__)
    while True:
        begun = time.monotonic()
        code = asyncio.run(_main(settings, run_settings, metrics))
        if code != _AGAIN:
            return code
        if time.monotonic() - begun > _LONG_LIFE_SECONDS:
            pauses = iter(_EndlessBackoffs())
        time.sleep(next(pauses))


@dataclass
class _Life:
    """How far this process has come, as its probes see it."""

    election: Election | None
    watching: asyncio.Event = field(default_factory=asyncio.Event)
    workers: Workers | None = None  # None: not at work yet
    lookout: Lookout = field(default_factory=Lookout)
    delivery: Delivery = field(default_factory=Delivery)
    store: Store | None = None

    def standing(self) -> Standing:
        now, schedule = time.monotonic(), self.workers.schedule if self.workers is not None else None
        if schedule is None or self.store is None:
            return Standing()
        return Standing(
            leading=True,
            waiting=schedule.waiting(now=now),
            running=len(schedule.running()),
            longest_wait_seconds=max(0.0, schedule.longest_wait_seconds(now=now)),
            tenants=_by_condition(self.store),
            lost_tenants=self.lookout.lost,
            delivered=self.delivery.delivered,
        )

    def health(self) -> health.Health:
        if self.workers is None:
            return health.judge_candidate(
                standing_by=self.election is not None and self.election.standing_by,
                trouble=self.election.trouble if self.election is not None else None,
            )
        return health.judge(
            longest_run_seconds=self.workers.schedule.longest_run_seconds(now=time.monotonic()),
            standstill_seconds=self.workers.schedule.standstill_seconds(now=time.monotonic()),
            ready=self.watching.is_set(),
            died=self.workers.died(),
        )


async def _main(settings: Settings, run_settings: RunSettings, metrics: Metrics) -> int:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    leases = Leases()  # with connections of its own: a renewal must not wait for passes
    election = _election(leases, run_settings)
    before_write = _fence(election)
    api = Kube(identity=socket.gethostname(), before_write=before_write)
    store = Store(default_region=settings.region)
    directory = Directory(partial(_Fenced, before_write=before_write, called=metrics.called), known=store.__iter__)
    executor = ThreadPoolExecutor(run_settings.workers * _AWS_THREADS_PER_WORKER, thread_name_prefix="aws")
    life, runner, code = _Life(election, store=store), None, 0
    metrics.standing = life.standing
    try:
        if run_settings.probe_port is not None:
            runner = await health.serve(
                life.health, metrics, host=run_settings.probe_host, port=run_settings.probe_port
            )
        cluster = run_settings.cluster_name or await api.cluster_uid()
        warming = asyncio.get_running_loop().run_in_executor(None, directory.of_region(settings.region).warm)
        if election is not None and not await election.acquire(stop=stop):
            logger.info("stopped")
            return 0
        operator = Operator(
            settings=settings,
            cluster=cluster,
            bundle=bundle(),
            kube=api,
            store=store,
            clients_for=directory.of_tenant,
            in_thread=lambda call: asyncio.get_running_loop().run_in_executor(executor, copy_context().run, call),
            monotonic=time.monotonic,
            started_at=time.monotonic(),
            became_ready=metrics.became_ready,
        )
        code = await _work(
            operator, api, run_settings, life, directory.of_region, metrics.passed, warming=warming, stop=stop
        )
        return code
    finally:
        if runner is not None:
            await runner.cleanup()
        await leases.close()
        await api.close()
        # What is still being asked of AWS must not come into the next round.
        executor.shutdown(wait=code == _AGAIN, cancel_futures=True)


async def _work(
    operator: Operator,
    api: Kube,
    run_settings: RunSettings,
    life: _Life,
    of_region: Callable[[str], Clients],
    passed: Passed,
    *,
    warming: asyncio.Future[None],
    stop: asyncio.Event,
) -> int:
    election, watching = life.election, life.watching
    keeping = asyncio.create_task(election.keep()) if election is not None else None
    try:
        # All are known before the first pass: who is the older of two must not depend on the order of events.
        for resource in await _first_list(api, operator.settings.namespaces, stop):
            operator.store.put(resource)
        await api.require_watch(operator.settings.namespaces)
    except client.KubeError:
        await _hand_over(election, keeping)
        raise
    await warming
    schedule = Schedule(resync_seconds=run_settings.resync_seconds, rng=random.Random())  # noqa: S311 - jitter
    workers = Workers(
        schedule=schedule, run=_pass(operator, schedule, passed), count=run_settings.workers, clock=time.monotonic
    )
    workers.start()
    life.workers = workers
    for key in operator.store:
        await workers.add(key, lane=Lane.SLOW)
    watch_stop = asyncio.Event()
    watch = asyncio.create_task(
        kopf.operator(
            registry=_registry(operator, workers),
            settings=_kopf_settings(),
            standalone=True,
            clusterwide=not operator.settings.namespaces,
            namespaces=operator.settings.namespaces,
            stop_flag=watch_stop,
            ready_flag=watching,
            # Else kopf looks for the user's name, and the image's user has none.
            identity=socket.gethostname(),  # type: ignore[arg-type] # the type is not public
        ),
        name="watch",
    )
    starting = asyncio.create_task(_started(operator, run_settings, stop, watching))
    pruning = asyncio.create_task(_look_again(operator, workers, api, every_seconds=run_settings.resync_seconds))
    looking_out = asyncio.create_task(_look_out(operator, api, life, of_region))
    delivering = asyncio.create_task(_look_at_delivery(operator, workers, life))
    stopped = asyncio.create_task(stop.wait())
    ends: set[asyncio.Task[Any]] = {watch, stopped} | ({keeping} if keeping is not None else set())
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if election is not None and keeping is not None and keeping.done():
        why = keeping.result() if not keeping.cancelled() and not keeping.exception() else _why(keeping)
        logger.error("%s; the process ends, so that one operator works and no more", why)
        await workers.stop(grace_seconds=election.seconds_left())
        _end(1)
    code = 0
    if watch.done() and not stop.is_set():
        # With kopf all tasks end that were begun after it, so nothing goes on as it was.
        again = not watch.cancelled() and _passes(watch.exception())
        what = "everything begins anew" if again else "the process ends too, to be restarted"
        logger.error("the watch has ended: %s; %s", _why(watch), what)
        code = _AGAIN if again else 1
    started = time.monotonic()
    abandoned = await workers.stop(grace_seconds=STOP_GRACE_SECONDS)
    if abandoned:
        logger.warning(
            "stopped with passes under way over %s; they are repeated at the next start", ", ".join(abandoned)
        )
    else:
        await _hand_over(election, keeping)
    watch_stop.set()
    stopped.cancel()
    starting.cancel()
    pruning.cancel()
    looking_out.cancel()
    delivering.cancel()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait({watch}, timeout=max(1.0, STOP_GRACE_SECONDS - (time.monotonic() - started)))
    logger.info("stopped")
    if abandoned:
        _end(1 if code == _AGAIN else code)
    return code


def _end(code: int) -> NoReturn:
    """End the process now. A thread may sit in a call for its whole time-out, and the interpreter would wait for it."""
    sys.stderr.flush()
    os._exit(code)


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


def _fence(election: Election | None) -> Callable[[], None]:
    """What comes before every write, in whatever thread. AWS takes writes from two operators as readily as from one."""

    def before_write() -> None:
        if election is not None and not election.holds():
            logger.error("the lease has run out unnoticed, as in a process that was suspended; the process ends")
            _end(1)

    return before_write


async def _hand_over(election: Election | None, keeping: asyncio.Task[str] | None) -> None:
    """Give the lease back, now that nothing is written any more."""
    if election is not None and keeping is not None:
        keeping.cancel()
        await asyncio.wait({keeping})
        await election.give_back()


async def _first_list(api: Kube, namespaces: Sequence[str], stop: asyncio.Event) -> list[client.Resource]:
    """All resources. While there is no definition, as when it is replaced, there is nothing to do. Raises KubeError."""
    deadline, pauses = time.monotonic() + START_PATIENCE_SECONDS, iter(_EndlessBackoffs())
    while True:
        try:
            return await api.list_resources(namespaces)
        except client.KubeError as error:
            ailing = error.status is not None and (error.status == 429 or error.status >= 500)
            passing = error.status == 404 or (ailing and time.monotonic() < deadline)
            if not passing or stop.is_set():
                raise
            remedy = " The definition is not there: kubectl apply --server-side -f crds/"
            logger.warning("%s; tried again.%s", error, remedy if error.status == 404 else "")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=next(pauses))


def _by_condition(store: Store) -> Counter[tuple[str, str, str]]:
    """How many states say what: by type, status and reason of each condition of ours; others write beside them."""
    resources = [resource for key in store if (resource := store.get(key)) is not None]
    return Counter(
        (condition["type"], condition["status"], condition["reason"])
        for resource in resources
        for condition in (resource.get("status") or {}).get("conditions") or ()
        if condition["type"] in OWN_CONDITIONS
    )


def _pass(operator: Operator, schedule: Schedule, passed: Passed) -> Callable[[str], Any]:
    async def run_pass(key: str) -> Outcome:
        logs.tenant.set(key)
        started, worked_on, came_to = time.monotonic(), operator.store.get(key), "bug"
        try:
            outcome = await reconcile(operator, key, failing_seconds=schedule.failing_seconds(key, now=started))
        except client.KubeError as error:
            logger.warning("%s; tried again", error)
            await _refresh(operator, key, error)
            outcome = Outcome(failed=True, soon=True)
            came_to = "kubernetes_failed"
        except asyncio.CancelledError:
            came_to = "abandoned"
            raise
        else:
            came_to = _came_to(outcome)
        finally:
            seconds = time.monotonic() - started
            passed(came_to, seconds=seconds)
            logger.debug("pass ended", extra={"action": "reconcile", "duration_ms": round(seconds * 1000, 1)})
        newest = operator.store.get(key)
        if worked_on is not None and newest is not None and _trigger_of(worked_on) != _trigger_of(newest):
            # Somebody's change came to us in the answer of our own write; its event will then look like nothing new.
            schedule.add(key, now=time.monotonic(), lane=Lane.FAST)
        return outcome

    return run_pass


def _came_to(outcome: Outcome) -> str:
    """A word for metrics."""
    if outcome.forget:
        return "gone"
    if outcome.failed:
        return "retried" if outcome.soon else "needs_person"
    return "settled" if outcome.after is None else "waiting"


async def _refresh(operator: Operator, key: str, error: client.KubeError) -> None:
    """A conflict or an absence says that our copy is old."""
    resource = operator.store.get(key)
    if error.status not in (404, 409) or resource is None:
        return
    try:
        fresh = await operator.kube.read(resource)
    except client.KubeError as unread:
        logger.warning("%s; the next pass goes by the old copy", unread)
        return
    if fresh is None:
        operator.store.drop(key)
    else:
        operator.store.put(fresh)


async def _look_again(operator: Operator, workers: Workers, api: Kube, *, every_seconds: float) -> None:
    """List everything from time to time, for a watch may miss two things.

    What was removed during a gap in it has no event of deletion. And after an upgrade of the definition it goes on for
    minutes with the old one: a new field is cut out of what it brings.
    """
    while True:
        await asyncio.sleep(every_seconds)
        known = set(operator.store)  # before the list: what appears after it is not missing
        try:
            listed = await api.list_resources(operator.settings.namespaces)
        except client.KubeError as error:
            logger.warning("%s; tried again in %.0f s", error, every_seconds)
            continue
        for resource in listed:
            await _seen(operator.store, workers, resource)
        for key in known - {key_of(resource) for resource in listed}:
            operator.store.drop(key)
            await workers.add(key, lane=Lane.SLOW)


async def _look_out(operator: Operator, api: Kube, life: _Life, of_region: Callable[[str], Clients]) -> None:
    """For what is left of tenants that are gone. A mistake in it must not end what the others live by."""
    await life.watching.wait()
    while True:
        try:
            await look(operator, life.lookout, of_region=of_region, list_states=api.list_resources)
        except Exception:
            logger.exception("leftovers could not be looked for")
        await asyncio.sleep(EVERY_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - jitter


async def _look_at_delivery(operator: Operator, workers: Workers, life: _Life) -> None:
    """Whether records reach the functions in time. A mistake in it must not end what the others live by."""
    await life.watching.wait()
    while True:
        await asyncio.sleep(stream_lag_monitor.EVERY_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
        try:
            await stream_lag_monitor.look(operator, life.delivery, ask_for_pass=partial(workers.add, lane=Lane.SLOW))
        except Exception:
            logger.exception("how late records are could not be asked")


def _registry(operator: Operator, workers: Workers) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, errors=kopf.ErrorsMode.TEMPORARY)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _connection()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def on_event(event: Any, body: kopf.Body, **_: Any) -> None:
        await _on_event(operator.store, workers, str(event["type"]), dict(body))

    return registry


async def _on_event(store: Store, workers: Workers, kind: str, resource: client.Resource) -> None:
    """Put the key on the queue if somebody changed what decides anything; our own writes come back here too."""
    key = key_of(resource)
    known = store.get(key)
    if kind == "DELETED":
        if known is not None and known["metadata"]["uid"] != resource["metadata"]["uid"]:
            return  # of a namesake that came before
        freed = _contenders(store, key)
        store.drop(key)
        await workers.add(key, lane=Lane.FAST)
        for other in freed:
            await workers.add(other, lane=Lane.FAST)
        return
    if known is not None and _same_moment(known, resource):
        return  # ours came with an answer, which is never cut by an older definition
    await _seen(store, workers, resource)


async def _seen(store: Store, workers: Workers, resource: client.Resource) -> None:
    """Keep it, and put its key on the queue if that is news which asks for a pass."""
    key = key_of(resource)
    known = store.get(key)
    store.put(resource)
    newest = store.get(key)
    if known is None or newest is None or _asks_for_pass(known, newest):
        await workers.add(key, lane=Lane.FAST)


def _asks_for_pass(known: client.Resource, newest: client.Resource) -> bool:
    # That our finalizer appears is our own doing: its event may come before the answer of the write.
    lost = _has_finalizer(known) and not _has_finalizer(newest)
    return lost or _trigger_of(known) != _trigger_of(newest)


def _same_moment(known: client.Resource, newest: client.Resource) -> bool:
    return all(known["metadata"].get(name) == newest["metadata"].get(name) for name in ("uid", "resourceVersion"))


def _has_finalizer(resource: client.Resource) -> bool:
    return FINALIZER in (resource["metadata"].get("finalizers") or ())


def _trigger_of(resource: client.Resource) -> tuple[Any, ...]:
    """What of a resource asks for a pass at once when it changes."""
    metadata = resource["metadata"]
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        resource.get("spec"),  # the generation alone does not tell a form from which an older definition cut a field
        metadata.get("deletionTimestamp"),
        *((metadata.get("annotations") or {}).get(name) for name in (RECONCILE_ANNOTATION, SWEEP_ANNOTATION)),
        # The sweep's own word, which goes into a condition.
        *((resource.get("status") or {}).get("sweep", {}).get(name) for name in ("run", "result", "filesShared")),
    )


def _contenders(store: Store, key: str) -> list[str]:
    """Tenants that may go ahead once this one is gone."""
    tenants = {tenant.key: tenant for tenant in store.tenants()}
    gone = tenants.pop(key, None)
    return [other for other, tenant in tenants.items() if gone and shared(tenant, gone)]


@dataclass(frozen=True, kw_only=True)
class _Connection(kopf.ConnectionInfo):
    """kopf's, but as lenient about an authority's form as `kube.load_configuration`."""

    def as_ssl_context(self) -> ssl.SSLContext:
        context = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


async def _connection() -> kopf.ConnectionInfo:
    """kopf's credentials from the same source as ours, to be asked for again before a mounted token expires."""
    configuration = await client.load_configuration()
    scheme, _, token = str(configuration.api_key.get("BearerToken", "")).rpartition(" ")
    return _Connection(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=scheme or ("Bearer" if token else None),
        token=token or None,
        expiration=datetime.now(UTC) + timedelta(seconds=client.CREDENTIALS_LAST_SECONDS) if token else None,
    )


class _EndlessBackoffs:
    """Re-iterable and endless: with a finite sequence an API server that is ill for a minute ends the process."""

    def __iter__(self) -> Iterator[float]:
        for attempt in itertools.count():
            yield min(15.0, 0.5 * 2.0 ** min(attempt, 10)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # needs no right to watch definitions and namespaces
    settings.posting.enabled = False  # events are ours
    settings.networking.error_backoffs = _EndlessBackoffs()
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.watching.connect_timeout = 5
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    return settings


def _passes(error: BaseException | None) -> bool:
    """Kopf takes for its end what an API server says in passing.

    That is a line that a dying proxy cut (JSONDecodeError), an error amid the stream (WatchingError), a resource
    version that is too old (410), or a definition that is being replaced (404). Of rights it is to be believed.
    """
    if isinstance(error, APIError):
        return error.status in (404, 410)
    return isinstance(error, json.JSONDecodeError | WatchingError)


async def _started(operator: Operator, run_settings: RunSettings, stop: asyncio.Event, watching: asyncio.Event) -> None:
    """Take the signals over before and after kopf does, which would answer one by cancelling passes in mid-call."""
    _stop_on_signals(stop)
    await watching.wait()
    _stop_on_signals(stop)
    logger.info(
        "watching %s in %s; cluster %s, region %s, resync every %.0f s, %d workers",
        PLURAL, ", ".join(operator.settings.namespaces) or "all namespaces", operator.cluster,
        operator.settings.region, run_settings.resync_seconds, run_settings.workers,
    )  # fmt: skip


def _stop_on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def _why(task: asyncio.Task[Any]) -> str:
    error = None if task.cancelled() else task.exception()
    return f"{type(error).__name__}: {error}" if error else "no error was given"


class _Fenced(Clients):
    """AWS, out of reach of a process that may have lost the lease."""

    def __init__(self, *, before_write: Callable[[], None], **of: Any) -> None:
        super().__init__(**of)
        self._before_write = before_write

    def _client(self, service: str, *, writes: bool) -> Any:
        client = super()._client(service, writes=writes)
        if writes:  # at the last moment, when the request is made and signed
            client.meta.events.register_last("before-send", self._asked, unique_id="lease")
        return client

    def _asked(self, **_: Any) -> None:
        self._before_write()
