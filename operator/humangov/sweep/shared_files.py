"""Files that more than one record names. A second read confirms them: a scan can show one moved record twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.reading.named_files import keys_of
from humangov.reading.progress import FailedError
from humangov.reading.records_by_key import TooBusyError, read_records
from humangov.reading.snapshot import Item, TableDescription

MOST = 100
"""Limit of the files that are reported: one is enough to stop."""

_RECORDS_OF_ONE = 20


def really_shared(
    clients: AwsClients,
    names: Names,
    suspected: Sequence[bytes],
    *,
    table: TableDescription,
    scan: Callable[[Callable[[Sequence[Item]], None], Sequence[str]], int],
    pause: Callable[[float], None],
) -> tuple[str, ...]:
    """Those of these object keys that at least two records name at the same time.

    scan: reads the table once more, with further attributes. Raises as the scan does.
    """
    wanted = set(suspected)
    records: dict[bytes, dict[str, Mapping[str, Any]]] = {}

    def collect(items: Sequence[Item]) -> None:
        for item in items:
            for key in wanted.intersection(keys_of(item, names)):
                record_key = {name: item[name] for name in table.key_attributes}
                of_one = records.setdefault(key, {})
                if len(of_one) < _RECORDS_OF_ONE:
                    of_one[json.dumps(record_key, sort_keys=True, default=repr)] = record_key

    scan(collect, table.key_attributes)
    return tuple(
        sorted(
            key.decode()
            for key, found in records.items()
            if len(found) > 1 and _naming_now(clients, names, key, list(found.values()), pause=pause) > 1
        )
    )


def _naming_now(
    clients: AwsClients,
    names: Names,
    key: bytes,
    records: Sequence[Mapping[str, Any]],
    *,
    pause: Callable[[float], None],
) -> int:
    """How many of the records name it, read in one consistent call."""
    try:
        items = read_records(clients, names, records, pause=pause)
    except TooBusyError:
        raise FailedError(
            "DynamoDB was too busy to read two records that seem to name one file. The next sweep retries"
        ) from None
    return sum(key in keys_of(item, names) for item in items)
