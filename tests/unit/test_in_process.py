"""The emulated AWS in a test's own process: what it leaves out fails, and is not taken for an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from testing.reconciler.in_process import ENDPOINT_URL, InProcess


def answered_by(application: Any) -> tuple[int, dict[str, str], bytes]:
    aws = InProcess()
    aws._app = application
    return aws.ask("POST", f"{ENDPOINT_URL}/a%20b?c=d", headers={"X-Name": b"one", "Y": "two"}, body="body")


def test_request_and_answer_are_as_a_server_would_hand_them_on() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/a b", b"c=d")
        assert dict(scope["headers"])[b"x-name"] == b"one"
        assert (await receive())["body"] == b"body"
        await send({"type": "http.response.start", "status": 201, "headers": [(b"Name", b"value")]})
        await send({"type": "http.response.body", "body": b"an"})
        await send({"type": "http.response.body", "body": b"swer"})

    assert answered_by(application) == (201, {"name": "value"}, b"answer")


def test_call_that_waits_for_something_outside_it_fails() -> None:
    async def application(*_: Any) -> None:
        await asyncio.sleep(1)

    async def within_a_loop() -> None:
        answered_by(application)

    with pytest.raises(AssertionError, match="waits within POST"):
        asyncio.run(within_a_loop())


def test_another_address_is_refused() -> None:
    with pytest.raises(AssertionError, match="not the emulated AWS"):
        InProcess().ask("GET", "http://127.0.0.1:2/", headers={}, body=b"")
