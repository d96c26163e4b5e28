"""The sweeps of all tenants take turns: each Job is created suspended, and started here when fewer than the limit run.

Whose turn it is stands in the Jobs alone: a restart forgets nothing, and who waits keeps the place. A suspended Job has
no pod, and its activeDeadlineSeconds count from its start; the CronJob starts no other one meanwhile (Forbid).
https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from humangov.kube.client import KubeError, Resource
from humangov.kube.jobs import Jobs
from humangov.manager.due import namespace_of
from humangov.manager.workqueue import share
from humangov.reconcile.context import Operator
from humangov.reconcile.sweep_job_manifests import QUEUE_LABEL, is_active, is_waiting
from humangov.reconcile.sweep_job_renewal import has_no_pod, is_outdated, renewed
from humangov.reconcile.sweep_jobs import read_template

logger = logging.getLogger(__name__)
_SERVER_ERRORS = 500
_NOT_FOUND, _CONFLICT, _INVALID = 404, 409, 422  # the last: the API server's validation, or a patch's test that failed


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The Jobs of the queue.

    order    they may start, the oldest first, one of a tenant
    behind   they wait for another one of their tenant
    ended    they leave the queue
    running  how many run
    running_of  how many, by namespace
    """

    order: Sequence[Resource]
    behind: Sequence[Resource]
    ended: Sequence[Resource]
    running: int
    running_of: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True)
class QueueCheck:
    """What a check found. waits: by a tenant's key, since when a sweep of it waits, and why. None: not known.

    problem: why Jobs could not be read or started; it is logged once. refused: Jobs that could not be started lately.
    """

    running: int | None = None
    waiting: int | None = None
    waits: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
    refused: frozenset[str] = frozenset()


def turn(jobs: Sequence[Resource]) -> Turn:
    """Who may run next. Pure."""
    ended = [job for job in jobs if not is_active(job)]
    running = [job for job in jobs if is_active(job) and not is_waiting(job)]
    busy = {tenant_of(job) for job in running}
    order: list[Resource] = []
    behind: list[Resource] = []
    for job in sorted((job for job in jobs if is_waiting(job)), key=_age):
        (behind if tenant_of(job) in busy else order).append(job)
        busy.add(tenant_of(job))
    running_of = Counter(namespace_of(tenant_of(job)) for job in running)
    return Turn(order=order, behind=behind, ended=ended, running=len(running), running_of=running_of)


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
    try:
        jobs = await kube.list_jobs(operator.settings.own_namespace, f"{QUEUE_LABEL}=true")
        if await _renew(operator, kube, jobs):
            jobs = await kube.list_jobs(operator.settings.own_namespace, f"{QUEUE_LABEL}=true")
        found = turn(jobs)
    except KubeError as error:
        return _with_problem(replace(before, running=None, waiting=None), str(error), before)
    limit = operator.settings.maximum_concurrent_sweeps
    several = len({namespace_of(key) for key in operator.store}) > 1
    started = await _start(kube, found, before, limit=limit, of_namespace=share(limit) if several else limit)
    problem = started.problem
    for job in found.ended:
        refused = await _error(kube.remove_job_label(job, QUEUE_LABEL))
        problem = str(refused) if refused and refused.status not in (_NOT_FOUND, _CONFLICT, _INVALID) else problem
    await _leave_news(operator, before, started.waits, ask_for_reconcile=ask_for_reconcile)
    now = QueueCheck(
        running=found.running + started.number,
        waiting=len(found.order) + len(found.behind) - started.number,
        waits=started.waits,
        refused=started.refused,
    )
    return _with_problem(now, problem, before)


async def _renew(operator: Operator, kube: Jobs, jobs: Sequence[Resource]) -> bool:
    """Replaces the Jobs of an older template that have no pod, the oldest first; whether there were any.

    One that could not be replaced keeps its turn: the next check tries again.
    """
    without = sorted(filter(has_no_pod, jobs), key=_age)
    if not without or operator.settings.sweep_template is None:
        return False
    try:
        template = await read_template(kube, operator.settings)
    except KubeError as problem:
        logger.debug("%s", problem)  # whoever reconciles tells of it
        return False
    outdated = [job for job in without if is_outdated(job, template)]
    for job in outdated:
        more = {"tenant": tenant_of(job)}
        another = renewed(job, template, owner=f"{operator.cluster}/{tenant_of(job)}")
        error = await _error(kube.create_object("jobs", another))
        error = error or await _error(kube.delete_object("jobs", job["metadata"]["namespace"], _name(job)))
        if error:
            logger.warning("job %s is of an older template and was not replaced: %s", _name(job), error, extra=more)
        else:
            logger.info("job %s is replaced: the sweeps' template has changed", _name(job), extra=more)
    return bool(outdated)


class _Started(NamedTuple):
    """number: of Jobs that were started. waits, problem, refused: as in QueueCheck."""

    number: int
    waits: Mapping[str, str]
    problem: str | None
    refused: frozenset[str]


async def _start(kube: Jobs, found: Turn, before: QueueCheck, *, limit: int, of_namespace: int) -> _Started:
    """Starts as many as fit, and of one namespace no more than its share.

    One that is refused takes no place; one of which that is not known takes one. Those that were refused before go
    last, and a check tries no more of them than may run: where the permission is missing, the API server is not asked
    for each. A tenant whose sweep is not tried says what it said before.
    """
    free, number, problem = limit - found.running, 0, None
    waits: dict[str, str] = {}
    refused: set[str] = set()
    running_of = Counter(found.running_of)
    for job in sorted(found.order, key=lambda job: _name(job) in before.refused):
        if free <= 0:
            waits[tenant_of(job)] = _since(job, f"at most {limit} run at once, and the oldest goes first")
            continue
        if running_of[namespace_of(tenant_of(job))] >= of_namespace:
            waits[tenant_of(job)] = _since(job, f"at most {of_namespace} per namespace run at once")
            continue
        if len(refused) >= limit:
            earlier = before.waits.get(tenant_of(job))
            waits[tenant_of(job)] = earlier or _since(job, _OTHERS_REFUSED)
            continue
        error = await _error(kube.start_job(job))
        if error is None or error.status is None or error.status >= _SERVER_ERRORS:
            free -= 1
            running_of[namespace_of(tenant_of(job))] += 1
        if error is None:
            number += 1
        elif error.status not in (_NOT_FOUND, _CONFLICT):
            problem = str(error)
            refused.add(_name(job))
            waits[tenant_of(job)] = _since(job, f"it could not be started: {problem}")
    for job in found.behind:
        waits.setdefault(tenant_of(job), _since(job, "another sweep of this HumanGovState is running"))
    left = {_name(job) for job in found.order} & refused.union(before.refused)
    return _Started(number, waits, problem, frozenset() if len(left) == len(found.order) else frozenset(left))


# Their errors name them, and this is read in another namespace.
_OTHERS_REFUSED = "others before it could not be started, as the operator's log says; it is tried in its turn"


async def _error(write: Awaitable[None]) -> KubeError | None:
    try:
        await write
    except KubeError as error:
        return error
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
    return str(job["metadata"].get("creationTimestamp") or ""), _name(job)


def _name(job: Resource) -> str:
    return str(job["metadata"]["name"])
