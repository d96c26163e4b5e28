"""A tenant's sweeps in the cluster: the CronJob kept as declared, a Job when asked for, and all of it removed.

Whatever fails here is a warning in condition Sweeping; the tenant's AWS objects do not wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from humangov.api.conditions import SWEEPING, Finding, find_condition
from humangov.api.names import Names
from humangov.api.spec import FINALIZER, SWEEP_ANNOTATION, Tenant
from humangov.api.times import parse_time
from humangov.kube.client import KubeError, Resource
from humangov.reconcile import sweep_objects
from humangov.reconcile.context import Operator

logger = logging.getLogger(__name__)
_CRON_JOBS, _JOBS = "cronjobs", "jobs"
_LOOK_AGAIN_SECONDS, _TRY_AGAIN_SECONDS = 15.0, 30.0


@dataclass(frozen=True, kw_only=True)
class Swept:
    """finding: of condition Sweeping, None if there is nothing to tell. handled: the annotation's value acted upon."""

    finding: Finding | None
    handled: str | None


async def bring(operator: Operator, resource: Resource, names: Names) -> Swept:
    """The CronJob in step, and the Job that is asked for."""
    tenant, status = names.tenant, resource.get("status") or {}
    handled, told = status.get("lastHandledSweep"), status.get("sweep") or {}
    before = find_condition(status, SWEEPING)
    finding = partial(sweep_objects.finding, tenant, told, warned=before is not None and before["status"] == "False")
    # Without the finalizer nothing would remove them in the end: a tenant that was suspended from the first has none.
    if operator.settings.sweep_template is None or FINALIZER not in (resource["metadata"].get("finalizers") or ()):
        return Swept(finding=finding(jobs=None) if told else None, handled=handled)
    try:
        template = await _template(operator)
        refused = await _keep_cron_job(operator, names, template)
        if refused:
            return Swept(finding=refused, handled=handled)
        asked = (resource["metadata"].get("annotations") or {}).get(SWEEP_ANNOTATION)
        wanted = bool(asked) and asked != handled and not tenant.suspend
        jobs = None
        if wanted or told.get("result") == "Running":
            jobs = await operator.kube.list_jobs(operator.settings.own_namespace, sweep_objects.selector(tenant))
        if wanted and jobs is not None and await _started(operator, names, str(asked), template, jobs):
            return Swept(finding=finding(jobs=None), handled=asked)
    except KubeError as error:
        logger.warning("%s", error, extra={"tenant": tenant.key})
        passing = error.status is None or error.status in (409, 429) or error.status >= 500
        warning = Finding.warning("NotScheduled", f"the sweep's CronJob: {error}")
        again = _TRY_AGAIN_SECONDS if passing else None
        return Swept(finding=replace(warning, look_again_seconds=again), handled=handled)
    found = finding(jobs=_settled(jobs, told, operator))
    if wanted:  # one at a time
        found = replace(found, look_again_seconds=_LOOK_AGAIN_SECONDS)
    return Swept(finding=found, handled=handled)


async def stop(operator: Operator, tenant: Tenant) -> None:
    """No sweep any more: before anything else of the tenant goes. Raises KubeError."""
    await _remove(operator, tenant, keep_end=True)


async def remove(operator: Operator, tenant: Tenant) -> None:
    """The last of it, with the Job of the end. Raises KubeError."""
    await _remove(operator, tenant, keep_end=False)


async def last_look(operator: Operator, resource: Resource, names: Names) -> Finding | None:
    """Has the stream read once more by a Job; what is waited for, or None when that is over, one way or another."""
    tenant = names.tenant
    deleted_at = parse_time(resource["metadata"].get("deletionTimestamp"))
    if operator.settings.sweep_template is None or deleted_at is None:
        return None
    namespace = operator.settings.own_namespace
    try:
        jobs = await operator.kube.list_jobs(namespace, sweep_objects.selector(tenant))
        job = next((one for one in jobs if one["metadata"]["name"] == sweep_objects.end_name(tenant)), None)
        if job is None:
            template = await _template(operator)
            wanted = sweep_objects.end_job(
                tenant, deleted_at, template=template, namespace=namespace, owner=names.owner
            )
            await operator.kube.create_object(_JOBS, wanted)
        elif sweep_objects.is_finished(job) or sweep_objects.is_overdue(job, now=operator.now()):
            return None
    except KubeError as error:
        logger.warning("%s; the stream is not read once more", error, extra={"tenant": tenant.key})
        operator.store.memory(tenant.key).not_read = True
        return None
    return Finding.waiting("Deleting", "the stream's last records are being looked at", look_again_seconds=1.0)


