"""Linters that look for weaknesses, over all that is shipped: `python -m deploy.lint [bandit parliament …]`.

Each finding is mended, or stands in exceptions.yaml with the reason why it stays. An exception that nothing needs any
more is a finding, too. A linter that ends without an answer fails: it has found nothing, good or bad.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from deploy.lint.linters import LINTERS, Finding

EXCEPTIONS = Path(__file__).parent / "exceptions.yaml"


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """Findings that stay. where: a pattern of Finding.where."""

    tool: str
    check: str
    where: str
    reason: str

    def covers(self, found: Finding) -> bool:
        """Whether the finding is one of these."""
        return (found.tool, found.check) == (self.tool, self.check) and fnmatchcase(found.where, self.where)


def read_exceptions(path: Path = EXCEPTIONS) -> list[Accepted]:
    """Raises TypeError where an entry lacks a field, such as its reason."""
    return [Accepted(**entry) for entry in yaml.safe_load(path.read_text())]


def verdict(found: Sequence[Finding], accepted: Iterable[Accepted]) -> list[str]:
    """What is wrong, a line each: findings that nothing accepts, and exceptions that nothing needs."""
    exceptions = list(accepted)
    open_findings = [one for one in found if not any(exception.covers(one) for exception in exceptions)]
    unused = [one for one in exceptions if not any(one.covers(finding) for finding in found)]
    return [
        *(f"{one.tool} {one.check} {one.where}: {one.text}" for one in open_findings),
        *(f"exceptions.yaml: {one.tool} {one.check} {one.where}: there is no such finding any more" for one in unused),
        *(f"exceptions.yaml: {one.tool} {one.check} {one.where}: no reason" for one in exceptions if not one.reason),
    ]


def main(wanted: Sequence[str]) -> int:
    """Exit code 0: clean."""
    tools = wanted or [*LINTERS]
    found = [finding for tool in tools for finding in LINTERS[tool]()]
    wrong = verdict(found, [one for one in read_exceptions() if one.tool in tools])
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{', '.join(tools)}: {len(found)} findings, {len(found) - len(_open(wrong))} with a reason\n")
    return 1 if wrong else 0


def _open(wrong: Iterable[str]) -> list[str]:
    return [line for line in wrong if not line.startswith("exceptions.yaml")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
