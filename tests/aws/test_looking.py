"""What tests see of the emulated AWS (testing/reconciler/sdk.py) is never older than the last write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from testing.reconciler import snapshot
from testing.reconciler.walkthrough import TRUST
from testing.reconciler.world import World


@pytest.fixture
def sent(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that reach the emulated AWS, by their operations' names."""
    found: list[str] = []
    answered = world.sdk._answered

    def noted(client: Any, *, model: Any, **more: Any) -> Any:
        found.append(model.name)
        return answered(client, model=model, **more)

    monkeypatch.setattr(world.sdk, "_answered", noted)
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


def test_changed_copy_of_an_answer_does_not_change_the_next_answer(world: World) -> None:
    world.make_table()
    world.sdk.look("dynamodb").list_tables()["TableNames"].clear()
    assert world.sdk.look("dynamodb").list_tables()["TableNames"] != []


def test_each_account_has_its_own_snapshot(worlds: Callable[[], World]) -> None:
    first = worlds()
    first.make_table()
    assert len(snapshot.tables(first)) == 1
    assert snapshot.tables(worlds()) == []
