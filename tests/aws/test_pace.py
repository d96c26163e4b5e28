"""What AWS lets ripen is asked for alone, and evenly; before anything that exists is changed, everything is read.

Runs on MiniStack, with AWS's times injected. Whether a bench's seconds follow from it: `make bench NAME=critical`.
"""

from __future__ import annotations

from typing import Any

from humangov.reconcile.gather import CARRIED_SECONDS

from testing.reconciler import snapshot
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import error
from testing.reconciler.world import World

NAME = "humangov-california-delete-file"
YOUNG = error("InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.")
ROLE_IS_YOUNG = Fault(on("lambda:CreateFunction"), error=YOUNG)


def applied(world: World, *faults: Fault) -> str:
    """A tenant after its first reconciliation, with nothing in the records of calls."""
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.line.faults = list(faults)
    asked(world, key)
    world.line.forget()
    return key


def asked(world: World, key: str, *, seconds: float = 0.5) -> list[str]:
    """The AWS calls of the next reconciliation."""
    world.line.forget()
    outcome = world.reconcile_once(key)
    assert not outcome.failed
    world.clock.forward(seconds)
    return [call.action for call in world.line.calls if not call.action.startswith("kube:")]


def in_state(**fields: Any) -> Any:
    def alter(answer: dict[str, Any]) -> dict[str, Any]:
        if "Configuration" in answer:
            return {**answer, "Configuration": {**answer["Configuration"], **fields}}
        if "EventSourceMappings" in answer:
            return {**answer, "EventSourceMappings": [{**one, **fields} for one in answer["EventSourceMappings"]]}
        return {**answer, **fields}

    return alter


PENDING = Fault(on("lambda:GetFunction", "lambda:CreateFunction"), alter=in_state(State="Pending"))
CREATING = Fault(
    on("lambda:ListEventSourceMappings", "lambda:CreateEventSourceMapping"), alter=in_state(State="Creating")
)


def test_while_a_role_function_or_mapping_ripens_each_reconcile_makes_one_call(world: World) -> None:
    key = applied(world, ROLE_IS_YOUNG)
    assert [asked(world, key) for _ in range(3)] == [["lambda:CreateFunction"]] * 3
    world.line.faults = [PENDING]
    assert asked(world, key) == ["lambda:CreateFunction"]
    assert [asked(world, key) for _ in range(3)] == [["lambda:GetFunction"]] * 3
    world.line.faults = [CREATING]
    assert asked(world, key) == ["lambda:GetFunction", "lambda:CreateEventSourceMapping"]
    assert [asked(world, key) for _ in range(3)] == [["lambda:ListEventSourceMappings"]] * 3
    world.line.faults = []
    assert asked(world, key) == ["lambda:ListEventSourceMappings"]
    assert world.ready(key).startswith("True")


def test_a_first_apply_takes_sixteen_calls_where_aws_is_ready_at_once(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.settle(key)
    calls = [call.action for call in world.line.calls if not call.action.startswith(("kube:", "sts:"))]
    assert world.ready(key).startswith("True")
    assert len(calls) <= 16, calls


def test_a_long_wait_reads_everything_again_every_half_minute(world: World) -> None:
    key = applied(world, PENDING)
    found = [asked(world, key, seconds=1.0) for _ in range(2 * int(CARRIED_SECONDS) + 4)]
    whole = [calls for calls in found if "iam:GetRole" in calls and "dynamodb:DescribeTable" in calls]
    assert len(whole) == 2, "and between only what is waited for"
    assert [calls for calls in found if calls not in whole] == [["lambda:GetFunction"]] * (len(found) - 2)


def test_before_something_that_exists_is_changed_after_a_wait_everything_is_read(world: World) -> None:
    key = applied(world, PENDING)
    assert asked(world, key) == ["lambda:GetFunction"]
    world.sdk.client("lambda").update_function_configuration(FunctionName=NAME, Timeout=3)
    world.line.faults = []
    calls = asked(world, key)
    change = calls.index("lambda:UpdateFunctionConfiguration")
    for read in ("iam:GetRole", "lambda:ListTags", "dynamodb:ListTagsOfResource", "lambda:GetPolicy"):
        assert read in calls[:change] or read == "lambda:ListTags"
    assert calls[:change].count("lambda:GetFunction") == 2, "alone, and then with everything"
    world.settle(key)
    assert snapshot.functions(world)[0]["Timeout"] == 300


def test_a_function_that_became_anothers_while_it_was_waited_for_gets_no_trigger(world: World) -> None:
    key = applied(world, PENDING)
    client, arn = world.sdk.client("lambda"), world.names(key).function_arn
    client.untag_resource(Resource=arn, TagKeys=["humangov.io/tenant"])
    client.tag_resource(Resource=arn, Tags={"humangov.io/tenant": "test-cluster/other/california"})
    world.line.faults = []
    world.reconcile_once(key)
    assert "NotOwned" in world.ready(key)
    assert snapshot.mappings(world) == []
    assert world.line.writes() == []


def test_access_to_a_function_that_a_wait_did_not_read_is_read_and_removed_afterwards(world: World) -> None:
    key = applied(world, PENDING)
    world.sdk.client("lambda").add_permission(
        FunctionName=NAME, StatementId="way-in", Action="lambda:InvokeFunction", Principal="*"
    )
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True")
    assert "lambda:GetPolicy" in asked(world, key), "with the very next reconcile"
    assert "lambda:RemovePermission" in [call.action for call in world.line.calls]


def test_function_that_somebody_creates_while_the_role_propagates_is_not_mistaken_for_the_tenants(world: World) -> None:
    key = applied(world, ROLE_IS_YOUNG)
    assert asked(world, key) == ["lambda:CreateFunction"]
    world.line.faults = [
        Fault(on("lambda:CreateFunction"), error=error("ResourceConflictException", f"Function already exist: {NAME}"))
    ]
    assert world.reconcile_once(key).failed
    world.line.faults = []
    world.line.forget()
    world.reconcile_once(key)
    assert "iam:GetRole" in world.line.reads(), "what was carried is not believed any more"


def test_a_second_tenants_role_is_not_asked_for_while_an_older_one_is_not_known(world: World) -> None:
    applied(world, ROLE_IS_YOUNG)
    world.make_table("humangov-nevada-dynamodb")
    bucket = f"humangov-nevada-s3-{world.account}"
    world.make_bucket(bucket)
    manifest = world.manifest("nevada", bucket={"name": bucket})
    other = world.apply(manifest)
    for number in range(400):  # in turn: each is asked for every 100 s
        world.operator.ripening.observed(
            f"humangov/{number}", where=f"{world.account}/us-east-1", kinds=["role"], failed=False,
            now=world.clock.monotonic(),
        )  # fmt: skip
    calls = asked(world, other)
    assert "iam:CreateRole" in calls
    assert "lambda:CreateFunction" not in calls
    assert world.ready(other).startswith("Unknown")
    world.line.faults = []
    assert asked(world, other) == ["lambda:CreateFunction", "lambda:CreateEventSourceMapping"]
    assert world.ready(other).startswith("True")
