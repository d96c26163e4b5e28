"""What people change by hand in AWS is found and corrected, unless the tenant is suspended.

On the real API server, the emulated AWS (MiniStack) and the operator as a process. That every owned field is compared
is shown by tests/unit and tests/aws; here one change of each kind goes the whole way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from testing.live.states import condition
from testing.live.waiting import wait_for
from testing.zips import zipped
from tests.conftest import World

Act = Callable[[World], Any]


def function_name(world: World) -> str:
    return f"humangov-{world.state}-delete-file"


def log_group(world: World) -> str:
    return f"/aws/lambda/{function_name(world)}"


def role_name(world: World) -> str:
    return f"{function_name(world)}-us-east-1"


def configuration(world: World) -> Mapping[str, Any]:
    found: Mapping[str, Any] = world.account.client("lambda").get_function(FunctionName=function_name(world))
    return found


def mapping(world: World) -> Mapping[str, Any]:
    (found,) = [one for one in world.account.mappings() if one["FunctionArn"].endswith(function_name(world))]
    return found


def other_code(world: World) -> None:
    code = zipped("cleanup/handler.py", "def handle(event, context): return {}")
    world.account.client("lambda").update_function_code(FunctionName=function_name(world), ZipFile=code)


def policy(world: World) -> tuple[str, Any]:
    iam, name = world.account.client("iam"), role_name(world)
    (policy_name,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    return policy_name, iam.get_role_policy(RoleName=name, PolicyName=policy_name)["PolicyDocument"]


def widened(world: World) -> None:
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    world.account.client("iam").put_role_policy(
        RoleName=role_name(world), PolicyName=policy(world)[0], PolicyDocument=json.dumps(everything)
    )


def attached(world: World) -> list[str]:
    answer = world.account.client("iam").list_attached_role_policies(RoleName=role_name(world))
    return [one["PolicyName"] for one in answer["AttachedPolicies"]]


def group(world: World) -> Mapping[str, Any]:
    answer = world.account.client("logs").describe_log_groups(logGroupNamePrefix=log_group(world))
    return next(iter(answer["logGroups"]), {})


# Kind of drift: the hand that does it, and what must be again as before.
DRIFT: Mapping[str, tuple[Act, Act]] = {
    "the log group deleted": (
        lambda world: world.account.client("logs").delete_log_group(logGroupName=log_group(world)),
        lambda world: (group(world).get("logGroupName"), group(world).get("retentionInDays")),
    ),
    "the log's retention changed": (
        lambda world: world.account.client("logs").put_retention_policy(
            logGroupName=log_group(world), retentionInDays=1
        ),
        lambda world: group(world).get("retentionInDays"),
    ),
    "the function's time-out changed": (
        lambda world: world.account.client("lambda").update_function_configuration(
            FunctionName=function_name(world), Timeout=3
        ),
        lambda world: configuration(world)["Configuration"]["Timeout"],
    ),
    "the function's environment changed": (
        lambda world: world.account.client("lambda").update_function_configuration(
            FunctionName=function_name(world), Environment={"Variables": {"HUMANGOV_BUCKET": "another"}}
        ),
        lambda world: configuration(world)["Configuration"]["Environment"],
    ),
    "the function's code swapped": (other_code, lambda world: configuration(world)["Configuration"]["CodeSha256"]),
    "the function deleted": (
        lambda world: world.account.client("lambda").delete_function(FunctionName=function_name(world)),
        lambda world: configuration(world)["Configuration"]["CodeSha256"],
    ),
    "the function throttled to nothing": (
        lambda world: world.account.client("lambda").put_function_concurrency(
            FunctionName=function_name(world), ReservedConcurrentExecutions=0
        ),
        lambda world: configuration(world).get("Concurrency"),
    ),
    "the mapping disabled": (
        lambda world: world.account.client("lambda").update_event_source_mapping(
            UUID=mapping(world)["UUID"], Enabled=False
        ),
        lambda world: (mapping(world)["State"], mapping(world)["UUID"]),
    ),
    "the mapping's batch size changed": (
        lambda world: world.account.client("lambda").update_event_source_mapping(
            UUID=mapping(world)["UUID"], BatchSize=1
        ),
        lambda world: mapping(world)["BatchSize"],
    ),
    "the mapping deleted": (
        lambda world: world.account.client("lambda").delete_event_source_mapping(UUID=mapping(world)["UUID"]),
        lambda world: (mapping(world)["State"], mapping(world)["EventSourceArn"]),
    ),
    "the role's policy widened": (widened, policy),
    "another policy attached": (
        lambda world: world.account.client("iam").attach_role_policy(
            RoleName=role_name(world), PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess"
        ),
        attached,
    ),
    "the role's trust given away": (
        lambda world: world.account.client("iam").update_assume_role_policy(
            RoleName=role_name(world), PolicyDocument='{"Version": "2012-10-17", "Statement": []}'
        ),
        lambda world: world.account.client("iam").get_role(RoleName=role_name(world))["Role"][
            "AssumeRolePolicyDocument"
        ],
    ),
}


@pytest.fixture
def ready(world: World) -> World:
    world.states.create(world.states.manifest(world.state, **world.account.spec(world.state)))
    world.states.wait_ready(world.state)
    return world


@pytest.mark.parametrize("kind", DRIFT)
def test_manual_drift_is_corrected_with_an_event(ready: World, kind: str) -> None:
    drift, look = DRIFT[kind]
    before = look(ready)
    drift(ready)
    wait_function_settled(ready)
    assert _look(look, ready) != before, "the hand had no effect"
    ready.states.reconcile(ready.state, "now")
    ready.states.wait_ready(ready.state)
    wait_for(lambda: _look(look, ready) == before, what="it is as before", seen=lambda: (_look(look, ready), before))
    events = wait_for(
        lambda: [event for event in ready.states.events(ready.state) if event["reason"] == "DriftCorrected"],
        what="an event tells of the repair",
    )
    assert events[0]["note"].startswith("AWS resources were changed outside the operator. Corrections: ")


def wait_function_settled(world: World) -> None:
    """Lambda is busy for a moment after each change, and takes no other meanwhile."""

    def settled() -> bool:
        found = _look(configuration, world)
        return found == "absent" or bool(found["Configuration"]["State"] == "Active")

    wait_for(settled, what="Lambda is done with the change by hand", seen=lambda: _look(configuration, world))


def _look(look: Act, world: World) -> Any:
    try:
        return look(world)
    except (world.account.client("lambda").exceptions.ResourceNotFoundException, ValueError):
        return "absent"


def test_suspended_tenant_is_unchanged_and_its_drift_is_reported(ready: World) -> None:
    ready.states.respec(ready.state, suspend=True)
    ready.states.wait_reason(ready.state, "Suspended")
    ready.account.client("lambda").update_function_configuration(FunctionName=function_name(ready), Timeout=3)
    wait_function_settled(ready)
    ready.states.reconcile(ready.state, "look")
    said = condition(ready.states.get(ready.state), "FunctionReady")
    assert said["reason"] == "Suspended"
    assert "timeoutSeconds 3 → 300" in said["message"]
    assert configuration(ready)["Configuration"]["Timeout"] == 3
    ready.states.respec(ready.state, suspend=False)
    ready.states.wait_ready(ready.state)
    assert configuration(ready)["Configuration"]["Timeout"] == 300
    ready.states.respec(ready.state, suspend=True)
    ready.states.wait_reason(ready.state, "Suspended")
    ready.states.delete(ready.state)  # deletion works all the same
    ready.states.wait_deleted(ready.state)
    assert _look(configuration, ready) == "absent"


def test_changed_spec_is_applied_to_aws(ready: World) -> None:
    ready.states.respec(
        ready.state, function={"memoryMiB": 256, "timeoutSeconds": 60}, logs={"retentionDays": 30},
        trigger={"batchSize": 7, "batchingWindowSeconds": 1}, tags={"team": "records"},
    )  # fmt: skip
    ready.states.wait_ready(ready.state)
    found = configuration(ready)
    assert (found["Configuration"]["MemorySize"], found["Configuration"]["Timeout"]) == (256, 60)
    assert found["Tags"]["team"] == "records"
    assert group(ready)["retentionInDays"] == 30
    assert (mapping(ready)["BatchSize"], mapping(ready)["MaximumBatchingWindowInSeconds"]) == (7, 1)
