"""The function's log group: created before the function, which therefore needs no permission to create it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import OWNER_TAG, Names
from humangov.aws.change import Change, Context
from humangov.aws.clients import Clients
from humangov.aws.ownership import adoption_summary, adopts, missing_tags, require_ownership, tagging_summary

RESOURCE = "log group"


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The log group. `tags` is None where it was not read."""

    retention_days: int | None
    kms_key_arn: str | None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Desired:
    names: Names
    retention_days: int
    kms_key_arn: str | None
    tags: Mapping[str, str]


def observe(clients: Clients, names: Names, *, deep: bool) -> Observed | None:
    """The log group, and with `deep` its tags. None if absent. Raises AwsError."""
    wanted = names.tenant.log_group_name
    # The filter is a prefix: /aws/lambda/x also finds /aws/lambda/x-2, which may come first on a full page.
    groups = clients.pages(
        "logs:DescribeLogGroups",
        "logGroups",
        token=("nextToken", "nextToken"),
        target=wanted,
        logGroupNamePrefix=wanted,
    )
    for group in groups:
        if group["logGroupName"] == wanted:
            return Observed(
                retention_days=group.get("retentionInDays"),
                kms_key_arn=group.get("kmsKeyId"),
                tags=read_tags(clients, names) if deep else None,
            )
    return None


def desired(names: Names, context: Context) -> Desired:
    logs = names.tenant.logs
    return Desired(names=names, retention_days=logs.retention_days, kms_key_arn=logs.kms_key_arn, tags=context.tags)


def plan(observed: Observed | None, desired: Desired) -> list[Change]:
    """Raises NotOwnedError; without tags ownership is not checked, and nothing is applied before they are read."""
    if observed is None:
        return _creation(desired)
    return [
        *_tag_changes(observed, desired),
        *_retention_changes(observed, desired),
        *_key_changes(observed, desired),
    ]


def apply(clients: Clients, change: Change, observed: Observed | None, desired: Desired) -> Observed | None:
    """One of plan's changes. Raises AwsError."""
    clients.call(change.action, target=change.target, **change.parameters)
    if observed is None:
        return Observed(retention_days=None, kms_key_arn=desired.kms_key_arn, tags=desired.tags)
    match change.action:
        case "logs:PutRetentionPolicy":
            return replace(observed, retention_days=desired.retention_days)
        case "logs:TagResource":
            return replace(observed, tags={**(observed.tags or {}), **desired.tags})
        case _:
            return replace(observed, kms_key_arn=desired.kms_key_arn)


def finding(observed: Observed | None, desired: Desired) -> Finding:
    """Condition LogGroupReady."""
    name = desired.names.tenant.log_group_name
    if observed is None:
        return Finding.waiting("NotFound", f"log group {name} does not exist")
    return Finding.in_sync("InSync", f"log group {name} keeps receipts for {desired.retention_days} days")


def remove(clients: Clients, names: Names) -> bool:
    """Delete the log group; True when the delete and a read both find that it does not exist.

    Raises AwsError, NotOwnedError.
    """
    observed = observe(clients, names, deep=True)
    if observed is not None:
        require_ownership(kind="log group", target=names.tenant.log_group_name, tags=observed.tags or {}, names=names)
        _delete(clients, names)
        observed = observe(clients, names, deep=False)
    return observed is None and _delete(clients, names)


def release(clients: Clients, names: Names) -> None:
    """Remove the ownership tag from a log group that stays. Raises AwsError, NotOwnedError."""
    observed = observe(clients, names, deep=True)
    if observed is not None and OWNER_TAG in (observed.tags or {}):
        require_ownership(kind="log group", target=names.tenant.log_group_name, tags=observed.tags or {}, names=names)
        clients.call(
            "logs:UntagResource", target=names.tenant.log_group_name,
            resourceArn=names.log_group_arn, tagKeys=[OWNER_TAG],
        )  # fmt: skip


def read_tags(clients: Clients, names: Names) -> dict[str, str]:
    """Raises AwsError; an error is never an empty answer."""
    answer = clients.call(
        "logs:ListTagsForResource", target=names.tenant.log_group_name, resourceArn=names.log_group_arn
    )
    return dict(answer.get("tags") or {})


def _delete(clients: Clients, names: Names) -> bool:
    """Delete it; True if AWS reports that it did not exist. Raises AwsError."""
    name = names.tenant.log_group_name
    return clients.find("logs:DeleteLogGroup", target=name, logGroupName=name) is None


def _creation(desired: Desired) -> list[Change]:
    name = desired.names.tenant.log_group_name
    create = _change(
        desired,
        "logs:CreateLogGroup",
        f"create log group {name}",
        tags=dict(desired.tags),
        **({"kmsKeyId": desired.kms_key_arn} if desired.kms_key_arn else {}),
    )
    return [create, _retention(desired, f"set the retention to {desired.retention_days} days")]


def _tag_changes(observed: Observed, desired: Desired) -> list[Change]:
    """Raises NotOwnedError."""
    if observed.tags is None:
        return []
    names = desired.names
    name = names.tenant.log_group_name
    require_ownership(kind="log group", target=name, tags=observed.tags, names=names, adoptable=True)
    adopting = adopts(observed.tags, names)
    tags = missing_tags(actual=observed.tags, wanted=desired.tags)
    if not tags:
        return []
    return [
        Change(
            resource=RESOURCE,
            action="logs:TagResource",
            target=name,
            summary=adoption_summary(f"log group {name}") if adopting else tagging_summary(tags),
            parameters={"resourceArn": names.log_group_arn, "tags": tags},
            adopts=adopting,
        )
    ]


def _retention_changes(observed: Observed, desired: Desired) -> list[Change]:
    if observed.retention_days == desired.retention_days:
        return []
    before = f"{observed.retention_days} days" if observed.retention_days else "forever"
    return [_retention(desired, f"retention {before} → {desired.retention_days} days")]


def _key_changes(observed: Observed, desired: Desired) -> list[Change]:
    key = desired.kms_key_arn
    if observed.kms_key_arn == key:
        return []
    if key:
        return [_change(desired, "logs:AssociateKmsKey", f"encrypt with {key}", kmsKeyId=key)]
    return [_change(desired, "logs:DisassociateKmsKey", f"stop encrypting with {observed.kms_key_arn}")]


def _retention(desired: Desired, summary: str) -> Change:
    return _change(desired, "logs:PutRetentionPolicy", summary, retentionInDays=desired.retention_days)


def _change(desired: Desired, action: str, summary: str, **parameters: Any) -> Change:
    name = desired.names.tenant.log_group_name
    return Change(
        resource=RESOURCE,
        action=action,
        target=name,
        summary=summary,
        parameters={"logGroupName": name, **parameters},
    )
