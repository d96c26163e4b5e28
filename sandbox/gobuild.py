"""Programs built from Go modules: once, and kept under a name that says what each was built from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox import golang, paths
from sandbox.errors import SandboxError
from sandbox.state import locked


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program of one of our Go modules."""

    name: str
    """Of its file in `paths.BIN`, of its stamp, and of what is kept in the cache."""
    called: str
    """In messages: "the control plane"."""
    source: Path
    package: str
    flags: Sequence[str] = ()
    links: Sequence[str] = ()
    """Further names beside the file; by them the program can tell what it is to be."""
    first_build: str
    """How long it takes, in words."""
    needed_disk_bytes: int


def required_version(go_mod: str, module: str) -> str:
    """`v1.35.4`, from the line that requires `module`. Raises SandboxError."""
    match = re.search(rf"^\s*(?:require\s+)?{re.escape(module)} (v[\d.]+)", go_mod, flags=re.MULTILINE)
    if match is None:
        raise SandboxError(f"The Go module of the sandbox does not require {module}.")
    return match.group(1)


def stamp(*, files: Iterable[tuple[str, bytes]], go_version: str, arguments: Iterable[str]) -> str:
    """16 hex digits that change when the binary would: by any file, by the compiler, by how it is called."""
    digest = hashlib.sha256()
    for text in (go_version, *arguments):
        digest.update(text.encode() + b"\0")
    for name, content in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
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


def arguments(program: Program) -> list[str]:
    """How `go` is called, but for where the binary goes and which package it is made of."""
    return ["build", "-v", "-mod=readonly", "-trimpath", "-ldflags", " ".join(["-s", "-w", *program.flags])]


def ensure_built(program: Program, *, say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Path:
    """Build the program unless this very one exists. Returns its file in `paths.BIN`."""
    go = golang.find(environ)
    sources = [file for file in program.source.rglob("*") if file.name in ("go.mod", "go.sum") or file.suffix == ".go"]
    wanted = stamp(
        files=[(str(file.relative_to(program.source)), file.read_bytes()) for file in sources],
        go_version=go.version,
        arguments=[*arguments(program), program.package],
    )
    target = paths.BIN / program.name
    if _current(program, wanted):
        return target
    cache = paths.cache(environ)
    kept = cache / f"{program.name}-{wanted}"
    with locked(
        cache / f"{program.name}.lock",
        say=say,
        waiting_for=f"another build of {program.called}",
        deadline_seconds=3600,
    ):
        if not kept.exists():
            command = go.command or golang.install(say=say, environ=environ)
            _build(program, kept, command=command, say=say, environ=environ)
        _install(program, kept, wanted, into=paths.BIN)
    return target


def _current(program: Program, wanted: str) -> bool:
    try:
        return (paths.BIN / f"{program.name}.stamp").read_text().strip() == wanted and all(
            (paths.BIN / name).exists() for name in (program.name, *program.links)
        )
    except FileNotFoundError:
        return False


def _install(program: Program, binary: Path, wanted: str, *, into: Path) -> None:
    """Put the binary and its links in place by renaming, so that a running one is never written to."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=f".{program.name}-") as scratch:
        copy = Path(scratch) / program.name
        try:
            copy.hardlink_to(binary)
        except OSError:  # another file system
            shutil.copy2(binary, copy)
        copy.replace(into / program.name)
        for name in program.links:
            link = Path(scratch) / name
            link.symlink_to(program.name)
            link.replace(into / name)
    (into / f"{program.name}.stamp").write_text(f"{wanted}\n")


def _build(
    program: Program, target: Path, *, command: Path, say: Callable[[str], None], environ: Mapping[str, str]
) -> None:
    _require_disk(program, target.parent)
    say(f"building {program.called} from its Go modules; the first build takes {program.first_build} on 2 cores")
    started = time.monotonic()
    new = target.with_suffix(".new")
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [command, *arguments(program), "-o", str(new), program.package],
            cwd=program.source,
            env=environment(environ),
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
                    f"{_capitalized(program.called)} could not be built (go ended with {process.returncode}):",
                    *(f"  | {line}" for line in lines[-15:]),
                    "Modules come through GOPROXY; a machine without a network needs a warm HUMANGOV_CACHE.",
                ]
            )
        )
    new.replace(target)
    took, size = _duration(time.monotonic() - started), target.stat().st_size >> 20
    say(f"{program.called} is built ({took}, {size} MiB)")


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


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _require_disk(program: Program, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < program.needed_disk_bytes:
        raise SandboxError(
            f"Building {program.called} needs {program.needed_disk_bytes >> 30} GiB on the disk of {folder}, "
            f"{free / 2**30:.1f} GiB are free. Make room, or name another place in {paths.CACHE_VARIABLE}."
        )
