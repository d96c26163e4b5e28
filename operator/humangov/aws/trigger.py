"""The trigger: the event source mapping by which Lambda reads the stream and invokes the function.

Mappings are listed by function: after a stream was disabled and enabled again, the function still has the old mapping,
and a list by the new stream's ARN does not show it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import Names
from humangov.aws import event_source_mapping, stream_observed, trigger_mappings
from humangov.aws.change import Change, Context, difference
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.event_source_mapping import (
    NOT_USED,
    PASSING,
    SETTLED,
    MappingObserved,
    filters_unknown,
    invokes,
    reads_table,
)
from humangov.aws.ownership import OWNERSHIP_TAGS, is_of_cluster, is_owned, missing_tags, tagging_summary
from humangov.aws.trigger_mappings import Desired, Observed
from humangov.aws.unknown import not_shown

RESOURCE = "trigger"
STREAM_RECORDS_LAST = timedelta(hours=24)  # DynamoDB's; not to be changed
# Inserts too: of a record that moves to a new id, the function learns that its file is named again.
_PATTERN = json.dumps({"eventName": ["INSERT", "MODIFY", "REMOVE"]}, separators=(",", ":"))


def observe(clients: Clients, names: Names, *, deep: bool) -> Observed:
    """Every mapping of the function; with `deep`, also their tags. Raises AwsError."""
    listed, sources = _listed(clients, names)
    found = [_with_filters(clients, mapping, names) for mapping in listed]
    if deep:
        found = [replace(mapping, tags=event_source_mapping.read_tags(clients, mapping.arn)) for mapping in found]
    return trigger_mappings.by_uuid(found, sources=sources)


def _with_filters(clients: Clients, mapping: MappingObserved, names: Names) -> MappingObserved:
    return event_source_mapping.with_filters(clients, mapping, names) if reads_table(mapping, names) else mapping


def _listed(clients: Clients, names: Names) -> tuple[list[MappingObserved], frozenset[str] | None]:
    """Those of the function, of all in the region if its own list shows none that reads the table; and all's sources.

    Mappings outlive their function; and AWS does not say whether a function's list has those of its aliases and
    versions, which read the stream all the same.
    """
    name = names.tenant.function.name
    try:
        found = _observed(event_source_mapping.listed(clients, target=name, FunctionName=name), names)
    except AwsError as error:
        if not error.not_found:
            raise
        found = []
    if any(reads_table(mapping, names) for mapping in found):
        return found, None
    every = event_source_mapping.listed(clients, target="all functions")
    sources = frozenset(str(mapping.get("EventSourceArn") or "") for mapping in every)
    return _observed([mapping for mapping in every if invokes(mapping, names.function_arn)], names), sources


def _observed(listed: Sequence[Mapping[str, Any]], names: Names) -> list[MappingObserved]:
    return [event_source_mapping.observed(mapping, names) for mapping in listed]


def desired(names: Names, context: Context, *, table: stream_observed.Observed | None) -> Desired:
    trigger, held = names.tenant.trigger, names.tenant.hold is not None
    return Desired(
        names=names,
        stream_arn=table.arn if table else None,
        stream_born=stream_observed.born_at(table.label) if table else None,
        configuration={
            "Enabled": trigger.enabled,
            "BatchSize": trigger.batch_size,
            "MaximumBatchingWindowInSeconds": trigger.batching_window_seconds,
            "ParallelizationFactor": 1,
            # Under a legal hold a batch that frees files is stored as a whole, and at once.
            "MaximumRetryAttempts": 0 if held else trigger.maximum_retry_attempts,
            "MaximumRecordAgeInSeconds": trigger.maximum_record_age_seconds,
            # The half of a batch may lack the record that protects a file (cleanup/hand_back.py).
            "BisectBatchOnFunctionError": False,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "FilterCriteria": {"Filters": [{"Pattern": _PATTERN}]},
            # S3 alone receives the whole records; other destinations only where they were.
            "DestinationConfig": {"OnFailure": {"Destination": names.failures_bucket_arn}},
        },
        tags=context.tags,
        now=context.now,
        stopped=context.stopped,
    )


def plan(observed: Observed, desired: Desired) -> list[Change]:
    """Create what is missing, correct the current stream's mapping, drop duplicates and what has expired."""
    changes = [
        change
        for mapping in trigger_mappings.outdated(observed, desired)
        for change in _outdated_changes(mapping, observed, desired)
    ]
    current = trigger_mappings.current(observed, desired)
    if not current:
        creates = desired.stream_arn or not observed.mappings
        return [*changes, _creation(desired)] if creates else changes
    kept, *duplicates = current
    changes += _duplicate_changes(kept, duplicates, desired)
    if kept.state in SETTLED:
        changes += [*_configuration_changes(kept, desired), *_tag_changes(kept, desired)]
    return changes


