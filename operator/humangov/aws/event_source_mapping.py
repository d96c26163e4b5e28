"""Event source mappings, by which Lambda reads a stream and calls a function, as Lambda lists them.

https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import Names
from humangov.aws.clients import Clients
from humangov.aws.unknown import shown, unless_denied

_LIST, _GET = "lambda:ListEventSourceMappings", "lambda:GetEventSourceMapping"
SETTLED = ("Enabled", "Disabled")
PASSING = ("Creating", "Enabling", "Disabling", "Updating", "Deleting")
# Lambda shows these of every mapping of a stream: an answer without one does not tell it.
_ALWAYS_SHOWN = (
    "BatchSize", "MaximumBatchingWindowInSeconds", "ParallelizationFactor", "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds", "BisectBatchOnFunctionError",
)  # fmt: skip
# What the trigger does not use, as UpdateEventSourceMapping takes it away. A tumbling window changes what the function
# is invoked with; a key hides the filters.
NOT_USED: Mapping[str, Any] = {
    "TumblingWindowInSeconds": 0,
    "KMSKeyArn": "",
    "MetricsConfig": {"Metrics": []},
    "ScalingConfig": {},
    "ProvisionedPollerConfig": {},
}


@dataclass(frozen=True, kw_only=True)
class HiddenFilters:
    """Why Lambda did not tell the filters: a key encrypts them. permission: what the operator lacks to read them."""

    key_arn: str
    permission: str
    text: str


@dataclass(frozen=True, kw_only=True)
class MappingObserved:
    """One event source mapping. `tags` is None where they were not read.

    qualifier: of the alias or the version that it invokes; None: it invokes the function itself.
    unread: fields that Lambda always shows of a stream's mapping, and this answer does not
    """

    uuid: str
    arn: str
    source_arn: str
    state: str
    configuration: Mapping[str, Any]  # the fields that we own, in the shape of UpdateEventSourceMapping
    qualifier: str | None = None
    problem: str | None = None  # what Lambda reports of its last invocation, if that was a problem
    tags: Mapping[str, str] | None = None
    changed_at: datetime | None = None
    hidden_filters: HiddenFilters | None = None
    unread: tuple[str, ...] = ()

    def knows(self, field: str) -> bool:
        """Whether the field can differ from what is declared: what Lambda did not show is unknown, and no drift."""
        # Whoever set a key may have set filters too: both stay while the filters can't be read.
        hidden = field in ("FilterCriteria", "KMSKeyArn") and self.hidden_filters is not None
        return field not in self.unread and not hidden


def listed(clients: Clients, *, target: str, **of: str) -> list[Any]:
    """Lambda's description of every mapping of a function or source, or of the whole region. Raises AwsError."""
    found = clients.pages(_LIST, "EventSourceMappings", token=("NextMarker", "Marker"), target=target, **of)
    for one in found:
        for field in ("UUID", "FunctionArn"):
            shown(one, field, action=_LIST, target=target)
    return found


def with_filters(clients: Clients, mapping: MappingObserved, names: Names) -> MappingObserved:
    """With the filters, which a listing leaves out where a key encrypts them: one call if so. Raises AwsError.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html#filter-criteria-encryption
    """
    hidden = mapping.hidden_filters
    if hidden is None:
        return mapping
    found, denied = unless_denied(lambda: clients.find(_GET, target=mapping.uuid, UUID=mapping.uuid), nothing=None)
    if found is None:
        unknown = replace(hidden, permission=denied[0], text=f"{_GET} is denied") if denied else hidden
        return replace(mapping, hidden_filters=unknown)
    filters = observed(found, names).configuration["FilterCriteria"]
    return replace(
        mapping,
        configuration={**mapping.configuration, "FilterCriteria": filters},
        hidden_filters=_hidden_filters(found) if found.get("FilterCriteriaError") else None,
    )


def read_tags(clients: Clients, arn: str) -> dict[str, str]:
    """Of a mapping or a function. Raises AwsError; neither an error nor an answer without them is an empty one."""
    answer = clients.call("lambda:ListTags", target=arn, Resource=arn)
    return dict(shown(answer, "Tags", action="lambda:ListTags", target=arn))


