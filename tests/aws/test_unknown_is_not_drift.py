"""Unknown is not drift: any key of any answer is taken away, and nothing is written on what AWS did not tell.

The answers are MiniStack's, of one tenant in sync, recorded in a deep reconciliation and played again without it. It
can't show which fields AWS leaves out: that is from AWS's pages and SDKs' issues, and stands in ABSENCE_IS_AN_ANSWER.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from humangov.api.conditions import Finding
from humangov.api.spec import RECONCILE_ANNOTATION
from humangov.aws import bucket, resources
from humangov.aws.actions import ACTIONS
from humangov.aws.change import Change, Context
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import translated
from humangov.aws.resources import BUCKET, Unread
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from testing.reconciler.drifts import GROUP, NAME, TABLE, awslambda, function_arn, logs
from testing.reconciler.line import Call, Fault
from testing.reconciler.process import inline
from testing.reconciler.sdk import REGION
from testing.reconciler.world import World
from tests.aws.test_indexes import BY_PDF

Path = tuple[str | int, ...]
# AWS shows these only where there is such a thing: without the key there is none, and what is declared is set.
ABSENCE_IS_AN_ANSWER = {
    f"{action} {field}"
    for action, fields in {
        "dynamodb:DescribeTable": (
            "Table.GlobalSecondaryIndexes", "Table.SSEDescription", "Table.SSEDescription.Status",
            "Table.SSEDescription.SSEType",
        ),
        "iam:GetRole": ("Role.PermissionsBoundary", "Role.PermissionsBoundary.PermissionsBoundaryArn", "Role.Tags"),
        "logs:DescribeLogGroups": ("logGroups.retentionInDays",),
        "lambda:GetFunction": (
            "Configuration.Description", "Configuration.Environment", "Configuration.Environment.Variables",
            "Configuration.KMSKeyArn", "Configuration.TracingConfig.Mode", "Configuration.EphemeralStorage.Size",
            "Configuration.SnapStart.ApplyOn", "Configuration.LoggingConfig.LogFormat",
            "Configuration.LoggingConfig.LogGroup",
        ),
        "lambda:GetFunctionCodeSigningConfig": ("CodeSigningConfigArn",),
        "lambda:ListEventSourceMappings": tuple(
            f"EventSourceMappings.{field}"
            for field in (
                "FilterCriteria", "FilterCriteria.Filters", "FilterCriteria.Filters.Pattern", "FunctionResponseTypes",
                "DestinationConfig", "DestinationConfig.OnFailure", "DestinationConfig.OnFailure.Destination",
            )
        ),
    }.items()
    for field in fields
}  # fmt: skip
# What is in no answer of AWS by its absence.
READY_RESTS_ON = {
    f"{action} {field}"
    for action, fields in {
        "dynamodb:DescribeTable": (
            "Table", "Table.TableStatus", "Table.StreamSpecification", "Table.StreamSpecification.StreamEnabled",
            "Table.StreamSpecification.StreamViewType", "Table.LatestStreamArn", "Table.LatestStreamLabel",
            "Table.SSEDescription.KMSMasterKeyArn", "Table.AttributeDefinitions",
            "Table.AttributeDefinitions.AttributeName", "Table.AttributeDefinitions.AttributeType",
            *(f"Table.GlobalSecondaryIndexes.{one}" for one in ("IndexName", "IndexStatus", "KeySchema")),
            *(f"Table.GlobalSecondaryIndexes.KeySchema.{one}" for one in ("AttributeName", "KeyType")),
        ),
        "dynamodb:DescribeStream": ("StreamDescription", "StreamDescription.StreamStatus"),
        "dynamodb:ListTagsOfResource": ("Tags", "Tags.Key", "Tags.Value"),
        "iam:GetRole": (
            "Role", "Role.Path", "Role.AssumeRolePolicyDocument", "Role.Tags.Key", "Role.Tags.Value",
            "Role.RoleId", "Role.CreateDate",
        ),
        "iam:GetRolePolicy": ("PolicyDocument",),
        "iam:ListRolePolicies": ("PolicyNames",),
        "iam:ListAttachedRolePolicies": ("AttachedPolicies",),
        "logs:DescribeLogGroups": ("logGroups", "logGroups.logGroupName"),
        "logs:ListTagsForResource": ("tags",),
        "logs:DescribeSubscriptionFilters": (
            "subscriptionFilters", "subscriptionFilters.filterName", "subscriptionFilters.destinationArn",
        ),
        "lambda:GetFunction": (
            "Configuration",
            *(
                f"Configuration.{one}"
                for one in (
                    "Runtime", "Role", "Handler", "Timeout", "MemorySize", "CodeSha256", "State", "LastUpdateStatus",
                    "PackageType", "Architectures",
                )
            ),
        ),
        "lambda:GetPolicy": ("Policy",),
        "lambda:ListFunctionUrlConfigs": ("FunctionUrlConfigs",),
        "lambda:ListVersionsByFunction": ("Versions", "Versions.Version"),
        "lambda:ListAliases": ("Aliases", "Aliases.Name"),
        "lambda:ListFunctionEventInvokeConfigs": ("FunctionEventInvokeConfigs",),
        "lambda:ListEventSourceMappings": (
            "EventSourceMappings",
            *(
                f"EventSourceMappings.{one}"
                for one in (
                    "UUID", "EventSourceArn", "FunctionArn", "State", "BatchSize", "MaximumBatchingWindowInSeconds",
                    "ParallelizationFactor", "MaximumRetryAttempts", "MaximumRecordAgeInSeconds",
                    "BisectBatchOnFunctionError",
                )
            ),
        ),
        "lambda:ListTags": ("Tags",),
        "s3:GetBucketLocation": ("LocationConstraint",),
    }.items()
    for field in fields
}  # fmt: skip
KMS = "arn:aws:kms:us-east-1:123456789012:key/11112222-3333-4444-5555-666677778888"


_WRITTEN = ("Tags", "tags", "Variables", "PolicyDocument", "AssumeRolePolicyDocument")  # by users, or by the operator


class Replay(Clients):
    """AWS as it was recorded, in which one answer is altered."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__(region=REGION)
        self.answers = answers
        self.altered: Mapping[str, Any] = {}

    def call(self, action: str, *, target: str, **parameters: Any) -> dict[str, Any]:
        answer = self.answer(action, parameters)
        if isinstance(answer, ClientError):
            raise translated(answer, action=action, target=target)
        return dict(answer)

    def answer(self, action: str, parameters: Mapping[str, Any]) -> Any:
        name = named(action, parameters)
        return copy.deepcopy({**self.answers, **self.altered}[name])

    def instead(self, call: Call) -> Any:
        """For the line of a whole reconciliation."""
        answer = self.answer(call.action, call.parameters)
        if isinstance(answer, ClientError):
            raise answer
        return answer


