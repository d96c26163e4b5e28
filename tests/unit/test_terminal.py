"""Whatever a tenant or its users put into a name reaches no terminal unescaped. Runs on nothing."""

from __future__ import annotations

import ast
import json
import logging
from typing import Any

import click
import pytest
from click.testing import CliRunner
from humangov.cleanup.outcomes import failed
from humangov.cli import main, terminal
from humangov.logs import JsonFormatter, TextFormatter, printable
from humangov.proof import receipt_table, receipts
from humangov.redrive import output as redrive_output
from humangov.redrive.result import RedriveResult
from humangov.sweep import output as sweep_output
from humangov.sweep.listing import Stored
from humangov.sweep.result import begin

from sandbox.paths import REPOSITORY
from testing import samples

EVIL = "a\x1b[2K\x1b[1A\n  erased                0  0 B\r\x07\x7f\x9b31m\u2028\u202egnp.pdf\ud800"
"""An escape sequence, a forged line, C1's own escape, a line separator, a change of direction, half a character."""

CLI = REPOSITORY / "operator" / "humangov" / "cli"


def harmless(text: str) -> bool:
    return all(one.isprintable() for line in text.split("\n") for one in line)


def receipt(**more: Any) -> receipts.Receipt:
    line = {
        "receipt": "outcome", "key": EVIL, "record_key": {EVIL: {"S": EVIL}}, "event_id": "e", "outcome": "erased",
        **more,
    }  # fmt: skip
    event = {"timestamp": 1_772_366_400_000, "logStreamName": "receipts/s", "message": json.dumps(line)}
    [found] = receipts.joined([event])
    return found


def sweep_lines() -> list[str]:
    result = begin(mode="Detect", now=0.0)
    named = Stored(key=EVIL, size=5, modified=0, etag='"e"', versions=())
    result = type(result)(**{**vars(result), "largest": [named], "shared": (EVIL,)})
    names = samples.names(bucket={"name": "files", "keyPrefix": EVIL})
    return sweep_output.lines(result, names, word="Detected", problem=None, files_named=True)


def redrive_lines() -> list[str]:
    result = RedriveResult(failed={EVIL: [failed(EVIL)]}, unreadable={EVIL: EVIL}, kept={EVIL: "AccessDenied"})
    return redrive_output.lines(result, samples.names(), dry_run=False)


@pytest.mark.parametrize("lines", [sweep_lines(), redrive_lines(), list(receipt_table.table_lines([receipt()]))])
def test_each_line_of_an_output_is_one_line_on_the_terminal(
    lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert any("a\\x1b[2K" in printable(line) for line in lines), "the name is shown"

    terminal.show(*lines)

    out = capsys.readouterr().out
    assert harmless(out)
    assert out.count("\n") == len(lines)


def test_every_form_of_the_receipts_is_harmless_on_a_terminal_and_exact_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in (receipt_table.csv_lines, receipt_table.json_lines, receipt_table.table_lines):
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        terminal.show_stored(form([receipt()]))
        assert harmless(capsys.readouterr().out), form

    assert json.loads(next(receipt_table.json_lines([receipt()])))["key"] == EVIL


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_name_in_the_log_forges_no_line(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(EVIL)
    except ValueError as error:
        trace = (type(error), error, error.__traceback__)
    record = logging.LogRecord("humangov", logging.WARNING, "", 1, "file %s", (EVIL,), trace)
    record.tenant = EVIL  # of a manifest that no API server has checked

    assert harmless(formatter.format(record))


def test_an_error_that_quotes_a_name_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("receipts")
    def failing() -> None:
        raise click.ClickException(EVIL.removesuffix("\ud800"))

    monkeypatch.setattr(main, "load", lambda _name: failing)

    said = CliRunner().invoke(main.main, ["receipts"]).output

    assert said.startswith("Error: a\\x1b[2K")
    assert harmless(said)
    assert said.count("\n") == 1


def test_commands_write_through_the_one_module_that_escapes() -> None:
    """`click.echo`, `print` and the streams themselves are named in no other module of the commands."""
    found = []
    for path in sorted(CLI.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            writes = isinstance(node, ast.Attribute) and node.attr in ("echo", "secho", "stdout", "write")
            if (writes or (isinstance(node, ast.Name) and node.id == "print")) and path.name != "terminal.py":
                found.append(f"{path.name}:{getattr(node, 'lineno', 0)}")
    assert found == []
    assert (CLI / "terminal.py").is_file()


def test_nothing_else_of_the_operator_writes_to_a_stream() -> None:
    """Only logs.py, which escapes, and the function, whose output is its log group."""
    found = []
    for path in sorted(CLI.parent.rglob("*.py")):
        place = path.relative_to(CLI.parent).as_posix()
        if place.startswith(("cleanup/", "cli/")) or place == "logs.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            writes = isinstance(node, ast.Attribute) and node.attr in ("echo", "secho", "stdout", "print_exc")
            prints = isinstance(node, ast.Name) and node.id in ("print", "StreamHandler")
            found += [f"{place}:{getattr(node, 'lineno', 0)}"] if writes or prints else []
    assert found == []


def test_printable_characters_are_not_escaped() -> None:
    assert printable("José Müller 履歴書 (2026).pdf") == "José Müller 履歴書 (2026).pdf"
