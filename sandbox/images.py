"""The operator's image, built from the Dockerfile by buildah, without a daemon, and carried into the node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox import paths
from sandbox.errors import SandboxError
from sandbox.node import containerd, packages
from sandbox.paths import Layout
from sandbox.state import locked

BASE = "python:3.13-slim"
REPOSITORY = "localhost/humangov-operator"
# The release of Debian whose Python is 3.13, and what the official image has beside it.
_DEBIAN = "trixie"
_BASE_PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")
_BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
# A base in the cache that another recipe made is made again: raise this when what the recipe does changes.
_RECIPE = "2"
_RECIPE_LABEL = "io.humangov.base-recipe"
_PULL_SECONDS = 60
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """In bytes, uncompressed."""

    whole: int
    base: int

    @property
    def own(self) -> int:
        """What the image adds to its base."""
        return self.whole - self.base


class Builder:
    """buildah, with its storage in the cache: a base is made once a machine."""

    def __init__(self, *, say: Say, environ: Mapping[str, str] = os.environ) -> None:
        self._say = say
        self._storage = paths.cache(environ) / "images"
        self._program = packages.program("buildah")
        # Python's own variables stay out: debootstrap runs Python in the base, and a cache of bytecode that is set for
        # this repository would be written into it.
        kept = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
        self._environment = {**kept, "PATH": packages.PATH, "BUILDAH_ISOLATION": "chroot"}

    @contextmanager
    def storage(self) -> Iterator[None]:
        """One builder at a time: two would make the base twice."""
        with locked(
            self._storage.with_suffix(".lock"),
            say=self._say,
            waiting_for="another build of the image",
            deadline_seconds=1800,
        ):
            yield

    def base(self) -> str:
        """The official base image, or where it cannot be pulled one made of the same Debian and Python; its name."""
        base = f"localhost/{BASE}"
        if self._exists(base):
            if self._label(base) == _RECIPE:
                return base
            # buildah takes the short name for this one, too.
            self._buildah("rmi", "--force", base)
        if self._exists(BASE):
            return BASE
        self._say(f"pulling {BASE}")
        if self._buildah("pull", BASE, seconds=_PULL_SECONDS, check=False).returncode == 0:
            return BASE
        self._say(f"{BASE} cannot be pulled here: making one of Debian {_DEBIAN}, which takes about a minute")
        return self._build_base(base)

    def operator(self, tag: str, *, revision: str = "unknown") -> str:
        """Build the Dockerfile, unchanged steps from the cache; the image's name."""
        self.base()
        started = time.monotonic()
        name = f"{REPOSITORY}:{tag}"
        self._say(f"building {name} from the Dockerfile")
        with tempfile.TemporaryDirectory() as scratch:
            self._buildah(
                "build", "--pull=never", "--layers", "--network", "host", "--format", "docker",
                *self._machine(Path(scratch)),
                "--build-arg", f"VERSION={tag}", "--build-arg", f"REVISION={revision}", "--tag", name,
                str(paths.REPOSITORY),
            )  # fmt: skip
        self._say(f"{name} is built ({time.monotonic() - started:.0f} s)")
        return name

    def pause(self) -> str:
        """What holds a pod's namespaces: a program that sleeps, from the base that is there anyway; its name."""
        name = containerd.PAUSE_IMAGE
        if not self._exists(name):
            container = self._buildah("from", "--pull=never", self.base()).stdout.strip()
            self._buildah("config", "--entrypoint", '["/bin/sleep", "infinity"]', "--cmd", "", container)
            self._buildah("commit", "--rm", container, name)
        return name

    def export(self, name: str, archive: Path) -> None:
        """Write it as a tar file that containerd and docker read."""
        archive.unlink(missing_ok=True)
        self._buildah("push", name, f"docker-archive:{archive}:{name}")

    def identity(self, name: str) -> str:
        """What changes when anything of the image does."""
        return str(json.loads(self._buildah("inspect", "--type", "image", name).stdout)["FromImageID"])

    def sizes(self, name: str) -> Sizes:
        """Of all files, as they lie unpacked."""
        return Sizes(whole=self._bytes(name), base=self._bytes(self.base()))

    def read(self, name: str) -> dict[str, object]:
        """The image's configuration, as OCI has it."""
        return dict(json.loads(self._buildah("inspect", "--type", "image", name).stdout)["OCIv1"])

    @contextmanager
    def mounted(self, name: str) -> Iterator[Path]:
        """The image's files, to look at."""
        container = self._buildah("from", "--pull=never", name).stdout.strip()
        try:
            yield Path(self._buildah("mount", container).stdout.strip())
        finally:
            self._buildah("umount", container, check=False)
            self._buildah("rm", container, check=False)

    def _build_base(self, name: str) -> str:
        debootstrap = packages.program("debootstrap")
        with tempfile.TemporaryDirectory(dir=self._storage.parent) as scratch:
            root = Path(scratch) / "root"
            command = [debootstrap, "--variant=minbase", f"--include={','.join(_BASE_PACKAGES)}", _DEBIAN, str(root)]
            _run(command, environment=self._environment, seconds=1200)
            # As in the official image: `python`, and a pip that may install.
            (root / "usr/bin/python").symlink_to("python3")
            for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
                marker.unlink()
            for cache in ("var/cache/apt/archives", "var/lib/apt/lists"):
                shutil.rmtree(root / cache, ignore_errors=True)
            container = self._buildah("from", "scratch").stdout.strip()
            self._buildah("add", "--quiet", container, str(root), "/")
            label = f"{_RECIPE_LABEL}={_RECIPE}"
            self._buildah("config", "--env", f"PATH={_BASE_PATH}", "--label", label, container)
            self._buildah("commit", "--quiet", "--rm", container, name)
        return name

    def _machine(self, scratch: Path) -> list[str]:
        """What a build needs of this machine to download: its certificates, and pip's settings."""
        mounts = []
        certificates = Path("/etc/ssl/certs")
        if certificates.is_dir():
            mounts.append((certificates, certificates))
        settings = [f"{name} = {value}" for name, value in _pip_settings(self._environment).items()]
        if settings:
            own = scratch / "pip.conf"
            own.write_text("\n".join(["[global]", *settings, ""]))
            mounts.append((own, Path("/etc/pip.conf")))
        return [word for source, target in mounts for word in ("--volume", f"{source}:{target}:ro")]

    def _bytes(self, name: str) -> int:
        with self.mounted(name) as root:
            return sum(file.lstat().st_size for file in root.rglob("*") if file.is_file() and not file.is_symlink())

    def _exists(self, name: str) -> bool:
        return self._buildah("inspect", "--type", "image", name, check=False).returncode == 0

    def _label(self, name: str) -> str | None:
        config = self.read(name)["config"]
        return (config.get("Labels") or {}).get(_RECIPE_LABEL) if isinstance(config, dict) else None

    def _buildah(self, *arguments: str, check: bool = True, seconds: float = 1200) -> subprocess.CompletedProcess[str]:
        own = [
            "--root",
            str(self._storage / "storage"),
            "--runroot",
            str(self._storage / "run"),
            "--storage-driver",
            "overlay",
        ]
        return _run([self._program, *own, *arguments], environment=self._environment, seconds=seconds, check=check)


