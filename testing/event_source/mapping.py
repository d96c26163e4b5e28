"""The settings of an event source mapping, in Lambda's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STREAM_KEEPS_SECONDS = 24 * 3600
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html"""

PAYLOAD_BYTES = 6 * 1024 * 1024
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

UNLIMITED = -1
Pattern = Mapping[str, Any]

_DEFAULTS: dict[str, Any] = {
    "BatchSize": 100,
    "MaximumBatchingWindowInSeconds": 0,
    "ParallelizationFactor": 1,
    "MaximumRetryAttempts": UNLIMITED,
    "MaximumRecordAgeInSeconds": UNLIMITED,
    "BisectBatchOnFunctionError": False,
    "FunctionResponseTypes": [],
    "FilterCriteria": {},
    "DestinationConfig": {},
}
_RANGES = {
    "BatchSize": range(1, 10_001),
    "MaximumBatchingWindowInSeconds": range(301),
    "ParallelizationFactor": range(1, 11),
    "MaximumRetryAttempts": range(-1, 10_001),
    "MaximumRecordAgeInSeconds": (UNLIMITED, *range(60, 604_801)),
}
_WITHOUT_MEANING = frozenset(("Enabled", "MetricsConfig", "KMSKeyArn", "Tags"))


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """One mapping. failures_bucket: the S3 bucket of DestinationConfig.OnFailure, or None."""

    uuid: str
    function_arn: str
    stream_arn: str
    batch_size: int
    batching_window_seconds: int
    parallelization_factor: int
    maximum_retry_attempts: int
    maximum_record_age_seconds: int
    bisects: bool
    reports_items: bool
    filters: tuple[Pattern, ...]
    failures_bucket: str | None

    @property
    def oldest_seconds(self) -> int:
        """How old a record can become before it is discarded or has expired from the stream."""
        if self.maximum_record_age_seconds == UNLIMITED:
            return STREAM_KEEPS_SECONDS
        return min(self.maximum_record_age_seconds, STREAM_KEEPS_SECONDS)


def trigger(
    configuration: Mapping[str, Any],
    *,
    stream_arn: str,
    uuid: str = "11111111-2222-3333-4444-555555555555",
    function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:humangov-california-delete-file",
) -> Trigger:
    """A mapping from the parameters of CreateEventSourceMapping; Lambda's defaults for what is not given.

    Raises ValueError for what Lambda would refuse, and for a parameter that is not known here.
    https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html
    """
    if unknown := configuration.keys() - _DEFAULTS.keys() - _WITHOUT_MEANING:
        raise ValueError(f"not known here: {sorted(unknown)}")
    settings = _DEFAULTS | dict(configuration)
    for name, allowed in _RANGES.items():
        if settings[name] not in allowed:
            raise ValueError(f"{name} {settings[name]} is out of Lambda's range")
    filters = (settings["FilterCriteria"] or {}).get("Filters", [])
    if len(filters) > 5:
        raise ValueError("Lambda takes at most 5 filters")
    return Trigger(
        uuid=uuid,
        function_arn=function_arn,
        stream_arn=stream_arn,
        batch_size=settings["BatchSize"],
        batching_window_seconds=settings["MaximumBatchingWindowInSeconds"],
        parallelization_factor=settings["ParallelizationFactor"],
        maximum_retry_attempts=settings["MaximumRetryAttempts"],
        maximum_record_age_seconds=settings["MaximumRecordAgeInSeconds"],
        bisects=settings["BisectBatchOnFunctionError"],
        reports_items="ReportBatchItemFailures" in settings["FunctionResponseTypes"],
        filters=tuple(json.loads(one["Pattern"]) for one in filters),
        failures_bucket=_bucket(settings["DestinationConfig"]),
    )


def _bucket(destinations: Mapping[str, Any]) -> str | None:
    arn = (destinations.get("OnFailure") or {}).get("Destination")
    if arn is None:
        return None
    if arn.split(":")[2:3] != ["s3"]:
        raise ValueError(f"only S3 is known here as a destination, not {arn}")
    return str(arn.rsplit(":", 1)[-1])
