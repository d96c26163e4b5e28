"""What Argo CD is given: health check and actions, run by its own Lua over real statuses, and the examples.

It can't show Argo CD itself; what the real one does with our kind is in the health check's and the examples' comments.
What the actions do to a HumanGovState in a cluster is in tests/cluster/test_argocd_actions.py.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from humangov.api.conditions import SWEEP_SUCCEEDED, Finding, compose, summary

from sandbox import argolua
from sandbox.paths import REPOSITORY
from tests.deploy.chart import Asked, container, one, render

ARGOCD = REPOSITORY / "deploy" / "argocd"
STATES = REPOSITORY / "deploy" / "examples"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "resource.customizations.health.humangov.io_HumanGovState"
ACTIONS = "resource.customizations.actions.humangov.io_HumanGovState"

IN_SYNC = {part: Finding.in_sync("InSync", "as declared") for part in ("StreamReady", "RoleReady", "FunctionReady")}
UP_TO_DATE = Finding.in_sync("InSync", "every AWS object is as declared")


class Health(NamedTuple):
    status: str
    message: str


def loaded(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ARGOCD / name).read_text()))


def returned(script: str, resource: Mapping[str, Any]) -> Any:
    """What a script returns for a resource, in Argo CD's Lua."""
    with tempfile.TemporaryDirectory() as folder:
        [answer] = argolua.run([(script, resource)], folder=Path(folder), say=lambda line: print(line, file=sys.stderr))
    return answer


def health_of(resource: Mapping[str, Any]) -> Health:
    answer = returned(loaded("argocd-cm.yaml")["data"][KEY], resource)
    return Health(answer["status"], answer["message"])


def state(
    status: Mapping[str, Any] | None, *, generation: int = 2, deleting: bool = False, **spec: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "california", "namespace": "humangov", "generation": generation}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    resource = {"apiVersion": "humangov.io/v1", "kind": "HumanGovState", "metadata": metadata, "spec": spec}
    return resource if status is None else {**resource, "status": dict(status)}


def status(ready: Finding, findings: Mapping[str, Finding] | None = None, *, generation: int = 2) -> dict[str, Any]:
    """As the operator writes it."""
    return compose({}, generation=generation, ready=ready, findings=findings or {}, now=NOW, fields={})


def test_argocd_health_without_status_is_progressing() -> None:
    assert health_of(state(None)).status == "Progressing"
    assert health_of(state({})).status == "Progressing"


def test_argocd_health_of_an_older_generation_is_progressing() -> None:
    behind = state(status(UP_TO_DATE, generation=1), generation=2)
    assert health_of(behind) == Health("Progressing", "Waiting for the operator to see the latest change")


def test_argocd_health_ignores_a_stall_of_an_older_generation() -> None:
    stalled = status(Finding.action_required("NotAllowed", "may not name this table"), generation=1)
    assert health_of(state(stalled, generation=2)).status == "Progressing"


def test_argocd_health_while_reconciling_is_progressing_with_the_reason() -> None:
    findings = IN_SYNC | {"FunctionReady": Finding.waiting("Pending", "Lambda is setting up function x")}
    ready = summary(findings, ready_reason="InSync", ready_message="")
    assert health_of(state(status(ready, findings))) == Health("Progressing", "Lambda is setting up function x")


def test_argocd_health_of_ready_is_healthy() -> None:
    ready = summary(IN_SYNC, ready_reason="InSync", ready_message="every AWS object is as declared")
    assert health_of(state(status(ready, IN_SYNC))) == Health("Healthy", "every AWS object is as declared")


def test_argocd_health_of_stalled_is_degraded_with_the_reason() -> None:
    findings = IN_SYNC | {"RoleReady": Finding.action_required("AccessDenied", "AWS refuses iam:CreateRole; grant it")}
    ready = summary(findings, ready_reason="InSync", ready_message="")
    assert health_of(state(status(ready, findings))) == Health("Degraded", "AWS refuses iam:CreateRole; grant it")


def test_argocd_health_of_suspended_is_suspended_in_sync_or_not() -> None:
    in_sync = Finding.in_sync("Suspended", "nothing will be changed")
    differs = Finding.waiting("Suspended", "suspended: not done is timeout 3 → 300 s")
    assert health_of(state(status(in_sync), suspend=True)) == Health("Suspended", "nothing will be changed")
    assert health_of(state(status(differs), suspend=True)).status == "Suspended"


def test_argocd_health_of_suspended_and_stalled_is_degraded() -> None:
    stalled = status(Finding.action_required("NotOwned", "the role is someone else's"))
    assert health_of(state(stalled, suspend=True)).status == "Degraded"


