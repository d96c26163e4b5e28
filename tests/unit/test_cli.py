"""Arguments in, exit codes out: the operator and the plan behind them are stubs. Runs on nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result
from humangov.api.allowed_names import Patterns
from humangov.aws.change import Change
from humangov.cli.main import COMMANDS, load, main
from humangov.kube import client
from humangov.manager.run_settings import RunSettings
from humangov.reconcile.plan import PlanError, Planned
from humangov.reconcile.settings import Settings

from testing.samples import resource

Started = list[tuple[Settings, RunSettings]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What `humangov run` would have started."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    seen: Started = []

    def run(settings: Settings, run_settings: RunSettings) -> int:
        seen.append((settings, run_settings))
        return 0

    monkeypatch.setattr("humangov.manager.manager.run", run)
    monkeypatch.setattr("humangov.logs.configure", lambda **_: None)
    return seen


def invoke(*arguments: str, stdin: str | None = None, **environment: str) -> Result:
    result = CliRunner().invoke(main, list(arguments), input=stdin, env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def commands() -> list[click.Command]:
    return [load(name) for name in sorted(COMMANDS)]


@pytest.mark.parametrize("command", commands(), ids=lambda command: str(command.name))
def test_command_help_lists_every_flag_with_its_variable(command: click.Command, started: Started) -> None:
    text = invoke(str(command.name), "--help").output
    reported = " ".join(text.split())
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        assert option.opts[-1] in text
        assert option.help
        assert option.help.split()[0] in text
    assert command.help
    assert command.help.splitlines()[0] in reported


def test_program_help_lists_its_commands(started: Started) -> None:
    text = invoke("--help").output
    assert all((str(command.name) in text) is not command.hidden for command in commands())
    assert "humangov" in invoke("--version").output


def test_command_list_repeats_the_summary_of_each_command() -> None:
    listed = {name: (main.commands[name].get_short_help_str(1000), main.commands[name].hidden) for name in COMMANDS}
    themselves = {name: ("" if load(name).hidden else load(name).get_short_help_str(1000)) for name in COMMANDS}
    assert listed == {name: (text, load(name).hidden) for name, text in themselves.items()}
    assert [load(name).name for name in COMMANDS] == list(COMMANDS)


HEAVY = """
import sys
from click.testing import CliRunner
from humangov.cli.main import main
result = CliRunner().invoke(main, sys.argv[1:])
assert result.exit_code == 0, result.output
print(*(name for name in ("boto3", "kopf", "kubernetes") if name in sys.modules))
"""


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["--help"], ""), (["--version"], ""), (["receipts", "--help"], "boto3"),
        (["report", "--help"], "boto3"), (["redrive", "--help"], "boto3"),
        (["uninstall-check", "--help"], "kubernetes"), (["leaks", "--help"], "boto3 kubernetes"),
    ],
)  # fmt: skip
def test_command_imports_only_what_it_needs(arguments: list[str], loaded: str) -> None:
    command = [sys.executable, "-c", HEAVY, *arguments]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == loaded


def test_command_whose_reader_has_read_enough_ends_without_a_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "humangov.cli", "completion", "bash"],
            stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_every_flag_of_run_has_an_environment_variable() -> None:
    options = [option for option in load("run").params if isinstance(option, click.Option)]
    without = [option.opts[0] for option in options if not option.envvar and option.opts[0] != "--help"]
    assert without == []
    first = [option.envvar if isinstance(option.envvar, str) else (option.envvar or [""])[0] for option in options]
    variables = [str(variable) for variable in first]
    assert all(variable.startswith("HUMANGOV_") for variable in variables)
    assert len(set(variables)) == len(variables)


def test_run_reads_its_settings_from_flags(started: Started, tmp_path: Path) -> None:
    allowed = tmp_path / "names.yaml"
    allowed.write_text("florida: {tables: [f-*], buckets: [f-*]}")
    result = invoke(
        "run", "--region", "us-gov-west-1", "--cluster-name", "c", "--tag", "a=b", "--tag", "c=d=e", "--namespace", "x",
        "--namespace", "y", "--allowed-names", str(allowed), "--resync", "60", "--workers", "3", "--probe-address",
        "off", "--permissions-boundary", "arn:b",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    [(settings, run_settings)] = started
    assert settings.region == "us-gov-west-1"
    assert settings.default_tags == {"a": "b", "c": "d=e"}
    assert settings.namespaces == ("x", "y")
    assert settings.permissions_boundary_arn == "arn:b"
    assert settings.allowed.namespaces == {"florida": Patterns(tables=("f-*",), buckets=("f-*",))}
    assert (run_settings.cluster_name, run_settings.resync_seconds, run_settings.workers) == ("c", 60, 3)
    assert run_settings.probe_port is None


def test_run_reads_its_settings_from_the_environment(started: Started) -> None:
    result = invoke(
        "run", HUMANGOV_REGION="eu-west-1", HUMANGOV_CLUSTER_NAME="c", HUMANGOV_TAGS="a=b c=d",
        HUMANGOV_NAMESPACE="x y", HUMANGOV_RESYNC="60", HUMANGOV_WORKERS="3",
        HUMANGOV_PROBE_ADDRESS="0.0.0.0:9", HUMANGOV_OPERATOR_NAMESPACE="own",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    [(settings, run_settings)] = started
    assert settings.region == "eu-west-1"
    assert settings.default_tags == {"a": "b", "c": "d"}
    assert settings.namespaces == ("x", "y")
    assert list(settings.allowed.namespaces) == ["own"]
    assert (run_settings.probe_host, run_settings.probe_port) == ("0.0.0.0", 9)


def test_region_defaults_to_that_of_the_sdk(started: Started) -> None:
    assert invoke("run", AWS_REGION="", AWS_DEFAULT_REGION="sa-east-1").exit_code == 0
    assert started[0][0].region == "sa-east-1"


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ([], "no AWS region"),
        (["--region", "r", "--tag", "x"], "expected KEY=VALUE"),
        (["--region", "r", "--tag", "=x"], "expected KEY=VALUE"),
        (["--region", "r", "--tag", "aws:x=y"], "reserved"),
        (["--region", "r", "--tag", "humangov.io/tenant=y"], "reserved"),
        (["--region", "r", "--probe-address", "x"], "HOST:PORT"),
        (["--region", "r", "--probe-address", "x:99999"], "HOST:PORT"),
        (["--region", "r", "--workers", "1"], "--workers"),
        (["--region", "r", "--resync", "0"], "--resync"),
        (["--region", "r", "--resync", "often"], "--resync"),
        (["--region", "r", "--resync", "nan"], "nan is not a number of seconds"),
        (["--region", "r", "--resync", "inf"], "inf is not a number of seconds"),
        (["--region", "r", "--log-format", "xml"], "--log-format"),
        (["--region", "r", "--allowed-names", "/does/not/exist"], "--allowed-names"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_invalid_flag_of_run_is_refused_without_a_traceback(
    started: Started, arguments: list[str], reported: str
) -> None:
    result = invoke("run", *arguments)
    assert result.exit_code == 2
    assert reported in result.output
    assert "Traceback" not in result.output
    assert started == []


@pytest.mark.parametrize("text", ["[", "- a", "a: {tables: x}", "a: 5"])
def test_invalid_allowed_names_file_is_named_in_the_error(started: Started, tmp_path: Path, text: str) -> None:
    path = tmp_path / "names.yaml"
    path.write_text(text)
    result = invoke("run", "--region", "r", "--allowed-names", str(path))
    assert result.exit_code == 2
    assert str(path) in result.output


def test_unreachable_cluster_is_reported_without_a_traceback(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any) -> int:
        raise client.KubeError("listing", status=None, reason="no route")

    monkeypatch.setattr("humangov.manager.manager.run", run)
    result = invoke("run", "--region", "r")
    assert result.exit_code == 1
    assert "listing: no route" in result.output


Plan = Callable[..., Planned]
MANIFEST = "apiVersion: humangov.io/v1\nkind: HumanGovState\nmetadata: {name: a}\nspec: {}\n"


def planned(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> list[Any]:
    seen: list[Any] = []

    async def stub(manifest: Any, **more: Any) -> Planned:
        seen.append((manifest, more))
        return plan()

    monkeypatch.setattr("humangov.cli.plan.plan_manifest", stub)
    return seen


def plan_of(*, changes: int, waits: int = 0) -> Planned:
    change = Change(resource="trigger", action="lambda:UpdateEventSourceMapping", target="m", summary="a change")
    return Planned(
        tenant="ns/a", account="1", region="r", stopped=False, changes=(change,) * changes, waits=("a table",) * waits
    )


@pytest.mark.parametrize(("changes", "waits", "code"), [(0, 0, 0), (1, 0, 2), (0, 1, 2)])
def test_plan_exit_code_shows_whether_there_are_changes(
    started: Started, monkeypatch: pytest.MonkeyPatch, changes: int, waits: int, code: int
) -> None:
    seen = planned(monkeypatch, lambda: plan_of(changes=changes, waits=waits))
    result = invoke("plan", "-f", "-", "--region", "r", "-n", "ns", stdin=f"---\n{MANIFEST}---\n{MANIFEST}")
    assert result.exit_code == code
    assert result.output.count("a change") == 2 * changes
    assert result.output.count("  waits: a table") == 2 * waits
    assert result.output.count("ns/a (1, r): in sync") == (0 if code else 2)
    assert [more["namespace"] for _, more in seen] == ["ns", "ns"]


def test_plan_exits_1_on_an_error(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Planned:
        raise PlanError("no permissions")

    planned(monkeypatch, fails)
    result = invoke("plan", "-f", "-", "--region", "r", stdin=MANIFEST)
    assert result.exit_code == 1
    assert "no permissions" in result.output


@pytest.mark.parametrize(
    "text",
    ["[", "just text", "- a", "{a: b}", "kind: HumanGovState", MANIFEST, MANIFEST.replace("{name: a}", "text"),
     MANIFEST.replace("{name: a}", "[x]"), MANIFEST.replace("spec: {}", "spec: []"), "\x00"],
)  # fmt: skip
def test_plan_of_an_invalid_manifest_reports_an_error(started: Started, text: str) -> None:
    result = invoke("plan", "-f", "-", "--region", "r", "--offline", "--cluster-name", "c", stdin=text)
    assert result.exit_code == 1, result.output
    assert "Error: " in result.output


def test_plan_offline_needs_a_cluster_name(started: Started) -> None:
    result = invoke("plan", "-f", "-", "--offline", "--region", "r", stdin=MANIFEST)
    assert result.exit_code == 2
    assert "--cluster-name" in result.output


def test_plan_of_a_missing_file_reports_its_name(started: Started, tmp_path: Path) -> None:
    result = invoke("plan", "-f", str(tmp_path / "none.yaml"), "--region", "r")
    assert result.exit_code == 1
    assert "none.yaml" in result.output
    assert resource()["kind"] == "HumanGovState"


def test_operator_starts_without_the_models_of_the_whole_api() -> None:
    """They take a second, which is half of what a pod may take until it watches."""
    program = "import sys, humangov.manager.manager; print(*(one for one in sys.modules if '.models.v1_pod' in one))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


MISSHAPEN: dict[str, dict[str, Any]] = {
    "metadata": {"metadata": "california"},
    "metadata.annotations": {"metadata": {"name": "california", "annotations": ["a"]}},
    "metadata.generation": {"metadata": {"name": "california", "generation": "x"}},
    "metadata.creationTimestamp": {"metadata": {"name": "california", "creationTimestamp": "soon"}},
    "status": {"status": "Ready"},
    "status.aws": {"status": {"aws": "us-east-1"}},
    "status.mappings": {"status": {"mappings": 5}},
    "status.sweep": {"status": {"sweep": [1]}},
}


@pytest.mark.parametrize("command", ["redrive", "receipts", "report", "sweep"])
@pytest.mark.parametrize("what", MISSHAPEN)
def test_manifest_of_another_shape_is_an_error_that_names_the_field(tmp_path: Path, command: str, what: str) -> None:
    manifest = tmp_path / "california.yaml"
    manifest.write_text(yaml.safe_dump({**resource(), **MISSHAPEN[what]}))

    result = invoke(command, "--filename", str(manifest), "--cluster-name", "c", "--region", "us-east-1")

    assert result.exit_code == 1
    assert f"{what} " in result.output


ROLE = "arn:aws:iam::999999999999:role/humangov-tenant-collects"
OF_A_STRANGER = f"""
apiVersion: humangov.io/v1
kind: HumanGovState
metadata: {{name: a, namespace: n}}
spec:
  table: {{name: the-table}}
  bucket: {{name: the-bucket}}
  account: {{roleARN: {ROLE}, sweepRoleARN: {ROLE}}}
"""


@pytest.mark.parametrize(
    ("command", "module"),
    [(("plan", "--offline"), "humangov.aws.sessions"), (("sweep", "--dry-run"), "humangov.aws.data_plane")],
)
def test_role_of_a_manifest_is_assumed_only_if_it_is_asked_for(
    started: Started, monkeypatch: pytest.MonkeyPatch, command: tuple[str, str], module: str
) -> None:
    """Whoever wrote the manifest chose the role: in an account of theirs it would collect sessions of its readers."""
    assumed: list[str] = []

    def assume(*, role_arn: str, **_: Any) -> Any:
        assumed.append(role_arn)
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{module}.session_for", assume)
    arguments = (*command, "-f", "-", "--region", "us-east-1", "--cluster-name", "c")

    result = invoke(*arguments, stdin=OF_A_STRANGER)

    assert (result.exit_code, assumed) == (1, [])
    assert ROLE in result.output
    assert "--assume-role" in result.output
    invoke(*arguments, "--assume-role", stdin=OF_A_STRANGER)
    assert assumed == [ROLE]
