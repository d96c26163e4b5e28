"""All of a function of which the operator declares nothing: who else may invoke it, and what Lambda keeps beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from humangov.api.conditions import Finding
from humangov.aws import function_access, function_additions
from humangov.aws.change import Change
from humangov.aws.clients import Clients
from humangov.aws.function_access import Access
from humangov.aws.function_additions import Additions

REMOVALS = (*function_access.REMOVALS, *function_additions.REMOVALS)


@dataclass(frozen=True, kw_only=True)
class Undeclared:
    access: Access
    additions: Additions


def observe(clients: Clients, *, function: str) -> Undeclared:
    """Six calls; with aliases or versions one for each, and one more. Raises AwsError; a denied read is unknown."""
    access = function_access.observe(clients, function=function)
    additions = function_additions.observe(clients, function=function, qualifiers=access.qualifiers)
    return Undeclared(access=access, additions=additions)


def plan(undeclared: Undeclared | None, *, resource: str, function: str) -> list[Change]:
    """Removes all of it; nothing of what was not read."""
    if undeclared is None:
        return []
    return [
        *function_access.plan(undeclared.access, resource=resource, function=function),
        *function_additions.plan(undeclared.additions, resource=resource, function=function),
    ]


def remove(clients: Clients, change: Change, undeclared: Undeclared) -> Undeclared:
    """One of plan's changes; what is left. Raises AwsError."""
    if change.action in function_access.REMOVALS:
        return replace(undeclared, access=function_access.remove(clients, change, undeclared.access))
    return replace(undeclared, additions=function_additions.remove(clients, change, undeclared.additions))


def finding(undeclared: Undeclared | None, *, function: str) -> Finding | None:
    """What is unknown, with the missing permission."""
    if undeclared is None:
        return None
    access = function_access.finding(undeclared.access, function=function)
    return access or function_additions.finding(undeclared.additions, function=function)