def apply(clients: Clients, change: Change, observed: Observed, desired: Desired) -> Observed:
    """One of plan's changes. Raises AwsError."""
    try:
        answer = clients.call(change.action, target=change.target, **change.parameters)
    except AwsError as error:
        if change.action == "lambda:CreateEventSourceMapping" and error.meaning is Meaning.EXISTS:
            return observe(clients, desired.names, deep=True)  # created before a restart: it is found by its stream
        if change.action == "lambda:DeleteEventSourceMapping" and error.not_found:
            return trigger_mappings.without(observed, str(change.parameters["UUID"]))
        raise
    if change.action == "lambda:TagResource":
        arn, tags = change.parameters["Resource"], change.parameters["Tags"]
        tagged = (
            replace(one, tags={**(one.tags or {}), **tags}) if one.arn == arn else one for one in observed.mappings
        )
        return trigger_mappings.by_uuid([*tagged])
    created = event_source_mapping.observed(answer, desired.names)
    tags = next((mapping.tags for mapping in observed.mappings if mapping.uuid == created.uuid), desired.tags)
    return trigger_mappings.by_uuid(
        [*trigger_mappings.without(observed, created.uuid).mappings, replace(created, tags=tags)]
    )


def finding(observed: Observed, desired: Desired) -> Finding:
    """Condition TriggerReady."""
    current = trigger_mappings.current(observed, desired)
    if not current:
        return Finding.waiting("NotFound", "the trigger does not exist", requeue_after_seconds=1)
    mapping = current[0]
    text = f"trigger {mapping.uuid} is {mapping.state}"
    if mapping.state in PASSING:
        return Finding.ripening(mapping.state, text, of=f"trigger {mapping.state}")
    if mapping.state not in SETTLED:
        return Finding.waiting("Updating", text, requeue_after_seconds=1)
    if mapping.state != ("Enabled" if desired.configuration["Enabled"] else "Disabled"):
        return Finding.waiting("Updating", f"trigger {mapping.uuid} is still {mapping.state}", requeue_after_seconds=1)
    if unread := not_shown(mapping.unread, of=f"trigger {mapping.uuid}"):
        return unread
    if mapping.hidden_filters is not None:
        return filters_unknown(mapping.uuid, mapping.hidden_filters)
    notes = _notes(observed, desired, mapping)
    if mapping.state == "Disabled" and desired.stopped:
        return Finding.in_sync("Stopped", f"the trigger is disabled: the condition Stopped says why{notes}")
    if mapping.state == "Disabled":
        return Finding.in_sync(
            "Disabled",
            "the trigger is disabled (spec.trigger.enabled: false): files of deleted records stay. The stream keeps "
            f"records for 24 hours: if you enable it again within that time, nothing is lost{notes}",
        )
    return Finding.in_sync(
        "Enabled", f"trigger {mapping.uuid} invokes the function for removed and changed records{notes}"
    )


def problem(observed: Observed, desired: Desired) -> str | None:
    """What Lambda reports of its last invocation of the function, if that was a problem."""
    current = trigger_mappings.current(observed, desired)
    return current[0].problem if current else None


def is_enabled(observed: Observed, desired: Desired) -> bool | None:
    """Whether Lambda reads the table's stream; None: that is changing, or in a state that is not known."""
    mapping = trigger_mappings.present(observed, desired)
    return {"Enabled": True, "Disabled": False}.get(mapping.state) if mapping else False


def remove(clients: Clients, names: Names, doomed: Sequence[MappingObserved]) -> Observed:
    """Delete these; returns the function's remaining mappings. Raises AwsError."""
    for mapping in doomed:
        clients.find("lambda:DeleteEventSourceMapping", target=mapping.uuid, UUID=mapping.uuid)
    return observe(clients, names, deep=False)


def release(clients: Clients, names: Names) -> None:
    """Remove the ownership tag from the mappings that stay. Raises AwsError."""
    for mapping in observe(clients, names, deep=True).mappings:
        if is_owned(mapping.tags, names):
            clients.call(
                "lambda:UntagResource", target=mapping.uuid, Resource=mapping.arn, TagKeys=list(OWNERSHIP_TAGS)
            )


