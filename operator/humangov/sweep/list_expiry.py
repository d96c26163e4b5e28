"""Orphan lists lose their names after spec.sweep.namesRetentionDays; their numbers live as long as the receipts.

The sweep does it itself, on its own lists alone: it never writes the bucket's lifecycle. The numbers are stored beside
a list before the list is removed, with every version of it, so that a run may be killed between any two calls: the next
one goes on. Under a legal hold nothing is forgotten.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.aws.s3_codes import CONDITION_FAILED, NOT_FOUND, NOT_IMPLEMENTED
from humangov.cleanup.calls import error_code
from humangov.reading.progress import FailedError, Steps
from humangov.sweep import orphan_list
from humangov.sweep.listing import Stored, list_bucket
from humangov.sweep.orphan_list import FOLDER, SUFFIX, OrphanList

NUMBERS_SUFFIX = ".numbers.json"
MOST = 1000
"""As many objects as one sweep looks at. The next one looks at others: those of another tenant never go."""

_DAY_SECONDS = 86400
OWN_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)-\w+(\.jsonl\.gz|\.numbers\.json)")
_NUMBERS_BYTES = 1 << 16
_VERSIONS_READ = 10
_PER_CALL = 1000
_NAMES = ("shared",)
"""The fields of a head that name files."""


@dataclass(frozen=True, kw_only=True)
class ExpiredLists:
    """names: lists that lost their names. numbers: of lists, removed for good. problem: why some are left."""

    names: int = 0
    numbers: int = 0
    problem: str | None = None


class Lifetimes(NamedTuple):
    """How long names and numbers are kept, in seconds: never less than a list counts as a sighting."""

    names: float
    numbers: float


def lifetimes(names: Names) -> Lifetimes:
    tenant = names.tenant
    of_names = max(tenant.sweep.names_retention_days * _DAY_SECONDS, orphan_list.counts_for_seconds(names))
    return Lifetimes(of_names, max(tenant.logs.retention_days * _DAY_SECONDS, of_names))


def expire(s3: Any, names: Names, *, now: float, versioned: bool, folder: Path, steps: Steps) -> ExpiredLists:
    """Removes the names of this tenant's lists, and their numbers, whose time is over.

    now: S3's time, in seconds since the epoch. folder: for a copy of a list. What S3 refuses is told, and is no reason
    for the sweep to fail. Raises StoppedError, OSError.
    """
    if names.tenant.hold is not None:
        return ExpiredLists()
    removed = {SUFFIX: 0, NUMBERS_SUFFIX: 0}
    problem = None
    try:
        for one in _over(s3, names, now=now, versioned=versioned, steps=steps):
            steps.check()
            is_list = one.key.endswith(SUFFIX)
            done = _forget_names(s3, names, one, folder) if is_list else _forget_numbers(s3, names, one)
            removed[SUFFIX if is_list else NUMBERS_SUFFIX] += done
    except (FailedError, *SDK_ERRORS) as error:
        problem = f"orphan lists still hold names of files after their time: {without_names(error)}"
    return ExpiredLists(names=removed[SUFFIX], numbers=removed[NUMBERS_SUFFIX], problem=problem)


def numbers_key(list_key: str) -> str:
    return list_key.removesuffix(SUFFIX) + NUMBERS_SUFFIX


def numbers_of(one: OrphanList) -> dict[str, Any]:
    """What stays of a list: its head without names, and the checksum that receipts, status and approvals quote."""
    kept = {name: value for name, value in asdict(one.head).items() if name not in _NAMES}
    return {"orphanListNumbers": 1, **kept, "files_shared": len(one.head.shared), "list": one.key, "sha256": one.sha256}


def read_numbers(s3: Any, names: Names, *, key: str, version_id: str | None = None) -> Mapping[str, Any] | None:
    """What `numbers_of` stored of a list of this tenant's; None if it is another's, none, or gone.

    Raises what the SDK raises.
    """
    where = {"Bucket": names.tenant.bucket.name, "Key": key, "ExpectedBucketOwner": names.identity.account_id}
    version = {} if version_id is None else {"VersionId": version_id}
    try:
        kept = json.loads(s3.get_object(**where, **version)["Body"].read(_NUMBERS_BYTES))
    except ClientError as error:
        if error_code(error) not in NOT_FOUND:
            raise
        return None
    except (ValueError, RecursionError):
        return None
    whole = key.removesuffix(NUMBERS_SUFFIX) + SUFFIX
    own = isinstance(kept, dict) and (kept.get("tenant"), kept.get("list")) == (names.owner, whole)
    return kept if own else None


def _over(s3: Any, names: Names, *, now: float, versioned: bool, steps: Steps) -> list[Stored]:
    """Lists and numbers whose time is over by their names, the oldest first."""
    prefix = f"{names.tenant.bucket.key_prefix}{FOLDER}"
    of_names, of_numbers = lifetimes(names)
    found: list[Stored] = []

    def sink(page: Sequence[Stored]) -> None:
        for one in page:
            name = OWN_NAME.fullmatch(one.key.removeprefix(prefix))
            written = _time(name[1]) if name else None
            lifetime = of_names if name and name[2] == SUFFIX else of_numbers
            if written is not None and now - written > lifetime:
                found.append(one)

    steps.begin("expiring orphan lists")
    list_bucket(
        s3, bucket=names.tenant.bucket.name, owner=names.identity.account_id, prefix=prefix, versioned=versioned,
        sink=sink, steps=steps,
    )  # fmt: skip
    return sorted(random.sample(found, min(MOST, len(found))))


def _time(text: str) -> float | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _forget_names(s3: Any, names: Names, one: Stored, folder: Path) -> bool:
    """Whether this list is gone now. Another tenant's, or what is no list, stays. Raises what the SDK raises."""
    path = folder / "expiring"
    for version_id in _data_versions(one):
        found = orphan_list.fetch(s3, names, key=one.key, path=path, version_id=version_id)
        path.unlink(missing_ok=True)
        if found is not None:
            of_names, of_numbers = lifetimes(names)
            if of_numbers > of_names:
                _write_numbers(s3, names, found)
            return _remove(s3, names, one, last=version_id)
    return False