def named(action: str, parameters: Mapping[str, Any]) -> str:
    return f"{action} {sorted(parameters.items())}"


def action_of(name: str) -> str:
    return name.partition(" ")[0]


def reads(call: Call) -> bool:
    return not call.writes and not call.action.startswith("kube:")


def reconcile_deep(world: World, key: str) -> None:
    now = world.clock.now().isoformat()
    world.kube.edit(key, lambda one: one["metadata"].setdefault("annotations", {}).update({RECONCILE_ANNOTATION: now}))
    world.line.forget()
    world.reconcile_once(key)
    world.clock.forward(3600)


def recorded(world: World, key: str) -> dict[str, Any]:
    """By call. With the tags of the function, which are read alone where its own answer has none."""
    answers: dict[str, Any] = {}

    def record(call: Call) -> Any:
        method = ACTIONS[call.action]
        try:
            answer = getattr(world.sdk.client(method.service), method.name)(**call.parameters)
        except ClientError as error:
            answers[named(call.action, call.parameters)] = error
            raise
        answers[named(call.action, call.parameters)] = as_aws(answer)
        return as_aws(answer)

    world.line.faults = [Fault(reads, instead=record)]
    reconcile_deep(world, key)
    world.line.faults = []
    assert world.line.writes() == []
    tags = as_aws(awslambda(world).list_tags(Resource=function_arn(world)))
    return answers | {named("lambda:ListTags", {"Resource": function_arn(world)}): tags}


