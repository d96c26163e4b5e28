"""Orphan lists lose the names of files after 30 days, and their numbers when receipts end: by the sweep alone."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from humangov.sweep import list_expiry, output, status
from humangov.sweep.list_expiry import NUMBERS_SUFFIX, lifetimes
from humangov.sweep.orphan_list import SUFFIX, counts_for_seconds
from humangov.sweep.result import DETECT

from testing import samples
from testing.killed import Killed
from testing.sweep.tenant_data import DAY, HOUR
from testing.sweep.world import SweepWorld

FOLDER = ".humangov/sweeps/"


def staffed(*, versioning: str | None = None, logs: int = 400, **spec: Any) -> SweepWorld:
    world = SweepWorld(
        names=samples.names(bucket={"name": "files"}, logs={"retentionDays": logs}, **spec), versioning=versioning
    )
    for number in range(9):
        world.upload(f"{number}.pdf", age=30 * DAY)
        world.hire(str(number), f"{number}.pdf")
    world.upload("jane-doe.pdf", age=30 * DAY)
    return world


def names_left(world: SweepWorld) -> list[str]:
    """Keys under which any version of anything names the file."""
    found = []
    for key, versions in world.objects.items():
        for one in versions if key.startswith(FOLDER) else ():
            body = gzip.decompress(one.body) if key.endswith(SUFFIX) and one.body else one.body
            found += [key] if b"jane-doe" in body else []
    return sorted(set(found))


def numbers(world: SweepWorld) -> list[str]:
    return sorted(key for key in world.objects if key.endswith(NUMBERS_SUFFIX))


VERSIONINGS = pytest.mark.parametrize("versioning", [None, "Enabled", "Suspended"])


@VERSIONINGS
def test_orphan_list_loses_its_names_after_thirty_days_and_keeps_its_numbers(versioning: str | None) -> None:
    world = staffed(versioning=versioning)
    old = world.sweep(DETECT).orphan_list
    assert old is not None
    world.sweep(DETECT, after=30 * DAY)
    assert old.key in names_left(world)
    found = world.sweep(DETECT, after=2)
    assert old.key not in world.objects
    assert (found.expired.names, found.expired.problem) == (1, None)
    assert len(names_left(world)) == 2, "the lists of the last thirty days"
    [key] = numbers(world)
    kept = json.loads(world.objects[key][-1].body)
    assert (kept["orphans"], kept["records"], kept["listed"]) == (1, 9, 10)
    assert (kept["list"], kept["sha256"], kept["at"]) == (old.key, old.sha256, old.head.at)
    told = "\n".join(output.lines(found, world.names, word="Detected", problem=None, files_named=False))
    assert "orphan lists whose names were removed: 1" in told


@VERSIONINGS
def test_numbers_live_as_long_as_receipts(versioning: str | None) -> None:
    world = staffed(versioning=versioning, logs=60)
    world.sweep(DETECT)
    world.sweep(DETECT, after=31 * DAY)
    assert len(numbers(world)) == 1
    found = world.sweep(DETECT, after=30 * DAY)
    assert (found.expired.numbers, found.expired.names) == (1, 0)
    assert numbers(world) == []


def test_lists_of_another_tenant_do_not_keep_own_lists_from_expiring(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie under the same prefix, and never go."""
    monkeypatch.setattr(list_expiry, "MOST", 2)
    world = staffed()
    own = world.sweep(DETECT).orphan_list
    assert own is not None
    for number in range(4):
        world.put(f"{FOLDER}2001-01-0{number + 1}T00-00-00Z-abc.jsonl.gz", b"another's", at=world.now)
    world.sweep(DETECT, after=31 * DAY)
    for _ in range(100):
        if own.key not in world.objects:
            return
        world.sweep(DETECT, after=HOUR)
    pytest.fail("its names were never removed")


def test_orphan_list_is_deleted_whole_if_receipts_expire_before_its_names() -> None:
    world = staffed(logs=7)
    world.sweep(DETECT)
    world.sweep(DETECT, after=31 * DAY)
    assert (len(world.orphan_lists()), numbers(world)) == (1, [])


@pytest.mark.parametrize("days", [1, 14, 15, 30, 400])
@pytest.mark.parametrize("logs", [1, 7, 14, 400])
def test_no_list_expires_while_it_counts_as_a_sighting(days: int, logs: int) -> None:
    names = samples.names(logs={"retentionDays": logs}, sweep={"namesRetentionDays": days})
    of_names, of_numbers = lifetimes(names)
    assert 14 * DAY <= counts_for_seconds(names) <= of_names <= of_numbers


def test_lists_are_still_compared_on_the_last_day_that_they_count() -> None:
    world = staffed(sweep={"namesRetentionDays": 1, "mode": "Delete"})
    world.sweep()
    found = world.sweep(after=14 * DAY)
    assert (found.expired.names, found.erased.count("erased")) == (0, 1)


@pytest.mark.parametrize("versioning", [None, "Enabled"])
@pytest.mark.parametrize("side", ["killed before", "killed after"])
def test_expiry_that_is_killed_at_any_call_is_finished_by_the_next_sweep(side: str, versioning: str | None) -> None:
    number = 0
    while True:
        number += 1
        world = staffed(versioning=versioning)
        old = world.sweep(DETECT).orphan_list
        assert old is not None
        calls = {"number": 0, "killed": 0}

        def fault(_operation: str, calls: dict[str, int] = calls, at: int = number) -> str | None:
            calls["number"] += 1
            calls["killed"] += calls["number"] == at
            return side if calls["number"] == at else None

        world.faults = fault
        try:
            world.sweep(DETECT, after=40 * DAY)
        except Killed:
            world.faults = lambda _operation: None
            assert old.key in world.objects or len(numbers(world)) == 1, "the numbers are stored first"
            world.sweep(DETECT, after=DAY)
        assert old.key not in world.objects, f"call {number}"
        assert len(numbers(world)) == 1
        assert names_left(world) == world.orphan_lists()
        if not calls["killed"]:
            break
    assert number > 10


