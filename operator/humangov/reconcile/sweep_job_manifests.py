"""A tenant's sweep as Kubernetes objects: its CronJob, a Job on demand, and that of the final stream read. Pure.

They are in the operator's namespace, as no tenant's namespace holds permissions in AWS; labels say whose they are, and
the finalizer removes them. The pods are those of the operator's --sweep-template. A sweep's Job is created suspended;
the operator starts it when it is its turn (manager/sweep_queue.py).
https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.spec import SWEEP_ANNOTATION, Tenant
from humangov.api.sweep_schedule import schedule_of
from humangov.api.times import parse_time

OWNER_ANNOTATION = "humangov.io/owner"
UID_ANNOTATION = "humangov.io/uid"
QUEUE_LABEL = "humangov.io/sweep-queue"
"""On a sweep's Job, until it has finished."""

FINAL_READ_DEADLINE_SECONDS = 1500
"""It reads streams and handles records for 15 minutes, and redrives for five; a pod takes time to start."""

FINAL_READ_STARTS_WITHIN_SECONDS = 150
_SWEEP_DEADLINE_SECONDS = 6 * 3600
_KEPT_SECONDS = 7 * 86400
_INCOMPLETE_EXIT_CODE, _SAFETY_CHECK_EXIT_CODE, _ERASURE_FAILED_EXIT_CODE = 2, 3, 4
_NAME_LENGTH = 20

Document = Mapping[str, Any]


def name_of(tenant: Tenant) -> str:
    """At most 46 characters: Kubernetes appends 11 to a CronJob's name, and a Job's has 63."""
    digest = hashlib.sha256(tenant.key.encode()).hexdigest()[:8]
    return f"humangov-sweep-{tenant.name[:_NAME_LENGTH].rstrip('-')}-{digest}"


def labels(tenant: Tenant) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "humangov-sweep",
        "app.kubernetes.io/managed-by": "humangov-operator",
        "humangov.io/namespace": tenant.namespace,
        "humangov.io/name": tenant.name,
    }


def selector(tenant: Tenant) -> str:
    return ",".join(f"{name}={value}" for name, value in labels(tenant).items())


def cron_job(tenant: Tenant, *, template: Document, namespace: str, owner: str) -> dict[str, Any]:
    """The tenant's CronJob. template: a PodTemplateSpec; owner: as in the tag humangov.io/tenant."""
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": _metadata(tenant, name_of(tenant), namespace=namespace, owner=owner),
        "spec": {
            "schedule": schedule_of(tenant.sweep, owner=owner),
            "timeZone": tenant.sweep.time_zone,
            "suspend": tenant.suspend or tenant.sweep.suspend,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": {**labels(tenant), QUEUE_LABEL: "true"}},
                "spec": _sweep_job(tenant, template),
            },
        },
    }


def job_on_demand(tenant: Tenant, asked: str, *, template: Document, namespace: str, owner: str) -> dict[str, Any]:
    """The Job for one value of the annotation; its name is the same however often it is created."""
    name = f"{name_of(tenant)}-{_digest(tenant.uid, asked)}"
    metadata = _metadata(tenant, name, namespace=namespace, owner=owner)
    metadata["labels"] = {**metadata["labels"], QUEUE_LABEL: "true"}
    return _job(metadata, _sweep_job(tenant, template))


def final_read_job(tenant: Tenant, *, template: Document, namespace: str, owner: str) -> dict[str, Any]:
    """The Job of the final stream read, after the trigger is deleted and the stream disabled."""
    arguments = ["final-read", tenant.key, "--uid", tenant.uid, "--report-status"]
    spec = {
        "backoffLimit": 2,
        "activeDeadlineSeconds": FINAL_READ_DEADLINE_SECONDS,
        "ttlSecondsAfterFinished": _KEPT_SECONDS,
        # What is not knowable does not come to be known: no retry. A pod that was killed reads again from the first.
        "podFailurePolicy": _no_retry_after(_INCOMPLETE_EXIT_CODE),
        "template": _pod(tenant, template, arguments),
    }
    return _job(_metadata(tenant, final_read_name(tenant), namespace=namespace, owner=owner), spec)


def final_read_name(tenant: Tenant) -> str:
    return f"{name_of(tenant)}-{_digest(tenant.uid, 'end')}"


def is_owned(found: Document, tenant: Tenant, *, owner: str) -> bool:
    """By the cluster's name and the tenant's, or by the tenant's UID, which outlives a new name of the cluster."""
    annotations = found["metadata"].get("annotations") or {}
    return annotations.get(OWNER_ANNOTATION) == owner or annotations.get(UID_ANNOTATION) == tenant.uid


def differs(found: Document, desired: Document) -> bool:
    """Whether a CronJob is otherwise than declared. The API server's defaults beside it do not count.

    It has filled them into the template too: in the pod nothing may stand beside what is declared.
    """
    return _lacks(found, desired) or _of_pods(found) != _of_pods(desired)


def _lacks(found: Any, desired: Any) -> bool:
    if isinstance(desired, Mapping):
        if not isinstance(found, Mapping):
            return bool(desired) or found is not None
        return any(_lacks(found.get(name), value) for name, value in desired.items() if value is not None)
    return bool(found != desired)


def _of_pods(cron_job: Document) -> Any:
    return cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def is_active(job: Document) -> bool:
    return not is_finished(job)


