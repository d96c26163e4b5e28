"""A page for each alert and for each reason of Stalled, all of one form. It can't show that the advice is good."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from sandbox.paths import REPOSITORY
from testing.documents import table
from tests.deploy.test_documents import OPERATIONS, PACKAGE, TAKEN_OVER, constant, quoted, values
from tests.unit.test_remedies import NO_ACTION, REASONS

RUNBOOKS = REPOSITORY / "docs" / "runbooks"
PAGES = sorted([*RUNBOOKS.glob("HumanGov*.md"), *(RUNBOOKS / "reasons").glob("*.md")])
SECTIONS = ["What it means", "How to see it", "What to do", "How to know that it is over"]
# What is in progress, or fails, becomes Stalled if it lasts (reconcile/overdue.py).
BECOMES_STALLED = ("action_required", "waiting", "ripening", "transient")
# Given where a condition is composed: a stop, an erasure limit, a legal hold, what is not there.
COMPOSED = {"Stopped", "ErasureLimit", "LegalHold", "TableNotFound", "BucketNotFound"}
# Of conditions that are never Stalled.
BESIDE = re.compile(r"^(?:`(?:Stopped|Held|SweepSucceeded|RecordsDelivered|RecordsHandled|FailuresHandled)`(?:, )?)+$")


def reasons_of_stalled() -> set[str]:
    """Every reason in the code that Ready may have when it is False or Unknown."""
    modules = [path for path in sorted(PACKAGE.rglob("*.py")) if not path.is_relative_to(PACKAGE / "cleanup")]
    constants = {
        f"{path.stem}.{name}": value
        for path in modules
        for node in ast.parse(path.read_text()).body
        for name, value in constant(node)
    }
    given = {
        reason
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "Finding"
        and node.func.attr in BECOMES_STALLED
        for reason in values(node.args[0], path.stem, constants)
    }
    rows = {reason: row[1] for row in table(OPERATIONS, "Reasons") for reason in quoted(row[0])}
    return {reason for reason in given | COMPOSED if not BESIDE.match(rows[reason])} | COMPOSED


def test_each_reason_of_stalled_has_a_runbook() -> None:
    assert {path.stem for path in (RUNBOOKS / "reasons").glob("*.md")} == reasons_of_stalled()
    assert TAKEN_OVER["mapping.state"] <= reasons_of_stalled()


def test_each_reason_with_a_runbook_has_a_test_that_carries_its_remedy_out_or_asks_to_wait() -> None:
    rows = {reason: row[3] for row in table(OPERATIONS, "Reasons") for reason in quoted(row[0])}
    without = {reason for reason in reasons_of_stalled() - set(REASONS) if not NO_ACTION.match(rows[reason])}
    assert without == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_runbook_is_short_and_has_the_four_sections(path: Path) -> None:
    title, *sections = re.split(r"^#+ ", path.read_text(), flags=re.MULTILINE)[1:]
    assert title.strip() == path.stem
    assert [section.partition("\n")[0] for section in sections] == SECTIONS
    for section in sections:
        assert len(section.partition("\n")[2].split()) >= 2, section
    assert len(path.read_text().split()) <= 250


def test_list_of_runbooks_is_complete() -> None:
    linked = set(re.findall(r"\]\(((?:reasons/)?\w+\.md)\)", (RUNBOOKS / "README.md").read_text()))
    assert linked == {str(path.relative_to(RUNBOOKS)) for path in PAGES}
    stalled = (RUNBOOKS / "HumanGovStateStalled.md").read_text()
    assert set(re.findall(r"\]\(reasons/(\w+)\.md\)", stalled)) == reasons_of_stalled()
