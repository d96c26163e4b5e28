"""What Argo CD's resource actions do to a HumanGovState, on the real API server, under the admission policies.

The scripts run in Argo CD's Lua. What they change is patched as its server patches it: the difference, as a merge
patch, under its service account. Argo CD's server itself, and its RBAC, are not run.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from humangov.api.stop import STOP_ANNOTATION

from sandbox import argolua, gitops
from sandbox.paths import REPOSITORY
from testing.live.cluster import Cluster
from testing.live.states import States
from testing.live.waiting import wait_for

SERVER = "system:serviceaccount:argocd:argocd-server"
ANOTHER = "system:serviceaccount:elsewhere:argocd-server"
SHA256 = "0123456789abcdef" * 4
REACHED_AT = "2026-01-01T00:00:00Z"
CONFIGURATION = yaml.safe_load((REPOSITORY / "deploy" / "argocd" / "argocd-cm.yaml").read_text())["data"]
ACTIONS = {
    one["name"]: one["action.lua"]
    for one in yaml.safe_load(CONFIGURATION["resource.customizations.actions.humangov.io_HumanGovState"])["definitions"]
}

Act = Callable[..., str]
"""Runs an action; what kubectl said where it was refused, else an empty text."""


@pytest.fixture(scope="module")
def argocd(cluster: Cluster) -> Iterator[None]:
    """What Argo CD's installation grants its server, of HumanGovStates."""
    binding = f"argocd-server-{secrets.token_hex(4)}"  # another worker removes its own
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": binding},
        "rules": [{"apiGroups": ["humangov.io"], "resources": ["humangovstates"], "verbs": ["get", "patch"]}],
    }  # fmt: skip
    subjects = [
        {"kind": "ServiceAccount", "namespace": namespace, "name": "argocd-server"}
        for namespace in ("argocd", "elsewhere")
    ]
    bound = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": binding},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": binding},
        "subjects": subjects,
    }  # fmt: skip
    cluster.output("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all([role, bound]))
    may = ("auth", "can-i", "patch", "humangovstates.humangov.io", "--as", SERVER)
    wait_for(lambda: cluster.kubectl(*may).stdout.strip() == "yes", what="the permission counts")
    yield
    cluster.kubectl("delete", f"clusterrole/{binding}", f"clusterrolebinding/{binding}")


@pytest.fixture
def act(states: States, cluster: Cluster, tmp_path: Path, argocd: None) -> Act:
    states.kubectl_apply(states.manifest("california", table={"name": "table-1"}, bucket={"name": "bucket-1"}))

    def act(name: str, *, by: str = SERVER) -> str:
        before = live(states)
        [after] = argolua.run([(ACTIONS[name], before)], folder=tmp_path, say=lambda line: print(line, file=sys.stderr))
        done = cluster.kubectl(
            "patch", "humangovstate", "-n", states.namespace, "california", "--type", "merge", "--as", by,
            "-p", json.dumps(difference(before, after)),
        )  # fmt: skip
        return done.stderr if done.returncode != 0 else ""

    return act


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch of metadata.annotations and spec. What Lua makes of empty tables, Argo CD corrects before."""
    return {"metadata": {"annotations": changed(before["metadata"].get("annotations") or {},
                                                after["metadata"].get("annotations") or {})},
            "spec": changed(before["spec"], {**before["spec"], "suspend": after["spec"].get("suspend")})}  # fmt: skip


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    gone = {name: None for name in before if name not in after}
    return gone | {name: value for name, value in after.items() if before.get(name) != value}


def live(states: States) -> dict[str, Any]:
    found = states.get("california")
    assert found is not None
    return found


def annotated(states: States) -> dict[str, str]:
    return {
        name.removeprefix("humangov.io/"): value
        for name, value in (live(states)["metadata"].get("annotations") or {}).items()
        if name.startswith("humangov.io/")
    }


def write_status(states: States, cluster: Cluster, **fields: Any) -> None:
    cluster.output(
        "patch", "humangovstate", "-n", states.namespace, "california", "--subresource", "status", "--type", "merge",
        "-p", json.dumps({"status": fields}),
    )  # fmt: skip


def test_argocd_actions_ask_for_a_reconciliation_and_a_sweep_again_and_again(states: States, act: Act) -> None:
    assert (act("reconcile"), act("sweep-now")) == ("", "")
    found = annotated(states)
    assert set(found) == {"reconcile", "sweep"}
    assert all(value.startswith("20") and value.endswith("Z") for value in found.values()), found


def test_argocd_stops_and_starts_and_signs_with_the_name_of_its_server(states: States, act: Act) -> None:
    assert act("stop") == ""
    assert annotated(states)["stop"].startswith("by an action of Argo CD at 20")
    assert "The end of a stop must be signed" in act("start", by=ANOTHER)  # the script names the server, which asks
    assert "stop" in annotated(states)
    assert act("start") == ""
    assert annotated(states) == {"start-by": SERVER}


def test_argocd_approves_what_the_status_has_and_signs(states: States, cluster: Cluster, act: Act) -> None:
    write_status(
        states, cluster, sweep={"orphanListSHA256": SHA256}, erasureLimit={"reachedAt": REACHED_AT, "limited": 3}
    )
    assert "An approval must be signed" in act("approve-orphan-list", by=ANOTHER)
    assert annotated(states) == {}
    assert (act("approve-orphan-list"), act("approve-erasures")) == ("", "")
    assert annotated(states) == {
        "approve-sweep": SHA256, "approve-sweep-by": SERVER, "approve-erasures": REACHED_AT,
        "approve-erasures-by": SERVER,
    }  # fmt: skip


def test_argocd_suspends_and_resumes(states: States, act: Act) -> None:
    assert act("suspend") == ""
    assert live(states)["spec"]["suspend"] is True
    assert act("resume") == ""
    assert live(states)["spec"]["suspend"] is False


@pytest.mark.parametrize("controller", ["argo", "argo-server-side"])
def test_argo_cd_does_not_undo_its_own_actions(
    states: States, cluster: Cluster, act: Act, tmp_path: Path, controller: str
) -> None:
    in_git = states.manifest("california", table={"name": "table-1"}, bucket={"name": "bucket-1"})

    def correct() -> gitops.Corrected:
        return gitops.correct(controller, in_git, folder=tmp_path, say=print, environ=cluster.sandbox.environment())

    correct()
    for name in ("reconcile", "sweep-now", "stop", "suspend"):
        assert act(name) == ""
    before = annotated(states)
    assert correct().differs is False
    assert annotated(states) == before
    assert set(before) == {"reconcile", "sweep", "stop"}
    assert live(states)["spec"]["suspend"] is True
    assert STOP_ANNOTATION in live(states)["metadata"]["annotations"]
