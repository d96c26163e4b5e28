"""A stream record, as Lambda passes it → the files that it frees. Pure.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from .environment import FunctionSettings
from .references import FileKeys, Image, keys_to_erase, keys_to_keep

RecordKey = Mapping[str, Mapping[str, str]]
"""A primary key in DynamoDB JSON, B in base64: {"id": {"S": "7"}}."""

TTL_PRINCIPAL = "dynamodb.amazonaws.com"
_YEAR_3000_SECONDS = 32_503_680_000


class MalformedError(ValueError):
    """The record can never be handled, and no retry helps. The text contains no attribute's value."""


@dataclass(frozen=True, slots=True)
class RecordChange:
    """What one stream record changes for files.

    removed_at   seconds since the epoch, rounded down by DynamoDB; None if missing
    expired      removed by the table's time to live
    frees        object keys that the record named before and does not name after
    spellings    how the old image named each of these keys
    names        object keys that it may name after: the live table decides whether that is still true. None if the
                 stream does not tell, so it may name any
    problems     why an attribute of the old image has no name that could free a file
    unresolved   why a name of the old image is none of a file of this bucket for certain
    """

    sequence_number: str
    event_id: str
    event_name: str
    record_key: RecordKey
    removed_at: float | None
    expired: bool
    frees: tuple[str, ...]
    spellings: tuple[str, ...]
    names: frozenset[str] | None
    problems: tuple[str, ...]
    unresolved: tuple[str, ...]

    @property
    def record_id(self) -> str:
        return record_id(self.record_key)


@dataclass(frozen=True, slots=True)
class FreedFile:
    """One file that may be erased, and every change of the batch that freed it."""

    key: str
    freed_by: tuple[RecordChange, ...]

    @property
    def removed_at(self) -> float | None:
        """The latest removal: it decides how old the file must be."""
        return max((one.removed_at for one in self.freed_by if one.removed_at is not None), default=None)

    @property
    def spellings(self) -> frozenset[str]:
        """How the records that freed it named it."""
        return frozenset(
            text
            for change in self.freed_by
            for key, text in zip(change.frees, change.spellings, strict=True)
            if key == self.key
        )


def read_change(record: Any, *, settings: FunctionSettings) -> RecordChange:
    """Raises MalformedError if no retry can help; an attribute without a file name is only a problem."""
    if not isinstance(record, Mapping) or not isinstance(record.get("dynamodb"), Mapping):
        raise MalformedError("not a DynamoDB stream record")
    if not sequence_number(record):
        raise MalformedError("no sequence number")
    event_name = record.get("eventName")
    if event_name not in ("INSERT", "MODIFY", "REMOVE"):
        raise MalformedError("event name is not INSERT, MODIFY or REMOVE")
    if not _is_stream_of(record.get("eventSourceARN"), table_arn=settings.table_arn):
        # The guard reads this tenant's table, where records of another table never exist.
        raise MalformedError(f"the event is not of a stream of {settings.table_arn}")
    change = record["dynamodb"]
    old, new = _image(change, "OldImage"), _image(change, "NewImage")
    if event_name != "INSERT" and old is None:
        raise MalformedError(
            "no old image: the stream's view type must be NEW_AND_OLD_IMAGES, it is "
            + str(change.get("StreamViewType"))
        )
    freed = _freed(event_name, old or {}, new or {}, settings)
    return RecordChange(
        sequence_number=sequence_number(record),
        event_id=str(record.get("eventID", "")),
        event_name=event_name,
        record_key=_record_key(change.get("Keys")),
        removed_at=_seconds(change.get("ApproximateCreationDateTime")),
        expired=_principal(record.get("userIdentity")) == TTL_PRINCIPAL,
        frees=freed.keys,
        spellings=freed.spellings,
        names=_names(event_name, new, settings),
        problems=freed.problems,
        unresolved=freed.unresolved,
    )


