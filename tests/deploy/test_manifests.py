"""What users apply, against the real API server: taken as it is, and no more than is needed.

It can't show that pods start: here no node runs them.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from humangov import __version__
from humangov.api.allowed_names import AllowedNames
from humangov.api.spec import parse
from humangov.cli.main import load
from humangov.manager.leader import STOP_GRACE_SECONDS

from deploy import render as deploy_render
from deploy.render import INSTALL, REPORTS, rendered_without_helm, variables
from sandbox import helm
from sandbox.paths import REPOSITORY
from testing.documents import load_all, load_one
from testing.live.cluster import Cluster
from tests.deploy.chart import Asked, component_of, environment, of_kind, one, render, sweep_template

DEPLOY = REPOSITORY / "deploy"
EXAMPLES = DEPLOY / "examples"
NAMESPACE = "humangov"


def documents(path: Path) -> list[dict[str, Any]]:
    return [dict(document) for document in load_all(path.read_text())]


@pytest.fixture(scope="module")
def install() -> list[dict[str, Any]]:
    return documents(DEPLOY / "install.yaml")


def moved(document: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """The same in another namespace."""
    if "namespace" not in document["metadata"]:
        return copy.deepcopy(dict(document))
    return {**document, "metadata": {**document["metadata"], "namespace": namespace}}


@pytest.mark.parametrize("path", sorted(rendered_without_helm()))
def test_rendered_files_are_fresh(path: str) -> None:
    assert (REPOSITORY / path).read_text() == rendered_without_helm()[path], "run: make manifests"


def test_install_yaml_is_fresh() -> None:
    assert (REPOSITORY / INSTALL).read_text() == deploy_render.install(), "run: make manifests"


def test_reports_yaml_is_fresh_and_what_the_chart_adds_for_reports() -> None:
    assert (REPOSITORY / REPORTS).read_text() == deploy_render.reports(), "run: make manifests"
    values = {"reports": {"enabled": True, "bucket": "reports-of-humangov"}}
    added = [document for document in render(values, hooks=False) if document not in render(hooks=False)]
    assert sorted(map(json.dumps, documents(REPOSITORY / REPORTS))) == sorted(map(json.dumps, added))


def test_stale_rendered_file_fails_the_check_by_name(tmp_path: Path) -> None:
    """Where there is neither Go nor a helm: `make lint` needs none."""
    for name in ("crds", "sandbox"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    for name in ("deploy", "docs"):
        (tmp_path / name).mkdir()
    (tmp_path / "deploy" / "helm").symlink_to(DEPLOY / "helm")
    for name in ("monitoring", "values_schema.py"):
        (tmp_path / "deploy" / name).symlink_to(DEPLOY / name)
    (tmp_path / "deploy" / "render.py").write_bytes((DEPLOY / "render.py").read_bytes())
    (tmp_path / "docs" / "settings.md").write_bytes((REPOSITORY / "docs" / "settings.md").read_bytes())
    (tmp_path / "docs" / "api.md").write_text("stale\n")
    done = subprocess.run(
        [sys.executable, "-m", "deploy.render", "--check"],
        env={"PATH": "", helm.VARIABLE: str(tmp_path / "no-helm")},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == "docs/api.md is stale: run `make manifests`\n"
    assert done.returncode == 1
    assert (tmp_path / "docs" / "api.md").read_text() == "stale\n"


def test_install_yaml_is_the_rendered_chart_with_a_namespace(install: list[dict[str, Any]]) -> None:
    [namespace] = documents(DEPLOY / "namespace.yaml")
    assert install == [namespace, *render(hooks=False)]
    assert one("Deployment", install)["metadata"]["namespace"] == namespace["metadata"]["name"] == NAMESPACE
    assert of_kind("Job", install) == [], "kubectl would run a hook as a job"


def test_changed_definition_is_rendered_into_install_yaml(tmp_path: Path) -> None:
    for name in ("docs", "README.md", "deploy"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / "crds").mkdir()
    source = (REPOSITORY / "crds" / "humangovstates.yaml").read_text()
    (tmp_path / "crds" / "humangovstates.yaml").write_text(source.replace("shortNames: [hgs]", "shortNames: [state]"))
    assert "shortNames: [state]" in deploy_render.install(tmp_path)


def test_api_server_accepts_every_document_of_install_yaml(restricted: Asked, install: list[dict[str, Any]]) -> None:
    kinds = [document["kind"] for document in install]
    assert kinds == [
        "Namespace", "NetworkPolicy", "ServiceAccount", "ServiceAccount", "CustomResourceDefinition",
        *["ClusterRole"] * 4, *["ClusterRoleBinding"] * 2, *["Role"] * 2, *["RoleBinding"] * 2, "Deployment", "CronJob",
        *["ValidatingAdmissionPolicy"] * 6, *["ValidatingAdmissionPolicyBinding"] * 7,
    ]  # fmt: skip
    restricted.dry_run(*(moved(document, restricted.namespace) for document in install))


def test_pod_has_a_read_only_root_and_no_privilege_escalation(install: list[dict[str, Any]]) -> None:
    pod = one("Deployment", install)["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10000
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert set(container["resources"]) == {"requests", "limits"}
    assert "memory" in container["resources"]["limits"]


def test_termination_grace_period_exceeds_the_operators_stop_grace(install: list[dict[str, Any]]) -> None:
    pod = one("Deployment", install)["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > STOP_GRACE_SECONDS


def test_probes_use_the_operators_address_and_paths(install: list[dict[str, Any]]) -> None:
    [container] = one("Deployment", install)["spec"]["template"]["spec"]["containers"]
    [port] = container["ports"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert variables["HUMANGOV_PROBE_ADDRESS"] == f"0.0.0.0:{port['containerPort']}"
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}


def test_every_variable_of_install_yaml_is_read_by_the_operator(install: list[dict[str, Any]]) -> None:
    options = [option for option in load("run").params if isinstance(option, click.Option)]
    assert set(environment(install)) <= {name for option in options for name in variables(option)}


def test_install_yaml_uses_the_image_of_this_version(install: list[dict[str, Any]]) -> None:
    [container] = one("Deployment", install)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"humangov-operator:{__version__}"


def own_role(install: list[dict[str, Any]]) -> dict[str, Any]:
    """The operator's in the cluster, beside the roles for people."""
    bound = one("ClusterRoleBinding", install)["roleRef"]["name"]
    [role] = [role for role in of_kind("ClusterRole", install) if role["metadata"]["name"] == bound]
    return role


