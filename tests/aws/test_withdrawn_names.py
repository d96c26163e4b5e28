"""A namespace loses names that it was allowed: the tenant is stopped at once, by every component, and can be deleted.

And who was never allowed changes nothing: neither for leak detection nor for the monitors.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames
from humangov.kube.client import KubeError
from humangov.manager import leak_monitor, stream_lag_monitor
from humangov.manager.leak_monitor import LeakCheck

from testing.reconciler.drifts import NAME, awslambda
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import throttled
from testing.reconciler.world import World

OTHERS = AllowedNames.parse({"other": {"tables": ["*"], "buckets": ["*"]}})


def allow(world: World, allowed: AllowedNames) -> None:
    """The operator's administrator changes --allowed-names, and the operator starts again."""
    world.settings = replace(world.settings, allowed=allowed)
    world.restart_operator()


def mapping_states(world: World) -> list[str]:
    return [one["State"] for one in awslambda(world).list_event_source_mappings()["EventSourceMappings"]]


def concurrency(world: World) -> Any:
    return awslambda(world).get_function_concurrency(FunctionName=NAME).get("ReservedConcurrentExecutions")


def test_tenant_whose_names_are_not_allowed_any_more_is_stopped_at_once_and_says_so(world: World) -> None:
    key, before = world.provisioned(), world.settings.allowed
    allow(world, OTHERS)
    world.reconcile_once(key)
    assert mapping_states(world) == ["Disabled"]
    assert concurrency(world) == 0
    assert world.ready(key).startswith("False NotAllowed")
    assert world.condition(key, "Stopped")["status"] == "True"
    assert "administrator" in world.condition(key, "Stopped")["message"]
    assert "humangov start" not in world.condition(key, "Stopped")["message"]

    allow(world, before)
    world.settle(key)
    assert mapping_states(world) == ["Enabled"]
    assert concurrency(world) is None
    assert world.ready(key).startswith("True InSync")


def test_tenant_whose_names_are_not_allowed_any_more_can_be_deleted_with_what_it_owns(world: World) -> None:
    key = world.provisioned()
    allow(world, OTHERS)
    world.reconcile_once(key)
    world.delete(key)
    world.settle(key)
    assert key not in world.kube.objects
    assert world.remains() == []


def test_tenant_that_was_never_allowed_leads_to_no_call(world: World) -> None:
    allow(world, OTHERS)
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.reconcile_once(key)
    assert world.ready(key).startswith("False NotAllowed")
    assert world.line.writes() == []


def test_region_of_a_tenant_that_is_not_allowed_does_not_blind_leak_detection(world: World) -> None:
    world.provisioned()
    evil = world.manifest("evil", region="aa-evil-1")
    evil["metadata"]["namespace"] = "elsewhere"
    world.reconcile_once(world.apply(evil))
    assert leak_monitor.regions(world.operator) == ["us-east-1"]


def test_region_that_cannot_be_read_hides_no_leak_of_another(world: World) -> None:
    key = world.provisioned()
    tenant = world.operator.store.tenants()[0]
    here = world.process.clients_for(tenant)
    far = world.apply(world.manifest("far", region="eu-west-1"))
    world.operator.store.put(world.kube.objects[far])
    world.kube.objects.pop(key)
    world.operator.store.drop(key, uid=tenant.uid)
    asked: list[str] = []

    def of_region(region: str) -> Any:
        asked.append(region)
        if region == "eu-west-1":
            raise KubeError("listing", status=500, reason="unavailable")
        return here

    async def no_pause() -> None:
        return None

    async def living(_: Any) -> list[Any]:
        return list(world.kube.objects.values())

    found = asyncio.run(
        leak_monitor.check(world.operator, LeakCheck(), of_region=of_region, list_states=living, pause=no_pause)
    )
    assert asked == ["eu-west-1", "us-east-1"]
    assert found.leaked_tenants is None, "one region is unknown"
    assert found.announced == {key}


def test_monitors_ask_for_no_tenant_that_is_not_allowed_any_more(world: World) -> None:
    world.provisioned()
    assert len(list(stream_lag_monitor.by_clients(world.operator))) == 1
    world.settings = replace(world.settings, allowed=OTHERS)
    operator = replace(world.operator, settings=world.settings)
    assert list(stream_lag_monitor.by_clients(operator)) == []


def test_deletion_of_a_withdrawn_tenant_does_not_say_that_it_waits(world: World) -> None:
    key = world.provisioned()
    allow(world, OTHERS)
    world.reconcile_once(key)
    world.delete(key)
    world.line.faults.append(Fault(on("lambda:DeleteFunction"), error=throttled()))
    world.reconcile_once(key)
    assert "deletion waits" not in world.condition(key, "Stopped")["message"]
    assert world.condition(key, "Stalled")["status"] == "False"


def test_withdrawn_tenant_stays_stopped_although_its_spec_becomes_invalid(world: World) -> None:
    key = world.provisioned()
    allow(world, OTHERS)
    world.reconcile_once(key)
    world.kube.edit(key, lambda one: one["spec"].update(trigger="nonsense"))
    world.reconcile_once(key)
    assert world.condition(key, "Stopped")["status"] == "True"
    awslambda(world).delete_function_concurrency(FunctionName=NAME)
    world.reconcile_once(key)
    assert concurrency(world) == 0


@pytest.mark.parametrize(
    "spec", [{"adoption": "IfUntagged"}, {"failures": {"bucket": "not-ours"}}], ids=["adoption", "failures"]
)
def test_edit_that_is_not_allowed_is_refused_and_stops_nothing(world: World, spec: dict[str, Any]) -> None:
    key = world.provisioned()
    narrow = {"tables": ["humangov-*"], "buckets": ["humangov-*"]}
    allow(world, AllowedNames.parse({"humangov": narrow}))
    world.kube.edit(key, lambda one: one["spec"].update(spec))
    world.reconcile_once(key)
    assert world.ready(key).startswith("False NotAllowed")
    assert mapping_states(world) == ["Enabled"]
    assert concurrency(world) is None
