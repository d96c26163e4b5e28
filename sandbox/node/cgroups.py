"""The node's own cgroup: every container runs under it, so that none can be missed. Versions 1 and 2 of cgroups(7)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_UNIFIED = "cgroup2"
_END_SECONDS = 10.0


def name(root: Path) -> str:
    """Of the sandbox in `root`."""
    return f"humangov-{hashlib.sha256(str(root).encode()).hexdigest()[:10]}"


def hierarchies() -> list[tuple[Path, str]]:
    """Where cgroups are mounted, with the type: one for each controller in version 1, one in all in version 2."""
    found = []
    for line in _MOUNTS.read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind = rest.split()[0]
        if kind in ("cgroup", _UNIFIED):
            found.append((Path(fields.split()[4]), kind))
    return found


def create(root: Path) -> None:
    """In every hierarchy. Harmless if it is there."""
    for mount, kind in hierarchies():
        folder = mount / name(root)
        if kind == _UNIFIED:
            _delegate(mount)
        folder.mkdir(exist_ok=True)
        # A new cpuset is empty and takes no process; its parent's is what a node may use.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if kind != _UNIFIED and (mount / setting).exists():
                (folder / setting).write_text((mount / setting).read_text())


def folders(root: Path) -> list[Path]:
    """The cgroup in every hierarchy where it exists."""
    return [mount / name(root) for mount, _ in hierarchies() if (mount / name(root)).is_dir()]


def members(root: Path) -> set[int]:
    """The processes of all containers."""
    return {pid for folder in folders(root) for pid in _pids(folder)}


def remove(root: Path) -> list[str]:
    """Kill what runs in it and remove it; what could not be removed."""
    deadline = time.monotonic() + _END_SECONDS
    while (pids := members(root)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    left = []
    for top in folders(root):
        for folder in sorted(_tree(top), key=lambda one: len(one.parts), reverse=True):
            try:
                _remove_folder(folder, deadline=deadline)
            except OSError as error:
                left.append(f"cgroup {folder}: {error.strerror}")
    return left


def _remove_folder(folder: Path, *, deadline: float) -> None:
    """A cgroup is busy for a moment after its last process has ended."""
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _delegate(mount: Path) -> None:
    """Give children the controllers that there are (version 2)."""
    available = (mount / "cgroup.controllers").read_text().split()
    for controller in available:
        with contextlib.suppress(OSError):  # some are taken by version 1
            (mount / "cgroup.subtree_control").write_text(f"+{controller}")


def _tree(folder: Path) -> Iterator[Path]:
    yield folder
    with contextlib.suppress(FileNotFoundError):
        for child in folder.iterdir():
            if child.is_dir():
                yield from _tree(child)


def _pids(folder: Path) -> Iterator[int]:
    for one in _tree(folder):
        with contextlib.suppress(FileNotFoundError, OSError):
            yield from map(int, (one / "cgroup.procs").read_text().split())
