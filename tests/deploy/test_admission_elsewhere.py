"""The admission policies of another release, and of an installation that kustomize renamed and moved: they hold there.

On the real API server. They only warn, as they hold for the whole cluster, in which other tests run.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.paths import REPOSITORY
from testing.live.cluster import Cluster
from testing.live.policies import (
    ATTACKER,
    REFUSED,
    Answer,
    Document,
    Place,
    cron_job,
    job,
    other_image,
    pod,
    policies_in,
    prepared,
    template_in,
)
from testing.live.states import States
from testing.live.waiting import wait_for
from tests.deploy.chart import render

KINDS = {"Pod": pod, "Job": job, "CronJob": cron_job}


def dangling(documents: Sequence[Document]) -> list[str]:
    """Bindings whose policy is not there: nothing refuses by them, and nothing says so."""
    there = {one["metadata"]["name"] for one in documents if one["kind"] == "ValidatingAdmissionPolicy"}
    bindings = [one for one in documents if one["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert len(bindings) >= len(there) == 6
    return [one["metadata"]["name"] for one in bindings if one["spec"]["policyName"] not in there]


@contextlib.contextmanager
def warning(cluster: Cluster, documents: Sequence[Document]) -> Iterator[None]:
    """The policies are there and warn."""
    policies = policies_in(documents)
    for one in policies:
        if one["kind"] == "ValidatingAdmissionPolicyBinding":
            one["spec"]["validationActions"] = ["Warn"]
    text = yaml.safe_dump_all(policies)
    cluster.output("apply", "--server-side", "-f", "-", stdin=text)
    try:
        yield
    finally:
        cluster.output("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=text)


def account_of(documents: Sequence[Document]) -> str:
    [deployment] = [one for one in documents if one["kind"] == "Deployment"]
    return str(deployment["spec"]["template"]["spec"]["serviceAccountName"])


def let_write_states(place: Place, account: str) -> None:
    """By RBAC more than the chart grants."""
    rules = [{"apiGroups": ["humangov.io"], "resources": ["humangovstates", "humangovstates/status"], "verbs": ["*"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "all"}, "rules": rules}
    place.cluster.output("create", "-n", place.namespace, "-f", "-", stdin=yaml.safe_dump(role))
    who = f"--serviceaccount={place.namespace}:{account}"
    place.cluster.output("create", "rolebinding", "all", "-n", place.namespace, "--role=all", who)


def assert_held(place: Place, documents: Sequence[Document], *, named: str, suffix: str = "") -> None:
    """The attacks are refused, and the policies whose name begins so refuse them too; what a sweep is passes."""
    spec = place.pod_spec()
    wait_for(
        lambda: f"'{named}-sweep-pods{suffix}'" in place.answer(pod(other_image(spec))).warnings,
        what="its policies are there",
    )
    for kind, made in KINDS.items():
        assert place.answer(made(spec)).refused == "", kind
        assert place.answer(made(spec)).warnings == "", kind
        assert REFUSED in place.answer(made(other_image(spec))).refused, kind
        assert_warned(lambda made=made: place.answer(made(other_image(spec))), f"{named}-sweep-pods{suffix}")  # type: ignore[misc]
    another = template_in(documents)
    another["metadata"] |= {"name": "another", "namespace": place.namespace}
    assert REFUSED in place.answer(another).refused
    assert_warned(lambda: place.answer(another), f"{named}-sweep-template{suffix}")
    asked = place.cluster.kubectl(
        "create", "token", place.sweeper, "-n", place.namespace, f"--as={ATTACKER}", "--audience=sts.amazonaws.com"
    )
    assert "a token of the sweep's service account" in asked.stderr
    account = account_of(documents)
    let_write_states(place, account)
    manifest = States(place.cluster, place.namespace).manifest("x", table={"name": "t-x"}, bucket={"name": "b-x"})
    for name in (account, place.sweeper):
        user = f"system:serviceaccount:{place.namespace}:{name}"
        if name == account:
            assert_warned(lambda user=user: place.answer(manifest, user=user), f"{named}-states{suffix}")  # type: ignore[misc]
        assert place.answer(manifest, user=user).refused


def assert_warned(answer: Callable[[], Answer], policy: str) -> None:
    """The API server takes up all policies anew, a moment later, when any test changes one: this one is waited for."""
    wait_for(
        lambda: f"ValidatingAdmissionPolicy '{policy}'" in answer().warnings, what=f"{policy} warns", seconds=15,
        seen=answer,
    )  # fmt: skip


@pytest.fixture
def overlaid(cluster: Cluster, tmp_path: Path) -> list[Document]:
    """install.yaml with another name and namespace."""
    overlay: Any = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": ["install.yaml"],
        "namePrefix": "prod-", "nameSuffix": "-v2", "namespace": "elsewhere",
    }  # fmt: skip
    (tmp_path / "install.yaml").write_text((REPOSITORY / "deploy" / "install.yaml").read_text())
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return list(yaml.safe_load_all(cluster.output("kustomize", str(tmp_path))))


def test_policies_hold_after_kustomize_renamed_and_moved_the_installation(
    cluster: Cluster, overlaid: list[Document]
) -> None:
    assert dangling(overlaid) == []
    with cluster.fresh_namespace("elsewhere") as namespace, warning(cluster, overlaid):
        place = prepared(cluster, namespace, template_in(overlaid))
        assert place.sweeper == "prod-humangov-operator-sweep-v2"
        assert account_of(overlaid) == "prod-humangov-operator-v2"
        assert_held(place, overlaid, named="prod-humangov-operator", suffix="-v2")


def test_policies_of_another_release_in_another_namespace_hold_and_fail_closed(cluster: Cluster) -> None:
    release = f"r{secrets.token_hex(3)}"
    with cluster.fresh_namespace("release") as namespace:
        documents = render(namespace=namespace, release=release)
        assert dangling(documents) == []
        with warning(cluster, documents):
            place = prepared(cluster, namespace, template_in(documents))
            assert_held(place, documents, named=f"{release}-humangov-operator")
            cluster.output("delete", "cronjob", "-n", namespace, place.template["metadata"]["name"])
            wait_for(
                lambda: "no params found" in place.ask(pod(place.pod_spec()), user=""),
                what="without a template nothing runs, whoever asks",
            )


def test_chart_value_lists_who_may_sign_for_others() -> None:
    argo_cd = "system:serviceaccount:argocd:argocd-server"
    documents = policies_in(render({"admissionPolicies": {"signForOthers": [argo_cd]}}))
    text = yaml.safe_dump_all(documents, width=1000)
    assert text.count(f'request.userInfo.username in ["{argo_cd}"]') == 2
    assert argo_cd not in yaml.safe_dump_all(policies_in(render()))
