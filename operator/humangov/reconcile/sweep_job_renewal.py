"""A sweep's Job of an older template, before it has a pod: another takes its place. Pure.

The pods of a Job are those of the template that it was created from, and the admission policies admit only those of the
present template (docs/security.md): after an upgrade a Job that still waits would never get a pod, and keep its place.
A Job that has a pod goes on.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from humangov.reconcile.sweep_job_manifests import (
    OWNER_ANNOTATION,
    QUEUE_LABEL,
    UID_ANNOTATION,
    Document,
    is_active,
    pod_spec,
)

_KEPT_FIELDS = ("backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished", "podFailurePolicy")
_KEPT_LABELS = ("app.kubernetes.io/", "humangov.io/")
_OLD_NAME_LENGTH = 54  # of 63, with a dash and eight digits


def has_no_pod(job: Document) -> bool:
    """Whether it has not ended, and nothing of it runs or is being ended."""
    status = job.get("status") or {}
    return is_active(job) and not any(status.get(pods) for pods in ("active", "terminating"))


def is_outdated(job: Document, template: Document) -> bool:
    """Whether it is a Job of sweeps without a pod, and its pods would not be those of the template."""
    pod, wanted = _pod_of(job), pod_spec(template)
    is_of_sweeps = pod.get("serviceAccountName") == wanted.get("serviceAccountName") and _uid(job) is not None
    return is_of_sweeps and has_no_pod(job) and _without_arguments(pod) != _without_arguments(wanted)


def renewed(job: Document, template: Document, *, owner: str) -> dict[str, Any]:
    """The Job in its place, suspended: of the same arguments. Its name is the same however often it is created.

    owner: as in the tag humangov.io/tenant.
    """
    metadata, spec = job["metadata"], job["spec"]
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if name.startswith(_KEPT_LABELS)}
    pod = {**template, "spec": pod_spec(template)}
    of_pod = {name: value for name, value in labels.items() if name != QUEUE_LABEL}
    pod["metadata"] = {"labels": {**((template.get("metadata") or {}).get("labels") or {}), **of_pod}}
    pod["spec"]["containers"][0]["args"] = _arguments(job)
    digest = hashlib.sha256(json.dumps([metadata["name"], pod], sort_keys=True).encode()).hexdigest()[:8]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{metadata['name'][:_OLD_NAME_LENGTH].rstrip('-')}-{digest}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {OWNER_ANNOTATION: owner, UID_ANNOTATION: _uid(job)},
        },
        "spec": {
            **{field: spec[field] for field in _KEPT_FIELDS if field in spec},
            "suspend": True,
            "template": pod,
        },
    }


def _pod_of(job: Document) -> Document:
    found: Document = job["spec"]["template"]["spec"]
    return found


def _arguments(job: Document) -> list[str]:
    return list(_pod_of(job)["containers"][0].get("args") or ())


def _uid(job: Document) -> str | None:
    """Of its tenant; None if it is no Job of a sweep or final stream read."""
    match _arguments(job):
        case ["sweep" | "final-read", _, "--uid", uid, "--report-status"]:
            return uid
    return None


def _without_arguments(pod: Document) -> Any:
    containers = [{name: value for name, value in one.items() if name != "args"} for one in pod["containers"]]
    return {**pod, "containers": containers}
