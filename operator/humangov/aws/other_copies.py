"""What else may hold a copy of the bucket's files, as far as the operator can see it: replication, backups, lifecycle.

These are facts for people: none of them is an error, and what can't be read is unknown, never absent. No setting is
changed. https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication.html
https://docs.aws.amazon.com/aws-backup/latest/devguide/s3-backups.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any, TypeVar

from humangov.api.arns import parse_arn
from humangov.api.names import Names
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """Why something is not known. denied: the operator has no permission for the action."""

    action: str
    code: str
    denied: bool


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A bucket to which a replication rule copies files. enabled: it still does."""

    bucket: str
    account_id: str | None
    enabled: bool


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Of the enabled rules for any of the tenant's keys, after how many days they act; 0: on a fixed date."""

    expire_files: tuple[int, ...] = ()
    expire_versions: tuple[int, ...] = ()
    abort_uploads: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OtherCopies:
    """backup: the day of AWS Backup's last backup of the bucket; None: it has none."""

    replicas: tuple[Replica, ...] | Unknown
    lifecycle: Lifecycle | Unknown
    backup: date | Unknown | None


def observe(clients: Clients, names: Names) -> OtherCopies:
    """Three calls. Raises nothing of AWS."""
    tenant = names.tenant
    bucket = {"Bucket": tenant.bucket.name, "ExpectedBucketOwner": names.identity.account_id}
    return OtherCopies(
        replicas=_read(
            clients, "s3:GetReplicationConfiguration", lambda answer: _replicas(answer, names), tenant.bucket.name,
            absent=("ReplicationConfigurationNotFoundError", ()), **bucket,
        ),
        lifecycle=_read(
            clients, "s3:GetLifecycleConfiguration", lambda answer: _lifecycle(answer, names), tenant.bucket.name,
            absent=("NoSuchLifecycleConfiguration", Lifecycle()), **bucket,
        ),
        backup=_read(
            clients, "backup:DescribeProtectedResource", _last_backup, tenant.bucket.name,
            absent=("ResourceNotFoundException", None), ResourceArn=names.bucket_arn,
        ),
    )  # fmt: skip


def with_known(found: OtherCopies, known: OtherCopies) -> OtherCopies:
    """What an earlier read has shown stands for what AWS did not answer now; a missing permission is shown at once."""
    earlier = {}
    for part in fields(OtherCopies):
        now, before = getattr(found, part.name), getattr(known, part.name)
        if isinstance(now, Unknown) and not now.denied and not isinstance(before, Unknown):
            earlier[part.name] = before
    return replace(found, **earlier)


def sentences(copies: OtherCopies) -> list[str]:
    """Each without a full stop; none where nothing else is known to hold a copy."""
    return [*_of_replicas(copies.replicas), *_of_backup(copies.backup), *_of_lifecycle(copies.lifecycle)]


def _read(
    clients: Clients,
    action: str,
    found: Callable[[Mapping[str, Any]], Found],
    target: str,
    *,
    absent: tuple[str, Found],
    **parameters: str,
) -> Found | Unknown:
    """absent: AWS's code for there being none, and what that means."""
    try:
        return found(clients.call(action, target=target, **parameters))
    except AwsError as error:
        if error.code == absent[0]:
            return absent[1]
        return Unknown(action=error.missing_permission, code=error.code, denied=error.denied)


def _replicas(answer: Mapping[str, Any], names: Names) -> tuple[Replica, ...]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ReplicationRule.html."""
    several: dict[tuple[str, str | None], bool] = {}
    for rule in (answer.get("ReplicationConfiguration") or {}).get("Rules") or ():
        destination = rule.get("Destination") or {}
        arn = parse_arn(str(destination.get("Bucket") or ""))
        if _concerns(rule, names):
            place = (arn.resource if arn else "?", destination.get("Account"))
            several[place] = several.get(place, False) or rule.get("Status") == "Enabled"
    return tuple(
        Replica(bucket=bucket, account_id=account, enabled=enabled)
        for (bucket, account), enabled in sorted(several.items(), key=lambda one: (one[0][0], one[0][1] or ""))
    )


def _lifecycle(answer: Mapping[str, Any], names: Names) -> Lifecycle:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleRule.html."""
    rules = [rule for rule in answer.get("Rules") or () if rule.get("Status") == "Enabled" and _concerns(rule, names)]
    expirations = [rule["Expiration"] for rule in rules if "Expiration" in rule]
    return Lifecycle(
        expire_files=_days(one.get("Days", 0) for one in expirations if "Days" in one or "Date" in one),
        expire_versions=_days(
            rule["NoncurrentVersionExpiration"].get("NoncurrentDays", 0)
            for rule in rules if "NoncurrentVersionExpiration" in rule
        ),
        abort_uploads=_days(
            rule["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation", 0)
            for rule in rules if "AbortIncompleteMultipartUpload" in rule
        ),
    )  # fmt: skip


def _days(several: Any) -> tuple[int, ...]:
    return tuple(sorted({int(one) for one in several}))


def _concerns(rule: Mapping[str, Any], names: Names) -> bool:
    """Whether the rule may be about any of the tenant's keys. Tags and sizes narrow a rule, which is not looked at."""
    given = rule.get("Filter") or {}
    prefix = str(rule.get("Prefix") or given.get("Prefix") or (given.get("And") or {}).get("Prefix") or "")
    own = names.tenant.bucket.key_prefix
    return prefix.startswith(own) or own.startswith(prefix)


def _last_backup(answer: Mapping[str, Any]) -> date | None:
    """https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeProtectedResource.html."""
    last = answer.get("LastBackupTime")
    return last.date() if isinstance(last, datetime) else None


def _of_replicas(replicas: Sequence[Replica] | Unknown) -> list[str]:
    if isinstance(replicas, Unknown):
        return [_unknown("whether files are replicated", replicas)]
    shown = []
    if now := [_place(one) for one in replicas if one.enabled]:
        shown.append(f"replication copies files to {', '.join(now)}: what is erased here stays there")
    if before := [_place(one) for one in replicas if not one.enabled]:
        shown.append(f"a disabled replication rule names {', '.join(before)}: what it copied before stays there")
    return shown


def _place(one: Replica) -> str:
    return f"bucket {one.bucket}" + (f" of account {one.account_id}" if one.account_id else "")


def _of_backup(backup: date | Unknown | None) -> list[str]:
    if isinstance(backup, Unknown):
        return [_unknown("whether AWS Backup holds copies", backup)]
    return [] if backup is None else [f"AWS Backup holds copies, the last of {backup}: what is erased here stays there"]


def _of_lifecycle(lifecycle: Lifecycle | Unknown) -> list[str]:
    if isinstance(lifecycle, Unknown):
        return [_unknown("what its lifecycle rules remove", lifecycle)]
    shown = []
    if lifecycle.expire_files:
        shown.append(f"lifecycle rules expire files {_when(lifecycle.expire_files)}, even those that a record names")
    if lifecycle.expire_versions:
        shown.append(f"lifecycle rules remove older versions {_when(lifecycle.expire_versions)}")
    if lifecycle.abort_uploads:
        shown.append(f"lifecycle rules abort incomplete uploads {_when(lifecycle.abort_uploads)}")
    return shown


def _when(several: Sequence[int]) -> str:
    return " or ".join(f"after {days} days" if days else "on a fixed date" for days in several)


def _unknown(what: str, why: Unknown) -> str:
    if why.denied:
        return f"{what} is unknown: AWS denies the operator {why.action} (deploy/iam)"
    return f"{what} is unknown: {why.action} failed with {why.code}"
