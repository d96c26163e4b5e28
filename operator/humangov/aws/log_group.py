"""The function's log group: created before the function, which therefore needs no permission to create it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import OWNER_TAG, Names
from humangov.aws.change import Change, Context
from humangov.aws.clients import Clients
from humangov.aws.deletion import Deletion
from humangov.aws.ownership import (
    OWNERSHIP_TAGS,
    adoption_summary,
    adopts,
    is_of_cluster,
    is_owned,
    missing_tags,
    require_ownership,
    tagging_summary,
)
from humangov.aws.unknown import not_granted, shown, unless_denied

RESOURCE = "log group"
SENT_ELSEWHERE = "ReceiptsSentElsewhere"
MASKED = "ReceiptsMasked"


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A subscription filter: what is written to the log group, receipts too, is sent to `destination`."""

    name: str
    destination: str


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The log group. `tags` and `subscriptions` are None where they were not read.

    masked: a data protection policy masks what looks personal in what is read
    unknown: the missing permissions to read the subscriptions
    """

    retention_days: int | None
    kms_key_arn: str | None
    tags: Mapping[str, str] | None = None
    masked: bool = False
    subscriptions: tuple[Subscription, ...] | None = None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Desired:
    names: Names
    retention_days: int
    kms_key_arn: str | None
    tags: Mapping[str, str]


def observe(clients: Clients, names: Names, *, deep: bool) -> Observed | None:
    """The log group, and with `deep` its tags and subscription filters. None if absent. Raises AwsError."""
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
        if shown(group, "logGroupName", action="logs:DescribeLogGroups", target=wanted) == wanted:
            # It shows no retention and no key where there is none.
            observed = Observed(
                retention_days=group.get("retentionInDays"),
                kms_key_arn=group.get("kmsKeyId"),
                masked=group.get("dataProtectionStatus") == "ACTIVATED",
            )
            return _with_more(clients, names, observed) if deep else observed
    return None


def _with_more(clients: Clients, names: Names, observed: Observed) -> Observed:
    """With what seldom changes. Raises AwsError."""
    observed = replace(observed, tags=read_tags(clients, names))
    if not is_owned(observed.tags, names):
        return observed
    subscriptions, unknown = unless_denied(lambda: _subscriptions(clients, names), nothing=None)
    return replace(observed, subscriptions=subscriptions, unknown=unknown)


def _subscriptions(clients: Clients, names: Names) -> tuple[Subscription, ...]:
    action, name = "logs:DescribeSubscriptionFilters", names.tenant.log_group_name
    found = clients.pages(
        action, "subscriptionFilters", token=("nextToken", "nextToken"), target=name, logGroupName=name
    )  # fmt: skip

    def of(one: Mapping[str, Any], field: str) -> str:
        return str(shown(one, field, action=action, target=name))

    return tuple(Subscription(name=of(one, "filterName"), destination=of(one, "destinationArn")) for one in found)


def with_known(found: Observed, known: Observed) -> Observed:
    """known: as an earlier read has shown it. Its subscriptions stand for those that were not read now."""
    if found.subscriptions is not None or found.unknown:
        return found
    return replace(found, subscriptions=known.subscriptions)


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
    unknown = not_granted(
        observed.unknown, consequence=f"it is unknown whether the receipts in log group {name} are copied elsewhere"
    )
    if unknown:
        return unknown
    return _notable(observed, name) or Finding.in_sync(
        "InSync", f"log group {name} keeps receipts for {desired.retention_days} days"
    )


def _notable(observed: Observed, name: str) -> Finding | None:
    """What others made of it on purpose, perhaps: told, and not changed. The receipts stay as they were written."""
    if observed.subscriptions:
        filters = ", ".join(f"{one.name} (to {one.destination})" for one in observed.subscriptions)
        return Finding.in_sync(
            SENT_ELSEWHERE,
            f"log group {name} has the undeclared subscription filter {filters}: the names of files in receipts are "
            "copied there, beyond the retention and the deletion of this log group. The operator does not remove it. "
            "If that is not intended, remove it (aws logs delete-subscription-filter --log-group-name {name})",
        )
    if observed.masked:
        return Finding.in_sync(
            MASKED,
            f"a data protection policy masks parts of log group {name}: whoever reads receipts without the "
            "permission logs:Unmask does not see what was written, and their chain appears broken. Remove it from "
            "this log group "
            f"(aws logs delete-data-protection-policy --log-group-identifier {name})",
        )
    return None


def remove(clients: Clients, names: Names) -> Deletion:
    """Delete the log group. Raises AwsError, NotOwnedError."""
    existed = observe(clients, names, deep=False) is not None
    if existed:
        tags = read_tags(clients, names)
        require_ownership(kind="log group", target=names.tenant.log_group_name, tags=tags, names=names)
    was_absent = _delete(clients, names)
    if not existed:  # a read may be older than the group: only the delete tells for certain
        return Deletion(existed=not was_absent, confirmed=was_absent)
    return Deletion(existed=True, confirmed=observe(clients, names, deep=False) is None)


def release(clients: Clients, names: Names) -> None:
    """Remove the ownership tag from a log group that stays. Raises AwsError, NotOwnedError."""
    tags = read_tags(clients, names) if observe(clients, names, deep=False) is not None else {}
    if OWNER_TAG in tags:
        require_ownership(kind="log group", target=names.tenant.log_group_name, tags=tags, names=names)
        clients.call(
            "logs:UntagResource", target=names.tenant.log_group_name,
            resourceArn=names.log_group_arn, tagKeys=list(OWNERSHIP_TAGS),
        )  # fmt: skip


def read_tags(clients: Clients, names: Names) -> dict[str, str]:
    """Raises AwsError; an error is never an empty answer."""
    answer = clients.call(
        "logs:ListTagsForResource", target=names.tenant.log_group_name, resourceArn=names.log_group_arn
    )
    return dict(shown(answer, "tags", action="logs:ListTagsForResource", target=names.tenant.log_group_name))


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
            of_cluster=is_of_cluster(tags),
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
