"""The tenant's event source mappings, present and former: a redrive handles only what they wrote.

The operator records the UUID of each in status.mappings before it deletes one. The final stream read stores them in
the tenant's bucket, where they outlive the HumanGovState until their last failed invocation is handled.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.cleanup.calls import error_code
from humangov.cleanup.references import FAILURES_PREFIX
from humangov.redrive import stored
from humangov.redrive.stored import StoredObject

FOLDER = ".humangov/mappings/"
_LIMIT_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class RecordedMappings:
    """What the bucket tells. by_uuid: this tenant's. unreadable: key → why it is not known whose it is."""

    by_uuid: Mapping[str, StoredObject]
    unreadable: Mapping[str, str]


def record(s3: Any, names: Names, uuids: Collection[str]) -> None:
    """Stores these UUIDs in the bucket. Raises what the SDK raises."""
    for uuid in uuids:
        s3.put_object(
            Bucket=names.tenant.bucket.name, Key=f"{_folder(names)}{uuid}", Body=json.dumps(_whose(names)).encode(),
            ContentType="application/json", ExpectedBucketOwner=names.identity.account_id,
        )  # fmt: skip


def recorded(s3: Any, names: Names) -> RecordedMappings:
    """The mappings that `record` stored for this function and table; whatever else is there is passed over.

    Raises what the SDK raises if they can't be listed.
    """
    bucket, owner, folder = names.tenant.bucket.name, names.identity.account_id, _folder(names)
    found: dict[str, StoredObject] = {}
    unreadable: dict[str, str] = {}
    for one in stored.objects(s3, bucket=bucket, owner=owner, prefix=folder):
        if one.size > _LIMIT_BYTES:
            continue
        try:
            body = stored.body(s3, one, bucket=bucket, owner=owner)
        except ClientError as error:
            unreadable[one.key] = error_code(error)
            continue
        if body is not None and _parsed(body) == _whose(names):
            found[one.key.removeprefix(folder)] = one
    return RecordedMappings(by_uuid=found, unreadable=unreadable)


def forget_handled(s3: Any, names: Names, several: Mapping[str, StoredObject]) -> None:
    """Removes the record of each mapping that has no failed invocation left. What S3 refuses stays, and harms nothing.

    several: as `recorded` returned them. Raises what the SDK raises.
    """
    owner = names.identity.account_id
    for uuid, one in several.items():
        left = stored.objects(
            s3, bucket=names.tenant.failures.bucket, owner=owner, prefix=f"{FAILURES_PREFIX}{uuid}/"
        )  # fmt: skip
        if next(left, None) is None:
            stored.remove(s3, one, bucket=names.tenant.bucket.name, owner=owner)


def of_invocation(key: str) -> str:
    """UUID of the mapping that wrote this invocation record, as its key says."""
    return key.removeprefix(FAILURES_PREFIX).split("/")[0]


def _folder(names: Names) -> str:
    return f"{names.tenant.bucket.key_prefix}{FOLDER}"


def _whose(names: Names) -> dict[str, str]:
    """Without the cluster's name, which is another where a person redrives with a manifest."""
    return {"function": names.function_arn, "table": names.table_arn}


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
