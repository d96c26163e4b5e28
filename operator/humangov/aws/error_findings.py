"""The finding of a failed AWS call, and how soon the call is retried. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from humangov.api.conditions import Finding
from humangov.aws.errors import SPEC_REMEDY, AwsError, Meaning

IAM_PROPAGATION_SECONDS = 300  # a role younger than this may not be known to Lambda yet
ROLE_RIPENS = "role"
_RECOVERS = "the tenant then recovers automatically"
_RELEASE = (
    "Remove the cause that AWS names, or set spec.deletionPolicy: Retain, which releases the AWS resources as they are"
)


def finding_of_error(
    error: AwsError, *, role_created: datetime | None = None, now: datetime | None = None, removing: bool = False
) -> Finding:
    """The finding of a failed call.

    `role_created` limits how long IAM's propagation is waited for: Lambda reports a role that is too new with the same
    text as a role that is wrong. removing: the call was part of a deletion, for which no value of the spec is needed.
    """
    failure = f"{error.action} on {error.target}: {error.code}: {error.text}"
    match error.meaning:
        case Meaning.RETRY_SOON if error.ripens:
            too_old = role_created and now and (now - role_created).total_seconds() > IAM_PROPAGATION_SECONDS
            return _role_refused(failure) if too_old else role_unknown()
        case Meaning.RETRY_SOON:
            text = f"AWS is busy or unavailable; the operator retries automatically; {failure}"
            return replace(Finding.transient("TransientError", text, soon=True), throttled=error.throttled)
        case Meaning.TERMINAL if error.denied:
            return _denied(error)
        case Meaning.TERMINAL | Meaning.CONFLICT:
            return _refused(error, failure, removing=removing)
        case Meaning.EXISTS | Meaning.NOT_FOUND | Meaning.ALREADY:
            return Finding.transient(
                "TransientError",
                f"the resource changed during the reconciliation; the operator retries automatically; {failure}",
                soon=True,
            )
        case Meaning.INCOMPLETE:
            return _incomplete(error)
        case Meaning.RETRY_SLOWLY:
            text = f"AWS returned an error that the operator does not know; it retries at long intervals; {failure}"
            return Finding.transient("TransientError", text, soon=False)


def _incomplete(error: AwsError) -> Finding:
    return Finding.action_required(
        "ConfigurationUnknown",
        f"{error.action} on {error.target}: {error.text}, which AWS always returns. So it is unknown, and nothing "
        "that depends on it is changed. Check what is between the operator and AWS (a proxy, another endpoint); "
        f"{_RECOVERS}",
    )


def role_unknown() -> Finding:
    """No failure, and no cause of one: the role is on its way to Lambda."""
    text = "Lambda does not know the new role yet, which is normal for some seconds"
    return Finding.ripening("RolePropagating", text, for_others=True, of=ROLE_RIPENS)


def _role_refused(failure: str) -> Finding:
    return Finding.action_required(
        "RoleNotAssumable",
        f"Lambda still can't assume the role after five minutes; {failure}. "
        "Check permissions boundaries and organization policies on the role",
    )


def _denied(error: AwsError) -> Finding:
    missing = error.missing_permission
    needed_by = "" if missing == error.action else f" (needed for {error.action})"
    return Finding.action_required(
        "AccessDenied",
        f"AWS denies the operator {missing}{needed_by} on {error.target} ({error.text}). {error.remedy}; {_RECOVERS}",
    )


def _refused(error: AwsError, failure: str, *, removing: bool) -> Finding:
    why = (
        "AWS refuses the call" if error.meaning is Meaning.TERMINAL else "AWS refuses the call: the resource is in use"
    )
    remedy = f"{error.remedy}; {_RECOVERS}" if error.remedy else "The operator keeps retrying at long intervals"
    if removing and error.remedy == SPEC_REMEDY:
        remedy = f"{_RELEASE}. The operator keeps retrying at long intervals"
    elif removing:
        remedy = f"{error.remedy or _RELEASE}; the deletion then continues automatically"
    return Finding.action_required("TerminalError", f"{why}; {failure}. {remedy}")
