"""The sweeps of all tenants take turns: each Job is created suspended, and started here when fewer than the limit run.

Whose turn it is stands in the Jobs alone: a restart forgets nothing, and who waits keeps the place. A suspended Job has
no pod, and its activeDeadlineSeconds count from its start; the CronJob starts no other one meanwhile (Forbid).
https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from humangov.kube.client import KubeError, Resource
from humangov.kube.jobs import Jobs
from humangov.reconcile.context import Operator
from humangov.reconcile.sweep_job_manifests import QUEUE_LABEL, is_active, is_waiting

logger = logging.getLogger(__name__)
_CHANGED_MEANWHILE = (404, 409, 422)  # gone, or no longer as it was listed: the next check sees what it is


@dataclass(frozen=True, kw_only=True)
class Turn:
    """start: Jobs whose turn it is, the oldest first. wait: the others that have not run. ended: they leave the queue.

    running: how many run, without those that are to start.
    """

    start: Sequence[Resource]
    wait: Sequence[Resource]
    ended: Sequence[Resource]
    running: int


@dataclass(frozen=True, kw_only=True)
class QueueCheck:
    """What a check found. waits: by a tenant's key, since when a sweep of it waits, and why. None: not known.

    problem: why Jobs could not be read or started; it is logged once.
    """

    running: int | None = None
    waiting: int | None = None
    waits: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None


def turn(jobs: Sequence[Resource], *, limit: int) -> Turn:
    """Who runs next: the oldest that wait, as many as fit beside those that run; one at a time of a tenant. Pure."""
    ended = [job for job in jobs if not is_active(job)]
    running = [job for job in jobs if is_active(job) and not is_waiting(job)]
    busy = {tenant_of(job) for job in running}
    start: list[Resource] = []
    wait: list[Resource] = []
    for job in sorted((job for job in jobs if is_waiting(job)), key=_age):
        if len(running) + len(start) < limit and tenant_of(job) not in busy:
            busy.add(tenant_of(job))
            start.append(job)
        else:
            wait.append(job)
    return Turn(start=start, wait=wait, ended=ended, running=len(running))


def tenant_of(job: Resource) -> str:
    """The key of its tenant."""
    labels = job["metadata"].get("labels") or {}
    return f"{labels.get('humangov.io/namespace')}/{labels.get('humangov.io/name')}"


async def check(
    operator: Operator, kube: Jobs, before: QueueCheck, *, ask_for_reconcile: Callable[[str], Awaitable[None]]
) -> QueueCheck:
    """One list of the sweeps that wait or run; starts those whose turn it is. A tenant whose sweep waits says so.

    What could not be done is done by the next check.
    """
    limit = operator.settings.maximum_concurrent_sweeps
    try:
        found = turn(await kube.list_jobs(operator.settings.own_namespace, f"{QUEUE_LABEL}=true"), limit=limit)
    except KubeError as error:
        return _with_problem(QueueCheck(waits=before.waits), str(error), before)
    started, problem = 0, None
    waits = {
        tenant_of(job): _since(job, f"at most {limit} run at once, and one of a HumanGovState; the oldest goes first")
        for job in reversed(found.wait)  # of two that wait, the older one
    }
    for job in found.start:
        refused = await _done(kube.start_job(job))
        started += refused is None
        if refused:
            problem, waits[tenant_of(job)] = refused, _since(job, f"it could not be started: {refused}")
    for job in found.ended:
        problem = await _done(kube.remove_job_label(job, QUEUE_LABEL)) or problem
    await _leave_news(operator, before, waits, ask_for_reconcile=ask_for_reconcile)
    now = QueueCheck(running=found.running + started, waiting=len(found.wait) + len(found.start) - started, waits=waits)
    return _with_problem(now, problem, before)


async def _done(write: Awaitable[None]) -> str | None:
    """Why it could not be done, unless the Job has changed meanwhile."""
    try:
        await write
    except KubeError as error:
        return None if error.status in _CHANGED_MEANWHILE else str(error)
    return None


async def _leave_news(
    operator: Operator,
    before: QueueCheck,
    waits: Mapping[str, str],
    *,
    ask_for_reconcile: Callable[[str], Awaitable[None]],
) -> None:
    """Leaves it in the tenants' memories, and asks for a reconcile of each for which it is news."""
    for key in {*before.waits, *waits}:
        memory = operator.store.memory(key)
        if memory.uid and memory.waiting_sweep != waits.get(key):
            operator.store.remember(key, uid=memory.uid, waiting_sweep=waits.get(key))
            await ask_for_reconcile(key)


def _with_problem(now: QueueCheck, problem: str | None, before: QueueCheck) -> QueueCheck:
    if problem and before.problem is None:
        logger.warning("sweeps could not be started: %s; retried automatically, without a further warning", problem)
    return replace(now, problem=problem)


def _since(job: Resource, why: str) -> str:
    return f"a sweep has been waiting since {job['metadata'].get('creationTimestamp')}: {why}"


def _age(job: Resource) -> tuple[str, str]:
    return str(job["metadata"].get("creationTimestamp") or ""), str(job["metadata"]["name"])
