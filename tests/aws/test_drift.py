"""Whatever people change by hand on what the operator owns is put back, told once, and settled again.

Runs on MiniStack, which accepts a second mapping of one stream and function where AWS refuses it, and applies every
change at once.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from humangov.tenant import RECONCILE_ANNOTATION

from tests.aws import snapshot
from tests.aws.world import Fault, World, on, throttled

NAME = "humangov-california-delete-file"
ROLE = f"{NAME}-us-east-1"
GROUP = f"/aws/lambda/{NAME}"
OPEN_DOOR = json.dumps({
    "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
})  # fmt: skip
ANYBODY = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
})  # fmt: skip


@dataclass(frozen=True)
class Drift:
    """`deep`: seldom changes, so it is looked at in every sixth pass only."""

    what: str
    by_hand: Callable[[World], Any]
    deep: bool = False


def iam(world: World) -> Any:
    return world.sdk.client("iam")


def awslambda(world: World) -> Any:
    return world.sdk.client("lambda")


def logs(world: World) -> Any:
    return world.sdk.client("logs")


def configure(**fields: Any) -> Callable[[World], Any]:
    return lambda world: awslambda(world).update_function_configuration(FunctionName=NAME, **fields)


def mapping_uuid(world: World) -> str:
    return str(awslambda(world).list_event_source_mappings()["EventSourceMappings"][0]["UUID"])


def map_differently(**fields: Any) -> Callable[[World], Any]:
    return lambda world: awslambda(world).update_event_source_mapping(UUID=mapping_uuid(world), **fields)


def other_code() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cleanup/handler.py", "def handle(event, context): ...")
    return buffer.getvalue()


def second_mapping(world: World) -> None:
    [table] = snapshot.tables(world)
    awslambda(world).create_event_source_mapping(
        FunctionName=NAME, EventSourceArn=table["arn"], StartingPosition="TRIM_HORIZON",
        Tags={"humangov.io/tenant": "test-cluster/humangov/california"},
    )  # fmt: skip


def attach(world: World) -> None:
    arn = iam(world).create_policy(PolicyName="open-door", PolicyDocument=OPEN_DOOR)["Policy"]["Arn"]
    iam(world).attach_role_policy(RoleName=ROLE, PolicyArn=arn)


def group_arn(world: World) -> str:
    return f"arn:aws:logs:us-east-1:{world.account}:log-group:{GROUP}"


def function_arn(world: World) -> str:
    return f"arn:aws:lambda:us-east-1:{world.account}:function:{NAME}"


def remove_role(world: World) -> None:
    iam(world).delete_role_policy(RoleName=ROLE, PolicyName="humangov-cleanup")
    iam(world).delete_role(RoleName=ROLE)


DRIFTS = [
    Drift("the role's policy", lambda w: iam(w).put_role_policy(
        RoleName=ROLE, PolicyName="humangov-cleanup", PolicyDocument=OPEN_DOOR)),
    Drift("the role's policy removed", lambda w: iam(w).delete_role_policy(
        RoleName=ROLE, PolicyName="humangov-cleanup")),
    Drift("who may assume the role", lambda w: iam(w).update_assume_role_policy(
        RoleName=ROLE, PolicyDocument=ANYBODY)),
    Drift("a foreign inline policy", lambda w: iam(w).put_role_policy(
        RoleName=ROLE, PolicyName="foreign", PolicyDocument=OPEN_DOOR), deep=True),
    Drift("an attached managed policy", attach, deep=True),
    Drift("the role's tag stripped", lambda w: iam(w).untag_role(RoleName=ROLE, TagKeys=["team"])),
    Drift("the role removed", remove_role),
    Drift("retention", lambda w: logs(w).put_retention_policy(logGroupName=GROUP, retentionInDays=1)),
    Drift("retention removed", lambda w: logs(w).delete_retention_policy(logGroupName=GROUP)),
    Drift("the log group removed", lambda w: logs(w).delete_log_group(logGroupName=GROUP)),
    Drift("the log group's tag stripped", lambda w: logs(w).untag_resource(
        resourceArn=group_arn(w), tagKeys=["team"]), deep=True),
    Drift("the code", lambda w: awslambda(w).update_function_code(FunctionName=NAME, ZipFile=other_code())),
    Drift("memory", configure(MemorySize=128)),
    Drift("time-out", configure(Timeout=3)),
    Drift("runtime", configure(Runtime="python3.12")),
    Drift("environment", configure(Environment={"Variables": {"HUMANGOV_BUCKET": "another"}})),
    Drift("a variable added", configure(Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/x"}})),
    Drift("handler", configure(Handler="evil.handle")),
    Drift("the function's role", configure(Role="arn:aws:iam::123456789012:role/other")),
    Drift("layers", configure(Layers=["arn:aws:lambda:us-east-1:123456789012:layer:evil:1"])),
    Drift("description", configure(Description="mine")),
    Drift("where it logs", configure(LoggingConfig={"LogGroup": "/elsewhere", "LogFormat": "Text"})),
    Drift("concurrency", lambda w: awslambda(w).put_function_concurrency(
        FunctionName=NAME, ReservedConcurrentExecutions=1)),
    Drift("the function's tag stripped", lambda w: awslambda(w).untag_resource(
        Resource=function_arn(w), TagKeys=["team"])),
    Drift("the function removed", lambda w: awslambda(w).delete_function(FunctionName=NAME)),
    Drift("the trigger off", map_differently(Enabled=False)),
    Drift("batch size", map_differently(BatchSize=1)),
    Drift("batching window", map_differently(MaximumBatchingWindowInSeconds=9)),
    Drift("parallelization", map_differently(ParallelizationFactor=5)),
    Drift("retries", map_differently(MaximumRetryAttempts=-1)),
    Drift("record age", map_differently(MaximumRecordAgeInSeconds=-1)),
    Drift("bisecting", map_differently(BisectBatchOnFunctionError=False)),
    Drift("partial batches", map_differently(FunctionResponseTypes=[])),
    Drift("filters cleared", map_differently(FilterCriteria={})),
    Drift("filters", map_differently(FilterCriteria={"Filters": [{"Pattern": '{"eventName":["INSERT"]}'}]})),
    Drift("the trigger removed", lambda w: awslambda(w).delete_event_source_mapping(UUID=mapping_uuid(w))),
    Drift("the trigger's tag stripped", lambda w: awslambda(w).untag_resource(
        Resource=snapshot.mapping_arn(w, mapping_uuid(w)), TagKeys=["team"]), deep=True),
    Drift("a second mapping", second_mapping, deep=True),
]  # fmt: skip
SHALLOW = [drift for drift in DRIFTS if not drift.deep]
DEEP = [drift for drift in DRIFTS if drift.deep]


def named(drift: Drift) -> str:
    return drift.what.replace(" ", "-")


def drifted(world: World, drift: Drift) -> tuple[str, dict[str, Any]]:
    """A settled tenant whose next passes are shallow ones, changed by hand."""
    key = world.provisioned(tags={"team": "records"})
    assert world.operator.store.memory(key).passes % 6 in (1, 2, 3)
    before = snapshot.snapshot(world)
    drift.by_hand(world)
    assert snapshot.snapshot(world) != before, "the drift does not show: nothing would be proven"
    return key, before


def assert_settled_again(world: World, key: str) -> None:
    world.settle(key)
    assert world.event_reasons().count("DriftRepaired") == 1, world.kube.events
    assert world.ready(key).startswith("True UpToDate")
    world.line.forget()
    world.one_pass(key)
    assert world.line.writes() + world.line.kube_writes() == []


@pytest.mark.parametrize("drift", SHALLOW, ids=named)
def test_a_drift_is_repaired_in_one_pass_and_told_once(world: World, drift: Drift) -> None:
    key, before = drifted(world, drift)
    world.one_pass(key)
    assert snapshot.snapshot(world) == before
    assert_settled_again(world, key)


@pytest.mark.parametrize("drift", DEEP, ids=named)
def test_a_hidden_drift_is_repaired_by_the_sixth_pass(world: World, drift: Drift) -> None:
    key, before = drifted(world, drift)
    for _ in range(6):
        world.one_pass(key)
    assert snapshot.snapshot(world) == before
    assert_settled_again(world, key)


@pytest.mark.parametrize("drift", DEEP, ids=named)
def test_a_hidden_drift_is_repaired_at_once_when_a_person_asks(world: World, drift: Drift) -> None:
    key, before = drifted(world, drift)

    def ask(resource: dict[str, Any]) -> None:
        resource["metadata"].setdefault("annotations", {})[RECONCILE_ANNOTATION] = "now"

    world.kube.edit(key, ask)
    world.one_pass(key)
    assert snapshot.snapshot(world) == before
    assert world.status(key)["lastHandledReconcile"] == "now"
    assert_settled_again(world, key)


def test_a_stream_switched_off_is_switched_on_and_read_again_while_the_old_trigger_stays_a_day(world: World) -> None:
    key = world.provisioned()
    [old] = snapshot.mappings(world)
    dynamodb = world.sdk.client("dynamodb")
    dynamodb.update_table(TableName="humangov-california-dynamodb", StreamSpecification={"StreamEnabled": False})
    world.settle(key)
    [table] = snapshot.tables(world)
    assert table["stream"]["StreamEnabled"] is True
    assert table["tags"]["humangov.io/stream"] == table["arn"].rsplit("/", 1)[1]
    sources = {mapping["EventSourceArn"] for mapping in snapshot.mappings(world)}
    assert sources == {old["EventSourceArn"], table["arn"]}
    assert old["EventSourceArn"] != table["arn"]
    world.clock.forward(23 * 3600)
    world.settle(key)
    assert len(snapshot.mappings(world)) == 2
    world.clock.forward(2 * 3600)
    world.settle(key)
    assert [mapping["EventSourceArn"] for mapping in snapshot.mappings(world)] == [table["arn"]]
    world.line.forget()
    world.one_pass(key)
    assert world.line.writes() == []


def test_the_owners_tag_stripped_from_the_table_is_not_written_again_and_the_stream_is_then_not_ours(
    world: World,
) -> None:
    key = world.provisioned()
    [table] = snapshot.tables(world)
    world.sdk.client("dynamodb").untag_resource(ResourceArn=table["arn"].split("/stream/")[0], TagKeys=[
        "humangov.io/tenant", "humangov.io/stream", "humangov.io/stream-enabling",
    ])  # fmt: skip
    for _ in range(7):
        world.one_pass(key)
    assert world.line.writes() == []
    assert world.ready(key).startswith("True")


def test_suspended_drift_is_told_and_left(world: World) -> None:
    key = world.provisioned()
    world.kube.edit(key, lambda resource: resource["spec"].update(suspend=True))
    world.settle(key)
    assert world.ready(key).startswith("True Suspended")
    configure(Timeout=3)(world)
    before = snapshot.snapshot(world)
    world.line.forget()
    for _ in range(7):
        world.one_pass(key)
    assert world.line.writes() == []
    assert snapshot.snapshot(world) == before
    assert "suspended: not done is" in world.ready(key)
    world.kube.edit(key, lambda resource: resource["spec"].update(suspend=False))
    world.settle(key)
    assert snapshot.functions(world)[0]["Timeout"] == 300


def test_a_passing_failure_of_a_settled_tenant_does_not_flap_its_conditions(world: World) -> None:
    key = world.provisioned()
    before = world.status(key)
    for action in ("iam:GetRole", "lambda:GetFunction", "dynamodb:DescribeTable", "logs:DescribeLogGroups"):
        world.line.faults = [Fault(on(action), error=throttled(), times=1)]
        outcome = world.one_pass(key)
        assert outcome.failed
        assert outcome.soon
        assert world.status(key) == before
    assert world.line.writes() + world.line.kube_writes() == []


def test_a_failure_that_lasts_is_shown_and_recovers_by_itself(world: World) -> None:
    key = world.provisioned()
    world.line.faults = [Fault(on("iam:GetRole"), error=throttled())]
    for _ in range(5):
        world.one_pass(key)
        world.clock.forward(60)
    assert world.ready(key).startswith("Unknown Retrying")
    assert "iam:GetRole" in world.ready(key)
    told = len(world.kube.events)
    world.one_pass(key)
    assert len(world.kube.events) == told, "told once"
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True")
