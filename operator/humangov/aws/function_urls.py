"""The URLs of the cleanup function and of its aliases: the operator declares none.

A URL alone lets in nobody who may not invoke the function anyway: one that is open to all takes a statement in a
resource policy (function_access.py), and one that is not, the caller's own permission.
https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from humangov.aws.change import Change
from humangov.aws.clients import Clients
from humangov.aws.function_qualifier import name_of, qualified, qualifier_of
from humangov.aws.unknown import shown, unless_denied

REMOVALS = ("lambda:DeleteFunctionUrlConfig",)


@dataclass(frozen=True, kw_only=True)
class Urls:
    """Their qualifiers; None for the function's own. unknown: the permission that the read lacks."""

    qualifiers: tuple[str | None, ...] = ()
    unknown: tuple[str, ...] = ()


def observe(clients: Clients, *, function: str) -> Urls:
    """One call, those of aliases too. Raises AwsError; a denied read is unknown, never an absence."""
    action = "lambda:ListFunctionUrlConfigs"

    def read() -> tuple[str | None, ...]:
        listed = clients.pages(
            action, "FunctionUrlConfigs", token=("NextMarker", "Marker"), target=function, FunctionName=function
        )
        return tuple(qualifier_of(shown(url, "FunctionArn", action=action, target=function)) for url in listed)

    qualifiers, unknown = unless_denied(read, nothing=())
    return Urls(qualifiers=qualifiers, unknown=unknown)


def plan(urls: Urls, *, resource: str, function: str) -> list[Change]:
    """Removes all of them."""
    return [
        Change(
            resource=resource, action="lambda:DeleteFunctionUrlConfig", target=function, opened=True,
            summary=f"delete the undeclared URL of {name_of(function, qualifier)}, through which others could cause "
            "files to be erased",
            parameters={"FunctionName": function, **qualified(qualifier)},
        )
        for qualifier in urls.qualifiers
    ]  # fmt: skip


def remove(clients: Clients, change: Change, urls: Urls) -> Urls:
    """One of plan's changes; what is left. Raises AwsError."""
    clients.find(change.action, target=change.target, **change.parameters)
    deleted = change.parameters.get("Qualifier")
    return replace(urls, qualifiers=tuple(one for one in urls.qualifiers if one != deleted))
