"""The process from which `humangov` is forked: see forked.py, which starts it. It imports nothing but the operator."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import signal
import socket
import sys
from importlib import import_module
from selectors import EVENT_READ, DefaultSelector
from typing import Any, NoReturn

import boto3
from botocore.loaders import Loader

LOADED = ("humangov.cli.main", "humangov.cli.run", "kopf", "kubernetes.aio.client")


def share_models() -> None:
    """From now on all sessions of this process, and what is forked from it, read each of the SDK's data files once.

    A session reads them anew: a second of processor time for the clients of an operator. Only files are shared, by the
    folders in which they are looked for: no client, configuration or credentials.
    """
    kept: dict[tuple[str, ...], dict[Any, Any]] = {}
    shared = property(lambda loader: kept.setdefault(tuple(loader.search_paths), {}), lambda _loader, _empty: None)
    Loader._cache = shared


def load_models() -> None:
    """Those of every service that the operator calls; they are read when a client is made."""
    from humangov.aws.actions import ACTIONS

    session = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name="us-east-1")
    for service in sorted({method.service for method in ACTIONS.values()} | {"sts", "dynamodbstreams"}):
        session.client(service)


def main(asking: socket.socket) -> None:
    """Fork at each request, and tell whoever asked of the process's end. Until nobody can ask any more."""
    children: dict[int, int] = {}
    woken, wakes = socket.socketpair()
    for end in (woken, wakes):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno())
    with DefaultSelector() as waiting:
        waiting.register(asking, EVENT_READ)
        waiting.register(woken, EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in waiting.select()}
            if asking in ready and not _forked(asking, children):
                return
            if woken in ready:
                woken.recv(4096)
            _report_exits(children)


def _report_exits(children: dict[int, int]) -> None:
    """Pid → where its exit code is awaited."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        exit_code_pipe = children.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # whoever asked no longer wants to know
            os.write(exit_code_pipe, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(exit_code_pipe)


def _forked(asking: socket.socket, children: dict[int, int]) -> bool:
    """Whether there was a request."""
    size, descriptors, _, _ = socket.recv_fds(asking, 4, 3)
    if not size:
        return False
    length, body = int.from_bytes(size, "big"), b""
    while len(body) < length:
        body += asking.recv(length - len(body))
    stdout, stderr, exit_code_pipe = descriptors
    pid = os.fork()
    if pid == 0:
        for other in (*children.values(), exit_code_pipe):
            os.close(other)
        asking.close()
        _become(body, stdout=stdout, stderr=stderr)
    os.close(stdout)
    os.close(stderr)
    children[pid] = exit_code_pipe
    os.write(exit_code_pipe, pid.to_bytes(4, "big"))
    return True


def _become(body: bytes, *, stdout: int, stderr: int) -> NoReturn:
    request = json.loads(body)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    for descriptor in (stdout, stderr):
        if descriptor > 2:
            os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["humangov", *request["arguments"]]
    sys.path[0] = request["folder"]
    try:
        runpy.run_module("humangov.cli", run_name="__main__", alter_sys=True)
        code: object = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    sys.exit(code)  # type: ignore[arg-type]


if __name__ == "__main__":
    for name in LOADED:
        import_module(name)
    share_models()
    load_models()
    gc.collect()
    gc.freeze()
    main(socket.socket(fileno=int(sys.argv[1])))
