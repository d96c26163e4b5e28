"""All of a function of which the operator declares nothing: who else may invoke it, and what Lambda keeps beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from humangov.api.conditions import Finding
from humangov.aws import function_access, function_additions, function_urls
from humangov.aws.change import Change
from humangov.aws.clients import Clients
from humangov.aws.function_access import Access
from humangov.aws.function_additions import Additions
from humangov.aws.function_urls import Urls

REMOVALS = (*function_access.REMOVALS, *function_urls.REMOVALS, *function_additions.REMOVALS)


@dataclass(frozen=True, kw_only=True)
class Undeclared:
    """access: who else may invoke it.

    urls, additions: None where they were not read. Neither lets anyone in, or sends anything elsewhere, as long as
    nobody else may invoke the function.
    """

    access: Access
    urls: Urls | None = None
    additions: Additions | None = None


def observe(clients: Clients, *, function: str, additions: bool = True) -> Undeclared:
    """Three calls, and one for each alias and version. Raises AwsError; a denied read is unknown.

    additions: also its URLs and what Lambda keeps beside it, with three calls, and a fourth where there are aliases or
    versions.
    """
    access = function_access.observe(clients, function=function)
    if not additions:
        return Undeclared(access=access)
    return Undeclared(
        access=access,
        urls=function_urls.observe(clients, function=function),
        additions=function_additions.observe(clients, function=function, qualifiers=access.qualifiers),
    )


def with_known(found: Undeclared, known: Undeclared | None) -> Undeclared:
    """known: as an earlier read has shown it, which stands for what was not read now."""
    if known is None:
        return found
    return replace(
        found,
        urls=known.urls if found.urls is None else found.urls,
        additions=known.additions if found.additions is None else found.additions,
    )


def plan(undeclared: Undeclared | None, *, resource: str, function: str) -> list[Change]:
    """Removes all of it; nothing of what was not read."""
    if undeclared is None:
        return []
    urls, additions = undeclared.urls, undeclared.additions
    return [
        *(function_urls.plan(urls, resource=resource, function=function) if urls else ()),
        *function_access.plan(undeclared.access, resource=resource, function=function),
        *(function_additions.plan(additions, resource=resource, function=function) if additions else ()),
    ]


def remove(clients: Clients, change: Change, undeclared: Undeclared) -> Undeclared:
    """One of plan's changes; what is left. Raises AwsError."""
    if change.action in function_access.REMOVALS:
        return replace(undeclared, access=function_access.remove(clients, change, undeclared.access))
    if change.action in function_urls.REMOVALS and undeclared.urls:
        return replace(undeclared, urls=function_urls.remove(clients, change, undeclared.urls))
    if undeclared.additions:
        return replace(undeclared, additions=function_additions.remove(clients, change, undeclared.additions))
    return undeclared


def finding(undeclared: Undeclared | None, *, function: str) -> Finding | None:
    """What is unknown, with the missing permission."""
    if undeclared is None:
        return None
    unknown = undeclared.urls.unknown if undeclared.urls else ()
    access = function_access.finding(undeclared.access, function=function, unknown=unknown)
    if access or not undeclared.additions:
        return access
    return function_additions.finding(undeclared.additions, function=function)
