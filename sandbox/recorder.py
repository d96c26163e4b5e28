"""Records every AWS call that passes: `with Recorder(upstream) as recorder:`, then its `url` and `calls`."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from sandbox.operations import Operation
from sandbox.proxy import Handler, Layer, Proxy, Request, Response

# Enough for any error's code; a message after it may be cut.
ERROR_BYTES = 16384
READS = (
    "Get",
    "List",
    "Describe",
    "Head",
    "BatchGet",
    "Scan",
    "Query",
    "Filter",
    "Lookup",
    "Simulate",
    "Assume",
)


@dataclass(frozen=True)
class RecordedCall:
    """One call, as the client saw it. `status` 0: it got no whole answer (who hung up does not show)."""

    operation: Operation
    access_key: str
    """In the emulated AWS, a 12-digit access key is the account."""
    region: str
    method: str
    url: str
    status: int
    error: str
    """AWS's error code; empty where there is none, or none that can be seen (HEAD)."""
    started: float
    """Unix time in seconds."""
    duration_seconds: float
    """Until the last byte of the answer."""

    @property
    def service(self) -> str:
        return self.operation.service

    @property
    def name(self) -> str:
        return self.operation.name

    @property
    def writes(self) -> bool:
        """Whether the operation changes anything, by its name."""
        return not self.name.startswith(READS)


class Recorder:
    """A proxy that remembers. Safe to read while calls go on."""

    def __init__(self, upstream: str, *, layers: Sequence[Layer] = ()) -> None:
        self._calls: list[RecordedCall] = []
        self._lock = threading.Lock()
        # Outermost: what it counts is what the client made and got, whatever a layer below does.
        self._proxy = Proxy(upstream, layers=[self._record, *layers])

    @property
    def url(self) -> str:
        return self._proxy.url

    @property
    def calls(self) -> list[RecordedCall]:
        """All that were answered so far, in the order of their ends."""
        with self._lock:
            return list(self._calls)

    def clear(self) -> list[RecordedCall]:
        """Forget all calls and return them: what was made since the last time."""
        with self._lock:
            cleared, self._calls = self._calls, []
            return cleared

    def __enter__(self) -> Self:
        self._proxy.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._proxy.__exit__(kind, error, trace)

    async def _record(self, request: Request, forward: Handler) -> Response:
        started, clock = time.time(), time.monotonic()
        scope = request.scope
        call = RecordedCall(
            operation=request.operation,
            access_key=scope.access_key if scope else "",
            region=scope.region if scope else "",
            method=request.method,
            url=request.url,
            status=0,
            error="",
            started=started,
            duration_seconds=0.0,
        )

        def note(status: int, error: str) -> None:
            done = replace(call, status=status, error=error, duration_seconds=time.monotonic() - clock)
            with self._lock:
                self._calls.append(done)

        try:
            response = await forward(request)
        except BaseException:
            note(0, "")
            raise
        kind = response.headers.get("x-amzn-errortype", "")
        if isinstance(response.body, bytes):
            note(response.status, error_code(response.status, kind, response.body))
            return response
        first = await anext(response.body, None)
        if first is None:
            note(response.status, error_code(response.status, kind, b""))
            return replace(response, body=b"")
        return replace(response, body=_noted(response, first, response.body, kind=kind, note=note))


async def _noted(
    response: Response,
    first: bytes,
    rest: AsyncIterator[bytes],
    *,
    kind: str,
    note: Callable[[int, str], None],
) -> AsyncIterator[bytes]:
    """The body, a chunk behind: the call is noted before its last byte goes out, so the answered find it."""
    held, seen, ended = first, first[:ERROR_BYTES], False
    try:
        async for chunk in rest:
            yield held
            held = chunk
            if response.status >= 400 and len(seen) < ERROR_BYTES:
                seen += chunk
        ended = True
        note(response.status, error_code(response.status, kind, seen))
        yield held
    finally:
        if not ended:
            note(0, "")


def error_code(status: int, kind: str, body: bytes) -> str:
    """AWS's code for an error: from the header, from JSON's `__type` or `code`, or from XML's `<Code>`.

    https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization
    """
    if status < 400:
        return ""
    if not kind and body.lstrip().startswith(b"{"):
        try:
            read = json.loads(body)
        except ValueError:
            return ""
        kind = str(read.get("__type") or read.get("code") or "")
    if kind:
        return kind.split(":")[0].rpartition("#")[2]
    match = re.search(rb"<Code>([^<]+)</Code>", body)
    return match.group(1).decode() if match else ""


def by_operation(calls: Iterable[RecordedCall]) -> dict[str, int]:
    """`{"lambda:GetFunction": 3, …}`, the most frequent first."""
    return dict(Counter(str(call.operation) for call in calls).most_common())
