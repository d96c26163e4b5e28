"""What sends records or receipts elsewhere, or hides what the function is given: told, and corrected where it is ours.

MiniStack keeps neither a key nor a tumbling window of a mapping, and masks nothing: Lambda's and CloudWatch Logs'
answers are altered where a test says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from testing.reconciler.drifts import ANYBODY, GROUP, NAME, OPEN_DOOR, ROLE, attach, iam, logs, mapping_uuid
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import denied
from testing.reconciler.world import World

QUEUE = "arn:aws:sqs:us-east-1:999999999999:theirs"
KEY = "arn:aws:kms:us-east-1:123456789012:key/11112222-3333-4444-5555-666677778888"
TO = "arn:aws:logs:us-east-1:999999999999:destination:theirs"


def look_deep(world: World, key: str, *, times: int = 1) -> None:
    for _ in range(times):
        now = world.clock.now().isoformat()
        world.kube.edit(key, lambda one: one["metadata"].update(annotations={"humangov.io/reconcile": now}))  # noqa: B023
        world.reconcile_once(key)
        world.clock.forward(60)


# The log group


def subscribe(world: World, name: str = "theirs") -> None:
    logs(world).put_subscription_filter(
        logGroupName=GROUP, filterName=name, filterPattern="", destinationArn=TO
    )  # fmt: skip


def test_subscription_filter_of_the_receipts_is_reported_once_and_not_removed(world: World) -> None:
    key = world.provisioned()
    subscribe(world)
    look_deep(world, key, times=2)
    for _ in range(4):  # shallow ones
        world.reconcile_once(key)
    condition = world.condition(key, "LogGroupReady")
    assert (condition["status"], condition["reason"]) == ("True", "ReceiptsSentElsewhere")
    assert f"theirs (to {TO})" in condition["message"]
    [event] = world.kube.events
    assert (event.kind, event.reason) == ("Warning", "ReceiptsSentElsewhere")
    assert world.line.writes() == []
    assert world.ready(key).startswith("True InSync")


def test_second_subscription_filter_is_reported_too_and_a_removed_one_no_longer(world: World) -> None:
    key = world.provisioned()
    subscribe(world)
    look_deep(world, key)
    subscribe(world, "second")
    look_deep(world, key)
    assert [event.reason for event in world.kube.events] == ["ReceiptsSentElsewhere"] * 2
    assert "second" in world.kube.events[-1].message
    for name in ("theirs", "second"):
        logs(world).delete_subscription_filter(logGroupName=GROUP, filterName=name)
    look_deep(world, key)
    assert world.condition(key, "LogGroupReady")["reason"] == "InSync"


def test_subscription_filter_is_still_reported_after_a_restart_of_the_operator(world: World) -> None:
    key = world.provisioned()
    subscribe(world)
    look_deep(world, key)
    world.restart_operator()
    world.settle(key)
    assert world.condition(key, "LogGroupReady")["reason"] == "ReceiptsSentElsewhere"
    assert len([event for event in world.kube.events if event.reason == "ReceiptsSentElsewhere"]) == 1


def test_masked_receipts_are_reported_until_the_data_protection_policy_is_removed(world: World) -> None:
    key = world.provisioned()

    def masked(answer: dict[str, Any]) -> dict[str, Any]:
        return {"logGroups": [one | {"dataProtectionStatus": "ACTIVATED"} for one in answer["logGroups"]]}

    world.line.faults = [Fault(on("logs:DescribeLogGroups"), alter=masked)]
    world.reconcile_once(key)
    assert world.condition(key, "LogGroupReady")["reason"] == "ReceiptsMasked"
    assert [event.kind for event in world.kube.events] == ["Warning"]
    world.line.faults = []
    world.settle(key)
    assert world.condition(key, "LogGroupReady")["reason"] == "InSync"


# The trigger


def on_mappings(change: Callable[[dict[str, Any]], dict[str, Any]], *, times: int | None = None) -> Fault:
    """Lambda's list with `change` made to each mapping."""
    return Fault(
        on("lambda:ListEventSourceMappings"),
        alter=lambda answer: answer | {"EventSourceMappings": [change(one) for one in answer["EventSourceMappings"]]},
        times=times,
    )


@pytest.mark.parametrize(
    ("field", "value", "nothing"),
    [
        ("TumblingWindowInSeconds", 60, 0),
        ("MetricsConfig", {"Metrics": ["EventCount"]}, {"Metrics": []}),
        ("ScalingConfig", {"MaximumConcurrency": 2}, {}),
        ("ProvisionedPollerConfig", {"MinimumPollers": 1}, {}),
        ("KMSKeyArn", KEY, ""),
    ],
)
def test_role_permissions_that_the_trigger_does_not_use_are_removed(
    world: World, field: str, value: Any, nothing: Any
) -> None:
    key = world.provisioned()
    world.line.faults = [on_mappings(lambda one: one | {field: value})]
    world.reconcile_once(key)
    [update] = [call for call in world.line.calls if call.action == "lambda:UpdateEventSourceMapping"]
    assert update.parameters == {"UUID": mapping_uuid(world), "FunctionName": NAME, field: nothing}