def load(layout: Layout, archive: Path, *, environ: Mapping[str, str] = os.environ) -> None:
    """Carry an image into the node's containerd. Raises SandboxError."""
    command = [packages.program("ctr"), "--address", str(containerd.socket_path(layout)), "--namespace", "k8s.io"]
    _run([*command, "images", "import", str(archive)], environment={**environ, "PATH": packages.PATH}, seconds=300)


def _pip_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's pip settings of addresses and time-outs: pip's variable for `--some-option` is PIP_SOME_OPTION."""
    found = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith("PIP_") and name.endswith(("_URL", "_TIMEOUT")) and value
    }
    bundle = environment.get("PIP_CERT", "")
    return found | ({"cert": bundle} if bundle.startswith("/etc/ssl/certs/") else {})


def _run(
    command: Sequence[str], *, environment: Mapping[str, str], seconds: float, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Raises SandboxError with the end of what it said."""
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        done = subprocess.CompletedProcess(command, 124, "", f"no end within {seconds:.0f} s")
    if check and done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()[-15:]
        shown = " ".join(Path(word).name if index == 0 else word for index, word in enumerate(command))
        raise SandboxError("\n".join([f"`{shown}` failed (exit {done.returncode}):", *(f"  | {one}" for one in lines)]))
    return done
