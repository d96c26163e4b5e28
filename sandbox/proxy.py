"""An HTTP proxy in front of the emulated AWS (or an API server), in a thread of its own, made of layers.

A layer sees each request before it goes on and each answer before it comes back, and may change, delay or
replace either: `sandbox.recorder` counts, fault injection answers in AWS's place. Bodies are streamed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from sandbox import operations
from sandbox.operations import Operation, Scope
from sandbox.ports import HOST

# RFC 9110, 7.6.1: they belong to one connection. `Expect` is answered here, before the body is fetched.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)
START_SECONDS = 10.0
CHUNK_BYTES = 65536


@dataclass(frozen=True)
class Request:
    """A request to AWS. `url` is the target as it was sent, still escaped. Read `body` once."""

    method: str
    url: str
    headers: CIMultiDict[str]
    operation: Operation
    scope: Scope | None
    body: AsyncIterator[bytes] | bytes


@dataclass(frozen=True)
class Response:
    """AWS's answer, or a layer's in its place."""

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: AsyncIterator[bytes] | bytes = b""


class HungUpError(Exception):
    """A layer raises it: the client's connection is reset, and no answer comes."""


Handler = Callable[[Request], Awaitable[Response]]
Layer = Callable[[Request, Handler], Awaitable[Response]]


class Proxy:
    """Listens on a free port of 127.0.0.1 while entered: `with Proxy(upstream, layers=[…]) as proxy:`.

    The first layer is the outermost. Layers run on the proxy's own event loop.
    """

    def __init__(self, upstream: str, *, layers: Sequence[Layer] = (), tls: ssl.SSLContext | None = None) -> None:
        """`tls`: how to know an https upstream; by default by the machine's certificates."""
        self._upstream = upstream.rstrip("/")
        self._layers = tuple(layers)
        self._tls = tls
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """What to use as AWS_ENDPOINT_URL."""
        return self._url

    def __enter__(self) -> Self:
        started: threading.Event = threading.Event()
        failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(started, failures), name="aws-proxy", daemon=True)
        self._thread.start()
        if not started.wait(START_SECONDS):
            raise TimeoutError(f"the proxy in front of {self._upstream} did not start in {START_SECONDS:.0f} s")
        if failures:
            self._thread.join()
            raise failures[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join()

    def _run(self, started: threading.Event, failures: list[BaseException]) -> None:
        try:
            asyncio.run(self._serve(started))
        except Exception as error:  # handed to the thread that waits
            failures.append(error)
        finally:
            started.set()

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ssl=self._tls or True)
        # What AWS has compressed is handed on compressed, and no time-out is set here.
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
        ) as session:
            handler = layered(self._layers, forwarder(session, self._upstream))
            application = web.Application()
            application.router.add_route("*", "/{path:.*}", answering(handler))
            runner = web.AppRunner(application, access_log=None, auto_decompress=False, shutdown_timeout=1.0)
            await runner.setup()
            try:
                site = web.TCPSite(runner, HOST, 0)
                await site.start()
                self._url = f"http://{HOST}:{runner.addresses[0][1]}"
                started.set()
                await self._stop.wait()
            finally:
                await runner.cleanup()


def layered(layers: Sequence[Layer], innermost: Handler) -> Handler:
    handler = innermost
    for layer in reversed(layers):
        handler = _wrapped(layer, handler)
    return handler


def _wrapped(layer: Layer, inner: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        return await layer(request, inner)

    return handle


def forwarder(session: aiohttp.ClientSession, upstream: str) -> Handler:
    """The innermost handler: asks the upstream. Raises aiohttp.ClientError if it cannot be asked."""

    async def forward(request: Request) -> Response:
        answer = await session.request(
            request.method,
            URL(upstream + request.url, encoded=True),
            headers=request.headers,
            data=request.body or None if isinstance(request.body, bytes) else request.body,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        return Response(status=answer.status, headers=_end_to_end(answer.headers), body=_streamed(answer))

    return forward


def answering(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(incoming: web.Request) -> web.StreamResponse:
        request = await _request(incoming)
        try:
            response = await handler(request)
        except HungUpError:
            _reset(incoming)
            return web.Response()  # nobody is there to get it
        except aiohttp.ClientError as error:
            return web.Response(status=502, text=f"the proxy cannot reach the emulated AWS: {error}\n")
        try:
            return await _send(incoming, response)
        except ConnectionResetError:
            return web.Response()  # whoever asked has ended meanwhile

    return answer


def _reset(incoming: web.Request) -> None:
    """RST rather than FIN: what a client sees when AWS, or a middlebox, drops it."""
    if incoming.transport is None:
        return
    connection = incoming.transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    incoming.transport.abort()


async def _request(incoming: web.Request) -> Request:
    headers = _end_to_end(incoming.headers)
    url = incoming.raw_path
    # A form names its operation in the body, so it is read at once; any other body is handed on as it comes.
    form = await incoming.content.read() if operations.needs_body(incoming.method, headers) else None
    streamed = incoming.content.iter_chunked(CHUNK_BYTES) if incoming.body_exists else b""
    return Request(
        method=incoming.method,
        url=url,
        headers=headers,
        operation=operations.identify(method=incoming.method, url=url, headers=headers, body=form or b""),
        scope=operations.scope(headers, url),
        body=streamed if form is None else form,
    )


async def _send(incoming: web.Request, response: Response) -> web.StreamResponse:
    if isinstance(response.body, bytes):
        # Its length is what the body says, unless there is none to see (HEAD).
        headers = response.headers.copy()
        if incoming.method != "HEAD":
            headers.popall("Content-Length", None)
        return web.Response(status=response.status, headers=headers, body=response.body)
    outgoing = web.StreamResponse(status=response.status, headers=response.headers)
    await outgoing.prepare(incoming)
    async for chunk in response.body:
        await outgoing.write(chunk)
    await outgoing.write_eof()
    return outgoing


async def _streamed(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            yield chunk
    finally:
        # Nothing waits for a TLS connection that says goodbye: the loop may end first, and leave its socket open.
        connection = answer.connection
        if connection is not None and connection.transport is not None and not answer.content.at_eof():
            connection.transport.abort()
        answer.release()


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        if name.lower() not in HOP_BY_HOP:
            kept.add(name, value)
    return kept
