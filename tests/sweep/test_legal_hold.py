"""A legal hold and a reached erasure limit, as sweep, redrive and final stream read obey them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.redrive.redrive import RefusedError, redrive
from humangov.sweep.run import NotNowError

from testing import samples
from testing.sweep.tenant_data import DAY
from testing.sweep.world import SweepWorld, clients
from tests.sweep.test_final_read import Streams, removal
from tests.sweep.test_stop import (
    InCluster,
    Swept,
    cluster,
    final_read,
    final_read_of,
    sweep,
    with_a_failed_invocation,
)

__all__ = ["sweep"]  # a fixture
HOLD = {"reason": "Case 26-1234"}
IN_EFFECT = {"hold": {"reason": "Case 26-1234", "since": "2026-03-01T00:00:00Z"}}
REACHED = {"erasureLimit": {"reachedAt": "2026-03-01T00:00:00Z", "limited": 7}}
DELETE = {"mode": "Delete", "maximumOrphanPercent": 100}
RECORD = "aws/lambda/uuid/shard/2026/03/01/x"


@pytest.mark.parametrize("mode", ["Detect", "Delete"])
def test_sweep_of_a_held_tenant_finds_orphans_and_erases_and_redrives_nothing(sweep: Swept, mode: str) -> None:
    world = with_a_failed_invocation(orphans=3)
    there = cluster(hold=HOLD, status=IN_EFFECT, sweep={**DELETE, "mode": mode})
    before = set(world.files)
    sweep(world, there)
    world.now += DAY
    ended = sweep(world, there)
    assert ended.word == "Detected"
    assert ended.result.orphans >= 3
    assert set(world.files) == before
    assert RECORD in world.objects
    if mode == "Delete":
        assert ended.note is not None
        assert "legal hold" in ended.note
        assert "Case 26-1234" in str(there.reported[-1])


def test_same_sweeps_erase_the_orphans_without_a_hold(sweep: Swept) -> None:
    world, there = with_a_failed_invocation(orphans=3), cluster(sweep=DELETE)
    sweep(world, there)
    world.now += DAY
    sweep(world, there)
    assert not any(name.startswith("orphan-") or name == "7-old.pdf" for name in world.files)


def test_hold_that_comes_while_a_sweep_redrives_keeps_what_is_not_erased_yet(sweep: Swept) -> None:
    world, there = with_a_failed_invocation(), cluster(sweep=DELETE)

    def meanwhile(operation: str) -> None:
        if operation == "GetObject":  # of the invocation record
            there.resource["spec"]["hold"] = HOLD
        world.now += 3.0

    world.meanwhile = meanwhile
    sweep(world, there)
    assert "7-old.pdf" in world.files
    assert RECORD in world.objects


def test_sweep_of_a_tenant_whose_erasure_limit_was_reached_does_not_run(sweep: Swept) -> None:
    world = with_a_failed_invocation()
    with pytest.raises(NotNowError, match="humangov approve"):
        sweep(world, cluster(status=REACHED, sweep=DELETE))
    assert "7-old.pdf" in world.files


def test_sweep_goes_on_once_the_erasure_limit_is_approved(sweep: Swept) -> None:
    world = with_a_failed_invocation()
    approved = {"humangov.io/approve-erasures": "2026-03-01T00:00:00Z"}
    sweep(world, cluster(status=REACHED, annotations=approved, sweep=DELETE))
    assert "7-old.pdf" not in world.files


def test_redrive_of_a_held_tenant_is_refused_with_the_reason() -> None:
    world = with_a_failed_invocation()
    names = samples.names(bucket={"name": "files"}, hold=HOLD)
    with world.behind(clients()) as sdk, pytest.raises(RefusedError, match=r"legal hold \(spec\.hold\): Case 26-1234"):
        redrive(sdk, names)
    assert "7-old.pdf" in world.files


HOLDS: Mapping[str, Callable[[InCluster], Any]] = {
    "hold": lambda there: there.resource["spec"].update(hold=HOLD),
    "hold in effect": lambda there: there.resource.update(
        spec={**there.resource["spec"], "hold": HOLD}, status={**there.resource["status"], **IN_EFFECT}
    ),
    "erasure limit": lambda there: there.resource["status"].update(REACHED),
}


@pytest.mark.parametrize("how", HOLDS)
def test_final_stream_read_of_a_held_or_limited_tenant_erases_nothing(how: str) -> None:
    world, there = SweepWorld(names=samples.names(bucket={"name": "files"})), cluster()
    world.upload("cv.pdf", age=DAY)
    HOLDS[how](there)
    at = datetime.fromtimestamp(world.now - 60, UTC)
    with final_read_of(world, there, Streams({"a": [[removal("7", "cv.pdf", at=at)]]})):
        found = final_read(there)
    assert world.files == {"cv.pdf"}
    assert found.problem is not None
    assert not found.complete
