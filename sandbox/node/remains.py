"""What a node leaves behind when it is stopped or killed: found by the sandbox's folder, and removed."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import time
from pathlib import Path

from sandbox.node import cgroups, containerd, kubelet
from sandbox.paths import Layout

_MOUNTS = Path("/proc/self/mountinfo")
_DETACH = 2  # MNT_DETACH of umount2(2): at once, also where somebody has a file open in it
# What kubelet sets for the whole machine (pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables).
TUNABLES = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def mounts(root: Path, *, mountinfo: str | None = None) -> list[Path]:
    """Every mount under `root`, the last first (proc_pid_mountinfo(5))."""
    text = _MOUNTS.read_text() if mountinfo is None else mountinfo
    points = (Path(_unescaped(line.split()[4])) for line in text.splitlines())
    return [point for point in points if point.is_relative_to(root)][::-1]


def found(layout: Layout) -> list[str]:
    """All that there is of the node outside its folder, in words; nothing once it was removed.

    Network namespaces of pods are mounts: containerd keeps them under its own folder.
    """
    return [
        *(f"mount {point}" for point in mounts(layout.root)),
        *(f"cgroup {folder}" for folder in cgroups.folders(layout.root)),
        *(f"process {pid} in a container" for pid in sorted(cgroups.members(layout.root))),
        *(f"socket {path}" for path in containerd.shim_sockets(layout) if path.exists()),
        *(f"link {path}" for path in kubelet.log_links(layout)),
        *(f"setting of the kernel /proc/sys/{name}" for name in _changed_tunables(layout)),
    ]


def remove(layout: Layout) -> list[str]:
    """All of it, once containerd, its shims and kubelet have ended; what is left, in words."""
    problems = cgroups.remove(layout.root)
    for path in [*containerd.shim_sockets(layout), *kubelet.log_links(layout)]:
        path.unlink(missing_ok=True)
    for folder in (containerd.SHIM_SOCKETS, containerd.SHIM_SOCKETS.parent, kubelet.CONTAINER_LOGS):
        with contextlib.suppress(OSError):  # somebody else's are in it, or there is none
            folder.rmdir()
    deadline = time.monotonic() + 5
    while (points := mounts(layout.root)) and time.monotonic() < deadline:
        for point in points:
            _unmount(point)
    _restore_tunables(layout)
    return problems + [one for one in found(layout) if one not in problems]


def note_tunables(layout: Layout) -> None:
    """Before kubelet starts: what it will have to be set back to."""
    file = layout.node / "tunables.json"
    if not file.exists():
        file.write_text(json.dumps({name: _tunable(name).read_text().strip() for name in TUNABLES}))


def _restore_tunables(layout: Layout) -> None:
    for name in _changed_tunables(layout):
        with contextlib.suppress(OSError):
            _tunable(name).write_text(_noted_tunables(layout)[name])
    if not _changed_tunables(layout):
        (layout.node / "tunables.json").unlink(missing_ok=True)


def _changed_tunables(layout: Layout) -> list[str]:
    return [name for name, value in _noted_tunables(layout).items() if _tunable(name).read_text().strip() != value]


def _noted_tunables(layout: Layout) -> dict[str, str]:
    try:
        return dict(json.loads((layout.node / "tunables.json").read_text()))
    except FileNotFoundError:
        return {}


def _tunable(name: str) -> Path:
    return Path("/proc/sys") / name


def _unmount(point: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.umount2(os.fsencode(point), _DETACH) != 0:
        with contextlib.suppress(OSError):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _unescaped(text: str) -> str:
    """mountinfo writes blanks and backslashes as octal numbers."""
    return text.encode().decode("unicode_escape").encode("latin-1").decode()
