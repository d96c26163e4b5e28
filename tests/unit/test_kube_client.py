"""Every request to the API server goes one way: its time-out, what is no error, fresh credentials. Runs on nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from humangov.kube import client
from humangov.kube.client import Client, KubeError
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.exceptions import ApiException


class Api:
    """The client library, as far as a request goes: it answers with a status."""

    def __init__(self, status: int) -> None:
        self.status, self.asked = status, list[dict[str, Any]]()

    async def request(self, _: object, *arguments: Any, **named: Any) -> str:
        self.asked.append({"arguments": arguments, **named})
        if self.status >= 400:
            raise ApiException(status=self.status, reason="Refused")
        return "answer"


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often credentials were read."""
    times: list[int] = []

    async def load_configuration() -> Configuration:
        times.append(len(times))
        return Configuration()

    monkeypatch.setattr(client, "load_configuration", load_configuration)
    return times


def ask(api: Api, *, times: int = 1, **of: Any) -> list[Any]:
    """What comes of asking so often; a refusal is its status."""

    async def story() -> list[Any]:
        connection, answers = Client(), []
        for _ in range(times):
            try:
                answers.append(await connection._call("asking", api.request, "x", **of))
            except KubeError as error:
                answers.append((str(error), error.status))
        await connection.close()
        return answers

    return asyncio.run(story())


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    ("status", "none_if", "answer"),
    [
        (200, None, "answer"),
        (200, 404, "answer"),
        (404, 404, None),
        (409, 409, None),
        (404, None, ("asking: Refused", 404)),
        (403, 404, ("asking: Refused", 403)),
    ],
)
def test_kube_client_accepts_only_the_expected_status(status: int, none_if: int | None, answer: Any) -> None:
    assert ask(Api(status), none_if=none_if) == [answer]


@pytest.mark.usefixtures("loaded")
def test_kube_request_has_a_time_out() -> None:
    api = Api(200)
    ask(api)
    ask(api, within_seconds=0.5, label_selector="a=b")
    assert api.asked == [
        {"arguments": ("x",), "_request_timeout": 15},
        {"arguments": ("x",), "_request_timeout": 0.5, "label_selector": "a=b"},
    ]


@pytest.mark.parametrize(("status", "times"), [(200, 1), (403, 1), (401, 3)])
def test_kube_client_reloads_credentials_after_a_401(status: int, times: int, loaded: list[int]) -> None:
    ask(Api(status), times=3)
    assert len(loaded) == times


@pytest.mark.parametrize("text", ["", "a: [", "[]", "clusters: x", "current-context: x\ncontexts: [1]\n", "\x00"])
def test_kubeconfig_that_is_none_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))

    with pytest.raises(KubeError, match="no configuration for a cluster was found: "):
        asyncio.run(client.load_configuration())
    client.context_namespace()
