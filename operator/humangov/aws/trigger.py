"""The event source mapping by which Lambda reads the stream and calls the function.

Mappings are listed by function: after a stream was turned off and on again, the old mapping still stands under the
function, and a list by the new stream's ARN does not show it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import OWNER_TAG, Names
from humangov.aws import stream
from humangov.aws.change import Change, Context, difference
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.ownership import missing_tags

RESOURCE = "trigger"
STREAM_RECORDS_LAST = timedelta(hours=24)  # DynamoDB's; not to be changed
# Inserts too: of a record that moves to a new id, the function hears that its file is named again.
_PATTERN = json.dumps({"eventName": ["INSERT", "MODIFY", "REMOVE"]}, separators=(",", ":"))
_SETTLED = ("Enabled", "Disabled")


@dataclass(frozen=True, kw_only=True)
class MappingObserved:
    """One event source mapping. `tags` is None where they were not read."""

    uuid: str
    arn: str
    source_arn: str
    state: str
    configuration: Mapping[str, Any]  # the fields that we own, in the shape of UpdateEventSourceMapping
    last_result: str
    tags: Mapping[str, str] | None = None

    @property
    def problem(self) -> str | None:
        """What Lambda reports to be wrong with it; None if nothing is.

        https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html (LastProcessingResult)
        """
        return self.last_result if self.last_result.startswith("PROBLEM") else None


@dataclass(frozen=True, kw_only=True)
class Observed:
    """All mappings of the function, by UUID."""

    mappings: tuple[MappingObserved, ...]


@dataclass(frozen=True, kw_only=True)
class Desired:
    """`stream_arn` is None while there is no stream."""

    names: Names
    stream_arn: str | None
    stream_born: datetime | None
    configuration: Mapping[str, Any]
    tags: Mapping[str, str]
    now: datetime


def observe(clients: Clients, names: Names, *, deep: bool) -> Observed:
    """Every mapping of the function; with `deep`, also their tags. Raises AwsError."""
    name = names.tenant.function.name
    try:
        listed = _list(clients, target=name, FunctionName=name)
    except AwsError as error:
        if not error.gone:
            raise
        # No such function: that is no word on its mappings, which outlive it.
        every = _list(clients, target="all functions")
        listed = [mapping for mapping in every if mapping["FunctionArn"].endswith(f":function:{name}")]
    mappings = [_observed(mapping, names) for mapping in listed]
    if deep:
        mappings = [replace(mapping, tags=read_tags(clients, mapping.arn)) for mapping in mappings]
    return Observed(mappings=tuple(sorted(mappings, key=lambda mapping: mapping.uuid)))


def desired(names: Names, context: Context, *, table: stream.Observed | None) -> Desired:
    trigger = names.tenant.trigger
    return Desired(
        names=names,
        stream_arn=table.arn if table else None,
        stream_born=stream.born_at(table.label) if table else None,
        configuration={
            "Enabled": trigger.enabled,
            "BatchSize": trigger.batch_size,
            "MaximumBatchingWindowInSeconds": trigger.batching_window_seconds,
            "ParallelizationFactor": 1,
            "MaximumRetryAttempts": trigger.maximum_retry_attempts,
            "MaximumRecordAgeInSeconds": trigger.maximum_record_age_seconds,
            # A poison record is then alone in its batch soon; bisecting uses up no retries.
            "BisectBatchOnFunctionError": True,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "FilterCriteria": {"Filters": [{"Pattern": _PATTERN}]},
            # S3 alone receives the whole records; other destinations only where they were.
            "DestinationConfig": {"OnFailure": {"Destination": names.failures_bucket_arn}},
        },
        tags=context.tags,
        now=context.now,
    )


def plan(observed: Observed, desired: Desired) -> list[Change]:
    """Create what is missing, bring the current stream's mapping in step, drop duplicates and what has expired."""
    changes = []
    for mapping in _outdated(observed, desired):
        if _expired(desired) and mapping.state != "Deleting":
            changes.append(
                _delete_change(mapping, "its stream was replaced over 24 h ago, and its records have expired")
            )
        elif mapping.state in _SETTLED and mapping.configuration["Enabled"] != desired.configuration["Enabled"]:
            changes.append(_update_change(mapping, desired, {"Enabled": desired.configuration["Enabled"]}))
    current = _current(observed, desired)
    if not current:
        if desired.stream_arn or not observed.mappings:
            changes.append(_create_change(desired))
        return changes
    kept, *duplicates = current
    changes += [
        _delete_change(mapping, f"a second mapping of the same stream beside {kept.uuid}")
        for mapping in duplicates
        if mapping.state != "Deleting" and (mapping.tags or {}).get(OWNER_TAG) == desired.names.owner
    ]
    if kept.state not in _SETTLED:
        return changes
    drift = {
        field: value
        for field, value in desired.configuration.items()
        # Encrypted filters are listed as null: unknown, not drift.
        if kept.configuration[field] != value and not (field == "FilterCriteria" and kept.configuration[field] is None)
    }
    if drift:
        changes.append(_update_change(kept, desired, drift))
    tags = missing_tags(actual=kept.tags, wanted=desired.tags) if kept.tags is not None else {}
    if tags:
        changes.append(
            _change(
                "lambda:TagResource",
                kept.uuid,
                f"set tags {', '.join(sorted(tags))}",
                Resource=kept.arn,
                Tags=tags,
            )
        )
    return changes


