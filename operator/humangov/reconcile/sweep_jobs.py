"""A tenant's sweeps in the cluster: the CronJob kept as declared, a Job on demand, the Job of the final stream read.

Whatever fails here is a warning in condition SweepSucceeded; the tenant's AWS objects do not wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from humangov.api.conditions import HELD, SWEEP_SUCCEEDED, Finding, find_condition
from humangov.api.names import Names
from humangov.api.spec import FINALIZER, SWEEP_ANNOTATION, Tenant
from humangov.api.sweep_schedule import refusal, schedule_of
from humangov.api.times import parse_time
from humangov.kube.client import KubeError, Resource
from humangov.reconcile import legal_hold, sweep_job_manifests
from humangov.reconcile.context import Operator, Reconciliation
from humangov.reconcile.settings import Settings
from humangov.reconcile.status import Conclusion
from humangov.reconcile.sweep_job_renewal import has_no_pod, is_outdated

logger = logging.getLogger(__name__)
_CRON_JOBS, _JOBS = "cronjobs", "jobs"
# A label of the chart's, by which the admission policies find the template as well.
_TEMPLATE_SELECTOR = "humangov.io/sweep-template=true"
_WHILE_ANOTHER_RUNS_SECONDS, _RETRY_SECONDS = 15.0, 30.0
_NEW_SECONDS, _AT_FIRST_SECONDS = 45.0, 10.0
_NOT_SCHEDULED = "SchedulingFailed"
_JOB_SHOWS_AFTER_SECONDS = 60
_INVALID = 422  # what the API server's validation refuses; also a patch of an object that is another by now


@dataclass(frozen=True, kw_only=True)
class Sweeps:
    """What came of a tenant's sweeps.

    finding   of condition SweepSucceeded, or None
    handled   the annotation's value that was handled
    schedule  status.sweepSchedule: the schedule in effect; None: there is none
    """

    finding: Finding | None = None
    handled: str | None = None
    schedule: Mapping[str, str] | None = None

    def added_to(self, conclusion: Conclusion) -> Conclusion:
        """A schedule that can't be needs a person, who looks at Ready: everything else of the tenant works."""
        ready = conclusion.ready
        if self.finding is not None and self.finding.stalled and ready.status == "True":
            ready = self.finding
        return replace(
            conclusion,
            ready=ready,
            findings={**conclusion.findings, **({SWEEP_SUCCEEDED: self.finding} if self.finding else {})},
            handled_sweep=self.handled,
            status_fields={**(conclusion.status_fields or {}), "sweepSchedule": self.schedule},
        )


@dataclass(frozen=True, kw_only=True)
class FinalReadJob:
    """waiting: for the Job that reads the stream once more; None: that is over. failed: no Job could be created."""

    waiting: Finding | None = None
    failed: bool = False


async def keep(operator: Operator, this: Reconciliation, *, ready: Finding) -> Sweeps:
    """The CronJob as declared, and the Job that is asked for; suspending pauses sweeps whatever is left undone."""
    before = Sweeps(
        handled=this.stored_status.get("lastHandledSweep"), schedule=this.stored_status.get("sweepSchedule")
    )
    if ready.status == "Unknown" and not this.tenant.suspend:
        return before
    # Without the finalizer nothing would remove them in the end: a tenant that was suspended from the first has none.
    if operator.settings.sweep_template is None or FINALIZER not in (this.resource["metadata"].get("finalizers") or ()):
        swept = this.stored_status.get("sweep")
        return Sweeps(finding=_finding(operator, this, jobs=None) if swept else None, handled=before.handled)
    try:
        template = await _template(operator)
        refused = await _keep_cron_job(operator, this.names, template)
        sweeps = await _keep_jobs(operator, this, template)  # who asks for a sweep needs no schedule
        return replace(sweeps, finding=refused) if refused else replace(sweeps, schedule=_schedule(this.names))
    except KubeError as error:
        logger.warning("%s", error, extra={"tenant": this.tenant.key})
        return replace(before, finding=_not_scheduled(this, error))


