"""The claim on these files: written once, to the bucket itself, so two clusters can't sweep the same files."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.cleanup.calls import error_code
from humangov.cleanup.retry import retry
from humangov.reading.progress import FailedError

PLACE = ".humangov/owner.json"
_NOT_FOUND = ("NoSuchKey", "404")
_LOST = ("PreconditionFailed", "ConditionalRequestConflict")
_PAUSES_SECONDS = (0.0, 0.0)


class ClaimedError(Exception):
    """Another tenant has the claim; the message says which, and what to do."""


def key_of(names: Names) -> str:
    return f"{names.tenant.bucket.key_prefix}{PLACE}"


def claim(s3: Any, names: Names, *, write: bool) -> None:
    """Check that this tenant has the claim on the files under its prefix. write: claim them if there is no claim.

    Raises ClaimedError, FailedError, and what the SDK raises.
    """
    for place in _places(names):
        current = _read(s3, names, place)
        if current is None:
            continue
        if place != key_of(names) or current != _desired(names):
            raise ClaimedError(_claimed(names, place, current))
        return
    if not write:
        return
    try:
        current = retry(
            partial(_write, s3, names), retriable=lambda error: isinstance(error, _NotFoundError),
            pauses_seconds=_PAUSES_SECONDS,
        )  # fmt: skip
    except _NotFoundError:
        raise FailedError(
            f"{key_of(names)} in bucket {names.tenant.bucket.name} was written, but then S3 did not find it. "
            "The next sweep retries"
        ) from None
    if current != _desired(names):
        raise ClaimedError(_claimed(names, key_of(names), current))


def _places(names: Names) -> list[str]:
    """The key of this tenant's claim, and of every claim on a shorter prefix."""
    prefix = names.tenant.bucket.key_prefix
    return [f"{prefix[:length]}{PLACE}" for length in range(len(prefix) + 1)]


def _desired(names: Names) -> dict[str, str]:
    return {"tenant": names.owner, "table": names.table_arn}


class _NotFoundError(Exception):
    """S3 does not find the claim that was just written."""


def _write(s3: Any, names: Names) -> dict[str, Any]:
    """Writes the claim and reads it back: the next sweep, and other clusters, will see the same."""
    try:
        s3.put_object(
            Bucket=names.tenant.bucket.name, Key=key_of(names), Body=json.dumps(_desired(names)).encode(),
            ContentType="application/json", IfNoneMatch="*", ExpectedBucketOwner=names.identity.account_id,
        )  # fmt: skip
    except ClientError as error:
        if error_code(error) not in _LOST:
            raise
    current = _read(s3, names, key_of(names))
    if current is None:
        raise _NotFoundError
    return current


def _read(s3: Any, names: Names, key: str) -> dict[str, Any] | None:
    try:
        answer = s3.get_object(Bucket=names.tenant.bucket.name, Key=key, ExpectedBucketOwner=names.identity.account_id)
    except ClientError as error:
        if error_code(error) in _NOT_FOUND:
            return None
        raise
    try:
        found = json.loads(answer["Body"].read(65536))
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"tenant": None}


def _claimed(names: Names, place: str, current: dict[str, Any]) -> str:
    table = f" with table {current.get('table')}" if current.get("tenant") == names.owner else ""
    if not current.get("tenant"):
        return (
            f"{place} in bucket {names.tenant.bucket.name} is not valid, so it is unknown which tenant's sweep owns "
            "these files. Delete that object if no other tenant uses this key prefix"
        )
    claimant = f"tenant {current['tenant']}{table}"
    return (
        f"{place} in bucket {names.tenant.bucket.name} claims these files for {claimant}, not for {names.owner}. If "
        "that tenant no longer exists, delete that object. Otherwise, give each tenant its own bucket or "
        "spec.bucket.keyPrefix"
    )
