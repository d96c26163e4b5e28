"""Why a HumanGovState is reconciled, from its latest form: the priority of its calls in the budget. Pure."""

from __future__ import annotations

from humangov.api.conditions import find_condition, ready_generation
from humangov.api.spec import RECONCILE_ANNOTATION
from humangov.aws.token_bucket import Priority
from humangov.kube.client import Resource


def priority_of(resource: Resource) -> Priority:
    """Never STOP: a stop has calls of its own (reconcile/stop.py)."""
    metadata, status = resource["metadata"], resource.get("status") or {}
    generation, ready = int(metadata.get("generation") or 0), find_condition(status, "Ready")
    if metadata.get("deletionTimestamp"):
        return Priority.DELETION
    if not status.get("aws"):
        return Priority.NEW
    asked = (metadata.get("annotations") or {}).get(RECONCILE_ANNOTATION)
    if ready is None or ready.get("observedGeneration") != generation or asked != status.get("lastHandledReconcile"):
        return Priority.EDIT
    return Priority.RESYNC if ready_generation(status) == generation else Priority.WAITING


def where_of(resource: Resource) -> str | None:
    """Account and region, as the budget counts; None: nothing has been created yet."""
    aws = (resource.get("status") or {}).get("aws")
    return f"{aws['accountID']}/{aws['region']}" if aws else None
