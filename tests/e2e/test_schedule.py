"""A sweep's CronJob on the real API server, with its controllers: it is what state and template say, and nothing else.

What its pods do is the business of test_sweep.py; there is no node here, so none of them runs.
"""

from __future__ import annotations

import json
from typing import Any

from testing.live.account import Account
from testing.live.audit_log import Audit
from testing.live.states import States
from testing.live.sweep_pods import ACCOUNT, template
from testing.live.waiting import wait_for
from tests.conftest import StartOperator

SELECTOR = "/spec/jobTemplate/spec/template/spec/nodeSelector"
LATER = {"op": "add", "path": "/spec/jobTemplate/spec/template/spec/containers/0/env/-"}


def test_cron_job_follows_its_state_and_template_and_is_written_only_on_a_difference(
    states: States, account: Account, operator: StartOperator, audit: Audit
) -> None:
    kubectl, namespace = states.cluster.output, states.namespace
    account.make("california")
    pattern = template(states.cluster, namespace)

    def objects(plural: str) -> list[dict[str, Any]]:
        found = json.loads(kubectl("get", plural, "-n", namespace, "-o", "json"))["items"]
        return [one for one in found if one["metadata"]["name"] != pattern]

    def pod() -> dict[str, Any]:
        [found] = objects("cronjobs")
        return dict(found["spec"]["jobTemplate"]["spec"]["template"]["spec"])

    def variables() -> dict[str, Any]:
        return {one["name"]: one.get("value") for one in pod()["containers"][0]["env"]}

    def patched(name: str, *operations: dict[str, Any]) -> None:
        kubectl("patch", "cronjob", name, "-n", namespace, "--type=json", "-p", json.dumps(operations))

    patched(
        pattern,
        {**LATER, "value": {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}},
        {"op": "add", "path": SELECTOR, "value": {"disk": "fast"}},
    )
    operator("--sweep-template", pattern, "--resync", "1")
    states.apply(states.manifest("california", **account.spec("california", sweep={"schedule": "5 4 1 1 *"})))
    states.wait_ready("california")
    wait_for(lambda: len(objects("cronjobs")) == 1, what="the CronJob is made")
    [made] = objects("cronjobs")
    name = made["metadata"]["name"]
    assert variables()["HTTPS_PROXY"] == "http://proxy:3128"

    # The template changes, both ways.
    env = json.loads(kubectl("get", "cronjob", pattern, "-n", namespace, "-o", "json"))
    last = len(env["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"]) - 1
    patched(pattern, {"op": "remove", "path": f"{LATER['path'][:-1]}{last}"}, {"op": "remove", "path": SELECTOR})
    patched(pattern, {**LATER, "value": {"name": "NO_PROXY", "value": "*"}})
    wait_for(lambda: "NO_PROXY" in variables(), what="what the template gained is there")
    wait_for(lambda: "HTTPS_PROXY" not in variables() and "nodeSelector" not in pod(), what="and what it lost is not")

    # Somebody changes the CronJob, and adds to it.
    patched(
        name,
        {"op": "replace", "path": "/spec/schedule", "value": "* * * * *"},
        {**LATER, "value": {"name": "AWS_PROFILE", "value": "theirs"}},
    )
    wait_for(lambda: "AWS_PROFILE" not in variables(), what="what somebody added is gone")
    assert objects("cronjobs")[0]["spec"]["schedule"] == "5 4 1 1 *"

    # One value of the annotation, one Job.
    states.annotate("california", sweep="1")
    wait_for(lambda: (states.get("california") or {})["status"].get("lastHandledSweep") == "1", what="it is echoed")
    position = audit.position()
    states.reconcile("california", "1")
    states.reconcile("california", "2")
    assert not any("cronjobs" in write or "jobs" in write for write in audit.writes_since(position))
    [job] = objects("jobs")
    spec = job["spec"]["template"]["spec"]
    uid = (states.get("california") or {})["metadata"]["uid"]
    assert spec["serviceAccountName"] == ACCOUNT
    assert spec["containers"][0]["args"] == ["sweep", f"{namespace}/california", "--uid", uid, "--report-status"]
    assert spec["containers"][0]["env"] == pod()["containers"][0]["env"]

    # Let go, the state leaves nothing that would sweep.
    states.respec("california", deletionPolicy="Retain")
    states.delete("california")
    states.wait_deleted("california")
    wait_for(lambda: objects("cronjobs,jobs,pods") == [], what="CronJob, Job and pod are gone")
