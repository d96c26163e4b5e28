"""Claims: which tenants' sweeps own the files under a key prefix. With two claims, nobody's sweep erases anything.

Each tenant writes a claim of its own to the bucket, under a name that no other tenant's claim has, and then lists all
claims. So of two sweeps that begin at the same time at least one sees both, and each sees the other before its next
batch of erasures. No condition of a write is needed, and a sweep that is killed leaves nothing but its own claim.

The place is {prefix}.humangov/owner-{digest of tenant and table}.json; {prefix}.humangov/owner.json is a claim too. S3
lists and reads what was written before. Of a claim that was deleted, it lists and reads nothing, in a bucket with
versions too.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.aws import ownership
from humangov.aws.s3_codes import NOT_FOUND
from humangov.cleanup.calls import error_code
from humangov.cleanup.retry import retry
from humangov.reading.progress import FailedError

_FOLDER = ".humangov/"
_PLACE = re.compile(r"(?P<prefix>.*)\.humangov/owner(-[0-9a-f]{32})?\.json", re.DOTALL).fullmatch
_PAUSES_SECONDS = (0.0, 0.0)
_READ_AGAIN_SECONDS = 10.0


class ClaimedError(Exception):
    """Another tenant has a claim; the message says which, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim in the bucket. tenant, table: of whoever wrote it; None: it is not valid, so this is unknown."""

    key: str
    tenant: str | None = None
    table: str | None = None


def key_of(names: Names) -> str:
    """Where this tenant writes its claim."""
    digest = hashlib.sha256(f"{names.owner}\n{names.table_arn}".encode()).hexdigest()[:32]
    return f"{names.tenant.bucket.key_prefix}{_FOLDER}owner-{digest}.json"


def may_be_claim(key: str) -> bool:
    """Whether a claim may lie here. Cheap: it is asked for every key of the bucket."""
    return key.endswith(".json") and _PLACE(key) is not None


def claim(s3: Any, names: Names, *, write: bool) -> None:
    """Checks that no other tenant claims the files under this prefix. write: claim them for this tenant before.

    Raises ClaimedError, FailedError, and what the SDK raises.
    """
    if write and _read(s3, names, key_of(names)) != _own(names):
        _write(s3, names)
    try:
        retry(
            partial(_require_alone, s3, names, listed=key_of(names) if write else None),
            retriable=lambda error: isinstance(error, _NotListedError), pauses_seconds=_PAUSES_SECONDS,
        )  # fmt: skip
    except _NotListedError:
        raise FailedError(
            f"{key_of(names)} in bucket {names.tenant.bucket.name} was written, but then S3 did not list it. "
            "The next sweep retries"
        ) from None


def still_alone(s3: Any, names: Names, *, now: Callable[[], float]) -> Callable[[], None]:
    """A function that lists the claims again, unless it has done so within the last ten seconds.

    It raises ClaimedError if another tenant has come, and what the SDK raises.
    """
    read_at: float | None = None

    def check() -> None:
        nonlocal read_at
        if read_at is None or not 0 <= now() - read_at < _READ_AGAIN_SECONDS:
            _require_alone(s3, names, listed=None)
            read_at = now()

    return check


def others_among(s3: Any, names: Names, keys: Iterable[str]) -> Iterator[Claim]:
    """The claims of other tenants that really lie under these keys. Raises what the SDK raises."""
    own = key_of(names)
    for key in keys:
        found = _read(s3, names, key) if key != own else None
        if found is not None and not _is_own(found, names) and _is_claim(found, names):
            yield found


class _NotListedError(Exception):
    """S3 does not list the claim that was just written."""


def _require_alone(s3: Any, names: Names, *, listed: str | None) -> None:
    """listed: a key that must be among the claims. Raises ClaimedError, _NotListedError, and what the SDK raises."""
    pages = s3.get_paginator("list_objects_v2")
    where = {"Bucket": names.tenant.bucket.name, "ExpectedBucketOwner": names.identity.account_id}
    keys: list[str] = []
    for place in _places(names):
        found = pages.paginate(**where, Prefix=f"{place}{_FOLDER}owner")
        keys += (one["Key"] for page in found for one in page.get("Contents") or () if may_be_claim(one["Key"]))
    if other := next(others_among(s3, names, keys), None):
        raise ClaimedError(_claimed(names, other))
    if listed is not None and listed not in keys:
        raise _NotListedError


def _places(names: Names) -> list[str]:
    """The tenant's key prefix, and every shorter one: another tenant may have it."""
    prefix = names.tenant.bucket.key_prefix
    return [prefix[:length] for length in range(len(prefix) + 1)]


def _own(names: Names) -> Claim:
    return Claim(key=key_of(names), tenant=names.owner, table=names.table_arn)


def _is_own(found: Claim, names: Names) -> bool:
    """Wherever it lies: this tenant may have had another key prefix."""
    return (found.tenant, found.table) == (names.owner, names.table_arn)


def _is_claim(found: Claim, names: Names) -> bool:
    """A file whose name only ends like a claim's is none. What lies in a folder `.humangov` can be nothing else."""
    place = _PLACE(found.key)
    prefix = place["prefix"] if place else ""
    return found.tenant is not None or prefix in ("", names.tenant.bucket.key_prefix) or prefix.endswith("/")


def _write(s3: Any, names: Names) -> None:
    own = _own(names)
    s3.put_object(
        Bucket=names.tenant.bucket.name, Key=own.key, ContentType="application/json",
        Body=json.dumps({"tenant": own.tenant, "table": own.table}).encode(),
        ExpectedBucketOwner=names.identity.account_id,
    )  # fmt: skip


def _read(s3: Any, names: Names, key: str) -> Claim | None:
    """None: nothing is there, or a delete marker."""
    try:
        answer = s3.get_object(Bucket=names.tenant.bucket.name, Key=key, ExpectedBucketOwner=names.identity.account_id)
    except ClientError as error:
        if error_code(error) in NOT_FOUND:
            return None
        raise
    try:
        found = json.loads(answer["Body"].read(65536))
    except (ValueError, RecursionError):
        return Claim(key=key)
    tenant, table = (found.get("tenant"), found.get("table")) if isinstance(found, dict) else (None, None)
    valid = isinstance(tenant, str) and isinstance(table, str)
    return Claim(key=key, tenant=tenant, table=table) if valid else Claim(key=key)


def _claimed(names: Names, other: Claim) -> str:
    place = f"{other.key} in bucket {names.tenant.bucket.name}"
    if other.tenant is None:
        return (
            f"{place} is not a valid claim, so it is unknown which tenant's sweep owns these files. Delete that object "
            "if no other tenant uses this key prefix"
        )
    table = f" with table {other.table}" if other.tenant == names.owner else ""
    whose = ownership.shown(other.tenant, namespace=names.tenant.namespace)  # a status is read in its namespace
    return (
        f"{place} claims these files for {whose}{table}, so neither its sweeps nor those of {names.owner} erase "
        "anything. If that HumanGovState, which the object names, no longer exists, delete the object. Otherwise, "
        "delete one of the two HumanGovStates and its claim, and re-create it with a bucket or a spec.bucket.keyPrefix "
        "of its own"
    )
