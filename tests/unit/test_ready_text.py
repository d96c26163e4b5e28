"""What Ready says of who erases the files of deleted records is so."""

from __future__ import annotations

from typing import Any

import pytest
from humangov.reconcile.conclude import ready_text

from testing import samples

ERASED, STAY = "files of deleted records are erased", "files of deleted records stay"
DELETE = {"mode": "Delete"}


def shared(**spec: Any) -> dict[str, Any]:
    return {"table": {"name": "california", "fileNames": "Shared"}, **spec}


CASES: dict[str, tuple[dict[str, Any], bool, str]] = {
    "unique names": ({}, True, ERASED),
    "unique names without sweeps": ({}, False, ERASED),
    "shared names in mode Detect": (shared(), True, STAY),
    "shared names in mode Delete": (shared(sweep=DELETE), True, "it erases files that no record names any more"),
    "shared names, the schedule is paused": (shared(sweep={**DELETE, "suspend": True}), True, STAY),
    "shared names without sweeps": (shared(sweep=DELETE), False, STAY),
    "shared names, disabled": (shared(sweep=DELETE, trigger={"enabled": False}), True, "it only reports them"),
    "disabled": ({"trigger": {"enabled": False}}, True, STAY),
    "legal hold": ({"hold": {"reason": "audit"}}, True, "since when nothing is erased"),
    "shared names and a legal hold": (shared(hold={"reason": "audit"}), True, "since when nothing is erased"),
    "suspended": ({"suspend": True}, True, "nothing will be changed"),
}


@pytest.mark.parametrize("case", CASES)
def test_ready_says_whether_files_of_deleted_records_are_erased(case: str) -> None:
    spec, sweeps, said = CASES[case]
    message = ready_text(samples.tenant(**spec), sweeps=sweeps)["ready_message"]
    assert said in message
    assert (ERASED in message) == (said == ERASED)
