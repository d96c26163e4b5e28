"""The function's IAM role: its permissions (policy.py) end at this table, this bucket and prefix, this log group."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import ROLE_PATH, Names
from humangov.aws.change import Change, Context, as_json
from humangov.aws.clients import Clients
from humangov.aws.deletion import Deletion
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.ownership import (
    OWNERSHIP_TAGS,
    NotOwnedError,
    adoption_summary,
    adopts,
    is_of_cluster,
    is_owned,
    missing_tags,
    require_ownership,
    tag_list,
    tag_map,
    tagging_summary,
)
from humangov.aws.policy import cleanup_policy, trust_policy
from humangov.aws.unknown import not_granted, shown, unless_denied

RESOURCE = "role"
POLICY_NAME = "humangov-cleanup"
_WITH_THE_BOUNDARY_ALONE = ("iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy")
_DESCRIPTION = "Created by the HumanGovState operator for the cleanup function of the same name"


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The role. `policy`, `other_policies` and `attached` are None where they were not read.

    unknown: the missing permissions to read the latter two. role_id: AWS's unique ID, another one after each creation
    """

    created: datetime | None
    path: str
    trust: str
    policy: str | None
    boundary: str | None
    tags: Mapping[str, str]
    other_policies: tuple[str, ...] | None = None
    attached: tuple[str, ...] | None = None
    unknown: tuple[str, ...] = ()
    role_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Desired:
    names: Names
    trust: str
    policy: str
    boundary: str | None
    tags: Mapping[str, str]


