"""A sweep that ends before its end: what it knew by then is told, and of a scan it is told what failed first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from humangov.reading.progress import FailedError, StoppedError
from humangov.sweep import status

from testing import samples
from testing.sweep.tenant_data import DAY, TenantData
from testing.sweep.world import SweepWorld

BEFORE = {"orphans": 7, "listed": 9}


def world_with_an_orphan() -> SweepWorld:
    world = SweepWorld(
        names=samples.names(bucket={"name": "files"}, sweep={"mode": "Delete", "maximumOrphanPercent": 60})
    )
    for number in range(9):
        world.upload(f"{number}.pdf", age=3 * DAY)
        world.hire(str(number), f"{number}.pdf")
    world.upload("orphan.pdf", age=3 * DAY)
    return world


def status_of(world: SweepWorld) -> dict[str, Any]:
    assert world.reached is not None
    now = datetime.fromtimestamp(world.now, UTC)
    return status.status_fields(
        world.reached, world.names, word="Failed", problem="it failed", now=now, before=BEFORE
    )  # fmt: skip


def test_failed_sweep_with_a_stored_orphan_list_reports_its_numbers_and_the_list() -> None:
    world = world_with_an_orphan()
    world.sweep()
    scans = {"number": 0}

    def fault(operation: str) -> str | None:
        scans["number"] += operation == "Scan"
        return "InternalServerError" if operation == "Scan" and scans["number"] > 4 else None

    world.faults = fault
    with pytest.raises(ClientError, match="InternalServerError"):
        world.sweep(after=DAY)
    fields = status_of(world)
    assert (fields["listed"], fields["records"], fields["orphans"], fields["confirmed"]) == (10, 9, 1, 1)
    assert fields["orphanList"] == f"s3://files/{world.orphan_lists()[-1]}"
    assert (fields["erased"], "orphan.pdf" in world.files) == (0, True)


def test_failed_sweep_without_an_orphan_list_keeps_the_previous_numbers() -> None:
    world = world_with_an_orphan()
    world.faults = lambda operation: "AccessDenied" if operation == "PutObject" and world.calls["Scan"] else None
    with pytest.raises(ClientError, match="AccessDenied"):
        world.sweep()
    assert {name: status_of(world)[name] for name in BEFORE} == BEFORE
    assert "orphanList" not in status_of(world)


def test_failed_scan_segment_is_the_reported_error_of_a_sweep() -> None:
    for failing in range(1, 5):
        world = world_with_an_orphan()
        scans = {"number": 0}

        def fault(operation: str, failing: int = failing, scans: dict[str, int] = scans) -> str | None:
            scans["number"] += operation == "Scan"
            return "InternalServerError" if operation == "Scan" and scans["number"] == failing else None

        world.faults = fault
        world.page = 1
        with pytest.raises(ClientError, match="InternalServerError"):
            world.sweep()


@pytest.mark.parametrize("reason", ["signal 15", "spec.suspend was set to true"])
def test_sweep_stopped_while_reading_reports_why_and_erases_nothing(reason: str) -> None:
    world = world_with_an_orphan()
    world.sweep()
    with pytest.raises(StoppedError, match=reason):
        world.sweep(after=DAY, why_stop=lambda: reason if world.calls["Scan"] > 8 else None)
    assert "orphan.pdf" in world.files


def test_sweep_fails_on_a_truncated_listing_without_next_marker() -> None:
    world = world_with_an_orphan()
    world.versioning, world.page = "Enabled", 3
    whole = world.operations["ListObjectVersions"]

    def cut(data: TenantData, params: Any) -> Any:
        reply = whole(data, params)
        reply.answer.pop("NextKeyMarker", None)
        return reply

    world.operations["ListObjectVersions"] = cut
    with pytest.raises(FailedError, match="truncated its listing"):
        world.sweep()
