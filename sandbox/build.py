"""The control plane: three binaries, each of which is several programs by the name that it is called by.

Only what is asked for is built: the demo needs etcd, the API server and kubectl, which setup-envtest also brings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import gobuild, paths

CORE = ("etcd", "kube-apiserver", "kubectl")
CONTROLLERS = ("kube-controller-manager",)
NODE = ("kube-scheduler", "kubelet")
# Go's modules, its build cache and the binaries take 3.8 GB; compiling needs some room beside them.
NEEDED_DISK_BYTES = 5 * 1024**3
VERSION_PACKAGE = "k8s.io/component-base/version"
# The oldest API server that has all that the chart uses.
OLDEST = (1, 30)


@dataclass(frozen=True)
class Programs:
    """Where each program lies, whoever built it. None: it was not asked for."""

    etcd: Path
    kube_apiserver: Path
    kubectl: Path
    kube_controller_manager: Path | None = None
    kube_scheduler: Path | None = None
    kubelet: Path | None = None


def version_flags(version: str) -> list[str]:
    """What lets the binary say its version: `v1.35.4`."""
    major, minor = version.removeprefix("v").split(".")[:2]
    variables = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return [f"-X {VERSION_PACKAGE}.{name}={value}" for name, value in variables.items()]


def locate(
    *,
    controllers: bool = True,
    node: bool = False,
    say: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
) -> Programs:
    """Every program: from KUBEBUILDER_ASSETS where that folder has it, else built.

    Without `controllers` also from the folder in which setup-envtest keeps its own: it brings no controller manager,
    and one that we build would be of another version.
    """
    wanted = (*CORE, *(CONTROLLERS if controllers else ()), *(NODE if node else ()))
    assets = environ.get("KUBEBUILDER_ASSETS")
    folder = Path(assets) if assets else None if controllers else envtest_folder(environ)
    given = {name: folder / name for name in wanted if (folder / name).exists()} if folder else {}
    if folder:
        where = f"KUBEBUILDER_ASSETS is set: using {', '.join(given) or 'nothing'} from" if assets else "using those of"
        say(f"{where} {folder}")
    for names, binary in ((CORE, "controlplane"), (CONTROLLERS, "controllers"), (NODE, "node")):
        missing = [name for name in names if name in wanted and name not in given]
        if missing:
            built = ensure_built(binary, names, say=say, environ=environ)
            given |= {name: built / name for name in missing}
    return Programs(
        etcd=given["etcd"],
        kube_apiserver=given["kube-apiserver"],
        kubectl=given["kubectl"],
        kube_controller_manager=given.get("kube-controller-manager"),
        kube_scheduler=given.get("kube-scheduler"),
        kubelet=given.get("kubelet"),
    )


def envtest_folder(environ: Mapping[str, str]) -> Path | None:
    """The newest version in the folder of setup-envtest that has all of CORE; None if there is none.

    https://github.com/kubernetes-sigs/controller-runtime/tree/main/tools/setup-envtest: `k8s/1.35.0-linux-amd64`.
    """
    home = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "/")) / ".local" / "share")
    found = []
    for folder in Path(home, "kubebuilder-envtest", "k8s").glob("*"):
        version = re.match(r"(\d+)\.(\d+)\.(\d+)-", folder.name)
        if version and all((folder / name).exists() for name in CORE):
            found.append((tuple(map(int, version.groups())), folder))
    version_and_folder = max(found, default=None)
    return version_and_folder[1] if version_and_folder and version_and_folder[0][:2] >= OLDEST else None


def ensure_built(
    binary: str, programs: tuple[str, ...], *, say: Callable[[str], None], environ: Mapping[str, str] = os.environ
) -> Path:
    """Build the binary unless this very one exists. Returns the folder with a link for each of its programs."""
    go_mod = (paths.CONTROLPLANE_SOURCE / "go.mod").read_text()
    program = gobuild.Program(
        name=binary,
        called=_CALLED[binary],
        source=paths.CONTROLPLANE_SOURCE,
        package="." if binary == "controlplane" else f"./{binary}",
        flags=version_flags(gobuild.required_version(go_mod, "k8s.io/kubernetes")),
        links=programs,
        first_build=_FIRST_BUILD[binary],
        needed_disk_bytes=NEEDED_DISK_BYTES,
    )
    return gobuild.ensure_built(program, say=say, environ=environ).parent


_CALLED = {
    "controlplane": "the control plane",
    "controllers": "the controller manager",
    "node": "scheduler and kubelet",
}
_FIRST_BUILD = {"controlplane": "about 4 minutes", "controllers": "about 1 minute more", "node": "about 1 minute more"}
