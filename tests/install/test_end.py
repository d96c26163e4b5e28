"""`make cluster-down`: nothing of a node stays, not even after a crash. On a node of its own, beside the others'."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import sandbox as sandboxes
from sandbox import images, processes
from sandbox.errors import SandboxError
from sandbox.images import Builder
from sandbox.node import cgroups, containerd, kubelet, packages, remains
from sandbox.paths import ROOT_VARIABLE, Layout
from sandbox.state import load
from testing.live.cluster import Cluster
from testing.live.waiting import wait_for

POD = """
apiVersion: v1
kind: Pod
metadata: {name: sleeper}
spec:
  hostNetwork: true
  containers: [{name: sleeper, image: %s, imagePullPolicy: Never}]
"""


def traces() -> dict[str, set[str]]:
    """What a node could leave on a machine, whoever's it is."""
    mounts = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    groups = {str(folder) for mount, _ in cgroups.hierarchies() for folder in mount.glob("humangov-*")}
    folders = (kubelet.CONTAINER_LOGS, containerd.SHIM_SOCKETS, Path("/run/netns"))
    files = {str(file) for folder in folders if folder.is_dir() for file in folder.iterdir()}
    interfaces = {file.name for file in Path("/sys/class/net").iterdir()}
    settings = {f"{name}={(Path('/proc/sys') / name).read_text().strip()}" for name in remains.TUNABLES}
    return {"mounts": mounts, "cgroups": groups, "files": files, "interfaces": interfaces, "settings": settings}


@pytest.fixture
def own(environ: Mapping[str, str]) -> Iterator[tuple[Layout, Mapping[str, str]]]:
    """A folder for a node that is killed here; short, for sockets lie in it."""
    try:
        packages.ensure(say=print)
    except SandboxError as error:
        pytest.skip(str(error))
    root = Path(environ[ROOT_VARIABLE]).with_name("crash")
    variables = {**environ, ROOT_VARIABLE: str(root)}
    yield Layout(root), variables
    sandboxes.down(purge=True, environ=variables)


def test_crashed_node_leaves_no_mounts_cgroups_or_processes(
    own: tuple[Layout, Mapping[str, str]], builder: Builder
) -> None:
    """That nothing stays after an orderly end is looked for by every `down`, which else fails."""
    layout, environ = own
    before = traces()
    running = sandboxes.up(node=True, aws=False, environ=environ)
    archive = layout.temporary / "pause.tar"
    with builder.storage():
        image = builder.pause()
        builder.export(image, archive)
    images.load(layout, archive, environ=environ)
    cluster = Cluster.of(running)
    cluster.output("apply", "-f", "-", stdin=POD % image)
    cluster.output("wait", "--for=condition=Ready", "pod/sleeper", "--timeout=60s")
    [container] = [pid for pid in cgroups.members(layout.root) if "infinity" in _command(pid)][:1]
    for part in load(layout.state).parts.values():
        os.kill(part.process.pid, signal.SIGKILL)
    layout.state.unlink()  # nor does anybody remember what ran
    assert traces()["cgroups"] > before["cgroups"], "there is something to leave behind"
    sandboxes.down(environ=environ)
    assert processes.of_sandbox(layout.root) == []
    wait_for(lambda: not (Path("/proc") / str(container)).exists(), what="the container has ended", seconds=5)
    assert remains.found(layout) == []
    after = traces()
    assert {kind: after[kind] - before[kind] for kind in before} == {kind: set() for kind in before}


def _command(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text()
    except OSError:
        return ""
