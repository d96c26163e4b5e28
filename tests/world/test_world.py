"""The adversarial world holds its invariants on fixed seeds, and each invariant is seen to fail on code that is broken.

`make bench NAME=world` runs twenty thousand histories; `python -m testing.world SEED` runs one again, with its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest
from humangov.cleanup import guard, receipt_lines, settle
from humangov.cleanup.calls import Calls
from humangov.cleanup.erase import Erased
from humangov.cleanup.outcomes import ERASED, BatchResult, FileResult
from humangov.final_read.final_read import FinalRead
from humangov.sweep import scratch_db, status
from humangov.sweep.listing import Stored

from testing.world.promises import LOST, RECEIPT, SILENT, STATUS
from testing.world.history import STEPS, History, run

SEEDS = range(1000, 1040)
Break = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def histories() -> list[History]:
    return [run(seed) for seed in SEEDS]


def test_whatever_happens_the_four_promises_hold(histories: list[History]) -> None:
    found = {violation.why: one.seed for one in histories for violation in one.violations}
    assert not found, f"python -m testing.world SEED shows it: {found}"


def test_histories_are_long_enough_and_bad_enough_to_show_something(histories: list[History]) -> None:
    assert all(one.steps >= STEPS for one in histories)
    assert sum(one.erased for one in histories) > 200
    assert sum(one.faults.total() for one in histories) > 400


def test_the_same_seed_is_the_same_history() -> None:
    once, again = run(7, keep=True), run(7, keep=True)
    assert once.trace == again.trace
    assert once.faults == again.faults


def _verdicts_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(guard, "verdict", lambda *_arguments, **_more: None)


def _nothing_is_erased_and_called_erased(patch: pytest.MonkeyPatch) -> None:
    def erase(_calls: Calls, *, keys: Sequence[str], **_more: Any) -> Erased:
        return Erased({key: FileResult(ERASED) for key in keys}, {})

    def erase_versions(_calls: Calls, *, seen: Iterable[str], **_more: Any) -> dict[str, FileResult]:
        return {key: FileResult(ERASED, 1) for key in seen}

    patch.setattr(settle, "erase", erase)
    patch.setattr(settle, "erase_versions", erase_versions)


def _no_intents(patch: pytest.MonkeyPatch) -> None:
    real = receipt_lines.intent_line
    patch.setattr(receipt_lines, "intent_line", lambda *given, **more: {**real(*given, **more), "receipt": "none"})


def _failures_are_acknowledged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BatchResult, "answer", property(lambda _result: {"batchItemFailures": []}))


def _the_orphan_list_drops_a_file(patch: pytest.MonkeyPatch) -> None:
    real = scratch_db.Scratch.orphans

    def but_the_first(scratch: scratch_db.Scratch) -> Iterator[Stored]:
        return iter([*real(scratch)][1:])

    patch.setattr(scratch_db.Scratch, "orphans", but_the_first)


def _the_status_counts_one_more(patch: pytest.MonkeyPatch) -> None:
    real = status._numbers
    patch.setattr(status, "_numbers", lambda result: {**real(result), "orphans": result.orphans + 1})


def _live_files_are_listed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scratch_db.Scratch, "name", lambda _scratch, _keys: None)


def _every_final_read_is_complete(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FinalRead, "complete", property(lambda _found: True))


@pytest.mark.parametrize(
    ("broken", "kinds"),
    [
        (_verdicts_are_ignored, {LOST}),
        (_nothing_is_erased_and_called_erased, {RECEIPT}),
        (_no_intents, {RECEIPT}),
        (_failures_are_acknowledged, {SILENT}),
        (_the_orphan_list_drops_a_file, {SILENT, STATUS}),
        (_the_status_counts_one_more, {STATUS}),
        (_live_files_are_listed, {STATUS}),
        (_every_final_read_is_complete, {STATUS}),
    ],
    ids=[
        "verdicts ignored",
        "called erased",
        "no intents",
        "failures acknowledged",
        "orphan dropped",
        "one more",
        "live files listed",
        "always complete",
    ],
)
def test_code_that_breaks_one_promise_is_found_out_for_that_promise(broken: Break, kinds: set[str]) -> None:
    """In a history that holds with the code as it is."""
    for seed in range(2000, 2400):
        if run(seed).violations:
            continue
        with pytest.MonkeyPatch.context() as patch:
            broken(patch)
            found = {one.kind for one in run(seed).violations}
        if found == kinds:
            return
    pytest.fail("no history shows it")
