"""The chart installed for real: upgraded, rolled back, uninstalled, and what its accounts may do then.

No node runs pods here. Where Helm waits for a pod, the test runs the pod's command itself, under the pod's service
account, and reports how it ended as a kubelet would.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from humangov.api.spec import FINALIZER

import sandbox as sandboxes
from sandbox import local_operator
from sandbox.handle import Sandbox
from sandbox.paths import REPOSITORY, ROOT_VARIABLE
from sandbox.serviceaccount import kubeconfig_for
from testing.live.account import Account
from testing.live.cluster import Cluster
from testing.live.command import run_humangov
from testing.live.states import States
from testing.live.waiting import wait_for
from tests.deploy.chart import CHART, Document, Values, render, run_helm, with_image

DEFINITION = "customresourcedefinition/humangovstates.humangov.io"


@dataclass(frozen=True)
class Release:
    """One release of the chart in a namespace of its own, by a user with helm."""

    cluster: Cluster
    name: str
    namespace: str

    def helm(self, command: str, *arguments: str, values: Values | None = None) -> subprocess.CompletedProcess[str]:
        """helm's answer, whatever it is."""
        environ = self.cluster.sandbox.environment()
        if command in ("install", "upgrade") and "--reuse-values" not in arguments:
            values = with_image(values or {})
        return run_helm(
            command, self.name, *arguments, "--namespace", self.namespace, values=values, environ=environ
        )  # fmt: skip

    def output(self, command: str, *arguments: str, values: Values | None = None) -> str:
        done = self.helm(command, *arguments, values=values)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self, *flags: str, chart: Path = CHART, values: Values | None = None) -> str:
        return self.output("install", str(chart), *flags, values=values or {})

    def upgrade(self, *flags: str, chart: Path = CHART, values: Values | None = None) -> str:
        return self.output("upgrade", str(chart), *flags, values=values or {})

    def statuses(self) -> list[str]:
        """Of its revisions, the oldest first."""
        return [revision["status"] for revision in json.loads(self.output("history", "--output", "json"))]

    def get(self, what: str) -> Document | None:
        done = self.cluster.kubectl("get", what, "-n", self.namespace, "-o", "json")
        return None if "NotFound" in done.stderr else dict(json.loads(done.stdout))

    def workers(self) -> str:
        """What its Deployment says of HUMANGOV_WORKERS."""
        deployment = self.get("deployment/humangov-operator") or {}
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        return str(next(one["value"] for one in container["env"] if one["name"] == "HUMANGOV_WORKERS"))

    def everything(self) -> set[str]:
        """All that is in its namespace, but for what every namespace has, what helm remembers, and events."""
        kinds = "deployments,jobs,roles,rolebindings,serviceaccounts,configmaps,poddisruptionbudgets,networkpolicies"
        found = self.cluster.output("get", kinds, "-n", self.namespace, "-o", "name").split()
        return set(found) - {"configmap/kube-root-ca.crt", "serviceaccount/default"}


# On a control plane of its own: an installation is the whole cluster's


