"""Drift in what a resource is, not in how it is configured: a trigger on an alias, old streams, what can't be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pytest
from humangov.aws import function_access, stream_observed

from testing.reconciler.drifts import NAME, OTHER_CODE, awslambda, function_arn, mapping_uuid
from testing.reconciler.line import Call, Fault, on
from testing.reconciler.sdk import denied, error
from testing.reconciler.world import World

TABLE = "humangov-california-dynamodb"
KEY = "arn:aws:kms:us-east-1:123456789012:key/11112222-3333-4444-5555-666677778888"
DENIED = "Lambda was unable to decrypt your environment variables because the KMS access was denied."


def publish_other_code(world: World) -> None:
    """An alias `live` of a version with other code, which the trigger invokes."""
    awslambda(world).update_function_code(FunctionName=NAME, ZipFile=OTHER_CODE)
    version = awslambda(world).publish_version(FunctionName=NAME)["Version"]
    awslambda(world).create_alias(FunctionName=NAME, Name="live", FunctionVersion=version)
    awslambda(world).update_event_source_mapping(UUID=mapping_uuid(world), FunctionName=f"{NAME}:live")


def without_aliases(answer: dict[str, Any]) -> dict[str, Any]:
    listed = answer["EventSourceMappings"]
    return answer | {"EventSourceMappings": [one for one in listed if one["FunctionArn"].endswith(f":{NAME}")]}


@pytest.mark.parametrize("is_listed", [True, False], ids=["listed-by-function", "not-listed-by-function"])
def test_trigger_on_an_alias_is_set_back_to_the_function_itself(world: World, *, is_listed: bool) -> None:
    """AWS does not say whether a function's list has the mappings of its aliases, so both are tried."""
    key = world.provisioned()
    publish_other_code(world)
    if not is_listed:
        hides = Fault(lambda c: c.action == "lambda:ListEventSourceMappings" and "FunctionName" in c.parameters)
        hides.alter = without_aliases
        world.line.faults = [hides]
    world.settle(key)
    mappings = awslambda(world).list_event_source_mappings()["EventSourceMappings"]
    assert [mapping["FunctionArn"].partition(":function:")[2] for mapping in mappings] == [NAME]
    assert world.ready(key).startswith("True InSync")
    [event] = [event for event in world.kube.events if "trigger" in event.message]
    assert f"function {NAME}:live → {NAME}" in event.message


def test_trigger_on_an_alias_is_deleted_with_the_tenant(world: World) -> None:
    key = world.provisioned()
    publish_other_code(world)
    world.line.faults = [
        Fault(
            lambda c: c.action == "lambda:ListEventSourceMappings" and "FunctionName" in c.parameters,
            alter=without_aliases,
        )
    ]
    world.delete(key)
    world.settle(key, reconciliations=60)
    assert world.remains() == []


def blind(answer: dict[str, Any]) -> dict[str, Any]:
    configuration = answer.get("Configuration", answer)
    configuration["KMSKeyArn"] = KEY
    configuration["Environment"] = {"Error": {"ErrorCode": "AccessDeniedException", "Message": DENIED}}
    return answer


def test_environment_that_cannot_be_read_is_reported_and_not_written_over(world: World) -> None:
    """A KMS key whose policy does not know the operator: what is unknown is no drift."""
    key = world.provisioned()
    answers = on("lambda:GetFunction", "lambda:UpdateFunctionConfiguration", "lambda:UpdateFunctionCode")
    world.line.faults = [Fault(answers, alter=blind)]
    for _ in range(10):
        world.reconcile_once(key)
        world.clock.forward(60)
    assert world.line.writes() == []
    assert world.ready(key).startswith("False EnvironmentUnreadable")
    assert {KEY, DENIED, "kms:Decrypt"} <= {part for part in (KEY, DENIED, "kms:Decrypt") if part in world.ready(key)}
    assert len(world.kube.events) <= 2
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True InSync")


def test_other_drift_is_corrected_while_the_environment_cannot_be_read(world: World) -> None:
    key = world.provisioned()
    awslambda(world).update_function_configuration(FunctionName=NAME, MemorySize=128)
    answers = on("lambda:GetFunction", "lambda:UpdateFunctionConfiguration", "lambda:UpdateFunctionCode")
    world.line.faults = [Fault(answers, alter=blind)]
    for _ in range(3):
        world.reconcile_once(key)
    [written] = [call for call in world.line.calls if call.action == "lambda:UpdateFunctionConfiguration"]
    assert "Environment" not in written.parameters
    assert awslambda(world).get_function_configuration(FunctionName=NAME)["MemorySize"] == 512


