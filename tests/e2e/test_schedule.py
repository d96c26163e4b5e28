"""A sweep's CronJob on the real API server, with its controllers: it is what state and template say, and nothing else.

What its pods do is the business of test_sweep.py; there is no node here, so none of them runs.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from testing.live.account import Account
from testing.live.audit_log import Audit
from testing.live.states import States, condition
from testing.live.sweep_pods import ACCOUNT, template
from testing.live.waiting import wait_for
from tests.conftest import StartOperator

SELECTOR = "/spec/jobTemplate/spec/template/spec/nodeSelector"
LATER = {"op": "add", "path": "/spec/jobTemplate/spec/template/spec/containers/0/env/-"}


def test_sweeps_take_turns_also_those_of_the_schedule_and_the_operator_forgets_none_at_a_restart(
    states: States, account: Account, operator: StartOperator
) -> None:
    """The real controllers, and one sweep at once. There is no node, so a pod runs as long as we like."""
    names = ("alpha", "beta", "gamma")
    account.make(*names)
    pattern = template(states.cluster, states.namespace)
    kubectl, namespace = states.cluster.output, states.namespace

    def jobs() -> dict[str, dict[str, Any]]:
        found = json.loads(kubectl("get", "jobs", "-n", namespace, "-o", "json"))["items"]
        return {one["metadata"]["labels"]["humangov.io/name"]: one for one in found}

    def running() -> set[str]:
        pods = json.loads(kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"]
        return {
            pod["metadata"]["labels"]["humangov.io/name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]
        }

    def end(name: str) -> None:
        kubectl("delete", "job", jobs()[name]["metadata"]["name"], "-n", namespace)

    limit = ("--sweep-template", pattern, "--maximum-concurrent-sweeps", "1")
    first = operator(*limit)
    states.apply(*(states.manifest(name, **account.spec(name)) for name in names))
    states.wait_ready(*names)
    states.annotate("alpha", sweep="1")
    wait_for(lambda: running() == {"alpha"}, what="the first runs")
    states.annotate("beta", sweep="1")
    wait_for(lambda: "beta" in jobs(), what="the second waits")
    since = jobs()["beta"]["metadata"]["creationTimestamp"]
    wait_for(lambda: f"{datetime.now(UTC):%FT%TZ}" > since, what="a second ends: the queue's order goes by seconds")
    [of_gamma] = [
        one["metadata"]["name"]
        for one in json.loads(kubectl("get", "cronjobs", "-n", namespace, "-o", "json"))["items"]
        if one["metadata"].get("labels", {}).get("humangov.io/name") == "gamma"
    ]
    kubectl("create", "job", "-n", namespace, "by-hand", f"--from=cronjob/{of_gamma}")
    wait_for(
        lambda: "a sweep has been waiting since" in condition(states.get("beta"), "SweepSucceeded")["message"],
        what="its condition says so",
    )
    assert jobs()["beta"]["spec"]["suspend"] is True
    assert "startTime" not in jobs()["beta"]["status"]  # from which its time limit counts
    first.stop()
    operator(*limit)
    wait_for(
        lambda: "a sweep has been waiting since" in condition(states.get("gamma"), "SweepSucceeded")["message"],
        what="the next operator says so too",
    )
    assert running() == {"alpha"}
    end("alpha")
    wait_for(lambda: running() == {"beta"}, what="the second runs")
    wait_for(
        lambda: "has been waiting" not in condition(states.get("beta"), "SweepSucceeded")["message"],
        what="and no longer says that it waits",
    )
    end("beta")
    wait_for(lambda: running() == {"gamma"}, what="the third runs")


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

    # Somebody changes the CronJob; to its pod nobody adds (tests/cluster/test_policies.py).
    with pytest.raises(AssertionError, match="Only a sweep runs under this service account"):
        patched(name, {**LATER, "value": {"name": "AWS_PROFILE", "value": "theirs"}})
    patched(name, {"op": "replace", "path": "/spec/schedule", "value": "* * * * *"})
    wait_for(lambda: objects("cronjobs")[0]["spec"]["schedule"] == "5 4 1 1 *", what="its schedule is as declared")

    # One value of the annotation, one Job.
    states.annotate("california", sweep="1")
    wait_for(lambda: (states.get("california") or {})["status"].get("lastHandledSweep") == "1", what="it is echoed")
    wait_for(lambda: [one["spec"].get("suspend") for one in objects("jobs")] == [False], what="its turn has come")
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
    assert (states.get("california") or {})["status"]["sweepSchedule"]["schedule"] == "5 4 1 1 *"

    # Let go, the state leaves nothing that would sweep.
    states.respec("california", deletionPolicy="Retain")
    states.delete("california")
    states.wait_deleted("california")
    wait_for(lambda: objects("cronjobs,jobs,pods") == [], what="CronJob, Job and pod are gone")


def test_sweeps_are_scheduled_from_a_template_that_kustomize_renamed(
    states: States, account: Account, operator: StartOperator
) -> None:
    account.make("california")
    asked, namespace = template(states.cluster, states.namespace), states.namespace
    found = json.loads(states.cluster.output("get", "cronjob", asked, "-n", namespace, "-o", "json"))
    found["metadata"] = {"name": f"eu-{asked}-v2", "namespace": namespace, "labels": found["metadata"]["labels"]}
    states.cluster.output("delete", "cronjob", asked, "-n", namespace)
    states.cluster.output("create", "-f", "-", stdin=json.dumps(found))
    operator("--sweep-template", asked)
    states.apply(states.manifest("california", **account.spec("california", sweep={"schedule": "5 4 1 1 *"})))
    states.wait_ready("california")
    wait_for(
        lambda: condition(states.get("california"), "SweepSucceeded")["reason"] == "NotStarted",
        what="the sweep is scheduled", seen=lambda: condition(states.get("california"), "SweepSucceeded"),
    )  # fmt: skip
    left = states.cluster.output("get", "cronjobs", "-n", namespace, "-o", "name").split()
    assert len(left) == 2