def observe(clients: Clients, names: Names, *, deep: bool) -> Observed | None:
    """The role and its inline policy; with `deep`, also all other policies. None if absent. Raises AwsError."""
    name = names.tenant.role_name
    role = _read(clients, names)
    if role is None:
        return None
    observed = Observed(
        created=shown(role, "CreateDate", action="iam:GetRole", target=name),
        path=shown(role, "Path", action="iam:GetRole", target=name),
        trust=as_json(shown(role, "AssumeRolePolicyDocument", action="iam:GetRole", target=name)),
        policy=None,
        boundary=(role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn"),
        tags=_tags(role, names),
        role_id=shown(role, "RoleId", action="iam:GetRole", target=name),
    )
    # The operator may lack the permission to read more of a role that it does not own, or of another path.
    adopting = adopts(observed.tags, names) and observed.path == ROLE_PATH
    if not is_owned(observed.tags, names) and not adopting:
        return observed
    observed = replace(observed, policy=_inline_policy(clients, name))
    return _with_other_policies(clients, observed, name) if deep else observed


def _with_other_policies(clients: Clients, observed: Observed, name: str) -> Observed:
    """Raises AwsError; a denied read is unknown, never an absence."""
    others, unknown = unless_denied(lambda: _other_policies(clients, name), nothing=None)
    attached, also = unless_denied(lambda: _attached(clients, name), nothing=None)
    return replace(observed, other_policies=others, attached=attached, unknown=(*unknown, *also))


def desired(
    names: Names, context: Context, *, table_key_arn: str | None, file_indexes: Collection[str] = ()
) -> Desired:  # fmt: skip
    """`table_key_arn`: the KMS key that encrypts the table, whose stream is encrypted with it too.

    `file_indexes`: the table's indexes that the function asks.
    """
    return Desired(
        names=names,
        trust=as_json(trust_policy()),
        policy=as_json(cleanup_policy(names, table_key_arn=table_key_arn, file_indexes=file_indexes)),
        boundary=context.permissions_boundary_arn,
        tags=context.tags,
    )


def plan(observed: Observed | None, desired: Desired) -> list[Change]:
    """Raises NotOwnedError."""
    if observed is None:
        return _creation(desired)
    _require_manageable(observed, desired)
    adopting = adopts(observed.tags, desired.names)
    tagging = _tag_changes(observed, desired, adopting=adopting)
    first = adopting or any(change.of_cluster for change in tagging)  # whose it is comes before what is made of it
    return [
        *(tagging if first else ()),
        *_trust_changes(observed, desired, adopting=adopting),
        *_boundary_changes(observed, desired),  # before the policy: without the boundary AWS would refuse that
        *_policy_changes(observed, desired),
        *_foreign_policy_changes(observed, desired, adopting=adopting),
        *(() if first else tagging),
    ]


def apply(clients: Clients, change: Change, observed: Observed | None, desired: Desired) -> Observed | None:
    """One of plan's changes. Raises AwsError."""
    try:
        answer = clients.call(change.action, target=change.target, **change.parameters)
    except AwsError as error:
        raise _with_boundary(error, desired) from error
    if observed is None:
        created = shown(answer, "Role", action=change.action, target=change.target)
        return Observed(
            created=created.get("CreateDate"),
            path=ROLE_PATH,
            trust=desired.trust,
            policy=None,
            boundary=desired.boundary,
            tags=desired.tags,
            role_id=created.get("RoleId"),
        )
    match change.action:
        case "iam:UpdateAssumeRolePolicy":
            return replace(observed, trust=desired.trust)
        case "iam:PutRolePermissionsBoundary":
            return replace(observed, boundary=desired.boundary)
        case "iam:PutRolePolicy":
            return replace(observed, policy=desired.policy)
        case "iam:DeleteRolePolicy":
            left = tuple(one for one in observed.other_policies or () if one != change.parameters["PolicyName"])
            return replace(observed, other_policies=left)
        case "iam:DetachRolePolicy":
            left = tuple(one for one in observed.attached or () if one != change.parameters["PolicyArn"])
            return replace(observed, attached=left)
        case _:
            return replace(observed, tags={**observed.tags, **desired.tags})


def finding(observed: Observed | None, desired: Desired) -> Finding:
    """Condition RoleReady."""
    name = desired.names.tenant.role_name
    if observed is None:
        return Finding.waiting("NotFound", f"role {name} does not exist")
    unknown = not_granted(
        observed.unknown,
        consequence=f"it is unknown which other policies role {name} has, and what the function may do",
    )
    if unknown:
        return unknown
    foreign = observed.boundary if not desired.boundary else None
    limited = (
        f"; its permissions boundary {foreign}, which the operator does not set, may deny some of that"
        if foreign
        else ""
    )
    return Finding.in_sync(
        "InSync", f"role {ROLE_PATH}{name} grants the function only its tenant's table, bucket and log group{limited}"
    )


def remove(clients: Clients, names: Names) -> Deletion:
    """Delete the role with its inline policy.

    Raises AwsError, NotOwnedError (someone else owns it: nothing was deleted).
    """
    role = _read(clients, names)
    if role is not None:
        _require_ownership(role, names)
        _delete(clients, "iam:DeleteRolePolicy", names, PolicyName=POLICY_NAME)
        _delete_role(clients, names)
        return Deletion(existed=True, confirmed=_read(clients, names) is None)
    try:  # a read may be older than the role: only the delete tells for certain
        was_absent = _delete(clients, "iam:DeleteRole", names)
    except AwsError as error:
        if error.meaning is Meaning.CONFLICT:  # it exists after all; the next read shows who owns it
            return Deletion(existed=False, confirmed=False)
        raise
    return Deletion(existed=not was_absent, confirmed=was_absent)


def release(clients: Clients, names: Names) -> None:
    """Remove the ownership tag from a role that stays. Raises AwsError, NotOwnedError."""
    role = _read(clients, names)
    if role is not None:
        _require_ownership(role, names)
        _delete(clients, "iam:UntagRole", names, TagKeys=list(OWNERSHIP_TAGS))


def _read(clients: Clients, names: Names) -> dict[str, Any] | None:
    """GetRole's answer; None if absent. Raises AwsError."""
    name = names.tenant.role_name
    answer = clients.find("iam:GetRole", target=name, RoleName=name)
    return dict(shown(answer, "Role", action="iam:GetRole", target=name)) if answer is not None else None


def _require_ownership(role: Mapping[str, Any], names: Names) -> None:
    """`role`: GetRole's answer. Raises NotOwnedError."""
    require_ownership(kind="role", target=names.tenant.role_name, tags=_tags(role, names), names=names)


def _tags(role: Mapping[str, Any], names: Names) -> dict[str, str]:
    """Of GetRole's answer, which leaves out what a role does not have. Raises AwsError."""
    return tag_map(role.get("Tags") or (), action="iam:GetRole", target=names.tenant.role_name)


def _require_manageable(observed: Observed, desired: Desired) -> None:
    """Raises NotOwnedError."""
    name = desired.names.tenant.role_name
    require_ownership(kind="role", target=name, tags=observed.tags, names=desired.names, adoptable=True)
    if observed.path != ROLE_PATH:
        raise NotOwnedError(
            f"role {name} exists with path {observed.path} instead of {ROLE_PATH}, so it is not changed. Delete "
            "it, or choose another spec.function.name in a new HumanGovState; the tenant then recovers "
            "automatically"
        )


def _creation(desired: Desired) -> list[Change]:
    boundary = {"PermissionsBoundary": desired.boundary} if desired.boundary else {}
    create = _change(
        desired,
        "iam:CreateRole",
        f"create role {ROLE_PATH}{desired.names.tenant.role_name}",
        Path=ROLE_PATH,
        Description=_DESCRIPTION,
        AssumeRolePolicyDocument=desired.trust,
        Tags=tag_list(desired.tags),
        **boundary,
    )
    return [create, _put_policy(desired, "grant it only this table, bucket, prefix and log group")]


def _tag_changes(observed: Observed, desired: Desired, *, adopting: bool) -> list[Change]:
    tags = missing_tags(actual=observed.tags, wanted=desired.tags)
    if not tags:
        return []
    summary = adoption_summary(f"role {desired.names.tenant.role_name}") if adopting else tagging_summary(tags)
    change = _change(desired, "iam:TagRole", summary, Tags=tag_list(tags))
    return [replace(change, adopts=adopting, of_cluster=is_of_cluster(tags))]


def _trust_changes(observed: Observed, desired: Desired, *, adopting: bool) -> list[Change]:
    """Whoever may assume the role may erase files."""
    if observed.trust == desired.trust:
        return []
    summary = "correct the trust policy: only Lambda may assume the role"
    change = _change(desired, "iam:UpdateAssumeRolePolicy", summary, PolicyDocument=desired.trust)
    return [replace(change, opened=not adopting)]


def _boundary_changes(observed: Observed, desired: Desired) -> list[Change]:
    if not desired.boundary or observed.boundary == desired.boundary:
        return []
    summary = f"permissions boundary {observed.boundary or 'none'} → {desired.boundary}"
    return [_change(desired, "iam:PutRolePermissionsBoundary", summary, PermissionsBoundary=desired.boundary)]


def _policy_changes(observed: Observed, desired: Desired) -> list[Change]:
    if observed.policy == desired.policy:
        return []
    verb = "re-create" if observed.policy is None else "correct"
    return [_put_policy(desired, f"{verb} the inline policy {POLICY_NAME}")]


def _foreign_policy_changes(observed: Observed, desired: Desired, *, adopting: bool) -> list[Change]:
    """Each allows the function more than it needs."""
    changes = [
        *(
            _change(desired, "iam:DeleteRolePolicy", f"delete the undeclared inline policy {policy}", PolicyName=policy)
            for policy in observed.other_policies or ()
        ),
        *(
            _change(desired, "iam:DetachRolePolicy", f"detach the undeclared managed policy {arn}", PolicyArn=arn)
            for arn in observed.attached or ()
        ),
    ]
    return [replace(change, opened=not adopting) for change in changes]


def _with_boundary(error: AwsError, desired: Desired) -> AwsError:
    """The same error, with a hint that AWS does not give where the permissions boundary may be the reason."""
    text = error.text
    if error.denied and error.action in _WITH_THE_BOUNDARY_ALONE:
        given = f"uses {desired.boundary}" if desired.boundary else "uses none"
        text += (
            "; the policy in deploy/iam allows this call only with the permissions boundary that it names, and the "
            f"operator {given} (--permissions-boundary)"
        )
    return AwsError(
        action=error.action, target=error.target, code=error.code, text=text, meaning=error.meaning,
        remedy=error.remedy,
    )  # fmt: skip


def _delete_role(clients: Clients, names: Names) -> None:
    """Delete the role, which the tenant owns, with all its policies. Raises AwsError."""
    try:
        _delete(clients, "iam:DeleteRole", names)
        return
    except AwsError as error:
        if error.meaning is not Meaning.CONFLICT:
            raise
    # Someone added policies: they are deleted too. Anything else must be removed by hand.
    name = names.tenant.role_name
    for policy in clients.pages(
        "iam:ListRolePolicies", "PolicyNames", token=("Marker", "Marker"), target=name, RoleName=name
    ):
        _delete(clients, "iam:DeleteRolePolicy", names, PolicyName=policy)
    for arn in _attached(clients, name):
        _delete(clients, "iam:DetachRolePolicy", names, PolicyArn=arn)
    _delete(clients, "iam:DeleteRole", names)


def _delete(clients: Clients, action: str, names: Names, **parameters: Any) -> bool:
    """Call it; True if AWS reports that there was nothing to delete. Raises AwsError."""
    name = names.tenant.role_name
    return clients.find(action, target=name, RoleName=name, **parameters) is None


def _change(desired: Desired, action: str, summary: str, **parameters: Any) -> Change:
    name = desired.names.tenant.role_name
    return Change(
        resource=RESOURCE,
        action=action,
        target=name,
        summary=summary,
        parameters={"RoleName": name, **parameters},
    )


def _put_policy(desired: Desired, summary: str) -> Change:
    return _change(desired, "iam:PutRolePolicy", summary, PolicyName=POLICY_NAME, PolicyDocument=desired.policy)


def _inline_policy(clients: Clients, name: str) -> str | None:
    answer = clients.find("iam:GetRolePolicy", target=name, RoleName=name, PolicyName=POLICY_NAME)
    if answer is None:
        return None
    return as_json(shown(answer, "PolicyDocument", action="iam:GetRolePolicy", target=name))


def _other_policies(clients: Clients, name: str) -> tuple[str, ...]:
    names = clients.pages("iam:ListRolePolicies", "PolicyNames", token=("Marker", "Marker"), target=name, RoleName=name)
    return tuple(policy for policy in names if policy != POLICY_NAME)


def _attached(clients: Clients, name: str) -> tuple[str, ...]:
    action = "iam:ListAttachedRolePolicies"
    policies = clients.pages(action, "AttachedPolicies", token=("Marker", "Marker"), target=name, RoleName=name)
    return tuple(shown(policy, "PolicyArn", action=action, target=name) for policy in policies)
