"""The table's stream: enabled where it is disabled, never restarted where it is enabled.

Tags on the table record who enabled it: `humangov.io/stream-enabling=<time> <label of our stream before>` before,
`humangov.io/stream=<label>` after. The operator disables only a stream whose label is in that tag, beside the
ownership tag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import OWNER_TAG, Names
from humangov.aws.change import Change, Context
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.ownership import NotOwnedError, shown, tag_list, tag_map

RESOURCE = "stream"
NOT_FOUND = "TableNotFound"
VIEW_TYPE = "NEW_AND_OLD_IMAGES"  # the only one that shows a changed file attribute
STREAM_TAG = "humangov.io/stream"
ENABLING_TAG = "humangov.io/stream-enabling"
OUR_TAGS = (STREAM_TAG, ENABLING_TAG, OWNER_TAG)
TAGS_SETTLE = timedelta(seconds=30)  # DynamoDB's tags are eventually consistent
_CLOCKS_DIFFER = timedelta(seconds=5)
_ENABLING_LASTS = timedelta(seconds=30)  # between the tag before and the stream's birth


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The table and its latest stream. `tags` and `stream_status` are None where they were not read.

    indexes: complete global index → the string attribute that is its partition key.
    """

    table_id: str
    table_status: str
    enabled: bool
    view_type: str | None
    arn: str | None
    label: str | None
    kms_key_arn: str | None
    indexes: Mapping[str, str] = field(default_factory=dict)
    replicated: bool = False  # a global table's, whose stream AWS does not let anyone disable
    tags: Mapping[str, str] | None = None
    stream_status: str | None = None


@dataclass(frozen=True, kw_only=True)
class Desired:
    table: str
    table_arn: str
    owner: str
    now: datetime


def observe(clients: Clients, names: Names, *, deep: bool) -> Observed | None:
    """The table; with `deep`, also its tags and its stream's own state. None if there is no such table.

    Raises AwsError.
    """
    table = names.tenant.table.name
    answer = clients.find("dynamodb:DescribeTable", target=table, TableName=table)
    if answer is None:
        return None
    observed = _observed(answer["Table"])
    if deep:
        observed = replace(observed, tags=read_tags(clients, names))
        if observed.arn:
            observed = replace(observed, stream_status=_stream_status(clients, observed.arn))
    return observed


def desired(names: Names, context: Context) -> Desired:
    return Desired(table=names.tenant.table.name, table_arn=names.table_arn, owner=names.owner, now=context.now)


def plan(observed: Observed | None, desired: Desired) -> list[Change]:
    """Enable the stream, tagging the table before and after. An enabled stream is never disabled here.

    Raises NotOwnedError where the table has another tenant's ownership tag.
    """
    if observed is None:
        return []
    owner = (observed.tags or {}).get(OWNER_TAG)
    if owner not in (None, desired.owner):
        whose = shown(owner, namespace=desired.owner.split("/")[1])
        raise NotOwnedError(
            f"table {desired.table} is already owned by {whose} (tag {OWNER_TAG}), so nothing is changed. Delete that "
            "HumanGovState, or remove the tag if it no longer exists; the tenant then recovers automatically"
        )
    if observed.table_status != "ACTIVE":
        return []
    if not observed.enabled:
        return _enabling(observed, desired)
    if observed.tags is not None and observed.label and _enabled_before_restart(observed, desired.owner):
        return [_tagging_as_enabled(desired, {STREAM_TAG: observed.label})]
    return []


def apply(clients: Clients, change: Change, observed: Observed, desired: Desired) -> Observed:
    """One of plan's changes. Raises AwsError."""
    if change.action == "dynamodb:UpdateTable":
        return _enable(clients, change, observed, desired)
    parameters = dict(change.parameters)
    if not parameters:  # the label is known only now
        if not observed.label or not observed.enabled:
            return observed
        parameters = _tag_parameters(desired, {STREAM_TAG: observed.label})
    clients.call(change.action, target=change.target, **parameters)
    tags = {**(observed.tags or {}), **tag_map(parameters["Tags"])}
    # The stream's own state lags behind the table's; the trigger needs it.
    lagging = observed.arn and observed.stream_status is None
    status = _stream_status(clients, observed.arn) if lagging and observed.arn else observed.stream_status
    return replace(observed, tags=tags, stream_status=status)