@pytest.fixture(scope="module")
def own(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A control plane on which nothing was installed, without an AWS."""
    if sandbox.kubernetes != "sandbox":
        pytest.skip("in a user's own cluster the definition is not to be removed")
    kept = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "AWS_ENDPOINT_URL")}
    environ = {**kept, ROOT_VARIABLE: str(tmp_path_factory.mktemp("control-plane"))}
    running = sandboxes.up(aws=False, environ=environ)
    assert running.aws_endpoint_url is None
    try:
        yield running
    finally:
        sandboxes.down(environ=environ)


@pytest.fixture
def release(own: Sandbox) -> Iterator[Release]:
    """Not yet installed; at the end the definition is gone as well."""
    made = Release(Cluster.of(own), "humangov-operator", f"humangov-{secrets.token_hex(3)}")
    made.cluster.output("create", "namespace", made.namespace)
    yield made
    made.helm("uninstall", "--no-hooks", "--ignore-not-found")
    made.cluster.output("delete", "--ignore-not-found", DEFINITION)
    made.cluster.output("delete", "namespace", made.namespace, "--wait=false")


def california(release: Release) -> Document:
    """A HumanGovState that was there before; fails if it is gone, or another of the same name."""
    states = States(release.cluster, release.namespace)
    found = states.get("california")
    if found is None:
        states.apply(states.manifest("california", table={"name": "table"}, bucket={"name": "bucket"}))
        found = states.get("california")
    assert found is not None
    return found


def changed_chart(folder: Path, description: str) -> Path:
    """The chart with another description in its definition, as a later version may have."""
    chart = folder / "chart"
    shutil.copytree(CHART, chart)
    file = chart / "files" / "humangovstates.yaml"
    before = file.read_text()
    assert before.count("description: The AWS region.\n") == 1
    file.write_text(before.replace("description: The AWS region.\n", f"description: {description}\n"))
    return chart


def served_description(release: Release) -> str:
    definition = json.loads(release.cluster.output("get", DEFINITION, "-o", "json"))
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    region: str = schema["properties"]["status"]["properties"]["aws"]["properties"]["region"]["description"]
    return region


def test_helm_dry_run_creates_nothing(release: Release) -> None:
    reported = release.install("--dry-run=server")
    assert f"kubectl rollout status -n {release.namespace} deployment/humangov-operator" in reported
    assert release.everything() == set()
    assert release.cluster.kubectl("get", DEFINITION).returncode != 0


def test_helm_release_is_installed_upgraded_rolled_back_uninstalled_and_reinstalled(
    release: Release, tmp_path: Path
) -> None:
    later = changed_chart(tmp_path, "Later.")
    release.install()
    wait_for(lambda: california_can_be_applied(release), what="the definition is served")
    uid = california(release)["metadata"]["uid"]
    assert release.workers() == "10"

    release.upgrade(chart=later, values={"workers": 20, "podDisruptionBudget": {"enabled": True}})
    assert release.workers() == "20"
    assert served_description(release) == "Later."
    assert release.get("poddisruptionbudget/humangov-operator")

    release.output("rollback")
    assert release.workers() == "10"
    assert served_description(release) == "The AWS region."
    assert release.get("poddisruptionbudget/humangov-operator") is None
    assert release.statuses() == ["superseded", "superseded", "deployed"]

    reported = release.output("uninstall", "--no-hooks")
    assert "[CustomResourceDefinition] humangovstates.humangov.io" in reported
    wait_for(lambda: not release.everything(), what="all else is gone", seen=release.everything)
    assert california(release)["metadata"]["uid"] == uid

    release.install(chart=later)
    assert served_description(release) == "Later."
    assert california(release)["metadata"]["uid"] == uid


def california_can_be_applied(release: Release) -> bool:
    with contextlib.suppress(AssertionError):
        return bool(california(release))
    return False


def test_helm_adopts_an_existing_definition_only_with_take_ownership(release: Release, tmp_path: Path) -> None:
    release.cluster.output("apply", "--server-side", "-f", str(REPOSITORY / "crds" / "humangovstates.yaml"))
    wait_for(lambda: california_can_be_applied(release), what="the definition is served")
    uid = california(release)["metadata"]["uid"]
    later = changed_chart(tmp_path, "Later.")
    refusal = release.helm("install", str(later))
    assert refusal.returncode != 0
    assert "exists and cannot be imported into the current release" in refusal.stderr
    assert release.everything() == set()

    release.install("--take-ownership", "--force-conflicts", chart=later)
    assert served_description(release) == "Later."
    release.upgrade()
    assert served_description(release) == "The AWS region."

    release.output("uninstall", "--no-hooks")
    other = Release(release.cluster, "other", release.namespace)
    try:
        assert "exists and cannot be imported" in other.helm("install", str(CHART)).stderr
        other.install("--take-ownership", "--force-conflicts", chart=later)
        assert served_description(release) == "Later."
    finally:
        other.helm("uninstall", "--no-hooks")
    assert california(release)["metadata"]["uid"] == uid


def test_helm_uninstall_removes_the_definition_if_crds_keep_is_false(release: Release) -> None:
    release.install(values={"crds": {"keep": False}})
    release.output("uninstall", "--no-hooks")
    wait_for(lambda: release.cluster.kubectl("get", DEFINITION).returncode != 0, what="the definition is gone")


def test_second_helm_release_leaves_cluster_wide_objects_to_the_first(release: Release) -> None:
    release.install(values={"watchNamespaces": [release.namespace]})
    release.cluster.output("create", "namespace", "second")
    second = Release(release.cluster, "second", "second")
    try:
        values = {"watchNamespaces": ["second"], "crds": {"install": False}, "rbac": {"aggregate": False}}
        second.install(values=values)
        assert second.get("deployment/second-humangov-operator")
    finally:
        second.helm("uninstall", "--no-hooks")
        release.cluster.output("delete", "namespace", "second", "--wait=false")
    assert release.get("deployment/humangov-operator")


# In a namespace of the sandbox that all tests share


@pytest.fixture
def scoped(cluster: Cluster) -> Iterator[Release]:
    """A release that looks at its own namespace alone, and leaves the definition to the others."""
    with cluster.fresh_namespace("release") as name:
        made = Release(cluster, name, name)
        made.install(
            values={
                "watchNamespaces": [name], "crds": {"install": False}, "rbac": {"aggregate": False},
                "fullnameOverride": "humangov-operator", "clusterName": "a-cluster",
            }
        )  # fmt: skip
        yield made
        States(cluster, name).abandon()
        made.helm("uninstall", "--no-hooks", "--ignore-not-found")


class Kubelet:
    """Runs the one pod of a Job as a local process, and reports its end."""

    def __init__(self, release: Release, folder: Path) -> None:
        self._release, self._folder = release, folder
        self.printed = ""

    @contextlib.contextmanager
    def running(self, job: str) -> Iterator[None]:
        """Takes up the next pod of this Job."""
        thread = threading.Thread(target=self._run_pod, args=(job,))
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def _run_pod(self, job: str) -> None:
        [pod] = wait_for(lambda: self._waiting(job), what=f"a pod of {job}")
        [container] = pod["spec"]["containers"]
        kubeconfig = kubeconfig_for(
            self._release.cluster.sandbox,
            namespace=self._release.namespace,
            service_account=pod["spec"]["serviceAccountName"],
            path=self._folder / "kubeconfig",
        )
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HUMANGOV_")},
            **{variable["name"]: variable["value"] for variable in container.get("env", ())},
            "KUBECONFIG": str(kubeconfig),
        }
        done = run_humangov(*container["args"], environment=environment)
        self.printed = done.stdout + done.stderr
        phase = {"phase": "Failed" if done.returncode else "Succeeded"}
        self._release.cluster.output(
            "patch", "pod", pod["metadata"]["name"], "-n", self._release.namespace, "--subresource", "status",
            "--type", "merge", "-p", json.dumps({"status": phase}),
        )  # fmt: skip

    def _waiting(self, job: str) -> list[Document]:
        selector = f"batch.kubernetes.io/job-name={job}"
        found = self._release.cluster.output("get", "pods", "-n", self._release.namespace, "-l", selector, "-o", "json")
        return [pod for pod in json.loads(found)["items"] if pod["status"]["phase"] == "Pending"]


def test_helm_uninstall_is_refused_with_instructions_while_states_need_the_operator(
    scoped: Release, tmp_path: Path
) -> None:
    states = States(scoped.cluster, scoped.namespace)
    manifest = states.manifest("california", table={"name": "table"}, bucket={"name": "bucket"})
    states.create({**manifest, "metadata": {**manifest["metadata"], "finalizers": [FINALIZER]}})
    before = scoped.everything()
    kubelet = Kubelet(scoped, tmp_path)
    with kubelet.running("humangov-operator-uninstall-check"):
        refusal = scoped.helm("uninstall", "--timeout", "60s")
    assert refusal.returncode != 0
    assert "Job/" in refusal.stderr
    assert f"1 HumanGovState needs the operator:\n  {scoped.namespace}/california\n" in kubelet.printed
    assert scoped.everything() == before | {"job.batch/humangov-operator-uninstall-check"}

    # The way back that it names
    assert scoped.statuses() == ["uninstalling"]
    assert "has no deployed releases" in scoped.helm("upgrade", str(CHART), "--reuse-values").stderr
    [undo] = re.findall(r"^  helm (.+)$", kubelet.printed, re.MULTILINE)
    command, name, *arguments = shlex.split(undo)
    assert name == scoped.name
    assert run_helm(command, name, *arguments, environ=scoped.cluster.sandbox.environment()).returncode == 0
    scoped.output("upgrade", str(CHART), "--reuse-values")

    # The ways out that it names: as the operator does it, the finalizer goes
    states.patch("california", {"metadata": {"finalizers": None}})
    with kubelet.running("humangov-operator-uninstall-check"):
        scoped.output("uninstall", "--timeout", "60s")
    assert "it can be uninstalled" in kubelet.printed
    wait_for(lambda: not scoped.everything(), what="nothing is left", seen=scoped.everything)


def test_uninstall_check_commands_work_as_printed(scoped: Release, tmp_path: Path) -> None:
    states = States(scoped.cluster, scoped.namespace)
    for state in ("california", "florida"):
        manifest = states.manifest(state, table={"name": f"table-{state}"}, bucket={"name": f"bucket-{state}"})
        states.create({**manifest, "metadata": {**manifest["metadata"], "finalizers": [FINALIZER]}})
    kubelet = Kubelet(scoped, tmp_path)
    with kubelet.running("humangov-operator-uninstall-check"):
        scoped.helm("uninstall", "--timeout", "60s")
    remove, keep = re.split(r"^\([ab]\).*\n", kubelet.printed, flags=re.MULTILINE)[1:]
    environment = scoped.cluster.sandbox.environment()
    subprocess.run(["bash", "-euc", keep.partition("\n\n")[0]], env=environment, check=True, capture_output=True)
    assert {one["spec"]["deletionPolicy"] for one in states.all()} == {"Retain"}
    states.abandon()  # no operator runs here
    subprocess.run(["bash", "-euc", remove.partition("\n\n")[0]], env=environment, check=True, capture_output=True)
    assert states.all() == []


def test_helm_uninstall_removes_nothing_if_its_check_cannot_run(scoped: Release) -> None:
    before = scoped.everything()
    refusal = scoped.helm("uninstall", "--timeout", "2s")
    assert refusal.returncode != 0
    assert scoped.everything() == before | {"job.batch/humangov-operator-uninstall-check"}


def test_uninstall_check_reports_a_forbidden_list(scoped: Release, tmp_path: Path) -> None:
    kubeconfig = kubeconfig_for(
        scoped.cluster.sandbox, namespace=scoped.namespace, service_account="default", path=tmp_path / "kubeconfig"
    )
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    done = run_humangov("uninstall-check", "--namespace", scoped.namespace, environment=environment)
    assert done.returncode == 1
    assert "is forbidden" in done.stderr
    assert "--no-hooks" in done.stderr


def test_operator_works_with_permissions_in_its_namespaces_only(
    scoped: Release, account: Account, tmp_path: Path
) -> None:
    user = f"system:serviceaccount:{scoped.namespace}:humangov-operator"
    elsewhere = scoped.cluster.kubectl("auth", "can-i", "list", "humangovstates", f"--as={user}", "-n", "default")
    assert elsewhere.stdout.strip() == "no"
    account.make("california")
    states = States(scoped.cluster, scoped.namespace)
    flags = ("--cluster-name", "a-cluster")
    with local_operator.start(
        scoped.cluster.sandbox, namespace=scoped.namespace, folder=tmp_path, arguments=flags,
        environment=account.environment,
    ) as running:  # fmt: skip
        states.apply(states.manifest("california", **account.spec("california")))
        states.wait_ready("california")
        wait_for(lambda: states.events("california"), what="it may post events there")
        states.delete("california")
        states.wait_deleted("california")
    assert "forbidden" not in running.log.read_text()


# The cluster's own roles


@pytest.fixture(scope="module")
def people(cluster: Cluster) -> Iterator[Mapping[str, str]]:
    """Role → a user who has it in a namespace, with the chart's roles in the cluster. Key `namespace` is that one."""
    name = f"people-{secrets.token_hex(3)}"
    roles = [
        document
        for document in render({"fullnameOverride": name}, namespace=name)
        if document["kind"] == "ClusterRole" and document["metadata"]["name"] != name
    ]
    bindings: list[dict[str, Any]] = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role, "namespace": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"{name}-{role}"}],
        }
        for role in ("view", "edit", "admin")
    ]
    cluster.output("create", "namespace", name)
    cluster.output("create", "-f", "-", stdin=yaml.safe_dump_all([*roles, *bindings]))
    yield {"namespace": name, **{role: f"{name}-{role}" for role in ("view", "edit", "admin")}}
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    cluster.output("delete", *(f"clusterrole/{role['metadata']['name']}" for role in roles))


READS = ("get", "list", "watch")
WRITES = ("create", "update", "patch", "delete", "deletecollection")


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [("view", READS, WRITES), ("edit", (*READS, *WRITES), ()), ("admin", (*READS, *WRITES), ())],
)
def test_cluster_roles_admin_edit_and_view_include_states(
    cluster: Cluster, people: Mapping[str, str], role: str, may: tuple[str, ...], may_not: tuple[str, ...]
) -> None:
    def can(verb: str, *flags: str) -> bool:
        question = (verb, "humangovstates.humangov.io", *flags)
        done = cluster.kubectl("auth", "can-i", *question, f"--as={people[role]}", "-n", people["namespace"])
        return done.stdout.strip() == "yes"

    # The controller that puts them together is a moment behind.
    wait_for(lambda: all(can(verb) for verb in may), what=f"{role} may {', '.join(may)}")
    assert [verb for verb in may_not if can(verb)] == []
    assert not can("patch", "--subresource=status")