async def told_of_end(operator: Operator, resource: Resource, names: Names) -> str | None:
    """What the last look came to, for the farewell; None if there was none. Raises KubeError."""
    if operator.settings.sweep_template is None:
        return None
    fresh = await operator.kube.read(resource)
    found = ((fresh or {}).get("status") or {}).get("finalRead")
    if found:
        return str(found.get("message"))
    tenant = names.tenant
    jobs = await operator.kube.list_jobs(operator.settings.own_namespace, sweep_objects.selector(tenant))
    tried = any(job["metadata"]["name"] == sweep_objects.end_name(tenant) for job in jobs)
    if tried or operator.store.memory(tenant.key).not_read:
        return "the stream's last records could not be looked at: files of records deleted just before may be left"
    return None


async def _template(operator: Operator) -> Resource:
    """The pods that sweeps are. Raises KubeError, also where there is no such CronJob."""
    namespace, name = operator.settings.own_namespace, str(operator.settings.sweep_template)
    found = await operator.kube.get_object(_CRON_JOBS, namespace, name)
    if found is None:
        raise KubeError(f"reading {_CRON_JOBS} {namespace}/{name}", status=404, reason="--sweep-template is not there")
    template: Resource = found["spec"]["jobTemplate"]["spec"]["template"]
    return template


async def _keep_cron_job(operator: Operator, names: Names, template: Resource) -> Finding | None:
    """Why it can't be kept, or None."""
    namespace = operator.settings.own_namespace
    desired = sweep_objects.cron_job(names.tenant, template=template, namespace=namespace, owner=names.owner)
    name = desired["metadata"]["name"]
    found = await operator.kube.get_object(_CRON_JOBS, namespace, name)
    if found is not None and not sweep_objects.is_ours(found, names.tenant, owner=names.owner):
        return Finding.warning(
            "NotOwned", f"CronJob {namespace}/{name} is not of this HumanGovState, so it is not touched. Remove it"
        )
    if found is None:
        await operator.kube.create_object(_CRON_JOBS, desired)
    elif sweep_objects.differs(found, desired):
        await operator.kube.replace_object(_CRON_JOBS, found, desired)
    return None


async def _started(operator: Operator, names: Names, asked: str, template: Resource, jobs: list[Resource]) -> bool:
    """Whether there is a Job for this value, now or since a life that ended before it could say so; one at a time."""
    namespace = operator.settings.own_namespace
    job = sweep_objects.job_at_once(names.tenant, asked, template=template, namespace=namespace, owner=names.owner)
    if any(one["metadata"]["name"] == job["metadata"]["name"] for one in jobs):
        return True
    if any(map(sweep_objects.is_active, jobs)):
        return False
    await operator.kube.create_object(_JOBS, job)
    return True


def _settled(jobs: Any, told: Mapping[str, Any], operator: Operator) -> Any:
    """The Jobs, unless the sweep began so lately that its Job may not show yet."""
    began = parse_time(told.get("startedAt"))
    young = began is not None and (operator.now() - began).total_seconds() < 60
    return None if young else jobs


async def _remove(operator: Operator, tenant: Tenant, *, keep_end: bool) -> None:
    namespace, owner = operator.settings.own_namespace, f"{operator.cluster}/{tenant.key}"
    if operator.settings.sweep_template is None:
        return
    cron_job = await operator.kube.get_object(_CRON_JOBS, namespace, sweep_objects.name_of(tenant))
    if cron_job is not None and sweep_objects.is_ours(cron_job, tenant, owner=owner):
        await operator.kube.delete_object(_CRON_JOBS, namespace, sweep_objects.name_of(tenant))
    for job in await operator.kube.list_jobs(namespace, sweep_objects.selector(tenant)):
        name = job["metadata"]["name"]
        kept = keep_end and name == sweep_objects.end_name(tenant)
        if not kept and (sweep_objects.is_ours(job, tenant, owner=owner) or _of_cron_job(job, tenant)):
            await operator.kube.delete_object(_JOBS, namespace, name)


def _of_cron_job(job: Resource, tenant: Tenant) -> bool:
    """Those that the schedule started carry the CronJob's name."""
    owners = job["metadata"].get("ownerReferences") or ()
    return any(one.get("kind") == "CronJob" and one.get("name") == sweep_objects.name_of(tenant) for one in owners)
