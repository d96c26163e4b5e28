"""The advice under each failed safety check: whoever does what it says has a sweep that goes on.

Each case brings about the state in which the check fails, does what one sentence of its message says, and sweeps on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from humangov.sweep import safety_checks
from humangov.sweep.bucket_claim import ClaimedError
from humangov.sweep.result import SweepResult
from humangov.sweep.status import message

from sandbox.paths import REPOSITORY
from testing import samples
from testing.sweep.tenant_data import DAY, HOUR
from testing.sweep.world import SweepWorld

DELETE = {"mode": "Delete"}
OTHERS = b'{"tenant": "uid/humangov/florida", "table": "arn:aws:dynamodb:us-east-1:123456789012:table/florida"}'


def staffed(*, files: int = 40, orphans: int = 1) -> SweepWorld:
    world = SweepWorld(names=samples.names(bucket={"name": "files"}, sweep=DELETE))
    for number in range(files):
        world.upload(f"{number}.pdf", age=30 * DAY)
        world.hire(str(number), f"{number}.pdf")
    world.upload(*(f"orphan-{number}.pdf" for number in range(orphans)), age=30 * DAY)
    return world


def claimed_below() -> SweepWorld:
    world = staffed()
    world.upload("florida/.humangov/owner.json", body=OTHERS)
    return world


def claimed() -> SweepWorld:
    world = staffed()
    world.upload(".humangov/owner.json", body=OTHERS)
    return world


def claimed_by_what_is_not_valid() -> SweepWorld:
    world = staffed()
    world.upload(".humangov/owner.json", body=b"?")
    return world


def empty() -> SweepWorld:
    world = staffed()
    world.records.clear()
    return world


def unnamed() -> SweepWorld:
    """The records have the names of their files in another attribute."""
    world = staffed()
    world.attributes = {record: {"S": f"Doctor {record}"} for record in world.records}
    return world


def another_table() -> SweepWorld:
    world = staffed()
    world.sweep()
    world.table_id = "another, which is old"
    return world


def young() -> SweepWorld:
    world = staffed()
    world.created = world.now
    return world


def shrunken() -> SweepWorld:
    world = staffed()
    world.sweep()
    for number in range(25):
        world.fire(str(number))
        world.remove(f"{number}.pdf")
    return world


def misspelt() -> SweepWorld:
    world = staffed()
    world.upload("cv.pdf", age=30 * DAY)
    world.hire("cv", "CV.PDF")
    return world


def too_many() -> SweepWorld:
    return staffed(orphans=20)


def shared() -> SweepWorld:
    world = staffed()
    world.hire("second", "7.pdf")
    return world


# What the messages say.


def delete_the_claim(world: SweepWorld) -> None:
    for name in ("florida/.humangov/owner.json", ".humangov/owner.json"):
        world.remove(name)


def re_create_with_a_key_prefix(world: SweepWorld) -> None:
    """The application's files move as well; the other tenant's claim stays, this one's is deleted."""
    for key in [key for key in world.objects if key.startswith(".humangov/owner-")]:
        world.objects.pop(key)
    for key in [key for key in world.objects if ".humangov/" not in key]:
        world.objects[f"california/{key}"] = world.objects.pop(key)
    world.names = samples.names(bucket={"name": "files", "keyPrefix": "california/"}, sweep=DELETE)


def write_the_records(world: SweepWorld) -> None:
    for number in range(40):
        world.hire(str(number), f"{number}.pdf")


def delete_the_files(world: SweepWorld) -> None:
    for name in world.files:
        world.remove(name)


def re_create_with_the_right_table(world: SweepWorld) -> None:
    table = {"name": "humangov-california-employees"}
    delete_own_claims(world)
    world.names = samples.names(table=table, bucket={"name": "files"}, sweep=DELETE)
    world.table_id = "the right one"
    write_the_records(world)


def delete_own_claims(world: SweepWorld) -> None:
    for key in [key for key in world.objects if key.startswith(".humangov/owner-")]:
        world.objects.pop(key)


def re_create_with_the_right_attribute(world: SweepWorld) -> None:
    world.attributes.clear()  # as the sweep sees it, which asks for the right one now


def nothing(_world: SweepWorld) -> None:
    pass


def approve(world: SweepWorld) -> str:
    assert world.reached is not None
    shown = message(world.reached, world.names, problem=None)
    assert " humangov.io/approve-sweep=" in shown
    return shown.partition(" humangov.io/approve-sweep=")[2].split()[0]


def correct_the_record(world: SweepWorld) -> None:
    world.hire("cv", "cv.pdf")


def a_file_for_each(world: SweepWorld) -> None:
    world.upload("second.pdf")
    world.hire("second", "second.pdf")


def re_create_as_shared(world: SweepWorld) -> None:
    table = replace(world.names.tenant.table, file_names="Shared")
    world.names = replace(world.names, tenant=replace(world.names.tenant, table=table))


