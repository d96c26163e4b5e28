"""The function's environment variables: what configures the cleanup code (cleanup/environment.py). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from humangov.api import legal_hold
from humangov.api.conditions import Finding
from humangov.api.erasure_limit import Approved
from humangov.api.names import Names
from humangov.api.times import timestamp
from humangov.aws.change import Context
from humangov.aws.function_observed import UnreadEnvironment

_STREAM_SECONDS = 24 * 60 * 60
"""How long a stream keeps a record.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
"""


def variables(
    names: Names, context: Context, *, file_indexes: Mapping[str, str], stream_arn: str | None = None
) -> dict[str, str]:
    """Of the function in AWS. file_indexes: the table's indexes that it asks → the file attribute that is their key.

    stream_arn: the table's; only events of a stream of the table that it names count.

    A changed variable starts new environments: an approval starts new counters.
    """
    since = (context.hold_since or context.now) if names.tenant.hold else None
    found = environment(names, hold_since=since)
    if stream_arn:
        found["HUMANGOV_TABLE_ARN"] = stream_arn.rpartition("/stream/")[0]
    age = names.tenant.trigger.maximum_record_age_seconds
    found["HUMANGOV_RECORD_AGE_LIMIT_SECONDS"] = str(min(age, _STREAM_SECONDS) if age >= 0 else _STREAM_SECONDS)
    if isinstance(context.erasure_limit, Approved):
        found["HUMANGOV_ERASURES_APPROVED_AT"] = timestamp(context.erasure_limit.at)
    if file_indexes:
        found["HUMANGOV_FILE_INDEXES"] = json.dumps(file_indexes, sort_keys=True)
    return found


def of(configuration: Mapping[str, Any]) -> dict[str, str]:
    """The variables in a configuration of Lambda's."""
    found = (configuration.get("Environment") or {}).get("Variables") or {}
    return {str(name): str(value) for name, value in found.items()}


def environment(names: Names, *, hold_since: datetime | None = None) -> dict[str, str]:
    """Of the cleanup code, wherever it runs."""
    tenant = names.tenant
    found = {
        "HUMANGOV_TENANT": names.owner,
        "HUMANGOV_ACCOUNT": names.identity.account_id,
        "HUMANGOV_TABLE": tenant.table.name,
        "HUMANGOV_TABLE_ARN": names.table_arn,
        "HUMANGOV_BUCKET": tenant.bucket.name,
        "HUMANGOV_FILE_ATTRIBUTES": json.dumps(tenant.table.file_attributes),
        "HUMANGOV_MAXIMUM_ERASURES_PER_HOUR": str(tenant.trigger.maximum_erasures_per_hour),
        **legal_hold.variables(tenant, since=hold_since),
    }
    if tenant.table.file_names != "Unique":
        found["HUMANGOV_FILE_NAMES"] = tenant.table.file_names
    if tenant.bucket.key_prefix:
        found["HUMANGOV_KEY_PREFIX"] = tenant.bucket.key_prefix
    return found


def unreadable(name: str, unread: UnreadEnvironment) -> Finding:
    """Not written over: whoever set the key may have set variables too, and every write would look like drift again."""
    key = f" with KMS key {unread.key_arn}" if unread.key_arn else ""
    return Finding.action_required(
        "EnvironmentUnreadable",
        f"Lambda can't decrypt the environment variables of function {name}, encrypted{key}, for the operator "
        f"({unread.code}: {unread.text}): it is unknown whether they are as declared, and they are not changed. Grant "
        "the operator's role kms:Decrypt on that key, or remove the key from the function; the tenant then recovers "
        "automatically",
    )
