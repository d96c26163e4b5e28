"""Two replicas of the operator for a soak: one works, one stands by. Leaders are killed, and releases follow."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from humangov.bundle import bundle

from bench.rig import NotMeasuredError, Rig
from sandbox import emulator, local_operator
from sandbox.local_operator import LocalOperator
from sandbox.paths import REPOSITORY

WORKS = b"watching humangovstates"
UP = b"the lease"
"""It holds it, or waits for it."""

FOLLOWS_SECONDS = 180.0
"""The lease of a killed leader lasts for 15 seconds; then the other one starts to watch. The machine may be busy."""

_TOKEN_HOURS_MORE = 2.0


@dataclass
class Replicas:
    """arguments: more of `humangov run`. hours: how long the service account's tokens must last, at least."""

    bench: Rig
    hours: float
    arguments: tuple[str, ...]
    leader_changes: int = 0
    upgrades: int = 0
    restarts: int = 0
    """Processes that ended by themselves, such as one that was starved until its lease was over: as kubelet does, the
    soak starts them again."""
    longest_change_seconds: float = 0.0
    _running: list[LocalOperator] = field(default_factory=list)
    _source: Path = REPOSITORY / "operator"

    @property
    def code_sha256(self) -> str:
        """Of the function's code, as the last release has it."""
        return bundle(self._source / "humangov" / "cleanup").code_sha256

    @property
    def leader(self) -> LocalOperator | None:
        """The one that works; None while nobody does."""
        alive = (one for one in self._running if one.process.poll() is None)
        return next((one for one in alive if WORKS in one.log.read_bytes()), None)

    def start(self) -> None:
        """Raises OperatorError."""
        self._running = [self._new(), self._new()]

    def stop(self) -> None:
        """All that run."""
        for one in self._running:
            one.stop()

    def tend(self) -> None:
        """What has ended by itself is started again. Raises OperatorError."""
        ended = [one for one in self._running if one.process.poll() is not None]
        for one in ended:
            self.restarts += 1
            self._running[self._running.index(one)] = self._new()

    def crash(self) -> None:
        """The leader is killed; another one follows. Raises NotMeasuredError, OperatorError."""
        self._replaced(self._followed(), kill=True)

    def upgrade(self) -> None:
        """Replica by replica to a release whose function has other code, as a Deployment rolls it out.

        Raises NotMeasuredError, OperatorError.
        """
        self.upgrades += 1
        self._source = self._release(self.upgrades)
        leader = self._followed()
        for one in [one for one in self._running if one is not leader]:
            self._replaced(one, kill=False)
        self._replaced(leader, kill=False)

    def _replaced(self, one: LocalOperator, *, kill: bool) -> None:
        """Ended, and a new one in its place; if it led, until another one does."""
        led, began = one is self.leader, time.monotonic()
        if kill:
            one.kill()
        else:
            one.stop()
        self._running[self._running.index(one)] = self._new()
        if led:
            self._followed()
            self.leader_changes += 1
            self.longest_change_seconds = max(self.longest_change_seconds, time.monotonic() - began)

    def _followed(self) -> LocalOperator:
        """Who works, as soon as one does."""
        began = time.monotonic()
        while (leader := self.leader) is None:
            if time.monotonic() - began > FOLLOWS_SECONDS:
                raise NotMeasuredError(f"no other leader within {FOLLOWS_SECONDS:.0f} s")
            self.tend()
            time.sleep(0.2)
        return leader

    def _new(self) -> LocalOperator:
        bench = self.bench
        return local_operator.start(
            bench.sandbox, namespace=bench.namespace, folder=bench.folder, until=UP,
            arguments=["--leader-elect", "--region", emulator.REGION, *self.arguments],
            environment={"AWS_ACCESS_KEY_ID": bench.account, "AWS_ENDPOINT_URL": bench.recorder.url},
            source=self._source, token_seconds=int(3600 * (self.hours + _TOKEN_HOURS_MORE)),
        )  # fmt: skip

    def _release(self, number: int) -> Path:
        """This program as another release has it: the function's code differs, so that all functions are updated."""
        source = self.bench.folder / f"release-{number}"
        shutil.copytree(REPOSITORY / "operator", source, ignore=shutil.ignore_patterns("__pycache__"))
        with (source / "humangov" / "cleanup" / "handler.py").open("a") as file:
            file.write(f'\nRELEASE = "soak {number}"\n')
        return source
