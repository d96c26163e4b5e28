"""What a report knows beside receipts: the log group, and what the HumanGovState shows when the report is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from humangov.api.conditions import FAILURES_HANDLED, HELD, RECORDS_DELIVERED, STOPPED, SWEEP_SUCCEEDED, find_condition
from humangov.api.erasure_limit import APPROVE_ERASURES_ANNOTATION
from humangov.api.names import Names
from humangov.api.signatures import signer
from humangov.api.spec import APPROVE_ANNOTATION, Tenant
from humangov.api.stop import STOP_ANNOTATION, written_by
from humangov.api.times import duration, timestamp
from humangov.aws.error_words import SDK_ERRORS, without_names

_SHOWN_CONDITIONS = ("Ready", "BucketReady", STOPPED, HELD, RECORDS_DELIVERED, FAILURES_HANDLED, SWEEP_SUCCEEDED)
_TRIGGER = "whether deletions reach the function; a stop overrides it"
_DEEDS = {
    STOP_ANNOTATION: "stopped it",
    APPROVE_ANNOTATION: "approved the orphan list with the checksum",
    APPROVE_ERASURES_ANNOTATION: "approved the erasure limit that was reached at",
}


@dataclass(frozen=True, kw_only=True)
class LogGroup:
    """Where the receipts are. exists: None, and problem: it could not be asked. retention_days None: for ever."""

    name: str
    region: str
    exists: bool | None
    created: datetime | None = None
    retention_days: int | None = None
    problem: str | None = None


class Deed(NamedTuple):
    """What a person did, as an annotation shows it. by: the field manager that wrote it; at: when; "": not known.

    signed: the username beside an approval, which the admission policies authenticate; "": nobody signed
    """

    what: str
    value: str
    by: str
    at: str
    signed: str = ""


class Setting(NamedTuple):
    """field: its path in the HumanGovState."""

    field: str
    value: str
    meaning: str


class Condition(NamedTuple):
    type: str
    status: str
    reason: str
    message: str
    since: str


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What the HumanGovState shows now. An earlier state of it is recorded nowhere."""

    suspended: bool
    trigger_enabled: bool
    sweeps_suspended: bool
    sweep_mode: str
    hold: str | None
    settings: Sequence[Setting]
    deeds: Sequence[Deed]
    conditions: Sequence[Condition]
    has_status: bool

    def condition(self, name: str) -> Condition | None:
        return next((one for one in self.conditions if one.type == name), None)


def log_group(logs: Any, *, name: str, region: str) -> LogGroup:
    """Raises nothing of AWS. IAM action logs:DescribeLogGroups."""
    try:
        pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
        found = next((one for page in pages for one in page["logGroups"] if one["logGroupName"] == name), None)
    except SDK_ERRORS as error:
        return LogGroup(name=name, region=region, exists=None, problem=without_names(error))
    if found is None:
        return LogGroup(name=name, region=region, exists=False)
    created = found.get("creationTime")
    return LogGroup(
        name=name, region=region, exists=True, retention_days=found.get("retentionInDays"),
        created=None if created is None else datetime.fromtimestamp(created / 1000, UTC),
    )  # fmt: skip


def declared(resource: Mapping[str, Any], names: Names) -> Declared:
    """Pure. No secret: neither the external ID nor tags are shown."""
    tenant, status = names.tenant, resource.get("status") or {}
    return Declared(
        suspended=tenant.suspend,
        trigger_enabled=tenant.trigger.enabled,
        sweeps_suspended=tenant.sweep.suspend,
        sweep_mode=tenant.sweep.mode,
        hold=tenant.hold.reason if tenant.hold else None,
        settings=_settings(tenant),
        deeds=_deeds(resource),
        conditions=[one for name in _SHOWN_CONDITIONS if (one := _condition(status, name)) is not None],
        has_status=bool(status.get("conditions")),
    )


def _condition(status: Mapping[str, Any], name: str) -> Condition | None:
    found = find_condition(status, name)
    if found is None:
        return None
    texts = (str(found.get(field) or "") for field in ("status", "reason", "message", "lastTransitionTime"))
    return Condition(name, *texts)


def _deeds(resource: Mapping[str, Any]) -> list[Deed]:
    metadata = resource.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    found = []
    for name, what in _DEEDS.items():
        if name in annotations:
            by, at = written_by(metadata, "f:metadata", "f:annotations", f"f:{name}")
            signed = signer(annotations, name) or ""
            found.append(Deed(what, str(annotations[name] or ""), by, timestamp(at) if at else "", signed))
    return found


def _settings(tenant: Tenant) -> list[Setting]:
    limit = tenant.trigger.maximum_erasures_per_hour
    return [
        Setting("spec.table.name", tenant.table.name, "the table of records"),
        Setting("spec.table.fileAttributes", ", ".join(tenant.table.file_attributes), "where a record names its files"),
        Setting("spec.table.fileNames", tenant.table.file_names, "Shared: records share files, so only sweeps erase"),
        Setting("spec.bucket.name", tenant.bucket.name, "the bucket of files"),
        Setting("spec.bucket.keyPrefix", tenant.bucket.key_prefix or "(none)", "how the names of its files begin"),
        Setting("spec.trigger.enabled", str(tenant.trigger.enabled).lower(), _TRIGGER),
        Setting("spec.trigger.maximumErasuresPerHour", f"{limit:,}" if limit else "no limit", "the erasure limit"),
        Setting("spec.sweep.mode", tenant.sweep.mode, "Detect: sweeps only report orphans; Delete: they erase them"),
        Setting("spec.sweep.suspend", str(tenant.sweep.suspend).lower(), "whether sweeps are paused"),
        Setting("spec.sweep.include", ", ".join(tenant.sweep.include), "only files with such names are swept"),
        Setting("spec.sweep.minimumAge", duration(tenant.sweep.minimum_age_seconds), "younger files are not swept"),
        Setting("spec.logs.retentionDays", str(tenant.logs.retention_days), "how many days receipts are kept"),
        Setting("spec.logs.onDelete", tenant.logs.on_delete, "what becomes of receipts when it is deleted"),
        Setting("spec.deletionPolicy", tenant.deletion_policy, "what becomes of AWS resources when it is deleted"),
        Setting("spec.suspend", str(tenant.suspend).lower(), "whether the operator leaves everything as it is"),
        Setting("spec.hold.reason", tenant.hold.reason if tenant.hold else "(no legal hold)", "the legal hold"),
    ]  # fmt: skip
