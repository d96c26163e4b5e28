"""What the listings of one account and region showed, by the resource's ARN or name.

A listing is whole, or unknown: one that failed, was cut off or lacks a field tells nothing, not even that something is
absent. What it lists twice, and differently, is unclear (None).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from humangov.api.names import Names
from humangov.aws import function_observed
from humangov.aws.errors import AwsError

Key = TypeVar("Key")
Entry = TypeVar("Entry")


@dataclass(frozen=True, kw_only=True)
class ListedRole:
    """What iam:ListRoles shows of a role: neither its tags, nor its permissions boundary, nor its policies.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html
    """

    created: datetime
    path: str
    trust: str
    role_id: str


@dataclass(frozen=True, kw_only=True)
class ListedLogGroup:
    """What logs:DescribeLogGroups shows of a log group: neither its tags nor its subscription filters."""

    retention_days: int | None
    kms_key_arn: str | None
    masked: bool


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """at: when the first listing began, monotonic: it may miss whatever came after, and some of what came before.

    functions   by ARN; without state, last update, reserved concurrency and tags, which lambda:ListFunctions lacks
    mappings    as Lambda lists them, by the ARN of their function without a qualifier
    roles       by ARN
    log_groups  by name
    tags        by ARN, of functions, mappings, log groups and tables that have an ownership tag
    unlisted    why a listing is unknown (None), by IAM's name of the call
    pages       how many calls were made
    """

    at: float
    functions: Mapping[str, function_observed.Observed | None] | None = None
    mappings: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
    roles: Mapping[str, ListedRole | None] | None = None
    log_groups: Mapping[str, ListedLogGroup | None] | None = None
    tags: Mapping[str, Mapping[str, str] | None] | None = None
    unlisted: Mapping[str, AwsError] = field(default_factory=dict)
    pages: int = 0


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Of what a snapshot keeps the entries: an account may have many more."""

    functions: frozenset[str]
    roles: frozenset[str]
    log_groups: frozenset[str]
    owners: frozenset[str]

    @property
    def log_group_prefix(self) -> str:
        """That all of the log groups have."""
        first, last = min(self.log_groups, default=""), max(self.log_groups, default="")
        equal = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
        return first[: next(equal, min(len(first), len(last)))]


def wanted(every: Iterable[Names]) -> Wanted:
    several = list(every)
    return Wanted(
        functions=frozenset(one.function_arn for one in several),
        roles=frozenset(one.role_arn for one in several),
        log_groups=frozenset(one.tenant.log_group_name for one in several),
        owners=frozenset(one.owner for one in several),
    )


def by_key(entries: Iterable[tuple[Key, Entry]]) -> dict[Key, Entry | None]:
    """None where a key comes twice, and not with the same entry: pages were listed while it changed."""
    found: dict[Key, Entry | None] = {}
    for key, entry in entries:
        found[key] = entry if key not in found or found[key] == entry else None
    return found
