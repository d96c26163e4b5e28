"""What people are told of a failed AWS call, and how soon it is tried again. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from humangov.api.conditions import Finding
from humangov.aws.errors import AwsError, Meaning

IAM_PROPAGATION_SECONDS = 300  # a role younger than this may not be known to Lambda yet
_BY_ITSELF = "then this goes on by itself"


def finding_of_error(error: AwsError, *, role_created: datetime | None = None, now: datetime | None = None) -> Finding:
    """What people are told of a failed call, and how soon it is made again.

    `role_created` bounds the patience with IAM's propagation: Lambda's texts for a role that is too young are the same
    as for a role that is wrong.
    """
    said = f"{error.action} on {error.target}: {error.code}: {error.text}"
    match error.meaning:
        case Meaning.RETRY_SOON if error.code == "InvalidParameterValueException":
            too_old = role_created and now and (now - role_created).total_seconds() > IAM_PROPAGATION_SECONDS
            return _role_refused(said) if too_old else _role_unknown()
        case Meaning.RETRY_SOON:
            text = f"AWS could not do it just now and is asked again; {said}"
            return Finding.transient("TransientError", text, soon=True)
        case Meaning.TERMINAL if error.denied:
            return _denied(error)
        case Meaning.TERMINAL | Meaning.CONFLICT:
            return _refused(error, said)
        case Meaning.EXISTS | Meaning.NOT_FOUND | Meaning.ALREADY:
            return Finding.transient("TransientError", f"it changed while it was looked at; {said}", soon=True)
        case Meaning.RETRY_SLOWLY:
            text = f"an answer that the operator does not know, asked again at leisure; {said}"
            return Finding.transient("TransientError", text, soon=False)


def _role_unknown() -> Finding:
    text = "the new role is not known to Lambda yet, as is usual for seconds"
    return replace(Finding.transient("RolePropagating", text, soon=True), waits_for_others=True)


def _role_refused(said: str) -> Finding:
    return Finding.action_required("RoleNotAssumable", f"Lambda still refuses the role after minutes; {said}")


def _denied(error: AwsError) -> Finding:
    missing = error.missing_permission
    asked = "" if missing == error.action else f" (asked for {error.action})"
    return Finding.action_required(
        "AccessDenied",
        f"AWS refuses the operator {missing}{asked} on {error.target} ({error.text}). {error.remedy}; {_BY_ITSELF}",
    )


def _refused(error: AwsError, said: str) -> Finding:
    why = "a retry won't help" if error.meaning is Meaning.TERMINAL else "something else still hangs on it"
    remedy = f"{error.remedy}; {_BY_ITSELF}" if error.remedy else "It is tried again all the same"
    return Finding.action_required("TerminalError", f"AWS refuses it and {why}; {said}. {remedy}")
