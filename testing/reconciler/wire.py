"""The SDK's requests on their way to the emulated AWS, without what a general HTTP client takes care of.

In place of botocore's HTTP session (urllib3): a third of a call's processor time, and tests of whole reconciliations
make tens of thousands. It can't show TLS, redirects, proxies, time-outs or broken connections; what it does not
know it leaves to the SDK.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse

_PATIENCE_SECONDS = 30.0
_AT_ONCE_BYTES = 65536


class Body(io.BytesIO):
    """As urllib3 would hand it over."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


class Wire:
    """Connections to one HTTP server, each used by one thread at a time, and kept until the server closes it."""

    def __init__(self, endpoint_url: str) -> None:
        where = urlsplit(endpoint_url)
        assert where.scheme == "http"
        assert where.hostname
        assert where.port
        self._address = (where.hostname, where.port)
        self._idle: list[socket.socket] = []

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def before_send(self, request: Any, **_: Any) -> AWSResponse | None:
        """botocore's event of this name: the response, or None for what the SDK is to send itself."""
        body = request.body or b""
        if not isinstance(body, str | bytes | bytearray) or "Expect" in request.headers:
            return None
        status, headers, content = self.ask(request.method, request.url, headers=request.headers, body=body)
        return AWSResponse(request.url, status, headers, Body(content))

    def ask(
        self, method: str, url: str, *, headers: Mapping[str, Any], body: str | bytes | bytearray
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by their names in lower case, body."""
        sent = body.encode() if isinstance(body, str) else body
        connection = self._connection()
        try:
            connection.sendall(_head(method, url, headers, length=len(sent)) + sent)
            status, fields, content = _answer(connection, has_body=method != "HEAD")
        except BaseException:
            connection.close()
            raise
        if fields.get("connection", "").lower() == "close":
            connection.close()
        else:
            self._idle.append(connection)
        return status, fields, content

    def _connection(self) -> socket.socket:
        with contextlib.suppress(IndexError):  # several threads take from it
            while True:
                known = self._idle.pop()
                if not select.select([known], [], [], 0)[0]:
                    return known
                known.close()  # what can be read without a question is its end
        opened = socket.create_connection(self._address, timeout=_PATIENCE_SECONDS)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened


def _head(method: str, url: str, headers: Mapping[str, Any], *, length: int) -> bytes:
    where = urlsplit(url)
    target = f"{where.path or '/'}?{where.query}" if where.query else where.path or "/"
    given = {name: value.decode() if isinstance(value, bytes) else value for name, value in headers.items()}
    fields = {"Host": where.netloc, **given, "Content-Length": str(length)}
    return "\r\n".join([
        f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", "",
    ]).encode()  # fmt: skip


def _answer(connection: socket.socket, *, has_body: bool) -> tuple[int, dict[str, str], bytes]:
    """Status, headers by their names in lower case, body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, content = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers["content-length"]) if has_body and status.split(" ")[1] not in ("204", "304") else 0
    while len(content) < length:
        content += _more(connection)
    return int(status.split(" ")[1]), headers, content


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(_AT_ONCE_BYTES)
    if not received:
        raise ConnectionError("the emulated AWS closed the connection within its answer")
    return received
