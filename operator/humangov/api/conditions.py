"""What people see: findings → conditions and events. Pure.

The rules are kstatus's (sigs.k8s.io/cli-utils/pkg/kstatus): Ready is always present, Reconciling and Stalled never
hold together, only Stalled=True means failed, and no condition is newer or older than the generation it is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from humangov.api.times import parse_time, timestamp

# Conditions of single resources, in the order in which they are reported.
TRIGGER_READY = "TriggerReady"
PARTS = ("StreamReady", "RoleReady", "LogGroupReady", "FunctionReady", TRIGGER_READY, "BucketReady")
# A warning, present from the first failed invocation on. Ready does not depend on it.
FAILURES_HANDLED = "FailuresHandled"
# The result of the last sweep; present where sweeps are enabled.
SWEEP_SUCCEEDED = "SweepSucceeded"
# Whether records reach the function in time; present from the first stream lag on.
RECORDS_DELIVERED = "RecordsDelivered"
# Whether the function received all records; present from the first that may be lost on.
RECORDS_HANDLED = "RecordsHandled"
# Whether nothing may be erased; present from the first stop on.
STOPPED = "Stopped"
# The legal hold; present from the first one on. True: nothing is erased.
HELD = "Held"
_WARNINGS = (FAILURES_HANDLED, RECORDS_DELIVERED, RECORDS_HANDLED, SWEEP_SUCCEEDED)
OWN_CONDITIONS = ("Ready", "Reconciling", "Stalled", *PARTS, STOPPED, HELD, *_WARNINGS)
_OWN_FIELDS = (
    "observedGeneration", "aws", "functionName", "mappings", "lastHandledReconcile", "lastHandledSweep", "hold",
    "erasureLimit", "sweepSchedule", "failingSince", "waitingSince", "records",
)  # fmt: skip
# What others did to a resource that is in sync, and that people should know of.
_NOTABLE = {"LogGroupReady": ("ReceiptsSentElsewhere", "ReceiptsMasked")}
MISSING_IS_STALLED_AFTER_SECONDS = 15 * 60
MESSAGE_LIMIT = 4000
RIPENS_SECONDS = 1.0  # where nothing says better when to ask again


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The state of one resource, or of the tenant as a whole.

    `status` is True (in sync), Unknown (in progress) or, with `stalled`, False (action required).
    `soon` tells the queue which back-off a failure takes. `ripens`: what AWS needs time for, which decides when it is
    asked again (reconcile/ripening.py); empty: requeue_after_seconds does.
    """

    status: str
    reason: str
    message: str
    stalled: bool = False
    failed: bool = False  # the reconciliation failed: the queue backs off
    soon: bool = True
    requeue_after_seconds: float | None = None
    waits_for_others: bool = False  # a consequence: another resource is the cause
    ripens: str = ""
    usable: bool = False  # others may stand on it all the same: what is unknown of it is not what they need
    throttled: bool = False  # AWS, or the operator itself, takes no more calls for now: says nothing of the resource

    @property
    def carries(self) -> bool:
        """Whether other resources may stand on it."""
        return self.status == "True" or self.usable

    @classmethod
    def in_sync(cls, reason: str, message: str) -> Finding:
        return cls(status="True", reason=reason, message=message)

    @classmethod
    def waiting(
        cls, reason: str, message: str, *, requeue_after_seconds: float | None = None, for_others: bool = False
    ) -> Finding:
        """Nothing is wrong; AWS needs time, or another resource does (`for_others`)."""
        return cls(
            status="Unknown", reason=reason, message=message, requeue_after_seconds=requeue_after_seconds,
            waits_for_others=for_others,
        )  # fmt: skip

    @classmethod
    def ripening(cls, reason: str, message: str, *, of: str, for_others: bool = False) -> Finding:
        """Nothing is wrong; AWS needs time for what it always needs time for. of: its kind."""
        return replace(
            cls.waiting(reason, message, requeue_after_seconds=RIPENS_SECONDS, for_others=for_others), ripens=of
        )

    @classmethod
    def transient(cls, reason: str, message: str, *, soon: bool) -> Finding:
        """A transient error: a retry is expected to succeed."""
        return cls(status="Unknown", reason=reason, message=message, failed=True, soon=soon)

    @classmethod
    def warning(cls, reason: str, message: str) -> Finding:
        """False, although the tenant's AWS resources are as declared."""
        return cls(status="False", reason=reason, message=message)

    @classmethod
    def action_required(cls, reason: str, message: str) -> Finding:
        """Retried at long intervals all the same: after the remedy the tenant recovers without kubectl."""
        return cls(status="False", reason=reason, message=message, stalled=True, failed=True, soon=False)


@dataclass(frozen=True, kw_only=True)
class Event:
    """A Kubernetes Event, posted on transitions only."""

    kind: str  # Normal or Warning
    reason: str
    message: str


