"""containerd: the container runtime, with everything of its own in the sandbox's folder."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.node import packages
from sandbox.paths import Layout
from sandbox.ports import HOST

PART = "containerd"
PAUSE_IMAGE = "localhost/humangov-pause:1"
CNI_PLUGINS = "/usr/lib/cni"
# containerd puts the sockets of its shims here, whatever its own folders are.
SHIM_SOCKETS = Path("/run/containerd/s")
# sun_path of unix(7), with its last byte and with what containerd appends (".ttrpc").
_LONGEST_SOCKET = 107 - len(".ttrpc")


def folder(layout: Layout) -> Path:
    return layout.node / "containerd"


def socket_path(layout: Layout) -> Path:
    return layout.node / "containerd.sock"


def write_configuration(layout: Layout) -> None:
    """containerd's own file and the network of its pods: loopback alone, for they use the host's network.

    Raises SandboxError if the folder's path is too long for a socket.
    """
    if len(str(socket_path(layout))) > _LONGEST_SOCKET:
        raise SandboxError(
            f"{socket_path(layout)} is too long for a socket ({_LONGEST_SOCKET} characters). Name a shorter folder "
            "in HUMANGOV_SANDBOX_DIR."
        )
    networks = layout.configuration / "cni"
    networks.mkdir(parents=True, exist_ok=True)
    loopback = {"cniVersion": "1.0.0", "name": "loopback", "plugins": [{"type": "loopback"}]}
    (networks / "10-loopback.conflist").write_text(json.dumps(loopback))
    (layout.configuration / "containerd.toml").write_text(configuration(layout))


def configuration(layout: Layout) -> str:
    """https://github.com/containerd/containerd/blob/release/1.6/docs/cri/config.md"""
    own = folder(layout)
    return f"""\
version = 2
root = {json.dumps(str(own / "root"))}
state = {json.dumps(str(own / "state"))}
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
address = {json.dumps(str(socket_path(layout)))}

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = {json.dumps(PAUSE_IMAGE)}
stream_server_address = "{HOST}"
disable_apparmor = true
# Else a container cannot start where the machine lacks CAP_SYS_RESOURCE.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = {json.dumps(str(layout.configuration / "cni"))}

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = {json.dumps(str(own / "runc"))}
SystemdCgroup = false
"""


def command(layout: Layout) -> list[str]:
    return [packages.program("containerd"), "--config", str(layout.configuration / "containerd.toml")]


def ready(layout: Layout) -> bool:
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(2)
        try:
            attempt.connect(str(socket_path(layout)))
        except OSError:
            return False
    return True


def shim_sockets(layout: Layout) -> list[Path]:
    """Where the shims of this containerd listen, or listened."""
    found = (folder(layout) / "state").glob("io.containerd.runtime.v2.task/*/*/address")
    return [Path(file.read_text().strip().removeprefix("unix://")) for file in found]
