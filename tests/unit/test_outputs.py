"""What commands print for programs: what docs/commands.md has, and nothing beside it. Runs on nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result
from humangov.api.conditions import Finding
from humangov.api.names import Identity
from humangov.api.spec import FINALIZER
from humangov.aws.change import Change
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.removal import Removed
from humangov.cli import approve, leaks, options, stops, terminal
from humangov.cli.main import COMMANDS, load, main
from humangov.kube.client import KubeError
from humangov.kube.tenants import Tenants
from humangov.leaks import remove
from humangov.leaks.inventory import Tagged
from humangov.leaks.remove import FoundLeaks
from humangov.proof.receipts import Receipt
from humangov.reconcile.plan import PlanError, Planned

from testing import samples
from testing.documents import COMMANDS as DOCUMENT
from testing.documents import differences, object_of

PRINTS_NO_RESULT = {"run", "completion"}
FORMS = pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
MANIFEST = "apiVersion: humangov.io/v1\nkind: HumanGovState\nmetadata: {name: a}\nspec: {}\n"


def invoke(*arguments: str, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(main, list(arguments), input=stdin, env={"AWS_REGION": "us-east-1"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - PRINTS_NO_RESULT))
def test_every_command_that_prints_a_result_prints_it_for_programs_too(name: str) -> None:
    [output] = [one for one in load(name).params if "--output" in one.opts]
    assert isinstance(output.type, click.Choice)
    assert output.opts == ["-o", "--output"]
    assert {"table", "json", "yaml"} <= set(output.type.choices)
    assert output.default == "table"


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - PRINTS_NO_RESULT - {"final-read"}))
def test_object_and_exit_codes_of_every_command_are_documented(name: str) -> None:
    assert object_of(name)
    help_text = " ".join(str(load(name).help).split())
    [row] = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("|") and f"`{name}`" in line]
    for code in ("2", "3", "4"):
        assert (f" {code}: " in help_text.partition("Exit code")[2]) == (f" {code}: " in row), code


def test_difference_from_the_documented_object_is_found() -> None:
    documented = {"a": [{"b": 1}], "c": None, "failed": {"x": "y"}}
    assert differences({"a": [{"b": 2}], "c": 5, "failed": {}}, documented) == []
    assert differences({"a": [{"b": "2"}], "failed": {}}, documented, absent=["c"]) == [
        ".a[].b is str, documented as int"
    ]
    assert differences({"a": [{}], "c": 1, "d": 1, "failed": {}}, documented) == [
        ".d is printed, and not documented", ".a[].b is documented, and not printed"
    ]  # fmt: skip


def planned(monkeypatch: pytest.MonkeyPatch, *plans: Planned | PlanError) -> None:
    left = iter(plans)

    async def stub(_: Any, **__: Any) -> Planned:
        found = next(left)
        if isinstance(found, PlanError):
            raise found
        return found

    monkeypatch.setattr("humangov.cli.plan.plan_manifest", stub)


def plan_of(tenant: str, *changes: Change) -> Planned:
    return Planned(tenant=tenant, account="1", region="r", stopped=False, changes=changes, waits=())


CHANGE = Change(resource="trigger", action="lambda:UpdateEventSourceMapping", target="x", summary="batch size 10 → 100")


@FORMS
def test_plan_prints_one_object_for_all_manifests(monkeypatch: pytest.MonkeyPatch, form: str, read: Any) -> None:
    planned(monkeypatch, plan_of("n/a"), plan_of("n/b", CHANGE))
    done = invoke("plan", "-f", "-", "-o", form, stdin=f"---\n{MANIFEST}---\n{MANIFEST}")
    found = read(done.stdout)
    assert differences(found, object_of("plan")) == []
    assert [(one["tenant"], one["inSync"]) for one in found["plans"]] == [("n/a", True), ("n/b", False)]
    assert found["plans"][1]["changes"][0]["summary"] == CHANGE.summary
    assert (done.exit_code, done.stderr) == (2, "")


def test_error_leaves_the_object_of_what_was_done_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    planned(monkeypatch, plan_of("n/a"), PlanError("no permission"))
    done = invoke("plan", "-f", "-", "-o", "json", stdin=f"---\n{MANIFEST}---\n{MANIFEST}")
    assert [one["tenant"] for one in json.loads(done.stdout)["plans"]] == ["n/a"]
    assert (done.exit_code, "no permission" in done.stderr) == (1, True)


def test_error_before_anything_was_done_leaves_standard_output_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    planned(monkeypatch, PlanError("no permission"))
    done = invoke("plan", "-f", "-", "-o", "json", stdin=MANIFEST)
    assert (done.exit_code, done.stdout) == (1, "")


DENIED = AwsError(action="lambda:DeleteFunction", target="f", code="AccessDenied", text="no", meaning=Meaning.TERMINAL)


class Leaks:
    """What `humangov leaks` finds, and what a deletion of each tenant comes to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **results: Removed | AwsError) -> None:
        self._results = results
        for name in ("ApiServer", "search_leaks", "names_of", "remove"):
            monkeypatch.setattr(remove, name, getattr(self, name))
        monkeypatch.setattr(leaks, "Clients", lambda **_: None)

    def ApiServer(self, _: Any) -> None:  # noqa: N802 - the class's name
        return None

    def search_leaks(self, *_: Any) -> FoundLeaks:
        objects = {
            f"n/{name}": (Tagged(kind="function", name=f"{name}-f", arn="arn", owner=f"c/n/{name}"),)
            for name in self._results
        }
        identity = Identity(account_id="1", region="r", cluster="c", partition="aws")
        return FoundLeaks(identity=identity, leaked=objects, others={"another": 2}, proven=True)

    def names_of(self, *_: Any, **__: Any) -> list[Any]:
        tenant = SimpleNamespace(function=SimpleNamespace(name="f"))
        return [SimpleNamespace(has_function=True, names=SimpleNamespace(tenant=tenant))]

    def remove(self, _server: Any, _clients: Any, _found: Any, key: str, **_: Any) -> Removed:
        result = self._results[key.removeprefix("n/")]
        if isinstance(result, AwsError):
            raise result
        return result


