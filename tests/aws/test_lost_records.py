"""Lost records are told, from when to when, until a sweep has found their files: condition RecordsHandled.

Labels of streams go by the moved clock. What a sweep writes into the status is put there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from humangov.api.times import parse_time, timestamp
from humangov.aws import stream_observed
from humangov.aws.stream_lag import StreamLag

from testing.reconciler.drifts import NAME, OTHER_CODE, TABLE, awslambda, mapping_uuid
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import throttled
from testing.reconciler.world import World

MINUTE, HOUR = 60.0, 3600.0


@pytest.fixture(autouse=True)
def births(world: World, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, datetime]:
    """The emulated DynamoDB's labels go by the machine's clock."""
    found: dict[str, datetime] = {}
    monkeypatch.setattr(
        stream_observed, "born_at", lambda label: found.setdefault(label, world.clock.now()) if label else None
    )
    return found


def disable_stream(world: World) -> None:
    world.sdk.client("dynamodb").update_table(TableName=TABLE, StreamSpecification={"StreamEnabled": False})


def shown(world: World, key: str) -> str | None:
    found = next((one for one in world.status(key)["conditions"] if one["type"] == "RecordsHandled"), None)
    return f"{found['status']} {found['reason']}: {found['message']}" if found else None


def span(world: World, key: str) -> tuple[datetime | None, datetime | None]:
    lost = world.status(key)["records"].get("lost") or {}
    return parse_time(lost.get("from")), parse_time(lost.get("until"))


def swept(world: World, key: str, *, began: datetime, result: str = "Detected", too_young: int = 0) -> None:
    """As the sweep's Job writes it."""
    fields = {
        "run": "r", "startedAt": timestamp(began), "result": result, "tooYoung": too_young, "mode": "Detect",
        "message": "orphans: 1",
    }  # fmt: skip
    world.kube.edit(key, lambda one: one["status"].update(sweep=fields))


def lose(world: World, key: str, *, unseen: float = 5 * MINUTE) -> tuple[datetime, datetime]:
    """Somebody disables the stream between two reconciliations, and the operator enables it again; when they were."""
    world.reconcile_once(key)
    before = world.clock.now()
    world.clock.forward(unseen)
    disable_stream(world)
    world.settle(key)
    return before, world.clock.now()


def test_stream_that_was_disabled_for_a_time_is_reported_with_its_span(world: World) -> None:
    key = world.provisioned()
    assert shown(world, key) is None
    before, after = lose(world, key)
    since, until = span(world, key)
    assert since is not None
    assert until is not None
    assert before - timedelta(seconds=5) <= since <= before
    assert before + timedelta(seconds=5 * MINUTE - 1) <= until <= after
    text = shown(world, key) or ""
    assert text.startswith(f"False RecordsLost: records written from {timestamp(since)} to {timestamp(until)} ")
    assert "sweep" in text
    assert world.ready(key).startswith("True"), "it is a warning"
    assert [(one.kind, one.reason) for one in world.kube.events if one.reason == "RecordsLost"] == [
        ("Warning", "RecordsLost")
    ]
    world.line.forget()
    world.clock.forward(HOUR)
    world.reconcile_once(key)
    assert world.line.kube_writes() == [], "it is said once"


def test_lost_records_stay_reported_after_a_restart_until_a_later_sweep_has_succeeded(world: World) -> None:
    key = world.provisioned()
    _, after = lose(world, key)
    told = shown(world, key)
    world.restart_operator()
    world.reconcile_once(key)
    assert shown(world, key) == told
    since, until = span(world, key)
    assert since is not None
    assert until is not None
    swept(world, key, began=until - timedelta(seconds=1))
    world.reconcile_once(key)
    assert shown(world, key) == told, "that sweep began before the last of them was lost"
    for result in ("Running", "Failed", "Stopped", "SafetyCheckFailed", "ErasureFailed"):
        swept(world, key, began=after + timedelta(days=2), result=result)
        world.reconcile_once(key)
        assert shown(world, key) == told, result
    swept(world, key, began=after + timedelta(minutes=1), too_young=3)
    world.reconcile_once(key)
    assert shown(world, key) == told, "it left out young files"
    swept(world, key, began=after + timedelta(minutes=1))
    world.reconcile_once(key)
    assert (shown(world, key) or "").startswith("True Swept: ")
    assert "lost" not in world.status(key)["records"]
    assert world.event_reasons()[-1] == "Swept"


