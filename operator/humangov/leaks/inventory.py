"""All objects of one account and region that carry an ownership tag, whoever's.

They are looked for with the tagging API (one paged call for functions, log groups, mappings and tables) and, as that
knows no roles, by the path of roles. The tagging API lags behind: what it names is a candidate, and is believed only
when the object's own service has been asked.
https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from humangov.api.names import OWNER_TAG, ROLE_PATH
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError

FUNCTION, MAPPING, LOG_GROUP, TABLE, ROLE = "function", "trigger", "log group", "table", "role"
_KINDS = (
    (FUNCTION, re.compile(r"arn:[^:]+:lambda:[^:]+:[^:]+:function:(?P<name>[^:]+)")),
    (MAPPING, re.compile(r"arn:[^:]+:lambda:[^:]+:[^:]+:event-source-mapping:(?P<name>[^:]+)")),
    (LOG_GROUP, re.compile(r"arn:[^:]+:logs:[^:]+:[^:]+:log-group:(?P<name>[^:]+)(:\*)?")),
    (TABLE, re.compile(r"arn:[^:]+:dynamodb:[^:]+:[^:]+:table/(?P<name>[^/]+)")),
)


@dataclass(frozen=True, kw_only=True, order=True)
class Marked:
    """An object and its ownership tag, `<cluster>/<namespace>/<name>`."""

    kind: str
    name: str  # a mapping's is its UUID
    arn: str
    owner: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A mapping, as it stands under a function. Names; `table` is None if it reads something else than a table."""

    uuid: str
    function: str
    table: str | None


def marked(clients: Clients, *, known_roles: Collection[str]) -> list[Marked]:
    """Candidates. A role that is known to be a living tenant's, or another region's, is not asked for its tags.

    Raises AwsError.
    """
    return [*_tagged(clients), *_roles(clients, known=known_roles)]


def confirmed(clients: Clients, one: Marked) -> Marked | None:
    """The object as its own service tells it now; None if it is gone or carries no mark. Raises AwsError."""
    try:
        tags = _tags(clients, one)
    except AwsError as error:
        if error.gone:
            return None
        raise
    owner = tags.get(OWNER_TAG)
    return Marked(kind=one.kind, name=one.name, arn=one.arn, owner=owner) if owner else None


def readings(clients: Clients) -> list[Reading]:
    """Every mapping of the account and region. Raises AwsError."""
    listed = clients.pages(
        "lambda:ListEventSourceMappings", "EventSourceMappings", token=("NextMarker", "Marker"), target="all functions"
    )
    return [
        Reading(
            uuid=mapping["UUID"],
            function=str(mapping["FunctionArn"]).partition(":function:")[2].partition(":")[0],
            table=_table_of_stream(mapping.get("EventSourceArn") or ""),
        )
        for mapping in listed
    ]


def table_of_function(clients: Clients, name: str) -> str | None:
    """The table that a function of ours was made for; None if the function is gone or does not say. Raises AwsError."""
    try:
        answer = clients.call("lambda:GetFunction", target=name, FunctionName=name)
    except AwsError as error:
        if error.gone:
            return None
        raise
    variables: Mapping[str, str] = (answer["Configuration"].get("Environment") or {}).get("Variables") or {}
    return variables.get("HUMANGOV_TABLE")


def parsed(arn: str) -> tuple[str, str] | None:
    """Kind and name; None if it is of a kind that the operator never makes."""
    for kind, pattern in _KINDS:
        found = pattern.fullmatch(arn)
        if found:
            return kind, found["name"]
    return None


def _tagged(clients: Clients) -> Iterable[Marked]:
    listed = clients.pages(
        "tag:GetResources", "ResourceTagMappingList", token=("PaginationToken", "PaginationToken"),
        target=f"tag {OWNER_TAG}", TagFilters=[{"Key": OWNER_TAG}],
    )  # fmt: skip
    for found in listed:
        what = parsed(found["ResourceARN"])
        owner = _by_key(found.get("Tags") or ()).get(OWNER_TAG)
        if what is not None and owner:
            yield Marked(kind=what[0], name=what[1], arn=found["ResourceARN"].removesuffix(":*"), owner=owner)


def _roles(clients: Clients, *, known: Collection[str]) -> Iterable[Marked]:
    listed = clients.pages(
        "iam:ListRoles", "Roles", token=("Marker", "Marker"), target=f"path {ROLE_PATH}", PathPrefix=ROLE_PATH
    )
    for role in listed:
        name = role["RoleName"]
        if name in known or role["Path"] != ROLE_PATH or not name.endswith(f"-{clients.region}"):
            continue
        one = confirmed(clients, Marked(kind=ROLE, name=name, arn=role["Arn"], owner=""))  # the listing has no tags
        if one is not None:
            yield one


def _tags(clients: Clients, one: Marked) -> dict[str, str]:
    match one.kind:
        case "function" | "trigger":
            return dict(clients.call("lambda:ListTags", target=one.arn, Resource=one.arn).get("Tags") or {})
        case "log group":
            answer = clients.call("logs:ListTagsForResource", target=one.name, resourceArn=one.arn)
            return dict(answer.get("tags") or {})
        case "table":
            return _by_key(
                clients.pages(
                    "dynamodb:ListTagsOfResource", "Tags", token=("NextToken", "NextToken"), target=one.name,
                    ResourceArn=one.arn,
                )
            )  # fmt: skip
        case _:
            role = clients.call("iam:GetRole", target=one.name, RoleName=one.name)["Role"]
            return _by_key(role.get("Tags") or ())


def _by_key(tags: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _table_of_stream(arn: str) -> str | None:
    found = re.fullmatch(r"arn:[^:]+:dynamodb:[^:]+:[^:]+:table/([^/]+)/stream/.+", arn)
    return found[1] if found else None
