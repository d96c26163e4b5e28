"""The sweep's CronJob and Jobs as reconciling keeps them. AWS is emulated; Kubernetes keeps objects and runs none."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from humangov.api import sweep_schedule
from humangov.api.allowed_names import AllowedNames
from humangov.api.times import timestamp
from humangov.kube.client import KubeError
from humangov.reconcile import sweep_job_manifests
from humangov.reconcile.context import PATIENCE_SECONDS

from testing.killed import Killed
from testing.reconciler.line import Call, Fault, on
from testing.reconciler.sdk import denied
from testing.reconciler.world import CLUSTER, World

TEMPLATE = {
    "metadata": {"labels": {"team": "records"}},
    "spec": {"serviceAccountName": "humangov-operator-sweep", "containers": [{"name": "sweep", "image": "humangov:1"}]},
}
CRON_JOB = "cronjobs"


def with_sweeps(world: World) -> World:
    world.settings = replace(world.settings, sweep_template="template", own_namespace="operators")
    world.kube.templates["cronjobs", "template"] = {"spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}}
    world.restart_operator()
    return world


def tenant_of(world: World, key: str) -> Any:
    return world.names(key).tenant


def jobs(world: World) -> list[str]:
    return sorted(name for plural, name in world.kube.batch if plural == "jobs")


def cron_job(world: World, key: str) -> dict[str, Any]:
    return world.kube.batch[CRON_JOB, sweep_job_manifests.name_of(tenant_of(world, key))]


def annotate(world: World, key: str, value: str) -> None:
    world.kube.edit(key, lambda one: one["metadata"].setdefault("annotations", {}).update({"humangov.io/sweep": value}))


def finish(world: World, name: str, kind: str = "Complete") -> None:
    world.kube.batch["jobs", name]["status"] = {"conditions": [{"type": kind, "status": "True"}]}


def tell(world: World, key: str, **sweep: Any) -> None:
    """As the sweep itself does."""
    status = world.kube.objects[key].setdefault("status", {})
    status["sweep"] = {**status.get("sweep", {}), **sweep}


def test_operator_without_a_sweep_template_creates_no_cron_job_and_no_sweep_condition(world: World) -> None:
    key = world.provisioned()
    world.reconcile_once(key)
    assert world.kube.batch == {}
    assert "SweepSucceeded" not in [one["type"] for one in world.status(key)["conditions"]]


def test_ready_tenant_gets_a_cron_job_and_an_in_sync_one_no_write(world: World) -> None:
    key = with_sweeps(world).provisioned(sweep={"schedule": "5 4 * * *", "timeZone": "America/Los_Angeles"})
    spec = cron_job(world, key)["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["suspend"]) == ("5 4 * * *", "America/Los_Angeles", False)
    assert spec["concurrencyPolicy"] == "Forbid"
    assert cron_job(world, key)["metadata"]["namespace"] == "operators"
    [container] = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    uid = world.kube.objects[key]["metadata"]["uid"]
    assert container["args"] == ["sweep", key, "--uid", uid, "--report-status"]
    assert world.condition(key, "SweepSucceeded")["reason"] == "NotStarted"
    for _ in range(7):
        world.reconcile_once(key)
    assert world.line.kube_writes() == []


@pytest.mark.parametrize("change", ["schedule", "gone", "image", "suspend"])
def test_changed_cron_job_is_corrected(world: World, change: str) -> None:
    key = with_sweeps(world).provisioned(sweep={"schedule": "17 3 * * *"})
    wanted = cron_job(world, key)
    spec = wanted["spec"]
    if change == "gone":
        world.kube.batch.clear()
    elif change == "image":
        spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    else:
        spec[change] = True if change == "suspend" else "* * * * *"
    world.reconcile_once(key)
    pod = cron_job(world, key)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "humangov:1"
    assert (cron_job(world, key)["spec"]["schedule"], cron_job(world, key)["spec"]["suspend"]) == ("17 3 * * *", False)


def test_status_shows_the_schedule_in_effect(world: World) -> None:
    key = with_sweeps(world).provisioned()
    schedule = cron_job(world, key)["spec"]["schedule"]
    assert schedule == sweep_schedule.schedule_of(tenant_of(world, key).sweep, owner=f"{CLUSTER}/{key}")
    assert world.status(key)["sweepSchedule"] == {"schedule": schedule, "timeZone": "Etc/UTC"}
    world.kube.edit(key, lambda one: one["spec"].update(sweep={"suspend": True}))
    world.reconcile_once(key)
    assert "sweepSchedule" not in world.status(key)
    world.kube.edit(key, lambda one: one["spec"].update(sweep={"schedule": "5 4 * * *", "timeZone": "US/Pacific"}))
    world.settle(key)
    assert world.status(key)["sweepSchedule"] == {"schedule": "5 4 * * *", "timeZone": "US/Pacific"}


@pytest.mark.parametrize("schedule", ["0 3 31 2 *", "0 3 29 2 *", "0 0 * * Monday"])
def test_schedule_on_which_no_sweep_can_run_stalls_and_leaves_the_cron_job(world: World, schedule: str) -> None:
    key = with_sweeps(world).provisioned()
    before = cron_job(world, key)
    world.kube.edit(key, lambda one: one["spec"].update(sweep={"schedule": schedule}, function={"memoryMiB": 1024}))
    for _ in range(5):
        world.reconcile_once(key)
        world.clock.forward(30)
    assert world.ready(key).startswith("False ScheduleRefused: spec.sweep.schedule")
    assert "Give another one, or remove the field" in world.ready(key)
    assert world.condition(key, "Stalled")["status"] == "True"
    assert world.condition(key, "SweepSucceeded")["reason"] == "ScheduleRefused"
    assert world.condition(key, "FunctionReady")["status"] == "True"  # everything else goes on
    assert cron_job(world, key) == before
    annotate(world, key, "1")
    world.reconcile_once(key)
    assert len(jobs(world)) == 1  # who asks for a sweep needs no schedule
    world.kube.edit(key, lambda one: one["spec"].update(sweep={}))
    world.settle(key)
    assert world.ready(key).startswith("True")


@pytest.mark.parametrize("call", ["create cronjobs", "replace cronjobs"])
def test_cron_job_that_the_api_server_refuses_stalls_with_its_words(world: World, call: str) -> None:
    with_sweeps(world).line.faults.append(
        Fault(hits=on(f"kube:{call}"), error=KubeError("writing", status=422, reason="unknown time zone Mars/Olympus"))
    )
    if call.startswith("replace"):
        key = world.provisioned()
    else:
        world.make_table()
        world.make_bucket()
        key = world.apply()
    world.kube.edit(key, lambda one: one["spec"].update(sweep={"timeZone": "Mars/Olympus"}))
    for _ in range(6):
        world.reconcile_once(key)
        world.clock.forward(30)
    assert world.ready(key).startswith("False ScheduleRefused: the API server refuses the sweep's CronJob")
    assert "unknown time zone Mars/Olympus. Correct spec.sweep.schedule or spec.sweep.timeZone" in world.ready(key)
    world.line.faults.clear()
    world.settle(key)
    assert world.ready(key).startswith("True")
    assert cron_job(world, key)["spec"]["timeZone"] == "Mars/Olympus"


def test_cron_job_that_was_recreated_meanwhile_is_not_a_refused_schedule(world: World) -> None:
    """The patch names the one that was found, and another UID is a 422 as well."""
    key = with_sweeps(world).provisioned()
    world.kube.edit(key, lambda one: one["spec"].update(sweep={"schedule": "5 4 * * *"}))
    found = cron_job(world, key)
    found["metadata"]["uid"] = "first"

    def replaced(_: Call) -> None:
        found["metadata"]["uid"] = "second"
        raise KubeError("writing", status=422, reason="the server rejected our request")

    world.line.faults.append(Fault(hits=on("kube:replace cronjobs"), instead=replaced, times=1))
    world.reconcile_once(key)
    assert world.condition(key, "SweepSucceeded")["reason"] == "SchedulingFailed"
    assert world.ready(key).startswith("True")
    world.reconcile_once(key)
    assert cron_job(world, key)["spec"]["schedule"] == "5 4 * * *"


def test_suspended_tenant_suspends_its_cron_job(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.kube.edit(key, lambda one: one["spec"].update(suspend=True))
    annotate(world, key, "now")
    world.reconcile_once(key)
    assert cron_job(world, key)["spec"]["suspend"] is True
    assert jobs(world) == []
    assert "paused by spec.suspend" in world.condition(key, "SweepSucceeded")["message"]


def test_unowned_cron_job_of_the_same_name_is_not_changed(world: World) -> None:
    key = with_sweeps(world).provisioned(trigger={"enabled": False})
    cron_job(world, key)["metadata"]["annotations"] = {"humangov.io/owner": "other/humangov/california"}
    cron_job(world, key)["spec"]["schedule"] = "0 0 * * *"
    world.reconcile_once(key)
    assert cron_job(world, key)["spec"]["schedule"] == "0 0 * * *"
    assert world.condition(key, "SweepSucceeded")["reason"] == "NotOwned"
    world.delete(key)
    for _ in range(3):
        world.reconcile_once(key)
    finish(world, jobs(world)[0])
    world.settle(key)
    assert [plural for plural, _ in world.kube.batch] == [CRON_JOB]


def test_cron_job_that_cannot_be_created_is_a_warning_and_ready_stays_true(world: World) -> None:
    with_sweeps(world).line.faults.append(
        Fault(hits=on("kube:create cronjobs"), error=KubeError("writing", status=403, reason="forbidden"))
    )
    key = world.provisioned()
    assert world.condition(key, "SweepSucceeded")["reason"] == "SchedulingFailed"
    assert world.ready(key).startswith("True")


def test_cron_job_that_is_refused_shortly_after_an_installation_is_created_within_seconds(world: World) -> None:
    """Admission policies learn of the sweeps' template a moment after it is created."""
    fault = Fault(hits=on("kube:create cronjobs"), error=KubeError("writing", status=403, reason="denied"), times=2)
    with_sweeps(world).line.faults.append(fault)
    key = world.provisioned()
    assert cron_job(world, key)
    assert world.condition(key, "SweepSucceeded")["reason"] != "SchedulingFailed"


