"""Whether the trigger works: records that are written reach the function, and it handles them. Pure.

Lambda's state `Enabled` says how the trigger is configured. What Lambda reports of its last attempt stands beside it,
and what came of the invocations is in CloudWatch. What lasts five minutes is shown: not Ready, action required. Since
when is in status.failingSince, so that a restart of the operator does not begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from humangov.api.conditions import Finding, find_condition
from humangov.api.times import parse_time, timestamp
from humangov.aws import resources, trigger
from humangov.aws.resources import STREAM, TRIGGER, Observations
from humangov.aws.stream_lag import StreamLag
from humangov.reconcile.context import Reconciliation

STATUS_FIELD = "failingSince"
SHOWN_AFTER = timedelta(minutes=5)
_AGAIN_SECONDS = 60.0
_LAG_IS_VALID = timedelta(minutes=15)
_BEFORE_FIRST_READ = 10  # reconciliations of a process: minutes, by their back-off
TRIGGER_PROBLEM = "TriggerProblem"
FUNCTION_FAILING = "FunctionFailing"
_REASONS = (TRIGGER_PROBLEM, FUNCTION_FAILING)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """since: when it was first seen that nothing is handled; None: it works, or nothing is to be handled now."""

    since: datetime | None = None
    finding: Finding | None = None

    @property
    def status(self) -> str | None:
        """status.failingSince; None: absent."""
        return timestamp(self.since) if self.since else None


@dataclass(frozen=True, kw_only=True)
class Cause:
    """reason: of condition TriggerReady."""

    reason: str
    message: str


def state(this: Reconciliation, observed: Observations, found: Finding, *, lag: StreamLag | None) -> Delivery:
    """found: condition TriggerReady, as the trigger is configured. lag: CloudWatch's last values of this process."""
    since = since_of(this.stored_status)
    if this.context.stopped or this.tenant.hold is not None or this.tenant.deleting or not this.tenant.trigger.enabled:
        return Delivery()
    triggers = resources.observation(observed, TRIGGER)
    if triggers is None or found.status != "True":
        return Delivery(since=since)  # something else is wrong, and is shown; of this nothing new is known
    now = this.context.now
    recent = lag if lag is not None and lag.read_at is not None and now - lag.read_at < _LAG_IS_VALID else None
    desired = trigger.desired(this.names, this.context, table=resources.observation(observed, STREAM))
    cause = cause_of(trigger.problem(triggers, desired), recent, since=since)
    unread = lag is None and this.memory.reconciliations < _BEFORE_FIRST_READ
    if cause is None and unread and _shown(this.stored_status) == FUNCTION_FAILING:
        return _as_shown(this, since)  # CloudWatch has shown it to the process before, and this one is just starting
    if cause is None:
        return Delivery()
    since = since or now
    if now - since < SHOWN_AFTER:
        return Delivery(since=since, finding=replace(found, requeue_after_seconds=_AGAIN_SECONDS))
    message = (
        f"since {timestamp(since)} no record has been handled: {cause.message}. The files of deleted records stay "
        f"meanwhile, and the stream keeps records for 24 hours. {_remedy(this, cause)}"
    )
    if cause.reason == FUNCTION_FAILING:
        return Delivery(since=since, finding=Finding.action_required(FUNCTION_FAILING, message))
    return Delivery(since=since, finding=Finding.action_required(TRIGGER_PROBLEM, message))


def since_of(status: Mapping[str, Any]) -> datetime | None:
    """As the status has recorded it."""
    return parse_time(status.get(STATUS_FIELD) or "")


def cause_of(problem: str | None, lag: StreamLag | None, *, since: datetime | None = None) -> Cause | None:
    """Why nothing is handled; None: as far as is known, something is.

    problem: Lambda's words on its last attempt, which may be of one batch among others. since: of the problem.
    """
    if lag is not None and lag.failing_erasures > 1:  # a single record is retried for seconds
        text = "the function could not erase the file of any record of the last minutes"
        return Cause(reason=FUNCTION_FAILING, message=text)
    if problem is not None:
        if lag is not None and _some_succeed(lag, since):
            return None
        return Cause(reason=TRIGGER_PROBLEM, message=f"Lambda reports {problem.rstrip('.')}")
    if lag is not None and lag.failing_invocations:
        text = "every invocation of the function of the last minutes ended with an error"
        return Cause(reason=FUNCTION_FAILING, message=text)
    return None


def _some_succeed(lag: StreamLag, since: datetime | None) -> bool:
    """Whether some invocation succeeded since the problem was first seen; before it is, in the last minutes."""
    if lag.succeeded_at is None or lag.read_at is None:
        return False
    return lag.succeeded_at >= (lag.read_at - SHOWN_AFTER if since is None else since)


def _remedy(this: Reconciliation, cause: Cause) -> str:
    names, again = this.names, "The operator keeps looking"
    log = f"log group {names.tenant.log_group_name} says why"
    if cause.reason == FUNCTION_FAILING:
        return f"{log[0].upper()}{log[1:]}: correct that, for example a bucket policy that denies the role. {again}"
    return (
        f"If Lambda can't read the stream, find the policy that denies role {names.role_arn} access to it: of the "
        f"organization, of the permissions boundary, or of the table's KMS key. If the function fails, {log}. {again}"
    )


def _shown(status: Mapping[str, Any]) -> str | None:
    condition = find_condition(status, TRIGGER)
    return str(condition["reason"]) if condition and condition["reason"] in _REASONS else None


def _as_shown(this: Reconciliation, since: datetime | None) -> Delivery:
    condition = find_condition(this.stored_status, TRIGGER) or {}
    return Delivery(since=since, finding=Finding.action_required(condition["reason"], condition["message"]))
