"""An upgrade's code for the function: given by stages, told as what it is, and taken back where it fails.

The record in the cluster is a ConfigMap in memory; that the real API server keeps it is shown in tests/e2e.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from humangov.bundle import Bundle, archive
from humangov.kube.client import KubeError
from humangov.manager import code_rollout_monitor
from humangov.manager.code_rollout_monitor import RolloutCheck
from humangov.reconcile.code_rollout import Pace, Stage

from testing.reconciler.drifts import NAME, awslambda
from testing.reconciler.line import Fault, on
from testing.reconciler.world import World

MINUTE = 60.0


def other_code(text: str) -> Bundle:
    """A version of the function whose batches fail."""
    content = archive({"cleanup/__init__.py": b"", "cleanup/handler.py": f"raise RuntimeError({text!r})\n".encode()})
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Bundle(zip=content, code_sha256=digest, handler="cleanup.handler.handle")


class Record:
    """The ConfigMap, or none. refuses: the API server refuses to write it."""

    def __init__(self) -> None:
        self.data: Mapping[str, str] | None = None
        self.refuses = False

    async def read_config_map(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        assert (namespace, name) == ("humangov", "humangov-code-rollout")
        return {"data": self.data} if self.data is not None else None

    async def apply_config_map(
        self, _namespace: str, _name: str, data: Mapping[str, str], *, field_manager: str
    ) -> None:  # fmt: skip
        if self.refuses:
            raise KubeError("writing ConfigMap humangov/humangov-code-rollout", status=403, reason="forbidden")
        self.data = dict(data)


class Monitor:
    """The operator's monitor of one process after the other."""

    def __init__(self, world: World) -> None:
        self.world, self.record, self.checked = world, Record(), RolloutCheck()
        world.settings = replace(world.settings, code_rollout=Pace())

    def start(self, bundle: Bundle) -> None:
        """An operator of that version starts."""
        world = self.world
        world.bundle, self.checked = bundle, RolloutCheck()
        world.restart_operator()
        kube: Any = self.record
        world.operator.store.code_rollout = asyncio.run(code_rollout_monitor.load(world.operator, kube))
        for key, resource in world.kube.objects.items():
            world.operator.store.put(resource)
            self.reconcile(key)
        self.check()

    def check(self) -> None:
        """Its turn, and the reconciliations that it asks for."""
        asked: list[str] = []

        async def ask(key: str) -> None:
            asked.append(key)

        kube: Any = self.record
        found = code_rollout_monitor.check(
            self.world.operator, kube, self.checked, ask_for_reconcile=ask, ask_to_look=ask
        )  # fmt: skip
        self.checked = asyncio.run(found)
        for key in asked:
            self.reconcile(key)

    def reconcile(self, key: str) -> None:
        """As far as it comes within seconds."""
        for _ in range(4):
            self.world.reconcile_once(key)
            self.world.clock.forward(0.7)

    def turns(self, number: int) -> None:
        for _ in range(number):
            self.world.clock.forward(10.0)
            self.check()

    def stage(self) -> Stage:
        rollout = self.world.operator.store.code_rollout
        assert rollout is not None
        return rollout.stage


@pytest.fixture
def monitor(world: World) -> Monitor:
    monitor = Monitor(world)
    monitor.start(world.bundle)
    world.provisioned()
    monitor.check()
    assert monitor.stage() is Stage.SETTLED
    assert monitor.record.data is not None
    return monitor


def code_of_function(world: World) -> str:
    return str(awslambda(world).get_function_configuration(FunctionName=NAME)["CodeSha256"])


def fails(world: World) -> None:
    """Lambda says of its last attempt that the function failed, from now on."""

    def said(answer: Any) -> Any:
        for mapping in answer["EventSourceMappings"]:
            mapping["LastProcessingResult"] = "PROBLEM: Function call failed"
        return answer

    world.line.faults = [Fault(on("lambda:ListEventSourceMappings"), alter=said)]


def test_code_of_an_upgrade_that_works_is_an_update_and_no_drift(world: World, monitor: Monitor) -> None:
    new = other_code("new")
    former = code_of_function(world)
    monitor.start(new)
    assert code_of_function(world) == former, "the process has just begun"
    monitor.turns(3)
    assert code_of_function(world) == new.code_sha256
    assert world.event_reasons() == ["CodeUpdated"]
    monitor.turns(65)
    assert monitor.stage() is Stage.ALL, "there is one tenant: no share of others"
    monitor.turns(65)
    assert monitor.stage() is Stage.SETTLED


