"""What people, scripts and the status are told of a sweep. Runs on nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.cleanup.receipt_lines import parse
from humangov.sweep import output, status
from humangov.sweep.erasure import ErasureResult
from humangov.sweep.incomplete_uploads import ABORTED, IncompleteUploads
from humangov.sweep.listing import Stored
from humangov.sweep.orphan_list import OrphanList
from humangov.sweep.result import DELETE, DETECT, SweepResult, begin, exit_code, word_for
from humangov.sweep.safety_checks import SafetyCheck

from testing import samples

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
CHECK = SafetyCheck(name="TooManyOrphans", message="30 of 100 files", approval=True)


def result(mode: str = DELETE, *, dry_run: bool = False, **more: Any) -> SweepResult:
    begun = begin(mode=mode, dry_run=dry_run, now=NOW.timestamp())
    return replace(begun, **{"listed": 100, "live": 70, "orphans": 30, "orphan_bytes": 3 * 2**20, **more})


def erased(**outcomes: int) -> ErasureResult:
    found = {parse(name.replace("_", ": ")): number for name, number in outcomes.items()}
    return ErasureResult(outcomes=Counter({one: number for one, number in found.items() if one is not None}))


@pytest.mark.parametrize(
    ("of", "word", "code"),
    [
        (result(DETECT), "Detected", 2),
        (result(DETECT, orphans=0), "Detected", 0),
        (result(), "Detected", 2),
        (result(erased=erased(erased=30)), "Erased", 0),
        (result(erased=erased(erased=29, failed_SlowDown=1)), "ErasureFailed", 4),
        (result(erased=erased(failed_AccessDenied=30)), "ErasureFailed", 4),
        (result(erased=erased(erased=29, kept_newer=1)), "Erased", 2),
        (result(erased=erased(kept_newer=30)), "Detected", 2),
        (result(erased=erased(absent=30)), "Detected", 0),
        (result(erased=replace(erased(erased=10), unfinished="a person did", stopped=True)), "Stopped", 2),
        (result(erased=replace(erased(failed_SlowDown=10), unfinished="a person did", stopped=True)), "Stopped", 2),
        (result(failed_checks=[CHECK]), "SafetyCheckFailed", 3),
        (result(DETECT, failed_checks=[CHECK]), "Detected", 2),
        (result(dry_run=True, failed_checks=[CHECK]), "Detected", 2),
        (result(erased=ErasureResult(unfinished="a person did", stopped=True)), "Stopped", 2),
        (result(erased=ErasureResult(unfinished="its reading was too old")), "ErasureFailed", 4),
        (result(uploads=IncompleteUploads(outcomes=Counter({ABORTED: 1}), unfinished="x", stopped=True)), "Stopped", 2),
    ],
)
def test_sweep_result_has_a_word_and_an_exit_code(of: SweepResult, word: str, code: int) -> None:
    assert word_for(of, failed=False, stopped=False) == word
    assert exit_code(of, word=word) == code


def test_failed_sweep_is_reported_and_keeps_the_previous_numbers() -> None:
    before = {"orphans": 7, "listed": 9}
    fields = status.status_fields(
        result(), samples.names(), word="Failed", problem="no such table", now=NOW, before=before
    )
    assert (fields["result"], fields["message"], fields["orphans"], fields["listed"]) == (
        "Failed",
        "no such table",
        7,
        9,
    )
    assert exit_code(result(), word="Failed") == 1


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ({"failed_AccessDenied": 5}, "could not be erased: 5 (AccessDenied: 5); check that its role has deploy/iam/"),
        ({"failed_SlowDown": 1, "erased": 4}, "could not be erased: 1 (SlowDown: 1); the next sweep tries them again"),
    ],
)
def test_a_sweep_that_could_not_erase_says_why_and_what_to_do(outcomes: dict[str, int], said: str) -> None:
    found = result(erased=erased(**outcomes), confirmed=30)
    assert said in status.message(found, samples.names(), problem=None)
    assert said in "\n".join(output.lines(found, samples.names(), word="ErasureFailed", problem=None, files_named=True))


def test_sweep_status_counts_remaining_orphans() -> None:
    found = result(erased=erased(erased=20, absent=1, kept_newer=2, failed_SlowDown=7), confirmed=30)
    fields = status.status_fields(found, samples.names(), word="Erased", problem=None, now=NOW, before={})
    assert {name: fields[name] for name in ("orphans", "erased", "kept", "failed", "listed", "live")} == {
        "orphans": 9, "erased": 20, "kept": 2, "failed": 7, "listed": 100, "live": 70,
    }  # fmt: skip
    assert fields["nextRun"] == "2026-03-02T01:58:00Z"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"schedule": "0 2 * * *", "timeZone": "America/Los_Angeles"}, "2026-03-02T10:00:00Z"),
        ({"suspend": True}, None),
        ({"schedule": "99 2 * * *"}, None),
        ({"timeZone": "Mars/Olympus"}, None),
    ],
)
def test_next_sweep_run_is_in_utc_or_omitted(options: dict[str, Any], expected: str | None) -> None:
    assert status.next_run(samples.names(sweep=options), now=NOW) == expected


@pytest.mark.parametrize(
    ("age", "text"), [("24h", "24h"), ("1d", "24h"), ("90m", "1h30m"), ("3d", "3d"), ("1m", "1m"), ("25h", "25h")]
)
def test_sweep_table_prints_the_minimum_age_as_it_is_written(age: str, text: str) -> None:
    lines = output.lines(
        result(), samples.names(sweep={"minimumAge": age}), word="Detected", problem=None, files_named=True
    )
    [line] = [line for line in lines if "too young" in line]
    assert line.endswith(f"younger than {text}")


def test_failed_safety_check_says_how_to_approve_the_orphan_list() -> None:
    kept = OrphanList(key=".humangov/sweeps/x", sha256="ab" * 32, head=None)  # type: ignore[arg-type]
    found = result(failed_checks=[CHECK], orphan_list=kept)
    message = status.message(found, samples.names(), problem=None)
    assert "no orphan was erased: 30 of 100 files" in message
    signed = "humangov.io/approve-sweep-by=\"$(kubectl auth whoami -o jsonpath='{.status.userInfo.username}')\""
    assert f"humangov.io/approve-sweep={'ab' * 32} {signed} --overwrite" in message


def test_sweep_table_has_every_number_the_largest_orphans_and_the_orphan_list() -> None:
    kept = OrphanList(key=".humangov/sweeps/x", sha256="ab" * 32, head=None)  # type: ignore[arg-type]
    largest = [Stored("big.pdf", '"1"', 2 * 2**20, int(NOW.timestamp()))]
    lines = output.lines(
        result(orphan_list=kept, largest=largest, erased=erased(failed_SlowDown=3)),
        samples.names(),
        word="Erased",
        problem=None,
        files_named=True,
    )
    text = "\n".join(lines)
    for words in (
        "listed", "too young", "live", "orphans", "confirmed", "erased", "retained", "kept", "failed", "SlowDown: 3",
        "2.0 MiB  2026-03-01  big.pdf", "s3://humangov-california-s3/.humangov/sweeps/x",
    ):  # fmt: skip
        assert words in text
