"""A tenant's table, bucket and log group in memory, behind the SDK's real clients.

The SDK checks each call's parameters, and its paginators run; no request leaves the process. The clock is S3's. What
the application does happens between calls, or between the pages of a listing or scan, never within one. Not shown:
rights, throughput, stale listings, and the SDK's own retries: a failure here is one that outlasted them.
"""

from __future__ import annotations

import bisect
import hashlib
import io
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.response import StreamingBody
from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients, connect
from humangov.sweep import engine, listing, result, snapshot
from humangov.sweep.engine import Surroundings
from humangov.sweep.progress import Steps
from humangov.sweep.result import SweepResult

from tests.unit import make

HOUR, DAY = 3600.0, 86400.0
START = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


class Killed(BaseException):
    """The process has ended."""


Faults = Callable[[str], str | None]
"""Operation → None, a code with which it is refused, `lost` (done, no answer), `killed before` or `killed after`."""


@dataclass(frozen=True)
class Version:
    version_id: str
    modified: float
    body: bytes
    is_marker: bool = False

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


class _Reply(NamedTuple):
    status: int
    answer: dict[str, Any]


@dataclass
class World:
    """lost: files that went while a live record named them, or while they were needed: it must stay empty.

    needed: files that somebody relies on although no record names them in a way that the sweep can see.
    reached: as far as the last sweep came.
    honours: whether this S3 heeds the condition of a delete; None: it refuses to. page: keys or records on one.
    """

    names: Names = field(default_factory=make.names)
    now: float = START
    versioning: str | None = None
    honours: bool | None = True
    page: int = 1000
    faults: Faults = lambda _operation: None
    meanwhile: Callable[[str], None] = lambda _operation: None
    table_id: str = "table-1"
    table: dict[str, Any] = field(default_factory=dict)
    records: dict[str, tuple[str, ...]] = field(default_factory=dict)
    objects: dict[str, list[Version]] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    needed: set[str] = field(default_factory=set)
    reached: SweepResult | None = None
    date: Callable[[float], str | None] = lambda now: datetime.fromtimestamp(now, UTC).strftime(
        "%a, %d %b %Y %H:%M:%S GMT"
    )

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._serial = 0

    # The application, and people.

    def upload(self, *names: str, body: bytes = b"%PDF", age: float = 0.0) -> None:
        """age: seconds ago."""
        for name in names:
            self._put(self.names.tenant.bucket.key_prefix + name, body, at=self.now - age)

    def hire(self, record: str, *names: str) -> None:
        self.records[record] = names

    def fire(self, record: str) -> None:
        self.records.pop(record, None)

    def remove(self, name: str) -> None:
        """As a person does who deletes a file in the console."""
        key = self.names.tenant.bucket.key_prefix + name
        if self.versioning:
            self._mark(key)
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
        return {name for name in self.live if self._current(prefix + name) is None}

    def manifests(self) -> list[str]:
        return sorted(key for key in self.objects if key.endswith(".jsonl.gz"))

    def receipts(self) -> list[dict[str, Any]]:
        return [line for line in self.log if "receipt" in line]

    # The sweep.

    def sweep(
        self,
        mode: str = result.DELETE,
        *,
        after: float = 0.0,
        approved: str | None = None,
        may_erase: Callable[[], str | None] = lambda: None,
        why_stop: Callable[[], str | None] = lambda: None,
        dry_run: bool = False,
    ) -> SweepResult:
        """One run, `after` seconds from now."""
        self.now += after
        self.reached = result.begin(mode=mode, dry_run=dry_run, now=self.now)
        around = Surroundings(
            steps=Steps(why_stop=why_stop), may_erase=may_erase, approved=approved, now=lambda: self.now,
            pause=lambda _seconds: None,
        )  # fmt: skip
        with self.behind(clients()) as sdk, pytest.MonkeyPatch.context() as patch:
            # Nothing takes time here, so it would be listed and read by one thread alone.
            patch.setattr(listing, "_TRIED_PAGES", 1)
            patch.setattr(listing, "workers_that_pay", lambda **_measured: 4)
            patch.setattr(snapshot, "_FEW_RECORDS", 4)
            for reached in engine.sweep(sdk, self.names, self.reached, around=around):
                self.reached = reached
        return self.reached

    @contextmanager
    def behind(self, sdk: AwsClients) -> Iterator[AwsClients]:
        asked = threading.local()

        def note(*, params: dict[str, Any], **_: Any) -> None:
            asked.params = params

        def answer(*, model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
            return self._answer(model.name, asked.params)

        several = (sdk.dynamodb, sdk.patient_dynamodb, sdk.streams, sdk.s3, sdk.patient_s3, sdk.logs)
        for client in several:
            client.meta.events.register_last("before-parameter-build", note)
            client.meta.events.register_first("before-call", answer)
        try:
            yield sdk
        finally:
            for client in several:
                client.meta.events.unregister("before-parameter-build", note)
                client.meta.events.unregister("before-call", answer)

    def _answer(self, operation: str, params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        with self._lock:
            self.meanwhile(operation)
            self.calls[operation] += 1
            fault = self.faults(operation)
            if fault == "killed before":
                raise Killed
            if fault and fault not in ("lost", "killed after"):
                reply = _Reply(503 if fault == "SlowDown" else 400, _error(fault))
            else:
                reply = getattr(self, f"_{operation}")(params)
            if fault == "killed after":
                raise Killed
            if fault == "lost":
                raise EndpointConnectionError(endpoint_url="https://aws")
            date = self.date(self.now)
            headers = {"date": date} if date is not None else {}
            metadata = {"ResponseMetadata": {"HTTPStatusCode": reply.status, "HTTPHeaders": headers}}
            return type("Http", (), {"status_code": reply.status}), reply.answer | metadata

    # S3.

    def _GetBucketVersioning(self, _params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        return _Reply(200, {"Status": self.versioning} if self.versioning else {})

    def _ListObjectsV2(self, params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        after = params.get("ContinuationToken") or params.get("StartAfter", "")
        keys = self._keys(params, after)
        found = [key for key in keys if self.objects[key] and not self.objects[key][-1].is_marker]
        page = found[: self.page]
        answer: dict[str, Any] = {"Contents": [self._entry(key, self.objects[key][-1]) for key in page]}
        if len(found) > len(page):
            answer |= {"IsTruncated": True, "NextContinuationToken": page[-1]}
        return _Reply(200, answer)

    def _ListObjectVersions(self, params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        marker, within = params.get("KeyMarker", ""), params.get("VersionIdMarker")
        several = []
        if within is not None:
            ids = [one.version_id for one in reversed(self.objects.get(marker, []))]
            rest = ids[ids.index(within) + 1 :] if within in ids else []
            several += [(marker, version_id) for version_id in rest]
        several += [(key, one.version_id) for key in self._keys(params, marker) for one in reversed(self.objects[key])]
        page = several[: min(self.page, params.get("MaxKeys", 1000))]
        answer: dict[str, Any] = {"Versions": [], "DeleteMarkers": []}
        for key, version_id in page:
            one = next(version for version in self.objects[key] if version.version_id == version_id)
            entry = self._entry(key, one) | {"VersionId": version_id, "IsLatest": one is self.objects[key][-1]}
            answer["DeleteMarkers" if one.is_marker else "Versions"].append(entry)
        if len(several) > len(page):
            answer |= {"IsTruncated": True, "NextKeyMarker": page[-1][0], "NextVersionIdMarker": page[-1][1]}
        return _Reply(200, answer)

    def _keys(self, params: Mapping[str, Any], after: str) -> list[str]:
        prefix = params.get("Prefix", "")
        keys = sorted(key for key, versions in self.objects.items() if versions and key.startswith(prefix))
        return keys[bisect.bisect_right(keys, after) :]

    @staticmethod
    def _entry(key: str, one: Version) -> dict[str, Any]:
        modified = datetime.fromtimestamp(int(one.modified), UTC)
        return {"Key": key, "ETag": one.etag, "Size": len(one.body), "LastModified": modified}

    def _GetObject(self, params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        one = self._current(params["Key"])
        if one is None:
            return _Reply(404, _error("NoSuchKey"))
        return _Reply(200, {"Body": StreamingBody(io.BytesIO(one.body), len(one.body)), "ETag": one.etag})

    def _HeadObject(self, params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        one = self._current(params["Key"])
        if one is None:
            return _Reply(404, _error("404"))
        changed = params.get("IfMatch") not in (None, one.etag)
        return _Reply(412, _error("412")) if changed else _Reply(200, {"ETag": one.etag})

    def _PutObject(self, params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        if params.get("IfNoneMatch") == "*" and self._current(params["Key"]) is not None:
            return _Reply(412, _error("PreconditionFailed"))
        body = params["Body"]
        one = self._put(params["Key"], body if isinstance(body, bytes) else body.read(), at=self.now)
        return _Reply(200, {"ETag": one.etag})

    def _DeleteObject(self, params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        key, one = params["Key"], self._current(params["Key"])
        if params.get("IfMatch") and self.honours is None:
            return _Reply(501, _error("NotImplemented"))
        if params.get("IfMatch") and self.honours:
            if one is None:
                return _Reply(404, _error("NoSuchKey"))
            if params["IfMatch"] != one.etag:
                return _Reply(412, _error("PreconditionFailed"))
        if params.get("VersionId"):
            self._erase(key, params["VersionId"])
            return _Reply(204, {})
        if self.versioning:
            return _Reply(204, {"DeleteMarker": True, "VersionId": self._mark(key)})
        for version in list(self.objects.get(key, ())):
            self._erase(key, version.version_id)
        return _Reply(204, {})

    def _DeleteObjects(self, params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        deleted = []
        for one in params["Delete"]["Objects"]:
            self._erase(one["Key"], one["VersionId"])
            deleted.append({"Key": one["Key"], "VersionId": one["VersionId"]})
        return _Reply(200, {"Deleted": deleted})

    def _current(self, key: str) -> Version | None:
        versions = self.objects.get(key)
        return versions[-1] if versions and not versions[-1].is_marker else None

    def _put(self, key: str, body: bytes, *, at: float) -> Version:
        one = Version(self._id(), at, body)
        self._add(key, one)
        return one

    def _mark(self, key: str) -> str:
        one = Version(self._id(), self.now, b"", is_marker=True)
        self._add(key, one)
        return one.version_id

    def _id(self) -> str:
        self._serial += 1
        return f"v{self._serial}" if self.versioning == "Enabled" else "null"

    def _add(self, key: str, one: Version) -> None:
        versions = self.objects.setdefault(key, [])
        versions[:] = [version for version in versions if version.version_id != one.version_id]
        versions.append(one)

    def _erase(self, key: str, version_id: str) -> None:
        versions = self.objects.get(key, [])
        gone = [one for one in versions if one.version_id == version_id]
        # What an older version held is not what the record names today.
        if (
            gone
            and gone[0] is self._current(key)
            and key.removeprefix(self.names.tenant.bucket.key_prefix) in self.live
        ):
            self.lost.append(key)
        versions[:] = [one for one in versions if one.version_id != version_id]
        if not versions:
            self.objects.pop(key, None)

    # DynamoDB.

    def _DescribeTable(self, _params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        table = {
            "TableArn": self.names.table_arn, "TableName": self.names.tenant.table.name, "TableId": self.table_id,
            "TableStatus": "ACTIVE", "ItemCount": len(self.records), "TableSizeBytes": 100 * len(self.records),
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        }  # fmt: skip
        return _Reply(200, {"Table": table | self.table})

    def _Scan(self, params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        # A partition's place in a scan has nothing to do with its key's order.
        places = sorted((hashlib.sha256(record.encode()).hexdigest(), record) for record in self.records)
        if "Segment" in params:
            places = [one for one in places if int(one[0][:4], 16) % params["TotalSegments"] == params["Segment"]]
        after = params.get("ExclusiveStartKey", {}).get("id", {}).get("S")
        if after is not None:
            places = places[bisect.bisect_right(places, (hashlib.sha256(after.encode()).hexdigest(), after)) :]
        page = [record for _, record in places[: self.page]]
        wanted = set(params["ExpressionAttributeNames"].values())
        items = [{name: value for name, value in self._item(record).items() if name in wanted} for record in page]
        answer: dict[str, Any] = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
        if len(places) > len(page):
            answer["LastEvaluatedKey"] = {"id": {"S": page[-1]}}
        return _Reply(200, answer)

    def _BatchGetItem(self, params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        ((name, asked),) = params["RequestItems"].items()
        ids = [key["id"]["S"] for key in asked["Keys"]]
        return _Reply(200, {"Responses": {name: [self._item(one) for one in ids if one in self.records]}})

    def _item(self, record: str) -> dict[str, Any]:
        names = self.records[record]
        value = {"S": names[0]} if len(names) == 1 else {"L": [{"S": name} for name in names]}
        return {"id": {"S": record}, "pdf": value}

    # CloudWatch Logs.

    def _CreateLogStream(self, _params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        return _Reply(200, {})

    def _PutLogEvents(self, params: Mapping[str, Any]) -> _Reply:  # noqa: N802
        self.log += [json.loads(one["message"]) for one in params["logEvents"]]
        return _Reply(200, {})


def _error(code: str) -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": f"{code}."}}


@cache
def clients() -> AwsClients:
    """They take long to make."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")
        return connect(region="us-east-1")
