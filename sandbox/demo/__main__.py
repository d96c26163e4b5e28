"""`python -m sandbox.demo`: exit code 0 only if every step was observed."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Sequence
from functools import partial
from types import FrameType

import click
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.demo.kubectl import KubectlError
from sandbox.demo.narration import Narrator, narrator
from sandbox.demo.observing import NotObservedError
from sandbox.demo.stage import Stage, opened, sandbox_up
from sandbox.demo.story import STORY, Step
from sandbox.errors import SandboxError
from sandbox.local_operator import OperatorError

INTERRUPTED = 130
FORESEEN = (NotObservedError, SandboxError, OperatorError, KubectlError, ClientError, BotoCoreError)
CLOSING = (
    "Play on:  make sandbox            a control plane and an emulated AWS that stay up, and how to use them",
    "Measure:  make bench NAME=calls   what it costs: AWS calls, Kubernetes writes, seconds",
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """HumanGovState's story on real parts, from a deleted record whose file stays to `kubectl delete`.

    It brings a sandbox up if none is (`python -m sandbox --help` tells how to name a cluster or an AWS of your own),
    plays in an AWS account and a namespace of its own, and removes all that it made. NO_COLOR is respected.
    """
    # Both: a shell that starts it in the background has SIGINT ignored, and Python leaves that as it is.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    told = narrator(sys.stdout, steps=len(STORY) + 1)
    try:
        tell(told)
    except FORESEEN:
        sys.exit(1)
    except KeyboardInterrupt:
        told.line(f"interrupted in step {told.number}; everything that the demo made was removed")
        sys.exit(INTERRUPTED)
    told.summary(closing=CLOSING)


def tell(told: Narrator, *, story: Sequence[Step] = STORY) -> None:
    """Set the stage, tell the story, clean up. What goes wrong is told, then raised."""
    with contextlib.ExitStack() as stack:
        opening = _Opening(told, stack)
        try:
            told.step("A Kubernetes control plane, and an AWS", opening.act)
            for step in story:
                told.step(step.title, partial(step.act, opening.stage))
        except Exception as error:
            _tell_failure(told, error, opening)
            raise


class _Opening:
    """The first step; it leaves the stage behind."""

    def __init__(self, told: Narrator, stack: contextlib.ExitStack) -> None:
        self._told = told
        self._stack = stack
        self._stage: Stage | None = None

    @property
    def stage(self) -> Stage:
        if self._stage is None:
            raise RuntimeError("the stage is set by the first step")
        return self._stage

    @property
    def logs(self) -> list[str]:
        return self._stage.logs() if self._stage else []

    def act(self) -> str:
        running, ours = self._stack.enter_context(sandbox_up(self._told.progress))
        self._stage = self._stack.enter_context(opened(self._told, running, ours=ours))
        self._stage.kubectl.show("version")
        where = running.aws_endpoint_url or "the real account of your credentials"
        self._told.say(f"AWS: {where}, region {self._stage.world.region}")
        return "both answer; " + ("they were started for this demo" if ours else "they were up, and stay up")


def _tell_failure(told: Narrator, error: Exception, opening: _Opening) -> None:
    expected, seen = "the step to end without an error", f"{type(error).__name__}: {error}"
    if isinstance(error, NotObservedError):
        expected, seen = error.expected, error.seen
    elif isinstance(error, FORESEEN):
        seen = str(error)
    told.failed(expected=expected, seen=seen, logs=opening.logs)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
