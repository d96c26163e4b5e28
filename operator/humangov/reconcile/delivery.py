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
from humangov.aws import resources, trigger_mappings
from humangov.aws.event_source_mapping import MappingObserved
from humangov.aws.resources import ROLE, TRIGGER, Observations
from humangov.aws.stream_lag import StreamLag
from humangov.reconcile.context import Reconciliation

STATUS_FIELD = "failingSince"
SHOWN_AFTER = timedelta(minutes=5)
_AGAIN_SECONDS = 60.0
_LAG_IS_VALID = timedelta(minutes=15)
_BEFORE_FIRST_READ = 10  # reconciliations of a process: minutes, by their back-off
TRIGGER_PROBLEM = "TriggerProblem"
FUNCTION_FAILING = "FunctionFailing"
NOT_DELIVERED = "RecordsNotDelivered"
_REASONS = (TRIGGER_PROBLEM, FUNCTION_FAILING, NOT_DELIVERED)
_FROM_CLOUDWATCH = (FUNCTION_FAILING, NOT_DELIVERED)
# The longest batching window, and as long again as Lambda needs at most otherwise.
_DELIVERED_WITHIN = timedelta(minutes=10)
_BEGINS_WITHIN = timedelta(minutes=15)  # a trigger that was just enabled or changed


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """since: when it was first seen that nothing is handled; None: it works, or nothing is to be handled now.

    unread: the function does not even receive the records, which their stream loses after 24 hours; None: not known
    """

    since: datetime | None = None
    finding: Finding | None = None
    unread: bool | None = False

    @property
    def status(self) -> str | None:
        """status.failingSince; None: absent."""
        return timestamp(self.since) if self.since else None


@dataclass(frozen=True, kw_only=True)
class Cause:
    """reason: of condition TriggerReady. since: when it began, if that is known."""

    reason: str
    message: str
    since: datetime | None = None


def state(this: Reconciliation, observed: Observations, found: Finding, *, lag: StreamLag | None) -> Delivery:
    """found: condition TriggerReady, as the trigger is configured. lag: CloudWatch's last values of this process."""
    since = since_of(this.stored_status)
    if this.context.stopped or this.tenant.hold is not None or this.tenant.deleting or not this.tenant.trigger.enabled:
        return Delivery()
    triggers = resources.observation(observed, TRIGGER)
    if triggers is None or found.status != "True":
        # Something else is wrong, and is shown; of this nothing new is known.
        return Delivery(since=since, unread=None if since else False)
    desired = this.desired(observed)[TRIGGER]
    mapping, now = trigger_mappings.present(triggers, desired), this.context.now
    recent = _recent(lag, mapping, now)
    cause = cause_of(mapping.problem if mapping else None, recent, since=since)
    if cause is None:
        unread = lag is None and this.memory.reconciliations < _BEFORE_FIRST_READ
        # Has CloudWatch shown it to the process before, and is this one just starting?
        return _as_shown(this, since) if unread and _shown(this.stored_status) in _FROM_CLOUDWATCH else Delivery()
    since = since or cause.since or now
    lost = cause.reason != FUNCTION_FAILING and not _is_received(recent)
    if now - since < SHOWN_AFTER:
        return Delivery(since=since, finding=replace(found, requeue_after_seconds=_AGAIN_SECONDS), unread=lost)
    remedy = _remedy(this, cause, uuid=mapping.uuid if mapping else "UUID", observed=observed)
    return Delivery(since=since, finding=_finding(cause, since, remedy), unread=lost)


def _recent(lag: StreamLag | None, mapping: MappingObserved | None, now: datetime) -> StreamLag | None:
    """CloudWatch's values, if they still say something; that nothing is delivered only of a trigger that had time."""
    if lag is None or lag.read_at is None or now - lag.read_at >= _LAG_IS_VALID:
        return None
    changed_at = mapping.changed_at if mapping is not None else None
    has_begun = changed_at is not None and now - changed_at >= _BEGINS_WITHIN
    return lag if has_begun else replace(lag, undelivered_since=None)