def missing(finding: Finding, *, kind: str, since: datetime, now: datetime) -> Finding:
    """A table or bucket, which users create, does not exist: waited for; after 15 minutes action is required."""
    if (now - since).total_seconds() < MISSING_IS_STALLED_AFTER_SECONDS:
        return replace(finding, requeue_after_seconds=5)
    return replace(
        finding,
        status="False",
        stalled=True,
        failed=True,  # the queue backs off: it is looked for ever more seldom
        soon=False,
        requeue_after_seconds=None,
        message=f"{finding.message}; the {kind} has been missing for over 15 minutes. Create it, or delete the "
        "HumanGovState and apply one with the correct name. The operator keeps checking",
    )


def missing_since(previous: Mapping[str, Any], *, part: str, reason: str, now: datetime) -> datetime:
    """Since when a resource has been missing, according to its condition (which survives a restart).

    Unknown → False keeps the same reason but moves lastTransitionTime; False means that the time has passed.
    """
    condition = find_condition(previous, part)
    if condition is None or condition["reason"] != reason:
        return now
    if condition["status"] == "False":
        return datetime.min.replace(tzinfo=now.tzinfo)
    return parse_time(condition["lastTransitionTime"]) or now


def find_condition(status: Mapping[str, Any], condition_type: str) -> Mapping[str, Any] | None:
    """One condition of a status by its type."""
    for condition in status.get("conditions") or ():
        if condition["type"] == condition_type:
            return dict(condition)
    return None


def ready_generation(status: Mapping[str, Any]) -> int | None:
    """The generation for which a status reports Ready; None if it does not."""
    ready = find_condition(status, "Ready")
    return int(ready["observedGeneration"]) if ready and ready["status"] == "True" else None


def steady(finding: Finding, *, previous: Mapping[str, Any], part: str, generation: int) -> Finding:
    """A transient error of something that was in sync at this generation is retried before it is reported.

    Otherwise every throttled read would flap Ready, and Argo CD would refresh on each flap.
    """
    condition = find_condition(previous, part)
    if (
        finding.failed
        and finding.soon
        and condition is not None
        and condition["status"] == "True"
        and condition.get("observedGeneration") == generation
    ):
        return replace(finding, status="True", reason=condition["reason"], message=condition["message"])
    return finding


def summary(findings: Mapping[str, Finding], *, ready_reason: str, ready_message: str) -> Finding:
    """Ready, from the resources: action required first, then what is in progress, else in sync."""
    ordered = [findings[part] for part in PARTS if part in findings]
    stalled = [finding for finding in ordered if finding.stalled]
    if stalled:
        return replace(stalled[0], message=_join(stalled))
    unready = [finding for finding in ordered if finding.status != "True"]
    if unready:
        # The causes: their consequences are in the conditions of the resources that wait.
        causes = [finding for finding in unready if not finding.waits_for_others] or unready
        return replace(causes[0], message=_join(causes))
    return Finding.in_sync(ready_reason, ready_message)