def apply(clients: Clients, change: Change, observed: Observed, desired: Desired) -> Observed:
    """One of plan's changes. Raises AwsError."""
    try:
        answer = clients.call(change.action, target=change.target, **change.parameters)
    except AwsError as error:
        if change.action == "lambda:CreateEventSourceMapping" and error.meaning is Meaning.EXISTS:
            return observe(clients, desired.names, deep=True)  # made by our last life: it is found by its stream
        if change.action == "lambda:DeleteEventSourceMapping" and error.gone:
            return _without(observed, str(change.parameters["UUID"]))
        raise
    if change.action == "lambda:TagResource":
        return replace(observed)
    made = _observed(answer, desired.names)
    before = [mapping for mapping in observed.mappings if mapping.uuid != made.uuid]
    tags = next((mapping.tags for mapping in observed.mappings if mapping.uuid == made.uuid), desired.tags)
    mappings = sorted([*before, replace(made, tags=tags)], key=lambda mapping: mapping.uuid)
    return Observed(mappings=tuple(mappings))


def finding(observed: Observed, desired: Desired) -> Finding:
    """What to tell people of the trigger."""
    current = _current(observed, desired)
    if not current:
        return Finding.waiting("Missing", "the trigger is not there", look_again_seconds=1)
    mapping = current[0]
    if mapping.state not in _SETTLED:
        return Finding.waiting(mapping.state, f"trigger {mapping.uuid} is {mapping.state}", look_again_seconds=1)
    if mapping.state != ("Enabled" if desired.configuration["Enabled"] else "Disabled"):
        return Finding.waiting("Updating", f"trigger {mapping.uuid} is still {mapping.state}", look_again_seconds=1)
    notes = _notes(observed, desired, mapping)
    if mapping.state == "Disabled":
        return Finding.in_step(
            "Disabled",
            "the trigger is off (spec.trigger.enabled: false): files of deleted records stay. The stream keeps records "
            f"24 hours: turned on again within that time, nothing is lost{notes}",
        )
    return Finding.in_step(
        "Enabled", f"trigger {mapping.uuid} calls the function for removed and changed records{notes}"
    )


def problem(observed: Observed, desired: Desired) -> str | None:
    """What Lambda reports to be wrong with the mapping of the table's present stream; None if nothing is."""
    current = _current(observed, desired)
    return current[0].problem if current else None


def remove(clients: Clients, names: Names, *, function_is_ours: bool) -> list[MappingObserved]:
    """Delete the mappings that read a stream of this table; what the function still has is returned.

    Where the function is not there to show whose they are, only those go that carry our mark. Raises AwsError.
    """
    deleted = False
    before = observe(clients, names, deep=not function_is_ours).mappings
    for mapping in before:
        ours = function_is_ours or (mapping.tags or {}).get(OWNER_TAG) == names.owner
        if ours and reads_table(mapping, names) and mapping.state != "Deleting":
            deleted = True
            try:
                clients.call(
                    "lambda:DeleteEventSourceMapping",
                    target=mapping.uuid,
                    UUID=mapping.uuid,
                )
            except AwsError as error:
                if not error.gone:
                    raise
    return list(observe(clients, names, deep=False).mappings if deleted else before)


def release(clients: Clients, names: Names) -> None:
    """Take our mark off the mappings that stay. Raises AwsError."""
    for mapping in observe(clients, names, deep=True).mappings:
        if (mapping.tags or {}).get(OWNER_TAG) == names.owner:
            clients.call(
                "lambda:UntagResource", target=mapping.uuid,
                Resource=mapping.arn, TagKeys=[OWNER_TAG],
            )  # fmt: skip


def reads_table(mapping: MappingObserved, names: Names) -> bool:
    """Whether the mapping's source is a stream, today's or an older one, of this tenant's table."""
    return mapping.source_arn.startswith(f"{names.table_arn}/stream/")


def of_others(observed: Observed, desired: Desired) -> list[MappingObserved]:
    """The function's mappings that read something else than this tenant's table."""
    return [
        mapping
        for mapping in observed.mappings
        if mapping.source_arn != desired.stream_arn and not reads_table(mapping, desired.names)
    ]


def other_readers(clients: Clients, *, stream_arn: str) -> bool:
    """Whether any mapping known to Lambda still reads the stream. Raises AwsError."""
    return bool(_list(clients, target=stream_arn, EventSourceArn=stream_arn))


def read_tags(clients: Clients, arn: str) -> dict[str, str]:
    """Raises AwsError; an error is never an empty answer."""
    return dict(clients.call("lambda:ListTags", target=arn, Resource=arn).get("Tags") or {})


