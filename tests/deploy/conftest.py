"""Fixtures for tests on what users install."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import yaml

from sandbox.paths import REPOSITORY
from testing.live.cluster import Cluster
from testing.live.waiting import wait_for
from tests.deploy.chart import NAMESPACE, Asked


@pytest.fixture(scope="module")
def restricted(cluster: Cluster) -> Iterator[Asked]:
    """A namespace with the pod security of ours."""
    name = f"{NAMESPACE}-{secrets.token_hex(3)}"
    namespace = yaml.safe_load((REPOSITORY / "deploy" / "namespace.yaml").read_text())
    namespace["metadata"]["name"] = name
    cluster.output("create", "-f", "-", stdin=yaml.safe_dump(namespace))
    _wait_for_account(cluster, name)
    yield Asked(cluster, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def unrestricted(cluster: Cluster) -> Iterator[Asked]:
    """A namespace in which pods may use the node's network."""
    with cluster.fresh_namespace(NAMESPACE) as name:
        _wait_for_account(cluster, name)
        yield Asked(cluster, name)


def _wait_for_account(cluster: Cluster, namespace: str) -> None:
    """No pod is admitted before its service account is there."""
    wait_for(
        lambda: cluster.kubectl("get", "serviceaccount", "default", "--namespace", namespace).returncode == 0,
        what="the namespace has its service account",
    )
