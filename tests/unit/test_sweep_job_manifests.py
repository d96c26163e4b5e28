"""What Kubernetes is given for a tenant's sweeps, and when it differs. How it is used: tests/aws/test_sweeps.py."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from humangov.api.spec import Tenant
from humangov.cli.main import load
from humangov.reconcile import sweep_job_manifests

from testing.samples import NOW, OWNER, tenant

TEMPLATE = {
    "metadata": {"labels": {"team": "records", "humangov.io/name": "another"}},
    "spec": {
        "restartPolicy": "OnFailure",
        "serviceAccountName": "sweeper",
        "containers": [{"name": "sweep", "image": "humangov:1", "args": ["run"], "env": [{"name": "A", "value": "1"}]}],
    },
}


def cron_job(of: Tenant | None = None) -> dict[str, Any]:
    return sweep_job_manifests.cron_job(of or tenant(), template=TEMPLATE, namespace="operators", owner=OWNER)


def final_job() -> dict[str, Any]:
    return sweep_job_manifests.final_read_job(tenant(), template=TEMPLATE, namespace="operators", owner=OWNER)


def pod(document: Any) -> Any:
    return document["spec"]["jobTemplate"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", ["x", "california", "a" * 43, "a" * 19 + "-" * 3 + "b"])
def test_cron_job_and_job_names_fit_their_limits(name: str) -> None:
    cron = sweep_job_manifests.name_of(tenant(name))
    assert len(cron) <= 52  # https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
    job = sweep_job_manifests.job_on_demand(tenant(name), "now", template=TEMPLATE, namespace="operators", owner=OWNER)
    assert len(job["metadata"]["name"]) <= 63
    assert "--" not in cron


def test_tenants_with_similar_names_have_separate_cron_jobs() -> None:
    long = "a" * 30
    tenants = [tenant("x"), tenant("x", namespace="florida"), tenant(f"{long}1"), tenant(f"{long}2")]
    assert len({sweep_job_manifests.name_of(one) for one in tenants}) == len(tenants)


def test_cron_job_adds_arguments_and_labels_and_leaves_the_template_unchanged() -> None:
    before = copy.deepcopy(TEMPLATE)
    made = cron_job()
    assert before == TEMPLATE
    template = made["spec"]["jobTemplate"]["spec"]["template"]
    assert template["metadata"]["labels"] == {"team": "records"} | sweep_job_manifests.labels(tenant())
    assert template["spec"]["restartPolicy"] == "Never"
    assert template["spec"]["serviceAccountName"] == "sweeper"
    [container] = template["spec"]["containers"]
    assert container["args"] == ["sweep", tenant().key, "--uid", tenant().uid, "--report-status"]


def test_sweep_job_retries_a_failure_twice_and_never_a_failed_safety_check_or_failed_erasures() -> None:
    spec = cron_job()["spec"]["jobTemplate"]["spec"]
    [rule] = spec["podFailurePolicy"]["rules"]
    assert rule == {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3, 4]}}
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (2, 6 * 3600)


def test_sweep_jobs_wait_in_the_queue_and_the_final_read_does_not() -> None:
    label = sweep_job_manifests.QUEUE_LABEL
    on_demand = sweep_job_manifests.job_on_demand(
        tenant(), "now", template=TEMPLATE, namespace="operators", owner=OWNER
    )
    for job in (cron_job()["spec"]["jobTemplate"], on_demand):
        assert (job["spec"]["suspend"], job["metadata"]["labels"][label]) == (True, "true")
        assert label not in job["spec"]["template"]["metadata"]["labels"]
    assert "suspend" not in final_job()["spec"]
    assert label not in final_job()["metadata"]["labels"]


def test_cron_job_without_a_declared_schedule_gets_a_nightly_one_derived_from_its_owner() -> None:
    schedules = {
        sweep_job_manifests.cron_job(tenant(), template=TEMPLATE, namespace="operators", owner=f"{name}/humangov/x")[
            "spec"
        ]["schedule"]
        for name in ("one", "two", "three")
    }
    assert len(schedules) == 3
    first = sweep_job_manifests.finding(tenant(), {}, owner=OWNER, jobs=None)
    assert f"the first sweep starts on schedule {cron_job()['spec']['schedule']} (Etc/UTC)" in first.message


def test_condition_says_that_a_sweep_waits_together_with_the_last_result() -> None:
    found = sweep_job_manifests.finding(
        tenant(), {"result": "Detected", "message": "none"}, owner=OWNER, jobs=None, waits="a sweep has been waiting"
    )
    assert found.message == "none; a sweep has been waiting"


def test_final_read_job_has_25_minutes_and_is_retried_after_a_kill_but_not_because_it_is_incomplete() -> None:
    job = final_job()
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (2, 1500)
    [rule] = job["spec"]["podFailurePolicy"]["rules"]
    assert rule == {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}}
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["final-read", tenant().key, "--uid", tenant().uid, "--report-status"]
    assert job["metadata"]["name"] == sweep_job_manifests.final_read_name(tenant())


@pytest.mark.parametrize(
    "spec", [pod(cron_job()), final_job()["spec"]["template"]["spec"]], ids=["sweep", "final read"]
)
def test_pod_arguments_are_accepted_by_their_command(spec: Any) -> None:
    name, *arguments = spec["containers"][0]["args"]
    given = load(name).make_context(name, arguments).params
    assert (given["tenant"], given["uid"], given["report_status"]) == (tenant().key, tenant().uid, True)


def set_default(found: Any) -> None:
    found["spec"]["jobTemplate"]["spec"]["completionMode"] = "NonIndexed"
    found["metadata"]["labels"]["argocd.argoproj.io/instance"] = "theirs"
    found["status"] = {"active": []}


def add_variable(found: Any) -> None:
    pod(found)["containers"][0]["env"].append({"name": "B"})


CHANGED: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "nothing": (lambda _: None, False),
    "a default, and a label of somebody's": (set_default, False),
    "the schedule": (lambda found: found["spec"].update(schedule="* * * * *"), True),
    "its suspension": (lambda found: found["spec"].update(suspend=True), True),
    "our label": (lambda found: found["metadata"]["labels"].pop("humangov.io/name"), True),
    "the image": (lambda found: pod(found)["containers"][0].update(image="other"), True),
    "a variable more": (add_variable, True),
    "a container more": (lambda found: pod(found)["containers"].append({"name": "other"}), True),
    "a field of the pod more": (lambda found: pod(found).update(hostNetwork=True), True),
    "the failure policy": (lambda found: found["spec"]["jobTemplate"]["spec"].pop("podFailurePolicy"), True),
}


@pytest.mark.parametrize("case", CHANGED)
def test_cron_job_differs_only_in_owned_fields_and_in_any_field_of_its_pod(case: str) -> None:
    change, differs = CHANGED[case]
    found = cron_job()
    change(found)
    assert sweep_job_manifests.differs(found, cron_job()) is differs


@pytest.mark.parametrize(
    ("annotations", "owned"),
    [
        ({"humangov.io/owner": OWNER}, True),
        ({"humangov.io/owner": "renamed/humangov/california", "humangov.io/uid": tenant().uid}, True),
        ({"humangov.io/owner": "renamed/humangov/california", "humangov.io/uid": "another"}, False),
        (None, False),
    ],
)
def test_cron_job_ownership_is_read_from_owner_or_tenant_uid(annotations: dict[str, str] | None, owned: bool) -> None:
    assert sweep_job_manifests.is_owned({"metadata": {"annotations": annotations}}, tenant(), owner=OWNER) is owned


def test_a_job_is_over_when_it_says_so_and_the_final_read_after_25_minutes_whatever_it_says() -> None:
    job: dict[str, Any] = {"metadata": {"creationTimestamp": "2026-03-01T12:00:00Z"}, "status": {"ready": 1}}
    assert sweep_job_manifests.is_active(job)
    assert not sweep_job_manifests.is_overdue(job, now=NOW + timedelta(seconds=1500))
    assert sweep_job_manifests.is_overdue(job, now=NOW + timedelta(seconds=1501))
    job["status"]["conditions"] = [{"type": "FailureTarget", "status": "True"}]
    assert sweep_job_manifests.is_active(job)
    job["status"]["conditions"] = [{"type": "Failed", "status": "True"}]
    assert sweep_job_manifests.is_finished(job)


@pytest.mark.parametrize("status", [{}, {"active": 1, "ready": 0}])
def test_final_read_whose_pod_never_ran_is_not_waited_for_longer_than_150_s(status: dict[str, Any]) -> None:
    job: dict[str, Any] = {"metadata": {"creationTimestamp": "2026-03-01T12:00:00Z"}, "status": status}
    assert not sweep_job_manifests.is_overdue(job, now=NOW + timedelta(seconds=150))
    assert sweep_job_manifests.is_overdue(job, now=NOW + timedelta(seconds=151))
    job["status"]["failed"] = 1  # it ran once, and is repeated
    assert not sweep_job_manifests.is_overdue(job, now=NOW + timedelta(seconds=151))


REPORTED: list[tuple[dict[str, Any], Any, bool, tuple[str, str]]] = [
    ({}, None, False, ("Unknown", "NotStarted")),
    ({"result": "Running"}, None, False, ("True", "Running")),
    ({"result": "Running"}, None, True, ("False", "Running")),
    ({"result": "Running"}, [], False, ("False", "SweepFailed")),
    ({"result": "Running"}, [{"spec": {"suspend": False}, "status": {}}], False, ("True", "Running")),
    ({"result": "Running"}, [{"spec": {"suspend": True}, "status": {}}], False, ("False", "SweepFailed")),
    ({"result": "Detected"}, None, True, ("True", "Detected")),
    ({"result": "Erased"}, None, False, ("True", "Erased")),
    ({"result": "ErasureFailed"}, None, False, ("False", "ErasureFailed")),
    ({"result": "SafetyCheckFailed"}, None, False, ("False", "SafetyCheckFailed")),
    ({"result": "Stopped"}, None, False, ("False", "Stopped")),
    ({"result": "Failed"}, None, False, ("False", "SweepFailed")),
]


@pytest.mark.parametrize(("reported", "jobs", "warned", "expected"), REPORTED)
def test_sweep_succeeded_condition_repeats_the_sweep_result_and_never_stalls(
    reported: dict[str, Any], jobs: Any, warned: bool, expected: tuple[str, str]
) -> None:
    finding = sweep_job_manifests.finding(tenant(), reported, owner=OWNER, jobs=jobs, warned=warned)
    assert (finding.status, finding.reason) == expected
    assert not finding.stalled
    assert not finding.failed