def test_every_version_of_a_list_goes_also_those_that_a_delete_marker_hides() -> None:
    world = staffed(versioning="Enabled")
    old = world.sweep(DETECT).orphan_list
    assert old is not None
    body = world.objects[old.key][-1].body
    world.put(old.key, b"overwritten", at=world.now)
    world.put(old.key, body, at=world.now)
    world.put(old.key, b"overwritten again", at=world.now)
    world.put_marker(old.key)
    world.sweep(DETECT, after=31 * DAY)
    assert old.key not in world.objects


def forged(world: SweepWorld, **more: Any) -> bytes:
    [key] = world.orphan_lists()
    head, *rest = gzip.decompress(world.objects[key][-1].body).splitlines()
    return gzip.compress(b"\n".join([json.dumps({**json.loads(head), **more}).encode(), *rest, b""]))


@VERSIONINGS
@pytest.mark.parametrize("more", [{"tenant": "x/y/z"}, {"bucket": "other"}, {"run": "00000000"}])
def test_only_the_tenants_own_lists_are_removed(more: dict[str, Any], versioning: str | None) -> None:
    world = staffed(versioning=versioning)
    world.sweep(DETECT)
    [key] = world.orphan_lists()
    world.objects[key] = []
    del world.objects[key]
    world.sweep(DETECT, after=DAY)
    world.put(key, forged(world, **more), at=world.now)
    world.put(f"{FOLDER}2020-01-01T00-00-00Z-0{NUMBERS_SUFFIX}", b'{"tenant":"x/y/z"}', at=world.now)
    world.put(f"{FOLDER}2020-01-01T00-00-00Z-1{NUMBERS_SUFFIX}", b"[" * 60_000, at=world.now)
    world.put(f"{FOLDER}2020-01-01T00-00-00Z-0{SUFFIX}", b"no list", at=world.now)
    world.put(f"{FOLDER}2020-99-99T00-00-00Z-0{SUFFIX}", b"no date", at=world.now)
    world.put(f"{FOLDER}notes.txt", b"mine", at=world.now)
    before = set(world.objects)
    found = world.sweep(DETECT, after=31 * DAY)
    assert found.expired.names == 1, "the one of the second sweep"
    assert len(before - set(world.objects)) == 1
    assert key in world.objects


def test_under_a_legal_hold_and_in_a_dry_run_no_list_loses_its_names() -> None:
    world = staffed(hold={"reason": "case 7"})
    world.sweep(DETECT)
    found = world.sweep(DETECT, after=400 * DAY)
    assert (found.expired.names, len(world.orphan_lists())) == (0, 2)
    world = staffed()
    world.sweep(DETECT)
    world.sweep(DETECT, after=31 * DAY, dry_run=True)
    assert len(world.orphan_lists()) == 1


@pytest.mark.parametrize(
    ("operation", "versioning"),
    [("DeleteObject", None), ("DeleteObjects", "Enabled"), ("PutObject", None), ("GetObject", None)],
)
def test_names_that_can_not_be_removed_are_reported_and_the_sweep_continues(
    operation: str, versioning: str | None
) -> None:
    world = staffed(versioning=versioning)
    world.sweep(DETECT)
    first = True

    def fault(asked: str) -> str | None:
        nonlocal first
        denied = asked == operation and world.calls["ListObjectsV2"] + world.calls["ListObjectVersions"] > seen
        first = first and not denied
        return "AccessDenied" if denied and world.calls["Scan"] == scans else None

    seen, scans = world.calls["ListObjectsV2"] + world.calls["ListObjectVersions"], world.calls["Scan"]
    world.faults = fault
    # The claim is read before anything is listed.
    found = world.sweep(DETECT, after=31 * DAY)
    assert not first
    assert found.orphans == 1
    assert "still hold names of files after their time" in status.message(found, world.names, problem=None)
    assert "AccessDenied" in str(found.expired.problem)


def test_versions_that_object_lock_retains_are_reported() -> None:
    world = staffed(versioning="Enabled")
    world.sweep(DETECT)
    whole = world.operations["DeleteObjects"]

    def retained(data: Any, params: Any) -> Any:
        reply = whole(data, {**params, "Delete": {"Objects": []}})
        errors = [{**one, "Code": "AccessDenied"} for one in params["Delete"]["Objects"]]
        return reply._replace(answer={"Errors": errors})

    world.operations["DeleteObjects"] = retained
    found = world.sweep(DETECT, after=31 * DAY)
    assert (found.expired.names, len(world.orphan_lists())) == (0, 2)
    assert "AccessDenied" in str(found.expired.problem)


def test_list_is_removed_where_s3_knows_no_conditional_delete() -> None:
    world = staffed()
    world.honours = None
    world.sweep(DETECT)
    assert world.sweep(DETECT, after=31 * DAY).expired.names == 1


def test_sweep_writes_no_lifecycle_and_no_setting_of_the_bucket() -> None:
    world = staffed()
    world.sweep(DETECT)
    world.sweep(DETECT, after=31 * DAY)
    assert not [operation for operation in world.calls if operation.startswith("Put") and "Bucket" in operation]
