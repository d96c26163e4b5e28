"""Lambda's Runtime API on loopback: runs a function's unmodified zip under AWS's runtime interface client.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. It enforces neither time-outs, nor memory, nor
the 6 MB limit, and gives the function whatever rights the emulator gives.
"""

from __future__ import annotations

import io
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_API = "/2018-06-01/runtime/"
_FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:humangov-california-delete-file"
_WAIT_SECONDS = 60


@dataclass(frozen=True)
class Invocation:
    """result: what the function returned; error: what it raised, as Lambda sees it; lines: its log."""

    result: Any
    error: Any
    lines: list[dict[str, Any]]

    def receipts(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("receipt") == kind]

    @property
    def outcomes(self) -> dict[str, str]:
        """Object key → outcome."""
        return {line["key"]: line["outcome"] for line in self.receipts("outcome")}

    @property
    def summary(self) -> dict[str, Any]:
        return next(line for line in self.lines if line.get("message") == "batch")


class InitError(Exception):
    """The function failed before its first invocation; carries Lambda's error object."""


class RunningFunction:
    """A zip in a process of its own, as long as the context. environment: what the function is given."""

    def __init__(self, code: bytes, *, handler: str, environment: Mapping[str, str], directory: Path) -> None:
        self._code, self._handler, self._directory = code, handler, directory
        self._environment = dict(environment)
        self._log: queue.Queue[str | None] = queue.Queue()

    def __enter__(self) -> Self:
        self._api = _Api()
        threading.Thread(target=self._api.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        zipfile.ZipFile(io.BytesIO(self._code)).extractall(self._directory)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", self._handler],
            cwd=self._directory,
            env={
                "PATH": os.environ["PATH"],
                "LANG": "en_US.UTF-8",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_LAMBDA_FUNCTION_NAME": _FUNCTION_ARN.rsplit(":", 1)[-1],
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_port}",
                "LAMBDA_TASK_ROOT": str(self._directory),
                "NO_PROXY": "127.0.0.1,localhost",
            }
            | self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdout:
            self._process.stdout.close()
        self._api.waiting.put(None)
        self._api.shutdown()
        self._api.server_close()

    def invoke(self, event: Any, *, timeout_ms: int = 300_000) -> Invocation:
        """Runs one event to its end. timeout_ms: how far off the deadline is that the function sees.

        Raises InitError, or AssertionError if the function's process ends or hangs.
        """
        outcome = self._api.submit(event, timeout_ms=timeout_ms)
        until = time.monotonic() + _WAIT_SECONDS
        while True:
            with suppress(queue.Empty):
                kind, body = outcome.get(timeout=0.1)
                break
            if not self._api.init_errors.empty():
                raise InitError(self._api.init_errors.get())
            if self._process.poll() is not None or time.monotonic() > until:
                raise AssertionError("the function gave no answer; its log: " + "\n".join(self.log_so_far))
        if kind == "error":
            return Invocation(result=None, error=body, lines=[])
        return Invocation(result=body, error=None, lines=self._lines())

    @property
    def log_so_far(self) -> list[str]:
        """What a running invocation has already written."""
        return [text for text in list(self._log.queue) if text is not None]

    def _lines(self) -> list[dict[str, Any]]:
        # The log goes through a pipe of its own: the batch's summary is its last line.
        lines: list[dict[str, Any]] = []
        while not lines or lines[-1].get("message") != "batch":
            text = self._log.get(timeout=_WAIT_SECONDS)
            assert text is not None, f"the log ended after {lines}"
            lines.append(json.loads(text))
        return lines

    def _read(self) -> None:
        assert self._process.stdout
        for text in self._process.stdout:
            self._log.put(text.rstrip("\n"))
        self._log.put(None)


class _Api(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.waiting: queue.Queue[tuple[str, bytes, int] | None] = queue.Queue()
        self.answers: dict[str, queue.Queue[tuple[str, Any]]] = {}
        self.init_errors: queue.Queue[Any] = queue.Queue()

    def submit(self, event: Any, *, timeout_ms: int) -> queue.Queue[tuple[str, Any]]:
        request_id = f"request-{len(self.answers) + 1}"
        self.answers[request_id] = queue.Queue()
        self.waiting.put((request_id, json.dumps(event).encode(), int(time.time() * 1000) + timeout_ms))
        return self.answers[request_id]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Api

    def setup(self) -> None:
        super().setup()
        # Without it, Nagle and delayed acknowledgements add 40 ms to each invocation.
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        assert self.path == _API + "invocation/next", self.path
        submitted = self.server.waiting.get()
        if submitted is None:
            self.close_connection = True
            return
        request_id, body, deadline_ms = submitted
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": _FUNCTION_ARN,
            "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000",
            "Content-Type": "application/json",
        }
        self._answer(200, body, headers)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match self.path.removeprefix(_API).split("/"):
            case ["init", "error"]:
                self.server.init_errors.put(body)
            case ["invocation", request_id, kind]:
                self.server.answers[request_id].put((kind, body))
        self._answer(202, b'{"status":"OK"}', {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass
