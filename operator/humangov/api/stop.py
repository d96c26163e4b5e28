"""Whether a tenant is stopped: nothing of it may be erased, whoever would erase it. Pure.

One value for every reason to stop, and one place that finds it: the operator, sweep, redrive and final stream read
ask `stop_of`. Two sources are people's: the annotation `humangov.io/stop` of a HumanGovState, and the ConfigMap
`humangov-stop` in the operator's namespace, for every HumanGovState. It counts that they are there: their text is only
the reason. Two are the operator's: an erasure limit that was reached and not approved since, and a legal hold that the
function does not have yet. The operator also stops a tenant whose names are not allowed any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from humangov.api.conditions import STOPPED, find_condition
from humangov.api.erasure_limit import is_approved, reached_in
from humangov.api.spec import Tenant
from humangov.api.times import parse_time, timestamp

STOP_ANNOTATION = "humangov.io/stop"
STOP_CONFIG_MAP = "humangov-stop"
STOP_FIELD_MANAGER = "humangov-stop"
REASON_KEY = "reason"
WARN_AFTER = timedelta(hours=12)
"""DynamoDB's stream forgets after 24 hours: as long again is left to act."""

Source = Literal["Annotation", "ConfigMap", "ErasureLimit", "Hold", "NotAllowed"]


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Why a tenant is stopped.

    reason  what people wrote, or ""
    since   as the API server dated it; None: not known
    by      the field manager that wrote it; "": not known
    place   where it is, for people: `annotation humangov.io/stop`
    remedy  how it ends: a sentence, without a full stop
    """

    source: Source
    reason: str
    since: datetime | None
    by: str
    place: str
    remedy: str

    @property
    def sentence(self) -> str:
        """Who, why and since when."""
        since = f" since {timestamp(self.since)}" if self.since else ""
        by = f", written by field manager {self.by}" if self.by else ""
        return f"stopped{since} by {self.place}{by}: {self.reason or 'no reason was given'}"


_STOP_FIELD = ("f:metadata", "f:annotations", f"f:{STOP_ANNOTATION}")
_HOLD_FIELD = ("f:spec", "f:hold", "f:reason")


def stop_of(resource: Mapping[str, Any], *, of_all: Stop | None) -> Stop | None:
    """The stop of one HumanGovState, or None. of_all: `stop_of_all`."""
    metadata = resource.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    if STOP_ANNOTATION not in annotations:
        return of_all or _by_erasure_limit(resource) or _by_hold(resource)
    manager, at = written_by(metadata, *_STOP_FIELD)
    return Stop(
        source="Annotation",
        reason=str(annotations[STOP_ANNOTATION] or "").strip(),
        since=at,
        by=manager,
        place=f"annotation {STOP_ANNOTATION}",
        remedy=f"To start it: humangov start {metadata.get('namespace', 'default')}/{metadata.get('name')}",
    )


def _by_erasure_limit(resource: Mapping[str, Any]) -> Stop | None:
    metadata = resource.get("metadata") or {}
    reached = reached_in(resource.get("status") or {})
    if reached is None or is_approved(reached, metadata.get("annotations") or {}):
        return None
    return Stop(
        source="ErasureLimit",
        reason=f"the function reached its limit of erasures in an hour and returned {reached.limited:,} records to "
        "Lambda. If the records were removed on purpose, approve; otherwise restore the table first: a file that a "
        "record names again stays",
        since=reached.at,
        by="",
        place="spec.trigger.maximumErasuresPerHour",
        remedy=f"To start it: humangov approve {metadata.get('namespace', 'default')}/{metadata.get('name')}",
    )


def _by_hold(resource: Mapping[str, Any]) -> Stop | None:
    """Until the function has the hold: it then erases nothing by itself, and what it would have erased is kept."""
    spec, status, metadata = (resource.get(part) or {} for part in ("spec", "status", "metadata"))
    hold = spec.get("hold") if isinstance(spec, Mapping) else None
    if not hold or status.get("hold"):
        return None
    manager, at = written_by(metadata, *_HOLD_FIELD)
    return Stop(
        source="Hold",
        reason=str((hold.get("reason") if isinstance(hold, Mapping) else hold) or "").strip(),
        since=at,
        by=manager,
        place="spec.hold, which the function does not have yet",
        remedy="No action is needed: the operator starts it once the function has the legal hold",
    )


def stop_of_withdrawn() -> Stop:
    """Of a tenant that has AWS resources, and whose names are not allowed any more."""
    return Stop(
        source="NotAllowed",
        reason="its namespace may no longer use names that it declares",
        since=None,
        by="",
        place="--allowed-names",
        remedy="To start it, ask the operator's administrator to allow its names. A deletion does not wait for that",
    )


def stop_of_all(config_map: Mapping[str, Any] | None) -> Stop | None:
    """The stop of every HumanGovState, from the ConfigMap; None where there is no ConfigMap."""
    if config_map is None:
        return None
    metadata = config_map.get("metadata") or {}
    manager, at = written_by(metadata, "f:data", f"f:{REASON_KEY}")
    return Stop(
        source="ConfigMap",
        reason=str((config_map.get("data") or {}).get(REASON_KEY) or "").strip(),
        since=at or parse_time(metadata.get("creationTimestamp")),
        by=manager,
        place=f"ConfigMap {metadata.get('namespace', '')}/{metadata.get('name', STOP_CONFIG_MAP)}",
        remedy="To start it: humangov start --all",
    )


def why_stopped(resource: Mapping[str, Any], *, of_all: Stop | None) -> str | None:
    """Why a component other than the operator must not erase a file of this HumanGovState; None: it is not stopped.

    The operator's condition counts as well: it knows of stops of which neither annotation nor ConfigMap tells.
    """
    stop = stop_of(resource, of_all=of_all)
    if stop is not None:
        return f"the HumanGovState is {stop.sentence}. {stop.remedy}"
    condition = find_condition(resource.get("status") or {}, STOPPED)
    if condition is not None and condition["status"] != "False":
        return f"the HumanGovState's condition {STOPPED} is {condition['status']}: {condition['message']}"
    return None


def why_not_erase(tenant: Tenant) -> str | None:
    """Why a component other than the operator must not erase a file, although the tenant is not stopped; else None.

    It may read, and a sweep may find orphans.
    """
    if tenant.hold is not None:
        return f"there is a legal hold (spec.hold): {tenant.hold.reason}"
    return None if tenant.trigger.enabled else "spec.trigger.enabled is false"


def while_stopped(tenant: Tenant) -> Tenant:
    """What is desired of a stopped tenant: as declared, but nothing invokes the function."""
    return replace(
        tenant,
        function=replace(tenant.function, reserved_concurrency=0),
        trigger=replace(tenant.trigger, enabled=False),
    )


def writers_of_stops(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of metadata.managedFields, what says who wrote a stop or a hold, and when; the rest may be long."""
    found = []
    for one in metadata.get("managedFields") or ():
        fields: dict[str, Any] = {}
        for path in (_STOP_FIELD, _HOLD_FIELD):
            if _has(one.get("fieldsV1") or {}, path):
                top, middle, last = path
                fields[top] = {middle: {last: {}}}
        if fields:
            found.append({"manager": one.get("manager"), "time": one.get("time"), "fieldsV1": fields})
    return found


def written_by(metadata: Mapping[str, Any], *path: str) -> tuple[str, datetime | None]:
    """The field manager that wrote a field last, and when; `("", None)` if that is not known."""
    owners = [one for one in metadata.get("managedFields") or () if _has(one.get("fieldsV1") or {}, path)]
    if not owners:
        return "", None
    last = max(owners, key=lambda one: str(one.get("time") or ""))
    return str(last.get("manager") or ""), parse_time(last.get("time"))


def _has(fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    found: Any = fields
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return False
        found = found[name]
    return True