def invokes(mapping: Mapping[str, Any], function_arn: str) -> bool:
    """Whether a listed mapping invokes the function, itself or by an alias or a version."""
    arn = str(mapping.get("FunctionArn") or "")
    return arn == function_arn or arn.startswith(f"{function_arn}:")


def reads_table(mapping: MappingObserved, names: Names) -> bool:
    """Whether the mapping's source is a stream, today's or an older one, of this tenant's table."""
    return mapping.source_arn.startswith(f"{names.table_arn}/stream/")


def observed(mapping: Mapping[str, Any], names: Names) -> MappingObserved:
    """One that was listed, or that a write answered with. Raises AwsError where it does not tell what it is."""
    uuid = str(shown(mapping, "UUID", action=_LIST, target=names.tenant.function.name))
    state = str(shown(mapping, "State", action=_LIST, target=uuid))
    filters: Sequence[Mapping[str, Any]] = (mapping.get("FilterCriteria") or {}).get("Filters") or ()
    return MappingObserved(
        uuid=uuid,
        arn=names.mapping_arn(uuid),
        source_arn=_source(mapping, uuid),
        state=state,
        qualifier=_qualifier(shown(mapping, "FunctionArn", action=_LIST, target=uuid), names),
        configuration={
            "Enabled": state in ("Enabled", "Enabling", "Creating", "Updating"),
            **{field: mapping.get(field) for field in _ALWAYS_SHOWN},
            "FunctionResponseTypes": list(mapping.get("FunctionResponseTypes") or ()),
            "FilterCriteria": {"Filters": [dict(item) for item in filters]},
            "DestinationConfig": _destinations(mapping.get("DestinationConfig") or {}),
            **{field: mapping.get(field) or nothing for field, nothing in NOT_USED.items()},
        },
        problem=_problem(mapping.get("LastProcessingResult") or ""),
        hidden_filters=_hidden_filters(mapping),
        unread=tuple(field for field in _ALWAYS_SHOWN if mapping.get(field) is None),
        changed_at=mapping.get("LastModified"),
    )


def _source(mapping: Mapping[str, Any], uuid: str) -> str:
    """Only a Kafka cluster outside of AWS has no ARN. Raises AwsError."""
    if mapping.get("SelfManagedEventSource"):
        return ""
    return str(shown(mapping, "EventSourceArn", action=_LIST, target=uuid))


def _hidden_filters(mapping: Mapping[str, Any]) -> HiddenFilters | None:
    """With a key and neither filters nor an error there may be filters all the same: a listing does not show them."""
    key, error = mapping.get("KMSKeyArn"), mapping.get("FilterCriteriaError") or {}
    if not key or mapping.get("FilterCriteria"):
        return None
    text = error.get("Message") or "Lambda does not show them"
    return HiddenFilters(key_arn=key, permission="kms:Decrypt", text=text)


def _qualifier(arn: str, names: Names) -> str | None:
    return arn.removeprefix(f"{names.function_arn}:") if arn.startswith(f"{names.function_arn}:") else None


def _destinations(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Without the empty parts that AWS fills in."""
    several = {name: (one or {}).get("Destination") for name, one in configuration.items()}
    return {name: {"Destination": arn} for name, arn in several.items() if arn}


def _problem(last_result: str) -> str | None:
    """AWS gives no code: `OK`, `No records processed`, or `PROBLEM: …`. Emulated ones say `FAILED`."""
    return last_result if last_result.startswith(("PROBLEM", "FAILED")) else None


def filters_unknown(uuid: str, hidden: HiddenFilters) -> Finding:
    """Not written over: whoever set the key may have set filters too."""
    return Finding.action_required(
        "FiltersUnreadable",
        f"the filters of trigger {uuid} are encrypted with KMS key {hidden.key_arn} ({hidden.text}): it is unknown "
        "whether they keep removed records from the function, and they are not changed. Grant the operator's role "
        f"{hidden.permission}, or remove the key from the trigger (aws lambda update-event-source-mapping --uuid "
        f"{uuid} --kms-key-arn ''); the tenant then recovers automatically",
    )
