"""What Argo CD's and Flux's own code make of a stop, on the real API server, with the managers that it records.

`humangov stop` writes under a field manager of its own. The same annotation by kubectl shows that this matters.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from humangov.api.stop import STOP_ANNOTATION

from sandbox import gitops
from sandbox.errors import SandboxError
from testing import kstatus
from testing.live.cluster import Cluster
from testing.live.command import run_humangov
from testing.live.states import States

Correct = Callable[[str], gitops.Corrected]


@pytest.fixture
def in_git(states: States) -> dict[str, Any]:
    manifest: dict[str, Any] = states.manifest("california", table={"name": "table-1"}, bucket={"name": "bucket-1"})
    manifest["metadata"]["annotations"] = {"team": "records"}
    return manifest


@pytest.fixture
def correct(cluster: Cluster, in_git: dict[str, Any], tmp_path: Path) -> Correct:
    """Once what a controller does all the time; the first time, the object is made."""
    environment = cluster.sandbox.environment()
    return lambda controller: gitops.correct(controller, in_git, folder=tmp_path, say=print, environ=environment)


@pytest.fixture
def humangov(cluster: Cluster) -> Callable[..., subprocess.CompletedProcess[str]]:
    return partial(run_humangov, environment=cluster.sandbox.environment())


def live(states: States) -> dict[str, Any]:
    found = states.get("california")
    assert found is not None
    return found


def annotations_of(states: States) -> dict[str, str]:
    found: dict[str, str] = live(states)["metadata"].get("annotations") or {}
    return found


def settled(states: States, in_git: dict[str, Any], correct: Correct, controller: str) -> None:
    """The object as the controller has made it; it finds no difference any more."""
    states.kubectl_apply(in_git)
    correct(controller)
    assert correct(controller).differs is False


@pytest.mark.parametrize("controller", gitops.CONTROLLERS)
def test_neither_argo_cd_nor_flux_undoes_a_stop_or_calls_it_a_difference(
    states: States, in_git: dict[str, Any], correct: Correct, humangov: Any, controller: str
) -> None:
    settled(states, in_git, correct, controller)
    done = humangov("stop", "-n", states.namespace, "california", "-m", "a wrong import", "--wait", "0")
    assert done.returncode == 2, done.stdout + done.stderr  # no operator runs here that could confirm it
    assert annotations_of(states)[STOP_ANNOTATION].startswith("a wrong import")
    [owner] = [
        one for one in live(states)["metadata"]["managedFields"]
        if f"f:{STOP_ANNOTATION}" in one["fieldsV1"].get("f:metadata", {}).get("f:annotations", {})
    ]  # fmt: skip
    assert (owner["manager"], owner["operation"]) == ("humangov-stop", "Apply")
    for _ in range(2):
        assert correct(controller).differs is False
        assert STOP_ANNOTATION in annotations_of(states)


@pytest.mark.parametrize("controller", gitops.CONTROLLERS)
def test_a_change_of_the_spec_in_git_is_applied_to_a_stopped_tenant_which_stays_stopped(
    states: States, in_git: dict[str, Any], correct: Correct, humangov: Any, controller: str
) -> None:
    settled(states, in_git, correct, controller)
    humangov("stop", "-n", states.namespace, "california", "--wait", "0")
    in_git["spec"]["function"] = {"memoryMiB": 256}
    assert correct(controller).differs
    found = live(states)
    assert found["spec"]["function"]["memoryMiB"] == 256
    assert STOP_ANNOTATION in annotations_of(states)


def test_flux_may_not_end_the_stop_that_kubectl_has_set(
    states: States, in_git: dict[str, Any], correct: Correct, cluster: Cluster
) -> None:
    settled(states, in_git, correct, "flux")
    cluster.output("annotate", "humangovstate", "-n", states.namespace, "california", f"{STOP_ANNOTATION}=by kubectl")
    assert STOP_ANNOTATION in annotations_of(states)
    with pytest.raises(SandboxError, match="The end of a stop must be signed"):
        correct("flux")
    assert STOP_ANNOTATION in annotations_of(states)


@pytest.mark.parametrize("controller", ["argo", "argo-server-side"])
def test_argo_cd_undoes_the_patch_of_the_spec_that_a_stop_was_before(
    states: States, in_git: dict[str, Any], correct: Correct, cluster: Cluster, controller: str
) -> None:
    in_git["spec"]["trigger"] = {"enabled": True}
    settled(states, in_git, correct, controller)
    patch = '{"spec": {"trigger": {"enabled": false}}}'
    cluster.output("patch", "humangovstate", "-n", states.namespace, "california", "--type", "merge", "-p", patch)
    assert correct(controller).differs
    assert live(states)["spec"]["trigger"]["enabled"] is True


@pytest.mark.parametrize("by", ["humangov", "kubectl"])
def test_start_removes_a_stop_whoever_has_set_it(
    states: States, in_git: dict[str, Any], cluster: Cluster, humangov: Any, by: str
) -> None:
    states.kubectl_apply(in_git)
    if by == "humangov":
        humangov("stop", "-n", states.namespace, "california", "--wait", "0")
    else:
        cluster.output("annotate", "humangovstate", "-n", states.namespace, "california", f"{STOP_ANNOTATION}=x")
    assert STOP_ANNOTATION in annotations_of(states)
    done = humangov("start", f"{states.namespace}/california", "--wait", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert annotations_of(states).keys() & {STOP_ANNOTATION, "team"} == {"team"}
    assert annotations_of(states)["humangov.io/start-by"] == cluster.user
    written = [one for one in live(states)["metadata"]["managedFields"] if one["manager"] == "humangov-stop"]
    assert [one["operation"] for one in written] == ["Update"]  # what it applied is no more


def test_new_tenant_is_in_progress_for_kstatus_until_the_operator_has_looked(
    states: States, in_git: dict[str, Any], cluster: Cluster, tmp_path: Path
) -> None:
    states.kubectl_apply(in_git)
    found = live(states)
    assert found["status"] == {"observedGeneration": -1}
    environment = cluster.sandbox.environment()
    assert gitops.kstatus([found], folder=tmp_path, say=print, environ=environment) == ["InProgress"]
    columns = cluster.output("get", "hgs", "-n", states.namespace, "--no-headers", "-o", "wide").split()
    assert columns[0] == "california"
    assert "-1" not in columns


def test_kstatus_computes_of_every_status_what_the_tests_take_it_to_compute(tmp_path: Path) -> None:
    """testing/kstatus.py stands for it wherever a test looks at a status."""
    answers = ("True", "False", "Unknown", None)
    objects = [
        {
            "apiVersion": "humangov.io/v1",
            "kind": "HumanGovState",
            "metadata": {"name": "california", "generation": 2} | ({"deletionTimestamp": deleted} if deleted else {}),
            "status": ({} if observed is None else {"observedGeneration": observed})
            | {
                "conditions": [
                    {"type": kind, "status": answer, "reason": "Reason", "message": "message"}
                    for kind, answer in zip(kstatus.SUMMARY, summary, strict=True)
                    if answer is not None
                ]
            },
        }
        for observed in (None, -1, 1, 2)
        for deleted in (None, "2026-03-01T00:00:00Z")
        for summary in itertools.product(answers, repeat=3)
        if summary[1:] != ("True", "True")  # that is refused wherever a status is written
    ]
    assert gitops.kstatus(objects, folder=tmp_path, say=print) == [kstatus.computed(one) for one in objects]
