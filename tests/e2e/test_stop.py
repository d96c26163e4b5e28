"""`humangov stop` and `start`, as a person types them: within seconds nothing is erased, and later nothing is lost.

On the real API server, the emulated AWS (MiniStack) and the operator as a process. MiniStack's trigger does not ask
for a reserved concurrency: that the trigger is disabled is what stops it here.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from testing.live.cluster import Cluster
from testing.live.command import run_humangov
from testing.live.states import condition
from testing.live.waiting import wait_for
from tests.conftest import Print, World

Humangov = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def humangov(cluster: Cluster) -> Humangov:
    """The CLI, with an administrator's rights and no credentials of AWS."""
    return partial(run_humangov, environment=cluster.sandbox.environment())


@pytest.fixture
def ready(world: World) -> World:
    world.account.employ(world.state, "employee-1", pdf="1.pdf")
    world.states.apply(world.states.manifest(world.state, **world.account.spec(world.state)))
    world.states.wait_ready(world.state)
    return world


def reserved(world: World) -> int | None:
    found = world.account.client("lambda").get_function(FunctionName=f"humangov-{world.state}-delete-file")
    concurrency: int | None = found.get("Concurrency", {}).get("ReservedConcurrentExecutions")
    return concurrency


def mapping(world: World) -> dict[str, Any]:
    [found] = [one for one in world.account.mappings() if world.state in one["FunctionArn"]]
    return found


def is_stopped(world: World) -> bool:
    return reserved(world) == 0 and mapping(world)["State"] == "Disabled"


def test_a_stop_is_confirmed_and_after_the_start_what_was_deleted_meanwhile_is_erased(
    ready: World, humangov: Humangov
) -> None:
    states, account, state = ready.states, ready.account, ready.state
    done = humangov("stop", "-n", states.namespace, state, "-m", "a wrong import")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{states.namespace}/{state}: Stopped since ")
    assert "a wrong import (" in done.stdout
    assert "Invocations that had begun may run until" in done.stdout
    assert is_stopped(ready)
    shown = states.cluster.output("get", "humangovstate", "-n", states.namespace, state)
    assert shown.splitlines()[1].split()[:4] == [state, "False", "Stopped", "True"]
    account.dismiss(state, "employee-1")
    states.reconcile(state, "1")
    assert account.files(state) == {"1.pdf"}

    started = humangov("start", "-n", states.namespace, state)
    assert started.returncode == 0, started.stdout + started.stderr
    states.wait_ready(state)
    assert (reserved(ready), mapping(ready)["State"]) == (None, "Enabled")
    wait_for(lambda: not account.has_file(state, "1.pdf"), what="what was deleted while stopped is erased")
    reasons = [event["reason"] for event in states.events(state)]
    assert "Started" in reasons
    assert "DriftCorrected" not in reasons


def test_a_stop_works_within_five_seconds_of_the_annotation(ready: World, measured: Print) -> None:
    began = time.monotonic()
    ready.states.annotate(ready.state, stop="by hand")
    wait_for(lambda: is_stopped(ready), what="it is stopped", seconds=5)
    measured(f"annotation → stopped in AWS: {(time.monotonic() - began) * 1000:.0f} ms")


def test_the_stop_of_all_works_within_five_seconds_and_ends(ready: World, humangov: Humangov, measured: Print) -> None:
    where = ("--all", "--operator-namespace", ready.states.namespace, "--wait", "0")
    try:
        humangov("stop", *where, "-m", "audit")
        began = time.monotonic()
        wait_for(lambda: is_stopped(ready), what="it is stopped", seconds=5)
        measured(f"stop of all → stopped in AWS: {(time.monotonic() - began) * 1000:.0f} ms")
        told = wait_for(lambda: condition(ready.states.get(ready.state), "Stopped"), what="it is told")
        assert f"ConfigMap {ready.states.namespace}/humangov-stop" in told["message"]
    finally:
        humangov("start", *where)
    ready.states.wait_ready(ready.state)
    assert (reserved(ready), mapping(ready)["State"]) == (None, "Enabled")


def test_redrive_of_a_stopped_tenant_erases_nothing_and_says_why(ready: World, humangov: Humangov) -> None:
    states, state = ready.states, ready.state
    humangov("stop", f"{states.namespace}/{state}", "-m", "a wrong import")
    environment = {**states.cluster.sandbox.environment(), **ready.account.environment}
    done = run_humangov("redrive", "-n", states.namespace, state, environment=environment)
    assert done.returncode == 1
    assert f"{state}: nothing is erased: the HumanGovState is stopped" in done.stderr
    assert f"humangov start {states.namespace}/{state}" in done.stderr


def test_stop_names_missing_tenants_and_stops_the_others(ready: World, humangov: Humangov) -> None:
    states, state = ready.states, ready.state
    done = humangov("stop", "-n", states.namespace, "nevada", state)
    assert done.returncode == 1
    assert done.stderr == f"{states.namespace}/nevada: there is no such HumanGovState in this cluster\n"
    assert is_stopped(ready)


def test_a_stopped_tenants_deletion_waits_until_it_is_started(ready: World, humangov: Humangov) -> None:
    states, state = ready.states, ready.state
    humangov("stop", "-n", states.namespace, state)
    states.delete(state)
    wait_for(
        lambda: "Its deletion waits" in condition(states.get(state), "Ready")["message"], what="it says that it waits"
    )
    assert is_stopped(ready)
    started = humangov("start", "-n", states.namespace, state)
    assert started.returncode == 0, started.stdout + started.stderr
    states.wait_deleted(state)
