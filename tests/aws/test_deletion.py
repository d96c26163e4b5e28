"""Deletion: in order, seen to be gone, and never more than what the operator owns.

Runs on MiniStack, where a delete is done when it is answered; mappings that stay Deleting for minutes are injected.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames
from humangov.api.names import ORIGIN_TAG, OWNER_TAG
from humangov.api.spec import FINALIZER
from humangov.aws.actions import ACTIONS
from humangov.reconcile.reconciler import reconcile

from testing.killed import Killed
from testing.reconciler import snapshot
from testing.reconciler.line import Call, Fault, on
from testing.reconciler.sdk import denied, error, throttled
from testing.reconciler.world import CLUSTER, NAMESPACE, World

NAME = "humangov-california-delete-file"
ROLE = f"{NAME}-us-east-1"
DELETES = [
    "lambda:DeleteEventSourceMapping", "dynamodb:UpdateTable", "lambda:DeleteFunction", "iam:DeleteRolePolicy",
    "iam:DeleteRole", "logs:DeleteLogGroup", "dynamodb:UntagResource",
]  # fmt: skip
READS = [
    "sts:GetCallerIdentity", "lambda:GetFunction", "lambda:ListEventSourceMappings", "iam:GetRole",
    "logs:DescribeLogGroups", "dynamodb:DescribeTable", "dynamodb:ListTagsOfResource",
]  # fmt: skip


def finalized(world: World, key: str) -> bool:
    return FINALIZER in world.kube.objects[key]["metadata"]["finalizers"]


def farewell(world: World) -> str:
    [message] = [event.message for event in world.kube.events if event.reason == "Deleted"]
    return message


def unique(actions: list[str]) -> list[str]:
    return list(dict.fromkeys(actions))


def test_deletion_removes_resources_in_order_and_never_the_table_or_bucket(world: World) -> None:
    world.make_table()
    world.make_bucket()
    # Before there is a stream: the emulator's function creates its log group again when it runs while being deleted.
    world.sdk.client("s3").put_object(Bucket=world.bucket, Key="a.pdf", Body=b"1")
    world.sdk.client("dynamodb").put_item(TableName="humangov-california-dynamodb", Item={"id": {"S": "1"}})
    key = world.apply()
    world.settle(key)
    world.line.forget()
    world.kube.events.clear()
    world.delete(key)
    world.settle(key)
    order = unique(world.line.writes())
    assert sorted(order) == sorted(DELETES)
    of_function = [action for action in DELETES if not action.startswith("dynamodb:")]
    assert [action for action in order if action in of_function] == of_function
    assert order[0] == "lambda:DeleteEventSourceMapping"
    assert order.index("dynamodb:UpdateTable") < order.index("dynamodb:UntagResource")
    assert world.line.kube_writes()[-1] == "kube:set_finalizer"
    assert key not in world.kube.objects
    assert world.remains() == []
    assert world.event_reasons() == ["Deleted"]
    assert farewell(world).startswith(
        f"deleted: trigger, stream of table humangov-california-dynamodb, function {NAME}, role {ROLE}, log group "
        f"/aws/lambda/{NAME}; table humangov-california-dynamodb and bucket "
    )
    assert len(world.sdk.client("s3").list_objects_v2(Bucket=world.bucket)["Contents"]) == 1
    assert world.sdk.client("dynamodb").scan(TableName="humangov-california-dynamodb")["Count"] == 1


def test_deletion_asks_for_nothing_twice(world: World) -> None:
    """What AWS has answered to be deleted, and shows no more, is not deleted again; nor are mappings listed again."""
    key = world.provisioned()
    world.clock.forward(3600)
    world.line.forget()
    world.delete(key)
    world.settle(key)
    asked = Counter(call.action for call in world.line.calls)
    assert {action: asked[action] for action in DELETES} == dict.fromkeys(DELETES, 1)
    # Those of the function, before and after the delete; and once those of the region, which show the stream's readers.
    assert asked["lambda:ListEventSourceMappings"] == 3
    # The function also before its trigger.
    assert {action: asked[action] for action in ("lambda:GetFunction", "iam:GetRole", "logs:DescribeLogGroups")} == {
        "lambda:GetFunction": 3, "iam:GetRole": 2, "logs:DescribeLogGroups": 2,
    }  # fmt: skip


@pytest.mark.parametrize("action", ["dynamodb:DescribeTable", "dynamodb:UpdateTable", "dynamodb:UntagResource"])
def test_function_is_deleted_though_the_stream_cannot_be_disabled(world: World, action: str) -> None:
    key = world.provisioned()
    world.clock.forward(3600)
    world.line.forget()
    world.delete(key)
    world.line.faults = [Fault(on(action), error=denied(action))]
    assert world.reconcile_once(key).failed
    assert {"lambda:DeleteFunction", "iam:DeleteRole", "logs:DeleteLogGroup"} <= set(world.line.writes())
    assert finalized(world, key)
    world.line.faults = []
    world.settle(key)
    assert world.remains() == []


def test_deletion_read_failure_tests_cover_every_read(world: World) -> None:
    key = world.provisioned()
    world.restart_operator()
    world.delete(key)
    world.settle(key)
    # Whether failed invocations are left is told, and no reason to wait.
    assert set(world.line.reads()) <= {*READS, "logs:ListTagsForResource", "s3:ListBucket"}


def test_deletion_rechecks_a_young_tenant_after_seconds_and_an_old_one_not_at_all(world: World) -> None:
    key = world.provisioned()
    world.delete(key)
    outcome = world.reconcile_once(key)
    assert outcome.requeue_after_seconds is not None
    assert outcome.requeue_after_seconds >= 1
    assert finalized(world, key)
    world.clock.forward(outcome.requeue_after_seconds)
    assert world.reconcile_once(key).forget
    assert key not in world.kube.objects

    key = world.kube.apply(world.manifest(), created=world.clock.now())
    world.settle(key)
    world.clock.forward(3600)
    world.delete(key)
    assert world.reconcile_once(key).forget
    assert key not in world.kube.objects


def test_deletion_recheck_survives_an_error_and_restarts_when_a_resource_reappears(world: World) -> None:
    key = world.provisioned()
    world.delete(key)
    outcome = world.reconcile_once(key)
    assert outcome.requeue_after_seconds is not None
    world.clock.forward(outcome.requeue_after_seconds)
    world.line.faults = [Fault(on("iam:DeleteRole"), error=throttled(), times=1)]
    assert world.reconcile_once(key).failed
    assert world.reconcile_once(key).forget
    assert world.remains() == []

    key = world.apply()
    world.settle(key)
    kept = world.sdk.client("lambda").get_function(FunctionName=NAME)["Configuration"]
    world.delete(key)
    outcome = world.reconcile_once(key)
    assert outcome.requeue_after_seconds is not None
    world.clock.forward(outcome.requeue_after_seconds)
    # It seemed gone, and shows again.
    world.sdk.client("lambda").create_function(
        FunctionName=NAME, Runtime="python3.13", Role=kept["Role"], Handler="a.b", Code={"ZipFile": world.bundle.zip},
        Tags={OWNER_TAG: f"{CLUSTER}/{key}"},
    )  # fmt: skip
    world.line.faults = [Fault(on("iam:DeleteRole"), error=throttled(), times=1)]
    assert world.reconcile_once(key).failed
    again = world.reconcile_once(key)
    assert not again.forget
    assert finalized(world, key)
    world.settle(key)
    assert world.remains() == []


def test_progress_of_a_failing_deletion_or_apply_is_counted_once(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.line.faults = [Fault(on("lambda:CreateFunction"), error=throttled())]
    outcomes = [world.reconcile_once(key) for _ in range(6)]
    failed = [outcome for outcome in outcomes if outcome.failed]
    assert failed[0].progressed
    assert not failed[-1].progressed
    world.line.faults = []
    world.settle(key)
    world.clock.forward(3600)
    world.delete(key)
    world.line.faults = [Fault(on("logs:DeleteLogGroup"), error=throttled())]
    outcomes = [world.reconcile_once(key) for _ in range(3)]
    assert [outcome.progressed for outcome in outcomes] == [True, False, False]


def test_tenant_that_stops_being_young_during_a_reconciliation_leaves_no_tag_and_no_stream(world: World) -> None:
    key = world.provisioned()
    world.delete(key)

    def late(answer: Any) -> Any:
        world.clock.forward(3600)
        return answer

    world.line.faults = [Fault(on("iam:DeleteRole"), alter=late, times=1)]
    outcome = world.reconcile_once(key)
    assert finalized(world, key)
    assert outcome.requeue_after_seconds is not None
    world.clock.forward(outcome.requeue_after_seconds)
    assert world.reconcile_once(key).forget
    assert world.remains() == []


def test_deletion_rechecks_a_young_tenant_before_it_removes_the_finalizer(world: World) -> None:
    key = world.provisioned()
    world.delete(key)
    gone = error("ResourceNotFoundException", "Function not found", status=404)
    world.line.faults = [
        Fault(on("lambda:GetFunction", "lambda:DeleteFunction"), error=gone, times=3),
        Fault(on("lambda:ListEventSourceMappings"), alter=lambda _: {"EventSourceMappings": []}, times=1),
    ]
    world.settle(key)
    assert world.remains() == []


@pytest.mark.parametrize("action", DELETES)
@pytest.mark.parametrize(
    "failure", [denied("x"), throttled(), error("Strange", "?"), error("InternalError", "?", status=500)],
    ids=["denied", "throttled", "unknown", "5xx"],
)  # fmt: skip
def test_failed_delete_keeps_the_finalizer_and_deletion_resumes_when_aws_recovers(
    world: World, action: str, failure: Exception
) -> None:
    key = world.provisioned()
    world.clock.forward(3600)
    world.delete(key)
    world.line.faults = [Fault(on(action), error=failure)]
    for _ in range(2):
        assert world.reconcile_once(key).failed
        assert finalized(world, key)
    assert world.remains() != []
    assert action in world.condition(key, "Ready")["message"]
    world.line.faults = []
    world.settle(key)
    assert key not in world.kube.objects
    assert world.remains() == []


@pytest.mark.parametrize("action", READS)
@pytest.mark.parametrize("failure", [denied("x"), throttled()], ids=["denied", "throttled"])
def test_failed_read_is_never_taken_as_not_found(world: World, action: str, failure: Exception) -> None:
    key = world.provisioned()
    world.clock.forward(3600)
    world.restart_operator()
    world.clock.forward(3600)
    world.delete(key)
    world.line.faults = [Fault(on(action), error=failure)]
    for _ in range(2):
        assert world.reconcile_once(key).failed
        assert finalized(world, key)
    world.line.faults = []
    world.settle(key)
    assert world.remains() == []


@pytest.mark.parametrize(
    "action",
    ["lambda:GetFunction", "lambda:ListEventSourceMappings", "iam:GetRole", "logs:DescribeLogGroups"],
)
def test_failed_read_after_the_delete_is_never_taken_as_not_found(world: World, action: str) -> None:
    """The last read of each, which is to see that the delete had its effect."""
    key = world.provisioned()
    world.clock.forward(3600)
    world.delete(key)
    seen: list[str] = []

    def last(call: Any) -> bool:
        if call.action == action:
            seen.append(action)
        return call.action == action and len(seen) == (3 if action == "lambda:GetFunction" else 2)

    world.line.faults = [Fault(last, error=denied(action))]
    assert world.reconcile_once(key).failed
    assert finalized(world, key)
    world.line.faults = []
    world.settle(key)
    assert world.remains() == []


def test_function_is_deleted_only_after_no_mapping_lists_it(world: World) -> None:
    key = world.provisioned()
    world.clock.forward(3600)
    world.delete(key)
    seen: list[dict[str, Any]] = []

    def still_there(answer: dict[str, Any]) -> dict[str, Any]:
        if answer["EventSourceMappings"]:
            seen[:] = answer["EventSourceMappings"]
            return answer
        return {**answer, "EventSourceMappings": [{**mapping, "State": "Deleting"} for mapping in seen]}

    world.line.faults = [Fault(on("lambda:ListEventSourceMappings"), alter=still_there)]
    for _ in range(3):
        outcome = world.reconcile_once(key)
        assert outcome.requeue_after_seconds is not None
    assert world.line.writes() == ["lambda:DeleteEventSourceMapping"]
    assert world.ready(key).startswith("Unknown Deleting")
    world.line.faults = []
    world.settle(key)
    assert world.remains() == []


def test_role_with_additional_policies_is_deleted_too(world: World) -> None:
    key = world.provisioned()
    iam = world.sdk.client("iam")
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
    iam.put_role_policy(RoleName=ROLE, PolicyName="more", PolicyDocument=policy)
    iam.attach_role_policy(
        RoleName=ROLE, PolicyArn=iam.create_policy(PolicyName="p", PolicyDocument=policy)["Policy"]["Arn"]
    )
    world.delete(key)
    world.settle(key)
    assert world.remains() == []
    assert len(iam.list_policies(Scope="Local")["Policies"]) == 1, "the policy itself is not owned"


def killed_after_the_finalizer(world: World) -> str:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.line.kill_after_write = 1
    with pytest.raises(Killed):
        world.reconcile_once(key)
    assert finalized(world, key)
    world.restart_operator()
    return key


def test_tenant_with_only_a_finalizer_is_deleted_without_changes_in_aws(world: World) -> None:
    key = killed_after_the_finalizer(world)
    world.delete(key)
    world.settle(key)
    assert key not in world.kube.objects
    assert world.remains() == []
    assert farewell(world).startswith("no AWS resources were left to delete; table humangov-california-dynamodb")


def test_tenant_whose_names_were_never_allowed_is_deleted_without_an_aws_call(world: World) -> None:
    key = killed_after_the_finalizer(world)
    world.settings = replace(world.settings, allowed=AllowedNames({}))
    world.restart_operator()
    world.delete(key)
    assert world.reconcile_once(key).forget
    assert key not in world.kube.objects
    assert world.line.reads() + world.line.writes() == []


def test_deletion_removes_aws_resources_after_the_status_was_lost(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.settle(key)
    world.restart_operator()
    world.kube.objects[key] = {name: part for name, part in world.kube.objects[key].items() if name != "status"}
    world.delete(key)
    world.settle(key)
    assert key not in world.kube.objects
    assert world.remains() == []


def test_stale_cached_copy_is_not_proof_that_nothing_was_created(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    old = dict(world.kube.objects[key])
    world.settle(key)
    world.delete(key)
    deleting = world.kube.objects[key]
    without_status = {**old, "metadata": {**deleting["metadata"], "resourceVersion": "1"}}
    world.restart_operator()
    world.operator.store.put(without_status)
    asyncio.run(reconcile(world.operator, key, failing_seconds=0))
    world.settle(key)
    assert world.remains() == []


@pytest.mark.parametrize("late", [False, True], ids=["declared", "while-terminating"])
def test_retain_removes_the_ownership_tags_and_changes_nothing_else(world: World, late: bool) -> None:
    key = world.provisioned(tags={"team": "records"}, **({} if late else {"deletionPolicy": "Retain"}))
    if late:
        world.delete(key)
        world.line.faults = [Fault(on("lambda:DeleteEventSourceMapping"), error=denied("x"))]
        world.reconcile_once(key)
        world.line.faults = []
        world.kube.edit(key, lambda resource: resource["spec"].update(deletionPolicy="Retain"))
        world.line.forget()
    before = snapshot.snapshot(world)
    world.delete(key)
    assert world.reconcile_once(key).forget
    assert key not in world.kube.objects
    after = snapshot.snapshot(world)
    left = {"team": "records", ORIGIN_TAG: f"{CLUSTER}/{key}"}
    assert after["functions"][0].pop("tags") == left
    assert after["mappings"][0].pop("tags") == left
    assert dict(after["roles"][0].pop("tags")) == left
    assert after["log groups"][0].pop("tags") == left
    assert after["tables"][0].pop("tags") == {}
    for kind in before.values():
        for thing in kind:
            thing.pop("tags")
    assert after == before
    assert all("Untag" in action for action in world.line.writes())
    assert world.event_reasons()[-1] == "Retained"


@pytest.mark.parametrize("action", ["sts:GetCallerIdentity", "lambda:GetFunction", "iam:UntagRole"])
def test_retain_retries_transient_aws_errors_for_a_limited_time(world: World, action: str) -> None:
    key = world.provisioned(deletionPolicy="Retain")
    world.restart_operator()
    world.line.faults = [Fault(on(action), error=throttled())]
    world.delete(key)
    assert not world.reconcile_once(key).forget
    assert "Rate exceeded" in world.ready(key)
    world.clock.forward(60)
    assert not world.reconcile_once(key).forget
    world.clock.forward(61)
    assert world.reconcile_once(key).forget
    assert "could not be removed from" in world.kube.events[-1].message


@pytest.mark.parametrize(
    "action",
    ["sts:GetCallerIdentity", "lambda:GetFunction", "iam:GetRole", "lambda:UntagResource", "dynamodb:UntagResource"],
)
def test_retain_removes_the_finalizer_even_when_aws_denies_access(world: World, action: str) -> None:
    key = world.provisioned(deletionPolicy="Retain")
    world.restart_operator()
    world.line.faults = [Fault(on(action), error=denied(action))]
    world.delete(key)
    assert world.reconcile_once(key).forget
    assert key not in world.kube.objects
    assert "could not be removed from" in world.kube.events[-1].message


def test_retained_log_group_stays_without_the_ownership_tag(world: World) -> None:
    key = world.provisioned(logs={"onDelete": "Retain"}, tags={"team": "records"})
    world.delete(key)
    world.settle(key)
    assert world.remains() == [f"log group /aws/lambda/{NAME}"]
    assert snapshot.log_groups(world)[0]["tags"] == {"team": "records", ORIGIN_TAG: f"{CLUSTER}/{key}"}
    assert "retained: log group" in world.kube.events[-1].message


def test_deletion_keeps_a_stream_that_the_operator_did_not_enable(world: World) -> None:
    world.make_table(view_type="NEW_AND_OLD_IMAGES")
    world.make_bucket()
    key = world.apply()
    world.settle(key)
    world.delete(key)
    world.clock.forward(60)
    world.settle(key)
    assert world.remains() == ["stream"]
    assert "stream" in world.kube.events[-1].message


def test_deletion_keeps_an_owned_stream_while_another_mapping_reads_it(world: World) -> None:
    key = world.provisioned()
    [table] = snapshot.tables(world)
    client = world.sdk.client("lambda")
    client.create_function(
        FunctionName="theirs", Runtime="python3.13", Role=f"arn:aws:iam::{world.account}:role/x", Handler="a.b",
        Code={"ZipFile": world.bundle.zip},
    )  # fmt: skip
    client.create_event_source_mapping(
        FunctionName="theirs", EventSourceArn=table["arn"], StartingPosition="LATEST", Enabled=False
    )
    world.delete(key)
    world.settle(key)
    left = world.remains()
    assert len(left) == 3, left
    assert {"function theirs", "stream"} < set(left)


def test_deletion_removes_its_own_trigger_of_a_function_that_lost_its_tags(world: World) -> None:
    """As after somebody deleted the function and created it again: its trigger is still the tenant's, and works."""
    key = world.provisioned()
    client = world.sdk.client("lambda")
    arn = f"arn:aws:lambda:us-east-1:{world.account}:function:humangov-california-delete-file"
    client.untag_resource(Resource=arn, TagKeys=[*client.list_tags(Resource=arn)["Tags"]])
    world.delete(key)
    world.clock.forward(60)
    world.settle(key)
    assert world.remains() == ["function humangov-california-delete-file"]
    assert "function humangov-california-delete-file" in world.kube.events[-1].message


