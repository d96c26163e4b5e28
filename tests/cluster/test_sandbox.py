"""The sandbox itself: its real parts, in folders of their own, beside whatever sandbox the other tests use."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

import sandbox
from sandbox import cluster, emulator, processes, report
from sandbox.errors import PartStoppedError
from sandbox.handle import Sandbox
from sandbox.paths import REPOSITORY, Layout
from sandbox.serviceaccount import kubeconfig_for
from sandbox.state import load

KEPT = ("PATH", "HOME", "HUMANGOV_CACHE", "KUBEBUILDER_ASSETS", "GOPROXY", "GOFLAGS", "TMPDIR")


def environ_of(folder: Path) -> dict[str, str]:
    """The user's own settings about building, none about clusters or AWS, and a sandbox of its own."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "HUMANGOV_SANDBOX_DIR": str(folder)}


@contextlib.contextmanager
def ended(environ: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Whatever a test leaves behind is stopped."""
    try:
        yield environ
    finally:
        sandbox.down(environ=environ)


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    with ended(environ_of(tmp_path / "sandbox")) as own:
        yield own


@pytest.fixture
def others(sandbox: Sandbox) -> Sandbox:
    """The one that the other tests use: what is started here is beside it, and so is all that both need."""
    if sandbox.kubernetes != "sandbox" or sandbox.aws != "emulator":
        pytest.skip("the other tests use a user's own cluster or AWS")
    return sandbox


def wait(condition: Callable[[], bool], *, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


def kubectl(running: Sandbox, *arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = running.environment()
    if kubeconfig is not None:
        environment["KUBECONFIG"] = str(kubeconfig)
    return subprocess.run(
        [str(running.kubectl), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def command(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        env={**environ},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def audit(running: Sandbox) -> list[dict[str, Any]]:
    assert running.audit_log is not None
    return [json.loads(line) for line in running.audit_log.read_text().splitlines()]


def test_sandbox_beside_another_shares_nothing_enforces_rbac_and_goes_through_repair_and_down(
    environ: Mapping[str, str], others: Sandbox, tmp_path: Path
) -> None:
    # A shell that uses another one is no user with a cluster of his own.
    running = sandbox.up(environ={**others.environment(environ), **environ})
    assert (running.kubernetes, running.aws) == ("sandbox", "emulator")
    state = load(Layout.of(environ).state)
    assert set(state.parts) == {*cluster.PARTS, emulator.PART}
    assert report.report(environ=environ).healthy
    assert sandbox.current(environ=environ) == running

    # A second `up` changes nothing.
    said: list[str] = []
    assert sandbox.up(environ=environ, say=said.append) == running
    assert said == ["the sandbox is up already"]
    assert load(Layout.of(environ).state) == state

    # Nothing listens but on loopback.
    pids = {part.process.pid for part in state.parts.values()}
    listening = [address for address, pid in listeners() if pid in pids]
    assert len(listening) == 5
    assert set(listening) == {"127.0.0.1"}

    its_audit_log_names_the_user_whom_rbac_refuses(running, tmp_path)

    # A part that died is reported with the end of its log, and the next `up` starts it and keeps the data.
    kept = f"kept-{secrets.token_hex(3)}"
    assert kubectl(running, "create", "namespace", kept).returncode == 0
    assert kubectl(others, "get", "namespace", kept).returncode == 1
    api_server = state.parts[cluster.API_SERVER].process
    os.kill(api_server.pid, signal.SIGKILL)
    wait(lambda: not processes.alive(api_server), what="the API server is dead")
    assert sandbox.current(environ=environ) is None
    shown = command(environ, "status")
    assert shown.returncode == 1
    assert "kube-apiserver is stopped. The end of its log" in shown.stderr
    assert str(Layout.of(environ).log(cluster.API_SERVER)) in shown.stderr
    assert len([line for line in shown.stderr.splitlines() if line.startswith("  | ")]) == 20
    said = []
    assert sandbox.up(environ=environ, say=said.append) == running
    assert said[0].startswith("kube-apiserver, kube-controller-manager: not running")
    repaired = load(Layout.of(environ).state)
    assert repaired.parts[cluster.ETCD] == state.parts[cluster.ETCD]
    assert repaired.parts[emulator.PART] == state.parts[emulator.PART]
    assert kubectl(running, "get", "namespace", kept).returncode == 0
    assert report.report(environ=environ).healthy

    sandbox.down(environ=environ)
    assert processes.of_sandbox(Layout.of(environ).root) == []
    assert sandbox.current(environ=environ) is None
    assert report.report().healthy, "the one beside it"
    assert Layout.of(environ).log(cluster.API_SERVER).exists()
    sandbox.down(purge=True, environ=environ)
    assert not Layout.of(environ).root.exists()
    sandbox.down(environ=environ)


def its_audit_log_names_the_user_whom_rbac_refuses(running: Sandbox, folder: Path) -> None:
    for arguments in (
        ["create", "serviceaccount", "operator"],
        ["create", "role", "writer", "--verb=create", "--resource=configmaps"],
        ["create", "rolebinding", "writer", "--role=writer", "--serviceaccount=default:operator"],
    ):
        assert kubectl(running, *arguments).returncode == 0
    config = kubeconfig_for(running, namespace="default", service_account="operator", path=folder / "k" / "config")
    assert config.stat().st_mode & 0o077 == 0
    assert kubectl(running, "create", "configmap", "made", kubeconfig=config).returncode == 0
    denied = kubectl(running, "get", "secrets", kubeconfig=config)
    assert "cannot list resource" in denied.stderr
    users = [
        (event["user"]["username"], event["verb"], event["objectRef"]["resource"], event["responseStatus"]["code"])
        for event in audit(running)
        if event.get("objectRef", {}).get("resource") in ("configmaps", "secrets")
    ]
    name = "system:serviceaccount:default:operator"
    assert (name, "create", "configmaps", 201) in users
    assert (name, "list", "secrets", 403) in users
    assert {user for user, *_ in users} == {name}
    # The controllers work: a namespace goes away, with what is in it.
    assert kubectl(running, "create", "namespace", "short").returncode == 0
    assert kubectl(running, "delete", "namespace", "short", "--timeout=60s").returncode == 0


@pytest.mark.usefixtures("others")  # all is built and installed: it is to be killed while it starts the parts
def test_sandbox_down_stops_what_a_killed_up_started(environ: Mapping[str, str]) -> None:
    root = Layout.of(environ).root
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", "up"], env={**environ}, cwd=REPOSITORY, stderr=subprocess.DEVNULL
    ) as interrupted:
        wait(lambda: len(processes.of_sandbox(root)) >= 2, what="two parts were started")
        interrupted.kill()
    assert processes.of_sandbox(root)
    Layout.of(environ).state.unlink(missing_ok=True)  # the worst moment: before anything was noted down
    done = command(environ, "down")
    assert done.returncode == 0, done.stderr
    assert processes.of_sandbox(root) == []


def test_sandbox_part_that_cannot_start_is_reported_with_its_log_and_the_others_stop(
    environ: Mapping[str, str], tmp_path: Path
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    broken = assets / "kube-apiserver"
    broken.write_text("#!/bin/sh\necho 'this is no API server' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(PartStoppedError, match="kube-apiserver stopped while it was being started") as raised:
        sandbox.up(environ={**environ, "KUBEBUILDER_ASSETS": str(assets)})
    assert "| this is no API server" in str(raised.value)
    assert processes.of_sandbox(Layout.of(environ).root) == []
    assert report.report(environ=environ).up is False


def test_sandbox_leaves_a_port_in_use_to_its_program(environ: Mapping[str, str]) -> None:
    first = sandbox.up(kubernetes=False, environ=environ)
    sandbox.down(environ=environ)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", load(Layout.of(environ).state).ports[emulator.PART]))
        other.listen()
        second = sandbox.up(kubernetes=False, environ=environ)
        assert second.aws_endpoint_url != first.aws_endpoint_url
        assert report.report(environ=environ).healthy


def test_each_twelve_digit_access_key_is_a_separate_account(environ: Mapping[str, str]) -> None:
    running = sandbox.up(kubernetes=False, environ=environ)
    for account in ("111111111111", "222222222222"):
        client = boto3.client(
            "sts",
            endpoint_url=running.aws_endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=account,
            aws_secret_access_key="x",
        )
        assert client.get_caller_identity()["Account"] == account
        client.close()
    root = Layout.of(environ).root
    written = {path.name for path in root.iterdir()}
    assert written == {"aws", "home", "kube-cache", "lock", "logs", "state.json", "tmp"}


def test_sandbox_commands_report_by_message_and_exit_code(environ: Mapping[str, str]) -> None:
    for arguments in (["status"], ["env"]):
        done = command(environ, *arguments)
        assert done.returncode == 1
        assert done.stdout == ""
        assert "make sandbox" in done.stderr
    assert command(environ, "down").returncode == 0
    refused = command({**environ, "SANDBOX_AWS": "yes"}, "up")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    used = command({**environ, "KUBECONFIG": "/nowhere/config", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "up")
    assert used.returncode == 0
    assert "using the cluster of /nowhere/config" in used.stderr
    assert "using http://127.0.0.1:1" in used.stderr
    assert processes.of_sandbox(Layout.of(environ).root) == []
    shown = command(environ, "env").stdout.splitlines()
    assert "export KUBECONFIG=/nowhere/config" in shown
    assert "export AWS_ENDPOINT_URL=http://127.0.0.1:1" in shown


def listeners() -> list[tuple[str, int]]:
    """(address, pid) of every listening TCP socket of ours, IPv4 and IPv6, as /proc shows them."""
    inodes: dict[str, int] = {}
    for pid in [int(entry.name) for entry in processes.PROC.iterdir() if entry.name.isdigit()]:
        with contextlib.suppress(OSError):
            for descriptor in (processes.PROC / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes[str(descriptor.readlink())] = pid
    found = []
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in (processes.PROC / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] != "0A":  # TCP_LISTEN
                continue
            raw = bytes.fromhex(fields[1].split(":")[0])
            packed = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
            owner = inodes.get(f"socket:[{fields[9]}]")
            if owner is not None:
                found.append((socket.inet_ntop(family, packed), owner))
    return found
