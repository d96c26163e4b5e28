"""What people are told of a failed AWS call, and how soon it is tried again. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from humangov.api.conditions import Finding
from humangov.aws.errors import AwsError, Meaning

_BY_ITSELF = "then this goes on by itself"


IAM_PROPAGATION_SECONDS = 300  # a role younger than this may not be known to Lambda yet


def finding_of_error(error: AwsError, *, role_created: datetime | None = None, now: datetime | None = None) -> Finding:
    """What people are told of a failed call, and how soon to look again.

    `role_created` bounds the patience with IAM's propagation: Lambda's texts for a role that is too young are the same
    as for a role that is wrong.
    """
    said = f"{error.action} on {error.target}: {error.code}: {error.text}"
    if error.meaning is Meaning.RETRY_SOON and error.code == "InvalidParameterValueException":
        if role_created and now and (now - role_created).total_seconds() > IAM_PROPAGATION_SECONDS:
            return Finding.needs_person("RoleRefused", f"Lambda still refuses the role after minutes; {said}")
        return Finding.progressing(
            "WaitingForRole", "the new role is not known to Lambda yet, as is usual for seconds", soon=True
        )
    if error.meaning is Meaning.RETRY_SOON:
        return Finding.progressing("Retrying", f"AWS could not do it just now and is asked again; {said}", soon=True)
    if error.meaning is Meaning.PERSON and _is_denial(error.code):
        missing = _missing_action(error)
        asked = "" if missing == error.action else f" (asked for {error.action})"
        return Finding.needs_person(
            "AccessDenied",
            f"AWS refuses the operator {missing}{asked} on {error.target} ({error.text}). {error.remedy}; {_BY_ITSELF}",
        )
    if error.meaning in (Meaning.PERSON, Meaning.CONFLICT):
        why = "a retry won't help" if error.meaning is Meaning.PERSON else "something else still hangs on it"
        remedy = f"{error.remedy}; {_BY_ITSELF}" if error.remedy else "It is tried again all the same"
        return Finding.needs_person("Refused", f"AWS refuses it and {why}; {said}. {remedy}")
    if error.meaning in (Meaning.EXISTS, Meaning.GONE, Meaning.ALREADY):
        return Finding.progressing("Retrying", f"it changed while it was looked at; {said}", soon=True)
    return Finding.progressing(
        "Retrying", f"an answer that the operator does not know, asked again at leisure; {said}", soon=False
    )


def _missing_action(error: AwsError) -> str:
    """AWS may refuse a call for the lack of a right to another: CreateFunction for that of iam:PassRole."""
    named = re.search(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)", error.text)
    return named[1] if named else error.action


def _is_denial(code: str) -> bool:
    return code.startswith(("AccessDenied", "Unauthorized", "NotAuthorized", "Forbidden", "403"))
