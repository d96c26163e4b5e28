"""The emulated AWS in the test's own process: MiniStack's application, called as its server calls it.

In place of a server, its sockets and its turns on the processor: most of what a call of the emulated AWS costs. What
MiniStack does in the background is left out: it reads no stream, starts no function, and lets a function be Pending. A
call that waits for something outside it fails.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import shutil
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

from botocore.awsrequest import AWSResponse

from sandbox import emulator
from sandbox.paths import AWS_VENV, Layout
from testing.reconciler.wire import Body

ADDRESS = ("127.0.0.1", 1)  # nobody listens there: a call that goes past this module is refused
ENDPOINT_URL = f"http://{ADDRESS[0]}:{ADDRESS[1]}"


class InProcess:
    """One for all tests of a process: MiniStack keeps what it holds in its modules."""

    def __init__(self) -> None:
        self._app = _application()
        self._turn = threading.Lock()  # its server has one thread, too

    def close(self) -> None:
        """What it holds stays, for who asks next."""

    def before_send(self, request: Any, **_: Any) -> AWSResponse:
        """botocore's event of this name: the response."""
        body = request.body if request.body is not None else b""
        content = body.read() if hasattr(body, "read") else body
        status, headers, answer = self.ask(request.method, request.url, headers=request.headers, body=content)
        return AWSResponse(request.url, status, headers, Body(answer))

    def ask(
        self, method: str, url: str, *, headers: Mapping[str, Any], body: str | bytes | bytearray
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by their names in lower case, body."""
        where = urlsplit(url)
        assert where.port == ADDRESS[1], f"not the emulated AWS's address: {url}"
        fields = {name.lower(): _encoded(value) for name, value in headers.items()}
        content = body.encode() if isinstance(body, str) else bytes(body)
        fields |= {"host": where.netloc.encode(), "content-length": str(len(content)).encode()}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": method,
            "path": unquote(where.path or "/"), "raw_path": (where.path or "/").encode(),
            "query_string": where.query.encode(), "client": ADDRESS, "server": ADDRESS,
            "headers": [(name.encode(), value) for name, value in fields.items()],
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        with self._turn:
            answering = self._app(scope, receive, send)
            try:
                answering.send(None)
            except StopIteration:
                pass
            else:
                answering.close()
                raise AssertionError(f"the emulated AWS waits within {method} {url}: ask its server")
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return int(sent[0]["status"]), found, b"".join(message.get("body", b"") for message in sent[1:])


def _encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@cache
def _application() -> Any:
    """MiniStack's, from its own environment, which is searched last: of what both have, ours is taken."""
    emulator.install(say=print)
    files = Path(tempfile.mkdtemp(prefix="aws-", dir=_folder()))
    atexit.register(shutil.rmtree, files, ignore_errors=True)
    layout = Layout.of()
    environment = emulator.environment(layout, port=ADDRESS[1]) | {
        "STATE_DIR": str(files / "state"), "S3_DATA_DIR": str(files / "s3"), "DOCKER_HOST": f"unix://{files}/no-docker",
    }  # fmt: skip
    root = logging.getLogger()
    logs = list(root.handlers), root.level  # MiniStack has every line of everybody printed
    sys.path.append(sysconfig.get_path("purelib", vars={"base": str(AWS_VENV), "platbase": str(AWS_VENV)}))
    with patch.dict(os.environ, environment):
        application = importlib.import_module("ministack.app").app
        importlib.import_module("sandbox.emulator_stores").find_by_account()
        functions: Any = importlib.import_module("ministack.services.lambda_svc")
    root.handlers[:] = logs[0]
    root.setLevel(logs[1])
    functions._ensure_poller = lambda: None
    functions._schedule_state_transition = lambda *_: None  # half a second later, in a thread: see sdk.py
    return application


def _folder() -> Path:
    folder = Layout.of().root.parent / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
