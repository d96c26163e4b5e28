"""The watch disturbed: refused, expired (410), cut in the middle of a line; what people change meanwhile is not lost.

A proxy between the operator and the real API server does what an API server, its load balancer or a network may do.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sandbox import local_operator
from sandbox.handle import Sandbox
from sandbox.proxy import Handler, Proxy, Request, Response
from testing.live.account import Account
from testing.live.states import States, is_ready
from testing.live.waiting import wait_for
from tests.conftest import Print

_EXPIRED = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410,
            "message": "too old resource version: 1 (2)"}  # fmt: skip
_UNAVAILABLE = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "ServiceUnavailable", "code": 503,
                "message": "apiserver not ready"}  # fmt: skip
DISTURBANCES: dict[str, tuple[int, bytes]] = {
    "refused with 500": (500, b"etcdserver: request timed out"),
    "refused with 503": (503, json.dumps(_UNAVAILABLE).encode()),
    "refused with 429": (429, json.dumps({**_UNAVAILABLE, "code": 429, "reason": "TooManyRequests"}).encode()),
    "answered with 410": (410, json.dumps(_EXPIRED).encode()),
    "ended by an event of 410": (200, json.dumps({"type": "ERROR", "object": _EXPIRED}).encode() + b"\n"),
    "ended at once": (200, b""),
    "ended in the middle of a line": (200, b'{"type": "MODIFIED", "object": {"apiVersion": "hum'),
}

# After these everything in the process restarts, which takes kopf five seconds.
ENDS_KOPF = {"answered with 410", "ended in the middle of a line"}


class Watches:
    """A layer of the proxy: cuts watches that are open, and answers the next ones in the API server's place."""

    def __init__(self) -> None:
        self._cuts, self._next = 0, list[tuple[int, bytes]]()
        self.disturbed = 0

    def disturb(self, answer: tuple[int, bytes], *, times: int) -> None:
        self._next = [answer] * times
        self._cuts += 1

    def at_peace(self) -> bool:
        return not self._next

    async def __call__(self, request: Request, forward: Handler) -> Response:
        if "watch=true" not in request.url or "humangovstates" not in request.url:
            return await forward(request)
        if self._next:
            status, body = self._next.pop()
            self.disturbed += 1
            response = Response(status=status, body=body)
            response.headers["Content-Type"] = "application/json"
            return response
        response = await forward(request)
        assert not isinstance(response.body, bytes)
        return Response(status=response.status, headers=response.headers, body=self._until_cut(response.body))

    async def _until_cut(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        cuts = self._cuts
        while cuts == self._cuts:
            chunk = asyncio.ensure_future(anext(body, b""))
            while not chunk.done() and cuts == self._cuts:
                await asyncio.wait({chunk}, timeout=0.05)
            if not chunk.done():
                chunk.cancel()
                return
            if not chunk.result():
                return
            yield chunk.result()


@pytest.fixture
def watches() -> Watches:
    return Watches()


@pytest.fixture
def address(sandbox: Sandbox, watches: Watches) -> Iterator[str]:
    """Of the API server, with the proxy before it."""
    assert sandbox.kubectl is not None
    reported = subprocess.run(
        [str(sandbox.kubectl), "config", "view", "--minify", "--flatten", "--raw", "-o", "json"],
        env=sandbox.environment(), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    cluster: dict[str, Any] = json.loads(reported)["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    with Proxy(cluster["server"], layers=[watches], tls=ssl.create_default_context(cadata=authority)) as proxy:
        yield proxy.url


def test_spec_change_is_reconciled_despite_watch_disturbances(
    sandbox: Sandbox, states: States, account: Account, watches: Watches, address: str, measured: Print,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    account.make("california")
    folder = tmp_path_factory.mktemp("operator")
    with local_operator.start(
        sandbox, namespace=states.namespace, folder=folder, server=address, environment=account.environment
    ) as running:
        states.apply(states.manifest("california", **account.spec("california")))
        states.wait_ready("california")
        for size, (what, answer) in enumerate(DISTURBANCES.items(), 2):
            before = watches.disturbed
            watches.disturb(answer, times=1 if what in ENDS_KOPF else 2)
            states.respec("california", trigger={"batchSize": size})
            wait_for(
                lambda: is_ready(states.get("california")), what=f"the change is carried out, the watch {what}",
                seconds=60,
            )  # fmt: skip
            [mapping] = account.mappings()
            assert mapping["BatchSize"] == size, what
            assert watches.disturbed > before, f"the watch was not {what}"
            wait_for(watches.at_peace, what=f"the watch is {what} as often as it was to be")
        assert running.process.poll() is None
        states.delete("california")
        states.wait_deleted("california")
        assert running.stop() == 0
    measured(f"watch disturbed in {len(DISTURBANCES)} ways: no change was lost")
