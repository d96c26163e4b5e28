"""What tests see of the emulated AWS (testing/reconciler/sdk.py) is never older than the last write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from testing.reconciler import snapshot
from testing.reconciler.direct import Direct
from testing.reconciler.walkthrough import TRUST
from testing.reconciler.world import World


@pytest.fixture
def sent(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that reach the emulated AWS, by their operations' names."""
    found: list[str] = []
    asked = Direct._asked

    def noted(direct: Any, operation: Any, request: Any) -> Any:
        found.append(operation.model.name)
        return asked(direct, operation, request)

    monkeypatch.setattr(Direct, "_asked", noted)
    return found


def test_test_asks_aws_again_only_after_a_write_to_the_same_service(world: World, sent: list[str]) -> None:
    world.make_table("first")
    assert [table["name"] for table in snapshot.tables(world)] == ["first"]
    del sent[:]
    assert [table["name"] for table in snapshot.tables(world)] == ["first"]
    world.sdk.client("logs").create_log_group(logGroupName="group")
    assert [table["name"] for table in snapshot.tables(world)] == ["first"]
    assert sent == ["CreateLogGroup"]
    world.make_table("second")
    assert {table["name"] for table in snapshot.tables(world)} == {"first", "second"}


WRITES: dict[str, Callable[[World], Any]] = {
    "a person's": lambda world: world.sdk.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST),
    "the operator's": lambda world: world.process.clients_for(_tenant(world)).call(
        "iam:CreateRole", target="r", RoleName="r", AssumeRolePolicyDocument=TRUST
    ),
}


def _tenant(world: World) -> Any:
    return world.names(world.apply()).tenant


@pytest.mark.parametrize("who", WRITES)
def test_test_sees_every_write(world: World, who: str) -> None:
    assert snapshot.roles(world) == []
    WRITES[who](world)
    assert [role["name"] for role in snapshot.roles(world)] == ["r"]


def test_test_asks_for_an_identity_only_after_a_write_that_may_change_it(world: World, sent: list[str]) -> None:
    iam, boundary = world.sdk.client("iam"), world.settings.permissions_boundary_arn

    def seen() -> Any:
        return world.sdk.look("iam", identity=True).get_role(RoleName="r")["Role"].get("PermissionsBoundary")

    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    assert seen() is None
    iam.put_role_permissions_boundary(RoleName="r", PermissionsBoundary=boundary)
    assert seen()["PermissionsBoundaryArn"] == boundary
    del sent[:]
    iam.tag_role(RoleName="r", Tags=[{"Key": "team", "Value": "records"}])
    iam.update_assume_role_policy(RoleName="r", PolicyDocument=TRUST)
    assert seen()["PermissionsBoundaryArn"] == boundary
    assert sent == ["TagRole", "UpdateAssumeRolePolicy"]
    iam.delete_role_permissions_boundary(RoleName="r")
    assert seen() is None
    iam.delete_role(RoleName="r")
    with pytest.raises(ClientError, match="NoSuchEntity"):
        seen()


def test_changed_copy_of_an_answer_does_not_change_the_next_answer(world: World) -> None:
    world.make_table()
    world.sdk.look("dynamodb").list_tables()["TableNames"].clear()
    assert world.sdk.look("dynamodb").list_tables()["TableNames"] != []


def test_each_account_has_its_own_snapshot(worlds: Callable[[], World]) -> None:
    first = worlds()
    first.make_table()
    assert len(snapshot.tables(first)) == 1
    assert snapshot.tables(worlds()) == []