def as_aws(answer: Mapping[str, Any]) -> dict[str, Any]:
    """MiniStack shows a changed function as busy for a while, and in the versions that it lists too."""
    settled = {"State": "Active", "LastUpdateStatus": "Successful"}
    bare = copy.deepcopy({field: value for field, value in answer.items() if field != "ResponseMetadata"})
    for part in [bare.get("Configuration", {}), *bare.get("Versions", ())]:
        part.update({field: value for field, value in settled.items() if field in part})
    return bare


@pytest.fixture
def settled(world: World) -> tuple[World, str, Replay]:
    """With an index, an encrypted table, an alias and a subscription filter, so that these are in the answers too."""
    world.make_bucket()
    world.make_table()
    world.sdk.client("dynamodb").update_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "pdf")],
        GlobalSecondaryIndexUpdates=[{"Create": BY_PDF}],
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": KMS},
    )
    key = world.apply(world.manifest(tags={"team": "records"}))
    world.settle(key)
    awslambda(world).create_alias(FunctionName=NAME, Name="live", FunctionVersion="$LATEST")
    logs(world).put_subscription_filter(
        logGroupName=GROUP, filterName="theirs", filterPattern="",
        destinationArn="arn:aws:logs:us-east-1:999999999999:destination:theirs",
    )  # fmt: skip
    reconcile_deep(world, key)
    world.settle(key)
    return world, key, Replay(recorded(world, key))


def reconciled(world: World, key: str, clients: Clients) -> tuple[list[Change], dict[str, Finding]]:
    """What would be written, and each part's finding, after a deep read by these clients."""
    names = world.names(key)
    context = Context(
        names=names, default_tags=world.settings.default_tags, now=world.clock.now(),
        permissions_boundary_arn=world.settings.permissions_boundary_arn,
    )  # fmt: skip
    observed = asyncio.run(
        resources.observe(clients, names, deep=True, in_thread=inline, count_failures=True, copies=True)
    )
    desired = resources.desired(context, observed, bundle=world.bundle)
    findings: dict[str, Finding] = {}
    changes: list[Change] = []
    for part, planned in resources.plan(observed, desired).items():
        if isinstance(observed[part], Unread):
            findings[part] = finding_of_error(observed[part].error)
        elif isinstance(planned, Finding):
            findings[part] = planned
        else:
            findings[part] = resources.finding(part, observed, desired)
            changes += planned
    found = observed[BUCKET]
    findings[BUCKET] = finding_of_error(found.error) if isinstance(found, Unread) else bucket.finding(found, names)
    return changes, findings


def places(answer: Any, path: Path = ()) -> Iterator[Path]:
    """Where a key is that may be missing; not within what users or we wrote."""
    if isinstance(answer, dict) and (not path or path[-1] not in _WRITTEN):
        for key, value in answer.items():
            yield (*path, key)
            yield from places(value, (*path, key))
    elif isinstance(answer, list):
        for number, value in enumerate(answer):
            yield from places(value, (*path, number))


def without(answer: Any, path: Path) -> Any:
    answer = copy.deepcopy(answer)
    inner = answer
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return answer


