"""A stop, as sweep, redrive and final stream read obey it: before anything is erased, and within seconds after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.api.spec import parse
from humangov.api.stop import stop_of_all
from humangov.final_read import cluster as final_read_cluster
from humangov.final_read.final_read import FinalRead
from humangov.kube.client import KubeError, Resource
from humangov.kube.stop_switch import StopSwitch
from humangov.redrive.redrive import RefusedError, redrive
from humangov.sweep import cluster as sweep_cluster
from humangov.sweep import erasure, run
from humangov.sweep.result import STOPPED, word_for
from humangov.sweep.run import EndedSweep, NotNowError, SweepRequest

from testing import samples
from testing.lambda_runtime.stream_events import batch, employee, remove
from testing.sweep.tenant_data import DAY, HOUR
from testing.sweep.world import SweepWorld, clients
from tests.sweep.test_final_read import Streams, removal

STOP = {"humangov.io/stop": "a wrong import (alice)"}
CONFIG_MAP = {"metadata": {"name": "humangov-stop", "namespace": "operators"}, "data": {"reason": "audit"}}


@dataclass
class InCluster:
    """In place of TenantInCluster: what people have written, and what was reported. It can't show permissions."""

    resource: dict[str, Any]
    config_map: Mapping[str, Any] | None = None
    refused: KubeError | None = None
    reported: list[Mapping[str, Any]] = field(default_factory=list)

    def read(self) -> Resource:
        if self.refused:
            raise self.refused
        return self.resource

    def stop_of_all(self) -> Any:
        return stop_of_all(self.config_map)

    def others(self, _namespaces: Any) -> list[Resource]:
        return [self.resource]

    def cluster_uid(self) -> str:
        return "cluster"

    def apply_status(self, _resource: Resource, fields: Mapping[str, Any], *, manager: str) -> None:
        self.reported.append(fields)

    def annotate(self, annotations: Mapping[str, str]) -> None:
        self.resource["metadata"]["annotations"] = dict(annotations)


def cluster(*, annotations: Mapping[str, str] | None = None, status: Any = None, **spec: Any) -> InCluster:
    resource = samples.resource(bucket={"name": "files"}, metadata={"annotations": dict(annotations or {})}, **spec)
    return InCluster(dict(resource) | {"status": {"mappings": ["uuid"], **(status or {})}})


def with_a_failed_invocation(*, orphans: int = 0) -> SweepWorld:
    """A redrive would erase `7-old.pdf`, whose record is gone."""
    world = SweepWorld(names=samples.names(bucket={"name": "files"}, sweep={"mode": "Delete"}))
    for number in range(60):
        world.upload(f"{number}.pdf", age=3 * DAY)
        world.hire(str(number + 100), f"{number}.pdf")
    world.upload(*(f"orphan-{number:03}.pdf" for number in range(orphans)), age=20 * DAY)
    world.upload("7-old.pdf", age=3 * HOUR)
    arn = f"{world.names.table_arn}/stream/2026-01-01T00:00:00.000"
    event = batch(remove(employee("7", "7-old.pdf"), table=world.names.tenant.table.name, at=world.now - 3600))
    for record in event["Records"]:
        record["eventSourceARN"] = arn
    invocation = {
        "requestContext": {"functionArn": world.names.function_arn, "condition": "RetryAttemptsExhausted"},
        "DDBStreamBatchInfo": {"streamArn": arn},
        "payload": json.dumps(event),
    }
    world.upload("aws/lambda/uuid/shard/2026/03/01/x", body=json.dumps(invocation).encode())
    return world


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch) -> Callable[[SweepWorld, InCluster], EndedSweep]:
    """A sweep as its Job runs it, at the world's time; a call takes as long as `world.meanwhile` says."""

    def swept(world: SweepWorld, there: InCluster) -> EndedSweep:
        names = replace(world.names, tenant=parse(there.resource, default_region="us-east-1"))
        monkeypatch.setattr(sweep_cluster, "names_as_swept", lambda *_, **__: names)
        monkeypatch.setattr("humangov.kube.stop_switch.time.monotonic", lambda: world.now)
        monkeypatch.setattr("time.time", lambda: world.now)
        with world.behind(clients()) as sdk:
            monkeypatch.setattr(run, "connect_as_sweep", lambda _names: sdk)
            any_cluster: Any = there
            return sweep_cluster.sweep_tenant_in_cluster(
                any_cluster, SweepRequest(), default_region="us-east-1", cluster_name="cluster", allowed=None,
                namespaces=(), report_status=True,
            )  # fmt: skip

    return swept


