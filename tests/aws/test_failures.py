"""What Lambda gave up is a standing warning until it is redriven. The emulator's Lambda writes none: put here."""

from __future__ import annotations

from typing import Any

from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import denied, error
from testing.reconciler.world import World

WARNING, COUNT = "FailuresHandled", "s3:ListBucket"


def discard(world: World, number: int = 1, *, uuid: str = "") -> None:
    """Invocation records, as Lambda names them; by this function's mapping unless told otherwise."""
    [mapping] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    for one in range(number):
        key = f"aws/lambda/{uuid or mapping['UUID']}/shardId-1/2026/03/01/2026-03-01T12.00.00-{one}"
        world.sdk.client("s3").put_object(Bucket=world.bucket, Key=key, Body=b"{}")


def clear(world: World) -> None:
    s3 = world.sdk.client("s3")
    for one in s3.list_objects_v2(Bucket=world.bucket, Prefix="aws/lambda/").get("Contents", ()):
        s3.delete_object(Bucket=world.bucket, Key=one["Key"])


def reported(world: World, key: str) -> Any:
    return next((one for one in world.status(key)["conditions"] if one["type"] == WARNING), None)


def test_failures_bucket_without_failed_invocations_adds_no_event_and_no_write(world: World) -> None:
    key = world.provisioned()
    for _ in range(7):
        world.reconcile_once(key)

    assert reported(world, key) is None
    assert world.line.kube_writes() == []


def test_failed_invocations_warn_with_the_redrive_command_and_ready_stays_true(world: World) -> None:
    key = world.provisioned()
    discard(world, 3)

    world.reconcile_once(key)

    condition = reported(world, key)
    assert (condition["status"], condition["reason"]) == ("False", "RedriveNeeded")
    assert condition["message"].startswith(f"3 failed invocations under aws/lambda/ in bucket {world.bucket}: files")
    assert condition["message"].endswith("run: humangov redrive --namespace humangov california")
    assert world.ready(key).startswith("True")
    assert [event.kind for event in world.kube.events if event.reason == "RedriveNeeded"] == ["Warning"]


def test_failed_invocations_warning_is_not_rewritten_and_clears_after_the_redrive(world: World) -> None:
    key = world.provisioned()
    discard(world)
    world.reconcile_once(key)
    world.line.forget()
    for _ in range(4):
        world.reconcile_once(key)
    assert world.line.kube_writes() == []
    assert reported(world, key)["status"] == "False"

    clear(world)
    world.reconcile_once(key)

    assert (reported(world, key)["status"], reported(world, key)["reason"]) == ("True", "NoFailedInvocations")
    assert world.event_reasons()[-1] == "NoFailedInvocations"


def test_failed_invocations_warning_survives_an_operator_restart(world: World) -> None:
    key = world.provisioned()
    discard(world)
    world.reconcile_once(key)

    world.restart_operator()
    world.reconcile_once(key)  # counts nothing yet: what was said still stands

    assert reported(world, key)["status"] == "False"
    assert world.line.kube_writes() == []


def test_failed_invocations_of_unknown_mappings_are_reported_separately(world: World) -> None:
    key = world.provisioned()
    discard(world)
    discard(world, 2, uuid="00000000-0000-0000-0000-000000000000")

    world.reconcile_once(key)

    assert "3 failed invocations" in reported(world, key)["message"]
    assert "2 of them from mappings that are not known as this tenant's" in reported(world, key)["message"]


def test_failed_invocations_beyond_one_page_are_counted_as_more(world: World) -> None:
    key = world.provisioned()
    written = world.clock.now()
    contents = [{"Key": f"aws/lambda/x/{one}", "LastModified": written} for one in range(1000)]
    page = {"IsTruncated": True, "Contents": contents}
    world.line.faults.append(Fault(on(COUNT), instead=lambda _: page))

    world.reconcile_once(key)

    assert reported(world, key)["message"].startswith("1,000 or more failed invocations")


def test_transient_error_of_the_failure_count_does_not_clear_the_warning(world: World) -> None:
    key = world.provisioned()
    discard(world)
    world.reconcile_once(key)
    clear(world)
    world.line.faults.append(Fault(on(COUNT), error=error("SlowDown", "Reduce your rate", status=503)))

    world.reconcile_once(key)

    assert reported(world, key)["status"] == "False"
    assert world.ready(key).startswith("True")


def test_denied_failure_count_is_reported_and_reconciliation_continues(world: World) -> None:
    key = world.provisioned()
    world.line.faults.append(Fault(on(COUNT), error=denied("s3:ListBucket")))

    world.reconcile_once(key)

    assert (reported(world, key)["status"], reported(world, key)["reason"]) == ("Unknown", "AccessDenied")
    assert "s3:ListBucket" in reported(world, key)["message"]
    assert world.ready(key).startswith("True")


def test_missing_failures_bucket_is_reported_before_any_record_is_lost(world: World) -> None:
    key = world.provisioned(failures={"bucket": f"humangov-missing-{world.account}"})

    world.reconcile_once(key)

    assert (reported(world, key)["status"], reported(world, key)["reason"]) == ("False", "FailuresBucketNotFound")
    assert "spec.failures.bucket" in reported(world, key)["message"]


def test_changed_failures_bucket_updates_the_destination_and_the_role_policy(world: World) -> None:
    key = world.provisioned()
    world.make_bucket(f"humangov-failures-{world.account}")

    world.kube.edit(
        key, lambda resource: resource["spec"].update(failures={"bucket": f"humangov-failures-{world.account}"})
    )
    world.settle(key)

    [mapping] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert mapping["DestinationConfig"]["OnFailure"] == {
        "Destination": f"arn:aws:s3:::humangov-failures-{world.account}"
    }


def test_removed_failure_destination_is_corrected(world: World) -> None:
    key = world.provisioned()
    [mapping] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    world.sdk.client("lambda").update_event_source_mapping(UUID=mapping["UUID"], DestinationConfig={"OnFailure": {}})

    world.settle(key)
    world.settle(key)

    [mapping] = world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert mapping["DestinationConfig"]["OnFailure"] == {"Destination": f"arn:aws:s3:::{world.bucket}"}
