"""Every request to the API server goes one way: its time-out, what is no error, fresh credentials. Runs on nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from humangov.kube import client
from humangov.kube.answers import json_of
from humangov.kube.client import Client, KubeError
from humangov.kube.events import within_limit
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
def test_invalid_kubeconfig_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))

    with pytest.raises(KubeError, match="no configuration for a cluster was found: ") as raised:
        asyncio.run(client.load_configuration())
    assert not raised.value.is_transient
    client.context_namespace()


@pytest.mark.parametrize("letter", ["x", "ü", "…"])
def test_long_event_loses_its_middle_and_keeps_the_command_at_its_end(letter: str) -> None:
    command = (
        f"kubectl annotate humangovstate --namespace {'n' * 63} {'s' * 63} humangov.io/approve-sweep={'0' * 64} "
        "humangov.io/approve-sweep-by=\"$(kubectl auth whoami -o jsonpath='{.status.userInfo.username}')\" --overwrite"
    )
    where = f"orphan list: s3://{'b' * 63}/.humangov/sweeps/20261129T221855Z-{'a' * 12}.jsonl.gz"
    message = f"a safety check failed: {f'{letter * 7} ' * 200}. To approve: {command}; {where}"
    note = within_limit(message)
    assert len(note.encode()) <= 1024
    assert note.startswith("a safety check failed: ")
    assert " … " in note
    assert note.endswith(f" {command}; {where}")


def test_event_that_fits_is_not_cut() -> None:
    assert within_limit("x " * 512) == "x " * 512


@pytest.mark.parametrize(("status", "is_success"), [(200, True), (201, True), (202, True), (302, False), (404, False)])
def test_answer_is_a_success_only_if_its_status_says_so(status: int, is_success: bool) -> None:
    answer: Any = SimpleNamespace(status=status, reason="why", text=lambda: asyncio.sleep(0, "{}"))
    if is_success:
        assert asyncio.run(json_of(answer)) == {}
    else:
        with pytest.raises(ApiException):
            asyncio.run(json_of(answer))