def test_missing_sweep_template_schedules_nothing_and_the_condition_names_it(world: World) -> None:
    with_sweeps(world).kube.templates.clear()
    key = world.provisioned()
    condition = world.condition(key, "SweepSucceeded")
    assert condition["reason"] == "SchedulingFailed"
    assert "operators/template: the CronJob that --sweep-template names does not exist" in condition["message"]
    assert world.ready(key).startswith("True")


def labelled(name: str) -> dict[str, Any]:
    """The template as kustomize renamed it."""
    metadata = {"name": name, "labels": {"humangov.io/sweep-template": "true"}}
    return {"metadata": metadata, "spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}}


def test_sweep_template_that_kustomize_renamed_is_found_by_its_label(world: World) -> None:
    templates = with_sweeps(world).kube.templates
    templates.clear()
    templates["cronjobs", "eu-template-v2"] = labelled("eu-template-v2")
    templates["cronjobs", "other"] = labelled("other")  # not of this installation
    key = world.provisioned()
    assert cron_job(world, key)
    assert world.condition(key, "SweepSucceeded")["reason"] != "SchedulingFailed"


def test_two_renamed_sweep_templates_schedule_nothing_and_the_condition_names_both(world: World) -> None:
    templates = with_sweeps(world).kube.templates
    templates.clear()
    for name in ("eu-template", "us-template"):
        templates["cronjobs", name] = labelled(name)
    condition = world.condition(world.provisioned(), "SweepSucceeded")
    assert condition["reason"] == "SchedulingFailed"
    assert "there are others: eu-template, us-template. Name one of them" in condition["message"]


def test_each_value_of_the_sweep_annotation_starts_one_job(world: World) -> None:
    key = with_sweeps(world).provisioned()
    annotate(world, key, "1")
    for _ in range(3):
        world.reconcile_once(key)
    [first] = jobs(world)
    assert world.status(key)["lastHandledSweep"] == "1"
    annotate(world, key, "2")
    outcome = world.reconcile_once(key)
    assert jobs(world) == [first]  # one at a time
    assert outcome.requeue_after_seconds is not None
    finish(world, first)
    world.reconcile_once(key)
    assert len(jobs(world)) == 2


def test_operator_killed_between_the_sweep_job_and_its_status_starts_no_second_job(world: World) -> None:
    key = with_sweeps(world).provisioned()
    annotate(world, key, "1")
    world.restart_operator()
    world.line.kill_after_write = 1
    with pytest.raises(Killed):
        world.reconcile_once(key)
    assert len(jobs(world)) == 1
    assert "lastHandledSweep" not in world.status(key)
    world.restart_operator()
    finish(world, jobs(world)[0])
    world.settle(key)
    assert len(jobs(world)) == 1
    assert world.status(key)["lastHandledSweep"] == "1"


def test_sweep_condition_reports_the_last_result_with_an_event_when_it_changes(world: World) -> None:
    key = with_sweeps(world).provisioned()
    tell(world, key, result="SafetyCheckFailed", message="3,000 of 4,000 files", orphanList="s3://b/k")
    world.reconcile_once(key)
    condition = world.condition(key, "SweepSucceeded")
    assert (condition["status"], condition["reason"]) == ("False", "SafetyCheckFailed")
    assert condition["message"] == "3,000 of 4,000 files; orphan list: s3://b/k"
    tell(world, key, result="Erased", message="done")
    world.reconcile_once(key)
    world.reconcile_once(key)
    assert [(one.kind, one.reason) for one in world.kube.events] == [
        ("Warning", "SafetyCheckFailed"),
        ("Normal", "Erased"),
    ]
    assert world.ready(key).startswith("True")


def test_sweep_job_that_ended_without_a_result_has_failed(world: World) -> None:
    key = with_sweeps(world).provisioned()
    annotate(world, key, "1")
    world.reconcile_once(key)
    world.kube.batch["jobs", jobs(world)[0]]["spec"]["suspend"] = False  # it was its turn
    tell(world, key, result="Running", startedAt="2026-03-01T00:00:00Z")
    world.reconcile_once(key)
    assert world.condition(key, "SweepSucceeded")["reason"] == "Running"
    finish(world, jobs(world)[0], "Failed")
    world.reconcile_once(key)
    assert world.condition(key, "SweepSucceeded")["reason"] == "SweepFailed"


def test_shared_file_names_disable_the_trigger_until_a_sweep_finds_none(world: World) -> None:
    key = with_sweeps(world).provisioned()
    tell(world, key, result="SafetyCheckFailed", filesShared=2, message="2 files")
    for _ in range(3):
        world.reconcile_once(key)
    [mapping] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert mapping["State"] == "Disabled"
    assert world.ready(key).startswith("False FilesShared: 2 files are named by more than one record")
    tell(world, key, result="Detected", filesShared=0, message="none")
    world.settle(key)
    [mapping] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert mapping["State"] == "Enabled"
    assert world.ready(key).startswith("True")


def test_deletion_removes_sweeps_then_trigger_then_stream_and_the_final_read_comes_before_the_function(
    world: World,
) -> None:
    key = with_sweeps(world).provisioned()
    annotate(world, key, "1")
    world.reconcile_once(key)
    world.line.forget()
    world.delete(key)
    for _ in range(4):
        world.reconcile_once(key)
        world.clock.forward(1)
    calls = [call.action for call in world.line.calls if call.writes]
    order = ["kube:delete cronjobs", "lambda:DeleteEventSourceMapping", "dynamodb:UpdateTable", "kube:create jobs"]
    assert [action for action in dict.fromkeys(calls) if action in order] == order
    assert "lambda:DeleteFunction" not in calls
    assert "logs:DeleteLogGroup" not in calls
    [name] = jobs(world)
    [container] = world.kube.batch["jobs", name]["spec"]["template"]["spec"]["containers"]
    assert container["args"][0] == "final-read"
    finish(world, name)
    world.kube.objects[key]["status"]["finalRead"] = {"message": "7 records read", "failedInvocations": 0}
    world.settle(key)
    assert (world.remains(), world.kube.batch, world.kube.objects) == ([], {}, {})
    assert "7 records read" in world.kube.events[-1].message


def test_final_stream_read_of_a_stream_that_someone_else_enabled_leaves_it_enabled(world: World) -> None:
    world.make_table(view_type="NEW_AND_OLD_IMAGES")
    world.make_bucket()
    key = with_sweeps(world).apply()
    world.settle(key)
    world.clock.forward(60)
    world.delete(key)
    for _ in range(3):
        world.reconcile_once(key)
    assert len(jobs(world)) == 1
    assert "dynamodb:UpdateTable" not in [call.action for call in world.line.calls]


def test_final_stream_read_that_never_ends_is_abandoned_and_reported(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.delete(key)
    for _ in range(3):
        world.reconcile_once(key)
    [name] = jobs(world)
    world.kube.batch["jobs", name]["metadata"]["creationTimestamp"] = world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    world.clock.forward(sweep_job_manifests.FINAL_READ_DEADLINE_SECONDS + 1)
    world.settle(key)
    assert (world.remains(), world.kube.batch, world.kube.objects) == ([], {}, {})
    assert "the final stream read failed" in world.kube.events[-1].message


def test_job_of_the_final_stream_read_that_has_no_pod_is_re_created_when_the_template_changes(world: World) -> None:
    """The admission policies admit no pod of the older template: the Job would wait, and then the deletion go on."""
    key = with_sweeps(world).provisioned()
    world.delete(key)
    for _ in range(3):
        world.reconcile_once(key)
    [name] = jobs(world)
    newer: Any = copy.deepcopy(TEMPLATE)
    newer["spec"]["containers"][0]["image"] = "humangov:2"
    world.kube.templates["cronjobs", "template"] = {"spec": {"jobTemplate": {"spec": {"template": newer}}}}

    def images() -> list[str]:
        found = [one for (plural, _), one in world.kube.batch.items() if plural == "jobs"]
        return [one["spec"]["template"]["spec"]["containers"][0]["image"] for one in found]

    world.kube.batch["jobs", name]["status"] = {"active": 1}
    world.reconcile_once(key)
    assert images() == ["humangov:1"]  # it runs
    world.kube.batch["jobs", name]["status"] = {"failed": 1}
    world.reconcile_once(key)
    world.reconcile_once(key)
    assert images() == ["humangov:2"]
    assert "lambda:DeleteFunction" not in [call.action for call in world.line.calls]


def test_final_read_runs_where_the_spec_stops_all_erasing_because_it_records_the_mappings(world: World) -> None:
    key = with_sweeps(world).provisioned(trigger={"enabled": False})
    world.delete(key)
    for _ in range(3):
        world.reconcile_once(key)
    [name] = jobs(world)
    finish(world, name)
    world.settle(key)
    assert (world.remains(), world.kube.batch, world.kube.objects) == ([], {}, {})


def test_mapping_is_recorded_in_the_status_while_the_tenant_lives_and_before_it_is_deleted(world: World) -> None:
    key = world.provisioned()
    [mapping] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert world.status(key)["mappings"] == [mapping["UUID"]]
    world.kube.objects[key]["status"].pop("mappings")  # a tenant of an operator that did not record it
    world.restart_operator()
    world.delete(key)
    world.line.forget()
    world.reconcile_once(key)
    assert world.status(key)["mappings"] == [mapping["UUID"]]
    assert "lambda:DeleteEventSourceMapping" not in world.line.writes()
    world.settle(key)
    assert world.remains() == []


def test_former_mapping_stays_recorded_beside_the_present_one(world: World) -> None:
    key = world.provisioned()
    [former] = world.status(key)["mappings"]
    world.sdk.client("lambda").delete_event_source_mapping(UUID=former)
    world.settle(key)
    [present] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert world.status(key)["mappings"] == [former, present["UUID"]]


def test_deletion_does_not_hang_on_a_definition_that_does_not_store_mappings(world: World) -> None:
    key = world.provisioned()
    world.restart_operator()
    world.delete(key)
    for _ in range(6):
        if key in world.kube.objects:
            world.kube.objects[key]["status"].pop("mappings", None)
            world.operator.store.put(world.kube.objects[key])
            world.reconcile_once(key)
            world.clock.forward(3)
    assert (world.remains(), world.kube.objects) == ([], {})


@pytest.mark.parametrize("sweeps", [False, True], ids=["without sweeps", "final read failed"])
def test_deletion_names_the_failed_invocations_that_are_left_and_how_to_redrive_them(
    world: World, sweeps: bool
) -> None:
    key = (with_sweeps(world) if sweeps else world).provisioned()
    [uuid] = world.status(key)["mappings"]
    for mapping in (f"{uuid}/shard/1", f"{uuid}/shard/2", "11111111-0000-4000-8000-000000000000/shard/1"):
        world.sdk.client("s3").put_object(Bucket=world.bucket, Key=f"aws/lambda/{mapping}", Body=b"")
    world.delete(key)
    for _ in range(8):
        for name in jobs(world):
            finish(world, name, "Failed")
        world.reconcile_once(key)
        world.clock.forward(3)
    [message] = [event.message for event in world.kube.events if event.reason == "Deleted"]
    assert "2 failed invocations are left under aws/lambda/" in message
    assert f"humangov redrive --filename MANIFEST --cluster-name {CLUSTER} --mapping {uuid}" in message


def test_released_tenant_is_not_swept(world: World) -> None:
    key = with_sweeps(world).provisioned(deletionPolicy="Retain")
    annotate(world, key, "1")
    world.reconcile_once(key)
    assert len(world.kube.batch) == 2
    world.delete(key)
    world.settle(key)
    assert (world.kube.batch, world.kube.objects) == ({}, {})
    assert world.event_reasons()[-1] == "Retained"
    assert "function humangov-california-delete-file" in world.remains()


@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
def test_tenant_released_during_the_final_read_is_not_reported_as_working(world: World, restarted: bool) -> None:
    key = with_sweeps(world).provisioned()
    world.delete(key)
    for _ in range(4):
        world.reconcile_once(key)
    if restarted:
        world.restart_operator()
    world.kube.edit(key, lambda one: one["spec"].update(deletionPolicy="Retain"))
    world.settle(key)
    [message] = [event.message for event in world.kube.events if event.reason == "Retained"]
    assert "the deletion had begun" in message
    assert "keep working" not in message
    assert restarted or "deleted trigger, stream of table humangov-california-dynamodb" in message


def test_deletion_killed_after_any_write_keeps_its_order_and_has_the_same_result(world: World) -> None:
    key = with_sweeps(world).provisioned()
    earlier = len(world.processes)
    world.delete(key)
    for _ in range(40):
        world.restart_operator()
        world.line.kill_after_write = 1
        try:
            outcome = world.reconcile_once(key)
        except Killed:
            outcome = None
        for name in jobs(world):
            if world.line.dead is False:
                finish(world, name)
        world.clock.forward(3)
        if outcome is not None and outcome.forget and key not in world.kube.objects:
            break
    world.restart_operator()
    if key in world.kube.objects:
        world.settle(key)
    assert (world.remains(), world.kube.batch, world.kube.objects) == ([], {}, {})
    lives = world.processes[earlier:]
    writes = [call.action for life in lives for call in life.line.calls if call.writes]
    order = ["lambda:DeleteEventSourceMapping", "dynamodb:UpdateTable", "kube:create jobs", "lambda:DeleteFunction",
             "logs:DeleteLogGroup"]  # fmt: skip
    assert [action for action in dict.fromkeys(writes) if action in order] == order
    assert len(lives) > len(order)


def test_tenant_released_under_another_cluster_name_has_no_sweeps(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.cluster = "renamed"
    world.restart_operator()
    world.delete(key)
    world.reconcile_once(key)
    assert world.ready(key).startswith("False IdentityChanged")
    world.kube.edit(key, lambda one: one["spec"].update(deletionPolicy="Retain"))
    world.settle(key)
    assert (world.kube.batch, world.kube.objects) == ({}, {})


def test_tenant_without_a_finalizer_has_no_cron_job(world: World) -> None:
    key = with_sweeps(world).apply(world.manifest(suspend=True))
    for _ in range(3):
        world.reconcile_once(key)
        world.clock.forward(20 * 60)
    assert world.ready(key).startswith("False TableNotFound")
    assert world.kube.batch == {}


def test_forbidden_tenant_has_no_cron_job_after_a_kill_between_cron_job_and_status(world: World) -> None:
    with_sweeps(world).line.faults.append(Fault(hits=on("dynamodb:DescribeTable"), error=denied("DescribeTable")))
    key = world.apply()
    world.line.kill_after_write = 2  # the finalizer, then the CronJob
    with pytest.raises(Killed):
        world.reconcile_once(key)
    assert [plural for plural, _ in world.kube.batch] == [CRON_JOB]
    assert "aws" not in world.status(key)
    world.settings = replace(world.settings, allowed=AllowedNames({}))
    world.restart_operator()
    world.delete(key)
    world.settle(key)
    assert (world.kube.batch, world.kube.objects) == ({}, {})


def test_suspended_tenant_suspends_its_cron_job_even_while_another_step_fails(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.kube.edit(key, lambda one: one["spec"].update(suspend=True, function={"memoryMiB": 1024}))
    world.reconcile_once(key)
    assert world.ready(key).startswith("False Suspended")
    assert cron_job(world, key)["spec"]["suspend"] is True


def test_sweep_job_created_before_its_status_is_reported_while_it_runs(world: World) -> None:
    key = with_sweeps(world).provisioned()
    annotate(world, key, "1")
    world.restart_operator()
    world.line.kill_after_write = 1
    with pytest.raises(Killed):
        world.reconcile_once(key)
    world.restart_operator()
    world.settle(key)
    assert len(jobs(world)) == 1
    assert world.status(key)["lastHandledSweep"] == "1"


def test_start_of_the_next_sweep_does_not_clear_a_warning(world: World) -> None:
    key = with_sweeps(world).provisioned()
    began = timestamp(world.clock.now())
    for reported in ("SafetyCheckFailed", "Running", "SafetyCheckFailed", "Running", "Detected", "Running", "Detected"):
        tell(world, key, result=reported, startedAt=began, message="as told")
        world.reconcile_once(key)
    assert world.event_reasons() == ["SafetyCheckFailed", "Detected"]


def test_transient_api_server_error_for_a_sweep_is_retried_soon(world: World) -> None:
    with_sweeps(world).line.faults.append(
        Fault(hits=on("kube:create cronjobs"), error=KubeError("writing", status=503, reason="busy"), times=1)
    )
    key = world.provisioned()
    assert world.condition(key, "SweepSucceeded")["reason"] == "NotStarted"


def test_final_stream_read_that_could_not_start_is_reported(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.line.faults.append(
        Fault(hits=on("kube:create jobs"), error=KubeError("making", status=403, reason="forbidden"))
    )
    world.delete(key)
    for _ in range(2):
        assert world.reconcile_once(key).failed
    world.clock.forward(PATIENCE_SECONDS)
    world.settle(key)
    assert (world.remains(), world.kube.batch, world.kube.objects) == ([], {}, {})
    assert "the final stream read failed" in world.kube.events[-1].message


@pytest.mark.parametrize("status", [None, 429, 503, 403, 422])
def test_one_error_of_the_api_server_does_not_skip_the_final_stream_read(world: World, status: int | None) -> None:
    key = with_sweeps(world).provisioned()
    world.line.faults.append(
        Fault(hits=on("kube:create jobs"), error=KubeError("making", status=status, reason="busy"), times=1)
    )
    world.delete(key)
    for _ in range(6):
        world.clock.forward(world.reconcile_once(key).requeue_after_seconds or 1.0)
    assert len(jobs(world)) == 1
    left = " ".join(world.remains())
    assert "function" in left, "without it, role and log group, nothing more is erased"
    assert "log group" in left


def test_final_stream_read_that_an_api_server_never_starts_is_skipped_and_reported(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.line.faults.append(
        Fault(hits=on("kube:create jobs"), error=KubeError("making", status=500, reason="webhook"))
    )
    world.delete(key)
    for _ in range(2):
        assert world.reconcile_once(key).failed
    world.clock.forward(PATIENCE_SECONDS)
    world.settle(key)
    assert (world.remains(), world.kube.batch, world.kube.objects) == ([], {}, {})
    assert "the final stream read failed" in world.kube.events[-1].message