@pytest.mark.parametrize("field", ["Runtime", "Handler", "Role", "MemorySize", "Timeout", "CodeSha256"])
def test_field_that_lambda_does_not_show_is_unknown_and_neither_written_over_nor_ready(
    world: World, field: str
) -> None:
    key = world.provisioned()

    def without(answer: dict[str, Any]) -> dict[str, Any]:
        answer["Configuration"].pop(field)
        return answer

    world.line.faults = [Fault(on("lambda:GetFunction"), alter=without)]
    world.line.forget()
    for _ in range(3):
        world.reconcile_once(key)
    assert world.line.writes() == []
    assert not world.ready(key).startswith("True")
    assert field in world.ready(key)
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True InSync")


def open_ways_in(world: World) -> None:
    awslambda(world).add_permission(
        FunctionName=NAME, StatementId="theirs", Action="lambda:InvokeFunction", Principal="999999999999"
    )
    awslambda(world).create_function_url_config(FunctionName=NAME, AuthType="NONE")


def test_permission_and_url_with_which_others_invoke_the_function_are_removed_with_a_warning(world: World) -> None:
    key = world.provisioned()
    open_ways_in(world)
    for _ in range(6):
        world.reconcile_once(key)
    with pytest.raises(awslambda(world).exceptions.ResourceNotFoundException):
        awslambda(world).get_function_url_config(FunctionName=NAME)
    assert "theirs" not in policy_of(world)
    [event] = [event for event in world.kube.events if event.reason == "DriftCorrected"]
    assert event.kind == "Warning"
    assert "theirs" in event.message
    assert "URL" in event.message
    assert world.ready(key).startswith("True InSync")


def policy_of(world: World) -> str:
    try:
        return str(awslambda(world).get_policy(FunctionName=NAME)["Policy"])
    except awslambda(world).exceptions.ResourceNotFoundException:
        return ""


def test_permissions_of_a_function_that_somebody_else_owns_stay(world: World) -> None:
    key = world.provisioned()
    open_ways_in(world)
    arn = awslambda(world).get_function(FunctionName=NAME)["Configuration"]["FunctionArn"]
    awslambda(world).tag_resource(Resource=arn, Tags={"humangov.io/tenant": "another/name/space"})
    world.line.forget()
    for _ in range(7):
        world.reconcile_once(key)
    assert world.line.writes() == []
    assert "theirs" in policy_of(world)


DEEP_READS = (
    "lambda:GetPolicy", "lambda:ListFunctionUrlConfigs", "lambda:ListAliases", "lambda:ListVersionsByFunction",
    "lambda:ListFunctionEventInvokeConfigs", "lambda:GetFunctionCodeSigningConfig", "iam:ListRolePolicies",
    "iam:ListAttachedRolePolicies", "logs:DescribeSubscriptionFilters",
)  # fmt: skip


@pytest.mark.parametrize("action", DEEP_READS)
def test_missing_permission_to_read_who_may_invoke_is_named_and_other_drift_is_corrected(
    world: World, action: str
) -> None:
    key = world.provisioned()
    world.line.faults = [Fault(on(action), error=denied(action))]
    for _ in range(6):
        world.reconcile_once(key)
    assert world.ready(key).startswith("False AccessUnknown")
    assert action in world.ready(key)
    awslambda(world).update_function_configuration(FunctionName=NAME, MemorySize=128)
    world.reconcile_once(key)
    assert awslambda(world).get_function_configuration(FunctionName=NAME)["MemorySize"] == 512
    assert world.ready(key).startswith("False AccessUnknown")
    world.line.faults = []
    world.settle(key)
    assert world.ready(key).startswith("True InSync")


def test_each_old_stream_loses_its_trigger_a_day_after_its_own_end(
    world: World, births: Mapping[str, datetime]
) -> None:
    """Somebody else's tool turns the stream off every 12 hours, and the operator enables it again."""
    key = world.provisioned()
    for _ in range(8):
        for _ in range(6):
            world.clock.forward(7200)
            world.reconcile_once(key)
        world.sdk.client("dynamodb").update_table(TableName=TABLE, StreamSpecification={"StreamEnabled": False})
        world.settle(key)
    mappings = awslambda(world).list_event_source_mappings(FunctionName=NAME)["EventSourceMappings"]
    labels = sorted(mapping["EventSourceArn"].rpartition("/stream/")[2] for mapping in mappings)
    assert labels == sorted(births)[-3:], "the present one, and those that ended within 24 hours"