@FORMS
def test_leaks_are_listed_as_one_object(monkeypatch: pytest.MonkeyPatch, form: str, read: Any) -> None:
    Leaks(monkeypatch, a=Removed(), b=Removed())
    done = invoke("leaks", "-o", form)
    found = read(done.stdout)
    assert differences(found, object_of("leaks")) == []
    assert [one["tenant"] for one in found["tenants"]] == ["n/a", "n/b"]
    assert (found["remains"], done.exit_code, done.stderr) == (True, 2, "")


def test_deleted_leaks_are_listed_by_tenant_also_where_an_error_ends_the_deletion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = Finding.waiting("Deleting", "the trigger is being deleted")
    Leaks(monkeypatch, a=Removed(deleted=("function f",), stays=("a log group",)), b=Removed(waiting=waiting))
    done = invoke("leaks", "--delete", "-o", "json")
    found = json.loads(done.stdout)
    assert differences(found, object_of("leaks")) == []
    assert [(one["deleted"], one["waiting"], one["remains"]) for one in found["tenants"]] == [
        (["function f"], None, False), ([], "the trigger is being deleted", True),
    ]  # fmt: skip
    assert done.exit_code == 2

    Leaks(monkeypatch, a=Removed(deleted=("function f",)), b=DENIED)
    done = invoke("leaks", "--delete", "-o", "json")
    assert [one["deleted"] for one in json.loads(done.stdout)["tenants"]] == [["function f"], []]
    assert (done.exit_code, "Run the command again" in done.stderr) == (1, True)


