"""A sweep's world: a tenant's table, bucket and log group in memory, behind the SDK's real clients, and faults between.

The SDK checks each call's parameters, and its paginators run; no request leaves the process. The clock is S3's. What
the application does happens between calls, or between the pages of a listing or scan, never within one. It can't show
permissions, throughput, stale listings, or the SDK's own retries: a failure here is one that outlasted them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from humangov.aws.data_plane import AwsClients, connect
from humangov.reading import snapshot
from humangov.reading.progress import Steps
from humangov.sweep import engine, listing, result
from humangov.sweep.local_search import LocalSearch
from humangov.sweep.result import SweepResult
from humangov.sweep.search import SearchOf
from humangov.sweep.surroundings import Surroundings

from testing.killed import Killed
from testing.sweep import dynamodb, logs, s3, streams
from testing.sweep.reply import Reply, refusal
from testing.sweep.tenant_data import TenantData

Operation = Callable[[TenantData, Mapping[str, Any]], Reply]
OPERATIONS: Mapping[str, Operation] = {
    "GetBucketVersioning": s3.get_bucket_versioning,
    "ListObjectsV2": s3.list_objects_v2,
    "ListObjectVersions": s3.list_object_versions,
    "GetObject": s3.get_object,
    "HeadObject": s3.head_object,
    "PutObject": s3.put_object,
    "DeleteObject": s3.delete_object,
    "DeleteObjects": s3.delete_objects,
    "ListMultipartUploads": s3.list_multipart_uploads,
    "AbortMultipartUpload": s3.abort_multipart_upload,
    "ListParts": s3.list_parts,
    "DescribeTable": dynamodb.describe_table,
    "Scan": dynamodb.scan,
    "BatchGetItem": dynamodb.batch_get_item,
    "ListStreams": streams.list_streams,
    "DescribeStream": streams.describe_stream,
    "GetShardIterator": streams.get_shard_iterator,
    "GetRecords": streams.get_records,
    "ListEventSourceMappings": streams.list_event_source_mappings,
    "CreateLogStream": logs.create_log_stream,
    "PutLogEvents": logs.put_log_events,
}

SEARCH_OF: SearchOf = LocalSearch
"""The engine; a test may put another in its place."""

Faults = Callable[[str], str | None]
"""Operation → None, a code with which it is refused, `lost` (done, no answer), `killed before` or `killed after`."""


@dataclass
class SweepWorld(TenantData):
    """faults: what becomes of each call. meanwhile: runs before it. calls: how often each operation was asked for.

    operations: what answers each; a test may put another answer in its place. reached: as far as the last sweep came.
    """

    faults: Faults = lambda _operation: None
    reached: SweepResult | None = None
    meanwhile: Callable[[str], None] = lambda _operation: None
    calls: Counter[str] = field(default_factory=Counter)
    operations: dict[str, Operation] = field(default_factory=lambda: dict(OPERATIONS))
    date: Callable[[float], str | None] = lambda now: datetime.fromtimestamp(now, UTC).strftime(
        "%a, %d %b %Y %H:%M:%S GMT"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._lock = threading.RLock()

    def sweep(
        self,
        mode: str = result.DELETE,
        *,
        after: float = 0.0,
        approved: str | None = None,
        approver: str | None = None,
        may_erase: Callable[[], str | None] = lambda: None,
        why_stop: Callable[[], str | None] = lambda: None,
        dry_run: bool = False,
    ) -> SweepResult:
        """One run, `after` seconds from now."""
        self.now += after
        self.reached = result.begin(mode=mode, dry_run=dry_run, now=self.now)
        around = Surroundings(
            steps=Steps(why_stop=why_stop), may_erase=may_erase, approved=approved, approver=approver,
            now=lambda: self.now, pause=self.pause,
        )  # fmt: skip
        with self.behind(clients()) as sdk, pytest.MonkeyPatch.context() as patch:
            # Nothing takes time here, so it would be listed and read by one thread alone.
            patch.setattr(listing, "_TRIED_PAGES", 1)
            patch.setattr(listing, "workers_that_pay", lambda **_measured: 4)
            patch.setattr(snapshot, "_FEW_RECORDS", 4)
            for reached in engine.sweep(sdk, self.names, self.reached, around=around, search_of=SEARCH_OF):
                self.reached = reached
        return self.reached

    def pause(self, seconds: float) -> None:
        """Time passes where there is a stream to wait for."""
        self.now += seconds if self.stream is not None else 0.0

    @contextmanager
    def behind(self, sdk: AwsClients) -> Iterator[AwsClients]:
        asked = threading.local()

        def note(*, params: dict[str, Any], **_: Any) -> None:
            asked.params = params

        def answer(*, model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
            return self._answer(model.name, asked.params)

        several = (sdk.dynamodb, sdk.patient_dynamodb, sdk.streams, sdk.s3, sdk.patient_s3, sdk.logs, sdk.functions)
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
                reply = refusal(503 if fault == "SlowDown" else 400, fault)
            else:
                reply = self._of_owner(operation, params)
            if fault == "killed after":
                raise Killed
            if fault == "lost":
                raise EndpointConnectionError(endpoint_url="https://aws")
            date = self.date(self.now)
            headers = {"date": date} if date is not None else {}
            metadata = {"ResponseMetadata": {"HTTPStatusCode": reply.status, "HTTPHeaders": headers}}
            return type("Http", (), {"status_code": reply.status}), reply.answer | metadata

    def _of_owner(self, operation: str, params: dict[str, Any]) -> Reply:
        """Every call of ours on a bucket says whose it must be: a bucket of that name may be anybody's."""
        if "Bucket" in params and params.get("ExpectedBucketOwner") != self.names.identity.account_id:
            return refusal(403, "AccessDenied")
        return self.operations[operation](self, params)


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
