"""The function's IAM role: its rights (policy.py) end at this table, this bucket and prefix, and this log group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import OWNER_TAG, ROLE_PATH, Names
from humangov.aws.change import Change, Context, as_json
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.ownership import (
    NotOwnedError,
    adopts,
    missing_tags,
    require_ownership,
    setting,
    tag_list,
    taking_over,
)
from humangov.aws.policy import cleanup_policy, trust_policy

RESOURCE = "role"
POLICY_NAME = "humangov-cleanup"
_WITH_THE_BOUNDARY_ALONE = ("iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy")
_DESCRIPTION = "Made by the HumanGovState operator for the cleanup function of the same name"


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The role. `policy`, `other_policies` and `attached` are None where they were not read: another's are not."""

    created: datetime | None
    path: str
    trust: str
    policy: str | None
    boundary: str | None
    tags: Mapping[str, str]
    other_policies: tuple[str, ...] | None = None
    attached: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Desired:
    names: Names
    trust: str
    policy: str
    boundary: str | None
    tags: Mapping[str, str]


def observe(clients: Clients, names: Names, *, deep: bool) -> Observed | None:
    """The role and its inline policy; with `deep`, also what else hangs on it. None if absent. Raises AwsError."""
    name = names.tenant.role_name
    role = _read(clients, names)
    if role is None:
        return None
    observed = Observed(
        created=role.get("CreateDate"),
        path=role["Path"],
        trust=as_json(role.get("AssumeRolePolicyDocument") or {}),
        policy=None,
        boundary=(role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn"),
        tags=_tags(role),
    )
    # Of another's, or one elsewhere, the operator may have no right to read more.
    takes_over = adopts(observed.tags, names) and observed.path == ROLE_PATH
    if observed.tags.get(OWNER_TAG) != names.owner and not takes_over:
        return observed
    observed = replace(observed, policy=_inline_policy(clients, name))
    if deep:
        return replace(observed, other_policies=_other_policies(clients, name), attached=_attached(clients, name))
    return observed


def desired(names: Names, context: Context, *, table_key_arn: str | None) -> Desired:
    """`table_key_arn`: the KMS key that encrypts the table, whose stream is encrypted with it too."""
    return Desired(
        names=names,
        trust=as_json(trust_policy()),
        policy=as_json(cleanup_policy(names, table_key_arn=table_key_arn)),
        boundary=context.permissions_boundary_arn,
        tags=context.tags,
    )


def plan(observed: Observed | None, desired: Desired) -> list[Change]:
    """Raises NotOwnedError."""
    name = desired.names.tenant.role_name
    if observed is None:
        boundary = {"PermissionsBoundary": desired.boundary} if desired.boundary else {}
        create = Change(
            resource=RESOURCE,
            action="iam:CreateRole",
            target=name,
            summary=f"create role {ROLE_PATH}{name}",
            parameters={
                "RoleName": name,
                "Path": ROLE_PATH,
                "Description": _DESCRIPTION,
                "AssumeRolePolicyDocument": desired.trust,
                "Tags": tag_list(desired.tags),
                **boundary,
            },
        )
        return [create, _put_policy(desired, "grant it this table, bucket, prefix and log group only")]
    require_ownership(kind="role", target=name, tags=observed.tags, names=desired.names, adoptable=True)
    if observed.path != ROLE_PATH:
        raise NotOwnedError(
            f"role {name} exists under path {observed.path}, where the operator's roles are not, so it is not touched. "
            "Rename or remove it, or give the tenant another spec.function.name; then this goes on by itself"
        )
    adopting = adopts(observed.tags, desired.names)
    tags = missing_tags(actual=observed.tags, wanted=desired.tags)
    told = taking_over(f"role {name}") if adopting else setting(tags)
    tagging = replace(_change(desired, "iam:TagRole", told, Tags=tag_list(tags)), adopts=adopting)
    changes = [tagging] if adopting else []
    if observed.trust != desired.trust:
        changes.append(
            _change(
                desired,
                "iam:UpdateAssumeRolePolicy",
                "only Lambda may assume the role",
                PolicyDocument=desired.trust,
            )
        )
    if desired.boundary and observed.boundary != desired.boundary:
        changes.append(
            _change(
                desired,
                "iam:PutRolePermissionsBoundary",
                f"permissions boundary {observed.boundary or 'none'} → {desired.boundary}",
                PermissionsBoundary=desired.boundary,
            )
        )
    if observed.policy != desired.policy:
        verb = "put back" if observed.policy is None else "restore"
        changes.append(_put_policy(desired, f"{verb} the inline policy {POLICY_NAME}"))
    for policy in observed.other_policies or ():
        changes.append(
            _change(
                desired,
                "iam:DeleteRolePolicy",
                f"remove the foreign inline policy {policy}",
                PolicyName=policy,
            )
        )
    for arn in observed.attached or ():
        changes.append(_change(desired, "iam:DetachRolePolicy", f"detach the managed policy {arn}", PolicyArn=arn))
    return [*changes, tagging] if tags and not adopting else changes


def apply(clients: Clients, change: Change, observed: Observed | None, desired: Desired) -> Observed | None:
    """One of plan's changes. Raises AwsError."""
    try:
        answer = clients.call(change.action, target=change.target, **change.parameters)
    except AwsError as error:
        raise _told_of_the_boundary(error, desired) from error
    if observed is None:
        return Observed(
            created=answer["Role"].get("CreateDate"),
            path=ROLE_PATH,
            trust=desired.trust,
            policy=None,
            boundary=desired.boundary,
            tags=desired.tags,
        )
    match change.action:
        case "iam:UpdateAssumeRolePolicy":
            return replace(observed, trust=desired.trust)
        case "iam:PutRolePermissionsBoundary":
            return replace(observed, boundary=desired.boundary)
        case "iam:PutRolePolicy":
            return replace(observed, policy=desired.policy)
        case "iam:DeleteRolePolicy":
            return replace(observed, other_policies=())
        case "iam:DetachRolePolicy":
            return replace(observed, attached=())
        case _:
            return replace(observed, tags={**observed.tags, **desired.tags})


def _told_of_the_boundary(error: AwsError, desired: Desired) -> AwsError:
    """The same error, with what AWS leaves out where the permissions boundary may be the reason."""
    meaning, text, remedy = error.meaning, error.text, error.remedy
    if error.action in _WITH_THE_BOUNDARY_ALONE and error.code.startswith("AccessDenied"):
        given = f"gives {desired.boundary}" if desired.boundary else "gives none"
        text += (
            "; the policy in deploy/iam allows it with the permissions boundary that it names, and the operator "
            f"{given} (--permissions-boundary)"
        )
    elif error.gone and "Scope ARN" in error.text:  # the boundary is not there, rather than the role
        meaning = Meaning.PERSON
        remedy = "Make the policy that --permissions-boundary names, or name another"
    return AwsError(
        action=error.action, target=error.target, code=error.code, text=text, meaning=meaning, remedy=remedy
    )


def finding(observed: Observed | None, desired: Desired) -> Finding:
    """What to tell people of the role."""
    name = desired.names.tenant.role_name
    if observed is None:
        return Finding.waiting("Missing", f"role {name} is not there")
    return Finding.in_step(
        "InStep", f"role {ROLE_PATH}{name} grants the function its tenant's table, bucket and log only"
    )


def remove(clients: Clients, names: Names) -> bool:
    """Delete the role with its inline policy; True when the delete and a read both say that it is gone.

    Raises AwsError, NotOwnedError (it is someone else's: nothing was deleted).
    """
    role = _read(clients, names)
    if role is not None:
        require_ownership(kind="role", target=names.tenant.role_name, tags=_tags(role), names=names)
        _delete(clients, "iam:DeleteRolePolicy", names, PolicyName=POLICY_NAME)
        _delete_role(clients, names)
        role = _read(clients, names)
    if role is not None:
        return False
    try:
        return _delete(clients, "iam:DeleteRole", names)
    except AwsError as error:
        if error.meaning is Meaning.CONFLICT:  # it is there after all; whose it is, the next look will tell
            return False
        raise


def release(clients: Clients, names: Names) -> None:
    """Take our mark off a role that stays. Raises AwsError."""
    role = _read(clients, names)
    if role is not None:
        require_ownership(kind="role", target=names.tenant.role_name, tags=_tags(role), names=names)
        _delete(clients, "iam:UntagRole", names, TagKeys=[OWNER_TAG])


def _read(clients: Clients, names: Names) -> dict[str, Any] | None:
    """GetRole's answer; None if absent. Raises AwsError."""
    name = names.tenant.role_name
    try:
        return dict(clients.call("iam:GetRole", target=name, RoleName=name)["Role"])
    except AwsError as error:
        if error.gone:
            return None
        raise


def _tags(role: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in role.get("Tags") or ()}


def _delete_role(clients: Clients, names: Names) -> None:
    """Delete the role, which is ours, with all that hangs on it. Raises AwsError."""
    try:
        _delete(clients, "iam:DeleteRole", names)
        return
    except AwsError as error:
        if error.meaning is not Meaning.CONFLICT:
            raise
    # Somebody hung more on it: policies go with it, anything else is a person's to remove.
    name = names.tenant.role_name
    for policy in clients.pages(
        "iam:ListRolePolicies", "PolicyNames", token=("Marker", "Marker"), target=name, RoleName=name
    ):
        _delete(clients, "iam:DeleteRolePolicy", names, PolicyName=policy)
    for arn in _attached(clients, name):
        _delete(clients, "iam:DetachRolePolicy", names, PolicyArn=arn)
    _delete(clients, "iam:DeleteRole", names)


def _delete(clients: Clients, action: str, names: Names, **parameters: Any) -> bool:
    """True if AWS says that it is not there."""
    name = names.tenant.role_name
    try:
        clients.call(action, target=name, RoleName=name, **parameters)
    except AwsError as error:
        if error.gone:
            return True
        raise
    return False


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
    try:
        answer = clients.call("iam:GetRolePolicy", target=name, RoleName=name, PolicyName=POLICY_NAME)
    except AwsError as error:
        if error.gone:
            return None
        raise
    return as_json(answer["PolicyDocument"])


def _other_policies(clients: Clients, name: str) -> tuple[str, ...]:
    names = clients.pages("iam:ListRolePolicies", "PolicyNames", token=("Marker", "Marker"), target=name, RoleName=name)
    return tuple(policy for policy in names if policy != POLICY_NAME)


def _attached(clients: Clients, name: str) -> tuple[str, ...]:
    policies = clients.pages(
        "iam:ListAttachedRolePolicies",
        "AttachedPolicies",
        token=("Marker", "Marker"),
        target=name,
        RoleName=name,
    )
    return tuple(policy["PolicyArn"] for policy in policies)
