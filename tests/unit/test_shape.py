"""The shape of the operator's code: what fits on a screen can be read. Runs on nothing.

A branch is one more way through a function: `if`, a loop, `except`, a `case`, each further operand of `and` and `or`,
each `for` and `if` of a comprehension. Functions within a function count with it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.paths import REPOSITORY

OPERATOR = REPOSITORY / "operator"
PACKAGE = OPERATOR / "humangov"
MODULE_LINES, FUNCTION_LINES, FUNCTION_BRANCHES, MODULES_BESIDE_THE_FOLDERS = 400, 60, 22, 6
ADVICE = "Take a function, or a module, out of it for each idea (tests/unit/test_shape.py says how branches count)"


@dataclass(frozen=True)
class Function:
    """place: `humangov/aws/role.py: plan`."""

    place: str
    lines: int
    branches: int

    @property
    def is_too_large(self) -> bool:
        return self.lines > FUNCTION_LINES or self.branches > FUNCTION_BRANCHES


def modules() -> Iterator[tuple[str, Path]]:
    """Each module's place and path."""
    return ((str(path.relative_to(OPERATOR)), path) for path in sorted(OPERATOR.rglob("*.py")))


def functions_in(source: str, *, place: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(f"{place}: {node.name}", lines, sum(map(branches_of, ast.walk(node))))


def branches_of(node: ast.AST) -> int:
    """How many ways this node alone adds."""
    match node:
        case ast.If() | ast.IfExp() | ast.For() | ast.AsyncFor() | ast.While() | ast.ExceptHandler() | ast.match_case():
            return 1
        case ast.BoolOp(values=values):
            return len(values) - 1
        case ast.comprehension(ifs=conditions):
            return 1 + len(conditions)
        case _:
            return 0


def too_long() -> dict[str, int]:
    """Modules over the limit, with their lines."""
    counted = {place: len(path.read_text().splitlines()) for place, path in modules()}
    return {place: lines for place, lines in counted.items() if lines > MODULE_LINES}


def too_large() -> list[Function]:
    every = (one for place, path in modules() for one in functions_in(path.read_text(), place=place))
    return [one for one in every if one.is_too_large]


def test_operator_modules_are_within_the_line_limit() -> None:
    found = too_long()
    assert not found, f"over {MODULE_LINES} lines: {found}. {ADVICE}."


def test_operator_functions_are_within_the_line_and_branch_limits() -> None:
    found = [f"{one.place} has {one.lines} lines and {one.branches} branches" for one in too_large()]
    limits = f"over {FUNCTION_LINES} lines or {FUNCTION_BRANCHES} branches"
    assert not found, f"{limits}: {'; '.join(found)}. {ADVICE}."


def test_few_operator_modules_are_outside_the_packages() -> None:
    found = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert len(found) <= MODULES_BESIDE_THE_FOLDERS, f"{found}: put what is new into the folder of its idea"


LONG = "def long() -> None:\n" + "    print()\n" * FUNCTION_LINES


@pytest.mark.parametrize(
    ("source", "lines", "branches"),
    [
        ("def plain() -> int:\n    return 1\n", 2, 0),
        ("def f(a, b, c):\n    if a and b or c:\n        return 1\n    return 2 if a else 3\n", 4, 4),
        ("async def f(of):\n    async for one in of:\n        while one:\n            pass\n", 4, 2),
        ("def f(of):\n    return [a for a in of if a if a > 1]\n", 2, 3),
        ("def f(a):\n    match a:\n        case 1:\n            pass\n        case _:\n            pass\n", 6, 2),
        ("def f():\n    try:\n        pass\n    except OSError:\n        pass\n", 5, 1),
        (LONG, FUNCTION_LINES + 1, 0),
    ],
    ids=["plain", "conditions", "loops", "comprehension", "match", "except", "long"],
)
def test_function_lines_and_branches_are_counted(source: str, lines: int, branches: int) -> None:
    [found] = functions_in(source, place="module.py")
    assert (found.lines, found.branches) == (lines, branches)
    assert found.is_too_large == (lines > FUNCTION_LINES)
