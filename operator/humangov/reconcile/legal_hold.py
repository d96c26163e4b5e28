"""The legal hold in a reconciliation: since when the function has it, what people see of it, and its end. Pure.

A hold begins with a stop (api/stop.py). Once the function has it, status.hold says so, and the stop ends: the function
is invoked again, and what it would have erased is kept as invocation records. Those are redriven when the hold ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from humangov.api import legal_hold
from humangov.api.conditions import HELD, Finding, find_condition
from humangov.api.spec import FINALIZER, Tenant
from humangov.api.times import timestamp
from humangov.aws import function_changes, function_environment, resources
from humangov.aws.change import Context
from humangov.aws.resources import FUNCTION, Observations, Unread
from humangov.cleanup.environment import HOLD_VARIABLE
from humangov.kube.client import Resource
from humangov.reconcile.context import Reconciliation

ENDED = Finding.warning("HoldEnded", "the legal hold has ended")
_AT_ONCE_SECONDS, _SOON_SECONDS = 0.0, 1.0


@dataclass(frozen=True, kw_only=True)
class HoldState:
    """What a reconciliation found.

    status   status.hold; None: absent
    finding  condition Held; None: as it was
    redrive  the hold is over, and what it kept is to be redriven now
    """

    status: Mapping[str, Any] | None = None
    finding: Finding | None = None
    redrive: bool = False


def with_hold(context: Context, observed: Observations) -> Context:
    """The context that knows when the hold was put on the function."""
    found = resources.observation(observed, FUNCTION)
    since = legal_hold.since_in(function_environment.of(found.configuration)) if found else None
    return replace(context, hold_since=since)


def keeps_from_deletion(tenant: Tenant, resource: Resource) -> bool:
    """Whether a tenant that is being deleted is kept as declared until its hold ends."""
    is_managed = FINALIZER in (resource["metadata"].get("finalizers") or ())
    return tenant.hold is not None and tenant.deletion_policy != "Retain" and is_managed


def state(this: Reconciliation, observed: Observations) -> HoldState:
    """observed: after the writes."""
    if this.tenant.hold is None:
        return _over(this, observed)
    found = observed[FUNCTION]
    if isinstance(found, Unread):
        return HoldState(status=this.stored_status.get("hold"))
    has_it = function_changes.has_hold(found, this.desired(observed)[FUNCTION])
    variables = function_environment.of(found.configuration) if found is not None and has_it else {}
    since = legal_hold.since_in(variables)
    if since is None:
        return HoldState(finding=_starting(this.tenant.hold.reason))
    reason, effective = variables[HOLD_VARIABLE], legal_hold.in_effect_at(since)
    status = {"reason": reason, "since": timestamp(since)}
    left = (effective - this.context.now).total_seconds()
    if left > 0:
        begun = f"invocations that began before may erase files until {timestamp(effective)}"
        finding = Finding.waiting(
            "HoldStarting", f"since {timestamp(since)} no new invocation erases files; {begun}: {reason}",
            requeue_after_seconds=left if "hold" in this.stored_status else _AT_ONCE_SECONDS,
        )  # fmt: skip
        return HoldState(status=status, finding=finding)
    again = None if "hold" in this.stored_status else _AT_ONCE_SECONDS
    text = f"nothing has been erased since {timestamp(effective)}: {reason}{_not_kept(this.tenant)}"
    finding = replace(Finding.in_sync("LegalHold", text), requeue_after_seconds=again)
    return HoldState(status=status, finding=finding)


def ready(this: Reconciliation, found: Finding) -> Finding:
    """Condition Ready of a tenant with a hold, given what it would be without. A deletion waits for a person."""
    if this.tenant.hold is None or not this.tenant.deleting:
        return found
    beside = f". In addition: {found.message}" if found.status != "True" else ""
    return replace(
        found,
        status="False",
        stalled=True,
        reason="LegalHold",
        message="the deletion waits until the legal hold ends, and the AWS resources are kept as declared: "
        f"{this.tenant.hold.reason}. Remove spec.hold to delete them, or set spec.deletionPolicy: Retain to release "
        f"them with the hold{beside}",
    )


def _starting(reason: str) -> Finding:
    return Finding.waiting(
        "HoldStarting",
        f"the function does not have the legal hold yet, and nothing may invoke it until it has; the condition Stopped "
        f"says whether it is stopped: {reason}",
        requeue_after_seconds=_SOON_SECONDS,
    )


def _not_kept(tenant: Tenant) -> str:
    if tenant.trigger.enabled:
        return ""
    return (
        ". The trigger is disabled: what would have been erased meanwhile is not kept as invocation records, and the "
        "stream forgets it after 24 hours"
    )


def _over(this: Reconciliation, observed: Observations) -> HoldState:
    """There is no hold in the spec; whether there was one, its condition says."""
    before = find_condition(this.stored_status, HELD)
    if before is None or before["status"] == "False":
        return HoldState()
    found = observed[FUNCTION]
    if isinstance(found, Unread) or (
        found is not None and legal_hold.is_in(function_environment.of(found.configuration))
    ):
        text = "the legal hold has ended, and the function still has it"
        return HoldState(finding=Finding.waiting("HoldEnding", text, requeue_after_seconds=_SOON_SECONDS))
    tenant = this.tenant
    if this.context.stopped or tenant.suspend or not tenant.trigger.enabled:
        text = "the legal hold has ended; what it kept is redriven as soon as files may be erased again"
        return HoldState(finding=Finding.waiting("HoldEnding", text))
    return HoldState(redrive=True)
