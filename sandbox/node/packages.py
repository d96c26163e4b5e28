"""Whether this machine can run a node, and Debian's packages for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sandbox import paths
from sandbox.errors import SandboxError

# A program of each package that is needed.
PACKAGES: Mapping[str, str] = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/loopback": "containernetworking-plugins",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
}
# Debian puts some of them where only root's PATH leads.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
_INSTALL_SECONDS = 600
_OTHERS = "DPkg::Lock::Timeout=300"  # seconds for an apt-get that somebody else has started, as Debian does daily


def program(name: str) -> str:
    """The path of a program of these packages. Raises SandboxError if it is not installed."""
    found = shutil.which(name, path=PATH)
    if found is None:
        raise SandboxError(f"`{name}` is not installed. A node needs Debian's packages {', '.join(PACKAGES.values())}.")
    return found


def missing() -> list[str]:
    """The packages that are not installed."""
    return [package for name, package in PACKAGES.items() if shutil.which(name, path=PATH) is None]


def obstacle() -> str | None:
    """Why no node can run here, as a sentence; None if one can, once what is `missing` is installed."""
    if os.geteuid() != 0:
        return "A node needs root: it mounts, makes cgroups and starts containers. Run it as root, or with sudo -E."
    if not _may_mount():
        return "A node needs the capability CAP_SYS_ADMIN, which this process lacks: in a container, run it privileged."
    if not os.access("/sys/fs/cgroup", os.W_OK):
        return "A node needs cgroups, and /sys/fs/cgroup cannot be written to here: in a container, run it privileged."
    absent = missing()
    if absent and shutil.which("apt-get", path=PATH) is None:
        return f"A node needs the packages {', '.join(absent)} of Debian, and there is no apt-get here to install them."
    return None


def ensure(*, say: Callable[[str], None]) -> None:
    """Install what is missing. Raises SandboxError if the machine can run no node or they cannot be installed."""
    found = obstacle()
    if found is not None:
        raise SandboxError(found)
    if missing():
        with _alone():
            _install(missing(), say=say)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Clusters that are started at the same time install once: apt-get does not wait for itself everywhere."""
    folder = paths.cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "apt-get.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(absent: list[str], *, say: Callable[[str], None]) -> None:
    if not absent:  # somebody else has done it meanwhile
        return
    say(f"installing {', '.join(absent)} by apt-get")
    install = ["install", "--yes", "--no-install-recommends", *absent]
    done = _apt_get(install)
    if done.returncode != 0:  # the lists of packages may be old, or none
        _apt_get(["update"])
        done = _apt_get(install)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()[-8:]
        raise SandboxError(
            "\n".join(
                [
                    f"`apt-get {' '.join(install)}` failed (exit {done.returncode}):",
                    *(f"  | {line}" for line in lines),
                    "Install these packages yourself, then try again.",
                ]
            )
        )


def _apt_get(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", "-o", _OTHERS, *arguments],
        env={**os.environ, "PATH": PATH, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
        check=False,
    )


def _may_mount() -> bool:
    """Whether the process has CAP_SYS_ADMIN (capabilities(7), number 21)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> 21 & 1)