def test_deletion_keeps_a_stream_that_somebody_re_enabled_minutes_later(world: World) -> None:
    key = world.provisioned()
    dynamodb, table = world.sdk.client("dynamodb"), "humangov-california-dynamodb"
    dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    dynamodb.update_table(
        TableName=table, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    )
    world.settle(key)
    world.delete(key)
    world.clock.forward(60)
    world.settle(key)
    assert world.remains() == ["stream"]


def test_deletion_stalls_while_another_event_source_invokes_the_function(world: World) -> None:
    key = world.provisioned()
    queue = world.sdk._session.client("sqs", endpoint_url=world.sdk.endpoint_url).create_queue(QueueName="q")
    assert queue["QueueUrl"]
    world.sdk.client("lambda").create_event_source_mapping(
        FunctionName=NAME, EventSourceArn=f"arn:aws:sqs:us-east-1:{world.account}:q"
    )
    world.delete(key)
    world.reconcile_once(key)
    assert world.ready(key).startswith("False UnownedTrigger")
    assert finalized(world, key)
    assert "lambda:DeleteFunction" not in world.line.writes()


def test_orphaned_mapping_is_deleted_by_its_own_ownership_tag(world: World) -> None:
    key = world.provisioned()
    world.sdk.client("lambda").delete_function(FunctionName=NAME)
    world.delete(key)
    world.settle(key)
    assert world.remains() == []