class ApiServer:
    """Of stop, start and approve. stopped: what the condition says of every HumanGovState."""

    def __init__(self, *, stopped: str, status: Mapping[str, Any] | None = None) -> None:
        self._stopped, self._status = stopped, status or {}

    async def user(self) -> str:
        return "erika"

    async def read(self, resource: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if resource["metadata"]["name"] == "nowhere":
            return None
        condition = {"type": "Stopped", "status": self._stopped, "reason": "Stopped", "message": "Stopped by erika"}
        status = {"conditions": [condition], **self._status}
        name = resource["metadata"]["name"]
        return {**samples.resource(name), "status": status}

    async def annotate(self, *_: Any, **__: Any) -> None:
        if self._stopped == "Unknown":
            raise KubeError("writing", status=403, reason="forbidden")

    remove_annotation = annotate

    async def close(self) -> None:
        pass


@FORMS
@pytest.mark.parametrize(
    ("command", "stopped", "result", "code"),
    [("stop", "True", "Confirmed", 0), ("stop", "False", "NotConfirmed", 2), ("start", "False", "Confirmed", 0),
     ("start", "True", "NotConfirmed", 2), ("stop", "Unknown", "Failed", 1)],
)  # fmt: skip
def test_stop_and_start_print_what_became_of_each_tenant(
    monkeypatch: pytest.MonkeyPatch, form: str, read: Any, command: str, stopped: str, result: str, code: int
) -> None:
    monkeypatch.setattr(stops, "Kube", lambda: ApiServer(stopped=stopped))
    done = invoke(command, "humangov/california", "--wait", "0", "-o", form)
    found = read(done.stdout)
    assert differences(found, object_of(command)) == []
    assert [(one["tenant"], one["result"]) for one in found["tenants"]] == [("humangov/california", result)]
    assert (done.exit_code, done.stderr) == (code, "")


def test_tenant_that_does_not_exist_is_in_the_object_and_makes_the_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stops, "Kube", lambda: ApiServer(stopped="True"))
    done = invoke("stop", "humangov/california", "humangov/nowhere", "--wait", "0", "-o", "json")
    assert sorted(one["result"] for one in json.loads(done.stdout)["tenants"]) == ["Confirmed", "Failed"]
    assert done.exit_code == 1


@FORMS
def test_approve_prints_the_occurrence(monkeypatch: pytest.MonkeyPatch, form: str, read: Any) -> None:
    reached = {"erasureLimit": {"reachedAt": "2026-11-28T21:40:00Z", "limited": 12}}
    monkeypatch.setattr(approve, "Kube", lambda: ApiServer(stopped="False", status=reached))
    done = invoke("approve", "humangov/california", "-o", form)
    found = read(done.stdout)
    assert differences(found, object_of("approve")) == []
    assert (found["recordsHandedBack"], found["approvedBefore"], done.exit_code) == (12, False, 0)


@FORMS
def test_uninstall_check_prints_what_needs_the_operator(monkeypatch: pytest.MonkeyPatch, form: str, read: Any) -> None:
    async def list_resources(_: Tenants, _namespaces: Any) -> list[Any]:
        return [samples.resource(metadata={"finalizers": [FINALIZER]})]

    monkeypatch.setattr(Tenants, "list_resources", list_resources)
    done = invoke("uninstall-check", "-o", form)
    found = read(done.stdout)
    assert differences(found, object_of("uninstall-check")) == []
    assert (found["held"], found["uninstallable"], done.exit_code) == (["humangov/california"], False, 1)


def test_receipts_are_objects_as_documented() -> None:
    assert set(object_of("receipts")) == {field.name for field in fields(Receipt)}


def test_result_that_a_tenant_named_is_escaped_in_each_format(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("table", "json", "yaml"):
        terminal.show_result({"tenant": "a\x1b[2K"}, ["a\x1b[2K"], form=form)
        assert "\x1b" not in capsys.readouterr().out


def test_format_of_the_older_flag_is_json() -> None:
    assert options.form_of(form="table", as_json=True) == "json"
    assert options.form_of(form="yaml", as_json=False) == "yaml"


def test_a_person_sees_each_result_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    def results() -> Iterator[str]:
        yield "a"
        seen.append(capsys.readouterr().out)
        yield "b"

    terminal.show_each(results(), form="table", show_one=terminal.show, whole=lambda every: {"all": list(every)})
    assert [*seen, capsys.readouterr().out] == ["a\n", "b\n"]
    terminal.show_each(results(), form="json", show_one=terminal.show, whole=lambda every: {"all": list(every)})
    assert (seen[1], json.loads(capsys.readouterr().out)) == ("", {"all": ["a", "b"]})
