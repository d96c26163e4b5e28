"""Whatever people change by hand on what the operator owns is corrected, reported once, and in sync again.

With bulk reads and without them. Runs on MiniStack, which accepts a second mapping of one stream and function where AWS
refuses it, and applies every change at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from humangov.api.spec import RECONCILE_ANNOTATION
from humangov.reconcile.context import PATIENCE_SECONDS

from testing.reconciler import snapshot
from testing.reconciler.drifts import DRIFTS, NAME, Drift, awslambda, configure
from testing.reconciler.line import Fault, on
from testing.reconciler.process import RESYNC_SECONDS
from testing.reconciler.sdk import error, throttled
from testing.reconciler.world import World
from tests.aws.test_identifying_drift import open_ways_in, policy_of

SHALLOW = [drift for drift in DRIFTS if not drift.deep and drift.what != "the role removed"]
DEEP = [drift for drift in DRIFTS if drift.deep]


@pytest.fixture(params=[False, True], ids=["single", "bulk"])
def world(worlds: Callable[..., World], request: pytest.FixtureRequest) -> Iterator[World]:
    made = worlds(bulk_reads=request.param)
    yield made
    assert made.faults_never_met() == []


@pytest.fixture
def alone(worlds: Callable[..., World]) -> Iterator[World]:
    """A world without bulk reads: all that is read, is read singly."""
    made = worlds()
    yield made
    assert made.faults_never_met() == []


def named(drift: Drift) -> str:
    return drift.what.replace(" ", "-")


def drifted(world: World, drift: Drift) -> tuple[str, dict[str, Any]]:
    """A tenant in sync that has just been read in full, changed by hand."""
    key = world.provisioned(tags={"team": "records"})
    for number in range(12):
        if number >= 3 and world.operator.store.memory(key).reconciler.reading is not None:
            break
        world.reconcile_once(key)
    assert world.operator.store.memory(key).reconciler.reading is not None
    world.line.forget()
    before = snapshot.snapshot(world)
    drift.by_hand(world)
    assert snapshot.snapshot(world) != before, "the drift does not show: nothing would be proven"
    return key, before


def assert_settled_again(world: World, key: str) -> None:
    world.settle(key)
    assert world.event_reasons().count("DriftCorrected") == 1, world.kube.events
    assert world.ready(key).startswith("True InSync")
    world.line.forget()
    world.reconcile_once(key)
    assert world.line.writes() + world.line.kube_writes() == []


@pytest.mark.parametrize("drift", SHALLOW, ids=named)
def test_drift_is_corrected_in_one_reconciliation_with_one_event(world: World, drift: Drift) -> None:
    key, before = drifted(world, drift)
    if world.bulk_reads and drift.unlisted:
        pass_an_hour(world, key)
    world.reconcile_once(key)
    assert snapshot.snapshot(world) == before
    assert_settled_again(world, key)


TAKEN_AT_ONCE = (
    "a VPC", "a dead-letter queue", "a key of the function", "a file system", "tracing", "ephemeral storage", "layers",
    "a variable added", "the function's role", "the code",
)  # fmt: skip


def test_function_that_somebody_took_over_in_every_way_at_once_is_as_declared_again(world: World) -> None:
    """Each alone is corrected, as above: here none keeps another from it. Who may invoke it is of the same attack."""

    def take(world: World) -> None:
        for drift in DRIFTS:
            if drift.what in TAKEN_AT_ONCE:
                drift.by_hand(world)
        open_ways_in(world)

    assert {drift.what for drift in DRIFTS} >= set(TAKEN_AT_ONCE)
    key, before = drifted(world, Drift("everything", take))
    pass_an_hour(world, key)
    world.settle(key)
    assert snapshot.snapshot(world) == before
    assert "theirs" not in policy_of(world)
    with pytest.raises(awslambda(world).exceptions.ResourceNotFoundException):
        awslambda(world).get_function_url_config(FunctionName=NAME)
    assert world.ready(key).startswith("True InSync")


def pass_an_hour(world: World, key: str) -> None:
    """But for the last reconciliation of it."""
    for _ in range(5):
        world.clock.forward(RESYNC_SECONDS)
        world.reconcile_once(key)
    world.clock.forward(RESYNC_SECONDS)


def test_removed_role_is_created_again_and_the_function_with_it(world: World) -> None:
    [drift] = [drift for drift in DRIFTS if drift.what == "the role removed"]
    key, before = drifted(world, drift)
    world.settle(key)
    world.settle(key)
    assert snapshot.snapshot(world) == before
    assert world.ready(key).startswith("True InSync")
    world.line.forget()
    world.reconcile_once(key)
    assert world.line.writes() + world.line.kube_writes() == []


@pytest.mark.parametrize("drift", DEEP, ids=named)
def test_drift_in_rarely_read_fields_is_corrected_within_the_hour(world: World, drift: Drift) -> None:
    key, before = drifted(world, drift)
    pass_an_hour(world, key)
    world.reconcile_once(key)
    assert snapshot.snapshot(world) == before
    assert_settled_again(world, key)


@pytest.mark.parametrize("drift", DEEP, ids=named)
def test_drift_in_rarely_read_fields_is_corrected_at_once_after_the_reconcile_annotation(
    world: World, drift: Drift
) -> None:
    key, before = drifted(world, drift)

    def ask(resource: dict[str, Any]) -> None:
        resource["metadata"].setdefault("annotations", {})[RECONCILE_ANNOTATION] = "now"

    world.kube.edit(key, ask)
    world.reconcile_once(key)
    assert snapshot.snapshot(world) == before
    assert world.status(key)["lastHandledReconcile"] == "now"
    assert_settled_again(world, key)


def test_disabled_stream_is_re_enabled_and_the_old_trigger_is_kept_for_a_day(world: World) -> None:
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
    world.reconcile_once(key)
    assert world.line.writes() == []


def test_ownership_tag_stripped_from_the_table_is_not_rewritten_and_the_stream_loses_its_owner(
    world: World,
) -> None:
    key = world.provisioned()
    [table] = snapshot.tables(world)
    world.sdk.client("dynamodb").untag_resource(ResourceArn=table["arn"].split("/stream/")[0], TagKeys=[
        "humangov.io/tenant", "humangov.io/stream", "humangov.io/stream-enabling",
    ])  # fmt: skip
    for _ in range(7):
        world.reconcile_once(key)
    assert world.line.writes() == []
    assert world.ready(key).startswith("True")


def test_suspended_tenant_reports_drift_and_does_not_correct_it(world: World) -> None:
    key = world.provisioned()
    world.kube.edit(key, lambda resource: resource["spec"].update(suspend=True))
    world.settle(key)
    assert world.ready(key).startswith("True Suspended")
    configure(Timeout=3)(world)
    before = snapshot.snapshot(world)
    world.line.forget()
    for _ in range(7):
        world.reconcile_once(key)
    assert world.line.writes() == []
    assert snapshot.snapshot(world) == before
    assert "spec.suspend is true, so the operator does not apply:" in world.ready(key)
    world.kube.edit(key, lambda resource: resource["spec"].update(suspend=False))
    world.settle(key)
    assert snapshot.functions(world)[0]["Timeout"] == 300


def test_transient_error_of_an_in_sync_tenant_does_not_flap_its_conditions(alone: World) -> None:
    world = alone
    key = world.provisioned()
    before = world.status(key)
    for action in ("iam:GetRole", "lambda:GetFunction", "dynamodb:DescribeTable", "logs:DescribeLogGroups"):
        world.line.faults = [Fault(on(action), error=throttled(), times=1)]
        outcome = world.reconcile_once(key)
        assert outcome.failed
        assert outcome.soon
        assert world.status(key) == before
    assert world.line.writes() + world.line.kube_writes() == []


def test_throttling_however_long_it_lasts_never_makes_a_settled_tenant_unready(alone: World) -> None:
    """It says nothing of the tenant; of 3,000 tenants that shared one limit, it was 908 status writes for nothing."""
    world = alone
    key = world.provisioned()
    before = world.status(key)
    for action in ("iam:GetRole", "lambda:GetFunction", "dynamodb:DescribeTable", "logs:DescribeLogGroups"):
        world.line.faults = [Fault(on(action), error=throttled())]
        for _ in range(4):
            outcome = world.reconcile_once(key)
            assert (outcome.failed, outcome.soon, outcome.throttled) == (True, True, True)
            world.clock.forward(PATIENCE_SECONDS)
    assert world.status(key) == before
    assert world.line.writes() + world.line.kube_writes() == []
    world.line.faults = [Fault(on("iam:GetRole"), error=error("InternalFailure", "?", status=500))]
    world.reconcile_once(key)
    assert world.status(key) == before, "two minutes of errors begin with the first that is no throttling"
    world.clock.forward(PATIENCE_SECONDS)
    world.reconcile_once(key)
    assert world.ready(key).startswith("Unknown TransientError")


def test_throttling_of_a_tenant_that_is_not_settled_is_shown(alone: World) -> None:
    world = alone
    key = world.provisioned()
    world.line.faults = [Fault(on("lambda:GetFunction"), error=throttled())]
    world.kube.edit(key, lambda resource: resource["spec"].update(function={"memoryMiB": 1024}))
    assert not world.reconcile_once(key).throttled
    assert world.ready(key).startswith("Unknown TransientError")


def test_lasting_error_is_shown_in_conditions_and_recovers_automatically(alone: World) -> None:
    world = alone
    key = world.provisioned()
    world.line.faults = [Fault(on("iam:GetRole"), error=error("InternalFailure", "?", status=500))]
    for _ in range(5):
        world.reconcile_once(key)
        world.clock.forward(60)
    assert world.ready(key).startswith("Unknown TransientError")
    assert "iam:GetRole" in world.ready(key)
    reported = len(world.kube.events)
    world.reconcile_once(key)
    assert len(world.kube.events) == reported, "told once"
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True")
