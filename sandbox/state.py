"""What a sandbox remembers between commands: `state.json`, and the lock that lets one command change it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sandbox.errors import SandboxError
from sandbox.processes import Process

KubernetesSource = Literal["none", "sandbox", "user"]
AwsSource = Literal["none", "emulator", "endpoint", "account"]


@dataclass(frozen=True)
class Part:
    """A program of ours: how it is recognised and where it answers."""

    process: Process
    address: str


@dataclass(frozen=True)
class SandboxState:
    """`parts` should be alive. `ports` outlives `down`, so that a shell's variables stay right."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    kubernetes: KubernetesSource = "none"
    kubeconfig: str | None = None
    kubectl: str | None = None
    aws: AwsSource = "none"
    aws_endpoint_url: str | None = None

    @property
    def up(self) -> bool:
        return self.kubernetes != "none" or self.aws != "none"

    def with_part(self, name: str, part: Part) -> SandboxState:
        return replace(self, parts={**self.parts, name: part})

    def without_parts(self, *names: str) -> SandboxState:
        return replace(self, parts={name: part for name, part in self.parts.items() if name not in names})

    def stopped(self) -> SandboxState:
        return SandboxState(ports=self.ports)


def encode(state: SandboxState) -> str:
    return json.dumps({"version": 1, **asdict(state)}, indent=2) + "\n"


def decode(text: str) -> SandboxState:
    """Raises ValueError, KeyError or TypeError if the text is not a state of this version."""
    read: dict[str, Any] = json.loads(text)
    if read.pop("version") != 1:
        raise ValueError("another version")
    parts = {
        name: Part(process=Process(**part["process"]), address=part["address"])
        for name, part in read.pop("parts").items()
    }
    return SandboxState(parts=parts, **read)


def load(path: Path) -> SandboxState:
    """An empty state if there is none. An unreadable one counts as none: processes are found by their environment."""
    try:
        return decode(path.read_text())
    except FileNotFoundError:
        return SandboxState()
    except (ValueError, KeyError, TypeError, AttributeError):
        return SandboxState()


def save(path: Path, state: SandboxState) -> None:
    """Replace the file in one step: a reader sees the old state or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(encode(state))
    new.replace(path)


@contextlib.contextmanager
def locked(path: Path, *, say: Callable[[str], None], waiting_for: str, deadline_seconds: float) -> Iterator[None]:
    """Hold the lock file `path`, waiting for another holder up to `deadline_seconds`."""
    deadline = time.monotonic() + deadline_seconds
    announced = False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not announced:
                    say(f"waiting for {waiting_for}")
                    announced = True
                if time.monotonic() > deadline:
                    raise SandboxError(
                        f"Waited {deadline_seconds:.0f} s for {waiting_for}. "
                        f"Who holds {path} can be seen with: fuser -v {path}"
                    ) from None
            else:
                if _same_file(file.fileno(), path):  # else a purge removed it while we waited
                    yield
                    return
        time.sleep(0.1)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