def test_install_yaml_grants_the_operator_exactly_these_permissions(install: list[dict[str, Any]]) -> None:
    permissions = {
        f"{group or 'core'}/{resource}{''.join(f'[{name}]' for name in rule.get('resourceNames', ()))}": rule["verbs"]
        for rule in own_role(install)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert permissions == {
        "humangov.io/humangovstates": ["get", "list", "watch", "patch"],
        "humangov.io/humangovstates/status": ["patch"],
        "events.k8s.io/events": ["create"],
        "core/namespaces[kube-system]": ["get"],
    }


def test_install_yaml_binds_permissions_to_the_service_account_of_the_pod(install: list[dict[str, Any]]) -> None:
    account = one("ServiceAccount", install)
    name, namespace = account["metadata"]["name"], account["metadata"]["namespace"]
    for binding in ("ClusterRoleBinding", "RoleBinding"):
        assert one(binding, install)["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]
    assert one("RoleBinding", install)["roleRef"]["name"] == one("Role", install)["metadata"]["name"]
    assert one("Deployment", install)["spec"]["template"]["spec"]["serviceAccountName"] == name
    assert namespace == one("Deployment", install)["metadata"]["namespace"] == NAMESPACE


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_api_server_accepts_the_example_states(restricted: Asked, path: Path) -> None:
    [document] = documents(path)
    [stored] = restricted.dry_run(moved(document, restricted.namespace))
    assert parse(stored, default_region="us-east-1") is not None


def test_examples_are_the_three_states_of_the_walkthrough() -> None:
    named = {}
    for path in EXAMPLES.glob("*.yaml"):
        [document] = documents(path)
        assert document["metadata"]["name"] == path.stem
        named[path.stem] = (document["spec"]["table"]["name"], document["spec"]["bucket"]["name"])
    assert named == {
        state: (f"humangov-{state}-dynamodb", f"humangov-{state}-s3-zsmb")
        for state in ("california", "florida", "staging")
    }


def test_full_example_has_every_field_with_its_default() -> None:
    definition = load_one((REPOSITORY / "crds" / "humangovstates.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    text = (EXAMPLES / "full" / "california.yaml").read_text()
    left_out = re.compile(r"^( *)# (\w+: \w+) # not in git$", re.MULTILINE)
    assert [line[2] for line in left_out.finditer(text)] == ["enabled: true", "suspend: false", "suspend: false"]
    document = load_one(left_out.sub(r"\1\2", text))

    def compare(schema: Mapping[str, Any], value: Any, path: str, *, required: bool = False) -> None:
        if "properties" in schema:
            assert set(value) == set(schema["properties"]), path
            for name, field in schema["properties"].items():
                compare(field, value[name], f"{path}.{name}", required=name in schema.get("required", ()))
        elif "default" in schema:
            assert value == schema["default"], path
        elif not required:
            [line] = [line for line in text.splitlines() if line.strip().startswith(f"{path.split('.')[-1]}:")
                      and "# optional: " in line]  # fmt: skip
            assert line

    compare(schema, document["spec"], "spec")


def test_full_example_has_no_field_with_which_git_would_undo_what_a_person_stops() -> None:
    [document] = documents(EXAMPLES / "full" / "california.yaml")
    spec, annotations = document["spec"], document["metadata"].get("annotations", {})
    assert "suspend" not in spec
    assert "enabled" not in spec["trigger"]
    assert "suspend" not in spec["sweep"]
    assert [name for name in annotations if name.startswith("humangov.io/")] == []


def test_kustomize_allowed_names_survive_the_next_apply_of_install_yaml(
    restricted: Asked, install: list[dict[str, Any]]
) -> None:
    def apply(document: Mapping[str, Any], *flags: str) -> None:
        restricted.cluster.output(
            "apply",
            "--server-side",
            "--validate=strict",
            *flags,
            "-f",
            "-",
            stdin=yaml.safe_dump(moved(document, restricted.namespace)),
        )

    deployment = one("Deployment", install)
    # No pods are wanted here.
    deployment = {**deployment, "spec": {**deployment["spec"], "replicas": 0}}
    template = one("CronJob", install, component="sweep")
    apply(deployment)
    apply(template)
    for document in documents(DEPLOY / "allowed-names.yaml"):
        apply(document, "--field-manager", "allowed-names")
    apply(deployment)
    apply(template)

    stored = json.loads(
        restricted.cluster.output("get", "deployment", "humangov-operator", "-n", restricted.namespace, "-o", "json")
    )
    pod = stored["spec"]["template"]["spec"]
    [container], [volume] = pod["containers"], pod["volumes"]
    [mount] = container["volumeMounts"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert set(variables) == set(environment(install)) | {"HUMANGOV_ALLOWED_NAMES"}
    configuration = one("ConfigMap", documents(DEPLOY / "allowed-names.yaml"))
    assert volume["configMap"]["name"] == configuration["metadata"]["name"]
    [(file, text)] = configuration["data"].items()
    assert variables["HUMANGOV_ALLOWED_NAMES"] == f"{mount['mountPath']}/{file}"
    allowed = AllowedNames.parse(yaml.safe_load(text))
    assert allowed.namespaces["florida"].tables == ("humangov-florida-*",)
    answer = restricted.cluster.output("get", "cronjobs", "-n", restricted.namespace, "-o", "json")
    [swept] = [one for one in json.loads(answer)["items"] if one["metadata"]["name"] == template["metadata"]["name"]]
    sweep = swept["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert configuration["metadata"]["name"] in [one.get("configMap", {}).get("name") for one in sweep["volumes"]]
    assert ("HUMANGOV_ALLOWED_NAMES", f"{mount['mountPath']}/{file}") in [
        (variable["name"], variable.get("value")) for variable in sweep["containers"][0]["env"]
    ]


# Laid over by kustomize


def kustomized(cluster: Cluster, folder: Path, *flags: str) -> list[dict[str, Any]]:
    return load_all(cluster.output("kustomize", *flags, str(folder)))


@pytest.fixture(scope="module")
def overlaid(cluster: Cluster) -> list[dict[str, Any]]:
    return kustomized(cluster, DEPLOY / "kustomize", "--load-restrictor", "LoadRestrictionsNone")


def test_kustomize_overlay_names_its_command() -> None:
    text = (DEPLOY / "kustomize" / "kustomization.yaml").read_text()
    assert "kubectl kustomize --load-restrictor LoadRestrictionsNone deploy/kustomize" in text


def test_kustomize_overlay_sets_only_image_region_role_and_allowed_names(
    overlaid: list[dict[str, Any]], install: list[dict[str, Any]]
) -> None:
    [container] = one("Deployment", overlaid)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"registry.example.com/humangov-operator:{__version__}"
    changed = {name: value for name, value in environment(overlaid).items() if environment(install).get(name) != value}
    assert changed == {"AWS_REGION": "us-gov-west-1", "HUMANGOV_ALLOWED_NAMES": "/etc/humangov/allowed-names.yaml"}
    assert one("ServiceAccount", overlaid)["metadata"]["annotations"] == {
        "eks.amazonaws.com/role-arn": "arn:aws-us-gov:iam::123456789012:role/humangov-operator"
    }
    configuration = one("ConfigMap", overlaid)
    sweep = sweep_template(overlaid)["spec"]
    assert sweep["containers"][0]["image"] == container["image"]
    given = {variable["name"]: variable.get("value") for variable in sweep["containers"][0]["env"]}
    assert changed.items() <= given.items()
    [of_sweep] = [one for one in sweep["volumes"] if "configMap" in one]
    assert of_sweep["configMap"]["name"] == configuration["metadata"]["name"]
    assert one("ServiceAccount", overlaid, component="sweep")["metadata"]["annotations"] == {
        "eks.amazonaws.com/role-arn": "arn:aws-us-gov:iam::123456789012:role/humangov-sweep"
    }
    [volume] = one("Deployment", overlaid)["spec"]["template"]["spec"]["volumes"]
    assert volume["configMap"]["name"] == configuration["metadata"]["name"] != "humangov-allowed-names"
    allowed = AllowedNames.parse(yaml.safe_load(configuration["data"]["allowed-names.yaml"]))
    assert allowed.namespaces["florida"].tables == ("humangov-florida-*",)
    for kind in ("CustomResourceDefinition", "ClusterRoleBinding", "Role", "RoleBinding", "Namespace"):
        assert one(kind, overlaid) == one(kind, install)


def test_api_server_accepts_the_kustomize_overlay(restricted: Asked, overlaid: list[dict[str, Any]]) -> None:
    restricted.dry_run(*(moved(document, restricted.namespace) for document in overlaid))


def test_kustomize_prefix_and_suffix_leave_the_sweep_template_to_be_found_by_its_label(
    cluster: Cluster, tmp_path: Path
) -> None:
    """How the operator finds it: tests/aws/test_sweeps.py and tests/e2e/test_schedule.py."""
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": ["install.yaml"],
        "namespace": "platform", "namePrefix": "eu-", "nameSuffix": "-v2",
    }  # fmt: skip
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    (tmp_path / "install.yaml").write_bytes((DEPLOY / "install.yaml").read_bytes())
    renamed = kustomized(cluster, tmp_path)
    asked = environment(renamed)["HUMANGOV_SWEEP_TEMPLATE"]
    labelled = [one for one in renamed if one["metadata"].get("labels", {}).get("humangov.io/sweep-template") == "true"]
    [template] = [one["metadata"] for one in labelled]
    assert template["name"] == f"eu-{asked}-v2"
    [role] = [one for one in of_kind("Role", renamed) if one["metadata"]["namespace"] == "platform"]
    [verbs] = [rule["verbs"] for rule in role["rules"] if rule["resources"] == ["cronjobs"]]
    assert {"get", "list"} <= set(verbs)


def test_kustomize_overlay_beside_a_copy_of_install_yaml_needs_no_flag(
    cluster: Cluster, overlaid: list[dict[str, Any]], tmp_path: Path
) -> None:
    for path in (DEPLOY / "kustomize").iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("../install.yaml", "install.yaml"))
    (tmp_path / "install.yaml").write_bytes((DEPLOY / "install.yaml").read_bytes())
    assert kustomized(cluster, tmp_path) == overlaid


def test_kustomize_component_of_reports_adds_them_with_image_bucket_and_role(
    restricted: Asked, cluster: Cluster, overlaid: list[dict[str, Any]], tmp_path: Path
) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("helm", "iam"))
    overlay = tmp_path / "deploy" / "kustomize" / "kustomization.yaml"
    named = re.findall(r"^#   (components: .*)$", (DEPLOY / "kustomize-reports/kustomization.yaml").read_text(), re.M)
    overlay.write_text("\n".join([overlay.read_text(), *named]))
    both = kustomized(cluster, overlay.parent, "--load-restrictor", "LoadRestrictionsNone")
    assert [document for document in both if document not in overlaid] == of_reports(both) != []
    jobs = of_kind("CronJob", both, component="reports")
    assert len(jobs) == 2
    for job in jobs:
        [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"registry.example.com/humangov-operator:{__version__}"
        given = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert (given["HUMANGOV_REPORTS_BUCKET"], given["AWS_REGION"]) == ("my-reports", "us-gov-west-1")
    [account] = of_kind("ServiceAccount", both, component="reports")
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].endswith(":role/humangov-report")
    restricted.dry_run(*(moved(document, restricted.namespace) for document in of_reports(both)))


def of_reports(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in documents if component_of(one) == "reports"]