def test_a_stopped_one_is_suspended_and_says_who_stopped_it_and_why() -> None:
    stopped = replace(Finding.action_required("Stopped", "stopped by annotation: a wrong import"), failed=False)
    assert health_of(state(status(stopped))) == Health("Suspended", "stopped by annotation: a wrong import")
    assert health_of(state(status(stopped, generation=3), generation=3, deleting=True)).status == "Suspended"


def test_argocd_health_of_a_disabled_trigger_is_healthy_with_a_message() -> None:
    ready = Finding.in_sync("TriggerDisabled", "every AWS object is as declared, and the trigger is off")
    health = health_of(state(status(ready), trigger={"enabled": False}))
    assert health.status == "Healthy"
    assert "the trigger is off" in health.message


def test_argocd_health_of_a_deletion_is_progressing_with_the_reason() -> None:
    deleting = status(Finding.waiting("Deleting", "waiting until function x is gone"), generation=3)
    health = health_of(state(deleting, generation=3, deleting=True))
    assert health == Health("Progressing", "waiting until function x is gone")
    assert health_of(state(status(UP_TO_DATE, generation=3), generation=3, deleting=True)).status == "Progressing"


def test_argocd_health_of_a_stalled_deletion_is_degraded() -> None:
    stuck = status(Finding.action_required("UnownedTrigger", "another mapping calls the function"), generation=3)
    assert health_of(state(stuck, generation=3, deleting=True)).status == "Degraded"


# Actions


def actions() -> dict[str, Any]:
    """As argocd-cm has them: a discovery script, and a script for each action by its name."""
    return dict(yaml.safe_load(loaded("argocd-cm.yaml")["data"][ACTIONS]))


def enabled(resource: Mapping[str, Any]) -> set[str]:
    found = returned(actions()["discovery.lua"], resource)
    assert set(found) == {definition["name"] for definition in actions()["definitions"]}
    return {name for name, action in found.items() if not action["disabled"]}


def annotated(resource: dict[str, Any], **annotations: str) -> dict[str, Any]:
    with_them = {f"humangov.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return {**resource, "metadata": {**resource["metadata"], "annotations": with_them}}


ALWAYS = {"reconcile", "stop", "suspend"}
FAILED_SWEEP = status(UP_TO_DATE, {SWEEP_SUCCEEDED: Finding.warning("SafetyCheckFailed", "x")}) | {
    "sweep": {"orphanListSHA256": "abc"}
}
LIMITED = status(Finding.action_required("ErasureLimit", "x")) | {
    "erasureLimit": {"reachedAt": "2026-01-01T00:00:00Z", "limited": 3}
}


@pytest.mark.parametrize(
    ("resource", "found"),
    [
        (state(None), ALWAYS),
        (state(status(UP_TO_DATE)), ALWAYS),
        (state(status(UP_TO_DATE), suspend=True), {"reconcile", "stop", "resume"}),
        (annotated(state(status(UP_TO_DATE)), stop="x"), {"reconcile", "start", "suspend"}),
        (state(FAILED_SWEEP), ALWAYS | {"sweep-now", "approve-orphan-list"}),
        (state(FAILED_SWEEP, deleting=True), ALWAYS | {"approve-orphan-list"}),
        (annotated(state(FAILED_SWEEP), approve_sweep="abc"), ALWAYS | {"sweep-now"}),
        (annotated(state(FAILED_SWEEP), approve_sweep="of another"), ALWAYS | {"sweep-now", "approve-orphan-list"}),
        (state(LIMITED), ALWAYS | {"approve-erasures"}),
        (annotated(state(LIMITED), approve_erasures="2026-01-01T00:00:00Z"), ALWAYS),
    ],
    ids=["new", "in sync", "suspended", "stopped", "a failed check", "deleting", "approved", "another approved",
         "at its limit", "limit approved"],
)  # fmt: skip
def test_argocd_offers_the_actions_that_a_state_has_now(resource: dict[str, Any], found: set[str]) -> None:
    assert enabled(resource) == found


@pytest.mark.parametrize("name", ["approve-orphan-list", "approve-erasures"])
def test_argocd_action_fails_where_there_is_nothing_to_approve(name: str) -> None:
    [script] = [definition["action.lua"] for definition in actions()["definitions"] if definition["name"] == name]
    assert "approve" in returned(script, state(status(UP_TO_DATE)))["error"]


def test_argocds_lua_has_no_more_than_argo_cd_opens() -> None:
    for name in ("io", "debug", "string", "math"):
        assert "attempt to index" in returned(f"return {{{name}.x}}", {})["error"]
    assert "attempt to call" in returned("return {os.execute('true')}", {})["error"]


@pytest.mark.parametrize(
    "name", ["application.yaml", "application-helm.yaml", "applicationset.yaml", "appproject.yaml", "argocd-cm.yaml"]
)
def test_argocd_manifests_hold_no_finalizers_nulls_or_empty_objects(name: str) -> None:
    assert list(stray(loaded(name))) == []


def stray(value: Any, path: str = "") -> list[str]:
    """Where a manifest holds what makes Argo CD see a difference that nobody made."""
    if value is None or value == {} or value == [] or path.endswith(".finalizers"):
        return [path]
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, one in inner for found in stray(one, f"{path}.{key}")]


