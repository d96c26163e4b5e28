"""What the resources' files have in common: a change to make, and what to tell people."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from humangov.aws.errors import AwsError, Meaning
from humangov.status import Finding
from humangov.tenant import OWNER_TAG, Names

_BY_ITSELF = "then this goes on by itself"
IAM_PROPAGATION_SECONDS = 300  # a role younger than this may not be known to Lambda yet


@dataclass(frozen=True, kw_only=True)
class Change:
    """One write to AWS that leads from what is to what is declared."""

    resource: str  # stream, role, log group, function, trigger
    action: str  # IAM's name of the call: lambda:UpdateFunctionConfiguration
    target: str  # the AWS object's name
    summary: str  # for people: "timeout 3 → 300 s"
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)  # of the SDK's method
    adopts: bool = False  # it takes over what was made by someone else


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every resource's file may need to know beside the tenant."""

    names: Names
    default_tags: Mapping[str, str]
    permissions_boundary_arn: str | None
    now: datetime

    @property
    def tags(self) -> dict[str, str]:
        """Tags of every object that we make: the operator's, the tenant's, and the mark of ownership."""
        return {**self.default_tags, **self.names.tenant.tags, OWNER_TAG: self.names.owner}


def boundary_of(arn: str | None, names: Names) -> str | None:
    """The permissions boundary in the tenant's account: a role's boundary is a policy of the role's own account."""
    if arn is None or names.tenant.account.role_arn is None:
        return arn
    name = arn.split(":", 5)[5]
    return f"arn:{names.identity.partition}:iam::{names.identity.account_id}:{name}"


class NotOwnedError(Exception):
    """An object under our name carries no mark of ours, or another's; it is left alone. The message says what to do."""


def require_ownership(
    *, kind: str, target: str, tags: Mapping[str, str], names: Names, adoptable: bool = False
) -> None:
    """Raise NotOwnedError unless the tags, which were read and not guessed, carry our mark.

    `adoptable`: what carries nobody's mark may be taken over, if the tenant's spec.adoption says so.
    """
    owner = tags.get(OWNER_TAG)
    if owner == names.owner or (adoptable and adopts(tags, names)):
        return
    whose = f"belongs to {owner}" if owner else f"has no {OWNER_TAG} tag"
    take_over = ", or set spec.adoption: IfUntagged to have it taken over" if adoptable and not owner else ""
    raise NotOwnedError(
        f"{kind} {target} exists and {whose}, so it is not touched. Rename or remove it, or give the tenant "
        f"another spec.function.name{take_over}; then this goes on by itself"
    )


def adopts(tags: Mapping[str, str], names: Names) -> bool:
    """Whether an object with these tags, which is not ours yet, is to be taken over."""
    return OWNER_TAG not in tags and names.tenant.adoption == "IfUntagged"


def missing_tags(*, actual: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The tags to set: other people's tags beside ours are theirs."""
    return {key: value for key, value in wanted.items() if actual.get(key) != value}


def setting(tags: Mapping[str, str]) -> str:
    """The summary of a change of tags."""
    return f"set tags {', '.join(sorted(tags))}"


def taking_over(what: str) -> str:
    """The summary of a change of tags by which an object becomes ours."""
    return f"take over {what}, which carried nobody's mark (spec.adoption: IfUntagged)"


def tag_list(tags: Mapping[str, str], *, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    return [{key: name, value: tags[name]} for name in sorted(tags)]


def as_json(document: Any) -> str:
    """One spelling for equal documents."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def difference(fields: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """`{"memory": (128, 512)}` → `["memory 128 → 512"]`, only what differs."""
    return [f"{name} {_short(old)} → {_short(new)}" for name, (old, new) in fields.items() if old != new]


def _short(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else as_json(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


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
