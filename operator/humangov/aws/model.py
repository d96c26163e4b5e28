"""What the resources' files have in common: a change to make, and what to tell people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from humangov.aws.errors import AwsError, Meaning
from humangov.status import Finding
from humangov.tenant import OWNER_TAG, Names

IAM_PROPAGATION_SECONDS = 300  # a role younger than this may not be known to Lambda yet


@dataclass(frozen=True, kw_only=True)
class Change:
    """One write to AWS that leads from what is to what is declared."""

    resource: str  # stream, role, log group, function, trigger
    action: str  # IAM's name of the call: lambda:UpdateFunctionConfiguration
    target: str  # the AWS object's name
    summary: str  # for people: "timeout 3 → 300 s"
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)  # of the SDK's method


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


class NotOwnedError(Exception):
    """An object under our name carries no mark of ours, or another's; it is left alone. The message says what to do."""


def require_ownership(*, kind: str, target: str, tags: Mapping[str, str], names: Names) -> None:
    """Raise NotOwnedError unless the tags, which were read and not guessed, carry our mark."""
    owner = tags.get(OWNER_TAG)
    if owner != names.owner:
        whose = f"belongs to {owner}" if owner else f"has no {OWNER_TAG} tag"
        raise NotOwnedError(
            f"{kind} {target} exists and {whose}, so it is not touched. Rename or remove it, or give the tenant "
            "another spec.function.name; then this goes on by itself"
        )


def missing_tags(*, actual: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The tags to set: other people's tags beside ours are theirs."""
    return {key: value for key, value in wanted.items() if actual.get(key) != value}


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
        return Finding.needs_person(
            "AccessDenied",
            f"AWS refuses the operator {error.action} on {error.target} ({error.text}). Grant it to the operator's "
            "role (deploy/iam has the whole policy); then this goes on by itself",
        )
    if error.meaning is Meaning.PERSON:
        return Finding.needs_person("Refused", f"AWS refuses it and a retry won't help; {said}")
    if error.meaning is Meaning.CONFLICT:
        return Finding.needs_person("Refused", f"something else still hangs on it and has to be removed first; {said}")
    if error.meaning in (Meaning.EXISTS, Meaning.GONE, Meaning.ALREADY):
        return Finding.progressing("Retrying", f"it changed while it was looked at; {said}", soon=True)
    return Finding.progressing(
        "Retrying", f"an answer that the operator does not know, asked again at leisure; {said}", soon=False
    )


def _is_denial(code: str) -> bool:
    return code.startswith(("AccessDenied", "Unauthorized", "NotAuthorized", "Forbidden", "403"))
