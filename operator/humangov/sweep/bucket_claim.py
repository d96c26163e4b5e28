"""Who sweeps these files: claimed once, in the bucket itself, so that two clusters can't both think they do."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.cleanup.calls import error_code
from humangov.cleanup.retry import retry
from humangov.sweep.progress import FailedError

PLACE = ".humangov/owner.json"
_GONE = ("NoSuchKey", "404")
_LOST = ("PreconditionFailed", "ConditionalRequestConflict")
_PAUSES_SECONDS = (0.0, 0.0)


class ClaimedError(Exception):
    """Another's claim stands; the message says whose, and what to do."""


def key_of(names: Names) -> str:
    return f"{names.tenant.bucket.key_prefix}{PLACE}"


def claim(s3: Any, names: Names, *, write: bool) -> None:
    """Make sure that the files under the prefix are ours to sweep. write: claim them if nobody has.

    Raises ClaimedError, FailedError, and what the SDK raises.
    """
    for place in _places(names):
        stands = _read(s3, names, place)
        if stands is None:
            continue
        if place != key_of(names) or stands != _ours(names):
            raise ClaimedError(_claimed(names, place, stands))
        return
    if not write:
        return
    try:
        stands = retry(
            partial(_write, s3, names), passes=lambda error: isinstance(error, _NotThereError),
            pauses_seconds=_PAUSES_SECONDS,
        )  # fmt: skip
    except _NotThereError:
        raise FailedError(
            f"{key_of(names)} in bucket {names.tenant.bucket.name} was written, and is not there"
        ) from None
    if stands != _ours(names):
        raise ClaimedError(_claimed(names, key_of(names), stands))


def _places(names: Names) -> list[str]:
    """Ours, and wherever one whose prefix holds ours would have claimed."""
    prefix = names.tenant.bucket.key_prefix
    return [f"{prefix[:length]}{PLACE}" for length in range(len(prefix) + 1)]


def _ours(names: Names) -> dict[str, str]:
    return {"tenant": names.owner, "table": names.table_arn}


class _NotThereError(Exception):
    """What was written is not there."""


def _write(s3: Any, names: Names) -> dict[str, Any]:
    """What stands there then. Read back: it is what the next sweep, and another's, will see."""
    try:
        s3.put_object(
            Bucket=names.tenant.bucket.name, Key=key_of(names), Body=json.dumps(_ours(names)).encode(),
            ContentType="application/json", IfNoneMatch="*", ExpectedBucketOwner=names.identity.account_id,
        )  # fmt: skip
    except ClientError as error:
        if error_code(error) not in _LOST:
            raise
    stands = _read(s3, names, key_of(names))
    if stands is None:
        raise _NotThereError
    return stands


def _read(s3: Any, names: Names, key: str) -> dict[str, Any] | None:
    try:
        answer = s3.get_object(Bucket=names.tenant.bucket.name, Key=key, ExpectedBucketOwner=names.identity.account_id)
    except ClientError as error:
        if error_code(error) in _GONE:
            return None
        raise
    try:
        found = json.loads(answer["Body"].read(65536))
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"tenant": "nobody knows whom: it can't be read"}


def _claimed(names: Names, place: str, stands: dict[str, Any]) -> str:
    table = f" with table {stands.get('table')}" if stands.get("tenant") == names.owner else ""
    return (
        f"{place} in bucket {names.tenant.bucket.name} says that these files are swept for {stands.get('tenant')}"
        f"{table}, not for {names.owner}. If that tenant is no more, remove that object; else give each its own bucket "
        "or spec.bucket.keyPrefix"
    )
