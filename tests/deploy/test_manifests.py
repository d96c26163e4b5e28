"""What users apply, against the real API server: taken as it is, and no more than is needed.

It can't show that pods start: here no node runs them.
"""

from __future__ import annotations

import copy
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from humangov import __version__
from humangov.admission import AllowedNames
from humangov.cli import main
from humangov.controller import STOP_GRACE_SECONDS
from humangov.tenant import parse

from deploy.render import rendered, variables
from sandbox.paths import REPOSITORY
from tests.support.states import Cluster

DEPLOY = REPOSITORY / "deploy"
EXAMPLES = DEPLOY / "examples"
NAMESPACE = "humangov"


def documents(path: Path) -> list[dict[str, Any]]:
    return [dict(document) for document in yaml.safe_load_all(path.read_text())]


def one(kind: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    [document] = [document for document in found if document["kind"] == kind]
    return document


@pytest.fixture(scope="module")
def install() -> list[dict[str, Any]]:
    return documents(DEPLOY / "install.yaml")


@dataclass(frozen=True)
class Installation:
    """A namespace with the pod security of ours, in which dry runs find what would be there."""

    cluster: Cluster
    namespace: str

    def dry_run(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """What the API server would store; nothing unknown is let through, and no warning either."""
        moved = copy.deepcopy(dict(document))
        if "namespace" in moved["metadata"]:
            moved["metadata"]["namespace"] = self.namespace
        done = self.cluster.kubectl(
            "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-o", "json",
            "-f", "-", stdin=yaml.safe_dump(moved),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Iterator[Installation]:
    name = f"{NAMESPACE}-{secrets.token_hex(3)}"
    namespace = one("Namespace", documents(DEPLOY / "operator.yaml"))
    labels = namespace["metadata"]["labels"]
    cluster.told("create", "-f", "-", stdin=yaml.safe_dump({**namespace, "metadata": {"name": name, "labels": labels}}))
    yield Installation(cluster, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("path", sorted(rendered()))
def test_what_is_rendered_is_fresh(path: str) -> None:
    assert (REPOSITORY / path).read_text() == rendered()[path], "run: make manifests"


def test_a_stale_file_is_named_and_fails_the_check(tmp_path: Path) -> None:
    for name in ("crds", "deploy", "docs", "README.md"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / "deploy").unlink()
    (tmp_path / "deploy").mkdir()
    for name in ("render.py", "operator.yaml"):
        (tmp_path / "deploy" / name).write_bytes((DEPLOY / name).read_bytes())
    (tmp_path / "deploy" / "install.yaml").write_text("stale\n")
    command = [sys.executable, "-m", "deploy.render", "--check"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "deploy/install.yaml is stale: run `make manifests`\n"
    assert (tmp_path / "deploy" / "install.yaml").read_text() == "stale\n"


def test_the_api_server_takes_every_document_of_the_installation(
    installed: Installation, install: list[dict[str, Any]]
) -> None:
    kinds = [document["kind"] for document in install]
    assert kinds == [
        "CustomResourceDefinition", "Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Deployment",
    ]  # fmt: skip
    for document in install:
        installed.dry_run(document)


def test_the_operator_s_pod_is_admitted_under_restricted_pod_security(
    installed: Installation, install: list[dict[str, Any]]
) -> None:
    template = copy.deepcopy(one("Deployment", install)["spec"]["template"])
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "probe", "namespace": installed.namespace},
        "spec": {**template["spec"], "serviceAccountName": "default"},
    }
    installed.dry_run(pod)
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    refused = installed.cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))
    assert 'violates PodSecurity "restricted' in refused.stderr


def test_the_pod_can_neither_write_its_root_nor_gain_rights(install: list[dict[str, Any]]) -> None:
    pod = one("Deployment", install)["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10000
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert set(container["resources"]) == {"requests", "limits"}
    assert "memory" in container["resources"]["limits"]


def test_there_is_never_a_second_operator_and_the_first_has_time_to_stop(install: list[dict[str, Any]]) -> None:
    spec = one("Deployment", install)["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > STOP_GRACE_SECONDS


def test_the_probes_ask_where_the_operator_answers(install: list[dict[str, Any]]) -> None:
    [container] = one("Deployment", install)["spec"]["template"]["spec"]["containers"]
    [port] = container["ports"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert variables["HUMANGOV_PROBE_ADDRESS"] == f"0.0.0.0:{port['containerPort']}"
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}


def variables_of(manifests: list[dict[str, Any]]) -> set[str]:
    [container] = one("Deployment", manifests)["spec"]["template"]["spec"]["containers"]
    return {variable["name"] for variable in container["env"]}


def test_every_variable_of_the_deployment_is_one_that_the_operator_reads(install: list[dict[str, Any]]) -> None:
    options = [option for option in main.commands["run"].params if isinstance(option, click.Option)]
    assert variables_of(install) <= {name for option in options for name in variables(option)}


def test_the_image_is_of_this_version(install: list[dict[str, Any]]) -> None:
    [container] = one("Deployment", install)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"humangov-operator:{__version__}"


def test_the_operator_has_these_rights_in_the_cluster_and_no_others(install: list[dict[str, Any]]) -> None:
    rights = {
        f"{group or 'core'}/{resource}{''.join(f'[{name}]' for name in rule.get('resourceNames', ()))}": rule["verbs"]
        for rule in one("ClusterRole", install)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert rights == {
        "humangov.io/humangovstates": ["get", "list", "watch", "patch"],
        "humangov.io/humangovstates/status": ["patch"],
        "events.k8s.io/events": ["create"],
        "core/namespaces[kube-system]": ["get"],
    }


def test_the_rights_are_given_to_the_service_account_that_the_pod_runs_under(install: list[dict[str, Any]]) -> None:
    account, binding = one("ServiceAccount", install), one("ClusterRoleBinding", install)
    name, namespace = account["metadata"]["name"], account["metadata"]["namespace"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]
    assert binding["roleRef"]["name"] == one("ClusterRole", install)["metadata"]["name"]
    assert one("Deployment", install)["spec"]["template"]["spec"]["serviceAccountName"] == name
    assert namespace == one("Deployment", install)["metadata"]["namespace"] == NAMESPACE


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_the_api_server_takes_the_example(installed: Installation, path: Path) -> None:
    [document] = documents(path)
    stored = installed.dry_run(document)
    assert parse(stored, default_region="us-east-1") is not None


def test_the_examples_are_the_walkthrough_s_three_states() -> None:
    named = {}
    for path in EXAMPLES.glob("*.yaml"):
        [document] = documents(path)
        assert document["metadata"]["name"] == path.stem
        named[path.stem] = (document["spec"]["table"]["name"], document["spec"]["bucket"]["name"])
    assert named == {
        state: (f"humangov-{state}-dynamodb", f"humangov-{state}-s3-zsmb")
        for state in ("california", "florida", "staging")
    }


def test_the_full_example_spells_out_every_field_with_its_default() -> None:
    definition = yaml.safe_load((REPOSITORY / "crds" / "humangovstates.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    text = (EXAMPLES / "full" / "california.yaml").read_text()
    [document] = documents(EXAMPLES / "full" / "california.yaml")

    def compare(schema: Mapping[str, Any], value: Any, path: str) -> None:
        if "properties" in schema:
            assert set(value) == set(schema["properties"]), path
            for name, field in schema["properties"].items():
                compare(field, value[name], f"{path}.{name}")
        elif "default" in schema:
            assert value == schema["default"], path
        elif path not in ("spec.table.name", "spec.bucket.name"):
            [line] = [line for line in text.splitlines() if line.strip().startswith(f"{path.split('.')[-1]}:")
                      and "# optional: " in line]  # fmt: skip
            assert line

    compare(schema, document["spec"], "spec")


def test_allowed_names_are_laid_over_an_installation_and_outlive_its_next_apply(
    installed: Installation, install: list[dict[str, Any]]
) -> None:
    def apply(document: Mapping[str, Any], *flags: str) -> None:
        moved = {**document, "metadata": {**document["metadata"], "namespace": installed.namespace}}
        installed.cluster.told(
            "apply", "--server-side", "--validate=strict", *flags, "-f", "-", stdin=yaml.safe_dump(moved)
        )

    deployment = one("Deployment", install)
    # No pods are wanted here.
    deployment = {**deployment, "spec": {**deployment["spec"], "replicas": 0}}
    apply(deployment)
    for document in documents(DEPLOY / "allowed-names.yaml"):
        apply(document, "--field-manager", "allowed-names")
    apply(deployment)

    stored = json.loads(
        installed.cluster.told("get", "deployment", "humangov-operator", "-n", installed.namespace, "-o", "json")
    )
    pod = stored["spec"]["template"]["spec"]
    [container], [volume] = pod["containers"], pod["volumes"]
    [mount] = container["volumeMounts"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert set(variables) == variables_of(install) | {"HUMANGOV_ALLOWED_NAMES"}
    configuration = one("ConfigMap", documents(DEPLOY / "allowed-names.yaml"))
    assert volume["configMap"]["name"] == configuration["metadata"]["name"]
    [(file, text)] = configuration["data"].items()
    assert variables["HUMANGOV_ALLOWED_NAMES"] == f"{mount['mountPath']}/{file}"
    allowed = AllowedNames.parse(yaml.safe_load(text))
    assert allowed.namespaces["florida"].tables == ("humangov-florida-*",)
