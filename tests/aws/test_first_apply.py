"""The first reconciliations over a new tenant, and the settled ones after them.

Runs on MiniStack, which takes everything at once: that a role is unknown to Lambda for seconds, that a function is
Pending and a mapping Creating for minutes, is shown in test_waiting.py with injected answers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from testing.reconciler import snapshot
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import throttled
from testing.reconciler.world import CLUSTER_UID, World

NAME = "humangov-california-delete-file"
OWNER = {
    "humangov.io/tenant": "test-cluster/humangov/california", "humangov.io/origin": "test-cluster/humangov/california",
    "humangov.io/cluster-uid": CLUSTER_UID,
}  # fmt: skip


def test_first_apply_creates_exactly_five_resources(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply(world.manifest(tags={"team": "records"}))
    world.settle(key)
    assert world.ready(key).startswith("True InSync")
    tags = OWNER | {"team": "records"}

    [table] = snapshot.tables(world)
    assert table["stream"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert table["tags"]["humangov.io/stream"] == table["arn"].rsplit("/", 1)[1]
    assert table["tags"]["humangov.io/tenant"] == OWNER["humangov.io/tenant"]
    assert "team" not in table["tags"], "the table is the user's"

    [role] = snapshot.roles(world)
    assert (role["name"], role["path"], role["attached"]) == (f"{NAME}-us-east-1", "/humangov/", [])
    assert dict(role["tags"]) == tags
    assert list(role["inline"]) == ["humangov-cleanup"]
    reported = json.dumps(role["inline"])
    assert "table/humangov-california-dynamodb/stream/*" in reported
    assert f"arn:aws:s3:::{world.bucket}/*" in reported

    [group] = snapshot.log_groups(world)
    assert group == {"name": f"/aws/lambda/{NAME}", "retention": 400, "key": None, "tags": tags}

    [function] = snapshot.functions(world)
    assert function == {
        "name": NAME,
        "tags": {**tags, "humangov.io/role-id": "the present one's"},
        "concurrency": None,
        "Runtime": "python3.13",
        "Handler": "cleanup.handler.handle",
        "Role": f"arn:aws:iam::{world.account}:role/humangov/{NAME}-us-east-1",
        "MemorySize": 512,
        "Timeout": 300,
        "Environment": {
            "Variables": {
                "HUMANGOV_TENANT": OWNER["humangov.io/tenant"],
                "HUMANGOV_ACCOUNT": world.account,
                "HUMANGOV_TABLE": "humangov-california-dynamodb",
                "HUMANGOV_TABLE_ARN": world.names("humangov/california").table_arn,
                "HUMANGOV_BUCKET": world.bucket,
                "HUMANGOV_FILE_ATTRIBUTES": '["pdf"]',
                "HUMANGOV_MAXIMUM_ERASURES_PER_HOUR": "20000",
                "HUMANGOV_RECORD_AGE_LIMIT_SECONDS": "43200",
            }
        },
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{NAME}"},
        "Layers": None,
        "Description": "Erases the files of records deleted from humangov-california-dynamodb. Created by the "
        "HumanGovState operator",
        "CodeSha256": world.bundle.code_sha256,
        "Architectures": ["arm64"],
        "VpcConfig": None,
        "DeadLetterConfig": None,
        "KMSKeyArn": None,
        "FileSystemConfigs": None,
        "TracingConfig": {"Mode": "PassThrough"},
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
    }

    [mapping] = snapshot.mappings(world)
    assert mapping == {
        "EventSourceArn": table["arn"],
        "FunctionArn": f"arn:aws:lambda:us-east-1:{world.account}:function:{NAME}",
        "State": "Enabled",
        "BatchSize": 1000,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "MaximumRetryAttempts": 10,
        "MaximumRecordAgeInSeconds": 43200,
        "BisectBatchOnFunctionError": False,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "FilterCriteria": {"Filters": [{"Pattern": '{"eventName":["INSERT","MODIFY","REMOVE"]}'}]},
        "DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:s3:::{world.bucket}"}},
        "StartingPosition": "TRIM_HORIZON",
        "tags": tags,
    }


def test_first_apply_takes_at_most_20_aws_calls_and_5_kubernetes_writes(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.settle(key)
    aws = world.line.reads() + world.line.writes()
    assert len(aws) <= 20, aws
    assert len(world.line.kube_writes()) <= 5, world.line.kube_writes()
    assert world.event_reasons() == ["InSync"]


def test_in_sync_reconciliation_makes_no_write(world: World) -> None:
    key = world.provisioned()
    before = snapshot.snapshot(world)
    for _ in range(12):
        outcome = world.reconcile_once(key)
        assert (outcome.requeue_after_seconds, outcome.failed) == (None, False)
        assert world.line.writes() + world.line.kube_writes() == []
    assert snapshot.snapshot(world) == before


def test_in_sync_reconciliation_makes_at_most_six_reads(world: World) -> None:
    key = world.provisioned()
    world.reconcile_once(key)  # a life's first also counts the invocations that failed
    world.line.forget()
    counts = []
    for _ in range(12):
        world.reconcile_once(key)
        counts.append(len(world.line.forget()))
    assert sorted(counts)[-3] <= 6, counts  # two of twelve are deep


def test_operator_restart_over_an_in_sync_tenant_makes_no_write(world: World) -> None:
    key = world.provisioned()
    world.restart_operator()
    world.reconcile_once(key)
    assert world.line.writes() + world.line.kube_writes() == []


def test_finalizer_and_identity_are_written_before_the_first_aws_write(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.reconcile_once(key)
    writes = [call for call in world.line.calls if call.writes]
    assert [call.action for call in writes[:2]] == ["kube:set_finalizer", "kube:apply_status"]
    assert writes[1].parameters["status"]["aws"] == {
        "accountID": world.account, "region": "us-east-1", "cluster": "test-cluster", "clusterUID": CLUSTER_UID,
    }  # fmt: skip
    assert [call.action for call in writes[2:] if call.action.startswith("kube:")] in (
        [],
        ["kube:apply_status", "kube:post_event"],
    ), "and what comes after is told at the end of a reconciliation"


def test_first_apply_with_real_threads_has_the_same_result(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    with ThreadPoolExecutor(6) as threads:

        async def in_thread(call: Callable[[], Any]) -> Any:
            return await asyncio.get_running_loop().run_in_executor(threads, call)

        world.in_thread = in_thread
        world.restart_operator()
        world.settle(key)
    found = snapshot.snapshot(world)
    assert [len(found[kind]) for kind in ("functions", "mappings", "roles", "log groups")] == [1, 1, 1, 1]


def test_every_optional_setting_reaches_aws(world: World) -> None:
    key = world.provisioned(
        bucket={"name": world.bucket, "keyPrefix": "files/"},
        function={"name": "Erase", "runtime": "python3.12", "architecture": "x86_64", "memoryMiB": 256,
                  "timeoutSeconds": 60, "reservedConcurrency": 3},
        trigger={"batchSize": 10, "batchingWindowSeconds": 2, "maximumRetryAttempts": 3,
                 "maximumRecordAgeSeconds": 600},
        logs={"retentionDays": 7},
    )  # fmt: skip
    [function] = snapshot.functions(world)
    assert function["name"] == "Erase"
    assert (function["Runtime"], function["Architectures"]) == ("python3.12", ["x86_64"])
    assert (function["MemorySize"], function["Timeout"]) == (256, 60)
    assert function["concurrency"] == {"ReservedConcurrentExecutions": 3}
    assert function["Environment"]["Variables"]["HUMANGOV_KEY_PREFIX"] == "files/"
    [mapping] = snapshot.mappings(world)
    assert [mapping[field] for field in ("BatchSize", "MaximumBatchingWindowInSeconds")] == [10, 2]
    assert [mapping[field] for field in ("MaximumRetryAttempts", "MaximumRecordAgeInSeconds")] == [3, 600]
    assert snapshot.log_groups(world)[0]["retention"] == 7
    world.reconcile_once(key)
    assert world.line.writes() == []


def test_changed_spec_is_applied_to_aws_with_one_event(world: World) -> None:
    key = world.provisioned()

    def change(resource: dict[str, Any]) -> None:
        resource["spec"] |= {"function": {"memoryMiB": 1024}, "logs": {"retentionDays": 30}, "tags": {"a": "b"}}
        resource["spec"]["trigger"] = {"batchSize": 5}

    world.kube.edit(key, change)
    world.settle(key)
    assert snapshot.functions(world)[0]["MemorySize"] == 1024
    assert snapshot.log_groups(world)[0]["retention"] == 30
    assert snapshot.mappings(world)[0]["BatchSize"] == 5
    assert world.event_reasons() in (["Updated"], ["Updated", "InSync"])
    assert world.condition(key, "Ready")["observedGeneration"] == 2
    world.line.forget()
    world.reconcile_once(key)
    assert world.line.writes() + world.line.kube_writes() == []


def test_enabled_stream_is_used_and_gets_no_ownership_tag(world: World) -> None:
    world.make_table(view_type="NEW_AND_OLD_IMAGES")
    world.make_bucket()
    before = snapshot.tables(world)
    key = world.apply()
    world.settle(key)
    assert snapshot.tables(world) == before
    assert world.ready(key).startswith("True")


def test_stream_without_old_images_is_a_terminal_error_and_is_never_changed(world: World) -> None:
    world.make_table(view_type="KEYS_ONLY")
    world.make_bucket()
    before = snapshot.tables(world)
    key = world.apply()
    world.reconcile_once(key)
    assert world.ready(key).startswith("False UnsupportedViewType")
    assert snapshot.tables(world) == before
    assert snapshot.mappings(world) == []


def test_throttled_bucket_read_after_a_restart_is_not_taken_as_a_missing_bucket(world: World) -> None:
    key = world.provisioned()
    world.restart_operator()
    world.line.faults = [Fault(on("s3:GetBucketLocation"), error=throttled(), times=1)]
    for _ in range(3):
        world.reconcile_once(key)
        assert world.ready(key).startswith("True"), world.ready(key)
        assert world.condition(key, "BucketReady")["status"] == "True"


@pytest.mark.parametrize("boundary", [None, "arn:aws:iam::aws:policy/ReadOnlyAccess"])
def test_role_gets_the_operators_permissions_boundary(world: World, boundary: str | None) -> None:
    world.settings = replace(world.settings, permissions_boundary_arn=boundary, default_tags={"cost": "1"})
    world.restart_operator()
    key = world.provisioned()
    [role] = snapshot.roles(world)
    assert (role["boundary"] or {}).get("PermissionsBoundaryArn") == boundary
    assert ("cost", "1") in role["tags"]
    world.reconcile_once(key)
    assert world.line.writes() == []
