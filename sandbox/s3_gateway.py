"""A second S3: Versity's gateway (https://github.com/versity/versitygw), on a folder, from the module beside this.

It serves HTTP on 127.0.0.1, checks signatures, and keeps versions where a bucket asks for it. An account's number is
its access key, so that a request may say whose the bucket must be. It can't show what IAM allows, or AWS's own limits.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sandbox import emulator, gobuild, paths, ports, probe
from sandbox.errors import SandboxError

SOURCE = paths.REPOSITORY / "sandbox" / "s3gateway"
MODULE = "github.com/versity/versitygw"
ACCESS_KEY, SECRET = emulator.ACCOUNT, emulator.SECRET
_HEALTH = "/health"
_START_SECONDS = 30.0


def program(go_mod: str) -> gobuild.Program:
    """The gateway as go.mod requires it."""
    version = gobuild.required_version(go_mod, MODULE)
    return gobuild.Program(
        name="versitygw",
        called="the S3 gateway",
        source=SOURCE,
        package=f"{MODULE}/cmd/versitygw",
        flags=[f"-X main.Version={version}"],
        first_build="about 3 minutes",
        needed_disk_bytes=2 * 1024**3,
    )


@contextmanager
def running(folder: Path, *, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Its URL, as long as it lasts; what it stores is lost afterwards only with the folder. Raises SandboxError."""
    binary = gobuild.ensure_built(program((SOURCE / "go.mod").read_text()), say=say, environ=environ)
    data, versions, metadata = (folder / name for name in ("data", "versions", "metadata"))
    for one in (data, versions, metadata):
        one.mkdir(parents=True)
    log = folder / "versitygw.log"
    [port] = ports.choose(["s3"]).values()
    with log.open("wb") as output:
        process = subprocess.Popen(
            # Not every file system has attributes for metadata.
            [binary, "posix", "--versioning-dir", versions, "--sidecar", metadata, data],
            env=environment(port, environ), stdout=output, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
        try:
            url = f"http://{ports.HOST}:{port}"
            _wait(process, f"{url}{_HEALTH}", log=log)
            yield url
        finally:
            process.terminate()
            process.wait()


def environment(port: int, environ: Mapping[str, str]) -> dict[str, str]:
    """It takes its options from the environment too, so that its secret is on no command line."""
    return {
        "PATH": environ.get("PATH", ""),
        "HOME": environ.get("HOME", "/"),
        "VGW_PORT": f"{ports.HOST}:{port}",
        "VGW_REGION": emulator.REGION,
        "VGW_HEALTH": _HEALTH,
        "VGW_QUIET": "true",
        "ROOT_ACCESS_KEY_ID": ACCESS_KEY,
        "ROOT_SECRET_ACCESS_KEY": SECRET,
    }


def _wait(process: subprocess.Popen[bytes], url: str, *, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while probe.status(url) != 200:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SandboxError(f"The S3 gateway did not start: {log.read_text(errors='replace')[-1000:]}")
        time.sleep(0.05)