async def redrive_after_hold(operator: Operator, this: Reconciliation) -> Finding:
    """Condition Held at the end of a legal hold: a sweep is started, which redrives first what the hold kept."""
    command = f"humangov redrive --namespace {this.tenant.namespace} {this.tenant.name}"
    if operator.settings.sweep_template is None:
        text = "there are no sweeps in this cluster, so what it kept waits in the failures bucket. Run: "
        return replace(legal_hold.ENDED, message=f"{legal_hold.ENDED.message}; {text}{command}")
    before = find_condition(this.stored_status, HELD) or {}
    asked = f"legal hold ended {before.get('lastTransitionTime')}"  # the same after a restart
    text = "what it kept waits for a redrive"
    try:
        template, jobs = await _template(operator), await _jobs(operator, this.tenant)
        if await _start(operator, this.names, asked, template, jobs):
            message = f"{legal_hold.ENDED.message}; a sweep redrives what it kept, as soon as its turn comes"
            return replace(legal_hold.ENDED, message=message)
    except KubeError as error:
        logger.warning("%s", error, extra={"tenant": this.tenant.key})
        text = (
            f"the sweep that redrives what it kept could not be started: {error}. The operator retries; or run: "
            f"{command}"
        )
    return Finding.waiting(
        "HoldEnding", f"{legal_hold.ENDED.message}; {text}", requeue_after_seconds=_WHILE_ANOTHER_RUNS_SECONDS
    )


async def remove_but_final_read(operator: Operator, tenant: Tenant) -> None:
    """Deletes its sweeps, before anything else of the tenant. Raises KubeError."""
    await _remove(operator, tenant, but=sweep_job_manifests.final_read_name(tenant))


async def remove(operator: Operator, tenant: Tenant) -> None:
    """All of it. Raises KubeError."""
    await _remove(operator, tenant, but=None)


async def final_read(operator: Operator, names: Names, *, patient: bool) -> FinalReadJob:
    """Has the stream read once more by a Job. patient: an error is retried, whatever it is; else it is skipped.

    What is refused now may be granted in a moment: the admission policies learn of a new template a little later than
    the operator, and an installation may be under way.
    """
    tenant = names.tenant
    if operator.settings.sweep_template is None:
        return FinalReadJob()
    namespace = operator.settings.own_namespace
    try:
        job = await _final_read_job(operator, tenant)
        if job is None:
            wanted = sweep_job_manifests.final_read_job(
                tenant, template=await _template(operator), namespace=namespace, owner=names.owner
            )
            await operator.kube.create_object(_JOBS, wanted)
        elif sweep_job_manifests.is_finished(job) or sweep_job_manifests.is_overdue(job, now=operator.now()):
            return FinalReadJob()
        elif await _is_outdated(operator, job):
            await operator.kube.delete_object(_JOBS, namespace, job["metadata"]["name"])  # and created anew
    except KubeError as error:
        if patient:
            return FinalReadJob(waiting=Finding.transient("Deleting", f"{error}; retried automatically", soon=True))
        logger.warning("%s; the final stream read is skipped", error, extra={"tenant": tenant.key})
        return FinalReadJob(failed=True)
    text = "waiting for the end of the final stream read"
    return FinalReadJob(waiting=Finding.waiting("Deleting", text, requeue_after_seconds=1.0))


async def _is_outdated(operator: Operator, job: Resource) -> bool:
    """Whether it waits for a pod that an older template describes. False while that can't be read: it may come."""
    if not has_no_pod(job):
        return False
    try:
        return is_outdated(job, await _template(operator))
    except KubeError as error:
        logger.warning("%s", error)
        return False


@dataclass(frozen=True, kw_only=True)
class FinalReadResult:
    """message: for the event; None if there was no final read. counted: the message says what failed invocations."""

    message: str | None = None
    counted: bool = False


async def final_read_result(
    operator: Operator, resource: Resource, tenant: Tenant, *, failed: bool
) -> FinalReadResult:  # fmt: skip
    """The result of the final stream read. Raises KubeError."""
    if operator.settings.sweep_template is None:
        return FinalReadResult()
    fresh = await operator.kube.read(resource)
    found = ((fresh or {}).get("status") or {}).get("finalRead")
    if found:
        # -1: they could not be counted.
        return FinalReadResult(message=str(found.get("message")), counted=found.get("failedInvocations", -1) >= 0)
    if await _final_read_job(operator, tenant) or failed:
        return FinalReadResult(message="the final stream read failed: files of deleted records may still exist")
    return FinalReadResult()


