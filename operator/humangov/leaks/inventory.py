"""All resources of one account and region that have an ownership tag, of any tenant.

They are found with the tagging API (one paged call for functions, log groups, mappings and tables) and, as that
does not cover roles, by the path of roles. The tagging API lags behind: what it lists is a candidate until the
resource's own service confirms it.
https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from humangov.api.arns import function_of, parse_arn, table_of_stream
from humangov.api.names import CLUSTER_UID_TAG, OWNER_TAG, ROLE_PATH
from humangov.aws import event_source_mapping
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.aws.ownership import tag_map
from humangov.aws.unknown import shown

FUNCTION, MAPPING, LOG_GROUP, TABLE, ROLE = "function", "trigger", "log group", "table", "role"


@dataclass(frozen=True, kw_only=True, order=True)
class Tagged:
    """An object and its ownership tag, `<cluster>/<namespace>/<name>`.

    cluster_uid: the tag that says whose cluster's it is; None: it has none
    """

    kind: str
    name: str  # a mapping's is its UUID
    arn: str
    owner: str
    cluster_uid: str | None = field(default=None, compare=False)

    @property
    def of_cluster(self) -> Mapping[str, str]:
        """That tag."""
        return {CLUSTER_UID_TAG: self.cluster_uid} if self.cluster_uid else {}


@dataclass(frozen=True, kw_only=True)
class ListedMapping:
    """A mapping, as it stands under a function. Names; `table` is None if it reads something else than a table."""

    uuid: str
    function: str
    table: str | None


def tagged(clients: Clients, *, known_roles: Collection[str]) -> list[Tagged]:
    """Candidates. The tags of a role that belongs to an existing tenant or another region are not read.

    Raises AwsError.
    """
    return [*_resources(clients), *_roles(clients, known=known_roles)]


def confirmed(clients: Clients, one: Tagged) -> Tagged | None:
    """The object as its own service shows it; None if it does not exist or has no ownership tag. Raises AwsError."""
    try:
        tags = _tags(clients, one)
    except AwsError as error:
        if error.not_found:
            return None
        raise
    owner = tags.get(OWNER_TAG)
    if not owner:
        return None
    return Tagged(kind=one.kind, name=one.name, arn=one.arn, owner=owner, cluster_uid=tags.get(CLUSTER_UID_TAG))


def list_mappings(clients: Clients) -> list[ListedMapping]:
    """Every mapping of the account and region. Raises AwsError."""
    return [
        ListedMapping(
            uuid=mapping["UUID"],
            function=function_of(mapping["FunctionArn"]),
            table=table_of_stream(mapping.get("EventSourceArn") or ""),
        )
        for mapping in event_source_mapping.listed(clients, target="all functions")
    ]


def table_of_function(clients: Clients, name: str) -> str | None:
    """The table of an owned function; None if the function does not exist or has no such variable. Raises AwsError."""
    answer = clients.find("lambda:GetFunction", target=name, FunctionName=name)
    if answer is None:
        return None
    variables: Mapping[str, str] = (answer["Configuration"].get("Environment") or {}).get("Variables") or {}
    return variables.get("HUMANGOV_TABLE")


def _resources(clients: Clients) -> Iterable[Tagged]:
    listed = clients.pages(
        "tag:GetResources", "ResourceTagMappingList", token=("PaginationToken", "PaginationToken"),
        target=f"tag {OWNER_TAG}", TagFilters=[{"Key": OWNER_TAG}],
    )  # fmt: skip
    for found in listed:
        what = _kind_and_name(found["ResourceARN"])
        tags = tag_map(found.get("Tags") or (), action="tag:GetResources", target=f"tag {OWNER_TAG}")
        owner, arn = tags.get(OWNER_TAG), found["ResourceARN"].removesuffix(":*")
        if what is not None and owner:
            yield Tagged(kind=what[0], name=what[1], arn=arn, owner=owner, cluster_uid=tags.get(CLUSTER_UID_TAG))


def _roles(clients: Clients, *, known: Collection[str]) -> Iterable[Tagged]:
    listed = clients.pages(
        "iam:ListRoles", "Roles", token=("Marker", "Marker"), target=f"path {ROLE_PATH}", PathPrefix=ROLE_PATH
    )
    for role in listed:
        name = role["RoleName"]
        if name in known or role["Path"] != ROLE_PATH or not name.endswith(f"-{clients.region}"):
            continue
        one = confirmed(clients, Tagged(kind=ROLE, name=name, arn=role["Arn"], owner=""))  # the listing has no tags
        if one is not None:
            yield one


def _kind_and_name(arn: str) -> tuple[str, str] | None:
    """None if it is of a kind that the operator never creates."""
    parsed = parse_arn(arn)
    if parsed is None:
        return None
    match (parsed.service, *parsed.resource.split(":")):
        case ("lambda", "function", name):
            return FUNCTION, name
        case ("lambda", "event-source-mapping", name):
            return MAPPING, name
        case ("logs", "log-group", name) | ("logs", "log-group", name, "*"):
            return LOG_GROUP, name
        case ("dynamodb", resource) if resource.startswith("table/") and resource.count("/") == 1:
            return TABLE, resource.removeprefix("table/")
        case _:
            return None


def _tags(clients: Clients, one: Tagged) -> dict[str, str]:
    """Raises AwsError."""
    match one.kind:
        case "function" | "trigger":
            return event_source_mapping.read_tags(clients, one.arn)
        case "log group":
            answer = clients.call("logs:ListTagsForResource", target=one.name, resourceArn=one.arn)
            return dict(shown(answer, "tags", action="logs:ListTagsForResource", target=one.name))
        case "table":
            action = "dynamodb:ListTagsOfResource"
            tags = clients.pages(
                action, "Tags", token=("NextToken", "NextToken"), target=one.name, ResourceArn=one.arn
            )  # fmt: skip
            return tag_map(tags, action=action, target=one.name)
        case _:
            answer = clients.call("iam:GetRole", target=one.name, RoleName=one.name)
            role = shown(answer, "Role", action="iam:GetRole", target=one.name)
            return tag_map(role.get("Tags") or (), action="iam:GetRole", target=one.name)