def compose(
    previous: Mapping[str, Any],
    *,
    generation: int,
    ready: Finding,
    findings: Mapping[str, Finding],
    now: datetime,
    fields: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole status that the operator owns. Equal facts give an equal status: nothing then needs writing."""
    reconciling = Finding(
        status="True" if ready.status == "Unknown" else "False",
        reason=ready.reason,
        message=ready.message if ready.status == "Unknown" else "nothing is in progress",
    )
    stalled = Finding(
        status="True" if ready.stalled else "False",
        reason=ready.reason,
        message=ready.message if ready.stalled else "no action required",
    )
    conditions = {"Ready": ready, "Reconciling": reconciling, "Stalled": stalled}
    for name in (STOPPED, HELD):
        found = findings.get(name, _stored(previous, name))
        if found:
            conditions[name] = found
    for part in PARTS:
        if part in findings:
            conditions[part] = findings[part]
    for name in (FAILURES_HANDLED, RECORDS_DELIVERED, RECORDS_HANDLED):
        warned = _stored(previous, name)
        warning = findings.get(name, warned)
        if warning and (warned or warning.status != "True" or warning.reason == HELD):
            conditions[name] = warning
    swept = findings.get(SWEEP_SUCCEEDED, _stored(previous, SWEEP_SUCCEEDED))
    if swept:
        conditions[SWEEP_SUCCEEDED] = swept
    return {
        **{key: value for key, value in fields.items() if value is not None},
        "observedGeneration": generation,
        "conditions": [
            _condition(previous, name, finding, generation=generation, now=now) for name, finding in conditions.items()
        ],
    }


def amended(previous: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """The operator's own part of a stored status, with other values of these fields."""
    own = {name: previous[name] for name in _OWN_FIELDS if previous.get(name) is not None}
    conditions = [one for one in previous.get("conditions") or () if one["type"] in OWN_CONDITIONS]
    return {**own, "conditions": conditions, **fields}


def differs(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a composed status differs from the stored one, apart from what others wrote."""
    return _own(before) != _own(after)


def _own(status: Mapping[str, Any]) -> dict[str, Any]:
    conditions = {one["type"]: one for one in status.get("conditions") or () if one["type"] in OWN_CONDITIONS}
    return {**{field: status.get(field) for field in _OWN_FIELDS}, "conditions": conditions}


def transitions(old: Mapping[str, Any], new: Mapping[str, Any], *, own_doing: bool) -> list[Event]:
    """The events of a status change: Ready became True, False (or for another reason), or Unknown.

    `own_doing`: this reconciliation changed something, so Ready being Unknown for a moment is expected.
    """
    warnings = [event for name in _WARNINGS for event in _of_warning(name, old, new)]
    notable = [event for name, reasons in _NOTABLE.items() for event in _of_notable(name, reasons, old, new)]
    ready = _of_ready(old, new, own_doing=own_doing)
    # Of a stop, Ready says the same as Stopped, and what else is wrong: it is told once.
    stop = [event for event in _of_stop(old, new) if not any(_says(one, event) for one in ready)]
    return [*ready, *stop, *_of_hold(old, new), *warnings, *notable]


def _says(one: Event, other: Event) -> bool:
    return one.reason == other.reason and one.message.startswith(other.message)


def _of_stop(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Event]:
    """Stopped, Started, and StoppedForLong; of one that is only tried, Ready tells."""
    before, after = find_condition(old, STOPPED), find_condition(new, STOPPED)
    if after is None or after["status"] == "Unknown" or (before or {}).get("reason") == after["reason"]:
        return []
    if after["status"] == "False":
        return [Event(kind="Normal", reason=after["reason"], message=after["message"])] if before else []
    return [Event(kind="Warning", reason=after["reason"], message=after["message"])]


def _of_hold(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Event]:
    """It begins, is in effect, ends."""
    before, after = find_condition(old, HELD), find_condition(new, HELD)
    if after is None or (before or {}).get("reason") == after["reason"]:
        return []
    return [Event(kind="Normal", reason=after["reason"], message=after["message"])]


def _of_notable(name: str, reasons: Sequence[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Event]:
    """It came, or is another now."""
    before, after = find_condition(old, name) or {}, find_condition(new, name)
    if after is None or after["reason"] not in reasons:
        return []
    if (before.get("reason"), before.get("message")) == (after["reason"], after["message"]):
        return []
    return [Event(kind="Warning", reason=after["reason"], message=after["message"])]


def _of_warning(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Event]:
    before, after = find_condition(old, name), find_condition(new, name)
    if after is None or after["status"] == (before["status"] if before else "True"):
        return []
    if after["status"] == "Unknown":
        return []
    kind = "Warning" if after["status"] == "False" else "Normal"
    return [Event(kind=kind, reason=after["reason"], message=after["message"])]


def _of_ready(old: Mapping[str, Any], new: Mapping[str, Any], *, own_doing: bool) -> list[Event]:
    before, after = find_condition(old, "Ready"), find_condition(new, "Ready")
    if after is None:
        return []
    was = (before["status"], before["reason"]) if before else (None, None)
    if (after["status"], after["reason"]) == was:
        return []
    if after["status"] == "True":
        return [Event(kind="Normal", reason=after["reason"], message=after["message"])]
    if after["status"] == "False":
        stalled = find_condition(new, "Stalled")
        kind = "Warning" if stalled is not None and stalled["status"] == "True" else "Normal"
        return [Event(kind=kind, reason=after["reason"], message=after["message"])]
    if (
        not own_doing
        and was[0] in ("True", "False")
        and before
        and before.get("observedGeneration") == after["observedGeneration"]
    ):
        return [Event(kind="Warning", reason=after["reason"], message=after["message"])]
    return []


def _stored(status: Mapping[str, Any], condition_type: str) -> Finding | None:
    condition = find_condition(status, condition_type)
    if condition is None:
        return None
    return Finding(status=condition["status"], reason=condition["reason"], message=condition["message"])


def _condition(
    previous: Mapping[str, Any], name: str, finding: Finding, *, generation: int, now: datetime
) -> dict[str, Any]:
    before = find_condition(previous, name)
    unchanged = before is not None and before["status"] == finding.status
    return {
        "type": name,
        "status": finding.status,
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if before and unchanged else timestamp(now),
        "reason": finding.reason,
        "message": finding.message[:MESSAGE_LIMIT],
    }


def _join(findings: Sequence[Finding]) -> str:
    """Each message once, in order."""
    return "; ".join(dict.fromkeys(finding.message for finding in findings if finding.message))