Swept = Callable[[SweepWorld, InCluster], EndedSweep]
STOPS: Mapping[str, Callable[[InCluster], None]] = {
    "annotation": lambda there: there.annotate(STOP),
    "annotation without a reason": lambda there: there.annotate({"humangov.io/stop": ""}),
    "ConfigMap": lambda there: setattr(there, "config_map", CONFIG_MAP),
    "condition": lambda there: there.resource.update(
        status={
            "mappings": ["uuid"],
            "conditions": [{"type": "Stopped", "status": "True", "reason": "ErasureLimit", "message": "m"}],
        }
    ),
}


@pytest.mark.parametrize("mode", ["Detect", "Delete"])
@pytest.mark.parametrize("how", STOPS)
def test_a_sweep_of_a_stopped_tenant_redrives_nothing_and_does_not_run(sweep: Swept, how: str, mode: str) -> None:
    world, there = with_a_failed_invocation(), cluster(sweep={"mode": mode})
    STOPS[how](there)
    with pytest.raises(NotNowError, match="no sweep runs"):
        sweep(world, there)
    assert "7-old.pdf" in world.files
    assert world.calls == {}
    assert there.reported == []


def test_a_sweep_redrives_what_is_not_stopped(sweep: Swept) -> None:
    world = with_a_failed_invocation()
    sweep(world, cluster(sweep={"mode": "Detect"}))
    assert "7-old.pdf" not in world.files


def test_a_manifest_with_the_annotation_is_neither_swept_nor_redriven() -> None:
    world = with_a_failed_invocation()
    stopped = samples.tenant(bucket={"name": "files"}, metadata={"annotations": STOP})
    names = replace(world.names, tenant=stopped)
    with world.behind(clients()) as sdk:
        with pytest.raises(NotNowError, match=r"annotation humangov\.io/stop is set"):
            run.sweep_tenant_of_manifest(names, SweepRequest())
        with pytest.raises(RefusedError, match=r"annotation humangov\.io/stop is set"):
            redrive(sdk, names)
    assert world.calls == {}


@pytest.mark.parametrize("how", STOPS)
def test_a_stop_while_a_sweep_redrives_keeps_what_is_not_erased_yet_and_ends_the_sweep(sweep: Swept, how: str) -> None:
    world, there = with_a_failed_invocation(), cluster(sweep={"mode": "Delete"})

    def meanwhile(operation: str) -> None:
        if operation == "GetObject":  # of the invocation record
            STOPS[how](there)
        world.now += 3.0

    world.meanwhile = meanwhile
    ended = sweep(world, there)
    assert ended.word == STOPPED
    assert "7-old.pdf" in world.files
    assert "aws/lambda/uuid/shard/2026/03/01/x" in world.objects


def test_under_a_disabled_trigger_a_slow_sweep_ends_with_a_report_as_its_note_says(sweep: Swept) -> None:
    world, there = with_a_failed_invocation(), cluster(sweep={"mode": "Delete"}, trigger={"enabled": False})

    def meanwhile(_operation: str) -> None:
        world.now += 3.0

    world.meanwhile = meanwhile
    ended = sweep(world, there)
    assert (ended.word, ended.problem) == ("Detected", None)
    assert ended.note is not None
    assert "7-old.pdf" in world.files


def test_a_trigger_that_is_disabled_during_a_sweep_ends_its_redrive(sweep: Swept) -> None:
    world, there = with_a_failed_invocation(), cluster(sweep={"mode": "Detect"})

    def meanwhile(operation: str) -> None:
        if operation == "GetObject":
            there.resource["spec"]["trigger"] = {"enabled": False}
        world.now += 3.0

    world.meanwhile = meanwhile
    sweep(world, there)
    assert "7-old.pdf" in world.files


def test_a_sweep_that_a_person_stops_after_its_first_batch_says_stopped() -> None:
    world = with_a_failed_invocation(orphans=250)
    world.names = samples.names(bucket={"name": "files"}, sweep={"mode": "Delete", "maximumOrphanPercent": 100})
    world.sweep()

    def may_erase() -> str | None:
        return "annotation humangov.io/stop was set" if world.calls["DeleteObject"] > erasure.BATCH else None

    swept = world.sweep(after=DAY, may_erase=may_erase)
    assert 0 < swept.erased.count("erased") < 250
    assert word_for(swept, failed=False, stopped=False) == STOPPED


