"""The operator's service account at the real API server: it has the rights of deploy/operator.yaml and no others.

That these rights suffice is shown by every test with an operator: each runs as this account.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sandbox.local_operator import SERVICE_ACCOUNT
from sandbox.serviceaccount import kubeconfig_for
from tests.support.states import Cluster, States

OWN = {
    ("humangovstates.humangov.io", ""): {"get", "list", "watch", "patch"},
    ("humangovstates.humangov.io/status", ""): {"patch"},
    ("events.events.k8s.io", ""): {"create"},
    ("namespaces", "kube-system"): {"get"},
}
# What every authenticated user may: ask who they are and what they may.
EVERYBODY = {
    "selfsubjectreviews.authentication.k8s.io",
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
}


def user(namespace: str) -> str:
    return f"system:serviceaccount:{namespace}:{SERVICE_ACCOUNT}"


def test_the_operator_may_do_what_it_needs_and_nothing_else(cluster: Cluster, namespace: str) -> None:
    told = cluster.told("auth", "can-i", "--list", f"--as={user(namespace)}", "-n", namespace, "--no-headers")
    rights: dict[tuple[str, str], set[str]] = {}
    for line in told.splitlines():
        resource, _, rest = line.partition(" ")
        lists = [part.partition("]")[0].split() for part in rest.split("[")[1:]]
        urls, names, verbs = lists
        if resource in EVERYBODY or urls:
            continue
        rights[resource, " ".join(names)] = set(verbs)
    assert rights == OWN


@pytest.mark.parametrize(
    "question",
    [
        "get secrets", "list secrets", "get pods", "create pods", "get configmaps", "create jobs.batch",
        "create humangovstates", "delete humangovstates", "update humangovstates", "deletecollection humangovstates",
        "update humangovstates/status", "list namespaces", "get namespaces", "get customresourcedefinitions",
        "list events", "create clusterrolebindings", "create serviceaccounts/token", "impersonate users",
    ],
)  # fmt: skip
def test_the_operator_may_not(cluster: Cluster, namespace: str, question: str) -> None:
    done = cluster.kubectl("auth", "can-i", *question.split(), f"--as={user(namespace)}", "--all-namespaces")
    assert done.stdout.strip().startswith("no"), done.stdout + done.stderr


def test_with_its_own_token_it_is_refused_what_it_has_no_right_to(
    cluster: Cluster, states: States, tmp_path: Path
) -> None:
    own = kubeconfig_for(
        cluster.sandbox, namespace=states.namespace, service_account=SERVICE_ACCOUNT, path=tmp_path / "kubeconfig"
    )
    assert cluster.kubectl("get", "hgs", "-A", kubeconfig=own).returncode == 0
    assert cluster.kubectl("get", "namespace", "kube-system", kubeconfig=own).returncode == 0
    manifest = states.manifest("nevada", table={"name": "nevada"}, bucket={"name": "nevada"})
    states.create(manifest)
    for refused in (
        ("get", "secrets"),
        ("get", "namespace", "default"),
        ("delete", "hgs", "nevada"),
        ("replace", "-f", "-"),
        ("create", "-f", "-"),
    ):
        done = cluster.kubectl(*refused, stdin=yaml.safe_dump(manifest), kubeconfig=own)
        assert done.returncode != 0
        assert "forbidden" in done.stderr, done.stderr
