"""What Lambda keeps of a function beside its configuration, and of which the operator declares nothing.

Destinations of asynchronous invocations send what the function is given elsewhere; provisioned concurrency keeps
environments of an alias or a version; code signing refuses the operator's code, also where it corrects other code.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
https://docs.aws.amazon.com/lambda/latest/dg/configuration-codesigning.html
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from humangov.api.conditions import Finding
from humangov.aws.change import Change
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.aws.function_qualifier import name_of, qualified, qualifier_of
from humangov.aws.unknown import not_granted, shown, unless_denied

SIGNING = "lambda:DeleteFunctionCodeSigningConfig"
REMOVALS = ("lambda:DeleteFunctionEventInvokeConfig", "lambda:DeleteProvisionedConcurrencyConfig", SIGNING)


@dataclass(frozen=True, kw_only=True)
class Additions:
    """By qualifier of the alias or the version, None for neither. Missing permissions stand in `unknown`.

    asynchronous: destinations of asynchronous invocations; none where only retries are configured
    """

    asynchronous: Mapping[str | None, tuple[str, ...]]
    provisioned: tuple[str | None, ...] = ()
    code_signing: str = ""
    unknown: tuple[str, ...] = ()


def observe(clients: Clients, *, function: str, qualifiers: Collection[str]) -> Additions:
    """Two calls, and a third where there are aliases or versions. Raises AwsError; a denied read is unknown."""
    asynchronous, unknown = unless_denied(lambda: _asynchronous(clients, function), nothing={})
    signing, also = unless_denied(lambda: _code_signing(clients, function), nothing="")
    found = Additions(asynchronous=asynchronous, code_signing=signing, unknown=(*unknown, *also))
    if not qualifiers:  # nothing else can have provisioned concurrency
        return found
    provisioned, unknown = unless_denied(lambda: _provisioned(clients, function), nothing=())
    return replace(found, provisioned=provisioned, unknown=(*found.unknown, *unknown))


def plan(additions: Additions, *, resource: str, function: str) -> list[Change]:
    """Removes what is not declared, code signing last: the code, which it may refuse, comes after it."""

    def change(action: str, summary: str, qualifier: str | None, *, opened: bool = False) -> Change:
        return Change(
            resource=resource, action=action, target=function, summary=summary, opened=opened,
            parameters={"FunctionName": function, **qualified(qualifier)},
        )  # fmt: skip

    signing = f"remove the undeclared code signing configuration {additions.code_signing}"
    return [
        *(
            change(REMOVALS[0], _summary(function, qualifier, destinations), qualifier, opened=bool(destinations))
            for qualifier, destinations in additions.asynchronous.items()
        ),
        *(
            change(REMOVALS[1], f"remove the undeclared provisioned concurrency of {name_of(function, one)}", one)
            for one in additions.provisioned
        ),
        *([change(SIGNING, signing, None)] if additions.code_signing else ()),
    ]


def remove(clients: Clients, change: Change, additions: Additions) -> Additions:
    """One of plan's changes; what is left. Raises AwsError."""
    clients.find(change.action, target=change.target, **change.parameters)
    deleted = change.parameters.get("Qualifier")
    if change.action == SIGNING:
        return replace(additions, code_signing="")
    if change.action == REMOVALS[1]:
        return replace(additions, provisioned=tuple(one for one in additions.provisioned if one != deleted))
    left = {qualifier: one for qualifier, one in additions.asynchronous.items() if qualifier != deleted}
    return replace(additions, asynchronous=left)


def finding(additions: Additions, *, function: str) -> Finding | None:
    """What is unknown, with the missing permission."""
    return not_granted(
        additions.unknown,
        consequence=f"it is unknown whether function {function} sends its input elsewhere, or whether code signing "
        "refuses its code",
    )


def _asynchronous(clients: Clients, function: str) -> dict[str | None, tuple[str, ...]]:
    """Lambda lists that of the function itself as `$LATEST`."""
    action = "lambda:ListFunctionEventInvokeConfigs"
    listed = clients.pages(
        action, "FunctionEventInvokeConfigs", token=("NextMarker", "Marker"), target=function, FunctionName=function
    )
    return {
        qualifier_of(shown(one, "FunctionArn", action=action, target=function)): _destinations(one) for one in listed
    }


def _destinations(configuration: Mapping[str, Any]) -> tuple[str, ...]:
    several = (configuration.get("DestinationConfig") or {}).values()
    return tuple(one["Destination"] for one in several if (one or {}).get("Destination"))


def _provisioned(clients: Clients, function: str) -> tuple[str | None, ...]:
    """Of aliases and versions."""
    action, items = "lambda:ListProvisionedConcurrencyConfigs", "ProvisionedConcurrencyConfigs"
    try:
        listed = clients.pages(action, items, token=("NextMarker", "Marker"), target=function, FunctionName=function)
    except AwsError as error:
        if error.not_found:
            return ()
        raise
    return tuple(qualifier_of(shown(one, "FunctionArn", action=action, target=function)) for one in listed)


def _code_signing(clients: Clients, function: str) -> str:
    """ARN of the code signing configuration; empty: there is none."""
    answer = clients.find("lambda:GetFunctionCodeSigningConfig", target=function, FunctionName=function)
    return str((answer or {}).get("CodeSigningConfigArn") or "")


def _summary(function: str, qualifier: str | None, destinations: tuple[str, ...]) -> str:
    if not destinations:
        return f"remove the undeclared configuration of asynchronous invocations of {name_of(function, qualifier)}"
    return (
        f"remove the undeclared destination {', '.join(destinations)} of asynchronous invocations of "
        f"{name_of(function, qualifier)}, which received the function's input"
    )
