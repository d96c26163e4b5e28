"""`humangov` forked from a process that has loaded it does what it does when it is started anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.paths import REPOSITORY
from testing.live.command import run_humangov
from testing.live.forked import spawn
from testing.live.waiting import wait_for

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY / "operator"), "COLUMNS": "90"}


@pytest.mark.parametrize("arguments", [("--version",), ("plan", "-f", "missing.yaml")])
def test_forked_command_prints_and_ends_as_one_that_is_started(arguments: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "humangov.cli", *arguments]
    started = subprocess.run(command, env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, check=False)
    forked = run_humangov(*arguments, environment=ENVIRONMENT, folder=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_forked_process_has_a_session_of_its_own_and_ends_by_a_signal(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        running = spawn(
            ["run", "--region", "us-east-1", "--no-leader-elect", "--probe-address", "off"],
            environment={**ENVIRONMENT, "KUBECONFIG": str(hanging(tmp_path))}, folder=tmp_path, stdout=log.fileno(),
            stderr=log.fileno(),
        )  # fmt: skip
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(0.05)
    assert running.poll() is None
    wait_for(lambda: os.getsid(running.pid) == running.pid, what="it has a session of its own", seconds=10)
    running.kill()
    assert running.wait(10) == running.poll() == running.returncode == -signal.SIGKILL


def hanging(folder: Path) -> Path:
    """A kubeconfig of an API server that nobody answers for."""
    path = folder / "kubeconfig"
    path.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: x, user: x}}],"
        " clusters: [{name: x, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: x, user: {token: x}}]}"
    )
    return path