def unread_change(record: Any) -> RecordChange | None:
    """Of a record that could not be read, what still protects files: its key, under which it may name any.

    None for a removal, which names nothing any more, and for what is no record of a table.
    """
    change = record.get("dynamodb") if isinstance(record, Mapping) else None
    if not isinstance(change, Mapping) or record.get("eventName") == "REMOVE":
        return None
    try:
        key = _record_key(change.get("Keys"))
    except MalformedError:
        return None
    return RecordChange(
        sequence_number=sequence_number(record), event_id=str(record.get("eventID", "")),
        event_name=str(record.get("eventName", "")), record_key=key, removed_at=None, expired=False, frees=(),
        spellings=(), names=None, problems=(), unresolved=(),
    )  # fmt: skip


def sequence_number(record: Any) -> str:
    """The ID by which Lambda retries this record; empty if the record has none."""
    change = record.get("dynamodb") if isinstance(record, Mapping) else None
    value = change.get("SequenceNumber") if isinstance(change, Mapping) else None
    return value if isinstance(value, str) else ""


def record_id(key: RecordKey) -> str:
    """One text for one primary key, to find repeats: DynamoDB rejects a call that names a key twice."""
    return json.dumps(key, sort_keys=True)


def freed_files(changes: Iterable[RecordChange]) -> list[FreedFile]:
    """Each freed file once, in the order of the batch."""
    freed_by: dict[str, list[RecordChange]] = {}
    for change in changes:
        for key in change.frees:
            freed_by.setdefault(key, []).append(change)
    return [FreedFile(key, tuple(of_key)) for key, of_key in freed_by.items()]


def _freed(event_name: str, old: Image, new: Image, settings: FunctionSettings) -> FileKeys:
    if event_name == "INSERT":
        return FileKeys(())
    attributes = settings.file_attributes
    if event_name == "MODIFY":
        attributes = tuple(name for name in attributes if name in old and old[name] != new.get(name))
    kept = keys_to_keep(new, attributes=settings.file_attributes, location=settings.location)
    named = keys_to_erase(old, attributes=attributes, location=settings.location)
    freed = {key: text for key, text in zip(named.keys, named.spellings, strict=True) if key not in kept}
    return named._replace(keys=tuple(freed), spellings=tuple(freed.values()))


def _names(event_name: str, new: Image | None, settings: FunctionSettings) -> frozenset[str] | None:
    if event_name == "REMOVE":
        return frozenset()
    if new is None:  # view type OLD_IMAGE
        return None
    return frozenset(keys_to_keep(new, attributes=settings.file_attributes, location=settings.location))


def _image(change: Mapping[str, Any], name: str) -> Image | None:
    image = change.get(name)
    if image is not None and not isinstance(image, Mapping):
        raise MalformedError(f"{name} is not a map")
    return image


def _is_stream_of(arn: Any, *, table_arn: str) -> bool:
    """arn: <table's ARN>/stream/2026-01-01T00:00:00.000. A table of the same name may be in any account and region."""
    table, separator, label = arn.rpartition("/stream/") if isinstance(arn, str) else ("", "", "")
    return bool(separator and label) and table == table_arn and "/" not in label


def _record_key(key: Any) -> RecordKey:
    if not isinstance(key, Mapping) or not 1 <= len(key) <= 2 or not all(map(_is_key_value, key.values())):
        raise MalformedError("no primary key")
    return key


def _is_key_value(value: Any) -> bool:
    # One invalid key would fail the other 99 of its call.
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    try:
        match value:
            case {"S": str() as text}:
                return text != ""
            case {"N": str() as number}:
                return Decimal(number).is_finite()
            case {"B": str() as binary}:
                return base64.b64decode(binary, validate=True) != b""
    except (InvalidOperation, ValueError):
        pass
    return False


def _seconds(value: Any) -> float | None:
    # Compared before it is converted: no float holds an integer of 400 digits. No comparison holds for a NaN.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < _YEAR_3000_SECONDS else None


def _principal(identity: Any) -> Any:
    return identity.get("principalId") if isinstance(identity, Mapping) else None
