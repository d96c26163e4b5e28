"""Whatever people change by hand on what the operator owns is corrected, reported once, and in sync again.

Runs on MiniStack, which accepts a second mapping of one stream and function where AWS refuses it, and applies every
change at once.
"""

from __future__ import annotations

from typing import Any

import pytest
from humangov.api.spec import RECONCILE_ANNOTATION

from testing.reconciler import snapshot
from testing.reconciler.drifts import DRIFTS, Drift, configure
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import throttled
from testing.reconciler.world import World

SHALLOW = [drift for drift in DRIFTS if not drift.deep]
DEEP = [drift for drift in DRIFTS if drift.deep]


def named(drift: Drift) -> str:
    return drift.what.replace(" ", "-")


def drifted(world: World, drift: Drift) -> tuple[str, dict[str, Any]]:
    """A tenant in sync whose next reconciliations are shallow ones, changed by hand."""
    key = world.provisioned(tags={"team": "records"})
    assert world.operator.store.memory(key).reconciler.reconciliations % 6 in (1, 2, 3)
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
    world.reconcile_once(key)
    assert snapshot.snapshot(world) == before
    assert_settled_again(world, key)


@pytest.mark.parametrize("drift", DEEP, ids=named)
def test_drift_in_rarely_read_fields_is_corrected_by_the_sixth_reconciliation(world: World, drift: Drift) -> None:
    key, before = drifted(world, drift)
    for _ in range(6):
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


def test_transient_error_of_an_in_sync_tenant_does_not_flap_its_conditions(world: World) -> None:
    key = world.provisioned()
    before = world.status(key)
    for action in ("iam:GetRole", "lambda:GetFunction", "dynamodb:DescribeTable", "logs:DescribeLogGroups"):
        world.line.faults = [Fault(on(action), error=throttled(), times=1)]
        outcome = world.reconcile_once(key)
        assert outcome.failed
        assert outcome.soon
        assert world.status(key) == before
    assert world.line.writes() + world.line.kube_writes() == []


def test_lasting_error_is_shown_in_conditions_and_recovers_automatically(world: World) -> None:
    key = world.provisioned()
    world.line.faults = [Fault(on("iam:GetRole"), error=throttled())]
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
