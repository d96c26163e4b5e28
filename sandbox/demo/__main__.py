"""`python -m sandbox.demo`: exit code 0 only if every step was observed."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import FrameType

import click
from botocore.exceptions import BotoCoreError, ClientError

import sandbox
from sandbox import delivery, ports
from sandbox.demo.in_pods import STORY_IN_PODS
from sandbox.demo.kubectl import KubectlError
from sandbox.demo.narration import Narrator, narrator
from sandbox.demo.observing import NotObservedError
from sandbox.demo.operators import AsProcess, InPod
from sandbox.demo.reporting import FOLDER
from sandbox.demo.stage import MakeOperator, Stage, opened
from sandbox.demo.story import STORY, Step
from sandbox.errors import SandboxError
from sandbox.handle import Sandbox
from sandbox.local_operator import OperatorError
from sandbox.proxy import Proxy
from sandbox.release import HelmError, Release, values_elsewhere, values_on_node
from sandbox.session import sandbox_up
from sandbox.weather import FORECASTS, Weather, layer
from sandbox.weather.__main__ import USAGE, chosen

INTERRUPTED = 130
KNOWN = ", ".join(FORECASTS)
FORESEEN = (NotObservedError, SandboxError, OperatorError, KubectlError, HelmError, ClientError, BotoCoreError)
CLOSING = (
    f"Read:     {FOLDER}   the reports, in a browser",
    "Try it:   make sandbox            a control plane and an emulated AWS that keep running",
    "Measure:  make bench NAME=calls   AWS calls, Kubernetes writes, seconds",
)

CLOSING_IN_PODS = (
    "The cluster is up:  make cluster-env     variables for kubectl and helm",
    "Stop it:            make cluster-down    removes its processes, mounts and cgroups",
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--pods", is_flag=True, help="Run the operator in a pod, with its image and chart; the cluster stays up.")
@click.option("--weather", "forecast", help=f"Simulated AWS errors and delays for all calls: {KNOWN}.")
@click.option("--seed", type=int, help="Seed of the weather; by default random, and printed.")
def main(*, pods: bool, forecast: str | None, seed: int | None) -> None:
    """Demonstrate HumanGovState on a real control plane and an emulated AWS, from the bug to `kubectl delete`.

    The demo starts a sandbox if none is running. `python -m sandbox --help` shows how to use your own cluster or AWS.
    The demo uses its own AWS account and namespace, and removes everything that it created. NO_COLOR is respected.
    """
    try:
        weather = chosen(forecast, seed=seed) if forecast else None
        if weather is not None and pods:
            raise ValueError("--weather and --pods can't be combined: pods use another connection to AWS.")
    except ValueError as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(USAGE)
    # Both: a shell that starts it in the background has SIGINT ignored, and Python leaves that as it is.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    narration = narrator(sys.stdout, steps=len(STORY_IN_PODS) + 2 if pods else len(STORY) + 1)
    try:
        if pods:
            narrate(narration, opening=WithNode, story=STORY_IN_PODS)
        elif weather is not None:
            narrate(narration, opening=partial(InWeather, weather=weather))
        else:
            narrate(narration)
    except FORESEEN:
        sys.exit(1)
    except KeyboardInterrupt:
        narration.line(f"interrupted in step {narration.number}; everything that the demo created was removed")
        sys.exit(INTERRUPTED)
    narration.summary(closing=CLOSING_IN_PODS if pods else CLOSING)


class Opening:
    """The first step: a cluster and an AWS. It leaves the stage behind."""

    def __init__(self, narration: Narrator, stack: contextlib.ExitStack) -> None:
        self.narration = narration
        self.stack = stack
        self._stage: Stage | None = None

    @property
    def stage(self) -> Stage:
        if self._stage is None:
            raise RuntimeError("the stage is set by the first steps")
        return self._stage

    @property
    def logs(self) -> list[str]:
        return self._stage.logs() if self._stage else []

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [("A Kubernetes control plane, and an AWS", self._cluster)]

    def open(self, running: Sandbox, *, started_here: bool, make_operator: MakeOperator, rough: bool = False) -> Stage:
        self._stage = self.stack.enter_context(
            opened(self.narration, running, started_here=started_here, make_operator=make_operator, rough=rough)
        )
        where = running.aws_endpoint_url or "the real account of your credentials"
        self.narration.say(f"AWS: {where}, region {self._stage.aws.region}")
        return self._stage

    def _cluster(self) -> str:
        running, started_here = self.stack.enter_context(_sandbox(self.narration))
        stage = self.open(running, started_here=started_here, make_operator=lambda *_: AsProcess())
        stage.kubectl.show("version")
        return "both respond; " + ("started for this demo" if started_here else "they were running, and keep running")


class InWeather(Opening):
    """The first step where all AWS calls, the operator's and the story's, go through weather."""

    def __init__(self, narration: Narrator, stack: contextlib.ExitStack, *, weather: Weather) -> None:
        super().__init__(narration, stack)
        self._weather = weather

    def _cluster(self) -> str:
        running, started_here = self.stack.enter_context(_sandbox(self.narration))
        if running.aws_endpoint_url is None:
            raise SandboxError("--weather needs an AWS endpoint; it does not work with a real AWS account.")
        forecast, seed = self._weather.forecast.name, self._weather.seed
        proxy = self.stack.enter_context(Proxy(running.aws_endpoint_url, layers=[layer(self._weather)]))
        # Below the stage: when that is cleared, the weather is reported before the proxy goes.
        self.stack.callback(self._print_weather)
        stage = self.open(
            replace(running, aws_endpoint_url=proxy.url),
            started_here=started_here,
            make_operator=lambda *_: AsProcess(),
            rough=True,
        )
        stage.kubectl.show("version")
        return f"both respond; AWS with {forecast} weather. To repeat: make demo WEATHER={forecast} SEED={seed}"

    def _print_weather(self) -> None:
        counts = [(kind, number) for kind, number in self._weather.counts.most_common() if kind != "passed"]
        met = ", ".join(f"{kind} {number}" for kind, number in counts) or "no errors"
        self.narration.progress(
            f"the weather (seed {self._weather.seed}), of {sum(self._weather.counts.values())} calls: {met}"
        )


class WithNode(Opening):
    """The first steps where the operator runs in a pod: a cluster with a node, which stays up, and the image in it."""

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("A whole cluster: control plane, node, and an AWS", self._whole_cluster),
            ("The image, built from the Dockerfile", self._image),
        ]

    def _whole_cluster(self) -> str:
        unreachable = delivery.unreachable_aws()
        if unreachable is not None:
            raise SandboxError(unreachable)
        self._running = sandbox.up(node=True, say=self.narration.progress)
        whose = "your own cluster" if self._running.kubernetes == "user" else "the node is Ready"
        return f"all parts respond; {whose}"

    def _image(self) -> str:
        image = delivery.deliver(self._running, say=self.narration.progress)

        def operator(running: Sandbox, namespace: str, account: str) -> InPod:
            return InPod(release_of(running, namespace=namespace, image=image, account=account))

        stage = self.open(self._running, started_here=False, make_operator=operator)
        stage.kubectl.show("get", "nodes", "-o", "wide")
        return f"{image} is on the node"


def release_of(running: Sandbox, *, namespace: str, image: str, account: str) -> Release:
    if running.kubernetes == "sandbox":
        [port] = ports.choose(["probes"]).values()
        values = values_on_node(running, image=image, account=account, probe_port=port)
    else:
        values = values_elsewhere(image=image, aws_endpoint_url=running.aws_endpoint_url)
    return Release(sandbox=running, namespace=namespace, values=values)


def _sandbox(narration: Narrator) -> contextlib.AbstractContextManager[tuple[Sandbox, bool]]:
    """The story needs no controllers of Kubernetes: so there is less to build."""
    return sandbox_up(narration.progress, controllers=False)


MakeOpening = Callable[[Narrator, contextlib.ExitStack], Opening]


def narrate(narration: Narrator, *, opening: MakeOpening = Opening, story: Sequence[Step] = STORY) -> None:
    """Set the stage, narrate the story, clean up. What goes wrong is printed, then raised."""
    with contextlib.ExitStack() as stack:
        first = opening(narration, stack)
        try:
            for title, act in first.steps():
                narration.step(title, act)
            for step in story:
                narration.step(step.title, partial(step.act, first.stage))
        except Exception as error:
            _narrate_failure(narration, error, first)
            raise


def _narrate_failure(narration: Narrator, error: Exception, opening: Opening) -> None:
    expected, seen = "the step to end without an error", f"{type(error).__name__}: {error}"
    if isinstance(error, NotObservedError):
        expected, seen = error.expected, error.seen
    elif isinstance(error, FORESEEN):
        seen = str(error)
    narration.failed(expected=expected, seen=seen, logs=opening.logs)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
