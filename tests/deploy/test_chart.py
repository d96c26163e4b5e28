"""The chart: what each value does, which are refused, and that the API server takes all that is rendered.

It can't show that pods start: here no node runs them.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click
import pytest
import yaml
from humangov import __version__
from humangov.api.allowed_names import AllowedNames
from humangov.api.conditions import FAILURES_HANDLED, RECORDS_DELIVERED, STOPPED
from humangov.cli.main import load
from humangov.manager.metrics import Metrics

from deploy.render import values_table, variables
from sandbox.paths import REPOSITORY
from testing.documents import load_one
from testing.live.cluster import Cluster
from tests.deploy.chart import (
    CHART,
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
        "tags": {"team": "people and records", "cost-center": "7"}, "allowedNames": ALLOWED,
        "resync": 60.5, "workers": 3, "logFormat": "text", "logLevel": "debug",
        "extraArgs": ["--resync=30"],
        "extraEnv": [
            {"name": "HTTPS_PROXY", "value": "http://proxy.example.com"},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "extraVolumes": [VOLUME], "extraVolumeMounts": [MOUNT],
        "replicas": 3, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 1}},
        "podDisruptionBudget": {"enabled": True, "maxUnavailable": "50%"},
        "serviceAccount": {"name": "mine", "annotations": ROLE},
        "networkPolicy": {"enabled": True, "extraEgress": [EGRESS]}, "metrics": SERVICE,
        "nodeSelector": {"node.kubernetes.io/instance-type": "m7g.large"}, "tolerations": [TOLERATION],
        "affinity": AFFINITY, "topologySpreadConstraints": [SPREAD], "priorityClassName": "system-cluster-critical",
        "podAnnotations": {"example.com/a": "b"}, "podLabels": {"example.com/c": "d"}, "fullnameOverride": "other",
    }  # fmt: skip


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
SETS: Sequence[Set] = (only_defaults, everything, nothing, namespaced, on_a_node_without_pod_network)
every_set = pytest.mark.parametrize("values", SETS)


@pytest.fixture(scope="module")
def schemas(cluster: Cluster) -> Schemas:
    return Schemas(cluster)


def test_helm_lint_passes_with_default_values() -> None:
    done = run_helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout
    assert "0 chart(s) failed" in done.stdout


@every_set
def test_helm_lint_passes_with_other_values(values: Set) -> None:
    done = run_helm("lint", "--strict", str(CHART), values=values("florida"))
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
    assert len(asked.dry_run(*documents)) == len(documents)


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


def allowed_names(documents: list[Document]) -> Any:
    return [
        yaml.safe_load(document["data"]["allowed-names.yaml"])
        for document in of_kind("ConfigMap", documents)
        if environment(documents).get("HUMANGOV_ALLOWED_NAMES") == "/etc/humangov/allowed-names.yaml"
    ]


def ports_out(documents: list[Document]) -> Any:
    return [port["port"] for rule in one("NetworkPolicy", documents)["spec"]["egress"][1:2] for port in rule["ports"]]


POLICY = {"networkPolicy": {"enabled": True}}
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
    "permissionsBoundary": ({"permissionsBoundary": BOUNDARY}, variable("HUMANGOV_PERMISSIONS_BOUNDARY"), BOUNDARY),
    "tags": ({"tags": {"a": "b c", "d": "e"}}, of_container("args"), ["run", "--tag=a=b c", "--tag=d=e"]),
    "watchNamespaces": ({"watchNamespaces": ["a", "humangov"]}, variable("HUMANGOV_NAMESPACE"), "a humangov"),
    "allowedNames": ({"allowedNames": ALLOWED}, allowed_names, [ALLOWED]),
    "resync": ({"resync": 60.5}, variable("HUMANGOV_RESYNC"), "60.5"),
    "workers": ({"workers": 20}, variable("HUMANGOV_WORKERS"), "20"),
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
    "rbac.create": ({"rbac": {"create": False}}, names("ClusterRoleBinding"), []),
    "rbac.aggregate": ({"rbac": {"aggregate": False}}, names("ClusterRole"), ["humangov-operator"]),
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
    "terminationGracePeriodSeconds": (
        {"terminationGracePeriodSeconds": 60},
        of_pod("terminationGracePeriodSeconds"),
        60,
    ),
    "networkPolicy.enabled": (POLICY, names("NetworkPolicy"), ["humangov-operator"]),
    "networkPolicy.apiServerPorts": (
        {"networkPolicy": {"enabled": True, "apiServerPorts": [8443]}},
        ports_out,
        [443, 8443],
    ),
    "networkPolicy.extraEgress": (
        {"networkPolicy": {"enabled": True, "extraEgress": [EGRESS]}},
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
# Values that are handed on as they are: the value with all that is in it → where it is found.
HANDED_ON: Mapping[str, Shown] = {
    "resources": of_container("resources"),
    "sweep.resources": lambda documents: sweep_template(documents)["spec"]["containers"][0]["resources"],
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
    assert digged(HANDED_ON[group](render(values)), *path) == changed
    assert digged(HANDED_ON[group](defaults()), *path) != changed


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
    assert permissions(documents, "Role") == OF_SWEEPS | OF_STOP
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


def test_network_policy_selects_both_pods_and_allows_probes() -> None:
    documents = render({"networkPolicy": {"enabled": True}, "probes": {"port": 9000}})
    policy = one("NetworkPolicy", documents)["spec"]
    [names_of_pods] = policy["podSelector"]["matchExpressions"]
    assert names_of_pods["operator"] == "In"
    for kind in ("Deployment", "Job"):
        labels = one(kind, documents)["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
        assert labels[names_of_pods["key"]] in names_of_pods["values"]
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


OF_STATES = {
    *(("humangov.io/humangovstates", "", verb) for verb in ("get", "list", "watch", "patch")),
    ("humangov.io/humangovstates/status", "", "patch"),
    ("events.k8s.io/events", "", "create"),
}
OF_LEAKS = {("events.k8s.io/events", "", "create")}
OF_NAME = {("/namespaces", "kube-system", "get")}
OF_LEASE = {
    ("coordination.k8s.io/leases", "", "create"),
    ("coordination.k8s.io/leases", "humangov-operator", "get"),
    ("coordination.k8s.io/leases", "humangov-operator", "update"),
}

OF_SWEEPS = {
    *(("batch/cronjobs", "", verb) for verb in ("get", "create", "patch", "delete")),
    *(("batch/jobs", "", verb) for verb in ("list", "create", "patch", "delete")),
}
OF_STOP = {("/configmaps", "humangov-stop", "get")}
OWN = OF_STOP | OF_LEASE | OF_SWEEPS


@pytest.mark.parametrize(
    ("values", "everywhere", "inside"),
    [
        ({}, OF_STATES | OF_NAME, OWN),
        ({"clusterName": "c"}, OF_STATES, OWN),
        ({"watchNamespaces": ["a", "b"], "allowedNames": ALLOWED}, OF_NAME, OWN | OF_STATES),
        ({"watchNamespaces": ["humangov", "b"], "clusterName": "c"}, set(), OWN | OF_STATES),
        ({"leaderElect": False}, OF_STATES | OF_NAME, OF_STOP | OF_SWEEPS),
        ({"sweep": {"enabled": False}}, OF_STATES | OF_NAME, OF_STOP | OF_LEASE),
        ({"sweep": {"enabled": False}, "leaderElect": False}, OF_STATES | OF_NAME, OF_STOP),
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
    [("resync", "HUMANGOV_RESYNC"), ("workers", "HUMANGOV_WORKERS"), ("logFormat", "HUMANGOV_LOG_FORMAT"),
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


def test_alerts_use_only_existing_metrics_conditions_and_reasons() -> None:
    [rules] = of_kind("PrometheusRule", render({"metrics": {"rules": {"enabled": True}}}))
    alerts = [rule for group in rules["spec"]["groups"] for rule in group["rules"]]
    expressions = " ".join(alert["expr"] for alert in alerts)
    assert set(re.findall(r"humangov_\w+", expressions)) <= exported_metrics()
    assert set(re.findall(r'condition="(\w+)"', expressions)) <= {
        "Ready",
        "Stalled",
        STOPPED,
        RECORDS_DELIVERED,
        FAILURES_HANDLED,
    }
    assert set(re.findall(r'reason!?="(\w+)"', expressions)) == {
        "RecordsExpiring",
        "Stopped",
        "StoppedForLong",
        "ErasureLimit",
    }
    assert re.findall(r'reason!~"([^"]+)"', expressions) == ["Suspended|Stopped", "Running|Stopped|ScheduleRefused"]
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert set(alert["annotations"]) == {"summary", "description"}


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


def test_a_state_that_a_person_has_suspended_or_stopped_is_no_alert_before_twelve_hours() -> None:
    [rules] = of_kind("PrometheusRule", render({"metrics": {"rules": {"enabled": True}}}))
    alerts = {rule["alert"]: rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]}
    assert 'reason!~"Suspended|Stopped"' in alerts["HumanGovStateNotReady"]
    assert 'reason!="Stopped"' in alerts["HumanGovStateStalled"]
    assert 'reason="StoppedForLong"' in alerts["HumanGovStateStoppedForLong"]


def test_service_monitor_selects_the_service_and_the_service_the_pod() -> None:
    documents = render({"metrics": {**SERVICE, "serviceMonitor": {"enabled": True}}})
    service = one("Service", documents, component="metrics")
    monitor = one("ServiceMonitor", documents)["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == [
        port["name"] for port in service["spec"]["ports"]
    ]
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
        ({"metrics": {"serviceMonitor": {"enabled": True}}}, ["a ServiceMonitor needs the Service. Set both to true"]),
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
    assert set(schema["properties"]) - set(DEFAULTS) == {"global"}  # which helm itself hands to a chart within another


def test_chart_value_without_a_comment_is_refused() -> None:
    assert "| `a.b` | `1` | What it is. |" in values_table("a:\n  # What it\n  # is.\n  b: 1\n")
    with pytest.raises(ValueError, match=r"a\.b needs a comment"):
        values_table("a:\n  b: 1\n")
