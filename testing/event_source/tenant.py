"""A tenant in memory: a table with a stream, a bucket, a log group, and the application that writes to both.

It stands for the tenant's account in AWS and for the application; `clients` are the SDK's before it. What the
application does while a function runs happens between the function's calls, never within one. It can't show reads that
are stale, retention, throughput, or any clock but the test's.
"""

from __future__ import annotations

import bisect
import json
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError

from testing.event_source.clock import StillClock
from testing.event_source.functions import KilledError
from testing.lambda_runtime import stream_events
from testing.lambda_runtime.runtime_api import LOG_GROUP

PREFIX_OF_FAILURES = "aws/lambda/"
Item = dict[str, Any]

Faults = Callable[[str, str, int], str | None]
"""Operation, what it is about (a key; empty: the whole call), how often that was tried → what goes wrong.

Of a whole call: `throttled` (refused, nothing done), `lost` (done, but the answer is lost), `killed before` and
`killed after` (the function's time is up before or after it was done), or the code with which it is refused. Of a
record's key in BatchGetItem: `unprocessed`. Of a file's key in DeleteObjects: `<code>`, which S3 answers for it, or
`done, <code>`.
"""


def no_faults(_operation: str, _subject: str, _attempt: int) -> str | None:
    return None


@dataclass
class KeyVersion:
    version_id: str
    modified: float
    marker: bool = False


