"""The seed story: a deleted record's file is erased, and nothing else is.

On the real API server, the emulated AWS (MiniStack, which runs the function's real zip) and the operator as a process.
MiniStack does not model partial batch failures and retries of a stream's consumer: those are the business of
tests/lambda.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from testing.live.waiting import wait_for
from tests.conftest import Print, World


@pytest.fixture
def ready(world: World) -> World:
    """The tenant has employees with PDFs, and its HumanGovState is Ready."""
    for number in range(4):
        world.account.employ(world.state, f"employee-{number}", pdf=f"{number}.pdf")
    world.states.apply(world.states.manifest(world.state, **world.account.spec(world.state)))
    world.states.wait_ready(world.state)
    return world


def wait_erased(world: World, pdf: str, *, seconds: float = 40.0) -> None:
    wait_for(
        lambda: not world.account.has_file(world.state, pdf), what=f"{pdf} is erased", seconds=seconds,
        seen=lambda: world.account.log_lines(world.state),
    )  # fmt: skip


def outcomes(world: World) -> Mapping[str, Any]:
    """The last word of the receipts on each file."""
    return {
        line["key"]: line["outcome"] for line in world.account.receipts(world.state) if line["receipt"] == "outcome"
    }


def test_file_of_a_deleted_record_is_erased_and_others_are_kept(ready: World, measured: Print) -> None:
    account, state = ready.account, ready.state
    account.dismiss(state, "employee-0")
    wait_erased(ready, "0.pdf")  # the function's first start
    account.dismiss(state, "employee-1")
    deleted = time.monotonic()
    wait_erased(ready, "1.pdf", seconds=5)
    measured(f"record deleted → file erased, warm: {(time.monotonic() - deleted) * 1000:.0f} ms")
    assert account.files(state) == {"2.pdf", "3.pdf"}


def test_changed_file_attribute_erases_the_old_file_and_other_changes_none(ready: World) -> None:
    account, state = ready.account, ready.state
    account.client("dynamodb").update_item(
        TableName=account.table_name(state), Key={"id": {"S": "employee-2"}},
        UpdateExpression="SET #n = :n", ExpressionAttributeNames={"#n": "name"},
        ExpressionAttributeValues={":n": {"S": "Married Name"}},
    )  # fmt: skip
    new = account.employ(state, "employee-1", pdf="1-new.pdf")
    wait_erased(ready, "1.pdf")
    assert account.files(state) == {"0.pdf", new, "2.pdf", "3.pdf"}


def test_each_erasure_has_a_receipt_of_intent_and_outcome_in_the_log_group(ready: World) -> None:
    account, state = ready.account, ready.state
    account.dismiss(state, "employee-3")
    wait_erased(ready, "3.pdf")
    # The emulator at times hands an invocation's last lines over with those of the next.
    account.dismiss(state, "employee-2")
    wait_for(lambda: "3.pdf" in outcomes(ready), what="the outcome is logged", seen=lambda: account.log_lines(state))
    intent, outcome = (line for line in account.receipts(state) if line["key"] == "3.pdf")
    assert (intent["receipt"], outcome["receipt"]) == ("intent", "outcome")
    assert intent["event_id"] == outcome["event_id"]
    assert outcome["outcome"] == "erased"
    assert outcome["bucket"] == account.bucket_name(state)
    assert outcome["record_key"] == {"id": {"S": "employee-3"}}
    assert outcome["tenant"].endswith(f"/{ready.states.namespace}/{state}")
    assert not any("Name of employee" in line for line in account.log_lines(state)), "a receipt holds no personal data"


def test_disabled_trigger_erases_nothing_until_it_is_enabled_and_then_misses_nothing(ready: World) -> None:
    account, states, state = ready.account, ready.states, ready.state
    states.respec(state, trigger={"enabled": False})
    said = states.wait_reason(state, "TriggerDisabled")
    assert said["status"] == "True"
    assert "24 hours" in said["message"]
    (mapping,) = [one for one in account.mappings() if state in one["FunctionArn"]]
    assert mapping["State"] == "Disabled"
    before = account.files(state)
    account.dismiss(state, "employee-0")
    account.dismiss(state, "employee-1")
    # A record that comes back under the same name before its event is read keeps its file.
    account.record(state, "employee-1", pdf="1.pdf")
    assert account.files(state) == before
    states.respec(state, trigger={"enabled": True})
    states.wait_reason(state, "InSync")
    wait_erased(ready, "0.pdf")
    wait_for(lambda: "1.pdf" in outcomes(ready), what="the re-created record's file was decided upon")
    assert outcomes(ready)["1.pdf"] == "kept: live"
    assert account.files(state) == before - {"0.pdf"}


def test_function_role_is_limited_to_its_tenant(ready: World) -> None:
    """What IAM would make of it, MiniStack does not show: here the documents themselves are read."""
    account, state = ready.account, ready.state
    (role,) = [role for role in account.roles() if state in role["RoleName"]]
    assert role["Path"] == "/humangov/"
    iam = account.client("iam")
    assert iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"] == []
    (policy,) = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    document = iam.get_role_policy(RoleName=role["RoleName"], PolicyName=policy)["PolicyDocument"]
    [key] = [one for one in document["Statement"] if one["Action"] == "kms:GenerateDataKey"]
    for arn in key["Condition"]["StringLike"]["kms:EncryptionContext:aws:s3:arn"]:
        assert arn.startswith(f"arn:aws:s3:::{account.bucket_name(state)}"), "any key, but for this bucket alone"
    [found] = [one for one in document["Statement"] if one["Action"] == "dynamodb:ListStreams"]
    assert found["Condition"] == {"Null": {"lambda:SourceFunctionArn": "true"}}, "AWS knows no resource for it"
    listed = [statement["Resource"] for statement in document["Statement"] if statement not in (key, found)]
    resources = [one for entry in listed for one in ([entry] if isinstance(entry, str) else entry)]
    assert "*" not in resources
    assert all(state in resource for resource in resources), resources
    actions = {action for statement in document["Statement"] for action in _list(statement["Action"])}
    assert not any("*" in action for action in actions), actions
    assert "logs:CreateLogGroup" not in actions


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
