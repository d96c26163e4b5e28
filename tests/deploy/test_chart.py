"""The chart: what each value does, which are refused, and that the API server takes all that is rendered.

It can't show that pods start: here no node runs them.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from humangov import __version__
from humangov.api.allowed_names import AllowedNames
from humangov.api.conditions import OWN_CONDITIONS
from humangov.api.spec import parse
from humangov.cli.main import load
from humangov.cli.uninstall_check import answer
from humangov.manager.metrics import Metrics

from deploy.render import values_table, variables
from sandbox.paths import REPOSITORY
from testing.documents import load_all, load_one
from testing.live.cluster import Cluster
from tests.deploy.chart import (
    CHART,
    RELEASE,
    Asked,
    Document,
    Values,
    bare_pod,
    container,
    environment,
    of_kind,
    one,
    pod,
    refused,
    render,
    run_helm,
    sweep_template,
    with_image,
)
from tests.deploy.openapi import Schemas

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
BOUNDARY = "arn:aws-us-gov:iam::123456789012:policy/humangov-boundary"
ROLE = {"eks.amazonaws.com/role-arn": "arn:aws-us-gov:iam::123456789012:role/humangov-operator"}
ALLOWED = {
    "humangov": {"tables": ["*"], "buckets": ["*"]},
    "florida": {"tables": ["humangov-florida-*"], "buckets": []},
}
VOLUME = {"name": "ca", "configMap": {"name": "ca"}}
MOUNT = {"name": "ca", "mountPath": "/etc/ca", "readOnly": True}
SPREAD = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
TOLERATION = {"key": "infra", "operator": "Exists", "effect": "NoSchedule"}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "Exists"}]}]
        }
    }
}
EGRESS = {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 4566}]}
LISTS_STATES = {("humangov.io/humangovstates", "", "list")}
OF_NAME = {("/namespaces", "kube-system", "get")}
REPORTS_ROLE = {"eks.amazonaws.com/role-arn": "arn:aws-us-gov:iam::123456789012:role/humangov-report"}
REPORTS = {
    "enabled": True, "bucket": "reports-of-humangov", "bucketOwner": "999999999999", "keyPrefix": "humangov/",
    "kmsKey": "alias/reports", "signingKey": "alias/humangov-checkpoints", "accountRole": "humangov-report-reader",
    "retention": {"days": 2557, "mode": "COMPLIANCE"}, "serviceAccount": {"annotations": REPORTS_ROLE},
}  # fmt: skip
SELECTOR = {"app.kubernetes.io/name": "humangov-operator", "app.kubernetes.io/instance": "humangov-operator"}


def parsed(path: str) -> Any:
    return yaml.safe_load((CHART / path).read_text())


DEFAULTS = parsed("values.yaml")


def defaults() -> list[Document]:
    return render()


# Sets of values


def everything(_: str) -> Values:
    return {
        "image": {"repository": "registry.example.com/humangov-operator", "tag": "v2", "digest": DIGEST,
                  "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "region": "us-gov-west-1", "clusterName": "humangov-cluster", "permissionsBoundary": BOUNDARY,
        "movedFrom": ["9d1f3c52-0e4b-4a0e-8c52-3f1f6a1f7a01"],
        "tags": {"team": "people and records", "cost-center": "7"}, "allowedNames": ALLOWED,
        "resync": 60.5, "workers": 3, "awsLimitsShare": 25, "logFormat": "text", "logLevel": "debug",
        "codeRollout": {"first": ["humangov/california"]},
        "extraArgs": ["--resync=30"],
        "extraEnv": [
            {"name": "HTTPS_PROXY", "value": "http://proxy.example.com"},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "extraVolumes": [VOLUME], "extraVolumeMounts": [MOUNT],
        "replicas": 3, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 1}},
        "podDisruptionBudget": {"enabled": True, "maxUnavailable": "50%"},
        "serviceAccount": {"name": "mine", "annotations": ROLE},
        "networkPolicy": {"extraEgress": [EGRESS]}, "metrics": SERVICE,
        "nodeSelector": {"node.kubernetes.io/instance-type": "m7g.large"}, "tolerations": [TOLERATION],
        "affinity": AFFINITY, "topologySpreadConstraints": [SPREAD], "priorityClassName": "system-cluster-critical",
        "podAnnotations": {"example.com/a": "b"}, "podLabels": {"example.com/c": "d"}, "fullnameOverride": "other",
    }  # fmt: skip


def with_reports(_: str) -> Values:
    return {**everything(""), "reports": REPORTS}


def nothing(_: str) -> Values:
    return {
        "serviceAccount": {"create": False, "name": "given"}, "rbac": {"create": False, "aggregate": False},
        "crds": {"install": False}, "uninstallCheck": {"enabled": False}, "leaderElect": False, "region": "",
        "nodeSelector": None, "resources": None, "podLabels": None, "podAnnotations": None,
    }  # fmt: skip


def namespaced(namespace: str) -> Values:
    return {"watchNamespaces": [namespace, "default"], "clusterName": "humangov-cluster", "allowedNames": ALLOWED}


def on_a_node_without_pod_network(_: str) -> Values:
    return {
        "hostNetwork": True, "probes": {"port": 18080}, "image": {"pullPolicy": "Never"},
        "extraEnv": [{"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"}],
    }  # fmt: skip


def only_defaults(_: str) -> Values:
    return {}


Set = Callable[[str], Values]
SETS: Sequence[Set] = (
    only_defaults, everything, with_reports, nothing, namespaced, on_a_node_without_pod_network,
)  # fmt: skip
every_set = pytest.mark.parametrize("values", SETS)


@pytest.fixture(scope="module")
def schemas(cluster: Cluster) -> Schemas:
    return Schemas(cluster)


def test_helm_lint_accepts_default_values() -> None:
    done = run_helm("lint", "--strict", str(CHART), values=with_image({}))
    assert done.returncode == 0, done.stdout
    assert "0 chart(s) failed" in done.stdout


@every_set
def test_helm_lint_accepts_other_values(values: Set) -> None:
    done = run_helm("lint", "--strict", str(CHART), values=with_image(values("florida")))
    assert done.returncode == 0, done.stdout


@every_set
def test_rendered_chart_matches_the_openapi_schemas(schemas: Schemas, values: Set) -> None:
    documents = render(values("florida"))
    assert documents
    for document in documents:
        assert schemas.problems(document) == [], document["kind"]


def test_openapi_schemas_refuse_unknown_fields(schemas: Schemas) -> None:
    deployment = one("Deployment", defaults())
    deployment["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    assert any("livenessprobe" in problem for problem in schemas.problems(deployment))
    definition = one("CustomResourceDefinition", defaults())
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["property"] = {}
    assert any("'property'" in problem for problem in schemas.problems(definition))


@every_set
def test_api_server_accepts_the_rendered_chart(restricted: Asked, unrestricted: Asked, values: Set) -> None:
    asked = unrestricted if values is on_a_node_without_pod_network else restricted
    documents = render(values(asked.namespace), namespace=asked.namespace)
    # A dry run creates no service account, without which no pod is admitted.
    pods = [bare_pod(document, namespace=asked.namespace) for document in documents if document["kind"] == "Pod"]
    others = [document for document in documents if document["kind"] != "Pod"]
    assert len(asked.dry_run(*others, *pods)) == len(documents)


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_pods_are_admitted_under_restricted_pod_security(restricted: Asked, kind: str) -> None:
    probe = bare_pod(one(kind, defaults())["spec"]["template"], namespace=restricted.namespace)
    restricted.dry_run(probe)
    probe["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    refusal = restricted.cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(probe))
    assert 'violates PodSecurity "restricted' in refusal.stderr


# What each value does


Shown = Callable[[list[Document]], Any]
Case = tuple[Values, Shown, Any]


def spec(kind: str, *path: str) -> Shown:
    """A field of the spec of the one object of this kind."""

    def shown(documents: list[Document]) -> Any:
        return digged(one(kind, documents)["spec"], *path)

    return shown


def digged(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def of_pod(*path: str) -> Shown:
    return lambda documents: digged(pod(documents), *path)


def of_container(*path: str) -> Shown:
    return lambda documents: digged(container(documents), *path)


def of_template(*path: str) -> Shown:
    return spec("Deployment", "template", *path)


def variable(name: str) -> Shown:
    return lambda documents: environment(documents).get(name)


def names(kind: str) -> Shown:
    return lambda documents: [document["metadata"]["name"] for document in of_kind(kind, documents)]


def annotated(kind: str) -> Shown:
    return lambda documents: one(kind, documents)["metadata"].get("annotations")


def of_sweep(kind: str, field: str) -> Shown:
    return lambda documents: [one["metadata"].get(field) for one in of_kind(kind, documents, component="sweep")]


def reports(**values: Any) -> Values:
    """The least that enables them, and these values."""
    return {"reports": {"enabled": True, "bucket": "reports-of-humangov", **values}}


def of_reports(kind: str, *path: str) -> Shown:
    """A field of each of its objects."""
    return lambda documents: [digged(found, *path) for found in of_kind(kind, documents, component="reports")]


def reports_pods(documents: list[Document]) -> list[Document]:
    """The pod templates of reports and of checkpoints, in this order."""
    jobs = sorted(of_kind("CronJob", documents, component="reports"), key=lambda job: str(job["metadata"]["name"]))
    return [job["spec"]["jobTemplate"]["spec"]["template"] for job in reversed(jobs)]


def of_both(name: str) -> Shown:
    """A variable of the pods of reports and of checkpoints."""

    def shown(documents: list[Document]) -> Any:
        containers = [pod["spec"]["containers"][0] for pod in reports_pods(documents)]
        return [{one["name"]: one.get("value") for one in container["env"]}.get(name) for container in containers]

    return shown


def schedule(job: str) -> Shown:
    return lambda documents: next(
        found["spec"]["schedule"]
        for found in of_kind("CronJob", documents, component="reports")
        if found["metadata"]["name"] == f"humangov-operator-{job}"
    )


def allowed_names(documents: list[Document]) -> Any:
    return [
        yaml.safe_load(document["data"]["allowed-names.yaml"])
        for document in of_kind("ConfigMap", documents)
        if environment(documents).get("HUMANGOV_ALLOWED_NAMES") == "/etc/humangov/allowed-names.yaml"
    ]


def ports_out(documents: list[Document]) -> Any:
    return [port["port"] for rule in one("NetworkPolicy", documents)["spec"]["egress"][1:2] for port in rule["ports"]]


NO_POLICY = {"networkPolicy": {"enabled": False}}
SERVICE = {"service": {"enabled": True}}
BUDGET = {"podDisruptionBudget": {"enabled": True}}
# Value → values that set it (and what it needs), where it is seen, what is seen there then and not by default.
CASES: Mapping[str, Case] = {
    "image.repository": ({"image": {"repository": "a/b"}}, of_container("image"), "a/b:0.1.0"),
    "image.tag": ({"image": {"tag": "v2"}}, of_container("image"), "humangov-operator:v2"),
    "image.digest": ({"image": {"tag": "v2", "digest": DIGEST}}, of_container("image"), f"humangov-operator@{DIGEST}"),
    "image.pullPolicy": ({"image": {"pullPolicy": "Never"}}, of_container("imagePullPolicy"), "Never"),
    "imagePullSecrets": ({"imagePullSecrets": [{"name": "x"}]}, of_pod("imagePullSecrets"), [{"name": "x"}]),
    "region": ({"region": "eu-west-1"}, variable("AWS_REGION"), "eu-west-1"),
    "clusterName": ({"clusterName": "c"}, variable("HUMANGOV_CLUSTER_NAME"), "c"),
    "movedFrom": ({"movedFrom": ["u-1", "u-2"]}, variable("HUMANGOV_MOVED_FROM"), "u-1 u-2"),
    "permissionsBoundary": ({"permissionsBoundary": BOUNDARY}, variable("HUMANGOV_PERMISSIONS_BOUNDARY"), BOUNDARY),
    "tags": ({"tags": {"a": "b c", "d": "e"}}, of_container("args"), ["run", "--tag=a=b c", "--tag=d=e"]),
    "watchNamespaces": ({"watchNamespaces": ["a", "humangov"]}, variable("HUMANGOV_NAMESPACE"), "a humangov"),
    "allowedNames": ({"allowedNames": ALLOWED}, allowed_names, [ALLOWED]),
    "resync": ({"resync": 60.5}, variable("HUMANGOV_RESYNC"), "60.5"),
    "workers": ({"workers": 20}, variable("HUMANGOV_WORKERS"), "20"),
    "awsLimitsShare": ({"awsLimitsShare": 25}, variable("HUMANGOV_AWS_LIMITS_SHARE"), "25"),
    "logFormat": ({"logFormat": "text"}, variable("HUMANGOV_LOG_FORMAT"), "text"),
    "logLevel": ({"logLevel": "debug"}, variable("HUMANGOV_LOG_LEVEL"), "debug"),
    "extraArgs": ({"extraArgs": ["--resync=5"]}, of_container("args"), ["run", "--resync=5"]),
    "extraEnv": ({"extraEnv": [{"name": "HTTPS_PROXY", "value": "x"}]}, variable("HTTPS_PROXY"), "x"),
    "extraVolumes": ({"extraVolumes": [VOLUME]}, of_pod("volumes"), [VOLUME]),
    "extraVolumeMounts": ({"extraVolumeMounts": [MOUNT]}, of_container("volumeMounts"), [MOUNT]),
    "replicas": ({"replicas": 3}, spec("Deployment", "replicas"), 3),
    "leaderElect": ({"leaderElect": False}, variable("HUMANGOV_LEADER_ELECT"), "false"),
    "strategy": ({"strategy": {"type": "Recreate"}}, spec("Deployment", "strategy"), {"type": "Recreate"}),
    "podDisruptionBudget.enabled": (BUDGET, names("PodDisruptionBudget"), ["humangov-operator"]),
    "podDisruptionBudget.maxUnavailable": (
        {"podDisruptionBudget": {"enabled": True, "maxUnavailable": "50%"}},
        spec("PodDisruptionBudget", "maxUnavailable"),
        "50%",
    ),
    "serviceAccount.create": (
        {"serviceAccount": {"create": False, "name": "humangov-operator"}},
        names("ServiceAccount"),
        [],
    ),
    "serviceAccount.name": ({"serviceAccount": {"name": "x"}}, names("ServiceAccount"), ["x"]),
    "serviceAccount.annotations": ({"serviceAccount": {"annotations": ROLE}}, annotated("ServiceAccount"), ROLE),
    "sweep.enabled": ({"sweep": {"enabled": False}}, variable("HUMANGOV_SWEEP_TEMPLATE"), None),
    "codeRollout.enabled": (
        {"codeRollout": {"enabled": False}},
        lambda documents: (variable("HUMANGOV_CODE_ROLLOUT")(documents), OF_ROLLOUT & permissions(documents, "Role")),
        ("false", set()),
    ),
    "codeRollout.first": (
        {"codeRollout": {"first": ["humangov/california", "humangov/nevada"]}},
        variable("HUMANGOV_CODE_ROLLOUT_FIRST"),
        "humangov/california humangov/nevada",
    ),
    "codeRollout.minutes": (
        {"codeRollout": {"minutes": 2.5}},
        variable("HUMANGOV_CODE_ROLLOUT_MINUTES"),
        "2.5",
    ),
    "codeRollout.sharePercent": (
        {"codeRollout": {"sharePercent": 20}},
        variable("HUMANGOV_CODE_ROLLOUT_SHARE"),
        "20",
    ),
    "sweep.maximumConcurrent": (
        {"sweep": {"maximumConcurrent": 3}},
        variable("HUMANGOV_MAXIMUM_CONCURRENT_SWEEPS"),
        "3",
    ),
    "sweep.serviceAccount.create": (
        {"sweep": {"serviceAccount": {"create": False}}},
        of_sweep("ServiceAccount", "name"),
        [],
    ),
    "sweep.serviceAccount.name": (
        {"sweep": {"serviceAccount": {"name": "x"}}},
        of_sweep("ServiceAccount", "name"),
        ["x"],
    ),
    "sweep.serviceAccount.annotations": (
        {"sweep": {"serviceAccount": {"annotations": ROLE}}},
        of_sweep("ServiceAccount", "annotations"),
        [ROLE],
    ),
    "sweep.scratchSize": (
        {"sweep": {"scratchSize": "9Gi"}},
        lambda documents: sweep_template(documents)["spec"]["volumes"][0]["emptyDir"]["sizeLimit"],
        "9Gi",
    ),
    "reports.enabled": (
        reports(),
        lambda documents: (
            sorted(of_reports("CronJob", "metadata", "name")(documents)),
            permissions_of_reports(documents),
        ),
        (["humangov-operator-checkpoint", "humangov-operator-report"], LISTS_STATES | OF_NAME),
    ),
    "reports.bucket": (
        reports(bucket="mine"),
        lambda documents: of_both("HUMANGOV_REPORTS_BUCKET")(documents),
        ["mine", "mine"],
    ),
    "reports.bucketOwner": (
        reports(bucketOwner="999999999999"),
        of_both("HUMANGOV_REPORTS_BUCKET_OWNER"),
        ["999999999999"] * 2,
    ),
    "reports.keyPrefix": (reports(keyPrefix="h/"), of_both("HUMANGOV_REPORTS_PREFIX"), ["h/", "h/"]),
    "reports.accountRole": (
        reports(accountRole="reader"),
        of_both("HUMANGOV_REPORTS_ACCOUNT_ROLE"),
        ["reader", "reader"],
    ),
    "reports.kmsKey": (reports(kmsKey="alias/x"), of_both("HUMANGOV_REPORTS_KMS_KEY"), ["alias/x", "alias/x"]),
    "reports.signingKey": (reports(signingKey="alias/x"), of_both("HUMANGOV_REPORTS_SIGNING_KEY"), [None, "alias/x"]),
    "reports.retention.days": (
        reports(retention={"days": 0}),
        lambda documents: [of_both(f"HUMANGOV_REPORTS_RETENTION_{one}")(documents) for one in ("DAYS", "MODE")],
        [[None, None], [None, None]],
    ),
    "reports.retention.mode": (
        reports(retention={"mode": "COMPLIANCE"}),
        of_both("HUMANGOV_REPORTS_RETENTION_MODE"),
        ["COMPLIANCE"] * 2,
    ),
    "reports.schedule": (reports(schedule="0 5 2 * *"), schedule("report"), "0 5 2 * *"),
    "reports.checkpointSchedule": (reports(checkpointSchedule="0 5 * * *"), schedule("checkpoint"), "0 5 * * *"),
    "reports.serviceAccount.create": (
        reports(serviceAccount={"create": False}),
        of_reports("ServiceAccount", "metadata", "name"),
        [],
    ),
    "reports.serviceAccount.name": (
        reports(serviceAccount={"name": "x"}),
        lambda documents: (
            of_reports("ServiceAccount", "metadata", "name")(documents),
            [pod["spec"]["serviceAccountName"] for pod in reports_pods(documents)],
        ),
        (["x"], ["x", "x"]),
    ),
    "reports.serviceAccount.annotations": (
        reports(serviceAccount={"annotations": REPORTS_ROLE}),
        of_reports("ServiceAccount", "metadata", "annotations"),
        [REPORTS_ROLE],
    ),
    "reports.scratchSize": (
        reports(scratchSize="9Gi"),
        lambda documents: [pod["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] for pod in reports_pods(documents)],
        ["9Gi", "9Gi"],
    ),
    "rbac.create": ({"rbac": {"create": False}}, names("ClusterRoleBinding"), []),
    "rbac.aggregate": ({"rbac": {"aggregate": False}}, names("ClusterRole"), ["humangov-operator"]),
    "admissionPolicies.enabled": (
        {"admissionPolicies": {"enabled": False}},
        names("ValidatingAdmissionPolicy"),
        [],
    ),
    "admissionPolicies.signForOthers": (
        {"admissionPolicies": {"signForOthers": ["erika"]}},
        lambda documents: next(
            variable["expression"]
            for policy in of_kind("ValidatingAdmissionPolicy", documents)
            for variable in policy["spec"].get("variables", ())
            if variable["name"] == "signsForOthers"
        ),
        'request.userInfo.username in ["erika"]',
    ),
    "crds.install": ({"crds": {"install": False}}, names("CustomResourceDefinition"), []),
    "crds.keep": ({"crds": {"keep": False}}, annotated("CustomResourceDefinition"), None),
    "uninstallCheck.enabled": ({"uninstallCheck": {"enabled": False}}, names("Job"), []),
    "uninstallCheck.timeoutSeconds": (
        {"uninstallCheck": {"timeoutSeconds": 7}},
        spec("Job", "activeDeadlineSeconds"),
        7,
    ),
    "probes.address": ({"probes": {"address": "::"}}, variable("HUMANGOV_PROBE_ADDRESS"), ":::8080"),
    "probes.port": ({"probes": {"port": 9000}}, variable("HUMANGOV_PROBE_ADDRESS"), "0.0.0.0:9000"),
    "metrics.service.enabled": (
        {"metrics": SERVICE},
        lambda documents: one("Service", documents, component="metrics")["metadata"]["name"],
        "humangov-operator-metrics",
    ),
    "metrics.serviceMonitor.enabled": (
        {"metrics": {**SERVICE, "serviceMonitor": {"enabled": True}}},
        names("ServiceMonitor"),
        ["humangov-operator"],
    ),
    "metrics.serviceMonitor.interval": (
        {"metrics": {**SERVICE, "serviceMonitor": {"enabled": True, "interval": "1m30s"}}},
        lambda documents: one("ServiceMonitor", documents)["spec"]["endpoints"][0]["interval"],
        "1m30s",
    ),
    "metrics.serviceMonitor.labels": (
        {"metrics": {**SERVICE, "serviceMonitor": {"enabled": True, "labels": {"release": "mine"}}}},
        lambda documents: one("ServiceMonitor", documents)["metadata"]["labels"]["release"],
        "mine",
    ),
    "metrics.rules.enabled": (
        {"metrics": {"rules": {"enabled": True}}},
        names("PrometheusRule"),
        ["humangov-operator"],
    ),
    "metrics.rules.labels": (
        {"metrics": {"rules": {"enabled": True, "labels": {"release": "mine"}}}},
        lambda documents: one("PrometheusRule", documents)["metadata"]["labels"]["release"],
        "mine",
    ),
    "metrics.rules.runbooksURL": (
        {"metrics": {"rules": {"enabled": True, "runbooksURL": "https://runbooks.example.com/"}}},
        lambda documents: [
            rule["annotations"]["runbook_url"]
            for rule in one("PrometheusRule", documents)["spec"]["groups"][0]["rules"][:1]
        ],
        ["https://runbooks.example.com/HumanGovOperatorHasNoLeader.md"],
    ),
    "metrics.dashboard.enabled": (
        {"metrics": {"dashboard": {"enabled": True}}},
        lambda documents: "humangov-operator-dashboard" in names("ConfigMap")(documents),
        True,
    ),
    "metrics.dashboard.labels.grafana_dashboard": (
        {"metrics": {"dashboard": {"enabled": True, "labels": {"grafana_dashboard": "ours"}}}},
        lambda documents: [
            document["metadata"]["labels"].get("grafana_dashboard")
            for document in of_kind("ConfigMap", documents)
            if document["metadata"]["name"].endswith("-dashboard")
        ],
        ["ours"],
    ),
    "metrics.dashboard.annotations": (
        {"metrics": {"dashboard": {"enabled": True, "annotations": {"grafana_folder": "HumanGov"}}}},
        lambda documents: [
            document["metadata"].get("annotations")
            for document in of_kind("ConfigMap", documents)
            if document["metadata"]["name"].endswith("-dashboard")
        ],
        [{"grafana_folder": "HumanGov"}],
    ),
    "terminationGracePeriodSeconds": (
        {"terminationGracePeriodSeconds": 60},
        of_pod("terminationGracePeriodSeconds"),
        60,
    ),
    "networkPolicy.enabled": (NO_POLICY, names("NetworkPolicy"), []),
    "networkPolicy.apiServerPorts": (
        {"networkPolicy": {"apiServerPorts": [8443]}},
        ports_out,
        [443, 8443],
    ),
    "networkPolicy.extraEgress": (
        {"networkPolicy": {"extraEgress": [EGRESS]}},
        lambda documents: one("NetworkPolicy", documents)["spec"]["egress"][-1],
        EGRESS,
    ),
    "hostNetwork": ({"hostNetwork": True}, of_pod("hostNetwork"), True),
    "tolerations": ({"tolerations": [TOLERATION]}, of_pod("tolerations"), [TOLERATION]),
    "affinity": ({"affinity": AFFINITY}, of_pod("affinity"), AFFINITY),
    "topologySpreadConstraints": (
        {"topologySpreadConstraints": [SPREAD]},
        of_pod("topologySpreadConstraints"),
        [{**SPREAD, "labelSelector": {"matchLabels": SELECTOR}}],
    ),
    "priorityClassName": ({"priorityClassName": "high"}, of_pod("priorityClassName"), "high"),
    "podAnnotations": ({"podAnnotations": {"a": "b"}}, of_template("metadata", "annotations", "a"), "b"),
    "podLabels": ({"podLabels": {"a": "b"}}, of_template("metadata", "labels"), {**SELECTOR, "a": "b"}),
    "fullnameOverride": ({"fullnameOverride": "x"}, names("Deployment"), ["x"]),
}
# What has no default that would do.
REQUIRED = {"reports.bucket"}
# Values that are handed on as they are: the value with all that is in it → where it is found.
HANDED_ON: Mapping[str, Shown] = {
    "resources": of_container("resources"),
    "sweep.resources": lambda documents: sweep_template(documents)["spec"]["containers"][0]["resources"],
    "reports.resources": lambda documents: reports_pods(documents)[1]["spec"]["containers"][0]["resources"],
    "podSecurityContext": of_pod("securityContext"),
    "securityContext": of_container("securityContext"),
    "nodeSelector": of_pod("nodeSelector"),
    "probes.startup": of_container("startupProbe"),
    "probes.liveness": of_container("livenessProbe"),
    "probes.readiness": of_container("readinessProbe"),
}
# What shows in no manifest; none so far.
WITHOUT_EFFECT: set[str] = set()


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of each value that is not a group of others."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*path, str(name)))
    else:
        yield path


def handed_on() -> list[tuple[str, tuple[str, ...]]]:
    """(the group that is handed on, the path of a leaf in it)"""
    return [(group, path) for group in HANDED_ON for path in leaves(digged(DEFAULTS, *group.split(".")))]


def test_every_chart_value_has_a_test_case() -> None:
    of_groups = {".".join((*group.split("."), *path)) for group, path in handed_on()}
    assert {".".join(path) for path in leaves(DEFAULTS)} == set(CASES) | of_groups | WITHOUT_EFFECT


@pytest.mark.parametrize("name", CASES)
def test_chart_value_changes_the_rendered_manifest(name: str) -> None:
    values, shown, expected = CASES[name]
    needed = copy.deepcopy(dict(values))
    *groups, last = name.split(".")
    del digged(needed, *groups)[last]
    assert shown(render(values)) == expected
    if name in REQUIRED:
        assert f"set {name}" in refused(needed)
    else:
        assert seen(shown, render(needed)) != expected


def seen(shown: Shown, documents: list[Document]) -> Any:
    """None where the object is not even there."""
    try:
        return shown(documents)
    except (ValueError, KeyError):
        return None


@pytest.mark.parametrize(("group", "path"), handed_on(), ids=[".".join((group, *path)) for group, path in handed_on()])
def test_chart_value_is_passed_through(group: str, path: tuple[str, ...]) -> None:
    changed = different(digged(DEFAULTS, *group.split("."), *path))
    values: Any = changed
    for name in reversed((*group.split("."), *path)):
        values = {name: values}
    needed = reports() if group.startswith("reports.") else {}
    assert digged(HANDED_ON[group](render(merged(needed, values))), *path) == changed
    assert digged(HANDED_ON[group](render(needed)), *path) != changed


def merged(one: Any, other: Any) -> Any:
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return other
    return {**one, **{name: merged(one.get(name), inner) for name, inner in other.items()}}


def different(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else ["OTHER"] if isinstance(value, list) else "other"


# What several values make together


def test_chart_definition_equals_that_of_crds() -> None:
    source = load_one((REPOSITORY / "crds" / "humangovstates.yaml").read_text())
    made = one("CustomResourceDefinition", defaults())
    assert {**made, "metadata": {"name": made["metadata"]["name"]}} == source


def test_chart_and_operator_have_the_same_version() -> None:
    chart = parsed("Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_chart_without_leader_election_has_no_lease_permission_and_recreates_the_pod() -> None:
    documents = render({"leaderElect": False})
    assert permissions(documents, "Role") == OF_SWEEPS | OF_STOP | OF_ROLLOUT
    assert one("Deployment", documents)["spec"]["strategy"] == {"type": "Recreate"}


def test_chart_with_leader_election_rolls_out_a_new_pod_first() -> None:
    assert one("Deployment", defaults())["spec"]["strategy"] == {
        "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }  # fmt: skip


def test_chart_with_host_network_keeps_probes_on_loopback_and_recreates_the_pod() -> None:
    documents = render({"hostNetwork": True, "probes": {"port": 18080}})
    assert environment(documents)["HUMANGOV_PROBE_ADDRESS"] == "127.0.0.1:18080"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container(documents)[probe]["httpGet"]["host"] == "127.0.0.1"
    assert container(documents)["ports"] == [{"name": "probes", "containerPort": 18080}]
    assert one("Deployment", documents)["spec"]["strategy"] == {"type": "Recreate"}


def test_uninstall_check_pod_has_the_scheduling_and_account_of_the_operator() -> None:
    documents = render(everything("florida"))
    [checking] = one("Job", documents)["spec"]["template"]["spec"]["containers"]
    own = one("Job", documents)["spec"]["template"]["spec"]
    others = pod(documents)
    for name in (
        "serviceAccountName", "enableServiceLinks", "imagePullSecrets", "securityContext", "nodeSelector",
        "tolerations", "priorityClassName",
    ):  # fmt: skip
        assert own[name] == others[name], name
    assert own["volumes"] == [VOLUME]
    for name in ("image", "imagePullPolicy", "resources", "securityContext"):
        assert checking[name] == container(documents)[name], name
    assert checking["volumeMounts"] == [MOUNT]
    assert checking["env"] == everything("")["extraEnv"]
    node = one("Job", render(on_a_node_without_pod_network("")))["spec"]["template"]["spec"]
    assert node["hostNetwork"] is True


def test_uninstall_check_reads_the_watched_namespaces() -> None:
    documents = render(namespaced("florida"))
    [checking] = one("Job", documents)["spec"]["template"]["spec"]["containers"]
    command, *flags = checking["args"]
    options = {name for option in load(command).params for name in option.opts}
    assert {flag for flag in flags if flag.startswith("--")} <= options
    assert checking["env"] == [{"name": "HUMANGOV_NAMESPACE", "value": environment(documents)["HUMANGOV_NAMESPACE"]}]


def test_uninstall_check_pod_is_not_selected_by_deployment_or_disruption_budget() -> None:
    documents = render({"podDisruptionBudget": {"enabled": True}})
    labels = one("Job", documents)["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        wanted = one(kind, documents)["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= one("Deployment", documents)["spec"]["template"]["metadata"]["labels"].items()
        assert not wanted.items() <= labels.items()


def lets_out(policy: Mapping[str, Any], address: str, port: int, protocol: str = "TCP") -> bool:
    """Whether a NetworkPolicy lets its pods connect to this address.

    https://kubernetes.io/docs/concepts/services-networking/network-policies/
    """

    def reaches(rule: Mapping[str, Any]) -> bool:
        blocks = [peer["ipBlock"] for peer in rule.get("to", ())]
        return not blocks or any(ip_address(address) in ip_network(block["cidr"]) for block in blocks)

    wanted = {"protocol": protocol, "port": port}
    return any(wanted in rule["ports"] and reaches(rule) for rule in policy["egress"])


METADATA, METADATA_6, AGENT, AGENT_6 = "169.254.169.254", "fd00:ec2::254", "169.254.170.23", "fd00:ec2::23"


@pytest.mark.parametrize(
    ("address", "port", "protocol", "out"),
    [
        ("52.216.0.1", 443, "TCP", True), ("10.100.0.1", 443, "TCP", True), ("192.168.1.10", 6443, "TCP", True),
        ("10.100.0.10", 53, "UDP", True), ("10.100.0.10", 53, "TCP", True), (AGENT, 80, "TCP", True),
        (AGENT_6, 80, "TCP", True), (METADATA, 80, "TCP", False), (METADATA_6, 80, "TCP", False),
        ("203.0.113.9", 80, "TCP", False), ("203.0.113.9", 8080, "TCP", False), ("203.0.113.9", 22, "TCP", False),
        ("203.0.113.9", 443, "UDP", False), (AGENT, 2703, "TCP", False),
    ],
)  # fmt: skip
def test_network_policy_of_the_default_lets_pods_reach_what_they_need_and_not_the_metadata_service(
    address: str, port: int, protocol: str, out: bool
) -> None:
    assert lets_out(one("NetworkPolicy", defaults())["spec"], address, port, protocol) is out


def test_network_policy_selects_all_four_pods_and_allows_probes() -> None:
    documents = render({"probes": {"port": 9000}})
    policy = one("NetworkPolicy", documents)["spec"]
    [names_of_pods] = policy["podSelector"]["matchExpressions"]
    assert names_of_pods["operator"] == "In"
    for kind in ("Deployment", "Job"):
        labels = one(kind, documents)["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
        assert labels[names_of_pods["key"]] in names_of_pods["values"]
    checking = one("Pod", documents)["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= checking.items()
    assert checking[names_of_pods["key"]] in names_of_pods["values"]
    # The operator gives the pods of sweeps their name.
    of_sweeps = {**sweep_template(documents)["metadata"]["labels"], "app.kubernetes.io/name": "humangov-sweep"}
    assert policy["podSelector"]["matchLabels"].items() <= of_sweeps.items()
    assert of_sweeps[names_of_pods["key"]] in names_of_pods["values"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"ports": [{"protocol": "TCP", "port": 9000}]}]
    out = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert out == {53, 443, 6443, 80}
    [agent] = [rule for rule in policy["egress"] if rule["ports"][0]["port"] == 80]
    assert {block["ipBlock"]["cidr"] for block in agent["to"]} == {"169.254.170.23/32", "fd00:ec2::23/128"}


def test_chart_mounts_allowed_names_and_a_change_rolls_the_pods() -> None:
    documents = render({"allowedNames": ALLOWED})
    [file] = one("ConfigMap", documents)["data"].values()
    assert AllowedNames.parse(yaml.safe_load(file)).namespaces["florida"].tables == ("humangov-florida-*",)
    [mount], [volume] = container(documents)["volumeMounts"], pod(documents)["volumes"]
    assert mount["name"] == volume["name"]
    assert volume["configMap"]["name"] == one("ConfigMap", documents)["metadata"]["name"]
    assert environment(documents)["HUMANGOV_ALLOWED_NAMES"] == f"{mount['mountPath']}/allowed-names.yaml"
    others = render({"allowedNames": {"florida": ALLOWED["florida"]}})
    of_pods = of_template("metadata", "annotations")
    assert of_pods(documents) != of_pods(others)


@every_set
def test_helm_test_runs_the_install_check_as_the_operator(values: Set) -> None:
    documents = render(values("florida"))
    checking, others = one("Pod", documents), pod(documents)
    assert checking["metadata"]["annotations"]["helm.sh/hook"] == "test"
    for name in (
        "serviceAccountName", "imagePullSecrets", "securityContext", "nodeSelector", "tolerations", "hostNetwork",
    ):  # fmt: skip
        assert checking["spec"].get(name) == others.get(name), name
    [only] = checking["spec"]["containers"]
    assert only["image"] == container(documents)["image"]
    assert only["env"] == container(documents)["env"]
    [name] = only["args"]
    read = {
        variable for option in load(name).params if isinstance(option, click.Option) for variable in variables(option)
    }
    assert read & {variable["name"] for variable in only["env"]} >= {"HUMANGOV_OPERATOR_NAMESPACE"}
    selector = one("Deployment", documents)["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= checking["metadata"]["labels"].items()


def test_helm_test_pod_is_admitted_under_restricted_pod_security(restricted: Asked) -> None:
    checking = one("Pod", defaults())
    restricted.dry_run(bare_pod(checking, namespace=restricted.namespace))


def test_replicas_prefer_different_nodes_unless_an_affinity_is_given() -> None:
    assert "affinity" not in pod(defaults())
    [term] = pod(render({"replicas": 2}))["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert term["podAffinityTerm"]["labelSelector"]["matchLabels"] == SELECTOR
    assert pod(render({"replicas": 2, "affinity": AFFINITY}))["affinity"] == AFFINITY


# As a dependency, and what is told of the chart


def within(tmp_path: Path, *, alias: str | None = None, **values: Any) -> list[Document]:
    """What a chart makes that has this one as a dependency under a condition."""
    name = alias or RELEASE
    dependency = {
        "name": RELEASE,
        "version": "*",
        "condition": f"{name}.enabled",
        **({"alias": alias} if alias else {}),
    }
    (tmp_path / "templates").mkdir()
    shutil.copytree(CHART, tmp_path / "charts" / RELEASE)
    (tmp_path / "Chart.yaml").write_text(
        yaml.safe_dump({"apiVersion": "v2", "name": "platform", "version": "0.1.0", "dependencies": [dependency]})
    )
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({name: with_image(values), "global": {"team": "records"}}))
    done = run_helm("template", "p", str(tmp_path))
    assert done.returncode == 0, done.stderr
    return load_all(done.stdout)


def test_chart_is_a_dependency_that_a_condition_enables_and_disables(tmp_path: Path) -> None:
    for number, enabled in enumerate((True, False)):
        folder = tmp_path / str(number)
        folder.mkdir()
        documents = within(folder, enabled=enabled, region="eu-west-1")
        assert bool(of_kind("Deployment", documents)) is enabled
        if enabled:
            assert environment(documents)["AWS_REGION"] == "eu-west-1"


def test_chart_is_a_dependency_under_an_alias(tmp_path: Path) -> None:
    documents = within(tmp_path, alias="erasure", enabled=True)
    deployment = one("Deployment", documents)
    assert deployment["metadata"]["name"] == "p-erasure"
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_chart_describes_itself_in_its_metadata() -> None:
    chart = parsed("Chart.yaml")
    icon = (CHART / "icon.svg").read_text().strip()
    assert chart["icon"] == f"data:image/svg+xml;base64,{base64.b64encode(icon.encode()).decode()}"
    assert (CHART / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()
    assert chart["maintainers"][0]["name"] == "The HumanGovState operator authors"
    assert len(chart["keywords"]) == len(set(chart["keywords"])) > 5
    assert not {"home", "sources"} & set(chart), "no address is guessed: the release knows where it is released from"
    told = chart["annotations"]
    assert told["artifacthub.io/license"] == "Apache-2.0"
    [definition] = yaml.safe_load(told["artifacthub.io/crds"])
    source = load_one((REPOSITORY / "crds" / "humangovstates.yaml").read_text())
    versions = [version["name"] for version in source["spec"]["versions"]]
    assert (definition["name"], [definition["version"]]) == (source["metadata"]["name"], versions)
    [example] = yaml.safe_load(told["artifacthub.io/crdsExamples"])
    assert parse(example, default_region="us-east-1").name == "california"


def test_changed_service_account_annotations_roll_the_pods() -> None:
    of_pods = of_template("metadata", "annotations")
    assert of_pods(render({"serviceAccount": {"annotations": ROLE}})) != of_pods(defaults())


def test_pod_labels_cannot_override_the_selector_labels() -> None:
    documents = render({"podLabels": {"app.kubernetes.io/name": "mine"}})
    assert of_template("metadata", "labels")(documents) == SELECTOR


def test_release_name_prefixes_all_names() -> None:
    documents = render(release="second")
    mine = {document["metadata"]["name"] for document in documents if document["kind"] != "CustomResourceDefinition"}
    assert all(name.startswith("second-humangov-operator") for name in mine)
    assert {document["metadata"]["name"] for document in render(release="second-humangov-operator")} >= mine


def rules(roles: list[Document]) -> set[tuple[str, str, str]]:
    """(group/resource, its name, verb)."""
    return {
        (f"{group}/{resource}", name, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def permissions(documents: list[Document], kind: str) -> set[tuple[str, str, str]]:
    """(group/resource, its name, verb) of every rule of these roles, but for those of people."""
    return {
        (f"{group}/{resource}", name, verb)
        for role in of_kind(kind, documents)
        if not any("/aggregate-to-" in label for label in role["metadata"]["labels"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def permissions_of_reports(documents: list[Document]) -> set[tuple[str, str, str]]:
    return rules([role for kind in ("ClusterRole", "Role") for role in of_kind(kind, documents, component="reports")])


OF_STATES = {
    *(("humangov.io/humangovstates", "", verb) for verb in ("get", "list", "watch", "patch")),
    ("humangov.io/humangovstates/status", "", "patch"),
    ("events.k8s.io/events", "", "create"),
}
OF_LEAKS = {("events.k8s.io/events", "", "create")}
OF_LEASE = {
    ("coordination.k8s.io/leases", "", "create"),
    ("coordination.k8s.io/leases", "humangov-operator", "get"),
    ("coordination.k8s.io/leases", "humangov-operator", "update"),
}

OF_SWEEPS = {
    *(("batch/cronjobs", "", verb) for verb in ("get", "list", "create", "patch", "delete")),
    *(("batch/jobs", "", verb) for verb in ("list", "create", "patch", "delete")),
}
OF_STOP = {("/configmaps", "humangov-stop", "get")}
OF_ROLLOUT: set[tuple[str, str, str]] = {
    ("/configmaps", "humangov-code-rollout", verb) for verb in ("get", "create", "patch")
}
OWN = OF_STOP | OF_ROLLOUT | OF_LEASE | OF_SWEEPS


@pytest.mark.parametrize(
    ("values", "everywhere", "inside"),
    [
        ({}, OF_STATES | OF_NAME, OWN),
        ({"clusterName": "c"}, OF_STATES | OF_NAME, OWN),
        ({"watchNamespaces": ["a", "b"], "allowedNames": ALLOWED}, OF_NAME, OWN | OF_STATES),
        ({"watchNamespaces": ["humangov", "b"], "clusterName": "c"}, OF_NAME, OWN | OF_STATES),
        ({"leaderElect": False}, OF_STATES | OF_NAME, OF_STOP | OF_ROLLOUT | OF_SWEEPS),
        ({"sweep": {"enabled": False}}, OF_STATES | OF_NAME, OF_STOP | OF_ROLLOUT | OF_LEASE),
        ({"sweep": {"enabled": False}, "leaderElect": False}, OF_STATES | OF_NAME, OF_STOP | OF_ROLLOUT),
    ],
    ids=[
        "everywhere",
        "its name given",
        "in two namespaces",
        "in two, its name given",
        "without the lease",
        "without sweeps",
        "without both",
    ],
)
def test_chart_grants_the_operator_exactly_these_permissions(
    values: Values, everywhere: set[Any], inside: set[Any]
) -> None:
    documents = render(values)
    assert permissions(documents, "ClusterRole") == everywhere
    assert permissions(documents, "Role") == inside
    watched = values.get("watchNamespaces", ["humangov"])
    own = (inside - OF_STATES) | (set() if "humangov" in watched else OF_LEAKS)
    wanted = [("humangov", own), *((name, OF_STATES) for name in values.get("watchNamespaces", ()))]
    for role in of_kind("Role", documents):
        assert (role["metadata"]["namespace"], permissions([role], "Role")) in wanted


@every_set
def test_every_role_is_bound_to_the_service_account_of_the_pod(values: Set) -> None:
    documents = render(values("florida"))
    account = {"kind": "ServiceAccount", "name": pod(documents)["serviceAccountName"], "namespace": "humangov"}
    bound = set()
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in of_kind(kind, documents):
            assert binding["subjects"] == [account]
            bound.add((binding["roleRef"]["kind"], binding["metadata"].get("namespace"), binding["roleRef"]["name"]))
    roles = {
        (role["kind"], role["metadata"].get("namespace"), role["metadata"]["name"])
        for kind in ("ClusterRole", "Role")
        for role in of_kind(kind, documents)
        if not any("/aggregate-to-" in label for label in role["metadata"]["labels"])
    }
    assert bound == roles


def test_sweep_service_account_may_only_read_states_and_write_status() -> None:
    everywhere, in_two = defaults(), render({"watchNamespaces": ["a", "b"], "allowedNames": ALLOWED})
    account = {"kind": "ServiceAccount", "name": "humangov-operator-sweep", "namespace": "humangov"}
    states = {*(("humangov.io/humangovstates", "", verb) for verb in ("get", "list")),
              ("humangov.io/humangovstates/status", "", "patch")}  # fmt: skip
    for documents, kind, namespaces in ((everywhere, "ClusterRole", [None]), (in_two, "Role", ["a", "b"])):
        roles, bindings = (
            [
                one
                for one in of_kind(name, documents, component="sweep")
                if not one["metadata"]["name"].endswith("-stop")
            ]
            for name in (kind, f"{kind}Binding")
        )
        assert [role["metadata"].get("namespace") for role in roles] == namespaces
        assert [binding["metadata"].get("namespace") for binding in bindings] == namespaces
        for role, binding in zip(roles, bindings, strict=True):
            assert rules([role]) == states
            assert binding["subjects"] == [account]
            assert binding["roleRef"]["name"] == role["metadata"]["name"]
        [stop] = [
            one for one in of_kind("Role", documents, component="sweep") if one["metadata"]["name"].endswith("-stop")
        ]
        assert (stop["metadata"]["namespace"], rules([stop])) == ("humangov", OF_STOP)
        assert sweep_template(documents)["spec"]["serviceAccountName"] == "humangov-operator-sweep"
    assert pod(everywhere)["serviceAccountName"] != "humangov-operator-sweep"


def test_sweep_pod_has_the_scheduling_and_security_context_of_the_operator(restricted: Asked) -> None:
    documents = render(everything("florida"))
    template, others = sweep_template(documents), pod(documents)
    for name in ("enableServiceLinks", "imagePullSecrets", "securityContext", "nodeSelector", "tolerations",
                 "priorityClassName"):  # fmt: skip
        assert template["spec"][name] == others[name], name
    [sweeping] = template["spec"]["containers"]
    for name in ("image", "imagePullPolicy", "securityContext"):
        assert sweeping[name] == container(documents)[name], name
    assert MOUNT in sweeping["volumeMounts"]
    names_of = {variable["name"] for variable in sweeping["env"]}
    assert names_of >= {"HUMANGOV_ALLOWED_NAMES", "HUMANGOV_OPERATOR_NAMESPACE", "AWS_REGION", "HTTPS_PROXY", "TMPDIR"}
    restricted.dry_run(bare_pod({"metadata": {}, **sweep_template(defaults())}, namespace=restricted.namespace))


@pytest.mark.parametrize(
    ("values", "everywhere", "inside"),
    [
        ({}, LISTS_STATES | OF_NAME, {}),
        ({"clusterName": "c"}, LISTS_STATES, {}),
        ({"watchNamespaces": ["a", "b"], "allowedNames": ALLOWED}, OF_NAME, {"a": LISTS_STATES, "b": LISTS_STATES}),
        ({"watchNamespaces": ["humangov"], "clusterName": "c"}, set(), {"humangov": LISTS_STATES}),
    ],
    ids=["everywhere", "its name given", "in two namespaces", "in one, its name given"],
)
def test_reports_service_account_may_only_list_states(values: Values, everywhere: set[Any], inside: Any) -> None:
    documents = render({**values, **reports()})
    account = {"kind": "ServiceAccount", "name": "humangov-operator-reports", "namespace": "humangov"}
    assert rules(of_kind("ClusterRole", documents, component="reports")) == everywhere
    roles = of_kind("Role", documents, component="reports")
    assert {role["metadata"]["namespace"]: rules([role]) for role in roles} == inside
    for kind in ("ClusterRole", "Role"):
        named, bound = (
            {
                (one["metadata"]["name"], one["metadata"].get("namespace"))
                for one in of_kind(one_kind, documents, component="reports")
            }
            for one_kind in (kind, f"{kind}Binding")
        )
        assert named == bound
        for binding in of_kind(f"{kind}Binding", documents, component="reports"):
            assert binding["subjects"] == [account]
            assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (kind, binding["metadata"]["name"])
    given = of_both("HUMANGOV_NAMESPACE")(documents)
    assert given == [" ".join(values["watchNamespaces"]) if "watchNamespaces" in values else None] * 2


def test_reports_pods_have_the_scheduling_and_security_context_of_the_operator(restricted: Asked) -> None:
    documents = render(with_reports(""))
    others = pod(documents)
    for template in reports_pods(documents):
        for name in ("enableServiceLinks", "imagePullSecrets", "securityContext", "nodeSelector", "tolerations",
                     "priorityClassName"):  # fmt: skip
            assert template["spec"][name] == others[name], name
        [writing] = template["spec"]["containers"]
        for name in ("image", "imagePullPolicy", "securityContext"):
            assert writing[name] == container(documents)[name], name
        assert MOUNT in writing["volumeMounts"]
    for template in reports_pods(render(reports())):
        restricted.dry_run(bare_pod(template, namespace=restricted.namespace))


def test_reports_pods_are_selected_by_the_network_policy_and_by_nothing_else() -> None:
    documents = render({**reports(), "podLabels": SELECTOR, "podDisruptionBudget": {"enabled": True}})
    policy = one("NetworkPolicy", documents)["spec"]["podSelector"]
    [names_of_pods] = policy["matchExpressions"]
    for template in reports_pods(documents):
        labels = template["metadata"]["labels"]
        assert policy["matchLabels"].items() <= labels.items()
        assert labels[names_of_pods["key"]] in names_of_pods["values"]
        for kind in ("Deployment", "PodDisruptionBudget"):
            assert not one(kind, documents)["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_reports_pods_run_commands_with_options_and_variables_that_exist() -> None:
    """A result that says "look at this" is not hidden by another attempt."""
    documents = render({**namespaced("florida"), "reports": REPORTS})
    given: dict[str, set[str]] = {}
    for template, command in zip(reports_pods(documents), ("report", "checkpoint"), strict=True):
        [writing] = template["spec"]["containers"]
        name, *flags = writing["args"]
        known = [option for option in load(name).params if isinstance(option, click.Option)]
        assert name == command
        assert set(flags) <= {one for option in known for one in option.opts}
        read = {one for option in known for one in variables(option)}
        given[name] = {variable["name"] for variable in writing["env"]}
        assert given[name] - {"TMPDIR", "AWS_REGION"} <= read
        assert {one for one in read if one.startswith("HUMANGOV_REPORTS_")} <= given[name]
    for job in of_kind("CronJob", documents, component="reports"):
        wanted = job["spec"]["jobTemplate"]["spec"]
        [rule] = wanted["podFailurePolicy"]["rules"]
        assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [2])
        assert rule["onExitCodes"]["containerName"] == wanted["template"]["spec"]["containers"][0]["name"]


# The command's options


def options() -> dict[str, click.Option]:
    """The options of `humangov run` by their variables, any of which will do."""
    return {
        name: option for option in load("run").params if isinstance(option, click.Option) for name in variables(option)
    }


def test_every_option_of_run_has_a_chart_value() -> None:
    documents = [*render(everything("")), *render(namespaced("florida"))]
    given: set[str] = set()
    for deployment in of_kind("Deployment", documents):
        given |= {options()[name].opts[0] for name in environment([deployment]) if name in options()}
        given |= {argument.partition("=")[0] for argument in container([deployment])["args"][1:]}
    assert {option.opts[0] for option in options().values()} <= given


@every_set
def test_every_variable_of_the_chart_is_read_by_the_command(values: Set) -> None:
    chosen = values("florida")
    extra = {one["name"] for one in chosen.get("extraEnv", ())}
    assert set(environment(render(chosen))) - extra <= set(options())


@pytest.mark.parametrize(
    ("value", "name"),
    [("resync", "HUMANGOV_RESYNC"), ("workers", "HUMANGOV_WORKERS"),
     ("awsLimitsShare", "HUMANGOV_AWS_LIMITS_SHARE"), ("logFormat", "HUMANGOV_LOG_FORMAT"),
     ("logLevel", "HUMANGOV_LOG_LEVEL"), ("sweep.maximumConcurrent", "HUMANGOV_MAXIMUM_CONCURRENT_SWEEPS")],
)  # fmt: skip
def test_chart_value_has_the_default_and_range_of_its_option(value: str, name: str) -> None:
    option, schema, default = options()[name], parsed("values.schema.json"), DEFAULTS
    for part in value.split("."):
        schema, default = schema["properties"][part], default[part]
    assert default == option.default
    if isinstance(option.type, click.Choice):
        assert schema["enum"] == list(option.type.choices)
    else:
        assert isinstance(option.type, click.IntRange | click.FloatRange)
        assert schema["minimum"] == option.type.min
        assert option.type.max in (None, schema["maximum"])


# Metrics


def test_alerts_use_only_existing_metrics_and_conditions() -> None:
    [rules] = of_kind("PrometheusRule", render({"metrics": {"rules": {"enabled": True}}}))
    alerts = [rule for group in rules["spec"]["groups"] for rule in group["rules"]]
    expressions = " ".join(alert["expr"] for alert in alerts)
    assert set(re.findall(r"humangov_\w+", expressions)) <= exported_metrics()
    assert set(re.findall(r'condition="(\w+)"', expressions)) <= set(OWN_CONDITIONS)
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
        assert len(re.findall(r"humangov_\w+", alert["expr"])) == alert["expr"].count(
            'release="humangov-operator",release_namespace="humangov"'
        )


@pytest.mark.parametrize(
    ("code", "denied"),
    [("AccessDenied", True), ("AccessDeniedException", True), ("KMSAccessDeniedException", True), ("403", True),
     ("UnauthorizedOperation", True), ("NotAuthorized", True), ("Forbidden", True),
     ("ThrottlingException", False), ("KMSDisabledException", False), ("ExpiredToken", False)],
)  # fmt: skip
def test_access_denied_alert_matches_every_denial_code(code: str, denied: bool) -> None:
    [rules] = of_kind("PrometheusRule", render({"metrics": {"rules": {"enabled": True}}}))
    alerts = {rule["alert"]: rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]}
    [codes] = re.findall(r'code=~"([^"]+)"', alerts["HumanGovOperatorAccessDenied"])
    assert bool(re.fullmatch(codes, code)) == denied  # as Prometheus, which matches the whole value


def test_explanation_of_a_refused_uninstall_is_the_pods_message_and_stays() -> None:
    job = one("Job", defaults())["spec"]
    [checking] = job["template"]["spec"]["containers"]
    assert checking["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert "ttlSecondsAfterFinished" not in job
    held = [f"humangov-states/{'a' * 40}-{number}" for number in range(60)]
    longest = answer(held, namespaces=(), undo=f"helm rollback {'a' * 53} 100 -n {'a' * 63}")
    assert len(longest.encode()) <= 2048  # what a kubelet takes of a log


def test_service_monitor_selects_the_service_and_the_service_the_pod() -> None:
    documents = render({"metrics": {**SERVICE, "serviceMonitor": {"enabled": True}}})
    service = one("Service", documents, component="metrics")
    monitor = one("ServiceMonitor", documents)["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == [
        port["name"] for port in service["spec"]["ports"]
    ]
    labels = {one["targetLabel"]: one["replacement"] for one in monitor["endpoints"][0]["relabelings"]}
    assert labels == {"release": "humangov-operator", "release_namespace": "humangov"}
    pod = one("Deployment", documents)["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    [port] = service["spec"]["ports"]
    assert port["targetPort"] in [one["name"] for one in container(documents)["ports"]]


def exported_metrics() -> set[str]:
    """The name of every sample that the operator can tell."""
    families = Metrics(version="1").registry.collect()
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


# What is refused


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"image": {"repository": ""}}, ["image.repository is empty", "set image.repository to its repository there"]),
        ({"enabled": False}, ["enabled is false", "a chart that contains this one. Remove it"]),
        ({"affinity": {"nodeAffinty": {}}}, ["/affinity", "'nodeAffinty' not allowed"]),
        ({"podSecurityContext": {"seccompProfile": {"typ": "x"}}}, ["/podSecurityContext/seccompProfile", "'typ'"]),
        ({"securityContext": {"capabilities": {"dorp": []}}}, ["/securityContext/capabilities", "'dorp' not allowed"]),
        ({"tolerations": [{"keys": "x"}]}, ["/tolerations/0", "'keys' not allowed"]),
        ({"topologySpreadConstraints": [{"maxSkews": 1}]}, ["/topologySpreadConstraints/0", "'maxSkews' not allowed"]),
        ({"extraVolumes": [{"name": "x", "configMap": {"nam": "x"}}]}, ["/extraVolumes/0/configMap", "'nam'"]),
        ({"extraVolumeMounts": [{"path": "/x"}]}, ["/extraVolumeMounts/0", "'path' not allowed"]),
        ({"extraEnv": [{"name": "x", "valueFrom": {"secretRef": {}}}]}, ["/extraEnv/0/valueFrom", "'secretRef'"]),
        ({"networkPolicy": {"extraEgress": [{"from": []}]}}, ["/networkPolicy/extraEgress/0", "'from' not allowed"]),
        ({"sweep": {"resources": {"limit": {}}}}, ["/sweep/resources", "'limit' not allowed"]),
        ({"nonsense": 1}, ["additional properties 'nonsense' not allowed"]),
        ({"image": {"registry": "x"}}, ["/image", "additional properties 'registry' not allowed"]),
        ({"image": {"tag": 1.0}}, ["/image/tag", "got number, want string"]),
        ({"image": {"digest": "latest"}}, ["/image/digest", "'latest' does not match pattern"]),
        ({"image": {"pullPolicy": "Sometimes"}}, ["/image/pullPolicy", "'Always', 'IfNotPresent', 'Never'"]),
        ({"imagePullSecrets": ["x"]}, ["/imagePullSecrets/0", "got string, want object"]),
        ({"replicas": -1}, ["/replicas", "minimum: got -1, want 0"]),
        ({"replicas": "many"}, ["/replicas", "got string, want integer"]),
        ({"workers": 1}, ["/workers", "minimum: got 1, want 2"]),
        ({"resync": 0}, ["/resync", "minimum: got 0, want 1"]),
        ({"logLevel": "loud"}, ["/logLevel", "'debug', 'info', 'warning', 'error'"]),
        ({"region": "Virginia"}, ["/region", "'Virginia' does not match pattern"]),
        ({"permissionsBoundary": "boundary"}, ["/permissionsBoundary", "does not match pattern"]),
        ({"tags": {"a": 1}}, ["/tags/a", "got number, want string"]),
        ({"watchNamespaces": ["A"]}, ["/watchNamespaces/0", "'A' does not match pattern"]),
        ({"watchNamespaces": "a"}, ["/watchNamespaces", "got string, want array"]),
        ({"allowedNames": {"florida": {"table": []}}}, ["/allowedNames/florida", "'table' not allowed"]),
        ({"extraEnv": [{"value": "x"}]}, ["/extraEnv/0", "missing property 'name'"]),
        ({"podDisruptionBudget": {"minAvailable": 1}}, ["/podDisruptionBudget", "'minAvailable' not allowed"]),
        ({"podDisruptionBudget": {"maxUnavailable": "half"}}, ["/podDisruptionBudget/maxUnavailable", "'half'"]),
        ({"probes": {"port": 80}}, ["/probes/port", "minimum: got 80, want 1,024"]),
        ({"terminationGracePeriodSeconds": 5}, ["/terminationGracePeriodSeconds", "minimum: got 5, want 20"]),
        ({"serviceAccount": {"create": False}}, ["set serviceAccount.name to an existing service account"]),
        ({"replicas": 2, "leaderElect": False}, ["two pods would conflict", "leaderElect to true"]),
        ({"reports": {"enabled": True}}, ["reports.bucket is empty", "set reports.bucket"]),
        ({"reports": {"bucket": "My_Reports"}}, ["/reports/bucket", "does not match pattern"]),
        ({"reports": {"bucketOwner": "mine"}}, ["/reports/bucketOwner", "does not match pattern"]),
        ({"reports": {"retention": {"mode": "FOREVER"}}}, ["/reports/retention/mode", "'GOVERNANCE', 'COMPLIANCE'"]),
        ({"metrics": {"serviceMonitor": {"enabled": True}}}, ["a ServiceMonitor needs the Service. Set both to true"]),
        ({"metrics": {"rules": {"runbooksURL": "runbooks"}}}, ["/metrics/rules/runbooksURL", "'runbooks'"]),
        ({"metrics": {"serviceMonitor": {"interval": "often"}}}, ["/metrics/serviceMonitor/interval", "'often'"]),
        ({"watchNamespaces": ["florida"]}, ["only namespace default may have HumanGovStates", "Set allowedNames for"]),
        ({"tags": {"aws:x": "z"}}, ["tags has the key aws:x", "reserved"]),
        ({"tags": {"humangov.io/tenant": "z"}}, ["tags has the key humangov.io/tenant", "reserved"]),
        ({"extraEnv": [{"name": "AWS_REGION", "value": "x"}]}, ["extraEnv sets AWS_REGION", "use the chart's value"]),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_invalid_chart_value_is_refused_with_its_path(values: Values, words: list[str]) -> None:
    reported = refused(values)
    assert [word for word in words if word not in reported] == [], reported


def test_chart_values_schema_is_complete_and_closed() -> None:
    schema = parsed("values.schema.json")

    def resolved(node: Any) -> Any:
        return schema["definitions"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node

    def walk(node: Any, value: Any, path: str) -> Iterator[str]:
        node = resolved(node)
        if "properties" in node:
            assert node["additionalProperties"] is False, f"{path} is open"
            for name, inner in value.items():
                yield from walk(node["properties"][name], inner, f"{path}.{name}")
        else:
            assert {"type", "enum"} & set(node), path
            yield path

    assert list(walk(schema, DEFAULTS, ""))
    # Of a chart within another: what helm itself hands on, and what the dependency's `condition` reads.
    assert set(schema["properties"]) - set(DEFAULTS) == {"global", "enabled"}
    assert list(open_objects(schema, "")) == [".properties.global"]


def open_objects(node: Any, path: str) -> Iterator[str]:
    """Where a schema lets any key through: an object that is neither closed nor a map of one type of value."""
    if isinstance(node, Mapping):
        if node.get("type") == "object" and node.get("additionalProperties", True) is True:
            yield path
        for name, inner in node.items():
            yield from open_objects(inner, f"{path}.{name}")
    elif isinstance(node, list):
        for inner in node:
            yield from open_objects(inner, path)


def test_chart_value_without_a_comment_is_refused() -> None:
    assert "| `a.b` | `1` | What it is. |" in values_table("a:\n  # What it\n  # is.\n  b: 1\n")
    with pytest.raises(ValueError, match=r"a\.b needs a comment"):
        values_table("a:\n  b: 1\n")
