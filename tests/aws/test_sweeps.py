"""The sweep's CronJob and Jobs as passes keep them. AWS is an emulator's; Kubernetes keeps objects and runs none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames
from humangov.api.times import timestamp
from humangov.kube.client import KubeError
from humangov.reconcile import sweep_job_manifests

from testing.killed import Killed
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import denied
from testing.reconciler.world import World

TEMPLATE = {
    "metadata": {"labels": {"team": "records"}},
    "spec": {"serviceAccountName": "humangov-operator-sweep", "containers": [{"name": "sweep", "image": "humangov:1"}]},
}
CRON_JOB = "cronjobs"


def with_sweeps(world: World) -> World:
    world.settings = replace(world.settings, sweep_template="template", own_namespace="operators")
    world.kube.templates["cronjobs", "template"] = {"spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}}
    world.new_life()
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


def test_without_a_template_there_is_no_cron_job_and_no_word_of_sweeps(world: World) -> None:
    key = world.provisioned()
    world.one_pass(key)
    assert world.kube.batch == {}
    assert "Sweeping" not in [one["type"] for one in world.status(key)["conditions"]]


def test_a_ready_tenant_has_its_cron_job_and_a_settled_one_gets_no_write(world: World) -> None:
    key = with_sweeps(world).provisioned(sweep={"schedule": "5 4 * * *", "timeZone": "America/Los_Angeles"})
    spec = cron_job(world, key)["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["suspend"]) == ("5 4 * * *", "America/Los_Angeles", False)
    assert spec["concurrencyPolicy"] == "Forbid"
    assert cron_job(world, key)["metadata"]["namespace"] == "operators"
    [container] = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    uid = world.kube.objects[key]["metadata"]["uid"]
    assert container["args"] == ["sweep", key, "--uid", uid, "--report-status"]
    assert world.condition(key, "Sweeping")["reason"] == "NotYet"
    for _ in range(7):
        world.one_pass(key)
    assert world.line.kube_writes() == []


@pytest.mark.parametrize("change", ["schedule", "gone", "image", "suspend"])
def test_what_somebody_changes_of_the_cron_job_is_put_back(world: World, change: str) -> None:
    key = with_sweeps(world).provisioned()
    wanted = cron_job(world, key)
    spec = wanted["spec"]
    if change == "gone":
        world.kube.batch.clear()
    elif change == "image":
        spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    else:
        spec[change] = True if change == "suspend" else "* * * * *"
    world.one_pass(key)
    pod = cron_job(world, key)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "humangov:1"
    assert (cron_job(world, key)["spec"]["schedule"], cron_job(world, key)["spec"]["suspend"]) == ("17 3 * * *", False)


def test_suspending_the_tenant_pauses_its_sweeps(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.kube.edit(key, lambda one: one["spec"].update(suspend=True))
    annotate(world, key, "now")
    world.one_pass(key)
    assert cron_job(world, key)["spec"]["suspend"] is True
    assert jobs(world) == []
    assert "paused by spec.suspend" in world.condition(key, "Sweeping")["message"]


def test_a_cron_job_of_this_name_that_is_not_ours_is_not_touched(world: World) -> None:
    key = with_sweeps(world).provisioned(trigger={"enabled": False})
    cron_job(world, key)["metadata"]["annotations"] = {"humangov.io/owner": "other/humangov/california"}
    cron_job(world, key)["spec"]["schedule"] = "0 0 * * *"
    world.one_pass(key)
    assert cron_job(world, key)["spec"]["schedule"] == "0 0 * * *"
    assert world.condition(key, "Sweeping")["reason"] == "NotOwned"
    world.delete(key)
    world.settle(key)
    assert [plural for plural, _ in world.kube.batch] == [CRON_JOB]


def test_a_cron_job_that_cannot_be_made_is_a_warning_and_ready_stays_true(world: World) -> None:
    with_sweeps(world).line.faults.append(
        Fault(hits=on("kube:create cronjobs"), error=KubeError("writing", status=403, reason="forbidden"))
    )
    key = world.provisioned()
    assert world.condition(key, "Sweeping")["reason"] == "NotScheduled"
    assert world.ready(key).startswith("True")


def test_without_its_template_nothing_is_scheduled_and_the_condition_names_it(world: World) -> None:
    with_sweeps(world).kube.templates.clear()
    key = world.provisioned()
    condition = world.condition(key, "Sweeping")
    assert condition["reason"] == "NotScheduled"
    assert "operators/template: --sweep-template is not there" in condition["message"]
    assert world.ready(key).startswith("True")


def test_each_value_of_the_annotation_starts_one_job(world: World) -> None:
    key = with_sweeps(world).provisioned()
    annotate(world, key, "1")
    for _ in range(3):
        world.one_pass(key)
    [first] = jobs(world)
    assert world.status(key)["lastHandledSweep"] == "1"
    annotate(world, key, "2")
    outcome = world.one_pass(key)
    assert jobs(world) == [first]  # one at a time
    assert outcome.after is not None
    finish(world, first)
    world.one_pass(key)
    assert len(jobs(world)) == 2


def test_killed_between_the_job_and_its_echo_there_is_still_one(world: World) -> None:
    key = with_sweeps(world).provisioned()
    annotate(world, key, "1")
    world.new_life()
    world.line.kill_after_write = 1
    with pytest.raises(Killed):
        world.one_pass(key)
    assert len(jobs(world)) == 1
    assert "lastHandledSweep" not in world.status(key)
    world.new_life()
    finish(world, jobs(world)[0])
    world.settle(key)
    assert len(jobs(world)) == 1
    assert world.status(key)["lastHandledSweep"] == "1"


def test_the_condition_tells_what_the_last_sweep_came_to_with_an_event_when_that_turns(world: World) -> None:
    key = with_sweeps(world).provisioned()
    tell(world, key, result="Refused", message="3,000 of 4,000 files", manifest="s3://b/k")
    world.one_pass(key)
    condition = world.condition(key, "Sweeping")
    assert (condition["status"], condition["reason"]) == ("False", "BrakeHeld")
    assert condition["message"] == "3,000 of 4,000 files; manifest: s3://b/k"
    tell(world, key, result="Erased", message="done")
    world.one_pass(key)
    world.one_pass(key)
    assert [(one.kind, one.reason) for one in world.kube.events] == [("Warning", "BrakeHeld"), ("Normal", "Erased")]
    assert world.ready(key).startswith("True")


def test_a_sweep_that_ended_without_a_word_has_failed(world: World) -> None:
    key = with_sweeps(world).provisioned()
    annotate(world, key, "1")
    world.one_pass(key)
    tell(world, key, result="Running", startedAt="2026-03-01T00:00:00Z")
    world.one_pass(key)
    assert world.condition(key, "Sweeping")["reason"] == "Running"
    finish(world, jobs(world)[0], "Failed")
    world.one_pass(key)
    assert world.condition(key, "Sweeping")["reason"] == "SweepFailed"


def test_files_that_several_records_name_turn_the_trigger_off_until_a_sweep_sees_none(world: World) -> None:
    key = with_sweeps(world).provisioned()
    tell(world, key, result="Refused", filesShared=2, message="2 files")
    for _ in range(3):
        world.one_pass(key)
    [mapping] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert mapping["State"] == "Disabled"
    assert world.ready(key).startswith("False FilesShared: 2 files are named by more than one record")
    tell(world, key, result="Reported", filesShared=0, message="none")
    world.settle(key)
    [mapping] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert mapping["State"] == "Enabled"
    assert world.ready(key).startswith("True")


def test_the_end_removes_sweeps_first_and_has_the_stream_read_once_more_when_the_trigger_is_gone(world: World) -> None:
    key = with_sweeps(world).provisioned()
    annotate(world, key, "1")
    world.one_pass(key)
    world.line.forget()
    world.delete(key)
    deleted_at = world.kube.objects[key]["metadata"]["deletionTimestamp"]
    for _ in range(4):
        world.one_pass(key)
        world.clock.forward(1)
    calls = [call.action for call in world.line.calls if call.writes]
    assert calls.index("kube:delete cronjobs") < calls.index("lambda:DeleteEventSourceMapping")
    assert calls.index("lambda:DeleteEventSourceMapping") < calls.index("kube:create jobs")
    assert "lambda:DeleteFunction" not in calls
    [name] = jobs(world)
    [container] = world.kube.batch["jobs", name]["spec"]["template"]["spec"]["containers"]
    since = container["args"][container["args"].index("--since") + 1]
    at = datetime.strptime(since, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert (datetime.fromisoformat(deleted_at.replace("Z", "+00:00")) - at).total_seconds() == 15 * 60
    finish(world, name)
    world.kube.objects[key]["status"]["finalRead"] = {"message": "7 late records of the stream were looked at"}
    world.settle(key)
    assert (world.remains(), world.kube.batch, world.kube.objects) == ([], {}, {})
    assert "7 late records of the stream were looked at" in world.kube.events[-1].message


def test_a_last_look_that_never_ends_is_given_up_and_said(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.delete(key)
    for _ in range(3):
        world.one_pass(key)
    [name] = jobs(world)
    world.kube.batch["jobs", name]["metadata"]["creationTimestamp"] = world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    world.clock.forward(151)
    world.settle(key)
    assert (world.remains(), world.kube.batch, world.kube.objects) == ([], {}, {})
    assert "could not be looked at" in world.kube.events[-1].message


def test_where_nothing_may_be_erased_the_stream_is_not_read_once_more(world: World) -> None:
    key = with_sweeps(world).provisioned(trigger={"enabled": False})
    world.delete(key)
    world.settle(key)
    assert (world.remains(), world.kube.batch, world.kube.objects) == ([], {}, {})
    assert "kube:create jobs" not in [call.action for call in world.line.calls]


def test_what_is_let_go_is_swept_no_more(world: World) -> None:
    key = with_sweeps(world).provisioned(deletionPolicy="Retain")
    annotate(world, key, "1")
    world.one_pass(key)
    assert len(world.kube.batch) == 2
    world.delete(key)
    world.settle(key)
    assert (world.kube.batch, world.kube.objects) == ({}, {})
    assert world.event_reasons()[-1] == "Retained"
    assert "function humangov-california-delete-file" in world.remains()


def test_killed_after_any_write_the_end_is_the_same(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.delete(key)
    for _ in range(40):
        world.new_life()
        world.line.kill_after_write = 1
        try:
            outcome = world.one_pass(key)
        except Killed:
            outcome = None
        for name in jobs(world):
            if world.line.dead is False:
                finish(world, name)
        world.clock.forward(3)
        if outcome is not None and outcome.forget and key not in world.kube.objects:
            break
    world.new_life()
    if key in world.kube.objects:
        world.settle(key)
    assert (world.remains(), world.kube.batch, world.kube.objects) == ([], {}, {})


def test_who_is_let_go_under_another_cluster_s_name_leaves_none_either(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.cluster = "renamed"
    world.new_life()
    world.delete(key)
    world.one_pass(key)
    assert world.ready(key).startswith("False IdentityChanged")
    world.kube.edit(key, lambda one: one["spec"].update(deletionPolicy="Retain"))
    world.settle(key)
    assert (world.kube.batch, world.kube.objects) == ({}, {})


def test_who_has_no_finalizer_yet_has_no_cron_job(world: World) -> None:
    key = with_sweeps(world).apply(world.manifest(suspend=True))
    for _ in range(3):
        world.one_pass(key)
        world.clock.forward(20 * 60)
    assert world.ready(key).startswith("False TableNotFound")
    assert world.kube.batch == {}


def test_killed_between_the_first_cron_job_and_the_first_status_a_forbidden_tenant_leaves_none(world: World) -> None:
    with_sweeps(world).line.faults.append(Fault(hits=on("dynamodb:DescribeTable"), error=denied("DescribeTable")))
    key = world.apply()
    world.line.kill_after_write = 2  # the finalizer, then the CronJob
    with pytest.raises(Killed):
        world.one_pass(key)
    assert [plural for plural, _ in world.kube.batch] == [CRON_JOB]
    assert "aws" not in world.status(key)
    world.settings = replace(world.settings, allowed=AllowedNames({}))
    world.new_life()
    world.delete(key)
    world.settle(key)
    assert (world.kube.batch, world.kube.objects) == ({}, {})


def test_suspending_pauses_sweeps_also_while_something_is_left_undone(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.kube.edit(key, lambda one: one["spec"].update(suspend=True, function={"memoryMiB": 1024}))
    world.one_pass(key)
    assert world.ready(key).startswith("Unknown Suspended")
    assert cron_job(world, key)["spec"]["suspend"] is True


def test_a_job_that_was_made_before_its_echo_is_echoed_while_it_runs(world: World) -> None:
    key = with_sweeps(world).provisioned()
    annotate(world, key, "1")
    world.new_life()
    world.line.kill_after_write = 1
    with pytest.raises(Killed):
        world.one_pass(key)
    world.new_life()
    world.settle(key)
    assert len(jobs(world)) == 1
    assert world.status(key)["lastHandledSweep"] == "1"


def test_that_the_next_sweep_begins_does_not_take_a_warning_back(world: World) -> None:
    key = with_sweeps(world).provisioned()
    began = timestamp(world.clock.now())
    for told in ("Refused", "Running", "Refused", "Running", "Reported", "Running", "Reported"):
        tell(world, key, result=told, startedAt=began, message="")
        world.one_pass(key)
    assert world.event_reasons() == ["BrakeHeld", "Reported"]


def test_what_the_api_server_refused_for_a_moment_is_tried_again_soon(world: World) -> None:
    with_sweeps(world).line.faults.append(
        Fault(hits=on("kube:create cronjobs"), error=KubeError("writing", status=503, reason="busy"), times=1)
    )
    key = world.provisioned()
    assert world.condition(key, "Sweeping")["reason"] == "NotYet"


def test_a_last_look_that_could_not_even_begin_is_said(world: World) -> None:
    key = with_sweeps(world).provisioned()
    world.line.faults.append(
        Fault(hits=on("kube:create jobs"), error=KubeError("making", status=403, reason="forbidden"))
    )
    world.delete(key)
    world.settle(key)
    assert (world.remains(), world.kube.batch, world.kube.objects) == ([], {}, {})
    assert "could not be looked at" in world.kube.events[-1].message
