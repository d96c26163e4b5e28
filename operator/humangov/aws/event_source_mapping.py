"""Event source mappings, by which Lambda reads a stream and calls a function, as Lambda lists them.

https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from humangov.api.names import Names
from humangov.aws.clients import Clients

SETTLED = ("Enabled", "Disabled")
PASSING = ("Creating", "Enabling", "Disabling", "Updating", "Deleting")
_FIELDS = (
    "BatchSize", "MaximumBatchingWindowInSeconds", "ParallelizationFactor", "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds", "BisectBatchOnFunctionError",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MappingObserved:
    """One event source mapping. `tags` is None where they were not read.

    qualifier: of the alias or the version that it invokes; None: it invokes the function itself.
    """

    uuid: str
    arn: str
    source_arn: str
    state: str
    configuration: Mapping[str, Any]  # the fields that we own, in the shape of UpdateEventSourceMapping
    qualifier: str | None = None
    problem: str | None = None  # what Lambda reports of its last invocation, if that was a problem
    tags: Mapping[str, str] | None = None


def listed(clients: Clients, *, target: str, **of: str) -> list[Any]:
    """Lambda's description of every mapping of a function or source, or of the whole region. Raises AwsError."""
    return clients.pages(
        "lambda:ListEventSourceMappings", "EventSourceMappings", token=("NextMarker", "Marker"), target=target, **of
    )


def read_tags(clients: Clients, arn: str) -> dict[str, str]:
    """Raises AwsError; an error is never an empty answer."""
    return dict(clients.call("lambda:ListTags", target=arn, Resource=arn).get("Tags") or {})


def invokes(mapping: Mapping[str, Any], function_arn: str) -> bool:
    """Whether a listed mapping invokes the function, itself or by an alias or a version."""
    arn = str(mapping.get("FunctionArn") or "")
    return arn == function_arn or arn.startswith(f"{function_arn}:")


def reads_table(mapping: MappingObserved, names: Names) -> bool:
    """Whether the mapping's source is a stream, today's or an older one, of this tenant's table."""
    return mapping.source_arn.startswith(f"{names.table_arn}/stream/")


def observed(mapping: Mapping[str, Any], names: Names) -> MappingObserved:
    """One that was listed, or that a write answered with."""
    filters: Sequence[Mapping[str, Any]] | None = (mapping.get("FilterCriteria") or {}).get("Filters")
    encrypted = mapping.get("KMSKeyArn") and filters is None
    return MappingObserved(
        uuid=mapping["UUID"],
        arn=names.mapping_arn(mapping["UUID"]),
        source_arn=mapping.get("EventSourceArn") or "",
        state=mapping.get("State") or "Unknown",
        qualifier=_qualifier(mapping.get("FunctionArn") or "", names),
        configuration={
            "Enabled": mapping.get("State") in ("Enabled", "Enabling", "Creating", "Updating"),
            **{field: mapping.get(field) for field in _FIELDS},
            "FunctionResponseTypes": list(mapping.get("FunctionResponseTypes") or ()),
            "FilterCriteria": None if encrypted else {"Filters": [dict(item) for item in filters or ()]},
            "DestinationConfig": _destination(mapping.get("DestinationConfig") or {}),
        },
        problem=_problem(mapping.get("LastProcessingResult") or ""),
    )


def _qualifier(arn: str, names: Names) -> str | None:
    return arn.removeprefix(f"{names.function_arn}:") if arn.startswith(f"{names.function_arn}:") else None


def _destination(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """AWS fills in empty parts; only the destination of failures is declared."""
    arn = (configuration.get("OnFailure") or {}).get("Destination")
    return {"OnFailure": {"Destination": arn}} if arn else {}


def _problem(last_result: str) -> str | None:
    """AWS gives no code: `OK`, `No records processed`, or `PROBLEM: …`."""
    return last_result if last_result.startswith("PROBLEM") else None
