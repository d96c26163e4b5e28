"""Each remedy that a message names is carried out in the state that it is for, and the tenant is Ready, or gone.

What AWS or a person has to correct outside of a tenant (a grant, a quota, a key) is corrected as the end of a fault:
the emulator refuses nothing by itself. What the message asks of the manifest, of AWS's resources or of the operator's
settings is done. Which test carries out which remedy: tests/unit/test_remedies.py, which fails if there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames, Patterns
from humangov.aws import errors
from humangov.kube.client import KubeError

from testing.reconciler.line import Call, Fault, on
from testing.reconciler.sdk import error
from testing.reconciler.world import World

NAME = "humangov-california-delete-file"
TABLE = "humangov-california-dynamodb"
GROUP = f"/aws/lambda/{NAME}"
TRUST = '{"Version": "2012-10-17", "Statement": []}'


def applied(world: World, **spec: Any) -> str:
    """A new tenant that is reconciled, and stays in the state that it meets."""
    key = world.apply(world.manifest(**spec))
    for _ in range(4):
        world.reconcile_once(key)
    return key


def applied_again(world: World, key: str, **spec: Any) -> str:
    """The HumanGovState is deleted, and a correct one applied."""
    world.delete(key)
    if key in world.kube.objects:
        world.settle(key)
    assert key not in world.kube.objects
    return world.apply(world.manifest(**spec))


def is_ready(world: World, key: str) -> None:
    world.settle(key)
    assert world.ready(key).startswith("True InSync"), world.ready(key)


# The table's stream, as someone else enabled it


def disable_the_stream(world: World) -> None:
    world.sdk.client("dynamodb").update_table(TableName=TABLE, StreamSpecification={"StreamEnabled": False})


def enable_it_with_both_images(world: World) -> None:
    disable_the_stream(world)
    world.sdk.client("dynamodb").update_table(
        TableName=TABLE, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    )


@pytest.mark.parametrize("remedy", [disable_the_stream, enable_it_with_both_images])
def test_stream_without_old_images_is_usable_after_each_remedy_of_its_message(
    world: World, remedy: Callable[[World], None]
) -> None:
    world.make_table(view_type="KEYS_ONLY")
    world.make_bucket()
    key = applied(world)
    assert "Disable it, or enable it with NEW_AND_OLD_IMAGES" in world.ready(key)
    remedy(world)
    is_ready(world, key)


def test_stream_of_old_images_only_is_enabled_with_both_once_it_is_disabled(world: World) -> None:
    world.make_table(view_type="OLD_IMAGE")
    world.make_bucket()
    key = applied(world)
    told = world.condition(key, "StreamReady")
    assert (told["reason"], "disable it; the operator then enables it" in told["message"]) == ("OldImagesOnly", True)
    disable_the_stream(world)
    is_ready(world, key)
    table = world.sdk.client("dynamodb").describe_table(TableName=TABLE)["Table"]
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"


@pytest.mark.parametrize("status", ["INACCESSIBLE_ENCRYPTION_CREDENTIALS", "ARCHIVED"])
def test_table_that_is_unavailable_is_used_once_it_is_active_again(world: World, status: str) -> None:
    key = world.provisioned()
    answer = Fault(
        on("dynamodb:DescribeTable"), alter=lambda found: {"Table": {**found["Table"], "TableStatus": status}}
    )
    world.line.faults = [answer]
    world.reconcile_once(key)
    assert "KMS key" in world.ready(key)
    world.clock.forward(16 * 60)
    world.reconcile_once(key)
    assert world.ready(key).startswith("False TableUnavailable")
    world.line.faults = []
    is_ready(world, key)


# Names


@pytest.mark.parametrize("what", ["table", "bucket"])
def test_missing_table_or_bucket_with_a_wrong_name_is_corrected_by_a_new_manifest(world: World, what: str) -> None:
    world.make_table()
    world.make_bucket()
    key = applied(world, **{what: {"name": f"humangov-californai-{what}"}})
    world.clock.forward(16 * 60)
    world.reconcile_once(key)
    assert "delete the HumanGovState and apply one with the correct name" in world.ready(key)
    is_ready(world, applied_again(world, key))


def test_bucket_in_another_region_is_corrected_by_a_new_manifest(world: World) -> None:
    world.make_table()
    world.make_bucket()
    elsewhere = f"humangov-elsewhere-{world.account}"
    world.sdk.client("s3").create_bucket(
        Bucket=elsewhere, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    key = applied(world, bucket={"name": elsewhere})
    assert world.ready(key).startswith("False RegionMismatch"), world.ready(key)
    assert "delete the HumanGovState and apply a correct one" in world.ready(key)
    is_ready(world, applied_again(world, key))


def allow(world: World, **namespaces: Patterns) -> None:
    world.settings = replace(world.settings, allowed=AllowedNames(namespaces))
    world.restart_operator()


ALL = replace(next(iter(AllowedNames.only("humangov").namespaces.values())))


@pytest.mark.parametrize("refused", [{}, {"humangov": replace(ALL, buckets=("florida-*",))}])
def test_name_that_is_not_allowed_is_used_once_the_administrator_allows_it(
    world: World, refused: dict[str, Patterns]
) -> None:
    world.make_table()
    world.make_bucket()
    allow(world, **refused)
    key = applied(world)
    assert world.ready(key).startswith("False NotAllowed")
    assert "sk the operator's administrator to" in world.ready(key)
    allow(world, humangov=ALL)
    is_ready(world, key)


def test_name_that_is_not_allowed_is_corrected(world: World) -> None:
    world.make_table()
    world.make_bucket()
    allow(world, humangov=replace(ALL, buckets=("humangov-california-*",), failures_buckets=()))
    key = applied(world, failures={"bucket": "florida-failures"})
    assert world.ready(key).startswith("False NotAllowed")
    assert "Correct the name" in world.ready(key)
    world.kube.edit(key, lambda one: one["spec"].pop("failures"))
    is_ready(world, key)


def test_conflict_ends_when_the_younger_is_deleted_too(world: World) -> None:
    older = world.provisioned()
    copy = world.manifest("copy", table={"name": TABLE})
    world.clock.forward(60)
    younger = world.kube.apply(copy, created=world.clock.now())
    world.reconcile_once(younger)
    assert "Delete one of the two" in world.ready(younger)
    world.delete(younger)
    assert younger not in world.kube.objects
    is_ready(world, older)


# Owners


def role_of_another(world: World) -> Callable[[], Any]:
    iam, name = world.sdk.client("iam"), f"{NAME}-us-east-1"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    return lambda: iam.delete_role(RoleName=name)


def function_of_another(world: World) -> Callable[[], Any]:
    client = world.sdk.client("lambda")
    client.create_function(
        FunctionName=NAME, Runtime="python3.13", Role=f"arn:aws:iam::{world.account}:role/x", Handler="a.b",
        Code={"ZipFile": world.bundle.zip},
    )  # fmt: skip
    return lambda: client.delete_function(FunctionName=NAME)


def log_group_of_another(world: World) -> Callable[[], Any]:
    client = world.sdk.client("logs")
    client.create_log_group(logGroupName=GROUP)
    return lambda: client.delete_log_group(logGroupName=GROUP)


OTHERS = [role_of_another, function_of_another, log_group_of_another]


@pytest.mark.parametrize("make", OTHERS)
def test_resource_of_another_is_replaced_once_it_is_deleted(
    world: World, make: Callable[[World], Callable[[], Any]]
) -> None:
    world.make_table()
    world.make_bucket()
    delete = make(world)
    key = applied(world)
    assert world.ready(key).startswith("False NotOwned")
    delete()
    is_ready(world, key)


@pytest.mark.parametrize("make", OTHERS)
def test_resource_of_another_is_avoided_by_another_function_name_in_a_new_manifest(
    world: World, make: Callable[[World], Callable[[], Any]]
) -> None:
    world.make_table()
    world.make_bucket()
    make(world)
    key = applied(world)
    assert "spec.function.name" in world.ready(key)
    is_ready(world, applied_again(world, key, function={"name": "humangov-california-erases"}))


def test_operator_with_its_former_identity_again_goes_on(world: World) -> None:
    key = world.provisioned()
    former, world.cluster = world.cluster, "another"
    world.restart_operator()
    world.reconcile_once(key)
    assert "Restore its former credentials, --region and --cluster-name" in world.ready(key)
    world.cluster = former
    world.restart_operator()
    is_ready(world, key)


def test_deletion_goes_on_once_the_mapping_of_another_is_deleted(world: World) -> None:
    key = world.provisioned()
    session = world.sdk._session
    session.client("sqs", endpoint_url=world.sdk.endpoint_url).create_queue(QueueName="q")
    client = world.sdk.client("lambda")
    foreign = client.create_event_source_mapping(
        FunctionName=NAME, EventSourceArn=f"arn:aws:sqs:us-east-1:{world.account}:q"
    )
    world.delete(key)
    for _ in range(2):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False UnownedTrigger")
    assert f"{foreign['UUID']} " in world.ready(key)
    assert "Delete that mapping" in world.ready(key)
    client.delete_event_source_mapping(UUID=foreign["UUID"])
    world.settle(key)
    assert key not in world.kube.objects
    assert world.remains() == []


# The manifest


def test_manifest_that_an_older_definition_let_through_is_corrected(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = applied(world, function={"memoryMiB": "much"})
    assert world.ready(key).startswith("False InvalidSpec"), world.ready(key)
    assert "spec.function.memoryMiB" in world.ready(key)
    world.kube.edit(key, lambda one: one["spec"].update(function={"memoryMiB": 512}))
    is_ready(world, key)


def test_suspended_tenant_goes_on_when_it_is_no_longer_suspended(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = applied(world, suspend=True)
    assert "spec.suspend is true" in world.ready(key)
    world.kube.edit(key, lambda one: one["spec"].update(suspend=False))
    is_ready(world, key)


def test_disabled_trigger_is_enabled_again(world: World) -> None:
    key = world.provisioned()
    world.kube.edit(key, lambda one: one["spec"].update(trigger={"enabled": False}))
    world.settle(key)
    assert world.ready(key).startswith("True TriggerDisabled")
    world.kube.edit(key, lambda one: one["spec"].update(trigger={"enabled": True}))
    is_ready(world, key)


def create_it(world: World, _key: str) -> None:
    world.make_bucket(f"humangov-failures-{world.account}")


def name_another(world: World, key: str) -> None:
    world.kube.edit(key, lambda one: one["spec"].update(failures={"bucket": world.bucket}))


@pytest.mark.parametrize("remedy", [create_it, name_another])
def test_missing_failures_bucket_is_no_warning_after_each_remedy_of_its_message(
    world: World, remedy: Callable[[World, str], None]
) -> None:
    key = world.provisioned(failures={"bucket": f"humangov-failures-{world.account}"})
    world.reconcile_once(key)
    assert world.condition(key, "FailuresHandled")["reason"] == "FailuresBucketNotFound"
    remedy(world, key)
    world.settle(key)
    world.reconcile_once(key)  # a resync: that of a new generation counts no failed invocations
    conditions = world.status(key)["conditions"]
    assert [one["message"] for one in conditions if one["type"] == "FailuresHandled" and one["status"] != "True"] == []


# Sweeps


def with_sweeps(world: World) -> World:
    template = {"metadata": {}, "spec": {"containers": [{"name": "sweep", "image": "humangov:1"}]}}
    world.settings = replace(world.settings, sweep_template="template", own_namespace="operators")
    world.kube.templates["cronjobs", "template"] = {"spec": {"jobTemplate": {"spec": {"template": template}}}}
    world.restart_operator()
    return world


def test_tenant_with_shared_files_is_re_created_with_shared_file_names(world: World) -> None:
    key = with_sweeps(world).provisioned()
    told = {"result": "SafetyCheckFailed", "filesShared": 2, "message": "2 files"}
    world.kube.objects[key]["status"]["sweep"] = told
    for _ in range(3):
        world.reconcile_once(key)
    assert "re-create the HumanGovState with table.fileNames: Shared" in world.ready(key)
    world.settings = replace(world.settings, sweep_template=None)  # the final read of the stream is no part of this
    world.restart_operator()
    new = applied_again(world, key, table={"name": TABLE, "fileNames": "Shared"})
    world.settle(new)
    assert world.ready(new).startswith("True"), world.ready(new)


def test_cron_job_of_another_is_replaced_once_it_is_deleted(world: World) -> None:
    key = with_sweeps(world).provisioned()
    [found] = [one for (plural, _), one in world.kube.batch.items() if plural == "cronjobs"]
    found["metadata"]["annotations"] = {"humangov.io/owner": "other/humangov/california"}
    world.reconcile_once(key)
    told = world.condition(key, "SweepSucceeded")
    assert (told["reason"], told["message"].endswith("Delete it")) == ("NotOwned", True)
    del world.kube.batch["cronjobs", found["metadata"]["name"]]
    world.settle(key)
    assert world.condition(key, "SweepSucceeded")["reason"] == "NotStarted"


def test_cron_job_that_could_not_be_created_is_there_once_it_is_granted(world: World) -> None:
    with_sweeps(world).line.faults.append(
        Fault(hits=on("kube:create cronjobs"), error=KubeError("creating cronjobs", status=403, reason="forbidden"))
    )
    key = world.provisioned()
    assert world.condition(key, "SweepSucceeded")["reason"] == "SchedulingFailed"
    world.line.faults.clear()
    world.clock.forward(60)
    world.settle(key)
    assert world.condition(key, "SweepSucceeded")["reason"] == "NotStarted"


def test_sweep_that_failed_is_no_warning_once_the_next_one_has_completed(world: World) -> None:
    key = with_sweeps(world).provisioned()
    sweep: dict[str, Any] = {"startedAt": "2026-03-01T00:00:00Z"}
    world.kube.objects[key]["status"]["sweep"] = sweep | {"result": "SweepFailed", "message": "the table is gone"}
    world.reconcile_once(key)
    assert world.condition(key, "SweepSucceeded")["reason"] == "SweepFailed"
    world.kube.objects[key]["status"]["sweep"] = sweep | {"result": "Erased", "message": "3 files"}
    world.settle(key)
    assert world.condition(key, "SweepSucceeded")["status"] == "True"


# The function


def test_function_that_lambda_failed_to_set_up_is_created_again_once_it_is_deleted(world: World) -> None:
    key = world.provisioned()
    client = world.sdk.client("lambda")
    deleted: list[str] = []

    def failed(answer: dict[str, Any]) -> dict[str, Any]:
        """As long as it is the same function."""
        configuration = answer.get("Configuration", answer)
        if deleted:
            return answer
        return {**answer, "Configuration": {**configuration, "State": "Failed", "StateReason": "The key is gone."}}

    world.line.faults = [Fault(on("lambda:GetFunction"), alter=failed)]
    world.reconcile_once(key)
    assert "The key is gone. Correct what Lambda names. If that does not help, delete the function" in world.ready(key)
    assert f"aws lambda delete-function --function-name {NAME}" in world.ready(key)
    for _ in range(2):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False FunctionFailed"), "time does not end it"
    client.delete_function(FunctionName=NAME)
    deleted.append(NAME)
    is_ready(world, key)


def test_environment_is_read_again_once_the_key_is_removed_from_the_function(world: World) -> None:
    key = world.provisioned()
    client = world.sdk.client("lambda")
    kms = "arn:aws:kms:us-east-1:123456789012:key/11112222-3333-4444-5555-666677778888"
    client.update_function_configuration(FunctionName=NAME, KMSKeyArn=kms)

    def blind(answer: dict[str, Any]) -> dict[str, Any]:
        configuration = answer.get("Configuration", answer)
        if not configuration.get("KMSKeyArn"):
            return answer
        environment = {"Error": {"ErrorCode": "AccessDeniedException", "Message": "the KMS access was denied."}}
        return {**answer, "Configuration": {**configuration, "Environment": environment}}

    world.line.faults = [Fault(on("lambda:GetFunction"), alter=blind)]
    world.reconcile_once(key)
    assert "or remove the key from the function" in world.ready(key)
    client.update_function_configuration(FunctionName=NAME, KMSKeyArn="")
    is_ready(world, key)


def test_function_is_known_again_once_nothing_takes_fields_out_of_lambdas_answers(world: World) -> None:
    key = world.provisioned()

    def proxy(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "Configuration": {k: v for k, v in answer["Configuration"].items() if k != "MemorySize"}}

    world.line.faults = [Fault(on("lambda:GetFunction"), alter=proxy)]
    world.reconcile_once(key)
    assert world.ready(key).startswith("False ConfigurationUnknown"), world.ready(key)
    assert "Check what is between the operator and AWS" in world.ready(key)
    world.line.faults = []
    is_ready(world, key)


def test_drift_that_returns_is_left_alone_once_the_tenant_is_suspended(world: World) -> None:
    key = world.provisioned()
    client = world.sdk.client("lambda")
    for _ in range(4):
        client.update_function_configuration(FunctionName=NAME, MemorySize=1024)
        world.clock.forward(60)
        world.reconcile_once(key)
    assert world.ready(key).startswith("False DriftReturns"), world.ready(key)
    assert "or set spec.suspend: true" in world.ready(key)
    world.kube.edit(key, lambda one: one["spec"].update(suspend=True))
    world.line.forget()
    for _ in range(3):
        world.reconcile_once(key)
        world.clock.forward(3600)
    assert world.line.writes() == []
    assert client.get_function_configuration(FunctionName=NAME)["MemorySize"] == 1024
    assert world.ready(key).startswith("False Suspended")
    assert world.condition(key, "Stalled")["status"] == "False"


# What AWS refuses: one case for each remedy of the table in aws/errors.py


def corrected(world: World, _key: str) -> None:
    """Outside of the tenant, as the message says: granted, renewed, enabled, raised."""
    world.line.faults = []


def another_memory(world: World, key: str) -> None:
    world.kube.edit(key, lambda one: one["spec"].update(function={"memoryMiB": 1024}))


def another_runtime(world: World, key: str) -> None:
    world.kube.edit(key, lambda one: one["spec"].update(function={"runtime": "python3.12"}))


def of_512_mib(call: Call) -> bool:
    return call.action == "lambda:CreateFunction" and call.parameters["MemorySize"] == 512


def of_python_3_13(call: Call) -> bool:
    return call.action == "lambda:CreateFunction" and call.parameters["Runtime"] == "python3.13"


CREATE = on("lambda:CreateFunction")
REFUSALS = [
    # code, text, which calls, the remedy, and how it is carried out
    ("AccessDeniedException", "User: x is not authorized to perform: lambda:CreateFunction", CREATE, errors._GRANT,
     corrected),
    ("AccessDenied", "User: x is not authorized to perform: sts:AssumeRole on resource: y", CREATE, errors._TRUST,
     corrected),
    ("AccessDeniedException", "x with an explicit deny in a service control policy", CREATE, errors._DENIED,
     corrected),
    ("DeleteConflict", "Cannot delete entity", on("iam:CreateRole"), errors._IN_USE, corrected),
    ("CodeStorageExceededException", "Code storage limit exceeded.", CREATE, errors._QUOTA, corrected),
    ("ExpiredToken", "The security token included in the request is expired", CREATE, errors._RENEW, corrected),
    ("UnrecognizedClientException", "The security token is invalid.", CREATE, errors._CREDENTIALS, corrected),
    ("SignatureDoesNotMatch", "Signature expired", CREATE, f"{errors._CREDENTIALS}, and the clock", corrected),
    ("AllAccessDisabled", "All access to this object has been disabled", CREATE,
     "Ask AWS Support why the access of the account was disabled", corrected),
    ("OptInRequired", "not opted in", CREATE,
     "Enable the region for the account, or name another spec.region", corrected),
    ("KMSDisabledException", "The key is disabled", CREATE, errors._KEY, corrected),
    ("NoSuchEntity", "Scope ARN: x does not exist", on("iam:CreateRole"), errors._BOUNDARY, corrected),
    ("InvalidParameterValueException", "'MemorySize' value failed to satisfy constraint", of_512_mib,
     errors.SPEC_REMEDY, another_memory),
    ("InvalidRuntimeException", "python3.13 is not supported here", of_python_3_13,
     "Choose another spec.function.runtime", another_runtime),
]  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "text", "hits", "remedy", "done"), REFUSALS, ids=[f"{row[0]}-{row[3][:20]}" for row in REFUSALS]
)
def test_refused_aws_call_works_once_the_remedy_of_its_message_is_carried_out(
    world: World, failure: str, text: str, hits: Callable[[Call], bool], remedy: str, done: Callable[[World, str], None]
) -> None:
    world.make_table()
    world.make_bucket()
    world.line.faults = [Fault(hits, error=error(failure, text))]
    key = applied(world)
    assert world.ready(key).startswith("False "), world.ready(key)
    assert remedy in world.ready(key)
    done(world, key)
    is_ready(world, key)


def test_each_remedy_of_a_refused_call_is_carried_out() -> None:
    """Deletion protection is met only while removing: tests/aws/test_removal_remedies.py."""
    there = {rule.remedy for rule in errors._RULES if rule.remedy} - {errors._PROTECTED}
    assert there == {remedy for _, _, _, remedy, _ in REFUSALS}