@pytest.fixture
def births(world: World, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, datetime]:
    """Labels go by the moved clock: the emulated DynamoDB's goes by the machine's."""
    found: dict[str, datetime] = {}
    monkeypatch.setattr(
        stream_observed, "born_at", lambda label: found.setdefault(label, world.clock.now()) if label else None
    )
    return found


def open_ways_in_by_an_alias(world: World) -> None:
    """An alias and a version, with a statement of a resource policy each, and a URL of the alias."""
    publish_other_code(world)
    for qualifier in ("live", "1"):
        awslambda(world).add_permission(
            FunctionName=NAME, Qualifier=qualifier, StatementId=f"theirs-{qualifier}",
            Action="lambda:InvokeFunction", Principal="999999999999",
        )  # fmt: skip
    awslambda(world).create_function_url_config(FunctionName=NAME, Qualifier="live", AuthType="NONE")


def as_aws_lists(world: World) -> list[Fault]:
    """MiniStack shows the statements of aliases and versions in the function's own policy, and URLs without alias."""

    def own(call: Call) -> dict[str, Any]:
        answer: dict[str, Any] = awslambda(world).get_policy(**call.parameters)
        arn = f"{function_arn(world)}:{call.parameters['Qualifier']}" if "Qualifier" in call.parameters else None
        policy = json.loads(answer["Policy"])
        of_it = [one for one in policy["Statement"] if one["Resource"] == (arn or function_arn(world))]
        return answer | {"Policy": json.dumps(policy | {"Statement": of_it})}

    def with_alias(answer: dict[str, Any]) -> dict[str, Any]:
        return (
            {"FunctionUrlConfigs": [{"FunctionArn": f"{function_arn(world)}:live"}]} if alias_has_url(world) else answer
        )

    return [Fault(on("lambda:GetPolicy"), instead=own), Fault(on("lambda:ListFunctionUrlConfigs"), alter=with_alias)]


def alias_has_url(world: World) -> bool:
    try:
        awslambda(world).get_function_url_config(FunctionName=NAME, Qualifier="live")
    except awslambda(world).exceptions.ResourceNotFoundException:
        return False
    return True


def test_permissions_and_urls_of_aliases_and_versions_are_removed_with_a_warning(world: World) -> None:
    """An alias may hold other code, and is invoked by permissions of its own."""
    key = world.provisioned()
    open_ways_in_by_an_alias(world)
    world.line.faults = as_aws_lists(world)
    look_deep(world, key)
    assert "theirs" not in policy_of(world)
    assert not alias_has_url(world)
    [event] = [event for event in world.kube.events if event.reason == "DriftCorrected"]
    assert event.kind == "Warning"
    for what in (f"theirs-live of {NAME}:live", f"theirs-1 of {NAME}:1", f"URL of {NAME}:live"):
        assert what in event.message
    world.settle(key)
    assert world.ready(key).startswith("True InSync")


def test_function_without_aliases_and_versions_costs_no_call_for_them(world: World) -> None:
    key = world.provisioned()
    look_deep(world, key)
    assert [call.parameters for call in world.line.calls if call.action == "lambda:GetPolicy"] == [
        {"FunctionName": NAME}
    ]
    assert "lambda:ListProvisionedConcurrencyConfigs" not in world.line.reads()


def test_more_aliases_and_versions_than_are_read_are_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key = world.provisioned()
    monkeypatch.setattr(function_access, "MOST_QUALIFIERS", 1)
    open_ways_in_by_an_alias(world)
    world.line.faults = as_aws_lists(world)
    look_deep(world, key)
    assert "theirs-live" not in policy_of(world)
    assert world.ready(key).startswith("False AccessUnknown")
    assert "2 aliases and published versions" in world.ready(key)
    awslambda(world).delete_alias(FunctionName=NAME, Name="live")
    world.settle(key)
    assert "theirs" not in policy_of(world)
    assert world.ready(key).startswith("True InSync")


QUEUE = "arn:aws:sqs:us-east-1:999999999999:theirs"
ASYNCHRONOUS = {
    "$LATEST": {"OnFailure": {"Destination": QUEUE}, "OnSuccess": {}},
    "live": {"OnFailure": {}, "OnSuccess": {}},
}