def test_new_code_whose_batches_fail_is_rolled_back_and_stays_so_after_a_restart(
    world: World, monitor: Monitor
) -> None:
    former, new = world.bundle, other_code("broken")
    monitor.start(new)
    monitor.turns(3)
    assert code_of_function(world) == new.code_sha256
    fails(world)
    monitor.turns(6)
    assert monitor.stage() is Stage.STOPPED
    assert code_of_function(world) == former.code_sha256
    assert world.event_reasons() == ["CodeUpdated", "CodeRolloutStopped", "CodeUpdated"]
    stopped = next(event for event in world.kube.events if event.reason == "CodeRolloutStopped")
    assert stopped.kind == "Warning"
    monitor.start(new)
    monitor.turns(70)
    assert code_of_function(world) == former.code_sha256


def test_rollback_is_not_put_off_as_drift_that_returns(world: World, monitor: Monitor) -> None:
    former = world.bundle
    for number in range(4):
        monitor.start(other_code(f"version {number}"))
        monitor.turns(3)
        monitor.start(former)
        assert code_of_function(world) == former.code_sha256
    assert world.ready("humangov/california").startswith("True")


def test_code_that_somebody_else_uploaded_is_still_drift(world: World, monitor: Monitor) -> None:
    awslambda(world).update_function_code(FunctionName=NAME, ZipFile=other_code("foreign").zip)
    world.settle("humangov/california")
    assert code_of_function(world) == world.bundle.code_sha256
    assert world.event_reasons() == ["DriftCorrected"]


def test_step_that_cannot_be_recorded_does_not_take_effect(
    world: World, monitor: Monitor, caplog: pytest.LogCaptureFixture
) -> None:
    former, new = code_of_function(world), other_code("new")
    monitor.start(new)
    monitor.record.refuses = True
    monitor.turns(20)
    assert code_of_function(world) == former
    assert [line for line in caplog.messages if "can't go on until it is written" in line][1:] == [], "it is said once"
    monitor.record.refuses = False
    monitor.turns(3)
    assert code_of_function(world) == new.code_sha256


def test_stop_that_a_person_writes_counts_although_a_step_could_not_be_recorded(world: World, monitor: Monitor) -> None:
    monitor.start(other_code("new"))
    monitor.record.refuses = True
    while monitor.checked.recorded:
        monitor.turns(1)
    assert monitor.record.data is not None
    monitor.record.data = {**monitor.record.data, "stage": "Stopped"}
    monitor.record.refuses = False
    monitor.turns(3)
    assert monitor.stage() is Stage.STOPPED
    assert monitor.record.data["stage"] == "Stopped"


def test_record_that_was_deleted_is_written_again(world: World, monitor: Monitor) -> None:
    monitor.start(other_code("new"))
    monitor.turns(3)
    before, monitor.record.data = monitor.record.data, None
    monitor.turns(1)
    assert monitor.record.data == before


def test_function_that_lambda_cannot_set_up_with_the_code_takes_it_back(world: World, monitor: Monitor) -> None:
    former, new = world.bundle, other_code("broken")
    monitor.start(new)
    monitor.turns(3)

    def failed(answer: Any) -> Any:
        if answer["Configuration"]["CodeSha256"] == new.code_sha256:
            answer["Configuration"] |= {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "no such handler"}
        return answer

    world.line.faults = [Fault(on("lambda:GetFunction"), alter=failed)]
    monitor.turns(6)
    assert monitor.stage() is Stage.STOPPED
    assert code_of_function(world) == former.code_sha256


def test_person_gives_stopped_code_another_try(world: World, monitor: Monitor) -> None:
    new = other_code("new")
    monitor.start(new)
    monitor.turns(3)
    fails(world)
    monitor.turns(6)
    assert monitor.stage() is Stage.STOPPED
    world.line.faults = []
    assert monitor.record.data is not None
    monitor.record.data = {**monitor.record.data, "stage": "First"}
    monitor.turns(4)
    assert code_of_function(world) == new.code_sha256
    monitor.turns(135)
    assert monitor.stage() is Stage.SETTLED


def test_code_rollout_that_is_disabled_gives_the_code_to_all_at_once(world: World, monitor: Monitor) -> None:
    new = other_code("new")
    world.settings = replace(world.settings, code_rollout=None)
    monitor.start(new)
    assert code_of_function(world) == new.code_sha256
