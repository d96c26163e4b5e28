"""What the story shows besides when the operator runs in a pod: its log, and how helm releases it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sandbox.demo.operators import InPod
from sandbox.demo.stage import DEFINITION, RESOURCE, Stage
from sandbox.demo.story import STORY, Step, nothing_is_left, the_receipt
from sandbox.release import HelmError, Release


def the_log(stage: Stage) -> str:
    release = _release(stage)
    lines = stage.kubectl.run("logs", "-n", stage.namespace, f"deployment/{release.name}").splitlines()
    stage.narrator.command(f"kubectl logs -n {stage.namespace} deployment/{release.name} --tail=3")
    stage.narrator.output("\n".join(lines[-3:]))
    entries = [json.loads(line) for line in lines]
    errors = [entry["message"] for entry in entries if entry["level"] == "error"]
    stage.observer.require(bool(entries) and not errors, expected="a log without errors", seen=errors or "no log")
    tenants = {entry["tenant"] for entry in entries if entry.get("tenant")}
    due = {f"{stage.namespace}/{state.manifest['metadata']['name']}" for state in stage.aws.states}
    stage.observer.require(tenants >= due, expected=f"lines about {sorted(due)}", seen=sorted(tenants))
    return f"{len(entries)} lines of JSON that name each tenant, and no error"


def helm_refuses(stage: Stage) -> str:
    release = _release(stage)
    stage.narrator.say("Someone uninstalls the operator while states still need it:")
    stage.narrator.command(f"helm uninstall {release.name} --namespace {stage.namespace}")
    message = ""
    try:
        release.uninstall()
    except HelmError as error:
        message = str(error)
    stage.narrator.output(message)
    for way in ("kubectl delete humangovstates", "deletionPolicy"):
        stage.observer.require(way in message, expected=f"a refusal that names {way}", seen=message or "none")
    stage.observer.require(stage.operator.running(), expected="an operator that still runs", seen="none")
    stage.kubectl.show("get", RESOURCE, "-n", stage.namespace)
    return "helm refused and listed the options; nothing was removed"


def helm_uninstall(stage: Stage) -> str:
    release = _release(stage)
    stage.narrator.command(f"helm uninstall {release.name} --namespace {stage.namespace}")
    stage.narrator.output(release.uninstall())
    stage.observer.until(
        lambda: stage.kubectl.run(
            "get", "deployments,jobs,pods,serviceaccounts,configmaps,roles,rolebindings", "-n", stage.namespace,
            "-l", f"app.kubernetes.io/instance={release.name}", "-o", "name",
        ).split(),
        lambda left: not left,
        expected="nothing of the release",
    )  # fmt: skip
    kept = stage.kubectl.show("get", "crd", DEFINITION, "-o", "name")
    stage.observer.require(bool(kept.strip()), expected="the definition, kept", seen="none")
    return "the release was removed; the definition stays, so no HumanGovState is lost"


def _release(stage: Stage) -> Release:
    if not isinstance(stage.operator, InPod):
        raise TypeError("this step needs an operator in a pod")
    return stage.operator.release


def _with_helm(story: Sequence[Step]) -> list[Step]:
    steps: list[Step] = []
    for step in story:
        if step.act is nothing_is_left:
            steps.append(Step("helm uninstall refuses to orphan live states", helm_refuses))
        steps.append(step)
        if step.act is the_receipt:
            steps.append(Step("The operator's own log: kubectl logs", the_log))
        if step.act is nothing_is_left:
            steps.append(Step("helm uninstall", helm_uninstall))
    return steps


STORY_IN_PODS: Sequence[Step] = _with_helm(STORY)
