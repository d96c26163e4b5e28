"""A HumanGovState as frozen types.

The defaults here are those of crds/humangovstates.yaml; a test holds the two together. They matter where no API
server has filled them in (`humangov plan -f`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from humangov.api.arns import parse_arn
from humangov.api.fields import FieldError, Given, one_of, set_of, values
from humangov.api.times import parse_time

GROUP, VERSION, KIND, PLURAL = "humangov.io", "v1", "HumanGovState", "humangovstates"
FINALIZER = "humangov.io/cleanup"
RECONCILE_ANNOTATION = "humangov.io/reconcile"
SWEEP_ANNOTATION = "humangov.io/sweep"
APPROVE_ANNOTATION = "humangov.io/approve-sweep"
HOLD_REASON_LIMIT = 256
_ROLE_NAME_LIMIT = 64  # IAM's; https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html


class InvalidSpecError(Exception):
    """The manifest can't be used; the message says what is wrong, where, and what to do."""


def seconds(duration: str, path: str) -> int:
    """`90m`, `24h` or `2d` in seconds; at least a minute. Raises FieldError."""
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", duration)
    if not found:
        raise FieldError(f"{path} must be a number with m, h or d, such as 24h, not {duration!r}")
    number = int(found[1]) * {"m": 60, "h": 3600, "d": 86400}[found[2]]
    if number == 0:
        raise FieldError(f"{path} must be at least 1m, not {duration!r}")
    return number


def _strings(given: Mapping[Any, Any], _path: str) -> Mapping[str, str]:
    return {str(name): str(value) for name, value in given.items()}


def _printable(text: str, path: str) -> str:
    """One printable line that is not blank. Raises FieldError."""
    if not text.isprintable() or not text.strip() or len(text) > HOLD_REASON_LIMIT:
        raise FieldError(f"{path} must be one printable line of at most {HOLD_REASON_LIMIT} characters, not {text!r}")
    return text


@dataclass(frozen=True, kw_only=True)
class Table:
    name: Annotated[str, Given(required="the name of the tenant's table")]
    file_attributes: Annotated[tuple[str, ...], set_of("strings")] = ("pdf",)
    file_names: Annotated[str, one_of("Unique", "Reused", "Shared")] = "Unique"


@dataclass(frozen=True, kw_only=True)
class Bucket:
    name: Annotated[str, Given(required="the name of the tenant's bucket")]
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
    """maximum_erasures_per_hour: of each environment of the function; 0: no limit."""

    enabled: bool = True
    batch_size: int = 1000
    batching_window_seconds: int = 0
    maximum_retry_attempts: int = 10
    maximum_record_age_seconds: int = 43200
    maximum_erasures_per_hour: int = 20_000


