"""`humangov` in processes that are forked from one that has loaded its modules already.

Loading them takes a second of processor time, and a run of all tests starts some two hundred. A process has its own
environment, folder, output, session, signals and exit code as one that was started anew. That `humangov` starts anew is
shown by tests/e2e/test_demo.py, tests/deploy/test_image.py and tests/install.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sandbox.paths import BUILD, REPOSITORY

_SERVER = Path(__file__).with_name("fork_server.py")


class ForkedProcess:
    """As much of subprocess.Popen as the tests use."""

    def __init__(self, *, pid: int, exit_code_pipe: int) -> None:
        """`exit_code_pipe`: where the fork server writes the exit code."""
        self.pid = pid
        self.returncode: int | None = None
        self._exit_code_pipe = exit_code_pipe
        self._reading = threading.Lock()

    def __del__(self) -> None:
        os.close(self._exit_code_pipe)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        with self._reading:
            if self.returncode is None:
                if not select.select([self._exit_code_pipe], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired("humangov", timeout or 0.0)
                self.returncode = int(_read_from(self._exit_code_pipe, 64))
            return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def spawn(
    arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path | None, stdout: int, stderr: int
) -> ForkedProcess:
    """`humangov ARGUMENTS` in a session of its own, with an empty standard input. `stdout`, `stderr`: descriptors."""
    request = {"arguments": list(arguments), "environment": dict(environment), "folder": str(folder or Path.cwd())}
    body = json.dumps(request).encode()
    exit_code_pipe, write_end = os.pipe()
    try:
        with _ASKING:
            asking = _server().asking
            socket.send_fds(asking, [len(body).to_bytes(4, "big")], [stdout, stderr, write_end])
            asking.sendall(body)
    finally:
        os.close(write_end)
    return ForkedProcess(pid=int.from_bytes(_read_from(exit_code_pipe, 4), "big"), exit_code_pipe=exit_code_pipe)


def _read_from(descriptor: int, most: int) -> bytes:
    content = os.read(descriptor, most)
    if not content:
        raise RuntimeError("the fork server ended before the process that it was to watch")
    return content


def spawn_operator(
    arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, output: int
) -> ForkedProcess:
    """In place of `sandbox.local_operator.spawned`."""
    return spawn(arguments, environment=environment, folder=folder, stdout=output, stderr=output)


_ASKING = threading.Lock()


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[bytes]
    asking: socket.socket


@cache
def _server() -> _Server:
    """This process's fork server."""
    asking, server_end = socket.socketpair()
    with server_end:
        process = subprocess.Popen(
            [sys.executable, "-u", str(_SERVER), str(server_end.fileno())],
            pass_fds=[server_end.fileno()], cwd=REPOSITORY,
            stdin=subprocess.DEVNULL, start_new_session=True,
            env={
                **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
                "PYTHONPATH": str(REPOSITORY / "operator"), "PYTHONPYCACHEPREFIX": str(BUILD / "pycache"),
            },
        )  # fmt: skip
    return _Server(process, asking)


def end_server() -> None:
    """End the fork server, if there is one. What it forked goes on."""
    if _server.cache_info().currsize:
        _server().asking.close()
        _server().process.wait()
        _server.cache_clear()