@pytest.mark.parametrize("path", sorted(STATES.rglob("*.yaml")), ids=lambda path: path.name)
def test_example_states_hold_no_finalizers_nulls_or_empty_objects(path: Any) -> None:
    assert list(stray(yaml.safe_load(path.read_text()))) == []


def assert_application(spec: Mapping[str, Any]) -> None:
    """The fields that Argo CD's Application requires or knows, of those that we use."""
    assert set(spec) == {"project", "source", "destination", "syncPolicy"}
    assert {"repoURL", "targetRevision", "path"} <= set(spec["source"])
    assert set(spec["source"]) <= {"repoURL", "targetRevision", "path", "directory", "helm"}
    assert set(spec["source"].get("directory", ())) <= {"include"}
    assert set(spec["source"].get("helm", ())) <= {"releaseName", "valuesObject"}
    assert spec["destination"]["server"] == "https://kubernetes.default.svc"
    assert set(spec["syncPolicy"]) <= {"automated", "syncOptions", "retry", "managedNamespaceMetadata"}
    assert set(spec["syncPolicy"]["automated"]) == {"prune", "selfHeal"}
    for option in spec["syncPolicy"]["syncOptions"]:
        assert option in ("ServerSideApply=true", "SkipDryRunOnMissingResource=true", "CreateNamespace=true")


def test_argocd_application_syncs_the_whole_installation_and_never_prunes() -> None:
    application = loaded("application.yaml")
    assert (application["apiVersion"], application["kind"]) == ("argoproj.io/v1alpha1", "Application")
    assert application["metadata"]["namespace"] == "argocd"
    assert_application(application["spec"])
    source = application["spec"]["source"]
    assert (REPOSITORY / source["path"] / source["directory"]["include"]).is_file()
    assert application["spec"]["syncPolicy"]["automated"]["prune"] is False


def test_argocd_application_with_a_helm_source_installs_the_chart_as_it_stands(restricted: Asked) -> None:
    application = loaded("application-helm.yaml")
    assert_application(application["spec"])
    source, destination = application["spec"]["source"], application["spec"]["destination"]
    assert (REPOSITORY / source["path"] / "Chart.yaml").is_file()
    helm = source["helm"]
    documents = render(helm["valuesObject"], release=helm["releaseName"], namespace=destination["namespace"])
    assert container(documents)["image"].startswith("123456789012.dkr.ecr.us-east-1.amazonaws.com/humangov-operator:")
    roles = {
        component: one("ServiceAccount", documents, component=component)["metadata"]["annotations"]
        for component in (None, "sweep")
    }
    role = "arn:aws:iam::123456789012:role/"
    assert roles == {
        None: {"eks.amazonaws.com/role-arn": f"{role}humangov-operator"},
        "sweep": {"eks.amazonaws.com/role-arn": f"{role}humangov-sweep"},
    }
    states = loaded("appproject.yaml")["spec"]["destinations"][0]["namespace"]
    assert set(helm["valuesObject"]["allowedNames"]) == {states}
    moved = render(helm["valuesObject"], release=helm["releaseName"], namespace=restricted.namespace, hooks=False)
    assert len(restricted.dry_run(*moved)) == len(moved)


def filled(value: Any, parameters: Mapping[str, Any]) -> Any:
    """The template as ApplicationSet's goTemplate fills it in; a missing key is an error, as we ask for."""
    if isinstance(value, str):
        return re.sub(r"\{\{ ([.\w]+) \}\}", lambda found: str(looked_up(parameters, found[1])), value)
    if isinstance(value, Mapping):
        return {key: filled(one, parameters) for key, one in value.items()}
    return [filled(one, parameters) for one in value] if isinstance(value, list) else value