def _enable(clients: Clients, change: Change, observed: Observed, desired: Desired) -> Observed:
    try:
        answer = clients.call(change.action, target=change.target, **change.parameters)
    except AwsError as error:
        if error.meaning is not Meaning.ALREADY:
            raise
        # Someone else enabled the stream first: our tags must not claim it.
        clients.call(
            "dynamodb:UntagResource",
            target=change.target,
            ResourceArn=desired.table_arn,
            TagKeys=[ENABLING_TAG, OWNER_TAG],
        )
        return replace(observed, table_status="UPDATING")  # what there is now decides, in the next reconciliation
    return replace(_observed(answer["TableDescription"]), tags=observed.tags)


def finding(observed: Observed | None, desired: Desired) -> Finding:
    """Condition StreamReady."""
    if observed is None:
        return Finding.waiting(NOT_FOUND, f"table {desired.table} does not exist yet; nothing is created until it does")
    if observed.table_status not in ("ACTIVE", "UPDATING"):
        text = f"table {desired.table} is {observed.table_status}"
        if observed.table_status == "CREATING":  # a restore or an import takes hours
            return Finding.waiting("TableNotActive", text, requeue_after_seconds=5)
        return Finding.waiting("TableUnavailable", f"{text}{_how_to_end(observed)}", requeue_after_seconds=5)
    if not observed.enabled or not observed.arn:
        return Finding.waiting(
            "Enabling", f"the stream of table {desired.table} is being enabled", requeue_after_seconds=1
        )
    if observed.stream_status not in (None, "ENABLED"):
        return Finding.waiting("Enabling", f"the stream is {observed.stream_status}", requeue_after_seconds=1)
    if observed.view_type == "OLD_IMAGE":
        return Finding.in_sync(
            "OldImagesOnly",
            "someone else enabled the stream with OLD_IMAGE: the function sees removed records, but not changed file "
            f"names, which need {VIEW_TYPE}. When no other reader needs the stream, disable it; the operator then "
            "enables it",
        )
    if observed.view_type != VIEW_TYPE:
        return Finding.action_required(
            "UnsupportedViewType",
            f"someone else enabled the stream of table {desired.table} with {observed.view_type}, which does not "
            f"contain the removed record. Disable it, or enable it with {VIEW_TYPE}. The operator does not change it, "
            "because its other readers would lose records",
        )
    return Finding.in_sync("Enabled", f"stream {observed.label} is enabled with {VIEW_TYPE}")


def _how_to_end(observed: Observed) -> str:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html"""
    match observed.table_status:
        case "INACCESSIBLE_ENCRYPTION_CREDENTIALS":
            return ". Enable its KMS key again and let DynamoDB use it: after seven days DynamoDB archives the table"
        case "ARCHIVING" | "ARCHIVED":
            return (
                ". DynamoDB archives a table whose KMS key it could not use. Restore it from its backup under its name"
            )
        case _:
            return ""


def with_tags(clients: Clients, names: Names, observed: Observed) -> Observed:
    """Raises AwsError."""
    return replace(observed, tags=read_tags(clients, names))


def may_disable(observed: Observed, *, owner: str, has_readers: Callable[[], bool], now: datetime) -> bool | None:
    """Whether a removal may disable the stream; None: that is not known yet. Raises what has_readers does.

    has_readers: whether any mapping still reads the stream.
    """
    if observed.replicated:
        return False
    tags = observed.tags or {}
    tagged = tags.get(STREAM_TAG) == observed.label and tags.get(OWNER_TAG) == owner
    if tagged or _enabled_before_restart(observed, owner):
        return not has_readers()
    born = born_at(observed.label)
    if born is not None and now - born < TAGS_SETTLE:
        return None  # a tag that we wrote may not be readable yet
    return False


def disable(clients: Clients, names: Names) -> None:
    """Disable the stream; success if it is already disabled. Raises AwsError."""
    table = names.tenant.table.name
    try:
        clients.call(
            "dynamodb:UpdateTable", target=table,
            TableName=table, StreamSpecification={"StreamEnabled": False},
        )  # fmt: skip
    except AwsError as error:
        if error.meaning is not Meaning.ALREADY and not error.not_found:
            raise


def untag(clients: Clients, names: Names, observed: Observed) -> None:
    """Remove our tags from the table, if the tenant owns it. Raises AwsError."""
    tags = observed.tags or {}
    if tags.get(OWNER_TAG) != names.owner:
        return
    present = [key for key in OUR_TAGS if key in tags]
    clients.call(
        "dynamodb:UntagResource", target=names.tenant.table.name,
        ResourceArn=names.table_arn, TagKeys=present,
    )  # fmt: skip


def release(clients: Clients, names: Names) -> None:
    """Remove our tags from a table whose stream stays enabled. Raises AwsError."""
    observed = observe(clients, names, deep=False)
    if observed is not None:
        untag(clients, names, with_tags(clients, names, observed))


def read_tags(clients: Clients, names: Names) -> dict[str, str]:
    """All tags of the table. Raises AwsError."""
    return tag_map(
        clients.pages(
            "dynamodb:ListTagsOfResource",
            "Tags",
            token=("NextToken", "NextToken"),
            target=names.tenant.table.name,
            ResourceArn=names.table_arn,
        )
    )


def label_of(stream_arn: str) -> str:
    """Of `arn:…:table/<name>/stream/<label>`."""
    return stream_arn.rpartition("/stream/")[2]


def born_at(label: str | None) -> datetime | None:
    """A stream's label is its time of birth, UTC, in ISO 8601."""
    try:
        return datetime.fromisoformat(label).replace(tzinfo=UTC) if label else None
    except ValueError:
        return None