def test_sweep_that_left_out_young_files_covers_what_was_lost_before_they_were_old_enough(world: World) -> None:
    key = world.provisioned()
    _, after = lose(world, key)
    swept(world, key, began=after + timedelta(hours=25), too_young=3)
    world.reconcile_once(key)
    assert (shown(world, key) or "").startswith("True Swept: ")


def test_stream_that_stays_disabled_is_reported_at_once_and_enabling_it_ends_the_span(world: World) -> None:
    key = world.provisioned()
    world.reconcile_once(key)
    world.kube.edit(key, lambda one: one["spec"].update(suspend=True))  # so the operator leaves it
    world.reconcile_once(key)
    before = world.clock.now()
    disable_stream(world)
    world.clock.forward(MINUTE)
    world.reconcile_once(key)
    since, until = span(world, key)
    assert since is not None
    assert since <= before
    assert until is None
    assert "and more will be" in (shown(world, key) or "")
    swept(world, key, began=world.clock.now() + timedelta(hours=1))
    world.reconcile_once(key)
    assert (shown(world, key) or "").startswith("False"), "no sweep can end what goes on"
    world.clock.forward(3 * HOUR)
    world.kube.edit(key, lambda one: one["spec"].update(suspend=False))
    world.settle(key)
    assert span(world, key)[0] == since
    ended = span(world, key)[1]
    assert ended is not None
    assert ended >= before + timedelta(hours=3)


def test_stream_that_others_disabled_and_enabled_while_the_operator_was_down_is_reported(world: World) -> None:
    """Nobody saw when it was disabled: from the last moment at which it was surely read."""
    key = world.provisioned()
    ready = parse_time(world.condition(key, "TriggerReady")["lastTransitionTime"])
    world.clock.forward(3 * HOUR)
    disable_stream(world)
    world.sdk.client("dynamodb").update_table(
        TableName=TABLE, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    )
    world.restart_operator()
    world.settle(key)
    assert span(world, key)[0] == ready
    assert (shown(world, key) or "").startswith("False RecordsLost")


def test_table_that_was_deleted_and_created_again_under_its_name_is_reported(world: World) -> None:
    key = world.provisioned()
    world.reconcile_once(key)
    world.clock.forward(MINUTE)
    world.sdk.client("dynamodb").delete_table(TableName=TABLE)
    world.reconcile_once(key)
    assert "re-created" in (shown(world, key) or "")
    world.make_table()
    world.settle(key)
    assert None not in span(world, key)
    assert world.ready(key).startswith("True")


@pytest.mark.parametrize(("hours", "lost"), [(23.0, False), (30.0, True)])
def test_trigger_that_is_disabled_beyond_the_streams_24_hours_loses_what_is_older(
    world: World, hours: float, lost: bool
) -> None:
    key = world.provisioned()
    world.reconcile_once(key)
    begun = world.clock.now()
    world.kube.edit(key, lambda one: one["spec"].update(trigger={"enabled": False}))
    world.settle(key)
    assert "unreadSince" in world.status(key)["records"]
    world.restart_operator()
    world.clock.forward(hours * HOUR)
    world.reconcile_once(key)
    assert (shown(world, key) is not None) is lost
    world.kube.edit(key, lambda one: one["spec"].update(trigger={"enabled": True}))
    world.settle(key)
    assert "unreadSince" not in world.status(key)["records"]
    if not lost:
        assert shown(world, key) is None
        return
    since, until = span(world, key)
    assert since is not None
    assert until is not None
    assert begun - timedelta(seconds=5) <= since <= begun + timedelta(seconds=5)
    assert begun + timedelta(hours=5.9) <= until <= begun + timedelta(hours=6.1)


def test_stop_beyond_24_hours_loses_records_and_a_legal_hold_does_not(world: World) -> None:
    key = world.provisioned()
    world.kube.edit(key, lambda one: one["metadata"].update(annotations={"humangov.io/stop": "a drill"}))
    world.settle(key)
    world.clock.forward(25 * HOUR)
    world.reconcile_once(key)
    assert (shown(world, key) or "").startswith("False RecordsLost")


