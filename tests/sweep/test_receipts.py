"""What a sweep erased is counted and told, whatever ends it; and what it did not do is not claimed."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.cleanup.outcomes import ABSENT
from humangov.proof import receipts
from humangov.sweep import erasure, output, run, status
from humangov.sweep.begun_batch import KEPT_INTERRUPTED
from humangov.sweep.erasure import BATCH
from humangov.sweep.result import ERASURE_FAILED, FAILED, word_for

from testing import samples
from testing.killed import Killed
from testing.receipt_chain import broken_links
from testing.sweep.tenant_data import DAY, HOUR
from testing.sweep.world import SweepWorld, clients

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
    """What `humangov receipts` says of each file, last."""
    return {several[-1].key: several[-1] for several in told_all(world)}


def told_all(world: SweepWorld) -> list[list[receipts.Receipt]]:
    """What it says of each file."""
    messages = ((stream, message) for stream, several in world.log_streams.items() for message in several)
    events = [
        {"timestamp": place, "logStreamName": stream, "message": message}
        for place, (stream, message) in enumerate(messages)
    ]
    found: dict[str, list[receipts.Receipt]] = {}
    for one in receipts.joined(events):
        found.setdefault(one.key, []).append(one)
    return list(found.values())


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


def test_a_stop_after_the_last_file_stops_nothing() -> None:
    world = staffed(3)
    result = world.sweep(after=DAY, may_erase=lambda: None if orphans_of(world) else "stopped")
    assert (result.erased.count("erased"), result.erased.stopped, result.erased.unfinished) == (3, False, None)


def test_a_sweep_that_is_stopped_between_two_batches_counts_what_it_has_erased() -> None:
    world = staffed(MANY)

    result = world.sweep(after=DAY, may_erase=lambda: "stopped" if world.calls["DeleteObject"] > BATCH else None)

    assert result.erased.count("erased") == MANY - len(orphans_of(world)) == BATCH


def killed_at(operation: str, number: int, how: str = "killed before") -> Any:
    """The process ends at this call: `killed before` or `killed after` it is done. Nothing of its threads follows."""
    asked = Counter[str]()

    def fault(one: str) -> str | None:
        asked[one] += 1
        if asked[operation] < number:
            return None
        return how if one == operation and asked[operation] == number else "killed before"

    return fault


# The intents, then the outcomes, of each batch.
KILLS = {
    "before the first intents": ("PutLogEvents", 1, "killed before", {"kept: interrupted"}),
    "after the first intents": ("PutLogEvents", 1, "killed after", {"kept: interrupted, after a cut-off attempt"}),
    "before the first outcomes": ("PutLogEvents", 2, "killed before", {"absent after intent"}),
    "after the first outcomes": ("PutLogEvents", 2, "killed after", {"erased"}),
    "before the second outcomes": ("PutLogEvents", 4, "killed before", {"erased", "absent after intent"}),
}


@pytest.mark.parametrize("moment", KILLS)
@pytest.mark.parametrize("versioning", [None, "Suspended"])
def test_next_sweep_settles_the_files_that_a_killed_sweep_had_begun_to_erase(
    moment: str, versioning: str | None
) -> None:
    operation, number, how, expected = KILLS[moment]
    world = staffed(BATCH + 5, versioning=versioning)
    world.faults = killed_at(operation, number, how)
    with pytest.raises(Killed):
        world.sweep(after=DAY)
    world.faults = lambda _operation: None
    begun = orphans_of(world)

    result = world.sweep("Detect", after=HOUR)

    found = told(world)
    assert {one.outcome for one in found.values()} == expected
    for key, one in found.items():
        assert (key in begun) == one.outcome.startswith("kept"), (key, one.outcome)
    assert result.settled.total() == (BATCH if number <= 2 else 5)
    assert [key for key in world.objects if "/begun/" in key] == []
    assert world.sweep("Detect", after=HOUR).settled == {}
    assert Counter(map(len, told_all(world))) == Counter({1: len(found)}), "each file has one receipt"


def test_each_file_of_a_batch_of_a_killed_sweep_gets_its_true_outcome() -> None:
    world = staffed(BATCH)
    world.faults = killed_at("DeleteObject", 8, "killed after")  # two are of the probe
    with pytest.raises(Killed):
        world.sweep(after=DAY)
    world.faults = lambda _operation: None
    there = orphans_of(world)
    assert len(there) == BATCH - 6
    result = world.sweep("Detect", after=HOUR)
    assert result.settled == {ABSENT: BATCH - len(there), KEPT_INTERRUPTED: len(there)}
    for key, one in told(world).items():
        kept = "kept: interrupted, after a cut-off attempt"
        assert one.outcome == (kept if key in there else receipts.ABSENT_AFTER_INTENT)


@pytest.mark.parametrize("went", [True, False])
def test_a_file_of_which_a_sweep_does_not_know_whether_it_went_is_settled_by_the_next(went: bool) -> None:
    world = staffed(3, versioning="Enabled")
    operation = "ListObjectVersions" if went else "DeleteObjects"

    def fault(asked: str) -> str | None:
        begun = world.calls["DeleteObjects"] > 0
        return "InternalError" if asked == operation and begun else None

    world.faults = fault
    result = world.sweep(after=DAY)
    assert ({one.outcome for one in told(world).values()}, orphans_of(world) == set()) == (
        {"failed: InternalError"}, went,
    )  # fmt: skip
    assert result.erased.count("failed") == 3
    world.faults = lambda _operation: None
    assert world.sweep("Detect", after=HOUR).settled.total() == 3
    expected = receipts.ABSENT_AFTER_INTENT if went else "kept: interrupted, after a failed attempt"
    assert {one.outcome for one in told(world).values()} == {expected}
    assert world.sweep("Detect", after=HOUR).settled == {}


def test_a_sweep_that_fails_while_it_settles_counts_what_it_has_settled() -> None:
    world = staffed(1)
    for number in range(2):
        forged = OWN | {"files": [["nothing.pdf", int(world.now)]]}
        world.put(f".humangov/begun/x-{number}.json", json.dumps(forged).encode(), at=world.now - DAY)
    world.faults = refuse_after(1, "AccessDeniedException")
    with pytest.raises(Exception, match="AccessDeniedException"):
        world.sweep("Detect", after=HOUR)
    assert world.reached is not None
    assert world.reached.settled.total() == 1


def test_the_batch_of_a_sweep_that_may_still_run_is_left_to_it() -> None:
    world = staffed(3)
    world.faults = killed_at("PutLogEvents", 1, "killed after")
    with pytest.raises(Killed):
        world.sweep(after=DAY)
    world.faults = lambda _operation: None
    assert world.sweep("Detect", after=60).settled == {}
    assert world.sweep("Detect", after=HOUR).settled.total() == 3


def test_the_outcomes_that_could_not_be_stored_follow_with_the_next_sweep() -> None:
    world = staffed(MANY)
    world.faults = refuse_after(3, "AccessDeniedException")
    with pytest.raises(Exception, match="AccessDeniedException"):
        world.sweep(after=DAY)
    world.faults = lambda _operation: None
    result = world.sweep(after=DAY)
    said = status.message(result, world.names, problem=None)
    assert f"earlier sweeps had left the outcome of {BATCH} files open, and 0 of these are still there" in said
    assert Counter(one.outcome for one in told(world).values()) == {
        "erased": MANY - BATCH, "absent after intent": BATCH,
    }  # fmt: skip


OWN = {
    "begun": 1, "tenant": "cluster/humangov/california", "run": "r", "orphanList": "l", "files": [["0.pdf", 1]],
}  # fmt: skip


@pytest.mark.parametrize(
    "forged",
    [
        b"", b"[]", b"null", b"[" * 100_000, b'{"begun": 1}',
        *(json.dumps(OWN | other).encode() for other in (
            {"begun": 2}, {"tenant": "other/humangov/x"}, {"files": [[".humangov/owner.json", 1]]},
            {"files": [["0.pdf", "x"]]}, {"files": 7}, {"files": [["0.pdf"]]},
        )),
    ],
)  # fmt: skip
def test_object_that_is_no_begun_batch_of_this_tenant_settles_nothing(forged: bytes) -> None:
    world = staffed(1)
    world.put(".humangov/begun/x-0.json", forged, at=world.now - DAY)
    assert world.sweep("Detect", after=HOUR).settled == {}
    assert world.receipts() == []


def test_a_forged_batch_erases_nothing_and_its_lines_are_true() -> None:
    world = staffed(1)
    forged = OWN | {"files": [["0.pdf", int(world.now)], ["nothing.pdf", int(world.now)]]}
    world.put(".humangov/begun/x-0.json", json.dumps(forged).encode(), at=world.now - DAY)
    assert world.sweep("Detect", after=HOUR).settled.total() == 2
    assert {key: one.outcome for key, one in told(world).items()} == {
        "0.pdf": "kept: interrupted", "nothing.pdf": "absent",
    }  # fmt: skip
    assert (world.lost, world.missing) == ([], set())


@pytest.mark.parametrize(
    "files",
    [
        '[["0.pdf", 1e400]]', '[["0.pdf", -1]]', '[["0.pdf", true]]', '[["\\ud800", 1]]', '[["", 1]]', '[["0.pdf"]]',
        f'[["{"a" * 1025}", 1]]', json.dumps([["0.pdf", 1]] * 101), '{"0.pdf": 1}',
    ],
)  # fmt: skip
def test_forged_begun_batch_that_no_sweep_can_have_written_is_ignored(files: str) -> None:
    world = staffed(1)
    body = json.dumps(OWN | {"files": []}).replace('"files": []', f'"files": {files}')
    world.put(".humangov/begun/x-0.json", body.encode(), at=world.now - DAY)
    assert world.sweep("Detect", after=HOUR).settled.total() == 0
    assert told(world) == {}


def test_an_unexpected_error_within_a_batch_fails_its_files_and_hides_no_earlier_erasure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = staffed(MANY)
    whole = erasure._one

    def broken(one: Any, **more: Any) -> Any:
        if one.key == f"orphan-{BATCH + 5:03}.pdf":
            raise IndexError(one.key)
        return whole(one, **more)

    monkeypatch.setattr(erasure, "_one", broken)
    result = world.sweep(after=DAY)
    assert result.erased.count("erased") == MANY - BATCH
    assert result.erased.count("failed") == BATCH
    assert {one.outcome for one in told(world).values()} == {"erased", "failed: IndexError"}
    assert word_for(result, failed=False, stopped=False) == ERASURE_FAILED


def test_bug_in_a_sweep_is_reported_with_the_number_of_erased_files_and_without_a_file_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = staffed(MANY)
    world.now += DAY
    kept = erasure._with_batch

    def broken(result: Any, batch: Any, results: Any) -> Any:
        if result.outcomes:
            raise KeyError("secret.pdf")
        return kept(result, batch, results)

    monkeypatch.setattr(erasure, "_with_batch", broken)
    monkeypatch.setattr("time.time", lambda: world.now)
    with world.behind(clients()) as sdk:
        monkeypatch.setattr(run, "connect_as_sweep", lambda _names: sdk)
        ended = run.sweep_tenant_of_manifest(world.names, run.SweepRequest())
    assert (ended.word, ended.exit_code, ended.bug) == ("Failed", 1, True)
    assert ended.result.erased.count("erased") == BATCH
    assert ended.problem is not None
    assert ended.problem.startswith("the sweep has ended because of a bug: KeyError in broken, line ")
    assert "secret" not in ended.problem


def test_version_uploaded_since_the_listing_stays_and_the_receipt_counts_it_as_left() -> None:
    world = staffed(1, versioning="Enabled")

    def upload_again(operation: str) -> None:
        if operation == "CreateLogStream":
            world.upload("orphan-000.pdf", body=b"another")

    world.meanwhile = upload_again
    world.sweep(after=DAY)

    assert "orphan-000.pdf" in world.files
    receipt = told(world)["orphan-000.pdf"]
    assert (receipt.outcome, receipt.versions_erased, receipt.versions_left) == ("erased", 1, 1)


def test_delete_whose_answer_was_lost_is_not_reported_as_merely_absent() -> None:
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
