"""The adversarial world holds its invariants on fixed seeds, and each invariant is seen to fail on code that is broken.

`make bench NAME=world` runs twenty thousand histories; `python -m testing.world SEED` runs one again, with its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.cleanup import guard, receipt_lines, settle
from humangov.cleanup.calls import Calls, Line
from humangov.cleanup.erase import Erased
from humangov.cleanup.outcomes import ERASED as FILE_ERASED
from humangov.cleanup.outcomes import BatchResult, FileResult
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.final_read.final_read import FinalRead
from humangov.proof import ledger, receipts
from humangov.proof.ledger import Kind, kind_of
from humangov.proof.receipts import CUT_OFF
from humangov.reading.followed_stream import FollowedStream
from humangov.sweep import earlier_lists, erasure, local_join, safety_checks, scratch_db, status
from humangov.sweep import run as sweep_run
from humangov.sweep.orphan_list import Sighting
from humangov.sweep.result import DELETE, ERASED, SweepResult
from humangov.sweep.result import word_for as word_for_result

from testing.world.history import STEPS, History, run
from testing.world.promises import LOST, RECEIPT, REPORT, SILENT, STATUS
from testing.world.setting import REUSED

SEEDS = range(1000, 1040)
Break = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def histories() -> list[History]:
    return [run(seed) for seed in SEEDS]


def test_whatever_happens_the_five_promises_hold(histories: list[History]) -> None:
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
        return Erased({key: FileResult(FILE_ERASED) for key in keys}, {})

    def erase_versions(_calls: Calls, *, seen: Iterable[str], **_more: Any) -> dict[str, FileResult]:
        return {key: FileResult(FILE_ERASED, 1) for key in seen}

    patch.setattr(settle, "erase", erase)
    patch.setattr(settle, "erase_versions", erase_versions)


def _no_intents(patch: pytest.MonkeyPatch) -> None:
    real = receipt_lines.intent_line
    patch.setattr(receipt_lines, "intent_line", lambda *given, **more: {**real(*given, **more), "receipt": "none"})


def _failures_are_acknowledged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BatchResult, "answer", property(lambda _result: {"batchItemFailures": []}))


def _the_orphan_list_drops_a_file(patch: pytest.MonkeyPatch) -> None:
    real = scratch_db.Scratch.orphans

    def but_the_first(scratch: scratch_db.Scratch) -> Iterator[Sighting]:
        return iter([*real(scratch)][1:])

    patch.setattr(scratch_db.Scratch, "orphans", but_the_first)


def _the_status_counts_one_more(patch: pytest.MonkeyPatch) -> None:
    real = status._numbers
    patch.setattr(status, "_numbers", lambda result: {**real(result), "orphans": result.orphans + 1})


def _live_files_are_listed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(local_join.LocalJoin, "name", lambda _join, _keys: None)


def _every_final_read_is_complete(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FinalRead, "complete", property(lambda _found: True))


def _a_report_believes_every_announcement(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ledger, "kind_of", lambda text: Kind("erased", text) if text == CUT_OFF else kind_of(text))


def _a_report_forgets_what_was_cut_off(patch: pytest.MonkeyPatch) -> None:
    real = receipts.joined
    patch.setattr(receipts, "joined", lambda events: (one for one in real(events) if one.outcome != CUT_OFF))


def _a_report_counts_attempts(patch: pytest.MonkeyPatch) -> None:
    each = ledger._FILES.replace("GROUP BY event_id, key", "GROUP BY event_id, key, number")
    patch.setattr(ledger, "_FILES", each)


@pytest.mark.parametrize(
    "broken",
    [
        _a_report_believes_every_announcement, _a_report_forgets_what_was_cut_off, _a_report_counts_attempts,
    ],
)  # fmt: skip
def test_a_report_whose_figures_are_not_true_is_found_out(broken: Break) -> None:
    with pytest.MonkeyPatch.context() as patch:
        broken(patch)
        assert any(one.kind == REPORT for seed in (1141, 1282, 1000) for one in run(seed).violations)


@pytest.mark.parametrize(
    ("broken", "kinds"),
    [
        (_verdicts_are_ignored, {LOST}),
        (_nothing_is_erased_and_called_erased, {RECEIPT, REPORT}),
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
    for seed in range(2008, 2400):
        if run(seed).violations:
            continue
        with pytest.MonkeyPatch.context() as patch:
            broken(patch)
            found = {one.kind for one in run(seed).violations}
        if found == kinds:
            return
    pytest.fail("no history shows it")


# Sweeps in mode Delete.


def _the_table_is_scanned_once(patch: pytest.MonkeyPatch) -> None:
    """Without the stream, and without the second reading."""

    def switched_off(stream: FollowedStream) -> None:
        stream.why_not = "it is switched off"

    patch.setattr(FollowedStream, "begin", switched_off)
    for name in ("spare", "spare_keys"):
        patch.setattr(scratch_db.Scratch, name, lambda _scratch, _keys: None)


def _one_sighting_is_enough(patch: pytest.MonkeyPatch) -> None:
    real = earlier_lists.compare

    def at_once(clients: AwsClients, names: Names, scratch: scratch_db.Scratch, **more: Any) -> Any:
        sweep = replace(names.tenant.sweep, confirm_after_seconds=0)
        return real(clients, replace(names, tenant=replace(names.tenant, sweep=sweep)), scratch, **more)

    patch.setattr(earlier_lists, "compare", at_once)


def _whatever_is_there_is_erased(patch: pytest.MonkeyPatch) -> None:
    """Neither its content nor its date is compared with what was listed."""
    real = Calls.attempt

    def unconditional(calls: Calls, method: Callable[..., Any], **request: Any) -> Any:
        request.pop("IfMatch", None)
        return real(calls, method, **request)

    patch.setattr(Calls, "attempt", unconditional)
    patch.setattr(erasure, "_is_as_listed", lambda *_given: True, raising=False)
    patch.setattr(erasure, "_has_changed", lambda *_given, **_more: None)


def _lines_of_sweeps(patch: pytest.MonkeyPatch, instead: Callable[[Line], Sequence[Line]]) -> None:
    real = ReceiptLog.write

    def write(log: ReceiptLog, lines: Iterable[Line], **more: Any) -> None:
        several = [(line, instead(line) if line.get("event") == "SWEEP" else [line]) for line in lines]
        real(log, [line for _, lines_instead in several for line in lines_instead], **more)

    patch.setattr(ReceiptLog, "write", write)


def _outcomes_come_first(patch: pytest.MonkeyPatch) -> None:
    def both(line: Line) -> Sequence[Line]:
        if line["receipt"] == "outcome":
            return []
        return [line, {**line, "receipt": "outcome", "outcome": "erased", "announced": True}]

    _lines_of_sweeps(patch, both)


def _a_sweep_stores_no_intents(patch: pytest.MonkeyPatch) -> None:
    _lines_of_sweeps(patch, lambda line: [] if line["receipt"] == "intent" else [line])


def _young_tables_are_not_checked(patch: pytest.MonkeyPatch) -> None:
    left = [
        check for check in safety_checks.CHECKS if check.__name__ not in ("table_changed", "restored", "young_table")
    ]
    patch.setattr(safety_checks, "CHECKS", tuple(left))


def _every_sweep_has_erased(patch: pytest.MonkeyPatch) -> None:
    real = word_for_result

    def word_for(result: SweepResult, **more: Any) -> str:
        return ERASED if result.mode == DELETE and not result.failed_checks else real(result, **more)

    patch.setattr(sweep_run, "word_for", word_for)


_DODGED = {"mode": DELETE, "restless": True, "page": 2}
_UPLOADED_AGAIN = {"mode": DELETE, "file_names": REUSED, "versioning": None, "between": 0.3}
_ANY = {"mode": DELETE}


@pytest.mark.parametrize(
    ("broken", "having", "first", "kind"),
    [
        (_the_table_is_scanned_once, _DODGED, 5003, LOST),
        (_one_sighting_is_enough, _ANY, 5003, LOST),
        (_whatever_is_there_is_erased, _UPLOADED_AGAIN, 5006, LOST),
        (_outcomes_come_first, _ANY, 5002, RECEIPT),
        (_a_sweep_stores_no_intents, _ANY, 5002, RECEIPT),
        (_young_tables_are_not_checked, _ANY, 5007, LOST),
        (_every_sweep_has_erased, _ANY, 5000, STATUS),
    ],
    ids=[
        "scanned once",
        "no confirmAfter",
        "identity ignored",
        "outcome first",
        "no intent",
        "check skipped",
        "always Erased",
    ],
)
def test_a_sweep_that_breaks_one_rule_is_found_out(
    broken: Break, having: Mapping[str, Any], first: int, kind: str
) -> None:
    """In a history of sweeps in mode Delete that holds with the code as it is. first: the seed to begin with."""
    for seed in range(first, first + 200):
        with pytest.MonkeyPatch.context() as patch:
            broken(patch)
            found = {one.kind for one in run(seed, having=having).violations}
        if kind in found and not run(seed, having=having).violations:
            return
    pytest.fail("no history shows it")
