"""Who approved an orphan list is named where the approval had effect: in the result, the condition and the receipts."""

from __future__ import annotations

import pytest
from humangov.api.erasure_limit import summary
from humangov.api.signatures import signer
from humangov.api.spec import APPROVE_ANNOTATION
from humangov.sweep import output, status
from humangov.sweep.result import SweepResult

from testing import samples
from testing.sweep.tenant_data import DAY
from testing.sweep.world import SweepWorld
from tests.sweep.test_stop import Swept, cluster, sweep, with_a_failed_invocation
from tests.sweep.test_young_table import staffed

__all__ = ["sweep"]  # a fixture
WHO = "jane@example.com"
SIGNATURE = f"{APPROVE_ANNOTATION}-by"
DELETE = {"mode": "Delete", "maximumOrphanPercent": 100}


def young(*, orphans: int = 1) -> tuple[SweepWorld, str]:
    """A table whose orphan lists need approval, and the checksum of its first one."""
    world = staffed()
    world.created = world.now
    for number in range(orphans):
        world.upload(f"orphan-{number}.pdf", age=9 * DAY)
    seen = world.sweep().orphan_list
    assert seen is not None
    return world, seen.sha256


def told(found: SweepResult, word: str = "Erased") -> list[str]:
    """What people read: the condition, and what the command prints."""
    names = samples.names()
    printed = output.lines(found, names, word=word, problem=None, files_named=True)
    return [status.message(found, names, problem=None), "\n".join(printed)]


def test_approver_is_named_by_the_condition_the_command_and_each_receipt() -> None:
    world, checksum = young(orphans=3)
    found = world.sweep(after=DAY, approved=checksum, approver=WHO)
    assert found.approver == WHO
    assert all(f"an orphan list was approved by {WHO}" in text for text in told(found))
    lines = [line for line in world.receipts() if line["event"] == "SWEEP"]
    assert len(lines) == 2 * 3
    assert {line["approved_by"] for line in lines} == {WHO}


def test_unsigned_approval_is_reported_without_a_username() -> None:
    world, checksum = young()
    found = world.sweep(after=DAY, approved=checksum)
    assert found.approved
    assert all("an orphan list was approved: only its files" in text for text in told(found))
    assert [line for line in world.receipts() if "approved_by" in line] == []


def test_approver_is_not_named_where_the_approval_had_no_effect() -> None:
    """It stays on the HumanGovState: later sweeps, whose safety checks pass, erase without it."""
    world, checksum = young()
    world.sweep(after=DAY, approved=checksum, approver=WHO)
    first = len(world.receipts())
    world.upload("later.pdf", age=9 * DAY)
    for _ in range(15):  # until the table is not young any more
        found = world.sweep(after=DAY, approved=checksum, approver=WHO)
    assert "later.pdf" not in world.files
    assert (found.approved, found.approver) == (False, None)
    assert not any(WHO in text for text in told(found))
    assert [line for line in world.receipts()[first:] if "approved_by" in line] == []


def test_signature_on_the_humangovstate_is_what_its_sweeps_name(sweep: Swept) -> None:
    world = with_a_failed_invocation(orphans=3)
    world.created = world.now
    there = cluster(sweep=DELETE)
    seen = sweep(world, there).result.orphan_list
    assert seen is not None
    there.resource["metadata"]["annotations"] = {APPROVE_ANNOTATION: seen.sha256, SIGNATURE: WHO}
    world.now += DAY
    assert sweep(world, there).result.approver == WHO
    assert f"approved by {WHO}" in str(there.reported[-1])
    assert {line.get("approved_by") for line in world.receipts() if line["event"] == "SWEEP"} == {WHO}


@pytest.mark.parametrize(
    ("signature", "shown"),
    [
        (None, None), ("", None), ("  ", None), (WHO, WHO), ("system:serviceaccount:a:b", "system:serviceaccount:a:b"),
        ("x\n{\"level\": \"error\"}\x1b[2J", "x?{\"level\": \"error\"}?[2J"), ("y" * 1000, "y" * 256),
    ],
)  # fmt: skip
def test_signature_that_someone_forged_where_no_policy_holds_breaks_no_line(
    signature: str | None, shown: str | None
) -> None:
    annotations = {} if signature is None else {SIGNATURE: signature}
    assert signer(annotations, APPROVE_ANNOTATION) == shown


def test_approver_of_an_erasure_limit_is_named_by_the_change_that_lets_the_function_go_on() -> None:
    signed = {"humangov.io/approve-erasures": "2026-03-01T00:00:00Z", "humangov.io/approve-erasures-by": WHO}
    assert summary("approved 2026-03-01T00:00:05Z", signed) == f"erasure limit approved 2026-03-01T00:00:05Z, by {WHO}"
    assert summary("approved 2026-03-01T00:00:05Z", {}) == "erasure limit approved 2026-03-01T00:00:05Z"
    assert WHO not in summary("reached 2026-03-02T00:00:00Z 7", signed), "of another occurrence"
