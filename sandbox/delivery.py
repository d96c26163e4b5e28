"""Getting the operator's image to where pods run: into our own node, or into a cluster of the user's by docker."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from sandbox import choices, images
from sandbox.errors import SandboxError
from sandbox.handle import Sandbox
from sandbox.images import Builder
from sandbox.paths import REPOSITORY, Layout

VARIABLE = "HUMANGOV_IMAGE"
"""On a cluster of the user's: the name under which its nodes pull the image, and docker pushes it."""
Say = Callable[[str], None]


def unreachable_aws(environ: Mapping[str, str] = os.environ) -> str | None:
    """Why pods of the user's cluster could not reach the AWS that is meant, as a sentence; None if they can."""
    choice = choices.choose(environ, Layout.of(environ), kubernetes=True, aws=True)
    if choice.kubernetes != "user" or choice.aws != "emulator":
        return None
    return (
        f"The pods of your cluster ({choice.kubeconfig}) can't reach an AWS that is emulated on this machine's "
        f"loopback. Say {choices.ACCOUNT_VARIABLE}=account for your real AWS, or name in AWS_ENDPOINT_URL one that "
        "they can reach; what the pods need to log in there goes into a file of values that HUMANGOV_VALUES names. "
        "Without KUBECONFIG, a node is started here."
    )


def version() -> str:
    """The chart's, which is the operator's."""
    chart = yaml.safe_load((REPOSITORY / "deploy" / "helm" / "humangov-operator" / "Chart.yaml").read_text())
    return str(chart["appVersion"])


def deliver(running: Sandbox, *, say: Say, environ: Mapping[str, str] = os.environ) -> str:
    """Build the image and bring it to the cluster's nodes; its name there. Raises SandboxError."""
    if running.kubernetes == "sandbox":
        return to_node(Layout(running.root), say=say, environ=environ)
    return elsewhere(running, say=say, environ=environ)


def to_node(layout: Layout, *, say: Say, environ: Mapping[str, str] = os.environ) -> str:
    builder = Builder(say=say, environ=environ)
    archive = layout.temporary / "image.tar"
    with builder.storage():
        name = builder.operator(version())
        for one in (name, builder.pause()):
            carried = layout.node / f"{one.replace('/', '_')}.carried"
            identity = builder.identity(one)
            if carried.exists() and carried.read_text() == identity:
                continue
            say(f"carrying {one} into the node")
            builder.export(one, archive)
            images.load(layout, archive, environ=environ)
            archive.unlink()
            carried.write_text(identity)
    return name


def elsewhere(running: Sandbox, *, say: Say, environ: Mapping[str, str] = os.environ) -> str:
    """By docker: into kind's nodes, or to the registry that HUMANGOV_IMAGE names. Raises SandboxError."""
    kind = kind_cluster(running.kubeconfig)
    name = environ.get(VARIABLE) or (f"{images.REPOSITORY}:{version()}" if kind else "")
    if not name:
        raise SandboxError(
            f"{VARIABLE} is not set. The cluster of {running.kubeconfig} is none of kind's: its nodes pull the image "
            f"from a registry. Say {VARIABLE}=<registry>/<repository>:<tag>, where you may push."
        )
    for command in docker_commands(name, kind=kind):
        say(" ".join(command))
        _run(command, environ=environ)
    return name


def docker_commands(name: str, *, kind: str | None) -> list[list[str]]:
    """What builds the image and brings it to the nodes."""
    build = ["docker", "build", "--tag", name, str(REPOSITORY)]
    bring = ["kind", "load", "docker-image", name, "--name", kind] if kind else ["docker", "push", name]
    return [build, bring]


def kind_cluster(kubeconfig: Path | None) -> str | None:
    """kind's name of the cluster that the current context means; None if it is none of kind's."""
    if kubeconfig is None:
        return None
    context = (yaml.safe_load(kubeconfig.read_text()) or {}).get("current-context") or ""
    return str(context).removeprefix("kind-") if str(context).startswith("kind-") else None


def _run(command: Sequence[str], *, environ: Mapping[str, str]) -> None:
    if shutil.which(command[0], path=environ.get("PATH")) is None:
        raise SandboxError(f"`{command[0]}` is not installed; on a cluster of your own, the image goes there by it.")
    done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()[-10:]
        shown = "\n".join(f"  | {line}" for line in lines)
        raise SandboxError(f"`{' '.join(command)}` failed (exit {done.returncode}):\n{shown}")
