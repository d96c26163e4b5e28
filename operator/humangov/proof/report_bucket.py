"""The bucket of reports and checkpoints: whose it is, how objects are encrypted there, and how long they are locked.

IAM actions s3:PutObject and, with a retention, s3:GetBucketObjectLockConfiguration and s3:PutObjectRetention; with a
KMS key kms:GenerateDataKey.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, Any, NamedTuple

from botocore.exceptions import ClientError

from humangov.cleanup.calls import error_code

MODES = ("GOVERNANCE", "COMPLIANCE")
_NO_LOCK = "ObjectLockConfigurationNotFoundError"
_DAYS_OF = {"Days": 1, "Years": 365}


class Lock(NamedTuple):
    """How long Object Lock keeps a new object. mode: one of MODES."""

    days: int
    mode: str


@dataclass(frozen=True, kw_only=True)
class ReportBucket:
    """prefix: how its keys begin. owner: the account that the bucket must belong to.

    kms_key: None: encrypted as the bucket says. lock: None: locked as the bucket says, if at all.
    """

    name: str
    prefix: str
    owner: str
    kms_key: str | None = None
    lock: Lock | None = None

    @property
    def call(self) -> dict[str, str]:
        """What each call has in common."""
        return {"Bucket": self.name, "ExpectedBucketOwner": self.owner}


def lock_configuration(s3: Any, bucket: ReportBucket) -> Mapping[str, Any] | None:
    """Of the bucket; None if it has no Object Lock. Raises what the SDK raises: an error is no absence."""
    try:
        found = s3.get_object_lock_configuration(**bucket.call).get("ObjectLockConfiguration") or {}
    except ClientError as error:
        if error_code(error) == _NO_LOCK:
            return None
        raise
    return found if found.get("ObjectLockEnabled") == "Enabled" else None


def lock_for(configuration: Mapping[str, Any] | None, wanted: Lock) -> Lock | None:
    """What to ask for each object; None: nothing, because the bucket has no Object Lock, or by itself locks for longer.

    A retention is never shortened, and COMPLIANCE never weakened. Pure.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_DefaultRetention.html
    """
    if configuration is None:
        return None
    default = (configuration.get("Rule") or {}).get("DefaultRetention") or {}
    days = max((int(default[unit]) * length for unit, length in _DAYS_OF.items() if unit in default), default=0)
    mode = "COMPLIANCE" if "COMPLIANCE" in (wanted.mode, default.get("Mode")) else "GOVERNANCE"
    asked = Lock(max(days, wanted.days), mode)
    return None if days and asked == Lock(days, str(default.get("Mode"))) else asked


def put(s3: Any, bucket: ReportBucket, key: str, body: bytes | IO[bytes], *, content_type: str, now: datetime) -> None:
    """Stored, and never over another. Raises what the SDK raises.

    With Object Lock S3 requires a checksum:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
    """
    more: dict[str, Any] = {}
    if bucket.kms_key is not None:
        more |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": bucket.kms_key}
    if bucket.lock is not None:
        until = now + timedelta(days=bucket.lock.days)
        more |= {"ObjectLockMode": bucket.lock.mode, "ObjectLockRetainUntilDate": until}
    s3.put_object(
        Key=key, Body=body, ContentType=content_type, IfNoneMatch="*", ChecksumAlgorithm="SHA256", **bucket.call, **more
    )