def _list(clients: Clients, *, target: str, **of: str) -> list[Any]:
    return clients.pages(
        "lambda:ListEventSourceMappings", "EventSourceMappings", token=("NextMarker", "Marker"), target=target, **of
    )


def _current(observed: Observed, desired: Desired) -> list[MappingObserved]:
    """Mappings of the table's present stream (or, while that is not known, of any of the table's).

    Going ones last, and before them those that don't carry our mark.
    """
    found = [
        mapping
        for mapping in observed.mappings
        if (mapping.source_arn == desired.stream_arn if desired.stream_arn else reads_table(mapping, desired.names))
    ]
    owner = desired.names.owner
    return sorted(
        found,
        key=lambda mapping: (
            mapping.state == "Deleting",
            mapping.tags is not None and mapping.tags.get(OWNER_TAG) != owner,
            mapping.uuid,
        ),
    )


def _outdated(observed: Observed, desired: Desired) -> list[MappingObserved]:
    return [
        mapping
        for mapping in observed.mappings
        if desired.stream_arn and mapping.source_arn != desired.stream_arn and reads_table(mapping, desired.names)
    ]


def _expired(desired: Desired) -> bool:
    """Whether every record of an older stream is gone: it ended, at the latest, when the present one was born."""
    return desired.stream_born is not None and desired.now - desired.stream_born > STREAM_RECORDS_LAST


def _notes(observed: Observed, desired: Desired, current: MappingObserved) -> str:
    notes = ""
    older = [mapping.uuid for mapping in _outdated(observed, desired)]
    if older:
        notes += f"; trigger {', '.join(older)} of an older stream stays until that stream's records have expired"
    foreign = [mapping.uuid for mapping in of_others(observed, desired)]
    if foreign:
        notes += f"; {', '.join(foreign)} calls the function from another source: not ours, left alone"
    if current.problem:
        notes += f"; Lambda reports {current.problem}"
    return notes


def _create_change(desired: Desired) -> Change:
    source = desired.stream_arn or "the stream, once it is enabled"
    return _change(
        "lambda:CreateEventSourceMapping",
        desired.names.tenant.function.name,
        f"create the trigger from {source}",
        FunctionName=desired.names.tenant.function.name,
        EventSourceArn=desired.stream_arn,
        # LATEST would lose what is deleted while the mapping is being made.
        StartingPosition="TRIM_HORIZON",
        Tags=dict(desired.tags),
        **desired.configuration,
    )


def _update_change(mapping: MappingObserved, desired: Desired, fields: Mapping[str, Any]) -> Change:
    return _change(
        "lambda:UpdateEventSourceMapping",
        mapping.uuid,
        ", ".join(difference({field: (mapping.configuration[field], value) for field, value in fields.items()})),
        UUID=mapping.uuid,
        FunctionName=desired.names.tenant.function.name,
        **fields,
    )


def _delete_change(mapping: MappingObserved, why: str) -> Change:
    return _change(
        "lambda:DeleteEventSourceMapping",
        mapping.uuid,
        f"delete mapping {mapping.uuid}: {why}",
        UUID=mapping.uuid,
    )


def _change(action: str, target: str, summary: str, **parameters: Any) -> Change:
    return Change(resource=RESOURCE, action=action, target=target, summary=summary, parameters=parameters)


def _destination(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """AWS fills in empty parts; only where failures go is ours."""
    arn = (configuration.get("OnFailure") or {}).get("Destination")
    return {"OnFailure": {"Destination": arn}} if arn else {}


def _without(observed: Observed, uuid: str) -> Observed:
    return Observed(mappings=tuple(mapping for mapping in observed.mappings if mapping.uuid != uuid))


def _observed(mapping: Mapping[str, Any], names: Names) -> MappingObserved:
    filters: Sequence[Mapping[str, Any]] | None = (mapping.get("FilterCriteria") or {}).get("Filters")
    encrypted = mapping.get("KMSKeyArn") and filters is None
    return MappingObserved(
        uuid=mapping["UUID"],
        arn=names.mapping_arn(mapping["UUID"]),
        source_arn=mapping.get("EventSourceArn") or "",
        state=mapping.get("State") or "Unknown",
        configuration={
            "Enabled": mapping.get("State") in ("Enabled", "Enabling", "Creating", "Updating"),
            "BatchSize": mapping.get("BatchSize"),
            "MaximumBatchingWindowInSeconds": mapping.get("MaximumBatchingWindowInSeconds"),
            "ParallelizationFactor": mapping.get("ParallelizationFactor"),
            "MaximumRetryAttempts": mapping.get("MaximumRetryAttempts"),
            "MaximumRecordAgeInSeconds": mapping.get("MaximumRecordAgeInSeconds"),
            "BisectBatchOnFunctionError": mapping.get("BisectBatchOnFunctionError"),
            "FunctionResponseTypes": list(mapping.get("FunctionResponseTypes") or ()),
            "FilterCriteria": None if encrypted else {"Filters": [dict(item) for item in filters or ()]},
            "DestinationConfig": _destination(mapping.get("DestinationConfig") or {}),
        },
        last_result=mapping.get("LastProcessingResult") or "",
    )
