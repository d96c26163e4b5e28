"""What people, scripts and the status are told of a sweep. Runs on nothing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.api.spec import Sweep
from humangov.sweep import engine
from humangov.sweep import result as told
from humangov.sweep.engine import Summary
from humangov.sweep.erasure import Erased
from humangov.sweep.listing import Stored
from humangov.sweep.orphan_list import Kept
from humangov.sweep.safety_checks import Brake

from testing import samples

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
BRAKE = Brake(name="TooManyOrphans", message="30 of 100 files", approval=True)


def summary(mode: str = engine.DELETE, *, dry_run: bool = False, **more: Any) -> Summary:
    found = engine.begin(mode=mode, dry_run=dry_run, now=NOW.timestamp())
    found.listed, found.live, found.orphans, found.orphan_bytes = 100, 70, 30, 3 * 2**20
    for name, value in more.items():
        setattr(found, name, value)
    return found


def erased(**outcomes: int) -> Erased:
    return Erased(outcomes=Counter({name.replace("_", ": "): number for name, number in outcomes.items()}))


@pytest.mark.parametrize(
    ("of", "word", "code"),
    [
        (summary(engine.REPORT), "Reported", 2),
        (summary(engine.REPORT, orphans=0), "Reported", 0),
        (summary(), "Reported", 2),
        (summary(erased=erased(erased=30)), "Erased", 0),
        (summary(erased=erased(erased=29, failed_SlowDown=1)), "Erased", 2),
        (summary(brakes=[BRAKE]), "Refused", 3),
        (summary(engine.REPORT, brakes=[BRAKE]), "Reported", 2),
        (summary(dry_run=True, brakes=[BRAKE]), "Reported", 2),
        (summary(erased=Erased(unfinished="stopped")), "Stopped", 2),
    ],
)
def test_one_word_and_an_exit_code_for_what_became_of_it(of: Summary, word: str, code: int) -> None:
    assert told.result(of, failed=False, stopped=False) == word
    assert told.exit_code(of, word=word) == code


def test_what_failed_is_told_as_such_whatever_was_found_and_old_numbers_stay() -> None:
    before = {"orphans": 7, "listed": 9}
    fields = told.status(summary(), samples.names(), word="Failed", trouble="no such table", now=NOW, before=before)
    assert (fields["result"], fields["message"], fields["orphans"], fields["listed"]) == (
        "Failed",
        "no such table",
        7,
        9,
    )
    assert told.exit_code(summary(), word="Failed") == 1


def test_the_status_counts_what_is_left() -> None:
    found = summary(erased=erased(erased=20, absent=1, kept_newer=2, failed_SlowDown=7), confirmed=30)
    fields = told.status(found, samples.names(), word="Erased", trouble=None, now=NOW, before={})
    assert {name: fields[name] for name in ("orphans", "erased", "kept", "failed", "listed", "live")} == {
        "orphans": 9, "erased": 20, "kept": 2, "failed": 7, "listed": 100, "live": 70,
    }  # fmt: skip
    assert fields["nextRun"] == "2026-03-02T03:17:00Z"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Sweep(schedule="0 2 * * *", time_zone="America/Los_Angeles"), "2026-03-02T10:00:00Z"),
        (Sweep(suspend=True), None),
        (Sweep(schedule="99 2 * * *"), None),
        (Sweep(time_zone="Mars/Olympus"), None),
    ],
)
def test_the_next_run_is_told_in_utc_where_it_can_be_told(options: Sweep, expected: str | None) -> None:
    assert told.next_run(options, now=NOW) == expected


def test_a_brake_says_how_a_person_lets_the_list_go() -> None:
    kept = Kept(key=".humangov/sweeps/x", sha256="ab" * 32, head=None)  # type: ignore[arg-type]
    found = summary(brakes=[BRAKE], manifest=kept)
    message = told.message(found, samples.names(), trouble=None)
    assert "nothing was erased: 30 of 100 files" in message
    assert f"humangov.io/approve-sweep={'ab' * 32}" in message


def test_the_table_has_every_number_the_largest_and_where_the_list_is() -> None:
    kept = Kept(key=".humangov/sweeps/x", sha256="ab" * 32, head=None)  # type: ignore[arg-type]
    largest = [Stored("big.pdf", '"1"', 2 * 2**20, int(NOW.timestamp()))]
    lines = told.lines(
        summary(manifest=kept, largest=largest, erased=erased(failed_SlowDown=3)),
        samples.names(),
        word="Erased",
        trouble=None,
    )
    text = "\n".join(lines)
    for words in (
        "listed", "too young", "live", "orphans", "confirmed", "erased", "retained", "kept", "failed", "SlowDown: 3",
        "2.0 MiB  2026-03-01  big.pdf", "s3://humangov-california-s3/.humangov/sweeps/x",
    ):  # fmt: skip
        assert words in text