def test_legal_hold_of_days_loses_no_record(world: World) -> None:
    """Each batch is handed to the function, and stored."""
    key = world.provisioned(hold={"reason": "case 7"})
    world.clock.forward(72 * HOUR)
    world.settle(key)
    assert shown(world, key) is None


def test_trigger_that_was_deleted_and_comes_back_within_24_hours_has_lost_nothing(world: World) -> None:
    key = world.provisioned()
    world.clock.forward(HOUR)
    awslambda(world).delete_event_source_mapping(UUID=mapping_uuid(world))
    world.settle(key)
    world.reconcile_once(key)
    assert shown(world, key) is None
    assert set(world.status(key)["records"]) == {"stream"}


def test_unknown_state_of_the_stream_neither_begins_nor_ends_lost_records(world: World) -> None:
    key = world.provisioned()
    before = world.status(key)["records"]
    world.line.faults = [Fault(on("dynamodb:DescribeTable", "lambda:ListEventSourceMappings"), error=throttled())]
    world.clock.forward(30 * HOUR)
    world.reconcile_once(key)
    assert world.status(key)["records"] == before
    assert shown(world, key) is None


def test_problem_of_the_trigger_that_lasts_over_24_hours_loses_records(world: World) -> None:
    key = world.provisioned()
    world.reconcile_once(key)

    def said(answer: Any) -> Any:
        for mapping in answer["EventSourceMappings"]:
            mapping["LastProcessingResult"] = "PROBLEM: Cannot access stream."
        return answer

    world.line.faults = [Fault(on("lambda:ListEventSourceMappings"), alter=said)]
    for _ in range(2):
        world.reconcile_once(key)
        world.clock.forward(23 * HOUR)
    assert shown(world, key) is None
    world.reconcile_once(key)
    assert (shown(world, key) or "").startswith("False RecordsLost")


def test_anothers_function_of_the_same_name_receives_the_records_and_they_are_lost_at_once(world: World) -> None:
    key = world.provisioned()
    world.reconcile_once(key)
    arn = awslambda(world).get_function(FunctionName=NAME)["Configuration"]["FunctionArn"]
    awslambda(world).untag_resource(Resource=arn, TagKeys=["humangov.io/tenant"])
    world.reconcile_once(key)
    assert world.ready(key).startswith("False NotOwned")
    assert shown(world, key) is None, "it has lost its tag, and nothing else"
    awslambda(world).update_function_code(FunctionName=NAME, ZipFile=OTHER_CODE)
    world.reconcile_once(key)
    assert "that someone else owns" in (shown(world, key) or "")


def test_failed_invocations_that_could_not_be_stored_are_lost_records(world: World) -> None:
    key = world.provisioned(trigger={"maximumRecordAgeSeconds": 3600})
    now = world.clock.now()
    tenant = world.operator.store.tenants()[0]
    lag = StreamLag(not_stored=(now - timedelta(minutes=6), now - timedelta(minutes=1)), read_at=now)
    world.operator.store.remember(key, uid=tenant.uid, deliveries=lag)
    world.reconcile_once(key)
    since, until = span(world, key)
    assert since == (now - timedelta(minutes=66)).replace(microsecond=0)
    assert until == (now - timedelta(minutes=1)).replace(microsecond=0)
    assert "could not store" in (shown(world, key) or "")


def test_tenant_whose_file_names_are_shared_loses_no_record_that_its_sweep_would_not_find(world: World) -> None:
    key = world.provisioned(table={"name": TABLE, "fileNames": "Shared"})
    lose(world, key)
    assert shown(world, key) is None
    assert "records" not in world.status(key)


def test_trigger_that_others_disable_and_enable_while_the_operator_is_down_leaves_no_trace(world: World) -> None:
    """A limit that docs/operations.md states: AWS does not say since when a mapping is enabled."""
    key = world.provisioned()
    world.reconcile_once(key)
    uuid = mapping_uuid(world)
    awslambda(world).update_event_source_mapping(UUID=uuid, Enabled=False)
    world.clock.forward(30 * HOUR)
    awslambda(world).update_event_source_mapping(UUID=uuid, Enabled=True)
    world.restart_operator()
    world.settle(key)
    assert shown(world, key) is None
    assert world.ready(key).startswith("True")
