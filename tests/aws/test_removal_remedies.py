"""What AWS refuses while a tenant is removed: the message has a remedy, and carrying it out frees the tenant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testing.reconciler.line import Call, Fault, on
from testing.reconciler.sdk import error
from testing.reconciler.world import World

PROTECTED = "Log group cannot be deleted because deletion protection is enabled"
REPLICA = "One or more parameter values were invalid: Disabling Stream is not allowed for a Global Table replica."
LOG_GROUP = "/aws/lambda/humangov-california-delete-file"


def turns_stream_off(call: Call) -> bool:
    return call.action == "dynamodb:UpdateTable" and not call.parameters["StreamSpecification"]["StreamEnabled"]


def keep_the_log_group(world: World, key: str) -> None:
    world.kube.edit(key, lambda resource: resource["spec"].update(logs={"onDelete": "Retain"}))


def turn_the_protection_off(world: World, _key: str) -> None:
    world.line.faults.clear()


def retain_everything(world: World, key: str) -> None:
    world.kube.edit(key, lambda resource: resource["spec"].update(deletionPolicy="Retain"))


@pytest.mark.parametrize(
    ("remedy", "named", "stays"),
    [
        (keep_the_log_group, "spec.logs.onDelete: Retain", True),
        (turn_the_protection_off, "put-log-group-deletion-protection", False),
    ],
)
def test_log_group_with_deletion_protection_is_freed_by_each_remedy_of_the_message(
    world: World, remedy: Callable[[World, str], None], named: str, stays: bool
) -> None:
    key = world.provisioned(logs={"onDelete": "Delete"})
    world.line.faults.append(Fault(on("logs:DeleteLogGroup"), error=error("ValidationException", PROTECTED)))
    world.delete(key)
    for _ in range(4):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False TerminalError")
    assert PROTECTED in world.ready(key)
    assert named in world.ready(key)
    assert "value in the spec" not in world.ready(key)

    remedy(world, key)
    world.settle(key)

    assert key not in world.kube.objects
    left = world.sdk.client("logs").describe_log_groups(logGroupNamePrefix=LOG_GROUP)["logGroups"]
    assert bool(left) is stays


def test_stream_that_aws_does_not_let_be_disabled_stays_and_is_named(world: World) -> None:
    key = world.provisioned()
    world.line.faults.append(Fault(turns_stream_off, error=error("ValidationException", REPLICA)))
    world.delete(key)
    world.settle(key)
    assert key not in world.kube.objects
    [deleted] = [event.message for event in world.kube.events if event.reason == "Deleted"]
    assert "the stream of table humangov-california-dynamodb" in deleted
    assert REPLICA in deleted
    assert world.remains() in ([], ["stream"]), world.remains()


def test_value_that_aws_refuses_while_removing_is_freed_by_retain(world: World) -> None:
    """The spec needs no other value any more."""
    key = world.provisioned()
    world.line.faults.append(
        Fault(on("lambda:DeleteFunction"), error=error("InvalidParameterValueException", "in use"))
    )
    world.delete(key)
    for _ in range(3):
        world.reconcile_once(key)
    message = world.ready(key)
    assert "value in the spec" not in message
    retain_everything(world, key)
    world.settle(key)
    assert key not in world.kube.objects


def test_expired_credentials_are_no_refusal_to_disable_the_stream(world: World) -> None:
    key = world.provisioned()
    world.line.faults.append(Fault(turns_stream_off, error=error("ExpiredTokenException", "expired")))
    world.delete(key)
    for _ in range(3):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False TerminalError")
    world.line.faults.clear()
    world.settle(key)
    assert world.remains() == []
