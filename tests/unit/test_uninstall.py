"""`humangov uninstall-check`: whether the operator may go, and what is said if not. Runs on nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from click.testing import CliRunner, Result
from humangov.api.spec import FINALIZER
from humangov.cli.main import main
from humangov.cli.uninstall_check import answer, holding
from humangov.kube import client
from humangov.kube.tenants import Tenants


def state(name: str, *finalizers: str, namespace: str = "humangov") -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    return {"metadata": {**metadata, "finalizers": list(finalizers)} if finalizers else metadata}


def test_uninstall_check_finds_states_with_the_operators_finalizer() -> None:
    states = [
        state("nevada", "example.com/other", FINALIZER), state("idaho", "example.com/other"), state("iowa"),
        state("maine", FINALIZER, namespace="east"),
    ]  # fmt: skip
    assert holding(states) == ["east/maine", "humangov/nevada"]


def test_uninstall_check_names_ten_states_and_counts_the_others() -> None:
    reported = answer([f"humangov/state-{number:02}" for number in range(13)], namespaces=())
    assert reported.startswith("13 HumanGovStates need the operator:\n  humangov/state-00\n")
    assert "  humangov/state-09\n  and 3 more\n" in reported
    assert "state-10" not in reported
    assert "more" not in answer([f"humangov/{number}" for number in range(10)], namespaces=()).partition("(a)")[0]


@pytest.mark.parametrize(
    ("namespaces", "places"), [((), ["-A"]), (("east",), ["-n east"]), (("east", "west"), ["-n east", "-n west"])]
)
def test_uninstall_check_prints_delete_and_retain_commands_for_each_namespace(
    namespaces: Sequence[str], places: list[str]
) -> None:
    remove, keep = answer(["east/maine"], namespaces=namespaces).split("(a) ")[1].split("(b) ")
    deletions = [line.strip() for line in remove.splitlines() if line.startswith("  kubectl delete")]
    assert deletions == [f"kubectl delete humangovstates --all {place}" for place in places]
    for place in places:
        assert f"kubectl get humangovstates {place} -o jsonpath" in keep
    assert keep.count('{"spec":{"deletionPolicy":"Retain"}}') == len(places)
    assert "--no-hooks" in keep


def test_uninstall_check_prints_the_rollback_command() -> None:
    assert answer(["a/b"], namespaces=(), undo="helm rollback x 3").endswith("\n  helm rollback x 3")
    assert "refuses upgrades" not in answer(["a/b"], namespaces=())


def check(monkeypatch: pytest.MonkeyPatch, found: list[Any] | client.KubeError, *arguments: str) -> Result:
    asked: list[Sequence[str]] = []

    async def list_resources(_: Tenants, namespaces: Sequence[str]) -> list[Any]:
        asked.append(namespaces)
        if isinstance(found, client.KubeError):
            raise found
        return found

    monkeypatch.setattr(Tenants, "list_resources", list_resources)
    result = CliRunner().invoke(main, ["uninstall-check", *arguments], env={"HUMANGOV_NAMESPACE": "east west"})
    assert asked == [("north",) if arguments else ("east", "west")]
    return result


def test_uninstall_check_fails_while_a_state_needs_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(monkeypatch, [state("maine", FINALIZER, namespace="east")])
    assert result.exit_code == 1
    assert "1 HumanGovState needs the operator:\n  east/maine\n" in result.output


def test_uninstall_check_succeeds_when_no_state_needs_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(monkeypatch, [state("maine")], "--namespace", "north")
    assert result.exit_code == 0
    assert result.output == "No HumanGovState in north needs the operator: it can be uninstalled.\n"


def test_uninstall_check_succeeds_without_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(monkeypatch, client.KubeError("listing", status=404, reason="no such kind")).exit_code == 0


def test_uninstall_check_fails_when_states_cannot_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(monkeypatch, client.KubeError("listing humangovstates", status=403, reason="not yours"))
    assert result.exit_code == 1
    assert "listing humangovstates: not yours" in result.output
    assert "--no-hooks" in result.output
