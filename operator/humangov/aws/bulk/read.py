"""The listings of one account and region: who calls what, with how many pages at most, and what of an answer counts.

Pages: 50 functions, 100 mappings, up to 1,000 roles, 50 log groups, 100 tagged resources, as much as AWS allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from humangov.api.names import OWNER_TAG, ROLE_PATH
from humangov.aws import function_observed
from humangov.aws.bulk.snapshot import ListedLogGroup, ListedRole, Snapshot, Wanted, by_key
from humangov.aws.change import as_json
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, Meaning, incomplete, next_page
from humangov.aws.ownership import tag_map
from humangov.aws.unknown import shown

FUNCTIONS, MAPPINGS = "lambda:ListFunctions", "lambda:ListEventSourceMappings"
ROLES, LOG_GROUPS, TAGS = "iam:ListRoles", "logs:DescribeLogGroups", "tag:GetResources"
CALLS = (FUNCTIONS, MAPPINGS, ROLES, LOG_GROUPS, TAGS)
CUT_OFF, ENDED = "MorePagesThanWorthwhile", "Ended"
Result = TypeVar("Result")


class _Pages:
    """Counts the pages of all listings, and ends a listing that single reads would be cheaper than."""

    def __init__(self, clients: Clients, *, most: int, ended: Callable[[], bool]) -> None:
        self._clients, self._most, self._ended, self.asked = clients, most, ended, 0

    def of(self, action: str, items: str, *, token: tuple[str, str], **parameters: Any) -> Iterator[Any]:
        """The items, until the last page. token: its name in the answer, and in the request. Raises AwsError."""
        seen = set[str]()
        while True:
            if self._ended():
                raise AwsError(
                    action=action, target="all", code=ENDED, text="the task that listed it has ended",
                    meaning=Meaning.RETRY_SLOWLY,
                )  # fmt: skip
            if self.asked >= self._most:
                raise AwsError(
                    action=action, target="all", code=CUT_OFF, text=f"the account has more than {self._most} pages",
                    meaning=Meaning.RETRY_SLOWLY,
                )  # fmt: skip
            self.asked += 1
            page = self._clients.call(action, target="all", **parameters)
            if items not in page:
                raise incomplete(action=action, target="all", field=items)
            yield from page[items]
            following = next_page(page, token[0], action=action, target="all", seen=seen)
            if following is None:
                return
            parameters[token[1]] = following


def take(
    clients: Clients, wanted: Wanted, *, at: float, most_pages: int, ended: Callable[[], bool] = lambda: False
) -> Snapshot:
    """One snapshot; what could not be listed as a whole is unknown in it. Raises nothing of AWS. at: now, monotonic.

    ended: whether the task that asked for it has ended. Hundreds of pages take minutes of the budget, and a process
    that ends, or begins again, waits for its threads.
    """
    pages, unlisted = _Pages(clients, most=most_pages, ended=ended), dict[str, AwsError]()

    def whole(action: str, read: Callable[[_Pages, Wanted], Result]) -> Result | None:
        try:
            return read(pages, wanted)
        except AwsError as error:
            unlisted[action] = error
            return None

    return Snapshot(
        at=at,
        functions=whole(FUNCTIONS, _functions),
        mappings=whole(MAPPINGS, _mappings),
        roles=whole(ROLES, _roles),
        log_groups=whole(LOG_GROUPS, _log_groups),
        tags=whole(TAGS, _tags),
        unlisted=unlisted,
        pages=pages.asked,
    )


def _functions(pages: _Pages, wanted: Wanted) -> Mapping[str, function_observed.Observed | None]:
    listed = pages.of(FUNCTIONS, "Functions", token=("NextMarker", "Marker"), MaxItems=50)
    arns = ((str(shown(one, "FunctionArn", action=FUNCTIONS, target="all")), one) for one in listed)
    return by_key(
        (arn, function_observed.read(one, reserved_concurrency=None, tags=None))
        for arn, one in arns if arn in wanted.functions
    )  # fmt: skip


def _mappings(pages: _Pages, wanted: Wanted) -> Mapping[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in pages.of(MAPPINGS, "EventSourceMappings", token=("NextMarker", "Marker"), MaxItems=100):
        arn = str(shown(one, "FunctionArn", action=MAPPINGS, target="all"))
        function = next((each for each in _without_qualifier(arn) if each in wanted.functions), None)
        if function is not None:
            found.setdefault(function, []).append(one)
    return found


def _without_qualifier(arn: str) -> tuple[str, str]:
    """As it is, and without what may be an alias or a version: arn:aws:lambda:region:account:function:name[:alias]."""
    return arn, ":".join(arn.split(":")[:7])


def _roles(pages: _Pages, wanted: Wanted) -> Mapping[str, ListedRole | None]:
    listed = pages.of(ROLES, "Roles", token=("Marker", "Marker"), PathPrefix=ROLE_PATH, MaxItems=1000)

    def role(one: Mapping[str, Any]) -> ListedRole:
        def of(field: str) -> Any:
            return shown(one, field, action=ROLES, target="all")

        return ListedRole(
            created=of("CreateDate"), path=of("Path"), trust=as_json(of("AssumeRolePolicyDocument")),
            role_id=of("RoleId"),
        )  # fmt: skip

    arns = ((str(shown(one, "Arn", action=ROLES, target="all")), one) for one in listed)
    return by_key((arn, role(one)) for arn, one in arns if arn in wanted.roles)


def _log_groups(pages: _Pages, wanted: Wanted) -> Mapping[str, ListedLogGroup | None]:
    prefix = wanted.log_group_prefix
    listed = pages.of(
        LOG_GROUPS, "logGroups", token=("nextToken", "nextToken"), limit=50,
        **({"logGroupNamePrefix": prefix} if prefix else {}),
    )  # fmt: skip
    names = ((str(shown(one, "logGroupName", action=LOG_GROUPS, target="all")), one) for one in listed)
    return by_key(
        (
            name,
            ListedLogGroup(
                retention_days=one.get("retentionInDays"), kms_key_arn=one.get("kmsKeyId"),
                masked=one.get("dataProtectionStatus") == "ACTIVATED",
            ),
        )
        for name, one in names if name in wanted.log_groups
    )  # fmt: skip


def _tags(pages: _Pages, wanted: Wanted) -> Mapping[str, Mapping[str, str] | None]:
    listed = pages.of(
        TAGS, "ResourceTagMappingList", token=("PaginationToken", "PaginationToken"),
        TagFilters=[{"Key": OWNER_TAG}], ResourcesPerPage=100,
    )  # fmt: skip
    several = (
        (
            str(shown(one, "ResourceARN", action=TAGS, target="all")).removesuffix(":*"),
            tag_map(one.get("Tags") or (), action=TAGS, target="all"),
        )
        for one in listed
    )
    every = by_key(several)  # all of them, so that one that comes twice is seen, whoever owns it the second time
    return {arn: tags for arn, tags in every.items() if tags is None or tags.get(OWNER_TAG) in wanted.owners}
