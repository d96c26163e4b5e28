"""The proxy in front of the emulated AWS, with clients that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox import cluster
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


@contextlib.contextmanager
def endless(identity: cluster.Identities) -> Iterator[int]:
    """The port of a TLS server whose one answer never ends, as a watch, and which does not see that a client leaves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.api_server.certificate, identity.api_server.key)
    over = threading.Event()

    def serve() -> None:
        plain, _address = listening.accept()
        with context.wrap_socket(plain, server_side=True) as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            over.wait(30)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            server.join()


def test_stream_over_tls_that_is_open_at_the_end_leaves_no_socket(tmp_path: Path) -> None:
    identities = cluster.create_identities(tmp_path)
    trusted = ssl.create_default_context(cafile=str(identities.authority.certificate))
    with warnings.catch_warnings(record=True) as seen, endless(identities) as port:
        warnings.simplefilter("always", ResourceWarning)
        with contextlib.ExitStack() as clients, Proxy(f"https://127.0.0.1:{port}", tls=trusted) as proxy:
            where = urlsplit(proxy.url)
            client = clients.enter_context(socket.create_connection((where.hostname, where.port), timeout=10))
            client.sendall(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n")
            received = b""
            while b"first" not in received:
                received += client.recv(65536)
        gc.collect()
    assert [str(one.message) for one in seen] == []