def _write_numbers(s3: Any, names: Names, found: OrphanList) -> None:
    """Once: those that a killed run has written stay."""
    try:
        s3.put_object(
            Bucket=names.tenant.bucket.name, Key=numbers_key(found.key), Body=json.dumps(numbers_of(found)).encode(),
            ContentType="application/json", IfNoneMatch="*", ExpectedBucketOwner=names.identity.account_id,
        )  # fmt: skip
    except ClientError as error:
        if error_code(error) not in CONDITION_FAILED:
            raise


def _forget_numbers(s3: Any, names: Names, one: Stored) -> bool:
    """The same for the numbers of a list."""
    for version_id in _data_versions(one):
        if read_numbers(s3, names, key=one.key, version_id=version_id) is not None:
            return _remove(s3, names, one, last=version_id)
    return False


def _data_versions(one: Stored) -> Iterator[str | None]:
    """IDs of the versions that hold data, the newest first; None: the bucket keeps no versions."""
    if not one.versions:
        yield None
        return
    data = [version.version_id for version in one.versions if not version.is_marker]
    yield from data[:_VERSIONS_READ]


def _remove(s3: Any, names: Names, one: Stored, *, last: str | None) -> bool:
    """Removes the object, or all versions that were listed. last: the version that shows whose it is goes last.

    Raises what the SDK raises, and FailedError if S3 refuses a version.
    """
    where = {"Bucket": names.tenant.bucket.name, "ExpectedBucketOwner": names.identity.account_id}
    if last is None:
        return _delete_as_listed(s3, {**where, "Key": one.key}, etag=one.etag)
    others = [version.version_id for version in one.versions if version.version_id != last]
    for start in range(0, len(others), _PER_CALL):
        _delete_versions(s3, where, one.key, others[start : start + _PER_CALL])
    _delete_versions(s3, where, one.key, [last])
    return True


def _delete_as_listed(s3: Any, where: dict[str, str], *, etag: str) -> bool:
    try:
        answer = s3.delete_object(**where, IfMatch=etag)
    except ClientError as error:
        if error_code(error) in (*CONDITION_FAILED, *NOT_FOUND):
            return False
        if error_code(error) not in NOT_IMPLEMENTED:
            raise
        answer = s3.delete_object(**where)
    return not answer.get("DeleteMarker")  # versioning was enabled meanwhile: the next sweep removes the version


def _delete_versions(s3: Any, where: dict[str, str], key: str, version_ids: Sequence[str]) -> None:
    objects = [{"Key": key, "VersionId": one} for one in version_ids]
    answer = s3.delete_objects(**where, Delete={"Objects": objects, "Quiet": True})
    for error in answer.get("Errors") or ():
        raise FailedError(f"DeleteObjects: {error.get('Code', 'Unknown')}")