def test_another_destination_of_failed_batches_is_corrected_with_a_warning(world: World) -> None:
    key = world.provisioned()
    elsewhere = {"OnFailure": {"Destination": QUEUE}, "OnSuccess": {"Destination": QUEUE}}
    world.line.faults = [on_mappings(lambda one: one | {"DestinationConfig": elsewhere}, times=2)]
    world.reconcile_once(key)
    [event] = [event for event in world.kube.events if event.reason == "DriftCorrected"]
    assert event.kind == "Warning"
    [update] = [call for call in world.line.calls if call.action == "lambda:UpdateEventSourceMapping"]
    assert update.parameters["DestinationConfig"] == {
        "OnFailure": {"Destination": f"arn:aws:s3:::{world.bucket}"}
    }  # fmt: skip


def encrypted(one: dict[str, Any]) -> dict[str, Any]:
    """As a listing shows a mapping whose filters a key encrypts."""
    return {field: value for field, value in one.items() if field != "FilterCriteria"} | {"KMSKeyArn": KEY}


def unreadable(answer: dict[str, Any]) -> dict[str, Any]:
    error = {"ErrorCode": "AccessDeniedException", "Message": "Lambda was unable to decrypt your filter criteria."}
    return encrypted(answer) | {"FilterCriteriaError": error}


def test_filters_that_cannot_be_read_are_reported_and_not_written_over(world: World) -> None:
    """Whoever set the key may have set filters that keep removed records from the function."""
    key = world.provisioned()
    world.line.faults = [on_mappings(encrypted), Fault(on("lambda:GetEventSourceMapping"), alter=unreadable)]
    for _ in range(5):
        world.reconcile_once(key)
        world.clock.forward(60)
    assert world.line.writes() == []
    assert world.ready(key).startswith("False FiltersUnreadable")
    for what in (KEY, "kms:Decrypt", "unable to decrypt"):
        assert what in world.ready(key)
    assert len(world.kube.events) <= 2
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True InSync")


def test_missing_permission_to_read_encrypted_filters_is_named(world: World) -> None:
    key = world.provisioned()
    action = "lambda:GetEventSourceMapping"
    world.line.faults = [on_mappings(encrypted), Fault(on(action), error=denied(action))]
    world.reconcile_once(key)
    assert world.line.writes() == []
    assert world.ready(key).startswith("False FiltersUnreadable")
    assert f"Grant the operator's role {action}" in world.ready(key)


def test_filters_that_only_a_listing_hides_are_compared_and_lose_their_key(world: World) -> None:
    key = world.provisioned()
    theirs = {"Filters": [{"Pattern": '{"eventName":["INSERT"]}'}]}
    shows = Fault(
        on("lambda:GetEventSourceMapping"), alter=lambda one: one | {"KMSKeyArn": KEY, "FilterCriteria": theirs}
    )
    world.line.faults = [on_mappings(encrypted), shows]
    world.reconcile_once(key)
    [update] = [call for call in world.line.calls if call.action == "lambda:UpdateEventSourceMapping"]
    assert update.parameters["KMSKeyArn"] == ""
    assert "REMOVE" in str(update.parameters["FilterCriteria"])


# The role


WIDENED: dict[str, Callable[[World], Any]] = {
    "trust": lambda world: iam(world).update_assume_role_policy(RoleName=ROLE, PolicyDocument=ANYBODY),
    "inline": lambda world: iam(world).put_role_policy(RoleName=ROLE, PolicyName="theirs", PolicyDocument=OPEN_DOOR),
    "attached": attach,
}


@pytest.mark.parametrize("how", WIDENED)
def test_role_that_somebody_widened_is_corrected_with_a_warning_although_the_bucket_is_missing(
    world: World, how: str
) -> None:
    """Nothing puts off what closes a way in."""
    key = world.provisioned()
    WIDENED[how](world)
    world.sdk.client("s3").delete_bucket(Bucket=world.bucket)
    look_deep(world, key)
    [event] = [event for event in world.kube.events if event.reason == "DriftCorrected"]
    assert event.kind == "Warning"
    role = iam(world).get_role(RoleName=ROLE)["Role"]
    assert "lambda.amazonaws.com" in str(role["AssumeRolePolicyDocument"])
    assert iam(world).list_role_policies(RoleName=ROLE)["PolicyNames"] == ["humangov-cleanup"]
    assert iam(world).list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"] == []


def test_foreign_policy_that_cannot_be_removed_keeps_no_other_from_being_removed(world: World) -> None:
    key = world.provisioned()
    WIDENED["inline"](world)
    WIDENED["attached"](world)
    world.line.faults = [Fault(on("iam:DeleteRolePolicy"), error=denied("iam:DeleteRolePolicy"))]
    look_deep(world, key)
    assert iam(world).list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"] == []
    assert world.ready(key).startswith("False AccessDenied")


def test_permissions_boundary_that_the_operator_does_not_set_is_reported(world: World) -> None:
    """It takes permissions away: that it is there opens nothing, and the operator may not remove boundaries."""
    world.settings = type(world.settings)(region=world.settings.region, allowed=world.settings.allowed)
    world.restart_operator()
    key = world.provisioned()
    theirs = f"arn:aws:iam::{world.account}:policy/theirs"
    iam(world).put_role_permissions_boundary(RoleName=ROLE, PermissionsBoundary=theirs)
    world.reconcile_once(key)
    assert world.line.writes() == []
    assert theirs in world.condition(key, "RoleReady")["message"]


def test_calls_of_a_deep_reconciliation(world: World) -> None:
    """Few calls: what seldom changes is read hourly, and nothing is asked of each alias where there is none."""
    key = world.provisioned()
    look_deep(world, key)
    reads = [call.action for call in world.line.calls if not call.writes and not call.action.startswith("kube:")]
    assert len(reads) == len(set(reads)) <= 25, reads
