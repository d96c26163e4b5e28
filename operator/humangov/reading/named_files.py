"""Named files: every object key that a record of the table may mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.cleanup.references import MAXIMUM_KEY_BYTES, Location, keys_to_keep
from humangov.reading.progress import FailedError, Steps
from humangov.reading.snapshot import Item, Sink, TableDescription, describe, scan


def read_table(
    clients: AwsClients,
    names: Names,
    sink: Sink,
    more: Sequence[str] = (),
    *,
    table: TableDescription,
    steps: Steps,
    pause: Callable[[float], None],
) -> int:
    """Passes every record's attributes that name files to `sink`, page by page; returns the number of records.

    more: additional attributes. Raises as `scan` does.
    """
    return scan(
        clients.patient_dynamodb, table=table, name=names.tenant.table.name,
        attributes=[*names.tenant.table.file_attributes, *more], sink=sink, steps=steps, pause=pause,
    )  # fmt: skip


def named_keys(items: Sequence[Item], names: Names) -> list[bytes]:
    """The keys that these records name: each key once per record."""
    return [key for keys in keys_by_record(items, names) for key in keys]


def keys_by_record(items: Sequence[Item], names: Names) -> Iterator[list[bytes]]:
    """The keys that each of these records may mean, each once."""
    location, attributes = _location(names), names.tenant.table.file_attributes
    for item in items:
        keys = keys_to_keep(item, attributes=attributes, location=location)
        yield [key.encode() for key in keys] if _are_plain(keys) else list(_encoded(keys))


def keys_of(item: Item, names: Names) -> Iterator[bytes]:
    """Every object key that a record may mean, once; generous, because named files are kept."""
    attributes = names.tenant.table.file_attributes
    return _encoded(keys_to_keep(item, attributes=attributes, location=_location(names)))


def _location(names: Names) -> Location:
    bucket = names.tenant.bucket
    return Location(bucket.name, bucket.key_prefix, names.identity.region)


def _are_plain(keys: Set[str]) -> bool:
    """Nearly always: one key, which S3 can have. A sweep reads millions."""
    return len(keys) == 1 and all(key.isascii() and len(key) <= MAXIMUM_KEY_BYTES for key in keys)


def _encoded(keys: Iterable[str]) -> Iterator[bytes]:
    for key in keys:
        try:
            encoded = key.encode()
        except UnicodeEncodeError:  # S3 has no such key
            continue
        if len(encoded) <= MAXIMUM_KEY_BYTES:
            yield encoded


def ready_table(clients: AwsClients, names: Names) -> TableDescription:
    """Raises FailedError if the table can't be read now, or is not the tenant's; and what the SDK raises."""
    table = describe(clients.patient_dynamodb, names)
    if table.status != "ACTIVE" or table.restoring:
        state = "being restored" if table.restoring else table.status
        raise FailedError(f"the table is {state}, not ACTIVE, so it is unknown which files its records name")
    return table


def require_same_table(clients: AwsClients, names: Names, *, table: TableDescription) -> None:
    """Raises FailedError if this is no longer the table that was read, and as `ready_table` does."""
    after = describe(clients.patient_dynamodb, names)
    if table.table_id != after.table_id or after.status != "ACTIVE":
        raise FailedError("the table was deleted or re-created while it was read, so nothing more is erased")
