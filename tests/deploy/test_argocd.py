"""What Argo CD is given: its view of a HumanGovState's health, run by a real Lua over real statuses, and the examples.

It can't show Argo CD itself; what the real one does with our kind is in the health check's and the examples' comments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import lupa
import pytest
import yaml
from humangov.api.conditions import Finding, compose, summary

from sandbox.paths import REPOSITORY

ARGOCD = REPOSITORY / "deploy" / "argocd"
STATES = REPOSITORY / "deploy" / "examples"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "resource.customizations.health.humangov.io_HumanGovState"

IN_SYNC = {part: Finding.in_sync("InSync", "as declared") for part in ("StreamReady", "RoleReady", "FunctionReady")}
UP_TO_DATE = Finding.in_sync("InSync", "every AWS object is as declared")


class Health(NamedTuple):
    status: str
    message: str


def loaded(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ARGOCD / name).read_text()))


def health_of(resource: Mapping[str, Any]) -> Health:
    """As Argo CD runs it: the resource is the global `obj`, and of Lua's libraries there is hardly any."""
    lua = lupa.LuaRuntime(register_eval=False, register_builtins=False)
    names = lua.globals()
    for library in ("io", "os", "require", "load", "loadstring", "dofile", "debug", "package"):
        names[library] = None
    names["obj"] = lua.table_from(resource, recursive=True)
    answer = lua.execute(loaded("argocd-cm.yaml")["data"][KEY])
    return Health(str(answer["status"]), str(answer["message"]))


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


@pytest.mark.parametrize("name", ["application.yaml", "applicationset.yaml", "argocd-cm.yaml"])
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
    assert {"repoURL", "targetRevision", "path"} <= set(spec["source"]) <= {
        "repoURL", "targetRevision", "path", "directory",
    }  # fmt: skip
    assert set(spec["source"]["directory"]) == {"include"}
    assert spec["destination"]["server"] == "https://kubernetes.default.svc"
    assert set(spec["syncPolicy"]) <= {"automated", "syncOptions", "retry"}
    assert set(spec["syncPolicy"]["automated"]) == {"prune", "selfHeal"}
    for option in spec["syncPolicy"]["syncOptions"]:
        assert option in ("ServerSideApply=true", "SkipDryRunOnMissingResource=true")


def test_argocd_application_syncs_the_whole_installation_and_never_prunes() -> None:
    application = loaded("application.yaml")
    assert (application["apiVersion"], application["kind"]) == ("argoproj.io/v1alpha1", "Application")
    assert application["metadata"]["namespace"] == "argocd"
    assert_application(application["spec"])
    source = application["spec"]["source"]
    assert (REPOSITORY / source["path"] / source["directory"]["include"]).is_file()
    assert application["spec"]["syncPolicy"]["automated"]["prune"] is False


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
        parameters = {**yaml.safe_load(file.read_text()), "path": {"path": "states", "filename": file.name}}
        application = filled(spec["template"], parameters)
        assert_application(application["spec"])
        made[application["metadata"]["name"]] = application["spec"]["source"]["directory"]["include"]
        assert application["spec"]["destination"]["namespace"] == parameters["metadata"]["namespace"]
        assert generator["git"]["repoURL"] == application["spec"]["source"]["repoURL"]
    assert made == {
        "humangov-california": "california.yaml",
        "humangov-florida": "florida.yaml",
        "humangov-staging": "staging.yaml",
    }


def test_argocd_may_sync_states_before_the_definition_exists() -> None:
    options = loaded("applicationset.yaml")["spec"]["template"]["spec"]["syncPolicy"]["syncOptions"]
    assert "SkipDryRunOnMissingResource=true" in options
