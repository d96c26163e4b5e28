"""A HumanGovState as frozen types, and every AWS name that derives from it.

The defaults here are those of crds/humangovstates.yaml; a test holds the two together. They matter where no API
server has filled them in (`humangov plan -f`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from humangov.api.arns import parse_arn
from humangov.api.times import parse_time

GROUP, VERSION, KIND, PLURAL = "humangov.io", "v1", "HumanGovState", "humangovstates"
FINALIZER = "humangov.io/cleanup"
RECONCILE_ANNOTATION = "humangov.io/reconcile"
SWEEP_ANNOTATION = "humangov.io/sweep"
APPROVE_ANNOTATION = "humangov.io/approve-sweep"
STOP_ANNOTATION = "humangov.io/stop-sweep"
_ROLE_NAME_LIMIT = 64  # IAM's; https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html


class InvalidSpecError(Exception):
    """The manifest can't be used; the message says what is wrong, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str
    file_attributes: tuple[str, ...] = ("pdf",)
    file_names: str = "Unique"


@dataclass(frozen=True, kw_only=True)
class Bucket:
    name: str
    key_prefix: str = ""


@dataclass(frozen=True, kw_only=True)
class Function:
    name: str
    runtime: str = "python3.13"
    architecture: str = "arm64"
    memory_mib: int = 512
    timeout_seconds: int = 300
    reserved_concurrency: int | None = None


@dataclass(frozen=True, kw_only=True)
class Trigger:
    enabled: bool = True
    batch_size: int = 1000
    batching_window_seconds: int = 0
    maximum_retry_attempts: int = 10
    maximum_record_age_seconds: int = 43200


@dataclass(frozen=True, kw_only=True)
class Logs:
    retention_days: int = 400
    on_delete: str = "Delete"
    kms_key_arn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Where Lambda puts what the function could not handle: under aws/lambda/ of this bucket."""

    bucket: str


@dataclass(frozen=True, kw_only=True)
class Account:
    """As whom the operator and the tenant's sweep work on it; None: under their own roles.

    `external_id` is sent with each role that is taken on.
    """

    role_arn: str | None = None
    sweep_role_arn: str | None = None
    external_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """When and how orphans are looked for. `include`: glob patterns of file names, which a key prefix is no part of."""

    schedule: str = "17 3 * * *"
    time_zone: str = "Etc/UTC"
    suspend: bool = False
    mode: str = "Report"
    include: tuple[str, ...] = ("*.pdf",)
    minimum_age_seconds: int = 24 * 3600
    confirm_after_seconds: int = 20 * 3600
    maximum_orphan_percent: int = 20
    maximum_erasures: int = 10_000


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """One HumanGovState: its spec with defaults, and what of its metadata decides anything."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    deleting: bool
    region: str
    table: Table
    bucket: Bucket
    function: Function
    trigger: Trigger
    logs: Logs
    failures: Failures
    account: Account
    sweep: Sweep
    tags: Mapping[str, str]
    deletion_policy: str
    adoption: str
    suspend: bool
    annotations: Mapping[str, str]
    files_shared: int
    """How many files the last sweep saw named by more than one record."""
    recorded_account_id: str | None
    """The account in which the operator found itself when it first worked on the tenant."""

    @property
    def account_id(self) -> str | None:
        """The AWS account that its objects are in, as far as it is known without asking."""
        role = parse_arn(self.account.role_arn or "")
        return self.recorded_account_id or (role.account_id if role else None) or None

    @property
    def key(self) -> str:
        """`namespace/name`, as the queue and the logs know the tenant."""
        return f"{self.namespace}/{self.name}"

    @property
    def role_name(self) -> str:
        """`<function>-<region>`: roles are global, functions are not. Has a digest where it would exceed IAM's 64."""
        name = f"{self.function.name}-{self.region}"
        if len(name) <= _ROLE_NAME_LIMIT:
            return name
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        kept = _ROLE_NAME_LIMIT - len(self.region) - len(digest) - 2
        return f"{self.function.name[:kept]}-{digest}-{self.region}"

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function.name}"


