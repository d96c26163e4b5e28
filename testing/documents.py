"""Documents as tests read them: YAML by the loader that libyaml has, and the tables of Markdown files.

Rendered manifests are parsed some two hundred times a run, and the loader in Python takes as long for one as helm takes
to render it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from sandbox.paths import REPOSITORY

COMMANDS = REPOSITORY / "docs" / "commands.md"
# Their keys are names of what was found.
_BY_NAME = {"otherClusters", "later", "by_condition", "by_mapping", "by_other_mapping", "outcomes", "failed",
            "unreadable", "kept", "record_key"}  # fmt: skip


def load_all(text: str) -> list[Any]:
    """Every document that holds something. Raises yaml.YAMLError."""
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document is not None]


def load_one(text: str) -> Any:
    """The one document. Raises yaml.YAMLError."""
    return yaml.load(text, yaml.CSafeLoader)


def table(path: Path, heading: str) -> list[list[str]]:
    """The rows of the table under a heading of a Markdown file, as cells."""
    section = re.split(r"^##+ ", path.read_text().split(f"## {heading}\n")[1], flags=re.MULTILINE)[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def object_of(command: str) -> Any:
    """The example of what a command prints for programs, in docs/commands.md."""
    section = COMMANDS.read_text().split(f"## humangov {command}\n")[1].split("\n## ")[0]
    found = re.search(r"```json\n(.*?)```", section, re.DOTALL)
    assert found is not None, f"docs/commands.md has no example of {command}"
    return json.loads(found[1])


def differences(printed: Any, documented: Any, *, absent: Collection[str] = (), at: str = "") -> list[str]:
    """Where an object has not the fields, or the kinds of values, of its example. absent: what may be missing."""
    if printed is None or documented is None:
        return []
    if isinstance(documented, list) and isinstance(printed, list):
        return [one for each in printed for one in differences(each, documented[0], absent=absent, at=f"{at}[]")]
    if isinstance(documented, dict) and isinstance(printed, dict):
        found = []
        if at.rpartition(".")[2] not in _BY_NAME:
            found += [f"{at}.{name} is printed, and not documented" for name in printed.keys() - documented.keys()]
            missing = documented.keys() - printed.keys() - set(absent)
            found += [f"{at}.{name} is documented, and not printed" for name in missing]
        for name in printed.keys() & documented.keys():
            found += differences(printed[name], documented[name], absent=absent, at=f"{at}.{name}")
        return found
    alike = isinstance(printed, int | float) and isinstance(documented, int | float)
    same = type(printed) is type(documented) or (alike and not isinstance(printed, bool))
    return [] if same else [f"{at} is {type(printed).__name__}, documented as {type(documented).__name__}"]
