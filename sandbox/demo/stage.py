"""Sets up what the story needs, and cleans up whatever happens: what was up before stays up, all else goes."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from botocore.config import Config

import sandbox
from sandbox import emulator
from sandbox.demo import aws_side, patience, people
from sandbox.demo.aws_side import AwsSide
from sandbox.demo.kubectl import Kubectl, KubectlError
from sandbox.demo.narration import Narrator
from sandbox.demo.observing import Observer
from sandbox.handle import Sandbox

NAMESPACE = "humangov"
RESOURCE = "humangovstates"
DEFINITION = "humangovstates.humangov.io"


class StoryOperator(Protocol):
    """An operator of the story."""

    def start(self, stage: Stage) -> str:
        """Install and start it before the eyes of the audience; what was seen."""

    def running(self) -> bool:
        """Whether somebody is there to tear tenants down."""

    def stop(self) -> None:
        """End it, whatever state it is in."""

    def remove(self, stage: Stage, /) -> list[str]:
        """Take back what `start` created in the cluster, but for the definition; what went wrong, in words."""

    def logs(self) -> list[str]:
        """Where to look when something is not as expected."""


@dataclass
class Stage:
    """Where a step plays."""

    narrator: Narrator
    sandbox: Sandbox
    environment: Mapping[str, str]
    namespace: str
    manifests: str
    """What `kubectl apply -f` takes, relative to the repository where it lies there."""
    folder: Path
    aws: AwsSide
    kubectl: Kubectl
    observer: Observer
    operator: StoryOperator
    stops_cluster: bool
    """Whether the cluster ends with the demo, so that nothing in it needs removing."""
    stops_aws: bool
    removes_definition: bool

    def by_hand(self, service: str, method: str, **parameters: Any) -> float:
        """Show and make a call of AWS; the monotonic time in seconds at which its answer was there."""
        self.narrator.by_hand(service, method, parameters)
        getattr(self.aws.clients[service], method)(**parameters)
        return time.monotonic()

    def logs(self) -> list[str]:
        """Where to look when something is not as expected."""
        return [*self.operator.logs(), f"{self.sandbox.logs}/"]


MakeOperator = Callable[[Sandbox, str, str], StoryOperator]
"""An operator for a namespace and an AWS account of the sandbox."""


@contextlib.contextmanager
def opened(
    narrator: Narrator, running: Sandbox, *, started_here: bool, make_operator: MakeOperator, rough: bool = False
) -> Iterator[Stage]:
    """A stage of one's own in a sandbox that is up: an AWS account and a namespace.

    `rough`: its AWS has bad weather, so that people are patient, and try again.

    The names are those of deploy/examples; in the user's own AWS, or where their buckets are taken, with a suffix.
    """
    if running.kubeconfig is None or running.kubectl is None or running.aws == "none":
        raise sandbox.SandboxError("The demo needs a cluster and an AWS; this sandbox was started without one of them.")
    run = secrets.token_hex(3)
    environment = running.environment()
    if running.aws == "emulator":
        environment["AWS_ACCESS_KEY_ID"] = emulator.new_account()
    kubectl = Kubectl(program=str(running.kubectl), environment=environment, narrator=narrator)
    definition_is_new = not kubectl.run("get", "crd", DEFINITION, "--ignore-not-found", "-o", "name")
    clients, region = aws_side.connect(running, environment=environment, config=patience.CONFIG if rough else Config())
    if rough:
        patience.learn(clients)
    namespace = _claim_namespace(kubectl, run=run)
    suffix = f"-{run}"
    if running.aws == "emulator" and not aws_side.taken(clients, people.states(namespace=namespace, suffix="")):
        suffix = ""
    stage = Stage(
        narrator=narrator,
        sandbox=running,
        environment=environment,
        namespace=namespace,
        manifests="deploy/examples/",
        folder=running.root / f"demo-{run}",
        aws=AwsSide(
            clients=clients, region=region, states=people.states(namespace=namespace, suffix=suffix), suffix=suffix
        ),
        kubectl=kubectl,
        observer=Observer(
            seconds=300 if running.aws == "account" or rough else 60,
            stays_seconds=15 if running.aws == "account" else 2,
            announce=narrator.progress,
        ),
        operator=make_operator(running, namespace, environment.get("AWS_ACCESS_KEY_ID", "")),
        stops_cluster=started_here and running.kubernetes == "sandbox",
        stops_aws=started_here and running.aws == "emulator",
        removes_definition=definition_is_new and running.kubernetes == "user",
    )
    if namespace != NAMESPACE or suffix:
        people.write(stage.aws.states, stage.folder / "manifests")
        stage.manifests = str(stage.folder / "manifests")
    ended_well = False
    try:
        yield stage
        ended_well = True
    finally:
        if not ended_well:
            narrator.progress("cleaning up")
        for problem in clear(stage):
            narrator.line(f"cleaning up: {problem}")
        if ended_well:
            shutil.rmtree(stage.folder, ignore_errors=True)


def clear(stage: Stage) -> list[str]:
    """Remove all that the demo created, in an order in which nothing is orphaned; what went wrong, in words."""
    problems = []
    try:
        if not (stage.stops_cluster and stage.stops_aws):
            problems += _remove_resources(stage)
        stage.operator.stop()
        if not stage.stops_cluster:
            problems += _remove_installation(stage)
        if not stage.stops_aws:
            problems += stage.aws.remove()
    finally:
        stage.aws.close()
    return problems


def _remove_resources(stage: Stage) -> list[str]:
    """The HumanGovStates while somebody is there to tear them down; without, at least their finalizers."""
    kubectl, namespace = stage.kubectl, stage.namespace
    try:
        left = kubectl.run("get", RESOURCE, "-n", namespace, "-o", "name").split()
    except KubectlError:
        return []  # not even the definition is there
    if not left:
        return []
    if stage.operator.running():
        with contextlib.suppress(KubectlError):
            kubectl.run("delete", "-n", namespace, "--timeout=60s", *left)
            return []
    for name in left:
        with contextlib.suppress(KubectlError):
            kubectl.run("delete", "-n", namespace, "--wait=false", name)
            kubectl.run("patch", "-n", namespace, name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    remains = [f"{kind}: {', '.join(names)}" for kind, names in stage.aws.inventory().items() if names]
    return [f"released without being torn down: {', '.join(left)}; left in AWS: {'; '.join(remains) or 'nothing'}"]


def _remove_installation(stage: Stage) -> list[str]:
    """Namespace and permissions; the definition too, on a user's cluster where it was not there and nobody uses it."""
    problems = stage.operator.remove(stage)
    try:
        stage.kubectl.run("delete", "--ignore-not-found", "namespace", stage.namespace, "--timeout=60s")
    except KubectlError as error:
        problems.append(str(error))
    if stage.removes_definition:
        with contextlib.suppress(KubectlError):  # no definition, nothing to list
            if not stage.kubectl.run("get", RESOURCE, "--all-namespaces", "-o", "name"):
                stage.kubectl.run("delete", "crd", DEFINITION)
    return problems


def _claim_namespace(kubectl: Kubectl, *, run: str) -> str:
    """`humangov`, as in the examples, or one of our own if that is in use. Creating it is the claim."""
    try:
        kubectl.run("create", "namespace", NAMESPACE)
    except KubectlError as error:
        if "AlreadyExists" not in str(error):
            raise
        own = f"{NAMESPACE}-demo-{run}"
        kubectl.run("create", "namespace", own)
        return own
    return NAMESPACE
