"""Who else may invoke the cleanup function: whoever may can have files erased, and the operator declares nobody.

The trigger needs no permission of this kind: Lambda reads the stream with the function's own role.
https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from humangov.api.conditions import Finding
from humangov.aws.change import Change
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError

REMOVALS = ("lambda:RemovePermission", "lambda:DeleteFunctionUrlConfig")


@dataclass(frozen=True, kw_only=True)
class Access:
    """What lets others in. Of what could not be read, the denied permission stands in `unknown`.

    statements: IDs of the resource policy's statements that allow something.
    urls: qualifiers of the function URLs; None for the function's own.
    unreadable: the resource policy is no document of the form that Lambda describes.
    """

    statements: tuple[str, ...] = ()
    urls: tuple[str | None, ...] = ()
    unknown: tuple[str, ...] = ()
    unreadable: bool = False


def observe(clients: Clients, *, function: str) -> Access:
    """Two calls. Raises AwsError; a denied read is unknown, never an absence."""
    access = Access()
    try:
        policy = clients.find("lambda:GetPolicy", target=function, FunctionName=function)
        found = _statements(policy["Policy"]) if policy is not None else ()
        access = replace(access, unreadable=True) if found is None else replace(access, statements=found)
    except AwsError as error:
        access = _unknown(access, error)
    try:
        urls = clients.pages(
            "lambda:ListFunctionUrlConfigs", "FunctionUrlConfigs", token=("NextMarker", "Marker"), target=function,
            FunctionName=function,
        )  # fmt: skip
        access = replace(access, urls=tuple(_qualifier(url["FunctionArn"]) for url in urls))
    except AwsError as error:
        access = _unknown(access, error)
    return access


def plan(access: Access | None, *, resource: str, function: str) -> list[Change]:
    """Removes every way in; nothing of what was not read."""
    found = access or Access()
    permissions = [
        Change(
            resource=resource, action="lambda:RemovePermission", target=function, opened=True,
            summary=f"remove the undeclared permission {statement}, with which others could have files erased",
            parameters={"FunctionName": function, "StatementId": statement},
        )
        for statement in found.statements
    ]  # fmt: skip
    urls = [
        Change(
            resource=resource, action="lambda:DeleteFunctionUrlConfig", target=function, opened=True,
            summary=f"delete the undeclared URL of {function}{f':{qualifier}' if qualifier else ''}, through which "
            "others could have files erased",
            parameters={"FunctionName": function, **({"Qualifier": qualifier} if qualifier else {})},
        )
        for qualifier in found.urls
    ]  # fmt: skip
    return [*urls, *permissions]


def remove(clients: Clients, change: Change, access: Access) -> Access:
    """One of plan's changes; what is left. Raises AwsError."""
    parameters = change.parameters
    clients.find(change.action, target=change.target, **parameters)
    if change.action == "lambda:RemovePermission":
        return replace(access, statements=tuple(one for one in access.statements if one != parameters["StatementId"]))
    return replace(access, urls=tuple(one for one in access.urls if one != parameters.get("Qualifier")))


def finding(access: Access | None, *, function: str) -> Finding | None:
    """What is unknown, with the missing permission."""
    if access is not None and access.unreadable:
        return Finding.action_required(
            "AccessUnknown",
            f"the resource policy of function {function} has a form that the operator does not know: it is unknown who "
            "else may invoke it, and whoever may can have files erased. Remove the statements that were added to it "
            "(aws lambda get-policy shows them); the tenant then recovers automatically",
        )
    if access is None or not access.unknown:
        return None
    missing = ", ".join(access.unknown)
    return Finding.action_required(
        "AccessUnknown",
        f"the operator's role lacks the permission {missing}: it is unknown who else may invoke function {function}, "
        "and whoever may can have files erased. Grant it (the complete policy is in deploy/iam); the tenant then "
        "recovers automatically",
    )


def _unknown(access: Access, error: AwsError) -> Access:
    if not error.denied:
        raise error
    return replace(access, unknown=(*access.unknown, error.missing_permission))


def _statements(document: str) -> tuple[str, ...] | None:
    """IDs of those that allow something; None for a document of another form."""
    try:
        statements = json.loads(document).get("Statement") or []
        some = [statements] if isinstance(statements, dict) else statements
        return tuple(str(one["Sid"]) for one in some if one.get("Effect") == "Allow")
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


def _qualifier(arn: str) -> str | None:
    """arn:aws:lambda:region:account:function:name[:alias]."""
    parts = arn.split(":")
    return parts[7] if len(parts) > 7 else None
