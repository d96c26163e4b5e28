"""A whole cluster with a node, the image in it, and the operator in a pod, installed by its chart.

The cluster is a sandbox of its own, which is started once for all tests here and stopped at the end, unless it was up.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

import sandbox as sandboxes
from sandbox import cluster as control_plane
from sandbox import delivery, local_operator, ports, processes
from sandbox.errors import SandboxError
from sandbox.handle import Sandbox
from sandbox.images import Builder
from sandbox.node import packages
from sandbox.paths import BUILD, ROOT_VARIABLE, Layout
from sandbox.release import NAME, Release, values_on_node
from sandbox.state import load
from testing.live.account import Account
from testing.live.audit_log import Audit
from testing.live.cluster import Cluster
from testing.live.states import States
from testing.live.waiting import wait_for


@pytest.fixture(scope="session")
def environ() -> Mapping[str, str]:
    """Of the sandbox with the node; never the user's own cluster or AWS."""
    own = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "AWS_ENDPOINT_URL")}
    folder = os.environ.get("HUMANGOV_CLUSTER_DIR") or str(BUILD / "cluster")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return {**own, ROOT_VARIABLE: folder if worker == "gw0" else f"{folder}-{worker}"}


@pytest.fixture(scope="session")
def node(environ: Mapping[str, str]) -> Iterator[Sandbox]:
    """The cluster with the node. Skips where this machine can run none, and says why."""
    try:
        packages.ensure(say=print)
    except SandboxError as error:
        pytest.skip(str(error))
    was_up = sandboxes.current(environ=environ)
    running = sandboxes.up(node=True, environ=environ, say=print)
    if was_up is not None:
        _forget_releases(running)
    local_operator.install_definition(running)
    yield running
    if was_up is None:
        sandboxes.down(environ=environ)


def _forget_releases(running: Sandbox) -> None:
    """What is cluster-wide of releases of a run that was killed: it would refuse ours as somebody else's."""
    own = f"app.kubernetes.io/instance={NAME}"
    Cluster.of(running).output("delete", "clusterroles,clusterrolebindings", "-l", own)


@pytest.fixture
def new_api_server(node: Sandbox, environ: Mapping[str, str]) -> None:
    """The API server, started anew: for who needs the sweeps' template.

    Once a release was uninstalled the same process would not see the template of the next one
    (kubernetes/kubernetes#130887; docs/security.md tells users the same).
    """
    running = load(Layout(node.root).state).parts[control_plane.API_SERVER].process
    os.kill(running.pid, signal.SIGKILL)  # it would wait a minute for its watches
    wait_for(lambda: not processes.alive(running), what="the API server has stopped")
    sandboxes.up(node=True, environ=environ)


@pytest.fixture(scope="session")
def image(node: Sandbox, environ: Mapping[str, str]) -> str:
    """The image from the Dockerfile, in the node; its name."""
    return delivery.to_node(Layout(node.root), say=print, environ=environ)


@pytest.fixture(scope="session")
def builder(environ: Mapping[str, str]) -> Builder:
    return Builder(say=print, environ=environ)


@pytest.fixture
def cluster(node: Sandbox) -> Cluster:
    return Cluster.of(node)


@pytest.fixture
def account(node: Sandbox) -> Account:
    assert node.aws_endpoint_url is not None
    return Account(endpoint_url=node.aws_endpoint_url)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh one."""
    name = f"install-{secrets.token_hex(3)}"
    cluster.output("create", "namespace", name)
    yield name
    # The next test's operator sees all namespaces: nothing of this one is to be left for it.
    States(cluster, name).abandon()
    cluster.output("delete", "humangovstates", "--all", "-n", name)
    cluster.output("delete", "namespace", name, "--wait=false")


@pytest.fixture
def states(cluster: Cluster, namespace: str) -> States:
    return States(cluster, namespace)


class Install(Protocol):
    """Install the chart with these values over the node's; returns once a pod is ready."""

    def __call__(self, *, environment: Mapping[str, str] | None = None, **values: Any) -> Release: ...


@pytest.fixture
def release(node: Sandbox, namespace: str, account: Account, image: str) -> Iterator[Release]:
    """The release, not yet installed; in the end it is gone. The definition is there already, and everybody's.

    Without sweeps unless a test asks for them: each deletion would wait for a pod.
    """
    [port] = ports.choose(["probes"]).values()
    values = values_on_node(node, image=image, account=account.id, probe_port=port)
    one = Release(
        sandbox=node, namespace=namespace, values={**values, "crds": {"install": False}, "sweep": {"enabled": False}}
    )
    yield one
    one.uninstall("--no-hooks", "--ignore-not-found")


@pytest.fixture
def install(release: Release) -> Install:
    def run(*, environment: Mapping[str, str] | None = None, **values: Any) -> Release:
        wanted = with_values(with_environment(release, **(environment or {})), **values)
        wanted.install()
        return wanted

    return run


def wait_erased(account: Account, state: str, key: str) -> None:
    wait_for(lambda: not account.has_file(state, key), what=f"{key} of {state} is erased")


def with_values(release: Release, **values: Any) -> Release:
    return replace(release, values={**release.values, **values})


def with_environment(release: Release, **variables: str) -> Release:
    """With these variables in place of those of the same name, or beside the others."""
    kept = [one for one in release.values["extraEnv"] if one["name"] not in variables]
    more = [{"name": name, "value": value} for name, value in variables.items()]
    return with_values(release, extraEnv=[*kept, *more])


@pytest.fixture
def audit(node: Sandbox, namespace: str) -> Audit:
    """What the operator of this namespace did at the API server."""
    assert node.audit_log is not None
    return Audit(path=node.audit_log, user=f"system:serviceaccount:{namespace}:{NAME}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One node: its tests run one after the other, in one process, whatever -n says."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.xdist_group("node"))
