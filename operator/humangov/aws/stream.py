"""The table's stream: enabled where it is disabled, never restarted where it is enabled.

Tags on the table record who enabled it: `humangov.io/stream-enabling=<time> <label of our stream before>` before,
`humangov.io/stream=<label>` after. The operator disables only a stream whose label is in that tag, beside the
ownership tag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import CLUSTER_UID_TAG, OWNER_TAG, Names
from humangov.aws import ownership, stream_observed
from humangov.aws.change import Change, Context
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.ownership import OWNERSHIP_TAGS, NotOwnedError, OtherClusterError, is_owned, tag_list, tag_map
from humangov.aws.stream_observed import DESCRIBE, Observed, read, read_tags, require_disabled, stream_status
from humangov.aws.unknown import shown

RESOURCE = "stream"
NOT_FOUND = "TableNotFound"
VIEW_TYPE = "NEW_AND_OLD_IMAGES"  # the only one that shows a changed file attribute
STREAM_TAG = "humangov.io/stream"
ENABLING_TAG = "humangov.io/stream-enabling"
OUR_TAGS = (STREAM_TAG, ENABLING_TAG, *OWNERSHIP_TAGS)
TAGS_SETTLE = timedelta(seconds=30)  # DynamoDB's tags are eventually consistent
_CLOCKS_DIFFER = timedelta(seconds=5)
_ENABLING_LASTS = timedelta(seconds=30)  # between the tag before and the stream's birth


@dataclass(frozen=True, kw_only=True)
class Desired:
    names: Names
    now: datetime

    @property
    def table(self) -> str:
        return self.names.tenant.table.name


def observe(clients: Clients, names: Names, *, deep: bool) -> Observed | None:
    """The table; with `deep`, also its tags and its stream's own state. None if there is no such table.

    Raises AwsError.
    """
    table = names.tenant.table.name
    answer = clients.find("dynamodb:DescribeTable", target=table, TableName=table)
    if answer is None:
        return None
    description = shown(answer, "Table", action=DESCRIBE, target=table)
    observed = read(description, table)
    if not description.get("StreamSpecification"):
        require_disabled(clients, description, table)
    if deep:
        observed = replace(observed, tags=read_tags(clients, names))
        if observed.arn:
            observed = replace(observed, stream_status=stream_status(clients, observed.arn))
    return observed


def desired(names: Names, context: Context) -> Desired:
    return Desired(names=names, now=context.now)


def plan(observed: Observed | None, desired: Desired) -> list[Change]:
    """Enable the stream, tagging the table before and after. An enabled stream is never disabled here.

    Raises NotOwnedError where the table has another tenant's ownership tag, or another cluster's.
    """
    if observed is None:
        return []
    names = desired.names
    owner = (observed.tags or {}).get(OWNER_TAG)
    if owner not in (None, names.owner):
        whose = ownership.shown(owner, namespace=names.tenant.namespace)
        raise NotOwnedError(
            f"table {desired.table} is already owned by {whose} (tag {OWNER_TAG}), so nothing is changed. Delete that "
            "HumanGovState, or remove the tag if it no longer exists; the tenant then recovers automatically"
        )
    if owner and (uid := ownership.other_cluster(observed.tags, names.identity)):
        raise OtherClusterError(ownership.of_other_cluster(f"table {desired.table}", uid, names.identity))
    if observed.table_status != "ACTIVE":
        return []
    if not observed.enabled:
        return _enabling(observed, desired)
    tagging = _cluster_tag_changes(observed, desired)
    if observed.tags is not None and observed.label and _enabled_before_restart(observed, names):
        return [*tagging, _tagging_as_enabled(desired, {STREAM_TAG: observed.label})]
    return tagging


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
    tags = {**(observed.tags or {}), **tag_map(parameters["Tags"], action=change.action, target=change.target)}
    # The stream's own state may lag behind that of a table which is being updated; the trigger needs it.
    lagging = observed.arn and observed.stream_status is None and observed.table_status != "ACTIVE"
    status = stream_status(clients, observed.arn) if lagging and observed.arn else observed.stream_status
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
            ResourceArn=desired.names.table_arn,
            TagKeys=[ENABLING_TAG, *OWNERSHIP_TAGS],
        )
        return replace(observed, table_status="UPDATING")  # what there is now decides, in the next reconciliation
    described = shown(answer, "TableDescription", action=change.action, target=change.target)
    return replace(read(described, change.target), tags=observed.tags)


def finding(observed: Observed | None, desired: Desired) -> Finding:
    """Condition StreamReady."""
    if observed is None:
        return Finding.waiting(NOT_FOUND, f"table {desired.table} does not exist; nothing is created until it does")
    if observed.table_status not in ("ACTIVE", "UPDATING"):
        text = f"table {desired.table} is {observed.table_status}"
        if observed.table_status == "CREATING":  # a restore or an import takes hours
            return Finding.waiting("TableNotActive", text, requeue_after_seconds=5)
        return Finding.waiting("TableUnavailable", f"{text}{_how_to_end(observed)}", requeue_after_seconds=5)
    if not observed.enabled or not observed.arn:
        return Finding.ripening("Enabling", f"the stream of table {desired.table} is being enabled", of="stream")
    if observed.stream_status not in (None, "ENABLED"):
        return Finding.ripening("Enabling", f"the stream is {observed.stream_status}", of="stream")
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


def may_disable(observed: Observed, *, names: Names, has_readers: Callable[[], bool], now: datetime) -> bool | None:
    """Whether a removal may disable the stream; None: that is not known yet. Raises what has_readers does.

    has_readers: whether any mapping still reads the stream.
    """
    if observed.replicated:
        return False
    tags = observed.tags or {}
    tagged = tags.get(STREAM_TAG) == observed.label and is_owned(tags, names)
    if tagged or _enabled_before_restart(observed, names):
        return not has_readers()
    born = stream_observed.born_at(observed.label)
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
    if not is_owned(tags, names):
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


def _enabled_before_restart(observed: Observed, names: Names) -> bool:
    """The operator tagged the table, enabled the stream, and ended before it could tag the stream."""
    tags = observed.tags or {}
    if not is_owned(tags, names) or tags.get(STREAM_TAG) == observed.label:
        return False
    moment, _, before = tags.get(ENABLING_TAG, "").partition(" ")
    if tags.get(STREAM_TAG, "") != before:
        return False  # that change was completed; someone else enabled this stream later
    born = stream_observed.born_at(observed.label)
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
            parameters=_tag_parameters(desired, {ENABLING_TAG: begun, **_ownership_tags(desired)}),
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


def _ownership_tags(desired: Desired) -> dict[str, str]:
    uid = desired.names.identity.cluster_uid
    return {OWNER_TAG: desired.names.owner, **({CLUSTER_UID_TAG: uid} if uid else {})}


def _cluster_tag_changes(observed: Observed, desired: Desired) -> list[Change]:
    """Of a table that has the ownership tag, and no cluster's or that of one from which it was moved."""
    if not is_owned(observed.tags, desired.names):
        return []
    tags = ownership.missing_tags(actual=observed.tags or {}, wanted=_ownership_tags(desired))
    if not tags:
        return []
    change = Change(
        resource=RESOURCE,
        action="dynamodb:TagResource",
        target=desired.table,
        summary=ownership.tagging_summary(tags),
        parameters=_tag_parameters(desired, tags),
        of_cluster=True,
    )
    return [change]


def _tag_parameters(desired: Desired, tags: Mapping[str, str]) -> dict[str, Any]:
    return {"ResourceArn": desired.names.table_arn, "Tags": tag_list(tags)}
