"""Who else may invoke the cleanup function: whoever may can have files erased, and the operator declares nobody.

The trigger needs no permission of this kind: Lambda reads the stream with the function's own role. A permission stands
in the policy of the function itself, or of an alias or a version, which may hold other code.
https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from humangov.api.conditions import Finding
from humangov.aws.change import Change
from humangov.aws.clients import Clients
from humangov.aws.function_qualifier import name_of, qualified
from humangov.aws.unknown import not_granted, shown, unless_denied

REMOVALS = ("lambda:RemovePermission",)
MOST_QUALIFIERS = 50  # each costs a call
_LATEST = "$LATEST"  # it has no policy of its own: "We currently do not support adding policies for $LATEST"


@dataclass(frozen=True, kw_only=True)
class Permission:
    """A statement of a resource policy that allows something. qualifier: of the alias or version; None: neither."""

    statement: str
    qualifier: str | None = None


@dataclass(frozen=True, kw_only=True)
class Access:
    """What lets others in. Of what could not be read, the denied permission stands in `unknown`.

    qualifiers: the function's aliases, and its versions but the latest.
    unreadable: whose resource policy is no document of the form that Lambda describes.
    """

    permissions: tuple[Permission, ...] = ()
    qualifiers: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unreadable: tuple[str | None, ...] = ()


def observe(clients: Clients, *, function: str) -> Access:
    """Three calls, and one for each alias and version. Raises AwsError; a denied read is unknown, never an absence."""
    qualifiers, unknown = unless_denied(lambda: _qualifiers(clients, function), nothing=())
    access = Access(qualifiers=qualifiers, unknown=unknown)
    for qualifier in (None, *qualifiers[:MOST_QUALIFIERS]):
        access = _with_policy(clients, access, function=function, qualifier=qualifier)
    return access


def plan(access: Access, *, resource: str, function: str) -> list[Change]:
    """Removes every way in; nothing of what was not read."""
    return [
        Change(
            resource=resource, action="lambda:RemovePermission", target=function, opened=True,
            summary=f"remove the undeclared permission {one.statement}{_of(function, one.qualifier)}, with which "
            "others could cause files to be erased",
            parameters={"FunctionName": function, "StatementId": one.statement, **qualified(one.qualifier)},
        )
        for one in access.permissions
    ]  # fmt: skip


def remove(clients: Clients, change: Change, access: Access) -> Access:
    """One of plan's changes; what is left. Raises AwsError."""
    parameters = change.parameters
    clients.find(change.action, target=change.target, **parameters)
    deleted = Permission(statement=parameters["StatementId"], qualifier=parameters.get("Qualifier"))
    return replace(access, permissions=tuple(one for one in access.permissions if one != deleted))


def finding(access: Access, *, function: str, unknown: tuple[str, ...] = ()) -> Finding | None:
    """What is unknown, with the missing permission. unknown: other permissions that are missing for the same."""
    if access.unreadable:
        policies = ", ".join(name_of(function, qualifier) for qualifier in access.unreadable)
        return Finding.action_required(
            "AccessUnknown",
            f"the resource policy of function {policies} has a form that the operator does not know, so it is "
            "unknown who else may invoke it. Anyone who may can cause files to be erased. Remove the statements that "
            "were added to it "
            "(aws lambda get-policy shows them); the tenant then recovers automatically",
        )
    if len(access.qualifiers) > MOST_QUALIFIERS:
        return Finding.action_required(
            "AccessUnknown",
            f"function {function} has {len(access.qualifiers)} aliases and published versions, which the operator "
            f"neither creates nor uses. It reads the resource policies of only {MOST_QUALIFIERS}, so it is unknown "
            "who may invoke the others. Delete them (aws lambda list-versions-by-function shows them); the tenant then "
            "recovers automatically",
        )
    return not_granted(
        (*access.unknown, *unknown),
        consequence=f"it is unknown who else may invoke function {function}; anyone who may can cause files to be "
        "erased",
    )


def _qualifiers(clients: Clients, function: str) -> tuple[str, ...]:
    """Aliases come first. There may be an alias of $LATEST where there is no version."""

    def listed(action: str, items: str, field: str) -> list[str]:
        found = clients.pages(action, items, token=("NextMarker", "Marker"), target=function, FunctionName=function)
        return [str(shown(one, field, action=action, target=function)) for one in found]

    versions = listed("lambda:ListVersionsByFunction", "Versions", "Version")
    aliases = listed("lambda:ListAliases", "Aliases", "Name")
    return (*aliases, *(version for version in versions if version != _LATEST))


def _with_policy(clients: Clients, access: Access, *, function: str, qualifier: str | None) -> Access:
    """With the statements of one resource policy. An alias or version that went meanwhile has none."""
    action = "lambda:GetPolicy"
    policy, unknown = unless_denied(
        lambda: clients.find(action, target=function, FunctionName=function, **qualified(qualifier)), nothing=None
    )
    access = replace(access, unknown=(*access.unknown, *unknown))
    if policy is None:
        return access
    statements = _statements(shown(policy, "Policy", action=action, target=function))
    if statements is None:
        return replace(access, unreadable=(*access.unreadable, qualifier))
    permissions = (Permission(statement=one, qualifier=qualifier) for one in statements)
    return replace(access, permissions=(*access.permissions, *permissions))


def _statements(document: str) -> Sequence[str] | None:
    """IDs of those that allow something; None for a document of another form."""
    try:
        statements = json.loads(document).get("Statement") or []
        some = [statements] if isinstance(statements, dict) else statements
        return [str(one["Sid"]) for one in some if one.get("Effect") == "Allow"]
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


def _of(function: str, qualifier: str | None) -> str:
    return f" of {name_of(function, qualifier)}" if qualifier else ""