@dataclass(frozen=True)
class Case:
    """check: None for a claim on the same files, which ends a sweep at once. says: what the message advises."""

    state: Callable[[], SweepWorld]
    says: str
    advice: Callable[[SweepWorld], str | None]
    check: str | None = None


CREATE_AGAIN = "delete this HumanGovState and re-create it"
CASES = [
    Case(claimed_below, "delete these objects", delete_the_claim, "Overlap"),
    Case(claimed_below, "and re-create it with a bucket", re_create_with_a_key_prefix, "Overlap"),
    Case(claimed, "delete the object", delete_the_claim),
    Case(claimed_by_what_is_not_valid, "Delete that object", delete_the_claim),
    Case(empty, "wait for them", write_the_records, "EmptyScan"),
    Case(empty, "delete them by hand", delete_the_files, "EmptyScan"),
    Case(empty, CREATE_AGAIN, re_create_with_the_right_table, "EmptyScan"),
    Case(unnamed, CREATE_AGAIN, re_create_with_the_right_attribute, "NothingNamed"),
    Case(unnamed, "delete them by hand", delete_the_files, "NothingNamed"),
    Case(another_table, "do nothing", nothing, "TableChanged"),
    Case(young, "approve the orphan list", approve, "YoungTable"),
    Case(shrunken, "approve the orphan list", approve, "ShrunkenScan"),
    Case(shrunken, "restore them", write_the_records, "ShrunkenScan"),
    Case(misspelt, "correct the record", correct_the_record, "DanglingRecords"),
    Case(misspelt, "approve the orphan list", approve, "DanglingRecords"),
    Case(too_many, "approve the orphan list", approve, "TooManyOrphans"),
    Case(shared, "Give each record a file of its own", a_file_for_each, "FilesShared"),
    Case(shared, CREATE_AGAIN, re_create_as_shared, "FilesShared"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.check or 'a claim'}: {case.says}")
def test_doing_what_a_failed_safety_check_says_lets_the_next_sweep_go_on(case: Case) -> None:
    world = case.state()
    found, problem = sweep(world, after=HOUR)
    failed = {check.name: check.message for check in found.failed_checks}
    assert case.says in (problem if case.check is None else failed[case.check])
    approved = case.advice(world)
    assert not found.erased.outcomes
    assert "orphan-0.pdf" in world.files or case.advice is delete_the_files
    following = [sweep(world, after=DAY, approved=approved) for _ in range(3)]
    assert [problem for _, problem in following] == [""] * 3
    names = [[check.name for check in one.failed_checks] for one, _ in following]
    # Another table is expected from the second time on, as its own check says.
    assert names in ([[], [], []], [["TableChanged"], [], []])
    assert case.check not in names[0]
    assert world.files.isdisjoint({"orphan-0.pdf"})
    if case.advice is not delete_the_files:
        assert {f"{number}.pdf" for number in range(25, 40)} <= world.files


def sweep(world: SweepWorld, **more: Any) -> tuple[SweepResult, str]:
    """As far as it came, and why it ended early."""
    try:
        return world.sweep(**more), ""
    except ClaimedError as error:
        assert world.reached is not None
        return world.reached, str(error)


def test_advice_of_every_safety_check_is_tried() -> None:
    checks = {check.__name__.replace("_", "") for check in safety_checks.CHECKS}
    assert {case.check.lower() for case in CASES if case.check} == checks


def test_documentation_has_every_safety_check_in_its_order_and_whether_an_approval_overrides_it() -> None:
    table = re.findall(r"^\| `(\w+)` \| .* \| (yes|no) \|$", (REPOSITORY / "docs" / "operations.md").read_text(), re.M)
    overridden: dict[str, bool] = {}
    for case in CASES:
        found, _ = sweep(case.state(), after=HOUR)
        overridden |= {check.name: check.approval for check in found.failed_checks}
    assert [(name.lower(), answer) for name, answer in table] == [
        (check.__name__.replace("_", ""), {True: "yes", False: "no"}[_of(check.__name__, overridden)])
        for check in safety_checks.CHECKS
    ]


def _of(check: str, by_name: dict[str, bool]) -> bool:
    return next(value for name, value in by_name.items() if name.lower() == check.replace("_", ""))


def test_message_of_a_check_that_no_approval_overrides_does_not_ask_for_one() -> None:
    found, _ = sweep(empty())
    assert found.orphan_list is not None
    assert "approve-sweep" not in message(found, samples.names(), problem=None)


def test_approved_number_of_records_is_what_later_scans_are_compared_with() -> None:
    world = shrunken()
    world.remove("orphan-0.pdf")
    world.sweep(after=HOUR)
    approved = approve(world)
    assert [world.sweep(after=DAY, approved=approved).failed_checks for _ in range(2)] == [[], []]
    for number in range(30, 40):
        world.fire(str(number))
    failed = world.sweep(after=DAY, approved=approved).failed_checks
    assert failed[0].name == "ShrunkenScan"
