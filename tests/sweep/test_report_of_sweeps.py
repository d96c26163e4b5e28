"""What a report shows of sweeps: their orphan lists in the bucket, and the numbers that are left of expired ones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from humangov.proof import orphan_lists
from humangov.proof.orphan_lists import SweepRuns
from humangov.proof.period import Period
from humangov.sweep.result import DELETE, DETECT

from testing import samples
from testing.sweep.tenant_data import DAY
from testing.sweep.world import SweepWorld, clients

FOLDER = ".humangov/sweeps/"


def staffed(**more: Any) -> SweepWorld:
    world = SweepWorld(names=samples.names(bucket={"name": "files"}), **more)
    for number in range(9):
        world.upload(f"{number}.pdf", age=30 * DAY)
        world.hire(str(number), f"{number}.pdf")
    world.upload("orphan.pdf", age=30 * DAY)
    return world


def read(world: SweepWorld, folder: Path, *, since: float, until: float) -> SweepRuns:
    first, last = (datetime.fromtimestamp(at, UTC) for at in (since, until))
    period = Period(since=first, until=last, name="test")
    with world.behind(clients()) as sdk:
        return orphan_lists.read(sdk.patient_s3, world.names, period, folder=folder)


def test_report_has_each_sweep_of_its_period_with_the_numbers_of_its_orphan_list(tmp_path: Path) -> None:
    world = staffed()
    began = world.now
    before = world.sweep(DETECT)
    second = world.sweep(DELETE, after=DAY)
    third = world.sweep(DETECT, after=DAY)
    found = read(world, tmp_path, since=began + DAY / 2, until=world.now + 60)
    assert [(one.run, one.mode, one.orphans) for one in found.runs] == [
        (second.run, DELETE, 1), (third.run, DETECT, third.orphans),
    ]  # fmt: skip
    assert before.run not in {one.run for one in found.runs}
    assert second.orphan_list is not None
    assert found.runs[0].sha256 == second.orphan_list.sha256
    assert (found.unread, found.problem, list(tmp_path.iterdir())) == (0, None, [])


def test_report_has_the_numbers_of_a_list_whose_names_have_expired(tmp_path: Path) -> None:
    world = staffed()
    began = world.now
    old = world.sweep(DETECT)
    world.sweep(DETECT, after=31 * DAY)
    found = read(world, tmp_path, since=began - 60, until=began + DAY)
    assert [(one.run, one.orphans, one.names_expired) for one in found.runs] == [(old.run, 1, True)]


@pytest.mark.parametrize(
    ("name", "body", "counted"),
    [
        ("2026-01-01T00-00-00Z-abcd.jsonl.gz", b"no list", True),
        ("2026-01-01T00-00-00Z-abcd.numbers.json", b"{", True),
        ("2026-01-01T00-00-00Z-abcd.numbers.json", b'{"tenant": "x"}', True), ("note.txt", b"hello", False),
    ],
)  # fmt: skip
def test_object_that_is_no_orphan_list_of_this_state_is_counted_and_not_used(
    name: str, body: bytes, counted: bool, tmp_path: Path
) -> None:
    world = staffed()
    world.sweep(DETECT)
    stamp = f"{datetime.fromtimestamp(world.now, UTC):%Y-%m-%dT%H-%M-%SZ}"
    world.upload(f"{FOLDER}{name.replace('2026-01-01T00-00-00Z', stamp)}", body=body)
    found = read(world, tmp_path, since=world.now - DAY, until=world.now + DAY)
    assert (len(found.runs), found.unread) == (1, int(counted))


def test_unreadable_orphan_lists_are_reported_as_a_problem(tmp_path: Path) -> None:
    world = staffed()
    world.sweep(DETECT)
    world.faults = lambda operation: "AccessDenied" if operation == "GetObject" else None
    found = read(world, tmp_path, since=world.now - DAY, until=world.now + DAY)
    assert found.runs == ()
    assert found.problem is not None
    assert "AccessDenied" in found.problem
