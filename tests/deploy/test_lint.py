"""`make lint-security`: each finding is mended or has a reason beside it, and a linter that says nothing has failed."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from deploy.lint import linters
from deploy.lint.__main__ import Accepted, read_exceptions, verdict
from deploy.lint.linters import Finding, LinterError

FOUND = Finding(tool="bandit", check="B608", where="operator/humangov/x.py", text="line 7: SQL")
ACCEPTED = Accepted(tool="bandit", check="B608", where="operator/humangov/*.py", reason="constants")


def test_linter_finding_without_an_exception_is_reported() -> None:
    assert verdict([FOUND], []) == ["bandit B608 operator/humangov/x.py: line 7: SQL"]
    assert verdict([FOUND], [ACCEPTED]) == []


@pytest.mark.parametrize("other", [{"tool": "checkov"}, {"check": "B609"}, {"where": "deploy/x.py"}])
def test_linter_exception_covers_only_its_own_check_and_place(other: dict[str, str]) -> None:
    wrong = verdict([replace(FOUND, **other)], [ACCEPTED])
    assert len(wrong) == 2
    assert "there is no such finding any more" in wrong[1]


def test_exception_without_a_reason_is_none() -> None:
    assert verdict([FOUND], [replace(ACCEPTED, reason="")]) == [
        "exceptions.yaml: bandit B608 operator/humangov/*.py: no reason"
    ]


def test_every_exception_has_a_reason_and_a_linter() -> None:
    exceptions = read_exceptions()
    assert exceptions
    assert [one for one in exceptions if len(one.reason) < 20 or one.tool not in linters.LINTERS] == []


@pytest.mark.parametrize("program", ["raise SystemExit('no rules')", "pass", "print('Traceback')"])
def test_linter_that_answers_nothing_has_not_found_nothing(program: str) -> None:
    with pytest.raises(LinterError, match="ended with"):
        linters._json([sys.executable, "-c", program])


def test_bandit_and_checkov_that_checked_nothing_have_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"bandit": {"results": [], "errors": [{"reason": "syntax error"}]}, "checkov": {"passed": 0}}
    for name, linter in (("bandit", linters.bandit), ("checkov", linters.checkov)):
        monkeypatch.setattr(linters, "_json", lambda _command, name=name: answers[name])
        with pytest.raises(LinterError):
            list(linter())


def test_policies_are_linted_with_every_placeholder_filled() -> None:
    policies = linters._policies()
    assert len(policies) >= 8
    assert [path.name for path in policies if "${" in linters._filled(path.read_text())] == []