def _is_received(lag: StreamLag | None) -> bool:
    """Whether the function was invoked lately, successfully or not."""
    return lag is not None and (lag.failing_invocations > 0 or lag.succeeded_at is not None)


def _finding(cause: Cause, since: datetime, remedy: str) -> Finding:
    message = (
        f"since {timestamp(since)} no record has been handled: {cause.message}. The files of deleted records stay "
        f"meanwhile, and the stream keeps records for 24 hours. {remedy}"
    )
    match cause.reason:
        case "FunctionFailing":
            return Finding.action_required("FunctionFailing", message)
        case "RecordsNotDelivered":
            return Finding.action_required("RecordsNotDelivered", message)
        case _:
            return Finding.action_required("TriggerProblem", message)


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
    return _undelivered(lag) if lag is not None else None


def _undelivered(lag: StreamLag) -> Cause | None:
    """Records were written, and none was delivered. A write may change nothing, which makes no record: that alone is
    no cause, and of a table that is not written to nothing is said.
    """
    since, way = lag.undelivered_since, lag.way
    if since is None or way is None or lag.read_at is None or lag.read_at - since < _DELIVERED_WITHIN:
        return None
    if way.throttled:
        text = "Lambda throttles every invocation of the function"
    elif way.read:
        text = "the table's stream has records, and Lambda does not invoke the function with them"
    elif not way.reads:
        text = "the table is written to, and Lambda does not read its stream"
    else:
        return None
    return Cause(reason=NOT_DELIVERED, message=f"{text}, although the trigger is enabled", since=since)


def _some_succeed(lag: StreamLag, since: datetime | None) -> bool:
    """Whether some invocation succeeded since the problem was first seen; before it is, in the last minutes."""
    if lag.succeeded_at is None or lag.read_at is None:
        return False
    return lag.succeeded_at >= (lag.read_at - SHOWN_AFTER if since is None else since)


def _remedy(this: Reconciliation, cause: Cause, *, uuid: str, observed: Observations) -> str:
    names, again = this.names, "The operator keeps checking"
    log = f"log group {names.tenant.log_group_name} says why"
    older = _of_older_policies(observed)
    match cause.reason:
        case "FunctionFailing":
            denied = "correct that, for example a bucket policy that denies the role"
            return f"{log[0].upper()}{log[1:]}: {denied}. {older}{again}"
        case "RecordsNotDelivered":
            return (
                "Check the account's concurrency limit for Lambda. If nothing is throttled, delete the trigger (aws "
                f"lambda delete-event-source-mapping --uuid {uuid}): the operator creates it again, and it reads the "
                f"stream from its oldest record. {again}"
            )
        case _:
            return (
                f"If Lambda can't read the stream, find the policy that denies role {names.role_arn} access to it: of "
                "the organization, of the permissions boundary, or of the table's KMS key. If the function fails, "
                f"{log}. {older}{again}"
            )


def _of_older_policies(observed: Observations) -> str:
    """AWS stores a role in a resource policy by its unique ID: a role created again under its name is not meant.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-roles
    """
    role = resources.observation(observed, ROLE)
    if role is None or role.created is None:
        return ""
    return (
        f"The role was created at {timestamp(role.created)}. A policy of the bucket or of a KMS key that was saved "
        "before that names a former role of that name, so save it again. "
    )


def _shown(status: Mapping[str, Any]) -> str | None:
    condition = find_condition(status, TRIGGER)
    return str(condition["reason"]) if condition and condition["reason"] in _REASONS else None


def _as_shown(this: Reconciliation, since: datetime | None) -> Delivery:
    condition = find_condition(this.stored_status, TRIGGER) or {}
    finding = Finding.action_required(condition["reason"], condition["message"])
    return Delivery(since=since, finding=finding, unread=condition["reason"] == NOT_DELIVERED)
