"""That each statement of the Limits and of docs/security.md names the test that holds it, and each attack its own.

It can't show that a test shows what its name says.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox.paths import REPOSITORY
from testing.documents import table

DOCS = REPOSITORY / "docs"
SECURITY, OPERATIONS = DOCS / "security.md", DOCS / "operations.md"
LIMITS, ATTACKS = DOCS / "design" / "2026-11-30-limits.md", DOCS / "design" / "2026-11-29-attacks.md"
OTHERS = ("Limits of docs/operations.md", "Permissions of the function", "Permissions for a redrive")
TABLES = {
    "Identities": "Identities", "Allowed names": "Allowed names", "Admission policies": "Admission policies",
    "What the operator does not find or not remove": "Limits", "What logs contain": "What logs contain",
    "What a receipt says": "What a receipt says", "How receipts are chained": "How receipts are chained",
}  # fmt: skip
"""Sections of the table of limits → those of docs/security.md with a table of the same first column."""


def sections(path: Path) -> list[str]:
    return re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)


def plain(cell: str) -> str:
    """Without the targets of links."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cell)


def named_tests(text: str) -> list[tuple[str, str]]:
    """File and name of each test; of `::test_x` alone, the file is that of the one before."""
    found: list[tuple[str, str]] = []
    for file, name in re.findall(r"`(tests/[\w/.-]+\.py)?::(test_\w+)`", text):
        found.append((file or found[-1][0], name))
    return found


@pytest.mark.parametrize("path", [LIMITS, ATTACKS], ids=["limits", "attacks"])
def test_each_test_that_holds_a_limit_or_stops_an_attack_exists(path: Path) -> None:
    found = named_tests(path.read_text())
    assert len(found) > 10
    assert len(found) == path.read_text().count("::test_"), "one is written in a way that is not read here"
    sources = {file: (REPOSITORY / file).read_text() for file, _ in found}
    assert [f"{file}::{name}" for file, name in found if f"\ndef {name}(" not in sources[file]] == []


def test_each_statement_names_the_code_and_a_test_or_the_source_of_what_others_say() -> None:
    rows = [row for heading in sections(LIMITS) if heading in (*TABLES, *OTHERS) for row in table(LIMITS, heading)]
    assert len(rows) > 100
    for statement, code, shown_by in rows:
        assert code, statement
        assert named_tests(shown_by) or shown_by.startswith("https://"), statement


def test_every_documented_limit_is_in_the_table_of_limits() -> None:
    text = OPERATIONS.read_text().split("\n## Limits\n")[1]
    assert [row[0] for row in table(LIMITS, OTHERS[0])] == re.findall(r"^- \*\*(.+?)\*\*", text, re.MULTILINE)


@pytest.mark.parametrize("heading", TABLES)
def test_every_row_of_a_table_of_the_security_page_is_in_the_table_of_limits(heading: str) -> None:
    documented = {plain(row[0]) for row in table(SECURITY, TABLES[heading])}
    assert documented
    here = [row[0] for row in table(LIMITS, heading)]
    if heading == "Allowed names":  # several lists in one row
        here = [name for cell in here for name in cell.split(", ")]
    assert documented - set(here) == set()
