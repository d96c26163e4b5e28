"""What takes time or is refused: waited for, shown, and gone on with by itself.

Runs on MiniStack. What it does not have (a young role unknown to Lambda, Pending functions, Creating mappings, denials,
throttling) is injected with AWS's texts; when AWS says which is not shown.
"""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from humangov.api.spec import parse
from humangov.aws.actions import ACTIONS
from humangov.aws.errors import AwsError
from humangov.kube.client import KubeError
from humangov.reconcile.due_reads import COPIES_SECONDS

from testing.reconciler import snapshot
from testing.reconciler.line import Call, Fault, on
from testing.reconciler.sdk import answer_lost, denied, error, throttled
from testing.reconciler.world import World

NAME = "humangov-california-delete-file"


def test_missing_table_requeues_and_nothing_is_created_before_it_exists(world: World) -> None:
    world.make_bucket()
    key = world.apply()
    outcome = world.reconcile_once(key)
    assert world.ready(key).startswith("Unknown TableNotFound")
    assert outcome.requeue_after_seconds == 5
    assert world.line.writes() == []
    world.make_table()
    world.settle(key)
    assert world.ready(key).startswith("True")


def test_missing_bucket_requeues_and_nothing_is_created_before_it_exists(world: World) -> None:
    world.make_table()
    key = world.apply()
    outcome = world.reconcile_once(key)
    assert world.ready(key).startswith("Unknown BucketNotFound")
    assert outcome.requeue_after_seconds == 5
    assert world.line.writes() == []
    world.make_bucket()
    world.settle(key)
    assert world.ready(key).startswith("True")


@pytest.mark.parametrize("what", ["table", "bucket"])
def test_missing_table_or_bucket_stalls_after_15_minutes_and_is_still_retried(world: World, what: str) -> None:
    if what == "table":
        world.make_bucket()
    else:
        world.make_table()
    key = world.apply()
    world.reconcile_once(key)
    world.clock.forward(14 * 60)
    world.reconcile_once(key)
    assert world.ready(key).startswith("Unknown")
    world.restart_operator()
    world.clock.forward(61)
    outcome = world.reconcile_once(key)
    assert world.ready(key).startswith("False"), "a restart does not restart the 15 minutes"
    assert world.condition(key, "Stalled")["status"] == "True"
    assert (outcome.failed, outcome.soon, outcome.requeue_after_seconds) == (True, False, None), "ever more seldom"
    writes = len(world.line.kube_writes())
    world.reconcile_once(key)
    assert len(world.line.kube_writes()) == writes, "told once"
    if what == "table":
        world.make_table()
    else:
        world.make_bucket()
    world.settle(key)
    assert world.ready(key).startswith("True")


def test_table_deleted_under_an_in_sync_tenant_is_waited_for(world: World) -> None:
    key = world.provisioned()
    world.sdk.client("dynamodb").delete_table(TableName="humangov-california-dynamodb")
    world.reconcile_once(key)
    assert world.ready(key).startswith("Unknown TableNotFound")
    assert world.line.writes() == []