async def _final_read_job(operator: Operator, tenant: Tenant) -> Resource | None:
    """Raises KubeError."""
    jobs, name = await _jobs(operator, tenant), sweep_job_manifests.final_read_name(tenant)
    return next((job for job in jobs if job["metadata"]["name"] == name), None)


async def _jobs(operator: Operator, tenant: Tenant) -> list[Resource]:
    """Raises KubeError."""
    return await operator.kube.list_jobs(operator.settings.own_namespace, sweep_job_manifests.selector(tenant))


class ReadsObjects(Protocol):
    """The part of `humangov.kube.jobs.Jobs` that reads CronJobs."""

    async def get_object(self, plural: str, namespace: str, name: str) -> Resource | None: ...

    async def list_cron_jobs(self, namespace: str, label_selector: str) -> list[Resource]: ...


async def _template(operator: Operator) -> Resource:
    """Raises KubeError, also where there is no such CronJob."""
    return await read_template(operator.kube, operator.settings)


async def read_template(kube: ReadsObjects, settings: Settings) -> Resource:
    """The pods that sweeps are. Raises KubeError, also where there is no such CronJob."""
    found = await template_named(kube, namespace=settings.own_namespace, name=str(settings.sweep_template))
    template: Resource = found["spec"]["jobTemplate"]["spec"]["template"]
    return template


async def template_named(kube: ReadsObjects, *, namespace: str, name: str) -> Resource:
    """The CronJob of this name; if there is none, the one that kustomize gave a prefix or suffix.

    kustomize does not know that a variable names it. Raises KubeError, also where there is none, or more than one.
    """
    found = await kube.get_object(_CRON_JOBS, namespace, name)
    if found is not None:
        return found
    labelled = await kube.list_cron_jobs(namespace, _TEMPLATE_SELECTOR)
    like = {one["metadata"]["name"]: one for one in labelled if name in one["metadata"]["name"]}
    if len(like) == 1:
        return next(iter(like.values()))
    several = f"; there are others: {', '.join(sorted(like))}. Name one of them" if like else ""
    raise KubeError(
        f"reading {_CRON_JOBS} {namespace}/{name}",
        status=404,
        reason=f"the CronJob that --sweep-template names does not exist{several}",
    )


async def _keep_cron_job(operator: Operator, names: Names, template: Resource) -> Finding | None:
    """Why it can't be kept, or None. Raises KubeError."""
    namespace = operator.settings.own_namespace
    if never := refusal(names.tenant.sweep):
        return Finding.action_required("ScheduleRefused", never)
    desired = sweep_job_manifests.cron_job(names.tenant, template=template, namespace=namespace, owner=names.owner)
    name = desired["metadata"]["name"]
    found = await operator.kube.get_object(_CRON_JOBS, namespace, name)
    if found is not None and not sweep_job_manifests.is_owned(found, names.tenant, owner=names.owner):
        return Finding.warning(
            "NotOwned",
            f"CronJob {namespace}/{name} does not belong to this HumanGovState, so it is not changed. Delete it",
        )
    try:
        if found is None:
            await operator.kube.create_object(_CRON_JOBS, desired)
        elif sweep_job_manifests.differs(found, desired):
            await operator.kube.replace_object(_CRON_JOBS, found, desired)
    except KubeError as error:
        if error.status != _INVALID or await _is_another(operator, found, name=name):
            raise
        return Finding.action_required(
            "ScheduleRefused",
            f"the API server refuses the sweep's CronJob, which stays as it was: {error}. Correct spec.sweep.schedule "
            "or spec.sweep.timeZone; or the pods' template, if the message names that",
        )
    return None


async def _is_another(operator: Operator, found: Resource | None, *, name: str) -> bool:
    """Whether a CronJob that was found has been removed or re-created since. Raises KubeError."""
    if found is None:
        return False
    now = await operator.kube.get_object(_CRON_JOBS, operator.settings.own_namespace, name)
    return now is None or now["metadata"]["uid"] != found["metadata"]["uid"]


def _schedule(names: Names) -> Mapping[str, str] | None:
    options = names.tenant.sweep
    if names.tenant.suspend or options.suspend:
        return None
    return {"schedule": schedule_of(options, owner=names.owner), "timeZone": options.time_zone}


