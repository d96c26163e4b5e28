"""The permissions boundary of the function's role: always set, corrected, and named where AWS refuses for its sake.

Runs on MiniStack, which takes any ARN for a boundary: AWS's refusals are injected, in AWS's words.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import denied, error
from testing.reconciler.world import World

ROLE = "humangov-california-delete-file-us-east-1"
ANOTHER = "arn:aws:iam::aws:policy/AdministratorAccess"


def boundary(world: World) -> str | None:
    role = world.sdk.client("iam").get_role(RoleName=ROLE)["Role"]
    reported: str | None = (role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn")
    return reported


@pytest.mark.parametrize("found", [None, ANOTHER])
def test_role_with_a_missing_or_different_boundary_gets_the_boundary_before_its_policy(
    world: World, found: str | None
) -> None:
    """In the other order AWS would refuse the policy."""
    key = world.provisioned()
    client = world.sdk.client("iam")
    if found is None:
        client.delete_role_permissions_boundary(RoleName=ROLE)
    else:
        client.put_role_permissions_boundary(RoleName=ROLE, PermissionsBoundary=found)
    client.delete_role_policy(RoleName=ROLE, PolicyName="humangov-cleanup")
    world.settle(key)
    assert world.line.writes() == ["iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"]
    assert boundary(world) == world.settings.permissions_boundary_arn


def test_operator_without_a_boundary_setting_keeps_the_boundary_of_a_role(world: World) -> None:
    key = world.provisioned()
    before = boundary(world)
    world.settings = replace(world.settings, permissions_boundary_arn=None)
    world.restart_operator()
    world.settle(key)
    assert (world.line.writes(), boundary(world)) == ([], before)


@pytest.mark.parametrize("given", [None, ANOTHER])
@pytest.mark.parametrize("action", ["iam:CreateRole", "iam:PutRolePolicy"])
def test_access_denied_because_of_the_boundary_names_the_flag(world: World, action: str, given: str | None) -> None:
    world.settings = replace(world.settings, permissions_boundary_arn=given)
    world.restart_operator()
    world.make_table()
    world.make_bucket()
    world.line.faults = [Fault(on(action), error=denied(action))]
    key = world.apply()
    for _ in range(3):
        world.reconcile_once(key)
    reported = world.condition(key, "RoleReady")
    assert (reported["status"], reported["reason"]) == ("False", "AccessDenied")
    assert f"and the operator uses {given or 'none'} (--permissions-boundary)" in reported["message"]


def test_missing_boundary_policy_is_a_terminal_error(world: World) -> None:
    """AWS calls it NoSuchEntity, the code of a role that is not there."""
    world.make_table()
    world.make_bucket()
    text = f"Scope ARN: {world.settings.permissions_boundary_arn} does not exist or is not attachable."
    world.line.faults = [Fault(on("iam:CreateRole"), error=error("NoSuchEntity", text, status=404))]
    key = world.apply()
    for _ in range(3):
        world.reconcile_once(key)
    reported = world.condition(key, "RoleReady")
    assert (reported["status"], reported["reason"]) == ("False", "TerminalError")
    assert f"{text}. Create the policy that --permissions-boundary names" in reported["message"]
    assert world.condition(key, "Stalled")["status"] == "True"


def test_only_ownership_is_read_of_a_role_with_another_owner(world: World) -> None:
    """The policy of deploy/iam lets the operator see that a role of this name is there, and not what it may do."""
    world.make_table()
    world.make_bucket()
    world.sdk.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
    key = world.apply()
    world.reconcile_once(key)
    assert world.condition(key, "RoleReady")["reason"] == "NotOwned"
    assert {action for action in world.line.reads() if action.startswith("iam:")} == {"iam:GetRole"}
    assert not [action for action in world.line.writes() if action.startswith("iam:")]
