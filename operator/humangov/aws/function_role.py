"""Whose grant the function holds: a role that was deleted and created again under its name is another one to AWS.

Lambda lets the function's role use the KMS key of its environment variables by a grant, which names the role by its
unique ID. Of a role that was created again the function has no grant: every invocation fails before its code runs, and
nothing that AWS shows of the function differs. Only a changed role, or a new function, gets another grant. So the
function has a tag with the ID, and the time of creation, of the role that it was created with:
`AROA… 2026-03-01T12:00:00Z`.
https://repost.aws/knowledge-center/lambda-kmsaccessdeniedexception-errors
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from humangov.api.times import timestamp
from humangov.aws import role

ROLE_ID_TAG = "humangov.io/role-id"
FORMER_ROLE_TAG = "humangov.io/former-role"  # of a function that was adopted


def tags(found: role.Observed | None) -> dict[str, str]:
    """found: the role as it is now; None: not known."""
    if found is None or not found.role_id or found.created is None:
        return {}
    return {ROLE_ID_TAG: f"{found.role_id} {timestamp(found.created)}"}


def differs(
    actual: Mapping[str, str], configuration: Mapping[str, Any], *, arn: str, wanted: Mapping[str, str]
) -> bool:  # fmt: skip
    """Whether the function was created with another role of this name. wanted: the function's tags.

    Where the function is still to be given the role (adoption, drift), that gives it the grant.
    """
    known, present = actual.get(ROLE_ID_TAG), wanted.get(ROLE_ID_TAG)
    return bool(known and present) and known != present and configuration.get("Role") == arn


def is_former(
    actual: Mapping[str, str], configuration: Mapping[str, Any], *, arn: str, wanted: Mapping[str, str]
) -> bool:  # fmt: skip
    """Whether that other role was created before the present one.

    IAM's answers may be of a moment ago: after a role was created again they may show the former one once more.
    """
    if not differs(actual, configuration, arn=arn, wanted=wanted):
        return False
    return actual[ROLE_ID_TAG].partition(" ")[2] <= wanted[ROLE_ID_TAG].partition(" ")[2]


def of_the_former(arn: str) -> str:
    """What to do about the role that an adopted function had."""
    return f"it no longer uses its former role {arn}: delete that role if nothing else uses it"