def test_resources_removed_by_hand_hold_up_no_deletion_and_are_not_named_as_deleted(world: World) -> None:
    key = world.provisioned()
    world.sdk.client("lambda").delete_function(FunctionName=NAME)
    world.sdk.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="humangov-cleanup")
    world.sdk.client("iam").delete_role(RoleName=ROLE)
    world.sdk.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{NAME}")
    world.sdk.client("dynamodb").delete_table(TableName="humangov-california-dynamodb")
    world.delete(key)
    world.settle(key)
    assert world.remains() == []
    assert not any(what in farewell(world) for what in ("function", "role", "log group", "stream"))


def test_state_re_created_at_once_under_the_same_name_is_provisioned(world: World) -> None:
    key = world.provisioned()
    world.delete(key)
    world.settle(key)
    again = world.apply()
    assert again == key == f"{NAMESPACE}/california"
    world.settle(again)
    assert world.ready(again).startswith("True")


def test_deletion_actions_list_equals_the_writes_of_a_deletion(world: World) -> None:
    """Killed exists so that no test can mistake a crash for an error of AWS."""
    assert not issubclass(Killed, Exception)
    assert all(ACTIONS[action].writes for action in DELETES)


def test_role_that_iam_did_not_show_at_first_keeps_its_policies_until_its_owner_is_known(world: World) -> None:
    key = world.provisioned()
    iam = world.sdk.client("iam")
    iam.tag_role(RoleName=ROLE, Tags=[{"Key": "humangov.io/tenant", "Value": "another/one/else"}])
    gone = error("NoSuchEntity", f"The role with name {ROLE} cannot be found.", status=404)
    world.line.faults = [Fault(on("iam:GetRole"), error=gone, times=1)]
    world.delete(key)
    world.settle(key)
    assert iam.list_role_policies(RoleName=ROLE)["PolicyNames"] == ["humangov-cleanup"]


def test_missing_function_is_not_proof_that_its_mappings_are_deleted(world: World) -> None:
    key = world.provisioned()
    world.sdk.client("lambda").delete_function(FunctionName="humangov-california-delete-file")
    gone = error("ResourceNotFoundException", "Function not found", status=404)

    def by_function(call: Call) -> bool:
        return call.action == "lambda:ListEventSourceMappings" and "FunctionName" in call.parameters

    world.line.faults = [Fault(by_function, error=gone)]
    world.delete(key)
    world.settle(key)
    assert world.remains() == []