def test_destinations_of_asynchronous_invocations_are_removed_with_a_warning(world: World) -> None:
    """MiniStack takes no destination of another account: Lambda's answers are stubbed, and what is removed is kept."""
    key = world.provisioned()
    left = dict(ASYNCHRONOUS)

    def listed(_: Call) -> dict[str, Any]:
        configs = [{"FunctionArn": f"{function_arn(world)}:{q}", "DestinationConfig": d} for q, d in left.items()]
        return {"FunctionEventInvokeConfigs": configs}

    def removed(call: Call) -> dict[str, Any]:
        left.pop(call.parameters.get("Qualifier", "$LATEST"))
        return {}

    world.line.faults = [
        Fault(on("lambda:ListFunctionEventInvokeConfigs"), instead=listed),
        Fault(on("lambda:DeleteFunctionEventInvokeConfig"), instead=removed),
    ]
    look_deep(world, key)
    assert left == {}
    [event] = [event for event in world.kube.events if event.reason == "DriftCorrected"]
    assert event.kind == "Warning"
    assert QUEUE in event.message
    assert world.ready(key).startswith("True InSync")


def test_provisioned_concurrency_and_code_signing_are_removed_before_the_code_is_corrected(world: World) -> None:
    """MiniStack has no code signing, and does not list provisioned concurrency: both are stubbed."""
    key = world.provisioned()
    publish_other_code(world)
    signing = {"CodeSigningConfigArn": "arn:aws:lambda:us-east-1:999999999999:code-signing-config:csc-1"}
    provisioned = [{"FunctionArn": f"{function_arn(world)}:live", "RequestedProvisionedConcurrentExecutions": 1}]

    def take(what: Any) -> Callable[[Call], dict[str, Any]]:
        def taken(_: Call) -> dict[str, Any]:
            what.clear()
            return {}

        return taken

    world.line.faults = [
        Fault(on("lambda:GetFunctionCodeSigningConfig"), instead=lambda _: {"FunctionName": NAME, **signing}),
        Fault(on("lambda:DeleteFunctionCodeSigningConfig"), instead=take(signing)),
        Fault(
            on("lambda:ListProvisionedConcurrencyConfigs"),
            instead=lambda _: {"ProvisionedConcurrencyConfigs": list(provisioned)},
        ),
        Fault(on("lambda:DeleteProvisionedConcurrencyConfig"), instead=take(provisioned)),
    ]
    look_deep(world, key)
    writes = world.line.writes()
    assert writes.index("lambda:DeleteFunctionCodeSigningConfig") < writes.index("lambda:UpdateFunctionCode")
    assert "lambda:DeleteProvisionedConcurrencyConfig" in writes
    world.settle(key)
    assert world.ready(key).startswith("True InSync")


STATEMENT = "let-in"


def let_in(world: World) -> None:
    awslambda(world).add_permission(
        FunctionName=NAME, StatementId=STATEMENT, Action="lambda:InvokeFunction", Principal="123456789012"
    )


def look_deep(world: World, key: str) -> None:
    world.kube.edit(key, lambda one: one["metadata"].update(annotations={"humangov.io/reconcile": "1"}))
    world.reconcile_once(key)


@pytest.mark.parametrize("refused", ["lambda:UpdateFunctionConfiguration", "logs:PutRetentionPolicy"])
def test_way_in_is_closed_although_another_correction_is_refused(world: World, refused: str) -> None:
    """Of the function, and of what it stands on."""
    key = world.provisioned()
    awslambda(world).update_function_configuration(FunctionName=NAME, MemorySize=1024)
    world.sdk.client("logs").put_retention_policy(logGroupName=f"/aws/lambda/{NAME}", retentionInDays=1)
    let_in(world)
    world.line.faults = [Fault(on(refused), error=error("InvalidParameterValueException", "no"))]
    look_deep(world, key)
    assert STATEMENT not in policy_of(world)
    assert not world.ready(key).startswith("True")


def test_way_in_that_cannot_be_closed_keeps_nothing_else_from_being_corrected(world: World) -> None:
    key = world.provisioned()
    awslambda(world).update_function_configuration(FunctionName=NAME, MemorySize=1024)
    let_in(world)
    world.line.faults = [Fault(on("lambda:RemovePermission"), error=denied("lambda:RemovePermission"))]
    look_deep(world, key)
    assert awslambda(world).get_function_configuration(FunctionName=NAME)["MemorySize"] == 512
    assert "RemovePermission" in world.ready(key)
    assert world.ready(key).startswith("False AccessDenied")


@pytest.mark.parametrize("policy", ["[]", "no JSON", '{"Statement": ["x"]}', '{"Statement": [{"Effect": "Allow"}]}'])
def test_resource_policy_of_another_form_is_unknown_and_no_absence(world: World, policy: str) -> None:
    key = world.provisioned()
    let_in(world)
    world.line.faults = [Fault(on("lambda:GetPolicy"), alter=lambda answer: answer | {"Policy": policy})]
    look_deep(world, key)
    assert world.ready(key).startswith("False AccessUnknown")
    assert "get-policy" in world.ready(key)
