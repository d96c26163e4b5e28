"""What goes wrong between the operator and AWS, put into the recorder's proxy as layers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable

from multidict import CIMultiDict

from sandbox.proxy import Handler, Request, Response
from sandbox.recorder import READS


def is_write(request: Request) -> bool:
    return not request.operation.name.startswith(READS)


class AtWrite:
    """Acts at the n-th write to AWS after `arm`: just before it would reach AWS (it does not), or after AWS did it.

    Between `hold` and `arm` writes wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = 0
        self._after = False
        self._act: Callable[[], None] | None = None
        self._open = threading.Event()
        self._open.set()
        self.acted = threading.Event()

    def hold(self) -> None:
        self._open.clear()

    def arm(self, *, number: int, after: bool, act: Callable[[], None]) -> None:
        with self._lock:
            self._left, self._after, self._act = number, after, act
            self.acted.clear()
        self._open.set()

    async def __call__(self, request: Request, forward: Handler) -> Response:
        if not is_write(request):
            return await forward(request)
        while not self._open.is_set():
            await asyncio.sleep(0.005)
        act = self._due()
        if act is None:
            return await forward(request)
        try:
            return await forward(request) if self._after else Response(status=500)
        finally:  # also if whoever asked is gone meanwhile
            act()
            self.acted.set()

    def _due(self) -> Callable[[], None] | None:
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return None
            act, self._act = self._act, None
            return act


class Refuse:
    """AWS refuses what `whom` says, by the request's operation and body."""

    def __init__(self, whom: Callable[[str, str], bool]) -> None:
        self._whom = whom
        self.refused = 0

    async def __call__(self, request: Request, forward: Handler) -> Response:
        body = request.body
        if not isinstance(body, bytes):
            body = b"".join([chunk async for chunk in body])
        if not self._whom(str(request.operation), body.decode(errors="replace")):
            return await forward(Request(**{**vars(request), "body": body}))
        self.refused += 1
        text = {"Type": "User", "Message": "User: operator is not authorized to perform this action"}
        headers = CIMultiDict({"x-amzn-errortype": "AccessDeniedException", "content-type": "application/json"})
        return Response(status=403, headers=headers, body=json.dumps(text).encode())


class Hang:
    """While `on`, no call of these operations is answered."""

    def __init__(self, *operations: str) -> None:
        self._operations = operations
        self.on = threading.Event()
        self.hanging = threading.Event()

    async def __call__(self, request: Request, forward: Handler) -> Response:
        if self.on.is_set() and str(request.operation) in self._operations:
            self.hanging.set()
            while self.on.is_set():
                await asyncio.sleep(0.05)
        return await forward(request)