def test_sweep_whose_status_cannot_be_written_reports_what_it_erased(sweep: Swept) -> None:
    world, there = with_a_failed_invocation(orphans=3), cluster(sweep={"mode": "Delete"})
    world.sweep()
    world.now += DAY
    write = there.apply_status

    def refuse_the_last(_resource: Resource, fields: Mapping[str, Any], *, manager: str) -> None:
        if there.reported:
            raise KubeError("patching", status=503, reason="unavailable")
        write(_resource, fields, manager=manager)

    there.apply_status = refuse_the_last  # type: ignore[method-assign]
    ended = sweep(world, there)
    assert (ended.word, ended.result.erased.count("erased"), ended.exit_code) == ("Erased", 3, 1)
    assert ended.unreported is not None
    assert "could not be written" in ended.unreported


def test_nothing_is_erased_while_it_cannot_be_read_whether_the_tenant_is_stopped(sweep: Swept) -> None:
    world, there = with_a_failed_invocation(), cluster(sweep={"mode": "Delete"})

    def meanwhile(operation: str) -> None:
        if operation == "GetObject":
            there.refused = KubeError("reading", status=503, reason="unavailable")
        world.now += 3.0

    world.meanwhile = meanwhile
    ended = sweep(world, there)
    assert ended.word == "Detected"  # reading goes on
    assert "7-old.pdf" in world.files


@contextmanager
def final_read_of(world: SweepWorld, there: InCluster, streams: Streams) -> Iterator[None]:
    world.table = {
        "LatestStreamArn": f"{world.names.table_arn}/stream/2026-03-01T00:00:00.000",
        "StreamSpecification": {"StreamEnabled": True},
    }
    names = replace(world.names, tenant=parse(there.resource, default_region="us-east-1"))
    with world.behind(clients()) as sdk, pytest.MonkeyPatch.context() as patch:
        patch.setattr(final_read_cluster, "names_as_swept", lambda *_, **__: names)
        patch.setattr(final_read_cluster, "connect_as_sweep", lambda _names: replace(sdk, streams=streams))
        patch.setattr("time.time", lambda: world.now)
        patch.setattr("humangov.kube.stop_switch.time.monotonic", lambda: world.now)
        yield


def final_read(there: InCluster) -> FinalRead:
    any_cluster: Any = there
    return final_read_cluster.handle_finally_in_cluster(
        any_cluster, default_region="us-east-1", cluster_name="cluster", report_status=True, stop=lambda: False
    ).read


REFUSALS: Mapping[str, Callable[[InCluster], None]] = {
    **STOPS,
    "suspend": lambda there: there.resource["spec"].update(suspend=True),
    "trigger": lambda there: there.resource["spec"].update(trigger={"enabled": False}),
    "shared files": lambda there: there.resource["status"].update(sweep={"filesShared": 1}),
}


@pytest.mark.parametrize("how", REFUSALS)
def test_a_final_stream_read_of_what_must_not_be_erased_erases_nothing(how: str) -> None:
    world, there = SweepWorld(names=samples.names(bucket={"name": "files"})), cluster()
    world.upload("cv.pdf", age=DAY)
    REFUSALS[how](there)
    at = datetime.fromtimestamp(world.now - 60, UTC)
    with final_read_of(world, there, Streams({"a": [[removal("7", "cv.pdf", at=at)]]})):
        found = final_read(there)
    assert world.files == {"cv.pdf"}
    assert found.problem is not None
    assert not found.complete


@pytest.mark.parametrize("how", STOPS)
def test_a_stop_while_the_final_stream_read_runs_keeps_the_files_of_what_is_unread(how: str) -> None:
    world, there = SweepWorld(names=samples.names(bucket={"name": "files"})), cluster()
    world.upload("cv.pdf", age=DAY)
    at = datetime.fromtimestamp(world.now - 60, UTC)

    @dataclass
    class Stopping(Streams):
        def get_records(self, *, ShardIterator: str) -> dict[str, Any]:  # noqa: N803
            STOPS[how](there)
            world.now += 3.0
            return super().get_records(ShardIterator=ShardIterator)

    with final_read_of(world, there, Stopping({"a": [[removal("7", "cv.pdf", at=at)]]})):
        found = final_read(there)
    assert world.files == {"cv.pdf"}
    assert not found.complete


def test_stop_switch_reads_the_api_server_at_most_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    now = [100.0]

    class Counting(InCluster):
        def read(self) -> Resource:
            asked.append(now[0])
            return super().read()

    monkeypatch.setattr("humangov.kube.stop_switch.time.monotonic", lambda: now[0])
    any_cluster: Any = Counting(cluster().resource)
    switch = StopSwitch(any_cluster, interrupted=lambda: None)
    for _ in range(50):
        assert switch.erasing() is None
        assert switch.reading() is None
        now[0] += 0.1
    assert 2 <= len(asked) <= 4
