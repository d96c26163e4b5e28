"""The program as shells and kubectl run it: completion, plugin, output formats, progress line. Runs on nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from humangov.cli import install_check, kubectl_plugin, terminal
from humangov.cli.install_check import Check
from humangov.cli.main import main

from sandbox.paths import REPOSITORY
from testing.documents import differences, object_of

HUMANGOV = Path(sys.executable).parent / "humangov"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed_for_each_shell(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert f"_HUMANGOV_COMPLETE={shell}_complete" in result.output


def test_completion_in_bash_completes_commands_and_options() -> None:
    def completed(words: str) -> list[str]:
        environment = {**os.environ, "_HUMANGOV_COMPLETE": "bash_complete", "COMP_WORDS": words}
        environment["COMP_CWORD"] = str(len(words.split(" ")) - 1)
        done = subprocess.run([HUMANGOV], env=environment, capture_output=True, text=True, check=True, timeout=60)
        return [line.split(",")[1] for line in done.stdout.splitlines()]

    assert completed("humangov re") == ["receipts", "redrive", "report"]
    assert completed("humangov receipts --si") == ["--since"]


def test_completion_script_of_bash_is_valid(tmp_path: Path) -> None:
    script = tmp_path / "humangov.bash"
    script.write_text(CliRunner().invoke(main, ["completion", "bash"]).output)
    subprocess.run([shutil.which("bash") or "bash", "-n", script], check=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "found", "directive"),
    [
        (["re"], ["receipts", "redrive", "report"], ":4"), (["receipts", "--si"], ["--since"], ":4"),
        (["check", "-o", ""], ["table", "json", "yaml"], ":4"), (["plan", "-f", ""], [], ":0"),
        (["uninst"], ["uninstall-check"], ":4"),
    ],
)  # fmt: skip
def test_kubectl_completes_the_plugin(words: list[str], found: list[str], directive: str) -> None:
    *lines, last = kubectl_plugin.completions(words)
    assert [line.split("\t")[0] for line in lines] == found
    assert last == directive


def test_plugin_is_named_as_kubectl_looks_for_it() -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["kubectl-humangov"] == f"{kubectl_plugin.__name__}:run"
    assert scripts["kubectl_complete-humangov"] == f"{kubectl_plugin.__name__}:complete"


def test_plugin_calls_itself_as_it_was_called(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl-humangov", "plan", "--help"])
    with pytest.raises(SystemExit) as ended:
        kubectl_plugin.run()
    assert ended.value.code == 0
    assert "Usage: kubectl humangov plan" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "read"), [(["-o", "json"], json.loads), (["--json"], json.loads),
                                                 (["-o", "yaml"], yaml.safe_load)])  # fmt: skip
def test_output_for_programs_is_one_object(monkeypatch: pytest.MonkeyPatch, arguments: list[str], read: Any) -> None:
    async def in_cluster(*_: object, **__: object) -> list[Check]:
        return [Check(part="leader", problem='nobody: "x"\nleads.')]

    monkeypatch.setattr(install_check, "in_cluster", in_cluster)
    monkeypatch.setattr(install_check, "in_aws", lambda _: Check(part="AWS", found="account 1"))
    given = ["install-check", "--wait", "0", "--region", "us-east-1", *arguments]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 1
    found = read(result.output)
    assert differences(found, object_of("install-check")) == []
    assert found == {
        "checks": [
            {"part": "leader", "found": "", "problem": 'nobody: "x"\nleads.'},
            {"part": "AWS", "found": "account 1", "problem": None},
        ]
    }


def drawn(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, act: Any) -> str:
    monkeypatch.setattr(terminal, "_PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(terminal, "_REDRAWN_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(sys, "stderr", stream)
    terminal.begin_progress("receipts")
    act(stream)
    terminal.end_progress()
    return stream.getvalue()


def until_drawn(stream: io.StringIO) -> None:
    for _ in range(1000):
        if "humangov receipts: " in stream.getvalue():
            return
        threading.Event().wait(0.01)
    raise AssertionError("no progress is shown")


def test_command_that_takes_long_shows_its_seconds_and_clears_them(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(monkeypatch, Terminal(), until_drawn)
    assert "\r\x1b[Khumangov receipts: 0 s" in text
    assert text.endswith("\r\x1b[K")


def test_first_output_ends_the_progress_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(stream: io.StringIO) -> None:
        until_drawn(stream)
        terminal.show("found", err=True)
        length = len(stream.getvalue())
        threading.Event().wait(0.1)
        assert len(stream.getvalue()) == length

    assert drawn(monkeypatch, Terminal(), act).endswith("\r\x1b[Kfound\n")


def test_without_a_terminal_there_is_no_progress_line(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = lambda _: threading.Event().wait(0.1)  # noqa: E731
    assert drawn(monkeypatch, io.StringIO(), wait) == ""


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["nonsense"]])
def test_program_prints_no_colour_with_or_without_no_color(arguments: list[str]) -> None:
    """Nothing that it prints has colours, so NO_COLOR has nothing to turn off."""
    for environment in ({"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}):
        result = CliRunner().invoke(main, arguments, env=environment, color=True)
        assert "\x1b" not in result.output
