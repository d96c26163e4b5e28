"""A legal hold on whole reconciles: stopped until the function has it, in effect when nothing older can be running,
redriven at its end. AWS is an emulator's. What the function does under a hold is shown in tests/lambda.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from humangov.api.conditions import find_condition
from humangov.api.stop import stop_of

from testing.killed import Killed
from testing.reconciler.drifts import NAME
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import denied
from testing.reconciler.world import World

from .test_sweeps import jobs, tell, with_sweeps

REASON = "Case 26-1234"
LAMBDA_WRITES = (
    "lambda:PutFunctionConcurrency", "lambda:UpdateFunctionConfiguration", "lambda:DeleteFunctionConcurrency",
    "lambda:UpdateFunctionCode",
)  # fmt: skip


def hold(world: World, key: str, reason: str | None = REASON) -> None:
    def change(one: dict[str, Any]) -> None:
        one["spec"].pop("hold", None)
        if reason is not None:
            one["spec"]["hold"] = {"reason": reason}

    world.kube.edit(key, change)


def held_condition(world: World, key: str) -> Mapping[str, Any] | None:
    return find_condition(world.status(key), "Held")


def passes(world: World, key: str, number: int = 12) -> None:
    """Reconciles as the queue would run them, within a minute or so."""
    for _ in range(number):
        outcome = world.reconcile_once(key)
        wait = outcome.requeue_after_seconds
        if outcome.forget or wait is None or wait > 60:
            return
        world.clock.forward(wait or 1.0)


def held(world: World, **spec: Any) -> str:
    """A tenant whose hold is in effect."""
    key = world.provisioned(**spec)
    hold(world, key)
    passes(world, key)
    world.clock.forward(17 * 60)
    passes(world, key)
    assert (held_condition(world, key) or {}).get("status") == "True"
    world.line.forget()
    world.kube.events.clear()
    return key


def function_of(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.sdk.client("lambda").get_function(FunctionName=NAME)
    return found


def concurrency(world: World) -> int | None:
    return (function_of(world).get("Concurrency") or {}).get("ReservedConcurrentExecutions")


def variables(world: World) -> dict[str, str]:
    found: dict[str, str] = function_of(world)["Configuration"]["Environment"]["Variables"]
    return found


def mapping(world: World) -> dict[str, Any]:
    [found] = world.sdk.client("lambda").list_event_source_mappings(FunctionName=NAME)["EventSourceMappings"]
    return dict(found)


def test_hold_stops_the_function_until_the_function_has_it(world: World) -> None:
    key = world.provisioned()
    hold(world, key)
    passes(world, key)
    writes = [call for call in world.line.calls if call.action in LAMBDA_WRITES]
    assert [call.action for call in writes] == [LAMBDA_WRITES[0], LAMBDA_WRITES[1], LAMBDA_WRITES[2]]
    assert writes[0].parameters["ReservedConcurrentExecutions"] == 0
    assert variables(world)["HUMANGOV_HOLD"] == REASON
    assert world.status(key)["hold"] == {"reason": REASON, "since": variables(world)["HUMANGOV_HOLD_SINCE"]}
    assert concurrency(world) is None
    assert mapping(world)["State"] == "Enabled"
    assert world.ready(key).startswith("True LegalHold")


def test_hold_is_in_effect_only_when_no_earlier_invocation_can_be_running(world: World) -> None:
    key = world.provisioned()
    hold(world, key)
    passes(world, key)
    condition = held_condition(world, key)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("Unknown", "HoldStarting")
    assert "may erase files until" in condition["message"]
    world.clock.forward(15 * 60)
    world.reconcile_once(key)
    assert (held_condition(world, key) or {})["status"] == "Unknown"
    world.clock.forward(2 * 60)
    world.reconcile_once(key)
    condition = held_condition(world, key)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "LegalHold")
    assert REASON in condition["message"]
    assert "nothing has been erased since" in condition["message"]
    assert [one for one in world.event_reasons() if one in ("HoldStarting", "LegalHold")].count("LegalHold") >= 1


def test_settled_hold_is_written_nothing(world: World) -> None:
    key = held(world)
    for _ in range(7):
        world.reconcile_once(key)
    assert [call.action for call in world.line.calls if call.writes] == []


def test_mapping_stores_a_failed_batch_whole_and_at_once_while_held(world: World) -> None:
    key = held(world)
    found = mapping(world)
    assert (found["MaximumRetryAttempts"], found["BisectBatchOnFunctionError"]) == (0, False)
    hold(world, key, None)
    passes(world, key)
    found = mapping(world)
    assert (found["MaximumRetryAttempts"], found["BisectBatchOnFunctionError"]) == (10, False)


def test_function_that_can_not_be_given_the_hold_stays_stopped(world: World) -> None:
    key = world.provisioned()
    world.line.faults = [Fault(on("lambda:UpdateFunctionConfiguration"), error=denied("lambda:…"))]
    hold(world, key)
    passes(world, key)
    assert concurrency(world) == 0
    assert "hold" not in world.status(key)
    assert (held_condition(world, key) or {})["status"] == "Unknown"
    assert not world.ready(key).startswith("True")
    assert stop_of(world.kube.objects[key], of_all=None) is not None


@pytest.mark.parametrize("spec", [{"suspend": True}, {"table": {"name": "humangov-not-there"}}])
def test_tenant_that_can_not_be_given_the_hold_is_stopped(world: World, spec: dict[str, Any]) -> None:
    key = world.provisioned()

    def change(one: dict[str, Any]) -> None:
        one["spec"] |= spec

    world.kube.edit(key, change)
    hold(world, key)
    passes(world, key)
    assert concurrency(world) == 0
    assert (held_condition(world, key) or {}).get("status") != "True"


@pytest.mark.parametrize("at", range(1, 10))
def test_operator_killed_after_any_write_never_lets_a_function_without_the_hold_run(world: World, at: int) -> None:
    key = world.provisioned()
    hold(world, key)
    world.line.kill_after_write = world.line.writes_so_far + at
    with pytest.raises(Killed):
        passes(world, key)
    assert concurrency(world) == 0 or "HUMANGOV_HOLD" in variables(world) or at == 1
    world.restart_operator()
    passes(world, key)
    assert variables(world)["HUMANGOV_HOLD"] == REASON
    assert concurrency(world) is None
    world.clock.forward(17 * 60)
    passes(world, key)
    assert (held_condition(world, key) or {})["status"] == "True"


def test_hold_that_someone_removed_from_the_function_begins_again(world: World) -> None:
    key = held(world)
    since = world.status(key)["hold"]["since"]
    left = {name: value for name, value in variables(world).items() if not name.startswith("HUMANGOV_HOLD")}
    world.sdk.client("lambda").update_function_configuration(FunctionName=NAME, Environment={"Variables": left})
    passes(world, key)
    writes = [call.action for call in world.line.calls if call.action in LAMBDA_WRITES]
    assert writes == [LAMBDA_WRITES[0], LAMBDA_WRITES[1], LAMBDA_WRITES[2]]  # stopped, put on hold, started
    assert variables(world)["HUMANGOV_HOLD"] == REASON
    assert world.status(key)["hold"]["since"] > since
    assert (held_condition(world, key) or {})["status"] == "Unknown"


def test_hold_survives_a_lost_status_with_its_date(world: World) -> None:
    key = held(world)
    before = world.status(key)["hold"]
    world.kube.objects[key]["status"] = {}
    world.restart_operator()
    passes(world, key)
    assert world.status(key)["hold"] == before
    assert (held_condition(world, key) or {})["status"] == "True"


def test_edited_reason_keeps_the_date_of_the_hold(world: World) -> None:
    key = held(world)
    since = world.status(key)["hold"]["since"]
    hold(world, key, "Case 26-1234, extended")
    passes(world, key)
    assert world.status(key)["hold"] == {"reason": "Case 26-1234, extended", "since": since}
    assert variables(world)["HUMANGOV_HOLD"] == "Case 26-1234, extended"


def test_end_of_a_hold_starts_one_sweep_that_redrives_what_it_kept(world: World) -> None:
    with_sweeps(world)
    key = held(world)
    assert jobs(world) == []
    hold(world, key, None)
    passes(world, key)
    [job] = jobs(world)
    arguments = world.kube.batch["jobs", job]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[:2] == ["sweep", key]
    assert "HUMANGOV_HOLD" not in variables(world)
    assert "hold" not in world.status(key)
    condition = held_condition(world, key)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "HoldEnded")
    assert "HoldEnded" in world.event_reasons()
    for _ in range(3):
        world.reconcile_once(key)
    assert jobs(world) == [job]


def test_end_of_a_hold_without_sweeps_says_which_command_redrives(world: World) -> None:
    key = held(world)
    hold(world, key, None)
    passes(world, key)
    condition = held_condition(world, key)
    assert condition is not None
    assert condition["status"] == "False"
    assert "humangov redrive --namespace humangov california" in condition["message"]


def test_end_of_a_hold_is_redriven_only_once_the_tenant_is_not_stopped(world: World) -> None:
    with_sweeps(world)
    key = held(world)

    def stop(one: dict[str, Any]) -> None:
        one["metadata"].setdefault("annotations", {})["humangov.io/stop"] = "wait"

    world.kube.edit(key, stop)
    hold(world, key, None)
    passes(world, key)
    assert jobs(world) == []
    assert (held_condition(world, key) or {})["reason"] == "HoldEnding"
    world.kube.edit(key, lambda one: one["metadata"]["annotations"].clear())
    passes(world, key)
    assert len(jobs(world)) == 1


def test_end_of_a_hold_is_redriven_only_once_no_files_are_shared(world: World) -> None:
    with_sweeps(world)
    key = held(world)
    tell(world, key, result="SafetyCheckFailed", filesShared=2, message="2 files")
    hold(world, key, None)
    passes(world, key)
    assert jobs(world) == []
    assert (held_condition(world, key) or {})["reason"] == "HoldEnding"
    tell(world, key, result="Detected", filesShared=0, message="none")
    passes(world, key)
    assert len(jobs(world)) == 1


def test_deletion_of_a_held_tenant_waits_and_says_so(world: World) -> None:
    with_sweeps(world)
    key = held(world)
    world.delete(key)
    passes(world, key)
    assert world.ready(key).startswith("False LegalHold: the deletion waits until the legal hold ends")
    assert world.condition(key, "Stalled")["status"] == "True"
    assert mapping(world)["State"] == "Enabled"
    assert variables(world)["HUMANGOV_HOLD"] == REASON
    assert jobs(world) == []  # no final stream read
    hold(world, key, None)
    for _ in range(30):
        outcome = world.reconcile_once(key)
        if outcome.forget:
            break
        for name in jobs(world):
            world.kube.batch["jobs", name]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        world.clock.forward(outcome.requeue_after_seconds or 1.0)
    assert key not in world.kube.objects
    assert world.remains() == []


def test_hold_that_comes_during_a_deletion_stops_it(world: World) -> None:
    key = world.provisioned()
    world.delete(key)
    hold(world, key)
    passes(world, key)
    assert variables(world)["HUMANGOV_HOLD"] == REASON
    assert world.ready(key).startswith("False LegalHold")


def test_held_tenant_with_deletion_policy_retain_is_released_with_its_hold(world: World) -> None:
    key = held(world, deletionPolicy="Retain")
    world.delete(key)
    passes(world, key)
    assert key not in world.kube.objects
    assert variables(world)["HUMANGOV_HOLD"] == REASON
    assert "Retained" in world.event_reasons()


def test_tenant_that_is_released_before_its_function_has_the_hold_stays_stopped(world: World) -> None:
    key = world.provisioned(deletionPolicy="Retain")
    world.kube.edit(key, lambda one: one["spec"].update(suspend=True))
    world.delete(key)
    hold(world, key)
    passes(world, key)
    assert key not in world.kube.objects
    assert concurrency(world) == 0


def test_invocation_records_written_under_a_hold_count_as_held_and_not_as_failed(world: World) -> None:
    key = held(world)
    world.sdk.client("s3").put_object(
        Bucket=world.bucket, Key=f"aws/lambda/{mapping(world)['UUID']}/shard/2026/11/28/one", Body=b"{}"
    )
    # The world's clock is ahead of the emulator's.
    world.line.faults = [Fault(on("s3:ListBucket"), alter=lambda answer: dated(answer, world.clock.now()))]
    world.reconcile_once(key)
    condition = find_condition(world.status(key), "FailuresHandled")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "Held")
    assert "1 invocation record" in condition["message"]
    assert [one for one in world.kube.events if one.kind == "Warning"] == []


def test_failed_invocations_from_before_the_hold_stay_a_warning(world: World) -> None:
    key = held(world)
    world.sdk.client("s3").put_object(
        Bucket=world.bucket, Key=f"aws/lambda/{mapping(world)['UUID']}/shard/2026/11/27/one", Body=b"{}"
    )
    world.line.faults = [
        Fault(on("s3:ListBucket"), alter=lambda answer: dated(answer, world.clock.now() - timedelta(hours=2)))
    ]
    world.reconcile_once(key)
    condition = find_condition(world.status(key), "FailuresHandled")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "RedriveNeeded")
    assert "older than the legal hold" in condition["message"]
    assert "run: humangov redrive" not in condition["message"]  # it would refuse


def dated(answer: Any, moment: datetime) -> Any:
    """A listing of S3 whose objects were all written then."""
    return answer | {"Contents": [one | {"LastModified": moment} for one in answer.get("Contents") or ()]}