def with_another(answer: Any, path: Path) -> Any:
    """Another value of the same type in that place; None if there is none."""
    answer = copy.deepcopy(answer)
    inner = answer
    for step in path[:-1]:
        inner = inner[step]
    value = inner[path[-1]]
    match value:
        case bool():
            inner[path[-1]] = not value
        case int():
            inner[path[-1]] = value + 1
        case str():
            inner[path[-1]] = f"{value}x"
        case datetime():
            inner[path[-1]] = value.replace(year=value.year + 1)
        case _:
            return None
    return answer


def words(path: Path) -> str:
    return ".".join(str(step) for step in path if isinstance(step, str))


def test_key_that_an_answer_lacks_is_unknown_and_nothing_is_written_on_it(settled: tuple[World, str, Replay]) -> None:
    """Each key of each answer of a deep reconciliation, one after the other."""
    world, key, replay = settled
    changes, findings = reconciled(world, key, replay)
    assert changes == []
    assert {finding.status for finding in findings.values()} == {"True"}
    unready: set[str] = set()
    for name, path in every_place(replay):
        place = f"{action_of(name)} {words(path)}"
        replay.altered = {name: without(replay.answers[name], path)}
        changes, findings = reconciled(world, key, replay)
        unknown = [one for one in findings.values() if one.status != "True"]
        assert not changes or place in ABSENCE_IS_AN_ANSWER, (place, changes)
        assert all(one.stalled for one in unknown), (place, unknown)
        if unknown:
            unready.add(place)
            what = place.rpartition(".")[2].rpartition(" ")[2]
            assert place in ABSENCE_IS_AN_ANSWER or what in unknown[0].message, (place, unknown)
    assert sorted(unready - ABSENCE_IS_AN_ANSWER) == sorted(READY_RESTS_ON)


def test_key_that_is_not_listed_here_is_not_used(settled: tuple[World, str, Replay]) -> None:
    """So that what the promise rests on is complete: any other value in that place changes nothing."""
    world, key, replay = settled
    for name, path in every_place(replay):
        place = f"{action_of(name)} {words(path)}"
        altered = with_another(replay.answers[name], path)
        if altered is None or place in READY_RESTS_ON | ABSENCE_IS_AN_ANSWER:
            continue
        replay.altered = {name: altered}
        changes, findings = reconciled(world, key, replay)
        assert changes == [], place
        # A part of a listing of IAM without its continuation is no listing. Of the bucket, a few names are looked at.
        is_part = path[-1] == "IsTruncated" and place.startswith("iam:")
        assert ({finding.status for finding in findings.values()} == {"True"}) is not is_part, place


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=[Phase.generate]
)
@given(data=st.data())
def test_whole_reconciliation_with_an_answer_that_lacks_a_key_writes_nothing_and_is_not_ready(
    settled: tuple[World, str, Replay], data: st.DataObject
) -> None:
    world, key, replay = settled
    assert replay.altered == {}
    unread = named("lambda:ListTags", {"Resource": function_arn(world)})  # GetFunction has shown the function's tags
    several = [
        (name, path)
        for name, path in every_place(replay)
        if name != unread and f"{action_of(name)} {words(path)}" not in ABSENCE_IS_AN_ANSWER
    ]
    name, path = data.draw(st.sampled_from(several))
    place = f"{action_of(name)} {words(path)}"
    world.line.faults = [Fault(reads, instead=replay.instead)]
    replay.altered = {name: without(replay.answers[name], path)}
    try:
        reconcile_deep(world, key)
        assert world.line.writes() == [], place
        assert world.ready(key).startswith("True") == (place not in READY_RESTS_ON), (place, world.ready(key))
    finally:
        replay.altered = {}
    reconcile_deep(world, key)
    assert world.line.writes() == []
    assert world.ready(key).startswith("True InSync"), world.ready(key)


def every_place(replay: Replay) -> list[tuple[str, Path]]:
    answers = {name: answer for name, answer in replay.answers.items() if not isinstance(answer, ClientError)}
    found = [(name, path) for name, answer in answers.items() for path in places(answer)]
    assert len(found) > 200
    return found
