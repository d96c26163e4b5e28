"""Which changes of a HumanGovState put its key on the queue: event or list → cache → queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from humangov.api.conflicts import conflict, shared_for_failures
from humangov.api.spec import FINALIZER, RECONCILE_ANNOTATION, SWEEP_ANNOTATION
from humangov.api.stop import STOP_ANNOTATION, Stop, stop_of
from humangov.kube.client import Resource
from humangov.manager.workqueue import Lane, Workers
from humangov.reconcile.cache import Store, key_of, uid_of


@dataclass(frozen=True, kw_only=True)
class Queues:
    """workers: reconciliations. stops: a tenant's stop alone, which waits for no reconciliation."""

    workers: Workers
    stops: Workers


async def on_event(store: Store, queues: Queues, kind: str, resource: Resource) -> None:
    """Put the key on the queues if a relevant field has changed; our own writes come back here too."""
    key = key_of(resource)
    known = store.get(key)
    if kind == "DELETED":
        if known is not None and uid_of(known) != uid_of(resource):
            return  # an earlier object of the same name
        freed = _contenders(store, key)
        store.drop(key, uid=uid_of(resource))
        for one in (key, *freed):
            await queues.workers.add(one, lane=Lane.FAST)
        return
    if known is not None and _same_moment(known, resource):
        return  # the operator's own came with an answer, which is never cut by an older definition
    await on_resource(store, queues, resource)


async def on_resource(store: Store, queues: Queues, resource: Resource) -> None:
    """Keep it, and put its key on the queue if the change requires a reconciliation."""
    key = key_of(resource)
    known = store.get(key)
    store.put(resource)
    newest = store.get(key)
    if newest is not None and _is_stopped(newest) and not (known is not None and _is_stopped(known)):
        await queues.stops.add(key, lane=Lane.FAST)
    if known is None or newest is None or asks_for_reconcile(known, newest):
        await queues.workers.add(key, lane=Lane.FAST)


async def on_stop_of_all(store: Store, queues: Queues, stop: Stop | None) -> None:
    """Every key, if the stop of all began or ended."""
    before, store.stop_of_all = store.stop_of_all, stop
    if before == stop:
        return
    for key in store:
        if stop is not None:
            await queues.stops.add(key, lane=Lane.FAST)
        await queues.workers.add(key, lane=Lane.FAST)


def asks_for_reconcile(known: Resource, newest: Resource) -> bool:
    # Our own write adds the finalizer: its event may come before the response of the write.
    removed = _has_finalizer(known) and not _has_finalizer(newest)
    return removed or decisive(known) != decisive(newest)


def decisive(resource: Resource) -> tuple[Any, ...]:
    """The fields of a resource that require a reconciliation at once when they change."""
    metadata = resource["metadata"]
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        resource.get("spec"),  # the generation alone does not tell a form from which an older definition cut a field
        metadata.get("deletionTimestamp"),
        *(
            (metadata.get("annotations") or {}).get(name)
            for name in (RECONCILE_ANNOTATION, SWEEP_ANNOTATION, STOP_ANNOTATION)
        ),
        _is_stopped(resource),
        # The sweep's result, which goes into a condition.
        *((resource.get("status") or {}).get("sweep", {}).get(name) for name in ("run", "result", "filesShared")),
    )


def _is_stopped(resource: Resource) -> bool:
    """By itself, and not with all."""
    return stop_of(resource, of_all=None) is not None


def _same_moment(known: Resource, newest: Resource) -> bool:
    return all(known["metadata"].get(name) == newest["metadata"].get(name) for name in ("uid", "resourceVersion"))


def _has_finalizer(resource: Resource) -> bool:
    return FINALIZER in (resource["metadata"].get("finalizers") or ())


def _contenders(store: Store, key: str) -> list[str]:
    """Tenants that had a conflict with this one, which has been deleted."""
    deleted = store.tenant(key)
    if deleted is None:
        return []
    return [
        other.key
        for other in store.conflict_candidates(deleted)
        if conflict(other, deleted) or shared_for_failures(other, deleted)
    ]
