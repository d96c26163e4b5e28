"""docs/sandbox.md: every command is run as it stands there, in its order, in one shell, on a sandbox of its own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import sandbox as sandboxes
from sandbox.paths import REPOSITORY, ROOT_VARIABLE

PAGE = REPOSITORY / "docs" / "sandbox.md"


def commands() -> list[tuple[str, str]]:
    """(section, the text of a block) of all blocks, none of which is left out."""
    found, section = [], ""
    parts = re.split(r"^```(\w+)\n(.*?)^```\n", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    for prose, language, text in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        section = ([section, *re.findall(r"^## (.*)$", prose, flags=re.MULTILINE)])[-1]
        assert language == "bash"
        found.append((section, text))
    return found


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KUBE", "HUMANGOV_SANDBOX"))
    }
    chosen = {**own, ROOT_VARIABLE: str(tmp_path / "sandbox")}
    yield chosen
    sandboxes.down(environ=chosen, purge=True)


def test_newcomer_brings_an_application_sees_files_erased_and_leaves_nothing(environment: Mapping[str, str]) -> None:
    script = "set -euo pipefail\n" + "".join(f"echo '## {section}'\n{text}" for section, text in commands())
    done = subprocess.run(
        ["bash", "-c", script], cwd=REPOSITORY, env=dict(environment), capture_output=True, text=True, timeout=900,
        check=False,
    )  # fmt: skip
    told = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, told
    seen: dict[str, str] = {}
    parts = re.split(r"^## (.*)\n", done.stdout, flags=re.MULTILINE)[1:]
    for section, text in zip(parts[::2], parts[1::2], strict=True):  # a section may have several blocks
        seen[section] = seen.get(section, "") + text
    assert "humangov/nevada (123456789012, us-east-1): in sync" in seen["3. The state"]
    assert "bob.pdf is erased" in seen["4. A record is deleted, its file is erased"]
    assert "bob.pdf" in seen["4. A record is deleted, its file is erased"].partition("is erased")[2]
    swept = seen["6. From Detect to Delete"]
    assert re.search(r"[Tt]able was created at|YoungTable|[Ss]afety check", swept), swept
    assert re.search(r"erased +1\b", swept), swept
    assert re.search(r"^humangov-nevada-\S+\.html$", swept, flags=re.MULTILINE), swept
    assert "No leaked" in seen["7. Undo it all"] or "no leaked" in seen["7. Undo it all"], seen["7. Undo it all"]
    assert not (REPOSITORY / "nevada.yaml").exists()