def test_suspended_new_tenant_gets_no_resource_and_no_finalizer(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply(world.manifest(suspend=True))
    for _ in range(3):
        world.reconcile_once(key)
    assert world.line.writes() == []
    assert world.kube.objects[key]["metadata"]["finalizers"] == []
    assert world.ready(key).startswith("False Suspended: spec.suspend is true")
    assert world.condition(key, "Reconciling")["status"] == "False", "nothing is in progress"
    assert world.condition(key, "Stalled")["status"] == "False"
    assert {event.kind for event in world.kube.events} <= {"Normal"}


def test_suspended_tenant_can_be_deleted(world: World) -> None:
    key = world.provisioned()
    world.kube.edit(key, lambda resource: resource["spec"].update(suspend=True))
    world.settle(key)
    world.delete(key)
    world.settle(key)
    assert world.remains() == []


def test_trigger_that_is_declared_disabled_is_disabled_and_reports_how_long_records_last(world: World) -> None:
    key = world.provisioned()
    world.kube.edit(key, lambda resource: resource["spec"].update(trigger={"enabled": False}))
    world.settle(key)
    assert snapshot.mappings(world)[0]["State"] == "Disabled"
    assert world.ready(key).startswith("True TriggerDisabled")
    assert "24 hours" in world.ready(key)
    world.kube.edit(key, lambda resource: resource["spec"].update(trigger={"enabled": True}))
    world.settle(key)
    assert snapshot.mappings(world)[0]["State"] == "Enabled"


@pytest.mark.parametrize(
    "action",
    [
        "iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies", "s3:GetBucketLocation", "s3:GetBucketVersioning",
        "logs:DescribeLogGroups", "logs:ListTagsForResource", "dynamodb:DescribeTable", "dynamodb:ListTagsOfResource",
        "lambda:GetFunction",
    ],
)  # fmt: skip
@pytest.mark.parametrize("failure", [denied("x"), throttled(), error("Strange", "?")], ids=["denied", "slow", "odd"])
def test_trigger_is_disabled_while_other_reads_fail(world: World, action: str, failure: Exception) -> None:
    key = world.provisioned()
    world.kube.edit(key, lambda resource: resource["spec"].update(trigger={"enabled": False}))
    world.line.faults = [Fault(on(action), error=failure)]
    world.reconcile_once(key)
    assert snapshot.mappings(world)[0]["State"] == "Disabled"


@pytest.mark.parametrize("failure", [None, denied("x"), throttled()], ids=["no bucket", "denied", "slow"])
def test_trigger_is_disabled_while_the_bucket_or_role_is_missing_or_not_writable(
    world: World, failure: Exception | None
) -> None:
    key = world.provisioned()
    world.sdk.client("iam").delete_role_policy(RoleName=f"{NAME}-us-east-1", PolicyName="humangov-cleanup")
    if failure is None:
        world.sdk.client("s3").delete_bucket(Bucket=world.bucket)
    else:
        world.line.faults = [Fault(on("iam:PutRolePolicy"), error=failure)]
    world.kube.edit(key, lambda resource: resource["spec"].update(trigger={"enabled": False}))
    world.reconcile_once(key)
    assert snapshot.mappings(world)[0]["State"] == "Disabled"


def test_trigger_of_an_older_stream_is_disabled_too(world: World) -> None:
    key = world.provisioned()
    world.sdk.client("dynamodb").update_table(
        TableName="humangov-california-dynamodb", StreamSpecification={"StreamEnabled": False}
    )
    world.settle(key)
    assert len(snapshot.mappings(world)) == 2
    world.kube.edit(key, lambda resource: resource["spec"].update(trigger={"enabled": False}))
    world.settle(key)
    assert {mapping["State"] for mapping in snapshot.mappings(world)} == {"Disabled"}


FIRST_APPLY_ACTIONS = [
    "sts:GetCallerIdentity",
    "dynamodb:DescribeTable",
    "dynamodb:TagResource",
    "dynamodb:ListTagsOfResource",
    "dynamodb:UpdateTable",
    "s3:GetBucketLocation",
    "s3:GetBucketVersioning",
    "iam:GetRole",
    "iam:CreateRole",
    "iam:PutRolePolicy",
    "logs:DescribeLogGroups",
    "logs:CreateLogGroup",
    "logs:PutRetentionPolicy",
    "lambda:GetFunction",
    "lambda:CreateFunction",
    "lambda:CreateEventSourceMapping",
]
# Without these nothing else may be done, or can be.
FIRST = {
    "sts:GetCallerIdentity", "dynamodb:DescribeTable", "dynamodb:ListTagsOfResource", "s3:GetBucketLocation",
    "s3:GetBucketVersioning",
}  # fmt: skip


@pytest.mark.parametrize("action", FIRST_APPLY_ACTIONS)
def test_access_denied_is_reported_while_the_other_steps_continue_and_it_recovers_automatically(
    world: World, action: str
) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.line.faults = [Fault(on(action), error=denied(action))]
    for _ in range(3):
        outcome = world.reconcile_once(key)
    assert outcome.failed
    assert not outcome.soon
    assert outcome.requeue_after_seconds is None, "the slow back-off decides, not a part that waits for the denied one"
    assert world.ready(key).startswith("False AccessDenied"), world.ready(key)
    assert action in world.condition(key, "Stalled")["message"]
    assert world.condition(key, "Stalled")["status"] == "True"
    made = snapshot.snapshot(world)
    if action in FIRST:
        assert made["roles"] == made["log groups"] == made["functions"] == made["mappings"] == []
    else:
        assert len(made["roles"]) == (action not in ("iam:GetRole", "iam:CreateRole"))
        assert len(made["log groups"]) == (action not in ("logs:DescribeLogGroups", "logs:CreateLogGroup"))
    assert len(made["mappings"]) == 0
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True")
    assert [event.kind for event in world.kube.events] == ["Warning", "Normal"]


def test_access_denied_test_covers_every_action_of_a_first_apply(world: World) -> None:
    key = world.provisioned()
    world.restart_operator()
    world.delete(key)
    world.settle(key)
    world.kube.events.clear()
    key = world.apply()
    world.line.forget()
    world.settle(key)
    used = {call.action for call in world.line.calls if call.action in ACTIONS}
    assert used - {"sts:GetCallerIdentity"} == set(FIRST_APPLY_ACTIONS) - {"sts:GetCallerIdentity"}


COPIES = ["s3:GetReplicationConfiguration", "s3:GetLifecycleConfiguration", "backup:DescribeProtectedResource"]


@pytest.mark.parametrize("failure", [denied("x"), throttled(), error("Strange", "?")], ids=["denied", "slow", "odd"])
@pytest.mark.parametrize("action", COPIES)
def test_unknown_other_copies_are_reported_and_stop_nothing(world: World, action: str, failure: Exception) -> None:
    key = world.provisioned()
    world.restart_operator()
    world.line.faults = [Fault(on(action), error=failure)]
    world.settle(key)
    assert world.ready(key).startswith("True")
    condition = world.condition(key, "BucketReady")
    assert (condition["status"], condition["reason"]) == ("True", "Available")
    assert "is unknown" in condition["message"]
    world.line.faults = []
    world.restart_operator()
    world.settle(key)
    assert "unknown" not in world.condition(key, "BucketReady")["message"]


def test_other_copies_are_reported_when_they_appear_and_read_every_six_hours(world: World) -> None:
    key = world.provisioned()
    s3 = world.sdk.client("s3")
    s3.put_bucket_versioning(Bucket=world.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_lifecycle_configuration(
        Bucket=world.bucket,
        LifecycleConfiguration={
            "Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 90}}]
        },
    )
    world.line.forget()
    told = []
    for _ in range(8):
        world.reconcile_once(key)
        world.clock.forward(COPIES_SECONDS / 6)
        told.append("expire files after 90 days" in world.condition(key, "BucketReady")["message"])
    assert told[-1]
    calls = [call.action for call in world.line.calls]
    assert [calls.count(action) for action in COPIES] == [2, 2, 2]
    assert world.condition(key, "BucketReady")["reason"] == "Versioned"


ROLE_IS_YOUNG = [
    ("lambda:CreateFunction", "The role defined for the function cannot be assumed by Lambda."),
    ("lambda:CreateFunction", "The provided execution role does not have permissions to call CreateNetworkInterface"),
    ("lambda:CreateFunction", "Lambda was unable to configure: KMS key is invalid for CreateGrant"),
    ("lambda:CreateFunction", "Your request has been throttled by EC2"),
    (
        "lambda:CreateEventSourceMapping",
        (
            "Cannot access stream arn:aws:dynamodb:x. Please ensure the role can perform the GetRecords, "
            "GetShardIterator, DescribeStream, and ListStreams Actions on your stream in IAM."
        ),
    ),
]


@pytest.mark.parametrize(("action", "text"), ROLE_IS_YOUNG)
def test_role_not_yet_assumable_by_lambda_is_retried_and_stalls_after_minutes(
    world: World, action: str, text: str
) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.line.faults = [Fault(on(action), error=error("InvalidParameterValueException", text))]
    for seconds in range(10):
        outcome = world.reconcile_once(key)
        assert not outcome.failed, "that a role is young is no failure, and no back-off fits it"
        assert 0.1 <= (outcome.requeue_after_seconds or 0) <= 0.34, f"as often after {seconds} s"
        world.clock.forward(1)
    assert world.ready(key).startswith("Unknown RolePropagating")
    assert world.kube.events == []
    world.clock.forward(301)
    world.reconcile_once(key)
    assert world.ready(key).startswith("False RoleNotAssumable")
    assert text in world.ready(key)
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True")
    assert len(snapshot.mappings(world)) == 1


def state(**fields: Any) -> Any:
    """The answer of a function call, in another state."""

    def alter(answer: dict[str, Any]) -> dict[str, Any]:
        changed = {**answer}
        if "Configuration" in answer:
            changed["Configuration"] = {**answer["Configuration"], **fields}
        else:
            changed |= fields
        return changed

    return alter


FUNCTION_CALLS = on("lambda:GetFunction", "lambda:CreateFunction", "lambda:UpdateFunctionConfiguration")


def test_pending_function_requeues_without_sleeping_and_gets_its_trigger_when_active(
    world: World,
) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.line.faults = [Fault(FUNCTION_CALLS, alter=state(State="Pending", LastUpdateStatus="InProgress"))]
    for _ in range(3):
        outcome = world.reconcile_once(key)
        assert not outcome.failed
        assert outcome.requeue_after_seconds is not None
        assert outcome.requeue_after_seconds < 5
    assert world.ready(key).startswith("Unknown")
    assert snapshot.mappings(world) == []
    assert world.line.writes().count("lambda:CreateFunction") == 1
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True")
    assert world.event_reasons() == ["InSync"]


def test_function_stuck_pending_can_be_deleted(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.line.faults = [Fault(FUNCTION_CALLS, alter=state(State="Pending"))]
    world.reconcile_once(key)
    world.delete(key)
    world.settle(key)
    assert world.remains() == []


def test_function_with_an_update_in_progress_is_not_changed(world: World) -> None:
    key = world.provisioned()
    world.sdk.client("lambda").update_function_configuration(FunctionName=NAME, Timeout=3)
    world.line.faults = [Fault(FUNCTION_CALLS, alter=state(LastUpdateStatus="InProgress"))]
    for _ in range(2):
        assert not world.reconcile_once(key).failed
    assert "lambda:UpdateFunctionConfiguration" not in world.line.writes()
    world.line.faults = []
    world.settle(key)
    assert snapshot.functions(world)[0]["Timeout"] == 300


def test_update_in_progress_reported_only_by_the_write_is_retried_soon(world: World) -> None:
    key = world.provisioned()
    world.sdk.client("lambda").update_function_configuration(FunctionName=NAME, Timeout=3)
    busy = error(
        "ResourceConflictException",
        f"The operation cannot be performed at this time. An update is in progress for resource: {NAME}",
        status=409,
    )
    world.line.faults = [Fault(on("lambda:UpdateFunctionConfiguration"), error=busy, times=2)]
    outcome = world.reconcile_once(key)
    assert (outcome.failed, outcome.soon) == (True, True)
    world.settle(key)
    assert snapshot.functions(world)[0]["Timeout"] == 300
    assert "Warning" not in [event.kind for event in world.kube.events]


def test_function_that_lambda_failed_to_create_is_a_terminal_error(world: World) -> None:
    key = world.provisioned()
    world.line.faults = [
        Fault(FUNCTION_CALLS, alter=state(State="Failed", StateReason="The image is gone")),
    ]
    world.reconcile_once(key)
    assert world.ready(key).startswith("False FunctionFailed")
    assert "The image is gone" in world.ready(key)


def test_trigger_in_creation_requeues_and_is_not_created_twice(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()

    def creating(answer: dict[str, Any]) -> dict[str, Any]:
        if "EventSourceMappings" in answer:
            return {**answer, "EventSourceMappings": [creating(item) for item in answer["EventSourceMappings"]]}
        return {**answer, "State": "Creating"}

    world.line.faults = [Fault(on("lambda:ListEventSourceMappings", "lambda:CreateEventSourceMapping"), alter=creating)]
    for _ in range(4):
        world.reconcile_once(key)
    assert world.ready(key).startswith("Unknown Creating")
    assert world.line.writes().count("lambda:CreateEventSourceMapping") == 1
    assert "lambda:UpdateEventSourceMapping" not in world.line.writes()
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True")


def test_mapping_missing_from_the_list_is_not_created_twice(world: World) -> None:
    """AWS refuses the second with its text; MiniStack would take it."""
    key = world.provisioned()
    [uuid] = [item["UUID"] for item in world.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]]
    [mapping] = snapshot.mappings(world)
    exists = error(
        "ResourceConflictException",
        f'The event source arn (" {mapping["EventSourceArn"]} ") and function (" {NAME} ") provided mapping already '
        f"exists. Please update or delete the existing mapping with UUID {uuid}",
        status=409,
    )
    world.line.faults = [
        Fault(on("lambda:ListEventSourceMappings"), alter=lambda _: {"EventSourceMappings": []}, times=4),
        Fault(on("lambda:CreateEventSourceMapping"), error=exists),
    ]
    outcome = world.reconcile_once(key)
    assert not outcome.failed, "what AWS names is adopted at once"
    world.settle(key)
    assert world.ready(key).startswith("True")
    assert len(snapshot.mappings(world)) == 1


def test_table_with_an_update_in_progress_requeues(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()

    def updating(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "Table": {**answer["Table"], "TableStatus": "UPDATING"}}

    world.line.faults = [Fault(on("dynamodb:DescribeTable"), alter=updating)]
    outcome = world.reconcile_once(key)
    assert outcome.requeue_after_seconds is not None
    assert "dynamodb:UpdateTable" not in world.line.writes()
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True")


def test_stream_enabled_concurrently_by_somebody_else_is_used_and_gets_no_ownership_tag(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    already = error(
        "ValidationException", "Table already has an enabled stream: TableName: humangov-california-dynamodb"
    )
    world.line.faults = [Fault(on("dynamodb:UpdateTable"), error=already)]
    outcome = world.reconcile_once(key)
    assert not outcome.failed
    world.sdk.client("dynamodb").update_table(
        TableName="humangov-california-dynamodb",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True")
    assert "humangov.io/stream" not in snapshot.tables(world)[0]["tags"]
    world.delete(key)
    world.clock.forward(60)
    world.settle(key)
    assert snapshot.tables(world)[0]["stream"]["StreamEnabled"] is True


def test_lost_response_is_read_again_and_nothing_is_created_twice(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.line.faults = [
        Fault(on(action), error=answer_lost(), after_effect=True, times=1)
        for action in FIRST_APPLY_ACTIONS
        if ACTIONS[action].writes
    ]
    world.settle(key, reconciliations=20)
    found = snapshot.snapshot(world)
    assert [len(found[kind]) for kind in ("functions", "mappings", "roles", "log groups")] == [1, 1, 1, 1]
    assert "Warning" not in [event.kind for event in world.kube.events], world.kube.events


def test_equal_errors_with_other_request_ids_write_one_status(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    for number in range(5):
        text = f"User is not authorized (Service: Iam, Status Code: 403, Request ID: 4b5b1b0a-{number})"
        world.line.faults = [Fault(on("iam:CreateRole"), error=error("AccessDenied", text))]
        world.reconcile_once(key)
        if number == 1:
            world.line.forget()
    assert world.line.kube_writes() == []


@pytest.mark.parametrize("action", ["lambda:GetFunction", "dynamodb:DescribeTable", "lambda:ListEventSourceMappings"])
def test_twenty_equal_errors_of_an_in_sync_tenant_are_one_status_and_one_event(world: World, action: str) -> None:
    key = world.provisioned()
    world.line.faults = [Fault(on(action), error=denied(action))]
    for _ in range(20):
        assert world.reconcile_once(key).failed
    assert world.line.kube_writes() == ["kube:apply_status", "kube:post_event"]
    [event] = world.kube.events
    assert (event.kind, event.reason) == ("Warning", "AccessDenied")
    assert action in event.message


def test_status_write_refused_by_the_api_server_is_retried_before_any_aws_write(
    world: World,
) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    for action in ("kube:set_finalizer", "kube:apply_status"):
        world.line.faults = [Fault(on(action), error=KubeError("x", status=500, reason="down"))]
        outcome = world.reconcile_once(key)
        assert outcome.failed
        assert world.line.writes() == []
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True")


def test_event_that_cannot_be_posted_does_not_stop_the_reconciliation(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    world.line.faults = [Fault(on("kube:post_event"), error=KubeError("x", status=403, reason="being terminated"))]
    world.settle(key)
    assert world.ready(key).startswith("True")


def test_spec_changed_during_a_reconciliation_is_not_reported_as_observed(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()

    def edited(answer: Any) -> Any:
        def change(resource: dict[str, Any]) -> None:
            resource["spec"]["function"] = {"memoryMiB": 1024}
            resource["metadata"]["annotations"] = {"humangov.io/reconcile": "now"}

        world.kube.edit(key, change)
        return answer

    world.line.faults = [Fault(on("lambda:CreateFunction"), alter=edited, times=1)]
    world.reconcile_once(key)
    status = world.kube.objects[key]["status"]
    assert status["observedGeneration"] == 1
    assert "lastHandledReconcile" not in status
    world.settle(key)
    status = world.kube.objects[key]["status"]
    assert status["observedGeneration"] == 2
    assert status["lastHandledReconcile"] == "now"
    function = world.sdk.client("lambda").get_function(FunctionName="humangov-california-delete-file")
    assert function["Configuration"]["MemorySize"] == 1024


def test_account_lookup_error_is_shared_by_all_waiting_tenants(world: World) -> None:
    tenant = parse(world.kube.objects[world.apply()], default_region="us-east-1")
    clients = world.operator.clients_for(tenant)
    clock, looks, all_ask = clients._clock, itertools.count(1), threading.Event()

    def watched_clock() -> float:
        moment = clock()
        if next(looks) >= 9:  # eight who ask, and the one call
            all_ask.set()
        return moment

    def once_all_ask(call: Call) -> bool:
        assert all_ask.wait(30)
        return call.action == "sts:GetCallerIdentity"

    clients._clock = watched_clock
    world.line.faults = [Fault(once_all_ask, error=throttled())]

    def ask(_: int) -> str:
        try:
            clients.identity(cluster="c")
        except AwsError as failure:
            return failure.code
        return "answered"

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {"ThrottlingException"}
    assert [call.action for call in world.line.calls] == ["sts:GetCallerIdentity"]


def test_last_processing_result_of_lambda_is_kept_until_it_changes(world: World) -> None:
    key = world.provisioned()
    problem = "PROBLEM: Function call failed"

    def ailing(answer: Any) -> Any:
        for mapping in answer["EventSourceMappings"]:
            mapping["LastProcessingResult"] = problem
        return answer

    def known() -> str | None:
        return world.operator.store.memory(key).reconciler.trigger_problem

    assert known() is None
    world.line.faults = [Fault(on("lambda:ListEventSourceMappings"), alter=ailing)]
    world.reconcile_once(key)
    assert known() == problem
    world.line.faults = [Fault(on("lambda:ListEventSourceMappings"), error=throttled())]
    world.reconcile_once(key)
    assert known() == problem, "an error is no word on it"
    world.line.faults = []
    world.reconcile_once(key)
    assert known() is None