async def _keep_jobs(operator: Operator, this: Reconciliation, template: Resource) -> Sweeps:
    """Raises KubeError."""
    tenant, handled = this.tenant, this.stored_status.get("lastHandledSweep")
    asked = (this.resource["metadata"].get("annotations") or {}).get(SWEEP_ANNOTATION)
    wanted = bool(asked) and asked != handled and not tenant.suspend and not this.context.stopped
    swept = this.stored_status.get("sweep") or {}
    jobs = await _jobs(operator, tenant) if wanted or swept.get("result") == "Running" else None
    if wanted and jobs is not None and await _start(operator, this.names, str(asked), template, jobs):
        return Sweeps(finding=_finding(operator, this, jobs=None), handled=asked)
    finding = _finding(operator, this, jobs=None if _is_young(swept, operator) else jobs)
    if wanted:  # one at a time
        finding = replace(finding, requeue_after_seconds=_WHILE_ANOTHER_RUNS_SECONDS)
    return Sweeps(finding=finding, handled=handled)


async def _start(operator: Operator, names: Names, asked: str, template: Resource, jobs: list[Resource]) -> bool:
    """Whether there is a Job for this value, now or from before a restart; one at a time.

    Raises KubeError.
    """
    namespace = operator.settings.own_namespace
    job = sweep_job_manifests.job_on_demand(
        names.tenant, asked, template=template, namespace=namespace, owner=names.owner
    )
    if any(one["metadata"]["name"] == job["metadata"]["name"] for one in jobs):
        return True
    if any(map(sweep_job_manifests.is_active, jobs)):
        return False
    await operator.kube.create_object(_JOBS, job)
    return True


def _finding(operator: Operator, this: Reconciliation, *, jobs: list[Resource] | None) -> Finding:
    before = find_condition(this.stored_status, SWEEP_SUCCEEDED)
    warned = before is not None and before["status"] == "False"
    return sweep_job_manifests.finding(
        this.tenant, this.stored_status.get("sweep") or {}, owner=this.names.owner, jobs=jobs, warned=warned,
        waits=operator.store.memory(this.tenant.key).waiting_sweep,
    )  # fmt: skip


def _not_scheduled(this: Reconciliation, error: KubeError) -> Finding:
    """A refusal is retried soon at first: right after an installation, admission policies don't know the template."""
    transient = error.status is None or error.status in (409, 429) or error.status >= 500
    shown = find_condition(this.stored_status, SWEEP_SUCCEEDED) or {}
    since = parse_time(shown["lastTransitionTime"]) if shown.get("reason") == _NOT_SCHEDULED else None
    is_new = since is None or (this.context.now - since).total_seconds() < _NEW_SECONDS
    retry = _AT_FIRST_SECONDS if is_new else _RETRY_SECONDS if transient else None
    warning = Finding.warning(_NOT_SCHEDULED, f"the sweep's CronJob could not be written: {error}")
    return replace(warning, requeue_after_seconds=retry)


def _is_young(swept: Mapping[str, Any], operator: Operator) -> bool:
    """Whether the sweep began so lately that its Job may not show yet."""
    began = parse_time(swept.get("startedAt"))
    return began is not None and (operator.now() - began).total_seconds() < _JOB_SHOWS_AFTER_SECONDS


async def _remove(operator: Operator, tenant: Tenant, *, but: str | None) -> None:
    """but: the name of a Job. Raises KubeError."""
    if operator.settings.sweep_template is None:
        return
    namespace, owner = operator.settings.own_namespace, f"{operator.cluster}/{tenant.key}"
    name = sweep_job_manifests.name_of(tenant)
    cron_job = await operator.kube.get_object(_CRON_JOBS, namespace, name)
    if cron_job is not None and sweep_job_manifests.is_owned(cron_job, tenant, owner=owner):
        await operator.kube.delete_object(_CRON_JOBS, namespace, name)
    for job in await _jobs(operator, tenant):
        is_owned = sweep_job_manifests.is_owned(job, tenant, owner=owner) or _is_of_cron_job(job, name)
        if is_owned and job["metadata"]["name"] != but:
            await operator.kube.delete_object(_JOBS, namespace, job["metadata"]["name"])


def _is_of_cron_job(job: Resource, name: str) -> bool:
    """Those that the schedule started carry the CronJob's name."""
    owners = job["metadata"].get("ownerReferences") or ()
    return any(one.get("kind") == "CronJob" and one.get("name") == name for one in owners)