def has_readers(clients: Clients, *, stream_arn: str) -> bool:
    """Whether any mapping known to Lambda still reads the stream. Raises AwsError."""
    return bool(event_source_mapping.listed(clients, target=stream_arn, EventSourceArn=stream_arn))


def _outdated_changes(mapping: MappingObserved, observed: Observed, desired: Desired) -> list[Change]:
    """An older stream's mapping works until that stream's records have expired, as the latest does."""
    ended = trigger_mappings.ended(mapping, observed, desired)
    if ended is not None and desired.now - ended > STREAM_RECORDS_LAST and mapping.state != "Deleting":
        return [_deletion(mapping, "its stream was replaced over 24 h ago, and its records have expired")]
    if mapping.state not in SETTLED:
        return []
    # What decides whether and whom it invokes, and where it sends what fails.
    drift = {
        field: desired.configuration[field]
        for field in ("Enabled", "DestinationConfig")
        if mapping.configuration[field] != desired.configuration[field]
    }
    return [_update(mapping, desired, drift)] if drift or mapping.qualifier is not None else []


def _duplicate_changes(kept: MappingObserved, others: Sequence[MappingObserved], desired: Desired) -> list[Change]:
    return [
        _deletion(mapping, f"a second mapping of the same stream beside {kept.uuid}")
        for mapping in others
        if mapping.state != "Deleting" and is_owned(mapping.tags, desired.names)
    ]


def _configuration_changes(mapping: MappingObserved, desired: Desired) -> list[Change]:
    actual = mapping.configuration
    drift = {
        field: value
        for field, value in {**NOT_USED, **desired.configuration}.items()
        if actual[field] != value and mapping.knows(field)
    }
    if not drift and mapping.qualifier is None:
        return []
    return [_update(mapping, desired, drift)]


def _tag_changes(mapping: MappingObserved, desired: Desired) -> list[Change]:
    tags = missing_tags(actual=mapping.tags, wanted=desired.tags) if mapping.tags is not None else {}
    if not tags:
        return []
    change = _change("lambda:TagResource", mapping.uuid, tagging_summary(tags), Resource=mapping.arn, Tags=tags)
    return [replace(change, of_cluster=is_of_cluster(tags))]


def _notes(observed: Observed, desired: Desired, current: MappingObserved) -> str:
    notes = ""
    older = [mapping.uuid for mapping in trigger_mappings.outdated(observed, desired)]
    if older:
        notes += f"; trigger {', '.join(older)} of an older stream stays until that stream's records have expired"
    foreign = [mapping.uuid for mapping in trigger_mappings.of_others(observed, desired)]
    if foreign:
        notes += (
            f"; {', '.join(foreign)} invokes the function from another source and is not owned, so it is not changed"
        )
    if current.problem:
        notes += f"; Lambda reports {current.problem}"
    return notes


def _creation(desired: Desired) -> Change:
    source = desired.stream_arn or "the stream, once it is enabled"
    return _change(
        "lambda:CreateEventSourceMapping",
        desired.names.tenant.function.name,
        f"create the trigger from {source}",
        FunctionName=desired.names.tenant.function.name,
        EventSourceArn=desired.stream_arn,
        # LATEST would lose what is deleted while the mapping is being created.
        StartingPosition="TRIM_HORIZON",
        Tags=dict(desired.tags),
        **desired.configuration,
    )


def _update(mapping: MappingObserved, desired: Desired, fields: Mapping[str, Any]) -> Change:
    """It names the function itself: an alias or a version may hold other code."""
    name = desired.names.tenant.function.name
    differs = {field: (mapping.configuration[field], value) for field, value in fields.items()}
    qualified = {"function": (f"{name}:{mapping.qualifier}", name)} if mapping.qualifier is not None else {}
    change = _change(
        "lambda:UpdateEventSourceMapping",
        mapping.uuid,
        ", ".join(difference({**qualified, **differs})),
        UUID=mapping.uuid,
        FunctionName=desired.names.tenant.function.name,
        **fields,
    )
    return replace(change, opened=bool(qualified))


def _deletion(mapping: MappingObserved, why: str) -> Change:
    summary = f"delete mapping {mapping.uuid}: {why}"
    return _change("lambda:DeleteEventSourceMapping", mapping.uuid, summary, UUID=mapping.uuid)


def _change(action: str, target: str, summary: str, **parameters: Any) -> Change:
    return Change(resource=RESOURCE, action=action, target=target, summary=summary, parameters=parameters)
