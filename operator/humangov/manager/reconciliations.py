"""What the queue runs for a key: one reconciliation, its result counted, errors of the API server retried."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from humangov import logs
from humangov.aws.budget import Budget, Reason, at_priority
from humangov.aws.token_bucket import Priority
from humangov.kube.client import KubeError, Resource
from humangov.manager.enqueue import decisive
from humangov.manager.priorities import priority_of, where_of
from humangov.manager.workqueue import Lane, Schedule
from humangov.reconcile.cache import uid_of
from humangov.reconcile.context import Operator
from humangov.reconcile.outcome import Outcome
from humangov.reconcile.reconciler import reconcile

logger = logging.getLogger(__name__)

_ORDINARY_SECONDS = 60.0
_BACKLOG_SECONDS = 1.0


class CountReconcile(Protocol):
    """Metrics.reconciled."""

    def __call__(self, result: str, *, seconds: float) -> None: ...


class Running:
    """Why each key that is being reconciled calls AWS. Belongs to one event loop."""

    def __init__(self) -> None:
        self._reasons: dict[str, Reason] = {}

    @contextmanager
    def at(self, key: str, priority: Priority) -> Iterator[None]:
        with at_priority(priority) as reason:
            self._reasons[key] = reason
            try:
                yield
            finally:
                del self._reasons[key]

    def hurry(self, key: str) -> None:
        """Somebody has changed it meanwhile: the change waits until its present resync has made its calls."""
        if (reason := self._reasons.get(key)) is not None:
            reason.hurry(Priority.EDIT)


def runner(
    operator: Operator,
    schedule: Schedule,
    *,
    count: CountReconcile,
    budget: Budget | None = None,
    running: Running | None = None,
) -> Callable[[str], Coroutine[Any, Any, Outcome]]:
    """What `Workers` run for each key.

    A resync that would wait long for the budget is put off, so that no worker waits. But for no longer than a resync:
    after that it waits in the budget, where every so many calls are of whoever waits longest.
    """
    running = running or Running()
    put_off: dict[str, float] = {}  # since when (monotonic)

    async def run(key: str) -> Outcome:
        logs.tenant.set(key)
        started, before = time.monotonic(), operator.store.get(key)
        failing = schedule.failing_seconds(key, now=started)
        priority = Priority.RESYNC if before is None else priority_of(before)
        delay = _backlog(budget, before) if priority is Priority.RESYNC and not failing else 0.0
        since = put_off.pop(key, started)
        if delay > _BACKLOG_SECONDS and (left := since + schedule.resync_seconds - started) > 0:
            put_off[key] = since
            return Outcome(requeue_after_seconds=min(delay, left), put_off=True)
        result = "panic"
        try:
            with running.at(key, priority):
                outcome = await reconcile(operator, key, failing_seconds=failing)
            result = _result(outcome)
        except KubeError as error:
            await refresh(operator, key, error)
            logger.log(level_of(error, operator.store.get(key), failing_seconds=failing), "%s; retried", error)
            outcome = Outcome(failed=True, soon=True)
            result = "kubernetes_error"
        except asyncio.CancelledError:
            result = "abandoned"
            raise
        finally:
            seconds = time.monotonic() - started
            count(result, seconds=seconds)
            logger.debug("reconciliation ended", extra={"action": "reconcile", "duration_ms": round(seconds * 1000, 1)})
        newest = operator.store.get(key)
        if before is not None and newest is not None and decisive(before) != decisive(newest):
            # Someone's change came in the response of our own write; its event will then look like no change.
            schedule.add(key, now=time.monotonic(), lane=Lane.FAST)
        return outcome

    return run


def _backlog(budget: Budget | None, resource: Resource | None) -> float:
    """How long a resync's calls would wait for the budget, in seconds."""
    where = where_of(resource) if resource is not None else None
    return 0.0 if budget is None or where is None else budget.backlog_seconds(where=where)


def level_of(error: KubeError, resource: Resource | None, *, failing_seconds: float) -> int:
    """INFO of an ordinary conflict, which the next reconciliation ends: somebody wrote meanwhile, or deleted it.

    resource: as it is now. The API server answers 422 to a finalizer for what is being deleted.
    """
    ended = resource is None or bool(resource["metadata"].get("deletionTimestamp"))
    ordinary = error.status == 409 or (error.status in (404, 422) and ended)
    return logging.INFO if ordinary and failing_seconds < _ORDINARY_SECONDS else logging.WARNING


async def refresh(operator: Operator, key: str, error: KubeError) -> None:
    """After a conflict, a 404 or a 422 our copy may be old: read it again."""
    resource = operator.store.get(key)
    if error.status not in (404, 409, 422) or resource is None:
        return
    try:
        fresh = await operator.kube.read(resource)
    except KubeError as unread:
        logger.warning("%s; the next reconciliation uses the old copy", unread)
        return
    if fresh is None:
        operator.store.drop(key, uid=uid_of(resource))  # during the read another may have got its name
    else:
        operator.store.put(fresh)


def _result(outcome: Outcome) -> str:
    """The label for metrics."""
    if outcome.forget:
        return "deleted"
    if outcome.failed:
        return "transient_error" if outcome.soon else "terminal_error"
    return "success" if outcome.requeue_after_seconds is None else "requeue_after"
