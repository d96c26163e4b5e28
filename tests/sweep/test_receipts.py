"""What a sweep erased is counted and told, whatever ends it; and what it did not do is not claimed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.proof import receipts
from humangov.sweep import output, status
from humangov.sweep.erasure import BATCH
from humangov.sweep.result import FAILED

from testing import samples
from testing.receipt_chain import broken_links
from testing.sweep.tenant_data import DAY
from testing.sweep.world import SweepWorld

MANY = 2 * BATCH + 50


def staffed(orphans: int, **more: Any) -> SweepWorld:
    """Sixty employees with a file each, and orphans that one sweep has seen."""
    sweep = {"mode": "Delete", "maximumOrphanPercent": 100}
    world = SweepWorld(names=samples.names(bucket={"name": "files"}, sweep=sweep), **more)
    for number in range(60):
        world.upload(f"{number}.pdf", age=30 * DAY)
        world.hire(str(number), f"{number}.pdf")
    for number in range(orphans):
        world.upload(f"orphan-{number:03}.pdf", age=20 * DAY)
    world.sweep()
    return world


def orphans_of(world: SweepWorld) -> set[str]:
    return {name for name in world.files if name.startswith("orphan")}


def refuse_after(puts: int, code: str) -> Any:
    """Lines are refused for good after so many PutLogEvents."""
    asked = Counter[str]()

    def fault(operation: str) -> str | None:
        asked[operation] += 1
        return code if operation == "PutLogEvents" and asked[operation] > puts else None

    return fault


def told(world: SweepWorld) -> dict[str, receipts.Receipt]:
    """What `humangov receipts` says of each file."""
    events = [
        {"timestamp": place, "logStreamName": stream, "message": message}
        for stream, messages in world.log_streams.items()
        for place, message in enumerate(messages)
    ]
    return {one.key: one for one in receipts.joined(events)}


@pytest.mark.parametrize(
    ("puts", "gone", "without_outcome"), [(0, 0, 0), (1, BATCH, BATCH), (2, BATCH, 0), (3, 2 * BATCH, BATCH)],
    ids=["first intents", "first outcomes", "second intents", "second outcomes"],
)  # fmt: skip
def test_a_sweep_whose_receipts_fail_midway_counts_what_it_has_erased(
    puts: int, gone: int, without_outcome: int
) -> None:
    world = staffed(MANY)
    world.faults = refuse_after(puts, "AccessDeniedException")

    with pytest.raises(Exception, match=r"AccessDeniedException.*Without a receipt nothing is erased"):
        world.sweep(after=DAY)

    assert MANY - len(orphans_of(world)) == gone
    assert world.reached is not None
    fields = status.status_fields(
        world.reached, world.names, word=FAILED, problem="no receipt", now=datetime.fromtimestamp(world.now, UTC),
        before={},
    )  # fmt: skip
    assert (fields["erased"], fields["orphans"]) == (gone, MANY - gone)
    assert fields["message"] == (f"no receipt; {gone:,} files were erased before" if gone else "no receipt")
    shown = output.lines(world.reached, world.names, word=FAILED, problem="no receipt", files_named=True)
    assert any(line.split()[:2] == ["erased", f"{gone:,}"] for line in shown) is bool(gone)
    outcomes = Counter(one.outcome for one in told(world).values())
    assert outcomes[receipts.CUT_OFF] == without_outcome, "their outcome is not known, and is not claimed"


def test_a_sweep_that_is_stopped_between_two_batches_counts_what_it_has_erased() -> None:
    world = staffed(MANY)

    result = world.sweep(after=DAY, may_erase=lambda: "stopped" if world.calls["DeleteObject"] > BATCH else None)

    assert result.erased.count("erased") == MANY - len(orphans_of(world)) == BATCH


def test_what_was_uploaded_since_stays_and_the_receipt_says_that_it_is_left() -> None:
    world = staffed(1, versioning="Enabled")

    def upload_again(operation: str) -> None:
        if operation == "CreateLogStream":
            world.upload("orphan-000.pdf", body=b"another")

    world.meanwhile = upload_again
    world.sweep(after=DAY)

    assert "orphan-000.pdf" in world.files
    receipt = told(world)["orphan-000.pdf"]
    assert (receipt.outcome, receipt.versions_erased, receipt.versions_left) == ("erased", 1, 1)


def test_a_delete_whose_answer_was_lost_is_not_told_as_merely_absent() -> None:
    world = staffed(1)
    done = Counter[str]()

    def lost(operation: str) -> str | None:
        done[operation] += 1
        return "lost" if operation == "DeleteObject" and done[operation] == 3 else None  # after the two of the probe

    world.faults = lost
    world.sweep(after=DAY)

    assert orphans_of(world) == set()
    assert told(world)["orphan-000.pdf"].outcome == "absent after intent"


def test_the_lines_of_a_sweep_are_chained_and_a_put_without_an_answer_begins_a_next_stream() -> None:
    world = staffed(MANY)
    asked = Counter[str]()

    def lost(operation: str) -> str | None:
        asked[operation] += 1
        return "lost" if operation == "PutLogEvents" and asked[operation] == 2 else None

    world.faults = lost
    world.sweep(after=DAY)

    assert orphans_of(world) == set()
    assert len(world.log_streams) == 2
    assert [broken_links(messages) for messages in world.log_streams.values()] == [[], []]
    assert Counter(one.outcome for one in told(world).values()) == {"erased": MANY}
