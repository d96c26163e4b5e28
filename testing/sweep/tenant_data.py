"""What one tenant has in S3, DynamoDB and CloudWatch Logs, in memory; and what the application and people do with it.

It stands for the tenant's own account on S3's clock. It can't show what others in the account do.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from humangov.api.names import Names

from testing import samples
from testing.receipt_chain import each_once
from testing.sweep.table_stream import TableStream

HOUR, DAY = 3600.0, 86400.0
START = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class ObjectVersion:
    """modified: as S3 dates it, when the upload began. parts: 0 if it was not uploaded in parts."""

    version_id: str
    modified: float
    body: bytes
    is_marker: bool = False
    parts: int = 0

    @property
    def etag(self) -> str:
        digest = hashlib.md5(self.body, usedforsecurity=False).hexdigest()
        return f'"{digest}-{self.parts}"' if self.parts else f'"{digest}"'


@dataclass(frozen=True)
class IncompleteUpload:
    """parts: how many are stored. late_parts: how many more arrive after an abort."""

    key: str
    upload_id: str
    began: float
    parts: int = 1
    late_parts: int = 0


@dataclass
class TenantData:
    """lost: files that went while a live record named them, or while they were needed: it must stay empty.

    needed: files that somebody relies on although no record names them in a way that the sweep can see.
    attributes: of a record whose attribute has another type than a string or a list of strings, that attribute.
    stream: of the table; None: it is not enabled.
    created: when DynamoDB created the table; None: it does not answer that.
    honours: whether this S3 heeds the condition of a delete; None: it refuses to. page: keys or records on one.
    """

    names: Names = field(default_factory=samples.names)
    now: float = START
    versioning: str | None = None
    honours: bool | None = True
    page: int = 1000
    table_id: str = "table-1"
    table: dict[str, Any] = field(default_factory=dict)
    stream: TableStream | None = None
    created: float | None = START - 400 * DAY
    records: dict[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    objects: dict[str, list[ObjectVersion]] = field(default_factory=dict)
    uploads: dict[str, IncompleteUpload] = field(default_factory=dict)
    log_streams: dict[str, list[str]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    needed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._serial = 0

    # The application, and people.

    def upload(self, *names: str, body: bytes = b"%PDF", age: float = 0.0) -> None:
        """age: seconds ago."""
        for name in names:
            self.put(self.names.tenant.bucket.key_prefix + name, body, at=self.now - age)

    def upload_in_parts(self, name: str, *, body: bytes = b"%PDF", begun: float) -> None:
        """Finished now. begun: seconds ago."""
        key = self.names.tenant.bucket.key_prefix + name
        self._add(key, ObjectVersion(self._id(), self.now - begun, body, parts=2))

    def begin_upload(self, name: str, *, age: float = 0.0, late_parts: int = 0) -> str:
        """An upload in parts that nobody completes; returns its ID. age: seconds ago."""
        self._serial += 1
        upload_id = f"upload{self._serial}"
        key = self.names.tenant.bucket.key_prefix + name
        self.uploads[upload_id] = IncompleteUpload(key, upload_id, self.now - age, late_parts=late_parts)
        return upload_id

    def hire(self, record: str, *names: str) -> None:
        old = self.item(record)
        self.records[record] = names
        self._changed(record, old)

    def fire(self, record: str) -> None:
        old = self.item(record)
        self.records.pop(record, None)
        self._changed(record, old)

    def move(self, record: str, to: str) -> None:
        """As an application does that gives a record another id: one change after the other."""
        names = self.records[record]
        self.fire(record)
        self.hire(to, *names)

    def _changed(self, record: str, old: dict[str, Any] | None) -> None:
        if self.stream is not None:
            self.stream.put(record, old=old, new=self.item(record), now=self.now)

    def with_stream(self, **more: Any) -> TableStream:
        """Enables the table's stream; more: see TableStream."""
        self.stream = TableStream(f"{self.names.table_arn}/stream/2026-01-01T00:00:00.000", **more)
        self.stream.readers.append(self.names.function_arn)
        return self.stream

    def item(self, record: str) -> dict[str, Any] | None:
        """As DynamoDB holds it."""
        if record not in self.records:
            return None
        names = self.records[record]
        value = {"S": names[0]} if len(names) == 1 else {"L": [{"S": name} for name in names]}
        return {"id": {"S": record}, "pdf": self.attributes.get(record, value)}

    def remove(self, name: str) -> None:
        """As a person does who deletes a file in the console."""
        key = self.names.tenant.bucket.key_prefix + name
        if self.versioning:
            self.put_marker(key)
        else:
            self.objects.pop(key, None)

    @property
    def files(self) -> set[str]:
        """Whatever is stored under the tenant's names, hidden or not."""
        prefix = self.names.tenant.bucket.key_prefix
        return {
            key.removeprefix(prefix) for key, versions in self.objects.items() if versions and ".humangov/" not in key
        }

    @property
    def live(self) -> set[str]:
        return self.needed.union(*self.records.values())

    @property
    def missing(self) -> set[str]:
        """Files that a record names, or somebody needs, and that are not there."""
        prefix = self.names.tenant.bucket.key_prefix
        return {name for name in self.live if self.current(prefix + name) is None}

    def orphan_lists(self) -> list[str]:
        return sorted(key for key in self.objects if key.endswith(".jsonl.gz"))

    @property
    def log(self) -> list[dict[str, Any]]:
        """Every line of the log group, once."""
        return each_once(json.loads(message) for stream in self.log_streams.values() for message in stream)

    def receipts(self) -> list[dict[str, Any]]:
        return [line for line in self.log if "receipt" in line]

    # What the services do with it.

    def current(self, key: str) -> ObjectVersion | None:
        versions = self.objects.get(key)
        return versions[-1] if versions and not versions[-1].is_marker else None

    def put(self, key: str, body: bytes, *, at: float) -> ObjectVersion:
        one = ObjectVersion(self._id(), at, body)
        self._add(key, one)
        return one

    def put_marker(self, key: str) -> str:
        one = ObjectVersion(self._id(), self.now, b"", is_marker=True)
        self._add(key, one)
        return one.version_id

    def _id(self) -> str:
        self._serial += 1
        return f"v{self._serial}" if self.versioning == "Enabled" else "null"

    def _add(self, key: str, one: ObjectVersion) -> None:
        versions = self.objects.setdefault(key, [])
        versions[:] = [version for version in versions if version.version_id != one.version_id]
        versions.append(one)

    def erase(self, key: str, version_id: str) -> None:
        versions = self.objects.get(key, [])
        erased = [one for one in versions if one.version_id == version_id]
        # What an older version held is not what the record names today.
        if (
            erased
            and erased[0] is self.current(key)
            and key.removeprefix(self.names.tenant.bucket.key_prefix) in self.live
        ):
            self.lost.append(key)
        versions[:] = [one for one in versions if one.version_id != version_id]
        if not versions:
            self.objects.pop(key, None)