@dataclass
class Tenant:
    """publish: takes each stream record and its shard. meanwhile: runs before each call that reads or erases.

    versioning: "", "Enabled" or "Suspended", as GetBucketVersioning answers.
    lost: files that went while a live record named them: it must stay empty.
    unannounced: files that went before the log group held an intent for them: it must stay empty.
    log_streams: stream → messages.
    """

    clock: StillClock
    publish: Callable[[stream_events.Event, str], None]
    table: str = "california"
    bucket: str = "california-files"
    shards: int = 1
    versioning: str = ""
    faults: Faults = no_faults
    meanwhile: Callable[[], None] = lambda: None
    records: dict[str, Item] = field(default_factory=dict)
    objects: dict[str, list[KeyVersion]] = field(default_factory=dict)
    failures: dict[str, bytes] = field(default_factory=dict)
    log_group: str = LOG_GROUP
    log_streams: dict[str, list[str]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    unannounced: list[str] = field(default_factory=list)
    erased_at: dict[str, float] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    faulty: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._named: Counter[str] = Counter()
        self._tried: Counter[tuple[str, str]] = Counter()
        self._versions = 0
        self._announced: set[str] = set()
        self._looked: list[bool] = []
        self._lock = threading.RLock()
        self._sorted: list[str] = sorted(self.objects)

    # The application.

    def upload(self, name: str) -> None:
        """A file under a name that was never used before."""
        if name in self.objects:
            raise AssertionError(f"{name} is used twice: file names are unique")
        self.objects[name] = [self._version()]
        bisect.insort(self._sorted, name)

    def write(self, one: str, *names: str) -> None:
        """Record `one` names these files from now on."""
        for name in names:
            assert self.is_there(name), f"the application names {name}, which does not exist"
        old = self.records.get(one)
        new = _item(one, names)
        if old == new:
            return
        self.records[one] = new
        self._count(old, new)
        kind = "MODIFY" if old else "INSERT"
        self._publish(one, stream_events.change(kind, old=old, new=new, table=self.table, at=self.clock.now))

    def remove(self, one: str) -> None:
        old = self.records.pop(one, None)
        if old is not None:
            self._count(old, None)
            self._publish(one, stream_events.remove(old, table=self.table, at=self.clock.now))

    def names(self, one: str) -> set[str]:
        """The files that a live record names."""
        return _names(self.records[one])

    def is_there(self, name: str) -> bool:
        versions = self.objects.get(name, [])
        return bool(versions) and not versions[-1].marker

    @property
    def live_files(self) -> set[str]:
        return set(+self._named)

    @property
    def files(self) -> set[str]:
        """Every key of which anything is left: hidden versions and markers too."""
        return {name for name, versions in self.objects.items() if versions}

    def _publish(self, one: str, record: stream_events.Event) -> None:
        self.publish(record, f"shardId-{zlib.crc32(one.encode()) % self.shards:020d}-00000000")

    def _count(self, old: Item | None, new: Item | None) -> None:
        if old:
            self._named.subtract(_names(old))
        if new:
            self._named.update(_names(new))

    # The function's invocations: between its look at the table and its end nothing that was dead may come back.

    def begin(self) -> None:
        self._looked.append(False)

    def end(self) -> None:
        self._looked.pop()

    @property
    def may_revive(self) -> bool:
        """Whether no running invocation is between its guard's read and its end: the window that the docs admit."""
        return not any(self._looked)

    def looked(self) -> None:
        if self._looked:
            self._looked[-1] = True

    # What both clients need.

    def fault(self, operation: str, subject: str) -> str | None:
        with self._lock:
            self._tried[operation, subject] += 1
            found = self.faults(operation, subject, self._tried[operation, subject])
            if found:
                self.faulty[f"{operation}: {found}"] += 1
            return found

    def call(self, operation: str, subject: str, do: Callable[[], Any]) -> Any:
        with self._lock:
            self.calls[operation] += 1
        match self.fault(operation, f"call {subject}"):
            case None:
                return do()
            case "throttled":
                raise client_error("SlowDown", operation, status=503)
            case "lost":
                do()
                raise ConnectionClosedError(endpoint_url="http://aws.invalid")
            case "killed before":
                raise KilledError
            case "killed after":
                do()
                raise KilledError
            case code:
                raise client_error(code, operation, status=403)

    def in_between(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.meanwhile()

    # The bucket.

    def _version(self, *, marker: bool = False) -> KeyVersion:
        self._versions += 1
        name = f"v{self._versions:08d}" if self.versioning == "Enabled" else "null"
        return KeyVersion(name, self.clock.now, marker)

    def keys(self, prefix: str) -> Iterator[str]:
        """In the order of a listing."""
        for place in range(bisect.bisect_left(self._sorted, prefix), len(self._sorted)):
            if not self._sorted[place].startswith(prefix):
                return
            yield self._sorted[place]

    def put_log(self, stream: str, messages: list[str]) -> None:
        self.log_streams[stream] += messages
        for line in map(json.loads, messages):
            if line.get("receipt") == "intent":
                self._announced.add(line["key"])

    def erase(self, key: str, version_id: str | None) -> dict[str, Any]:
        """One key of DeleteObjects, with what S3 says of it."""
        with self._lock:
            if self.objects.get(key) and key not in self._announced:
                self.unannounced.append(key)
            live = self._named[key] > 0 and self.is_there(key)
            versions = self.objects.get(key, [])
            answer: dict[str, Any] = {"Key": key}
            if version_id is not None:
                expired = [one for one in versions if one.version_id == version_id]
                versions = [one for one in versions if one.version_id != version_id]
                answer |= {"VersionId": version_id}
                if any(one.marker for one in expired):
                    answer |= {"DeleteMarker": True, "DeleteMarkerVersionId": version_id}
            elif not self.versioning:
                versions = []
            else:
                marker = self._version(marker=True)
                versions = [one for one in versions if one.version_id != marker.version_id] + [marker]
                answer |= {"DeleteMarker": True, "DeleteMarkerVersionId": marker.version_id}
            if versions:
                if key not in self.objects:
                    bisect.insort(self._sorted, key)
                self.objects[key] = versions
            elif self.objects.pop(key, None):
                del self._sorted[bisect.bisect_left(self._sorted, key)]
                self.erased_at[key] = self.clock.now
            if live and not self.is_there(key):
                self.lost.append(key)
            return answer


def client_error(code: str, operation: str, *, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "spoiled"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


def _item(one: str, names: tuple[str, ...]) -> Item:
    item = stream_events.employee(one)
    if len(names) == 1:
        item["pdf"] = {"S": names[0]}
    elif names:
        item["pdf"] = {"SS": sorted(names)}
    return item


def _names(item: Item) -> set[str]:
    value = item.get("pdf", {})
    return {value["S"]} if "S" in value else set(value.get("SS", ()))