def is_finished(job: Document) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)


def is_waiting(job: Document) -> bool:
    """Whether it has not been started, or not again since somebody suspended it."""
    return is_active(job) and bool(job["spec"].get("suspend"))


def is_overdue(job: Document, *, now: datetime) -> bool:
    """Whether the Job of the final stream read has had its time, whatever its controller says.

    A deletion does not wait so long for a pod that never ran: no node, or no image.
    """
    created = parse_time(job["metadata"].get("creationTimestamp"))
    if created is None:
        return False
    status = job.get("status") or {}
    has_run = any(status.get(pods) for pods in ("ready", "failed", "succeeded"))
    limit = FINAL_READ_DEADLINE_SECONDS if has_run else FINAL_READ_STARTS_WITHIN_SECONDS
    return (now - created).total_seconds() > limit


def finding(
    tenant: Tenant,
    swept: Document,
    *,
    owner: str,
    jobs: Sequence[Document] | None,
    warned: bool = False,
    waits: str | None = None,
) -> Finding:
    """Condition SweepSucceeded.

    swept   status.sweep, as the last sweep wrote it
    owner   as in the tag humangov.io/tenant
    jobs    the tenant's, where it was worth asking
    warned  the condition was False
    waits   that a sweep waits for its turn, and why
    """
    paused = _pause_note(tenant) + (f"; {waits}" if waits else "")
    match swept.get("result"):
        case None:
            schedule = schedule_of(tenant.sweep, owner=owner)
            first = f"the first sweep starts on schedule {schedule} ({tenant.sweep.time_zone})"
            return Finding.waiting("NotStarted", f"{first}; to start it now: {_at_once(tenant)}{paused}")
        case "Running" if jobs is not None and not any(is_active(job) and not is_waiting(job) for job in jobs):
            return Finding.warning(
                "SweepFailed",
                "the last sweep ended without a result: its pod was killed, or ran out of time or memory. The next "
                f"sweep starts on schedule; to start it now: {_at_once(tenant)}{paused}",
            )
        case "Running":
            running = Finding.in_sync(
                "Running", f"a sweep has been running since {swept.get('startedAt')}; to stop it: {_stop(tenant)}"
            )
            return (
                replace(running, status="False") if warned else running
            )  # a sweep that has only started does not clear a warning
        case result:
            where = f"; orphan list: {swept['orphanList']}" if swept.get("orphanList") else ""
            return _ended(str(result), f"{swept.get('message') or ''}{where}{paused}")


def _ended(result: str, text: str) -> Finding:
    match result:
        case "Detected":
            return Finding.in_sync("Detected", text)
        case "Erased":
            return Finding.in_sync("Erased", text)
        case "Stopped":
            return Finding.warning("Stopped", text)
        case "SafetyCheckFailed":
            return Finding.warning("SafetyCheckFailed", text)
        case "ErasureFailed":
            return Finding.warning("ErasureFailed", text)
        case _:
            return Finding.warning("SweepFailed", text)


def _pause_note(tenant: Tenant) -> str:
    if tenant.suspend:
        return "; sweeps are paused by spec.suspend"
    return "; the schedule is paused by spec.sweep.suspend" if tenant.sweep.suspend else ""


def _stop(tenant: Tenant) -> str:
    return f"humangov stop {tenant.key}"


def _at_once(tenant: Tenant) -> str:
    return (
        f"kubectl annotate humangovstate --namespace {tenant.namespace} {tenant.name} {SWEEP_ANNOTATION}=$(date +%s) "
        "--overwrite"
    )


def _metadata(tenant: Tenant, name: str, *, namespace: str, owner: str) -> dict[str, Any]:
    annotations = {OWNER_ANNOTATION: owner, UID_ANNOTATION: tenant.uid}
    return {"name": name, "namespace": namespace, "labels": labels(tenant), "annotations": annotations}


def _sweep_job(tenant: Tenant, template: Document) -> dict[str, Any]:
    return {
        "suspend": True,
        "backoffLimit": 2,
        "activeDeadlineSeconds": _SWEEP_DEADLINE_SECONDS,  # counts from its start, however long it waits
        "ttlSecondsAfterFinished": _KEPT_SECONDS,
        # Both would fail again; the next scheduled sweep retries.
        "podFailurePolicy": _no_retry_after(_SAFETY_CHECK_EXIT_CODE, _ERASURE_FAILED_EXIT_CODE),
        "template": _pod(tenant, template, ["sweep", tenant.key, "--uid", tenant.uid, "--report-status"]),
    }


def _no_retry_after(*codes: int) -> dict[str, Any]:
    return {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": list(codes)}}]}


def _job(metadata: Document, spec: Document) -> dict[str, Any]:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _pod(tenant: Tenant, template: Document, arguments: Sequence[str]) -> dict[str, Any]:
    pod: dict[str, Any] = copy.deepcopy(dict(template))
    metadata = pod.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels(tenant)}
    pod["spec"] = pod_spec(template)
    pod["spec"]["containers"][0]["args"] = list(arguments)
    return pod


def pod_spec(template: Document) -> dict[str, Any]:
    """Of the pods of sweeps, without their arguments. template: a PodTemplateSpec."""
    return {**copy.deepcopy(dict(template["spec"])), "restartPolicy": "Never"}  # what podFailurePolicy asks for


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
