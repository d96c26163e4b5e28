"""What the resource modules share: a planned change, and the context that is the same for all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from humangov.api.arns import parse_arn
from humangov.api.erasure_limit import ErasureLimit
from humangov.api.names import CLUSTER_UID_TAG, ORIGIN_TAG, OWNER_TAG, Names


@dataclass(frozen=True, kw_only=True)
class Change:
    """One write to AWS that moves the observed state towards the desired one."""

    resource: str  # stream, role, log group, function, trigger
    action: str  # IAM's name of the call: lambda:UpdateFunctionConfiguration
    target: str  # the AWS object's name
    summary: str  # for people: "timeout 3 → 300 s"
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)  # of the SDK's method
    adopts: bool = False  # adopts a resource that has no ownership tag
    opened: bool = False  # closes a way in, or out, that somebody else opened
    of_rollout: bool = False  # replaces code that the operator itself had given to the function
    of_cluster: bool = False  # says whose cluster's the resource is, and nothing else

    @property
    def what(self) -> tuple[str, ...]:
        """The call, its target and the fields that it sets, without their values."""
        return (self.action, self.target, *sorted(self.parameters))

    @property
    def redirects(self) -> bool:
        """Whether it says where else records go."""
        return "DestinationConfig" in self.parameters and ":Create" not in self.action

    @property
    def keeps_safe(self) -> bool:
        """Whether it closes a way in or out, or ends invocations: nothing puts that off."""
        stops = self.parameters.get("Enabled") is False or self.parameters.get("ReservedConcurrentExecutions") == 0
        return self.opened or stops


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every resource module may need, beside the tenant.

    stopped        it is stopped (api/stop.py)
    hold_since     when the legal hold was put on the function; None: it is to be put on it, or there is no hold
    erasure_limit  whether the erasure limit was reached, and approved since
    known_code     CodeSha256 of the code that the operator gives to functions, and gave before its upgrade
    """

    names: Names
    default_tags: Mapping[str, str]
    permissions_boundary_arn: str | None
    now: datetime
    stopped: bool = False
    hold_since: datetime | None = None
    erasure_limit: ErasureLimit | None = None
    known_code: frozenset[str] = frozenset()

    @property
    def tags(self) -> dict[str, str]:
        """Tags of every resource that the operator creates: its own, the tenant's, and who owns it, now and first."""
        owner, uid = self.names.owner, self.names.identity.cluster_uid
        of_cluster = {CLUSTER_UID_TAG: uid} if uid else {}
        return {**self.default_tags, **self.names.tenant.tags, OWNER_TAG: owner, ORIGIN_TAG: owner, **of_cluster}


def boundary_of(arn: str | None, names: Names) -> str | None:
    """The permissions boundary in the tenant's account: a role's boundary is a policy of the role's own account."""
    parsed = parse_arn(arn or "")
    if parsed is None or names.tenant.account.role_arn is None:
        return arn
    identity = names.identity
    return str(replace(parsed, partition=identity.partition, region="", account_id=identity.account_id))


def as_json(document: Any) -> str:
    """One spelling for equal documents."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def difference(fields: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """`{"memory": (128, 512)}` → `["memory 128 → 512"]`, only what differs."""
    return [f"{name} {_short(old)} → {_short(new)}" for name, (old, new) in fields.items() if old != new]


def _short(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else as_json(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
