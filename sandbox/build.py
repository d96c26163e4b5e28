"""The control plane's binary: built once, kept under a name that says what it was built from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import golang, paths
from sandbox.errors import SandboxError
from sandbox.state import locked

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
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


def stamp(*, files: Iterable[tuple[str, bytes]], go_version: str, arguments: Iterable[str]) -> str:
    """16 hex digits that change when the binary would: by any file, by the compiler, by how it is called."""
    digest = hashlib.sha256()
    for text in (go_version, *arguments):
        digest.update(text.encode() + b"\0")
    for name, content in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def kubernetes_version(go_mod: str) -> str:
    """`v1.35.4`, from the line that requires k8s.io/kubernetes."""
    match = re.search(r"^\s*(?:require\s+)?k8s\.io/kubernetes (v[\d.]+)", go_mod, flags=re.MULTILINE)
    if match is None:
        raise SandboxError("sandbox/controlplane/go.mod does not require k8s.io/kubernetes.")
    return match.group(1)


def build_arguments(version: str) -> list[str]:
    major, minor = version.removeprefix("v").split(".")[:2]
    variables = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = " ".join(["-s", "-w", *(f"-X {VERSION_PACKAGE}.{name}={value}" for name, value in variables.items())])
    return ["build", "-v", "-mod=readonly", "-trimpath", "-ldflags", flags]


def build_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's own settings (GOPROXY and the like) with our caches; modules can be deleted by rm."""
    cache = paths.cache(environ)
    return {
        **environ,
        "CGO_ENABLED": "0",
        "GOWORK": "off",
        "GOFLAGS": f"{environ.get('GOFLAGS', '')} -modcacherw -buildvcs=false".strip(),
        "GOMODCACHE": str(cache / "go-mod"),
        "GOCACHE": str(cache / "go-build"),
        **golang.quiet(environ),
    }


def locate(*, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Programs:
    """Every program: from KUBEBUILDER_ASSETS where that folder has it, else built."""
    assets = environ.get("KUBEBUILDER_ASSETS")
    given = {name: Path(assets) / name for name in PROGRAMS if (Path(assets) / name).exists()} if assets else {}
    if assets:
        found = ", ".join(given) if given else "nothing"
        say(f"KUBEBUILDER_ASSETS is set: using {found} from {assets}")
    if len(given) < len(PROGRAMS):
        built = ensure_built(say=say, environ=environ)
        given = {**{name: built / name for name in PROGRAMS}, **given}
    return Programs(
        etcd=given["etcd"],
        kube_apiserver=given["kube-apiserver"],
        kube_controller_manager=given["kube-controller-manager"],
        kubectl=given["kubectl"],
    )


def ensure_built(*, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Path:
    """Build the binary unless this very one exists. Returns the folder with a link for each program."""
    go = golang.find(environ)
    sources = [
        file
        for file in paths.CONTROLPLANE_SOURCE.iterdir()
        if file.name in ("go.mod", "go.sum") or file.suffix == ".go"
    ]
    arguments = build_arguments(kubernetes_version((paths.CONTROLPLANE_SOURCE / "go.mod").read_text()))
    wanted = stamp(
        files=[(file.name, file.read_bytes()) for file in sources], go_version=go.version, arguments=arguments
    )
    if _current(paths.BIN, wanted):
        return paths.BIN
    cache = paths.cache(environ)
    kept = cache / f"controlplane-{wanted}"
    with locked(
        cache / "controlplane.lock",
        say=say,
        waiting_for="another build of the control plane",
        deadline_seconds=3600,
    ):
        if not kept.exists():
            command = go.command or golang.install(say=say, environ=environ)
            _build(kept, command=command, arguments=arguments, say=say, environ=environ)
        _install(kept, wanted, into=paths.BIN)
    return paths.BIN


def _current(folder: Path, wanted: str) -> bool:
    try:
        return (folder / "controlplane.stamp").read_text().strip() == wanted and all(
            (folder / name).exists() for name in PROGRAMS
        )
    except FileNotFoundError:
        return False


def _install(binary: Path, wanted: str, *, into: Path) -> None:
    """Put the binary and its links in place by renaming, so that a running one is never written to."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".controlplane-") as scratch:
        copy = Path(scratch) / "controlplane"
        try:
            copy.hardlink_to(binary)
        except OSError:  # another file system
            shutil.copy2(binary, copy)
        copy.replace(into / "controlplane")
        for name in PROGRAMS:
            link = Path(scratch) / name
            link.symlink_to("controlplane")
            link.replace(into / name)
    (into / "controlplane.stamp").write_text(f"{wanted}\n")


def _build(
    target: Path,
    *,
    command: Path,
    arguments: list[str],
    say: Callable[[str], None],
    environ: Mapping[str, str],
) -> None:
    variables = build_environment(environ)
    _require_disk(target.parent)
    say("building the control plane from its Go modules; the first build takes about 5 minutes on 2 cores")
    started = time.monotonic()
    new = target.with_suffix(".new")
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [command, *arguments, "-o", str(new), "."],
            cwd=paths.CONTROLPLANE_SOURCE,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _watch(process, output=output.fileno(), started=started, say=say)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        output.seek(0)
        lines = [line for line in output.read().splitlines() if not _names_package(line)]
    if process.returncode != 0:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        raise SandboxError(
            "\n".join(
                [
                    f"The control plane could not be built (go ended with {process.returncode}):",
                    *(f"  | {line}" for line in lines[-15:]),
                    "Modules come through GOPROXY; a machine without a network needs a warm HUMANGOV_CACHE.",
                ]
            )
        )
    new.replace(target)
    took, size = _duration(time.monotonic() - started), target.stat().st_size >> 20
    say(f"the control plane is built ({took}, {size} MiB)")


def _watch(process: subprocess.Popen[bytes], *, output: int, started: float, say: Callable[[str], None]) -> None:
    """Say how far the build is every 15 seconds, by the packages that `go build -v` has named."""
    while True:
        try:
            process.wait(timeout=15)
            return
        except subprocess.TimeoutExpired:
            lines = os.pread(output, os.fstat(output).st_size, 0).decode(errors="replace").splitlines()
            compiled = sum(1 for line in lines if _names_package(line))
            doing = f"{compiled} packages compiled" if compiled else "fetching modules, or linking"
            say(f"  {_duration(time.monotonic() - started)}: {doing}")


def _names_package(line: str) -> bool:
    """Whether a line of `go build -v` names a package it compiles (else it is a download or an error)."""
    return re.fullmatch(r"[\w.~/-]+", line) is not None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _require_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_DISK_BYTES:
        raise SandboxError(
            f"Building the control plane needs {NEEDED_DISK_BYTES >> 30} GiB on the disk of {folder}, "
            f"{free / 2**30:.1f} GiB are free. Make room, or name another place in {paths.CACHE_VARIABLE}."
        )
