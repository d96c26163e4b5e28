"""A tenant in memory: a table with a stream, a bucket, and the application that writes to both.

The two clients check their parameters with botocore's own models and keep to the limits of a call. Not shown: reads
that are stale, IAM, retention, throughput, and any clock but the test's. What the application does while a function
runs happens between the function's calls, never within one.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import json
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import botocore.session
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.validate import validate_parameters

from testing.event_source.functions import KilledError
from testing.event_source.source import Clock
from testing.lambda_runtime import stream_events

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
class Version:
    version_id: str
    modified: float
    marker: bool = False


@dataclass
class Tenant:
    """publish: takes each stream record and its shard. meanwhile: runs before each call that reads or erases.

    versioning: "", "Enabled" or "Suspended", as GetBucketVersioning answers.
    lost: files that went while a live record named them: it must stay empty.
    """

    clock: Clock
    publish: Callable[[stream_events.Event, str], None]
    table: str = "california"
    bucket: str = "california-files"
    shards: int = 1
    versioning: str = ""
    faults: Faults = no_faults
    meanwhile: Callable[[], None] = lambda: None
    records: dict[str, Item] = field(default_factory=dict)
    objects: dict[str, list[Version]] = field(default_factory=dict)
    failures: dict[str, bytes] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    erased_at: dict[str, float] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    faulty: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._named: Counter[str] = Counter()
        self._tried: Counter[tuple[str, str]] = Counter()
        self._versions = 0
        self._looked: list[bool] = []
        self._lock = threading.RLock()
        self._sorted: list[str] = sorted(self.objects)
        self.dynamodb, self.s3 = _DynamoDB(self), _S3(self)

    @property
    def clients(self) -> dict[str, Any]:
        return {"dynamodb": self.dynamodb, "s3": self.s3}

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
            assert self.is_there(name), f"the application names {name}, which is not there"
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

    def _version(self, *, marker: bool = False) -> Version:
        self._versions += 1
        name = f"v{self._versions:08d}" if self.versioning == "Enabled" else "null"
        return Version(name, self.clock.now, marker)

    def keys(self, prefix: str) -> Iterator[str]:
        """In the order of a listing."""
        for place in range(bisect.bisect_left(self._sorted, prefix), len(self._sorted)):
            if not self._sorted[place].startswith(prefix):
                return
            yield self._sorted[place]

    def erase(self, key: str, version_id: str | None) -> dict[str, Any]:
        """One key of DeleteObjects, with what S3 says of it."""
        with self._lock:
            live = self._named[key] > 0 and self.is_there(key)
            versions = self.objects.get(key, [])
            said: dict[str, Any] = {"Key": key}
            if version_id is not None:
                gone = [one for one in versions if one.version_id == version_id]
                versions = [one for one in versions if one.version_id != version_id]
                said |= {"VersionId": version_id}
                if any(one.marker for one in gone):
                    said |= {"DeleteMarker": True, "DeleteMarkerVersionId": version_id}
            elif not self.versioning:
                versions = []
            else:
                marker = self._version(marker=True)
                versions = [one for one in versions if one.version_id != marker.version_id] + [marker]
                said |= {"DeleteMarker": True, "DeleteMarkerVersionId": marker.version_id}
            if versions:
                if key not in self.objects:
                    bisect.insort(self._sorted, key)
                self.objects[key] = versions
            elif self.objects.pop(key, None):
                del self._sorted[bisect.bisect_left(self._sorted, key)]
                self.erased_at[key] = self.clock.now
            if live and not self.is_there(key):
                self.lost.append(key)
            return said


def client_error(code: str, operation: str, *, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "spoiled"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


class _DynamoDB:
    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        _validate("dynamodb", "BatchGetItem", request)
        tenant = self._tenant
        tenant.in_between()
        ((table, asked),) = request["RequestItems"].items()
        if table != tenant.table:
            raise client_error("ResourceNotFoundException", "BatchGetItem")
        ids = [_id(key) for key in asked["Keys"]]
        if len(set(ids)) != len(ids) or not 1 <= len(ids) <= 100 or None in ids or not asked.get("ConsistentRead"):
            raise client_error("ValidationException", "BatchGetItem")
        attributes = {asked["ExpressionAttributeNames"][one] for one in asked["ProjectionExpression"].split(", ")}
        tenant.looked()
        return tenant.call("BatchGetItem", ids[0] or "", lambda: self._read(asked, attributes))  # type: ignore[no-any-return]

    def _read(self, asked: Mapping[str, Any], attributes: set[str]) -> dict[str, Any]:
        tenant = self._tenant
        left = [key for key in asked["Keys"] if tenant.fault("BatchGetItem", f"key {_id(key)}") == "unprocessed"]
        items = [tenant.records.get(_id(key) or "") for key in asked["Keys"] if key not in left]
        found = [{name: item[name] for name in attributes if name in item} for item in items if item]
        again = {tenant.table: {**asked, "Keys": left}} if left else {}
        return {"Responses": {tenant.table: json.loads(json.dumps(found))}, "UnprocessedKeys": again}


class _S3:
    """The calls that a role without s3:GetObject may make."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def get_bucket_versioning(self, **request: Any) -> dict[str, Any]:
        _validate("s3", "GetBucketVersioning", request)
        status = self._tenant.versioning
        return self._call("GetBucketVersioning", request, "", lambda: {"Status": status} if status else {})

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        _validate("s3", "ListObjectsV2", request)
        prefix = request["Prefix"]
        return self._call("ListObjectsV2", request, prefix, lambda: self._list(prefix, request.get("MaxKeys", 1000)))

    def list_object_versions(self, **request: Any) -> dict[str, Any]:
        _validate("s3", "ListObjectVersions", request)
        prefix = request["Prefix"]
        return self._call("ListObjectVersions", request, prefix, lambda: self._list_versions(request))

    def get_object_retention(self, **request: Any) -> dict[str, Any]:
        return self._lock("GetObjectRetention", request)

    def get_object_legal_hold(self, **request: Any) -> dict[str, Any]:
        return self._lock("GetObjectLegalHold", request)

    def _lock(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The bucket has no Object Lock."""
        _validate("s3", operation, request)

        def refuse() -> dict[str, Any]:
            raise client_error("InvalidRequest", operation)

        return self._call(operation, request, request["Key"], refuse)

    def delete_objects(self, **request: Any) -> dict[str, Any]:
        _validate("s3", "DeleteObjects", request)
        tenant = self._tenant
        tenant.in_between()
        asked = request["Delete"]["Objects"]
        if not 1 <= len(asked) <= 1000:
            raise client_error("MalformedXML", "DeleteObjects")
        if any(one.keys() - {"Key", "VersionId"} for one in asked):
            raise NotImplementedError("conditional deletes")
        quiet = request["Delete"].get("Quiet", False)
        return self._call("DeleteObjects", request, asked[0]["Key"], lambda: self._delete(asked, quiet=quiet))

    def delete_object(self, **request: Any) -> dict[str, Any]:
        _validate("s3", "DeleteObject", request)
        self._tenant.in_between()
        key, version = request["Key"], request.get("VersionId")
        return self._call("DeleteObject", request, key, lambda: self._tenant.erase(key, version))

    def _call(self, operation: str, request: Mapping[str, Any], subject: str, do: Callable[[], Any]) -> dict[str, Any]:
        if request["Bucket"] != self._tenant.bucket:
            raise client_error("NoSuchBucket", operation, status=404)
        return self._tenant.call(operation, subject, do)  # type: ignore[no-any-return]

    def _delete(self, asked: list[dict[str, str]], *, quiet: bool) -> dict[str, Any]:
        deleted, errors = [], []
        for one in asked:
            fault = self._tenant.fault("DeleteObjects", f"key {one['Key']}")
            if fault is None or fault.startswith("done, "):
                said = self._tenant.erase(one["Key"], one.get("VersionId"))
                if fault is None:
                    deleted.append(said)
            if fault is not None:
                errors.append({**one, "Code": fault.removeprefix("done, "), "Message": "spoiled"})
        return {**({"Deleted": deleted} if deleted and not quiet else {}), **({"Errors": errors} if errors else {})}

    def _list(self, prefix: str, most: int) -> dict[str, Any]:
        found = list(itertools.islice(filter(self._tenant.is_there, self._tenant.keys(prefix)), most))
        contents = [{"Key": key, "LastModified": _when(self._tenant.objects[key][-1].modified)} for key in found]
        return {"KeyCount": len(found), "IsTruncated": False, **({"Contents": contents} if contents else {})}

    def _list_versions(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """In the order of keys, the newest version first."""
        most = request.get("MaxKeys", 1000)
        rows = [
            (key, one, place == 0)
            for key in self._tenant.keys(request["Prefix"])
            for place, one in enumerate(reversed(self._tenant.objects[key]))
        ]
        if "KeyMarker" in request:
            after = (request["KeyMarker"], request.get("VersionIdMarker"))
            places = [place for place, (key, one, _) in enumerate(rows) if (key, one.version_id) == after]
            rows = rows[places[0] + 1 :] if places else [row for row in rows if row[0] > request["KeyMarker"]]
        page, more = rows[:most], len(rows) > most
        answer: dict[str, Any] = {"IsTruncated": more, "Versions": [], "DeleteMarkers": []}
        for key, one, latest in page:
            row = {"Key": key, "VersionId": one.version_id, "IsLatest": latest, "LastModified": _when(one.modified)}
            answer["DeleteMarkers" if one.marker else "Versions"].append(row)
        if more:
            answer |= {"NextKeyMarker": page[-1][0], "NextVersionIdMarker": page[-1][1].version_id}
        return {name: value for name, value in answer.items() if value != []}


def _when(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


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


def _id(key: Mapping[str, Any]) -> str | None:
    return key["id"]["S"] if key.keys() == {"id"} and key["id"].keys() == {"S"} else None


@functools.cache
def _shape(service: str, operation: str) -> Any:
    return botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape


def _validate(service: str, operation: str, request: Mapping[str, Any]) -> None:
    """Raises botocore's ParamValidationError, as a real client does."""
    validate_parameters(request, _shape(service, operation))
