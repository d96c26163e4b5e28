"""What AWS does not tell. One rule for every resource: it is unknown, it is told, and it is not written over.

Either a read is denied: what it would have shown is unknown, and all else is still compared. Or an answer lacks what
AWS shows of every resource of its kind (something stands between, or an endpoint is not AWS's): it tells nothing. What
AWS leaves out where there is none, such as a log group's retention, is known by its absence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from humangov.api.conditions import Finding
from humangov.aws.errors import AwsError, incomplete

Result = TypeVar("Result")
Nothing = TypeVar("Nothing")


def shown(answer: Mapping[str, Any], field: str, *, action: str, target: str) -> Any:
    """The value of a field that AWS always shows. Raises AwsError (INCOMPLETE) where this answer lacks it."""
    value = answer.get(field)
    if value is None:
        raise incomplete(action=action, target=target, field=field)
    return value


def unless_denied(read: Callable[[], Result], *, nothing: Nothing) -> tuple[Result | Nothing, tuple[str, ...]]:
    """What was read; if the read is denied, `nothing` and the missing permission. Raises AwsError.

    `nothing` alone where the endpoint does not know the call: it is not AWS, and can't have what the call lists.
    """
    try:
        return read(), ()
    except AwsError as error:
        if error.not_served:
            return nothing, ()
        if not error.denied:
            raise
        return nothing, (error.missing_permission,)


def not_granted(unknown: tuple[str, ...], *, consequence: str) -> Finding | None:
    """The finding of reads that were denied; None if none was. consequence: what is unknown, and what that means."""
    if not unknown:
        return None
    missing = ", ".join(dict.fromkeys(unknown))
    found = Finding.action_required(
        "AccessUnknown",
        f"the operator's role lacks the permission {missing}: {consequence}. Grant it (the complete policy is in "
        "deploy/iam); the tenant then recovers automatically",
    )
    return replace(found, usable=True)


def not_shown(fields: tuple[str, ...], *, of: str) -> Finding | None:
    """The finding of fields that an answer lacks; None if it lacks none."""
    if not fields:
        return None
    return Finding.action_required(
        "ConfigurationUnknown",
        f"AWS's answer about {of} lacks {', '.join(fields)}: it is unknown whether that is as declared, and it is "
        "not changed. Check what is between the operator and AWS (a proxy, another endpoint); the tenant then recovers "
        "automatically",
    )
