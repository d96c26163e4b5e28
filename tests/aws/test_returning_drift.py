"""A correction that is undone again and again: shown with both values, and made ever more seldom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from humangov.aws.change import Change
from humangov.reconcile.cache import Correction
from humangov.reconcile.decide import Decision
from humangov.reconcile.returning_drift import OFTEN, held_back, recorded
from hypothesis import given
from hypothesis import strategies as st

from testing.reconciler.drifts import NAME, awslambda
from testing.reconciler.world import World
from testing.samples import NOW

MINUTE = 60.0
UPDATE = "lambda:UpdateFunctionConfiguration"


def set_memory(world: World, mib: int) -> None:
    awslambda(world).update_function_configuration(FunctionName=NAME, MemorySize=mib)


def memory_of(world: World) -> int:
    return int(awslambda(world).get_function_configuration(FunctionName=NAME)["MemorySize"])


def annotate(world: World, key: str, annotations: dict[str, str]) -> None:
    world.kube.edit(key, lambda resource: resource["metadata"].update(annotations=annotations))


def fight(world: World, key: str, *, minutes: int, every: int) -> int:
    """Somebody sets the function's memory back after so many minutes, whenever it was corrected; how often."""
    undone = 0
    for minute in range(minutes):
        if minute % every == 0 and memory_of(world) != 1024:
            set_memory(world, 1024)
            undone += 1
        world.clock.forward(MINUTE)
        world.reconcile_once(key)
    return undone


def test_field_that_two_owners_declare_is_stalled_with_both_values_and_corrected_at_growing_intervals(
    world: World,
) -> None:
    key = world.provisioned()
    assert fight(world, key, minutes=6, every=2) == OFTEN
    fight(world, key, minutes=4, every=2)
    assert world.ready(key).startswith("False DriftReturns")
    assert "1024 → 512" in world.ready(key)
    assert "UpdateFunctionConfiguration" in world.ready(key)
    assert world.condition(key, "Stalled")["status"] == "True"
    assert fight(world, key, minutes=240, every=5) <= 6, "after 10, 20, 40, 60 minutes, and then hourly"


def test_drift_that_no_longer_returns_leaves_no_trace(world: World) -> None:
    key = world.provisioned()
    fight(world, key, minutes=10, every=2)
    assert world.ready(key).startswith("False DriftReturns")
    world.clock.forward(11 * MINUTE)
    world.settle(key)
    assert memory_of(world) == 512
    assert world.ready(key).startswith("True InSync")
    world.clock.forward(121 * MINUTE)
    set_memory(world, 1024)
    world.settle(key)
    assert memory_of(world) == 512, "a single drift is corrected at once again"


def test_another_generation_is_corrected_at_once(world: World) -> None:
    key = world.provisioned()
    fight(world, key, minutes=10, every=2)
    world.kube.edit(key, lambda resource: resource["spec"].update(function={"memoryMiB": 256}))
    world.settle(key)
    assert memory_of(world) == 256


def test_stops_and_starts_are_no_drift(world: World) -> None:
    key = world.provisioned()
    for _ in range(5):
        annotate(world, key, {"humangov.io/stop": "a drill"})
        world.settle(key)
        annotate(world, key, {})
        world.settle(key)
    assert world.ready(key).startswith("True InSync")


def test_stream_that_is_disabled_again_and_again_is_stalled_and_each_time_a_warning(world: World) -> None:
    key = world.provisioned()
    table = world.sdk.client("dynamodb")
    for _ in range(OFTEN):
        table.update_table(TableName="humangov-california-dynamodb", StreamSpecification={"StreamEnabled": False})
        world.clock.forward(MINUTE)
        world.settle(key)
    warnings = [event for event in world.kube.events if event.kind == "Warning"]
    first, *others = [event.reason for event in warnings]
    assert [first, *others] == ["RecordsLost", *["StreamWasDisabled"] * OFTEN], "the loss is one; its span grows"
    assert "until a sweep finds them" in warnings[0].message
    table.update_table(TableName="humangov-california-dynamodb", StreamSpecification={"StreamEnabled": False})
    world.reconcile_once(key)
    assert world.ready(key).startswith("False DriftReturns")


def change(*fields: str, opened: bool = False) -> Change:
    return Change(
        resource="function", action=UPDATE, target=NAME, summary="memory 1 → 2",
        parameters=dict.fromkeys(fields, 1), opened=opened,
    )  # fmt: skip


def decision(*changes: Change) -> Decision:
    return Decision(in_sync=False, changes={"FunctionReady": changes}, findings={}, blocked=False)


@given(gaps=st.lists(st.integers(min_value=1, max_value=200), max_size=30), after=st.integers(0, 200))
def test_correction_of_drift_is_delayed_only_after_three_within_an_hour_and_by_an_hour_at_most(
    gaps: list[int], after: int
) -> None:
    made: tuple[Correction, ...] = ()
    now = NOW
    for gap in gaps:
        now += timedelta(minutes=gap)
        made = recorded(made, [change("MemorySize")], generation=1, now=now)
    later = now + timedelta(minutes=after)
    found = held_back(decision(change("MemorySize")), made, generation=1, now=later)
    times = [one.at for one in made]
    often = any(third - first <= timedelta(hours=1) for first, third in zip(times, times[2:], strict=False))
    assert not found.put_off or (often and after < 60)
    assert found.put_off or not often or after >= 10
    assert not held_back(decision(change("Timeout")), made, generation=1, now=later).put_off, "another field"
    assert not held_back(decision(change("MemorySize", opened=True)), made, generation=1, now=later).put_off
    assert not held_back(decision(change("MemorySize")), made, generation=2, now=later).put_off


def test_way_in_is_closed_although_other_corrections_are_put_off(world: World) -> None:
    key = world.provisioned()
    fight(world, key, minutes=10, every=2)
    assert world.ready(key).startswith("False DriftReturns")
    set_memory(world, 1024)
    world.line.forget()
    awslambda(world).add_permission(
        FunctionName=NAME, StatementId="x", Action="lambda:InvokeFunction", Principal="123456789012"
    )
    world.clock.forward(MINUTE)
    world.reconcile_once(key)
    assert world.line.writes() == ["lambda:RemovePermission"]
    assert memory_of(world) == 1024, "that is put off"
    assert world.ready(key).startswith("False DriftReturns")


@pytest.mark.parametrize("parameters", [{"Enabled": False}, {"ReservedConcurrentExecutions": 0}])
def test_correction_of_drift_that_ends_invocations_is_never_delayed(parameters: dict[str, Any]) -> None:
    stops = Change(resource="trigger", action=UPDATE, target="t", summary="", parameters=parameters)
    made = tuple(Correction(what=stops.what, generation=1, at=NOW) for _ in range(9))
    assert not held_back(decision(stops), made, generation=1, now=NOW).put_off
