"""A table younger than 14 days: what a restore, an import or a copy left out, no reading shows. A person may know."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.sweep.result import SweepResult

from testing import samples
from testing.sweep.tenant_data import DAY, HOUR
from testing.sweep.world import SweepWorld

LATE = [str(number) for number in range(54, 60)]
FILES = {f"{number}.pdf" for number in LATE}


def staffed(**more: Any) -> SweepWorld:
    world = SweepWorld(names=samples.names(bucket={"name": "files"}, sweep={"mode": "Delete"}), **more)
    for number in range(60):
        world.upload(f"{number}.pdf", age=30 * DAY)
        world.hire(str(number), f"{number}.pdf")
    return world


def replaced(world: SweepWorld, **table: Any) -> None:
    """The table is lost, and re-created without the last employees' records: people will write them next week."""
    world.table_id, world.created, world.table = "table-2", world.now, table
    for number in LATE:
        world.fire(number)
    world.needed |= FILES


def names(found: SweepResult) -> list[str]:
    return [check.name for check in found.failed_checks]


def test_table_restored_today_from_a_backup_of_last_month_needs_approval() -> None:
    world = staffed()
    world.sweep()
    world.now += 12 * HOUR
    backup = datetime.fromtimestamp(world.now - 20 * DAY, UTC)
    replaced(world, RestoreSummary={"RestoreDateTime": backup, "RestoreInProgress": False})
    found = [world.sweep(after=DAY) for _ in range(3)]
    assert [names(one) for one in found] == [["TableChanged", "YoungTable"], ["YoungTable"], ["YoungTable"]]
    assert f"from a backup of {backup:%Y-%m-%d %H:%M} UTC" in found[-1].failed_checks[0].message
    assert (world.lost, world.missing) == ([], set())


def test_table_that_was_imported_or_copied_needs_approval_for_14_days() -> None:
    world = staffed()
    world.sweep()
    replaced(world)
    assert all("YoungTable" in names(world.sweep(after=DAY)) for _ in range(13))
    assert (world.lost, world.missing) == ([], set())
    assert names(world.sweep(after=DAY)) == []  # a fortnight after, the readings alone count


def test_table_that_was_replaced_without_earlier_sweeps_needs_approval() -> None:
    world = staffed()
    replaced(world)
    assert [names(world.sweep(after=DAY)) for _ in range(3)] == [["YoungTable"]] * 3
    assert (world.lost, world.missing) == ([], set())


@pytest.mark.parametrize("created", [None, 10 * DAY])
def test_table_of_unknown_age_or_from_a_future_needs_approval(created: float | None) -> None:
    world = staffed()
    world.created = None if created is None else world.now + created
    world.upload("orphan.pdf", age=9 * DAY)
    assert [names(world.sweep(after=DAY)) for _ in range(2)] == [["YoungTable"]] * 2


def test_young_table_without_orphans_needs_no_approval() -> None:
    world = staffed()
    world.created = world.now
    assert [names(world.sweep(after=DAY)) for _ in range(2)] == [[], []]


def test_each_orphan_list_of_a_young_table_needs_an_approval_of_its_own() -> None:
    world = staffed()
    world.created = world.now
    world.upload("first.pdf", age=9 * DAY)
    seen = world.sweep().orphan_list
    assert seen is not None
    world.upload("second.pdf", age=9 * DAY)
    approved = world.sweep(after=DAY, approved=seen.sha256)
    assert (approved.approved, names(approved), world.files & {"first.pdf", "second.pdf"}) == (
        True, [], {"second.pdf"},
    )  # fmt: skip
    for _ in range(2):  # none of the approved list's files is left: the approval overrides nothing any more
        later = world.sweep(after=DAY, approved=seen.sha256)
        assert (later.approved, names(later)) == (False, ["YoungTable"])
    assert "second.pdf" in world.files
    assert later.orphan_list is not None
    assert world.sweep(after=DAY, approved=later.orphan_list.sha256).approved
    assert "second.pdf" not in world.files