def parse(resource: Mapping[str, Any], *, default_region: str) -> Tenant:
    """The Tenant that a HumanGovState (as the API server or a manifest gives it) declares.

    Raises InvalidSpecError. The API server has refused nearly all of what is refused here; this is for manifests that
    no API server has seen, and for objects stored under an older definition.
    """
    if resource.get("kind") != KIND or resource.get("apiVersion") != f"{GROUP}/{VERSION}":
        raise InvalidSpecError(
            f"expected a {KIND} of {GROUP}/{VERSION}, got kind {resource.get('kind')!r} of "
            f"{resource.get('apiVersion')!r}"
        )
    metadata = resource.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise InvalidSpecError(f"metadata must be an object, not {type(metadata).__name__}")
    name = metadata.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,41}[a-z0-9])?", name):
        raise InvalidSpecError(
            f"metadata.name {name!r} must be 1 to 43 lower-case letters, digits or hyphens, without dots: "
            "the cleanup function is named after it"
        )
    spec = _section(resource, "spec", _SPEC_FIELDS, where="")
    table = _section(spec, "table", {"name": str, "fileAttributes": list, "fileNames": str})
    bucket = _section(spec, "bucket", {"name": str, "keyPrefix": str})
    function = _section(spec, "function", _FUNCTION_FIELDS)
    for section, values in (("table", table), ("bucket", bucket)):
        if not values.get("name"):
            raise InvalidSpecError(f"spec.{section}.name is required: the name of the tenant's {section}")
    file_attributes = table.get("fileAttributes") or ("pdf",)
    if not all(isinstance(attribute, str) for attribute in file_attributes):
        raise InvalidSpecError(f"spec.table.fileAttributes must be a list of strings, not {file_attributes!r}")
    if table.get("fileNames") not in (None, "Unique", "Shared"):
        raise InvalidSpecError(f"spec.table.fileNames must be Unique or Shared, not {table['fileNames']!r}")
    if spec.get("adoption") not in (None, "Never", "IfUntagged"):
        raise InvalidSpecError(f"spec.adoption must be Never or IfUntagged, not {spec['adoption']!r}")
    tags = spec.get("tags") or {}
    return Tenant(
        namespace=metadata.get("namespace") or "default",
        name=name,
        uid=metadata.get("uid") or "",
        generation=int(metadata.get("generation") or 0),
        created=parse_time(metadata.get("creationTimestamp")) or datetime.now(UTC),
        deleting=bool(metadata.get("deletionTimestamp")),
        region=spec.get("region") or default_region,
        table=Table(
            name=table["name"],
            # Sorted: the list is a set to the API server, and its order must not look like a change.
            file_attributes=tuple(sorted(set(file_attributes))),
            file_names=table.get("fileNames") or "Unique",
        ),
        bucket=Bucket(name=bucket["name"], key_prefix=bucket.get("keyPrefix") or ""),
        function=Function(
            **{"name": f"humangov-{name}-delete-file"} | _snake(function),
        ),
        trigger=Trigger(**_snake(_section(spec, "trigger", _TRIGGER_FIELDS))),
        logs=Logs(**_snake(_section(spec, "logs", _LOGS_FIELDS))),
        failures=Failures(bucket=_section(spec, "failures", {"bucket": str}).get("bucket") or bucket["name"]),
        account=Account(**_snake(_section(spec, "account", _ACCOUNT_FIELDS))),
        sweep=_sweep(spec),
        tags={str(key): str(value) for key, value in tags.items()},
        deletion_policy=spec.get("deletionPolicy") or "Delete",
        adoption=spec.get("adoption") or "Never",
        suspend=bool(spec.get("suspend", False)),
        annotations={str(key): str(value) for key, value in (metadata.get("annotations") or {}).items()},
        files_shared=_files_shared(resource),
        recorded_account_id=((resource.get("status") or {}).get("aws") or {}).get("accountID"),
    )