def _enabled_before_restart(observed: Observed, owner: str) -> bool:
    """The operator tagged the table, enabled the stream, and ended before it could tag the stream."""
    tags = observed.tags or {}
    if tags.get(OWNER_TAG) != owner or tags.get(STREAM_TAG) == observed.label:
        return False
    moment, _, before = tags.get(ENABLING_TAG, "").partition(" ")
    if tags.get(STREAM_TAG, "") != before:
        return False  # that change was completed; someone else enabled this stream later
    born = born_at(observed.label)
    try:
        enabling = datetime.fromisoformat(moment)
    except ValueError:
        return False
    return born is not None and enabling - _CLOCKS_DIFFER <= born <= enabling + _ENABLING_LASTS


def _enabling(observed: Observed, desired: Desired) -> list[Change]:
    """The tag before says since when; the one after, for which the label is not known yet, which stream it became."""
    begun = f"{desired.now.isoformat(timespec='seconds')} {(observed.tags or {}).get(STREAM_TAG, '')}".strip()
    return [
        Change(
            resource=RESOURCE,
            action="dynamodb:TagResource",
            target=desired.table,
            summary="tag the table before enabling its stream",
            parameters=_tag_parameters(desired, {ENABLING_TAG: begun, OWNER_TAG: desired.owner}),
        ),
        Change(
            resource=RESOURCE,
            action="dynamodb:UpdateTable",
            target=desired.table,
            summary=f"enable the stream with {VIEW_TYPE}",
            parameters={
                "TableName": desired.table,
                "StreamSpecification": {"StreamEnabled": True, "StreamViewType": VIEW_TYPE},
            },
        ),
        _tagging_as_enabled(desired, {}),
    ]


def _tagging_as_enabled(desired: Desired, tags: Mapping[str, str]) -> Change:
    """Without tags: the label is put in when it is known."""
    return Change(
        resource=RESOURCE,
        action="dynamodb:TagResource",
        target=desired.table,
        summary="tag the stream as enabled by the operator",
        parameters=_tag_parameters(desired, tags) if tags else {},
    )


def _tag_parameters(desired: Desired, tags: Mapping[str, str]) -> dict[str, Any]:
    return {"ResourceArn": desired.table_arn, "Tags": tag_list(tags)}


def _stream_status(clients: Clients, arn: str) -> str:
    answer = clients.call("dynamodb:DescribeStream", target=arn, StreamArn=arn, Limit=1)
    return str(answer["StreamDescription"]["StreamStatus"])


def _observed(description: Mapping[str, Any]) -> Observed:
    specification = description.get("StreamSpecification") or {}
    enabled = bool(specification.get("StreamEnabled"))
    encryption = description.get("SSEDescription") or {}
    return Observed(
        table_id=str(description.get("TableId", "")),
        table_status=str(description.get("TableStatus")),
        enabled=enabled,
        view_type=specification.get("StreamViewType") if enabled else None,
        arn=description.get("LatestStreamArn") if enabled else None,
        label=description.get("LatestStreamLabel") if enabled else None,
        kms_key_arn=encryption.get("KMSMasterKeyArn"),
        indexes=_indexes(description),
        replicated=bool(description.get("Replicas")),
    )


def _indexes(description: Mapping[str, Any]) -> dict[str, str]:
    strings = {
        one["AttributeName"] for one in description.get("AttributeDefinitions") or () if one["AttributeType"] == "S"
    }
    return {
        index["IndexName"]: partition
        for index in description.get("GlobalSecondaryIndexes") or ()
        # An index that is being filled shows a part of the table.
        if index.get("IndexStatus") == "ACTIVE" and not index.get("Backfilling")
        for partition in (one["AttributeName"] for one in index["KeySchema"] if one["KeyType"] == "HASH")
        if partition in strings
    }
