"""The control plane: one binary that is etcd, API server, controllers and kubectl, by the name it is called by."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import gobuild, paths

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
NODE = ("kube-scheduler", "kubelet")
PROGRAMS = (*CONTROL_PLANE, *NODE)
# Go's modules, its build cache and the binary take 3.6 GB; compiling needs some room beside them.
NEEDED_DISK_BYTES = 5 * 1024**3
VERSION_PACKAGE = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Programs:
    """Where each program lies, whoever built it."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path
    kube_scheduler: Path | None = None
    """None, as the next: no node was asked for."""
    kubelet: Path | None = None


def version_flags(version: str) -> list[str]:
    """What lets the binary say its version: `v1.35.4`."""
    major, minor = version.removeprefix("v").split(".")[:2]
    variables = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return [f"-X {VERSION_PACKAGE}.{name}={value}" for name, value in variables.items()]


def locate(*, node: bool = False, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Programs:
    """Every program, with `node` those of a node too: from KUBEBUILDER_ASSETS where that folder has it, else built."""
    wanted = PROGRAMS if node else CONTROL_PLANE
    assets = environ.get("KUBEBUILDER_ASSETS")
    given = {name: Path(assets) / name for name in wanted if (Path(assets) / name).exists()} if assets else {}
    if assets:
        found = ", ".join(given) if given else "nothing"
        say(f"KUBEBUILDER_ASSETS is set: using {found} from {assets}")
    if len(given) < len(wanted):
        built = ensure_built(say=say, environ=environ)
        given = {**{name: built / name for name in wanted}, **given}
    return Programs(
        etcd=given["etcd"],
        kube_apiserver=given["kube-apiserver"],
        kube_controller_manager=given["kube-controller-manager"],
        kubectl=given["kubectl"],
        kube_scheduler=given.get("kube-scheduler"),
        kubelet=given.get("kubelet"),
    )


def ensure_built(*, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Path:
    """Build the binary unless this very one exists. Returns the folder with a link for each program."""
    go_mod = (paths.CONTROLPLANE_SOURCE / "go.mod").read_text()
    program = gobuild.Program(
        name="controlplane",
        called="the control plane",
        source=paths.CONTROLPLANE_SOURCE,
        package=".",
        flags=version_flags(gobuild.required_version(go_mod, "k8s.io/kubernetes")),
        links=PROGRAMS,
        first_build="about 5 minutes",
        needed_disk_bytes=NEEDED_DISK_BYTES,
    )
    return gobuild.ensure_built(program, say=say, environ=environ).parent
