"""`humangov stop --all` and `start --all` before an API server that answers as it likes. Runs on nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from click.testing import CliRunner
from humangov.cli import stops
from humangov.cli.main import main
from humangov.kube.client import KubeError

from testing import samples


class ApiServer:
    """The methods of Kube that the two commands use. may_list: whether the person may list HumanGovStates."""

    def __init__(self, *, may_list: bool, resources: Sequence[Mapping[str, Any]] = ()) -> None:
        self._may_list, self._resources = may_list, resources
        self.written: list[str] = []

    async def user(self) -> str:
        return "erika"

    async def apply_config_map(self, namespace: str, name: str, data: Mapping[str, str], **_: Any) -> None:
        self.written.append(f"{namespace}/{name}: {data['reason']}")

    async def annotate_config_map(self, namespace: str, name: str, annotations: Mapping[str, str], **_: Any) -> None:
        self.written.append(f"{namespace}/{name} signed: {annotations['humangov.io/start-by']}")

    async def delete_config_map(self, namespace: str, name: str) -> bool:
        self.written.append(f"{namespace}/{name} deleted")
        return True

    async def list_resources(self, _namespaces: Sequence[str]) -> list[Mapping[str, Any]]:
        if not self._may_list:
            raise KubeError("listing humangovstates in all namespaces", status=403, reason="forbidden")
        return list(self._resources)

    async def read(self, resource: Mapping[str, Any]) -> Mapping[str, Any]:
        return resource

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("command", ["stop", "start"])
def test_stop_does_not_exit_with_0_if_the_confirmation_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    server = ApiServer(may_list=False)
    monkeypatch.setattr(stops, "Kube", lambda: server)

    done = CliRunner().invoke(main, [command, "--all"])

    assert (
        server.written
        == {
            "stop": ["humangov/humangov-stop: (erika)"],
            "start": ["humangov/humangov-stop signed: erika", "humangov/humangov-stop deleted"],
        }[command]
    )
    assert "confirmation can't be read: listing humangovstates in all namespaces: forbidden" in done.output
    assert done.exit_code == 2


def test_stop_of_all_where_there_is_none_has_nothing_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stops, "Kube", lambda: ApiServer(may_list=True))
    assert CliRunner().invoke(main, ["stop", "--all"]).exit_code == 0


def test_stop_of_all_that_one_state_does_not_confirm_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = {"type": "Stopped", "status": "True", "message": "Stopped", "reason": "Stopped"}
    one, other = samples.resource("california"), samples.resource("texas")
    server = ApiServer(may_list=True, resources=[{**one, "status": {"conditions": [stopped]}}, other])
    monkeypatch.setattr(stops, "Kube", lambda: server)

    done = CliRunner().invoke(main, ["stop", "--all", "--wait", "0"])

    assert "not confirmed by the operator yet" in done.output
    assert done.exit_code == 2
