"""The proxy in front of the emulated AWS, with clients that are killed."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from sandbox.proxy import Handler, Proxy, Request, Response


def test_client_that_ends_before_its_answer_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    asked, ended, sent = threading.Event(), threading.Event(), threading.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    async def late(_request: Request, _inner: Handler) -> Response:
        asked.set()
        while not ended.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # the connection's end is noticed
        asyncio.get_running_loop().call_later(0.1, sent.set)
        return Response(status=200, body=body())

    with caplog.at_level(logging.INFO, logger="aiohttp"), Proxy("http://127.0.0.1:1", layers=[late]) as proxy:
        where = urlsplit(proxy.url)
        with socket.create_connection((where.hostname, where.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: aws\r\n\r\n")
            assert asked.wait(10)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # as of one that is killed
        ended.set()
        assert sent.wait(10)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
