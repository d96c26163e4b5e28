"""`make demo` as its audience sees it. Runs on the real API server and the emulated AWS; see the sandbox for limits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from sandbox.handle import Sandbox
from sandbox.local_operator import kubectl
from sandbox.paths import REPOSITORY

COMMAND = [sys.executable, "-m", "sandbox.demo"]


def namespaces(sandbox: Sandbox) -> list[str]:
    return kubectl(sandbox, "get", "namespaces", "-o", "name").split()


def namespace_of(reported: str) -> str:
    match = re.search(r"--operator-namespace (\S+)", reported)
    assert match is not None, reported
    return f"namespace/{match[1]}"


@pytest.mark.usefixtures("example_names")
def test_demo_observes_every_step_and_leaves_the_sandbox_unchanged(sandbox: Sandbox) -> None:
    done = subprocess.run(COMMAND, cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 14 steps were observed." in done.stdout
    assert done.stderr == ""
    assert "\033[" not in done.stdout  # no terminal, no colour
    assert namespace_of(done.stdout) not in namespaces(sandbox)


@pytest.mark.usefixtures("example_names")
def test_interrupted_demo_removes_everything_it_created(sandbox: Sandbox) -> None:
    with subprocess.Popen(
        COMMAND, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as running:  # fmt: skip
        assert running.stdout is not None
        reported = ""
        deadline = time.monotonic() + 240
        for line in running.stdout:
            reported += line
            # Tables, buckets, operator and HumanGovStates are there by now.
            if line.startswith(" 6/14"):
                running.send_signal(signal.SIGINT)
            assert time.monotonic() < deadline, reported
    assert running.returncode == 130, reported
    assert "everything that the demo created was removed" in reported
    assert "cleaning up:" not in reported
    assert namespace_of(reported) not in namespaces(sandbox)