def looked_up(parameters: Any, path: str) -> Any:
    for name in path.strip(".").split("."):
        parameters = parameters[name]
    return parameters


def in_their_namespace(file: Path) -> dict[str, Any]:
    """An example as it is in the repository of Argo CD's states."""
    manifest = yaml.safe_load(file.read_text())
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": "humangov-states"}}


def admitted(application: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """Why Argo CD would refuse this manifest of an application by its AppProject; empty if it would not.

    https://argo-cd.readthedocs.io/en/stable/user-guide/projects/
    """
    project = loaded("appproject.yaml")
    assert project["metadata"]["name"] == application["project"]
    spec, why = project["spec"], []
    group, _, _ = manifest["apiVersion"].rpartition("/")
    namespaced = {(one["group"], one["kind"]) for one in spec["namespaceResourceWhitelist"]}
    everywhere = {(one["group"], one["kind"]) for one in spec.get("clusterResourceWhitelist", ())}
    namespace = manifest["metadata"].get("namespace", "")
    if (group, manifest["kind"]) not in (namespaced if namespace else everywhere):
        why.append(f"kind {manifest['kind']}")
    server = application["destination"]["server"]
    if {"server": server, "namespace": namespace} not in spec["destinations"]:
        why.append(f"namespace {namespace}")
    if application["source"]["repoURL"] not in spec["sourceRepos"]:
        why.append(f"repository {application['source']['repoURL']}")
    return why


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"namespace": "humangov-states"}}, "kind Job"),
        ({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "humangov-states"}}, "kind Serv"),
        (
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "x"}},
            "kind ClusterRole",
        ),
        ({"apiVersion": "humangov.io/v1", "kind": "HumanGovState", "metadata": {"namespace": "humangov"}}, "namespace"),
        ({"apiVersion": "humangov.io/v2", "kind": "Other", "metadata": {"namespace": "humangov-states"}}, "kind Other"),
    ],
    ids=["a Job", "a service account", "a role", "in the operator's namespace", "another kind"],
)
def test_argocd_project_of_the_states_admits_humangovstates_in_their_namespace_alone(
    manifest: Mapping[str, Any], why: str
) -> None:
    application = loaded("applicationset.yaml")["spec"]["template"]["spec"]
    assert [one for one in admitted(application, manifest) if one.startswith(why)]
    stranger = {**application, "source": {"repoURL": "https://git.example.com/other.git"}}
    good = {"apiVersion": "humangov.io/v1", "kind": "HumanGovState", "metadata": {"namespace": "humangov-states"}}
    assert (admitted(application, good), len(admitted(stranger, good))) == ([], 1)


def test_argocd_project_has_a_namespace_that_is_not_the_operators() -> None:
    [destination] = loaded("appproject.yaml")["spec"]["destinations"]
    operator = yaml.safe_load((REPOSITORY / "deploy" / "namespace.yaml").read_text())["metadata"]["name"]
    assert destination["namespace"] not in (operator, "*", "argocd")


def test_argocd_applicationset_generates_one_application_per_state_file() -> None:
    applications = loaded("applicationset.yaml")
    assert (applications["apiVersion"], applications["kind"]) == ("argoproj.io/v1alpha1", "ApplicationSet")
    spec = applications["spec"]
    assert set(spec) == {"goTemplate", "goTemplateOptions", "generators", "template"}
    assert spec["goTemplate"] is True
    assert spec["goTemplateOptions"] == ["missingkey=error"]
    [generator] = spec["generators"]
    assert set(generator["git"]) == {"repoURL", "revision", "files"}
    assert generator["git"]["files"] == [{"path": "states/*.yaml"}]
    made = {}
    for file in sorted(STATES.glob("*.yaml")):
        # The git file generator's parameters: the file's content, and where it is.
        parameters = {**in_their_namespace(file), "path": {"path": "states", "filename": file.name}}
        application = filled(spec["template"], parameters)
        assert_application(application["spec"])
        made[application["metadata"]["name"]] = application["spec"]["source"]["directory"]["include"]
        assert admitted(application["spec"], parameters) == []
        assert generator["git"]["repoURL"] == application["spec"]["source"]["repoURL"]
    assert made == {
        "humangov-california": "california.yaml",
        "humangov-florida": "florida.yaml",
        "humangov-staging": "staging.yaml",
    }


def test_argocd_may_sync_states_before_the_definition_exists() -> None:
    options = loaded("applicationset.yaml")["spec"]["template"]["spec"]["syncPolicy"]["syncOptions"]
    assert "SkipDryRunOnMissingResource=true" in options