@dataclass(frozen=True, kw_only=True)
class Logs:
    retention_days: int = 400
    on_delete: str = "Delete"
    kms_key_arn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Where Lambda stores failed invocations: under aws/lambda/ in this bucket."""

    bucket: str


@dataclass(frozen=True, kw_only=True)
class Account:
    """The roles that the operator and the tenant's sweep assume; None: they use their own credentials.

    `external_id` is sent with each role that is assumed.
    """

    role_arn: str | None = None
    sweep_role_arn: str | None = None
    external_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """When and how orphans are found. `include`: glob patterns of file names, without the key prefix.

    `schedule` None: once a night (sweep_schedule.schedule_of).
    """

    schedule: str | None = None
    time_zone: str = "Etc/UTC"
    suspend: bool = False
    mode: Annotated[str, one_of("Detect", "Delete")] = "Detect"
    include: Annotated[tuple[str, ...], set_of("patterns")] = ("*.pdf",)
    minimum_age_seconds: Annotated[int, Given(name="minimumAge", kind=str, read=seconds)] = 24 * 3600
    confirm_after_seconds: Annotated[int, Given(name="confirmAfter", kind=str, read=seconds)] = 20 * 3600
    maximum_orphan_percent: int = 20
    maximum_erasures: int = 10_000
    names_retention_days: int = 30


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A legal hold: nothing is erased. reason: a printable line, as receipts quote it."""

    reason: Annotated[str, Given(required="why nothing may be erased", read=_printable)]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What people declare, with defaults. Names that nobody gave are derived: `parse` says how."""

    region: str
    table: Table
    bucket: Bucket
    function: Function
    trigger: Trigger
    logs: Logs
    failures: Failures
    account: Account
    sweep: Sweep
    tags: Annotated[Mapping[str, str], Given(read=_strings)] = field(default_factory=dict)
    deletion_policy: str = "Delete"
    adoption: Annotated[str, one_of("Never", "IfUntagged")] = "Never"
    suspend: bool = False
    hold: Hold | None = None


@dataclass(frozen=True, kw_only=True)
class Tenant(Spec):
    """One HumanGovState: its spec, and the metadata and status that decide anything.

    mappings             UUIDs of its event source mappings, present and former, as the operator recorded them
    files_shared         how many files more than one record names, according to the last sweep
    recorded_account_id  the account in which the operator first reconciled the tenant
    """

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    deleting: bool
    annotations: Mapping[str, str]
    files_shared: int
    mappings: tuple[str, ...] = ()
    recorded_account_id: str | None

    @property
    def account_id(self) -> str | None:
        """The AWS account of its resources, as far as it is known without a call."""
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


_SHAPES: Sequence[tuple[tuple[str, ...], type | tuple[type, ...], str]] = (
    (("metadata",), Mapping, "an object"),
    (("metadata", "annotations"), Mapping, "an object"),
    (("metadata", "generation"), int, "a number"),
    (("metadata", "creationTimestamp"), str, "a text"),
    (("status",), Mapping, "an object"),
    (("status", "aws"), Mapping, "an object"),
    (("status", "mappings"), (list, tuple), "a list"),
    (("status", "sweep"), Mapping, "an object"),
)
"""Path, kind, and what people call it; a part comes before what is in it."""


def parse(resource: Mapping[str, Any], *, default_region: str) -> Tenant:
    """The Tenant that a HumanGovState (as the API server or a manifest gives it) declares.

    Raises InvalidSpecError. The API server validates nearly all of this; the checks here are for manifests that no API
    server has validated, and for HumanGovStates stored under an older definition.
    """
    _refuse_other_kinds(resource)
    require_shape(resource)
    metadata = _metadata(resource)
    spec, status = resource.get("spec"), resource.get("status") or {}
    try:
        declared = values(
            Spec, spec, path="spec", of=KIND, derived=_derived(spec, name=metadata["name"], region=default_region)
        )
    except FieldError as error:
        raise InvalidSpecError(str(error)) from error
    return Tenant(
        **declared,
        namespace=metadata.get("namespace") or "default",
        name=metadata["name"],
        uid=metadata.get("uid") or "",
        generation=int(metadata.get("generation") or 0),
        created=_created(metadata.get("creationTimestamp")),
        deleting=bool(metadata.get("deletionTimestamp")),
        annotations=_strings(metadata.get("annotations") or {}, "metadata.annotations"),
        files_shared=_files_shared(status),
        mappings=tuple(str(one) for one in status.get("mappings") or ()),
        recorded_account_id=(status.get("aws") or {}).get("accountID"),
    )


def _refuse_other_kinds(resource: Mapping[str, Any]) -> None:
    if resource.get("kind") != KIND or resource.get("apiVersion") != f"{GROUP}/{VERSION}":
        raise InvalidSpecError(
            f"expected a {KIND} of {GROUP}/{VERSION}, got kind {resource.get('kind')!r} of "
            f"{resource.get('apiVersion')!r}"
        )


def _metadata(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """With a name that can be a tenant's. Raises InvalidSpecError."""
    metadata: Mapping[str, Any] = resource.get("metadata") or {}
    name = metadata.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,41}[a-z0-9])?", name):
        raise InvalidSpecError(
            f"metadata.name {name!r} must be 1 to 43 lower-case letters, digits or hyphens, without dots: "
            "the cleanup function is named after it"
        )
    return metadata


def require_shape(resource: Mapping[str, Any]) -> None:
    """Raises InvalidSpecError where what is read beside spec is not of the kind that the API server has there."""
    for path, kind, called in _SHAPES:
        value: Any = resource
        for name in path:
            value = value.get(name) if value is not None else None
        if value is not None and not isinstance(value, kind):
            raise InvalidSpecError(f"{'.'.join(path)} must be {called}, not {type(value).__name__}")


def _created(text: str | None) -> datetime:
    """Raises InvalidSpecError."""
    try:
        return parse_time(text) or datetime.now(UTC)
    except ValueError as error:
        raise InvalidSpecError(f"metadata.creationTimestamp {text!r} is not a time") from error


def _derived(spec: Any, *, name: str, region: str) -> Mapping[str, Any]:
    """Defaults that derive from other fields, in the shape of a spec."""
    bucket = spec.get("bucket") if isinstance(spec, Mapping) else None
    return {
        "region": region,
        "function": {"name": f"humangov-{name}-delete-file"},
        "failures": {"bucket": bucket.get("name") if isinstance(bucket, Mapping) else None},
    }


def _files_shared(status: Mapping[str, Any]) -> int:
    number = (status.get("sweep") or {}).get("filesShared")
    return number if isinstance(number, int) else 0
