"""Lambda's Runtime API on loopback: runs a function's unmodified zip under AWS's runtime interface client.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. It kills the function at its deadline if it is
asked to. It bounds no memory, and gives the function whatever permissions the emulator gives.
"""

from __future__ import annotations

import io
import json
import os
import queue
import select
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_API = "/2018-06-01/runtime/"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:humangov-california-delete-file"
LOG_GROUP = "/aws/lambda/humangov-california-delete-file"
_WAIT_SECONDS = 60
TIMED_OUT = "Sandbox.Timedout"
EXITED = "Runtime.ExitError"


@dataclass(frozen=True)
class Invocation:
    """result: what the function returned; error: what it raised, as Lambda sees it; lines: its log and receipts."""

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
    """A zip in a process of its own, as long as the context. environment: what the function is given.

    receipts: takes the lines that the function has stored in its log group since the last call.
    """

    def __init__(
        self,
        code: bytes,
        *,
        handler: str,
        environment: Mapping[str, str],
        directory: Path,
        receipts: Callable[[], list[dict[str, Any]]] = list,
    ) -> None:
        self._receipts = receipts
        self._code, self._handler, self._directory = code, handler, directory
        self._environment = dict(environment)
        self.starts = 0

    def __enter__(self) -> Self:
        zipfile.ZipFile(io.BytesIO(self._code)).extractall(self._directory)
        self._start()
        return self

    def _start(self) -> None:
        self.starts += 1
        self._api = _Api()
        threading.Thread(target=self._api.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", self._handler],
            cwd=self._directory,
            env={
                "PATH": os.environ["PATH"],
                "LANG": "en_US.UTF-8",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_LAMBDA_FUNCTION_NAME": FUNCTION_ARN.rsplit(":", 1)[-1],
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_LOG_GROUP_NAME": LOG_GROUP,
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_port}",
                "LAMBDA_TASK_ROOT": str(self._directory),
                "NO_PROXY": "127.0.0.1,localhost",
            }
            | self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._log = _Log(self._process)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._api.waiting.put(None)
        self._api.shutdown()
        self._api.server_close()

    def invoke(self, event: Any, *, timeout_ms: int = 300_000, kill: bool = False) -> Invocation:
        """Runs one event to its end. timeout_ms: how far off the deadline is that the function sees.

        kill: do as Lambda does at the deadline, and where the process ends by itself: the invocation has failed, and
        the next one finds a new process. Without it, raises AssertionError if the process ends or hangs. Raises
        InitError.
        """
        outcome = self._api.submit(event, timeout_ms=timeout_ms)
        until = time.monotonic() + _WAIT_SECONDS
        while True:
            with suppress(queue.Empty):
                kind, body = outcome.get(timeout=0.02 if kill else 0.1)
                break
            if not self._api.init_errors.empty():
                raise InitError(self._api.init_errors.get())
            ended, late = self._process.poll() is not None, time.monotonic() > until
            if kill and (ended or self._api.overdue):
                return self._replaced(EXITED if ended else TIMED_OUT)
            if ended or late:
                raise AssertionError("the function gave no answer; its log: " + "\n".join(self.log_so_far))
        if kind == "error":
            return Invocation(result=None, error=body, lines=self._lines())
        return Invocation(result=body, error=None, lines=self._lines())

    def _lines(self) -> list[dict[str, Any]]:
        return self._log.taken() + self._receipts()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._process.pid

    def kill(self) -> None:
        """As when it runs out of memory."""
        self._process.kill()

    def _replaced(self, kind: str) -> Invocation:
        self._stop()
        lines = self._lines()
        self._start()
        return Invocation(result=None, error={"errorType": kind}, lines=lines)

    @property
    def log_so_far(self) -> list[str]:
        """What a running invocation has already written."""
        return self._log.lines()


class _Log:
    """What a process writes. Whatever it wrote before it answered is in the pipe by then, and so in `lines`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        self._pipe = process.stdout
        self._text = b""
        self._taken = 0
        self._ended = False
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def lines(self) -> list[str]:
        """The lines since the last `taken`."""
        with self._lock:
            self._drain()
            return self._text[self._taken :].decode().splitlines()

    def taken(self) -> list[dict[str, Any]]:
        """The JSON objects among the lines, once; the runtime client's own lines are none."""
        lines = self.lines()
        self._taken = len(self._text)
        return [json.loads(line) for line in lines if line.startswith("{")]

    def close(self) -> None:
        """After the process has ended."""
        self._reader.join()
        self._pipe.close()

    def _read(self) -> None:
        # A function must never wait for a full pipe.
        while not self._ended:
            select.select([self._pipe], [], [])  # its end wakes it too
            with self._lock:
                self._drain()

    def _drain(self) -> None:
        while not self._ended and select.select([self._pipe], [], [], 0)[0]:
            part = os.read(self._pipe.fileno(), 65536)
            self._text += part
            self._ended = not part


class _Api(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.waiting: queue.Queue[tuple[str, bytes, int] | None] = queue.Queue()
        self.answers: dict[str, queue.Queue[tuple[str, Any]]] = {}
        self.init_errors: queue.Queue[Any] = queue.Queue()
        self.deadline_ms: int | None = None

    @property
    def overdue(self) -> bool:
        """The start of the process does not count: the time runs once it has taken the event."""
        return self.deadline_ms is not None and time.time() * 1000 > self.deadline_ms

    def submit(self, event: Any, *, timeout_ms: int) -> queue.Queue[tuple[str, Any]]:
        request_id = f"request-{len(self.answers) + 1}"
        self.answers[request_id] = queue.Queue()
        self.deadline_ms = None
        self.waiting.put((request_id, json.dumps(event).encode(), timeout_ms))
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
        request_id, body, timeout_ms = submitted
        self.server.deadline_ms = int(time.time() * 1000) + timeout_ms
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(self.server.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
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
