"""Reads single records consistently, by their keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.cleanup.guard import items_of
from humangov.cleanup.retry import retry
from humangov.reading.snapshot import Item, projection

KEYS_PER_CALL = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""

_PAUSES_SECONDS = (0.1, 0.2, 0.4, 0.8)


class TooBusyError(Exception):
    """DynamoDB returned only part of the requested records, and so did the retries."""


def read_records(
    clients: AwsClients, names: Names, keys: Sequence[Mapping[str, Any]], *, pause: Callable[[float], None]
) -> list[Item]:
    """Of the records with these primary keys, those that exist: their attributes that name files.

    Up to KEYS_PER_CALL keys are read in one call. Raises TooBusyError, and what the SDK raises.
    """
    several = list({json.dumps(key, sort_keys=True, default=repr): key for key in keys}.values())
    found: list[Item] = []
    for first in range(0, len(several), KEYS_PER_CALL):
        found += _read(clients, names, several[first : first + KEYS_PER_CALL], pause=pause)
    return found


def _read(
    clients: AwsClients, names: Names, keys: Sequence[Mapping[str, Any]], *, pause: Callable[[float], None]
) -> Sequence[Item]:
    table = names.tenant.table
    request = {"Keys": list(keys), "ConsistentRead": True, **projection(table.file_attributes)}

    def read() -> Sequence[Item]:
        answer = clients.patient_dynamodb.batch_get_item(RequestItems={table.name: request})
        if answer.get("UnprocessedKeys"):
            raise TooBusyError
        return items_of(answer, table=table.name)

    return retry(
        read,
        retriable=lambda error: isinstance(error, TooBusyError),
        pauses_seconds=_PAUSES_SECONDS,
        pause=pause,
    )