def seconds(duration: str, *, field: str) -> int:
    """`90m`, `24h` or `2d` in seconds. Raises InvalidSpecError."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", duration)
    if not found:
        raise InvalidSpecError(f"{field} must be a number with m, h or d, such as 24h, not {duration!r}")
    return int(found[1]) * {"m": 60, "h": 3600, "d": 86400}[found[2]]


def _sweep(spec: Mapping[str, Any]) -> Sweep:
    given = dict(_snake(_section(spec, "sweep", _SWEEP_FIELDS)))
    for name, path in (("minimum_age", "minimumAge"), ("confirm_after", "confirmAfter")):
        if name in given:
            given[f"{name}_seconds"] = seconds(given.pop(name), field=f"spec.sweep.{path}")
    if "include" in given:
        if not given["include"] or not all(isinstance(one, str) and one for one in given["include"]):
            raise InvalidSpecError(f"spec.sweep.include must be a list of patterns, not {given['include']!r}")
        given["include"] = tuple(sorted(set(given["include"])))
    if given.get("mode", "Report") not in ("Report", "Delete"):
        raise InvalidSpecError(f"spec.sweep.mode must be Report or Delete, not {given['mode']!r}")
    return Sweep(**given)


def _files_shared(resource: Mapping[str, Any]) -> int:
    told = ((resource.get("status") or {}).get("sweep") or {}).get("filesShared")
    return told if isinstance(told, int) else 0


_SPEC_FIELDS: Mapping[str, type] = {
    "region": str, "table": dict, "bucket": dict, "function": dict, "trigger": dict, "logs": dict,
    "failures": dict, "account": dict, "sweep": dict, "tags": dict, "deletionPolicy": str, "adoption": str,
    "suspend": bool,
}  # fmt: skip
_ACCOUNT_FIELDS: Mapping[str, type] = {"roleARN": str, "sweepRoleARN": str, "externalID": str}
_FUNCTION_FIELDS: Mapping[str, type] = {
    "name": str, "runtime": str, "architecture": str, "memoryMiB": int, "timeoutSeconds": int,
    "reservedConcurrency": int,
}  # fmt: skip
_TRIGGER_FIELDS: Mapping[str, type] = {
    "enabled": bool, "batchSize": int, "batchingWindowSeconds": int, "maximumRetryAttempts": int,
    "maximumRecordAgeSeconds": int,
}  # fmt: skip
_SWEEP_FIELDS: Mapping[str, type] = {
    "schedule": str, "timeZone": str, "suspend": bool, "mode": str, "include": list, "minimumAge": str,
    "confirmAfter": str, "maximumOrphanPercent": int, "maximumErasures": int,
}  # fmt: skip
_LOGS_FIELDS: Mapping[str, type] = {"retentionDays": int, "onDelete": str, "kmsKeyARN": str}


def _section(
    parent: Mapping[str, Any], name: str, known: Mapping[str, type], *, where: str = "spec."
) -> Mapping[str, Any]:
    """One object of the spec; unknown fields and wrong types are refused with their path."""
    section = parent.get(name)
    if section is None:
        section = {}
    if not isinstance(section, Mapping):
        raise InvalidSpecError(f"{where}{name} must be an object, not {type(section).__name__}")
    path = f"{where}{name}"
    for key, value in section.items():
        if key not in known:
            raise InvalidSpecError(f"{path}.{key} is not a field of {KIND}; {path} has {', '.join(known)}")
        kind = known[key]
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise InvalidSpecError(
                f"{path}.{key} must be of type {kind.__name__}, not {type(value).__name__}: {value!r}"
            )
    return section


def _snake(section: Mapping[str, Any]) -> dict[str, Any]:
    """API field names (memoryMiB, kmsKeyARN) → Python's (memory_mib, kms_key_arn); nulls are defaults."""
    return {
        re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.replace("MiB", "Mib")).lower(): value
        for key, value in section.items()
        if value is not None
    }
