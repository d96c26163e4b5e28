"""What people change by hand on what the operator owns, one thing at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from testing.reconciler import snapshot
from testing.reconciler.world import World
from testing.zips import zipped

TABLE = "humangov-california-dynamodb"
NAME = "humangov-california-delete-file"
ROLE = f"{NAME}-us-east-1"
GROUP = f"/aws/lambda/{NAME}"
OTHER_CODE = zipped("cleanup/handler.py", "def handle(event, context): ...")
OPEN_DOOR = json.dumps({
    "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
})  # fmt: skip
ANYBODY = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
})  # fmt: skip


@dataclass(frozen=True)
class Drift:
    """`deep`: it seldom changes, and is read once an hour. `unlisted`: with bulk reads so it is; no listing has it."""

    what: str
    by_hand: Callable[[World], Any]
    deep: bool = False
    unlisted: bool = False


def iam(world: World) -> Any:
    return world.sdk.client("iam")


def awslambda(world: World) -> Any:
    return world.sdk.client("lambda")


def logs(world: World) -> Any:
    return world.sdk.client("logs")


def configure(**fields: Any) -> Callable[[World], Any]:
    return lambda world: awslambda(world).update_function_configuration(FunctionName=NAME, **fields)


def mapping_uuid(world: World) -> str:
    return str(awslambda(world).list_event_source_mappings(FunctionName=NAME)["EventSourceMappings"][0]["UUID"])


def map_differently(**fields: Any) -> Callable[[World], Any]:
    return lambda world: awslambda(world).update_event_source_mapping(UUID=mapping_uuid(world), **fields)


def second_mapping(world: World) -> None:
    first = [mapping for mapping in snapshot.mappings(world) if mapping["FunctionArn"] == function_arn(world)][-1]
    same = {field: value for field, value in first.items() if field not in ("FunctionArn", "State", "tags")}
    kept = mapping_uuid(world)  # that of two is the one whose UUID comes first
    while True:
        created = awslambda(world).create_event_source_mapping(FunctionName=NAME, Tags=first["tags"], **same)["UUID"]
        if created > kept:
            return
        awslambda(world).delete_event_source_mapping(UUID=created)


def attach(world: World) -> None:
    arn = iam(world).create_policy(PolicyName="open-door", PolicyDocument=OPEN_DOOR)["Policy"]["Arn"]
    iam(world).attach_role_policy(RoleName=ROLE, PolicyArn=arn)


def dead_letters(world: World) -> None:
    queues = world.sdk.client("sqs")
    url = queues.create_queue(QueueName="theirs")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    awslambda(world).update_function_configuration(FunctionName=NAME, DeadLetterConfig={"TargetArn": arn})


def group_arn(world: World) -> str:
    return f"arn:aws:logs:us-east-1:{world.account}:log-group:{GROUP}"


def function_arn(world: World) -> str:
    return f"arn:aws:lambda:us-east-1:{world.account}:function:{NAME}"


def remove_role(world: World) -> None:
    iam(world).delete_role_policy(RoleName=ROLE, PolicyName="humangov-cleanup")
    iam(world).delete_role(RoleName=ROLE)


DRIFTS = [
    Drift("the role's policy", lambda w: iam(w).put_role_policy(
        RoleName=ROLE, PolicyName="humangov-cleanup", PolicyDocument=OPEN_DOOR), unlisted=True),
    Drift("the role's policy removed", lambda w: iam(w).delete_role_policy(
        RoleName=ROLE, PolicyName="humangov-cleanup"), unlisted=True),
    Drift("who may assume the role", lambda w: iam(w).update_assume_role_policy(
        RoleName=ROLE, PolicyDocument=ANYBODY)),
    Drift("a foreign inline policy", lambda w: iam(w).put_role_policy(
        RoleName=ROLE, PolicyName="foreign", PolicyDocument=OPEN_DOOR), deep=True),
    Drift("an attached managed policy", attach, deep=True),
    Drift("the role's tag stripped", lambda w: iam(w).untag_role(RoleName=ROLE, TagKeys=["team"]), unlisted=True),
    Drift("the role removed", remove_role),
    Drift("retention", lambda w: logs(w).put_retention_policy(logGroupName=GROUP, retentionInDays=1)),
    Drift("retention removed", lambda w: logs(w).delete_retention_policy(logGroupName=GROUP)),
    Drift("the log group removed", lambda w: logs(w).delete_log_group(logGroupName=GROUP)),
    Drift("the log group's tag stripped", lambda w: logs(w).untag_resource(
        resourceArn=group_arn(w), tagKeys=["team"]), deep=True),
    Drift("the code", lambda w: awslambda(w).update_function_code(FunctionName=NAME, ZipFile=OTHER_CODE)),
    Drift("memory", configure(MemorySize=128)),
    Drift("time-out", configure(Timeout=3)),
    Drift("runtime", configure(Runtime="python3.12")),
    Drift("environment", configure(Environment={"Variables": {"HUMANGOV_BUCKET": "another"}})),
    Drift("a variable added", configure(Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/x"}})),
    Drift("handler", configure(Handler="evil.handle")),
    Drift("the function's role", configure(Role="arn:aws:iam::123456789012:role/other")),
    Drift("layers", configure(Layers=["arn:aws:lambda:us-east-1:123456789012:layer:evil:1"])),
    Drift("description", configure(Description="mine")),
    Drift("where it logs", configure(LoggingConfig={"LogGroup": "/elsewhere", "LogFormat": "Text"})),
    Drift("a VPC", configure(VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]})),
    Drift("a dead-letter queue", dead_letters),
    Drift("a key of the function", configure(KMSKeyArn="arn:aws:kms:us-east-1:123456789012:key/theirs")),
    Drift("a file system", configure(FileSystemConfigs=[{
        "Arn": "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/fsap-1", "LocalMountPath": "/mnt/x"}])),
    Drift("tracing", configure(TracingConfig={"Mode": "Active"})),
    Drift("ephemeral storage", configure(EphemeralStorage={"Size": 1024})),
    Drift("snap start", configure(SnapStart={"ApplyOn": "PublishedVersions"})),
    Drift("concurrency", lambda w: awslambda(w).put_function_concurrency(
        FunctionName=NAME, ReservedConcurrentExecutions=1), unlisted=True),
    Drift("the function's tag stripped", lambda w: awslambda(w).untag_resource(
        Resource=function_arn(w), TagKeys=["team"])),
    Drift("the function removed", lambda w: awslambda(w).delete_function(FunctionName=NAME)),
    Drift("the trigger off", map_differently(Enabled=False)),
    Drift("batch size", map_differently(BatchSize=1)),
    Drift("batching window", map_differently(MaximumBatchingWindowInSeconds=9)),
    Drift("parallelization", map_differently(ParallelizationFactor=5)),
    Drift("retries", map_differently(MaximumRetryAttempts=-1)),
    Drift("record age", map_differently(MaximumRecordAgeInSeconds=-1)),
    Drift("bisecting", map_differently(BisectBatchOnFunctionError=True)),
    Drift("partial batches", map_differently(FunctionResponseTypes=[])),
    Drift("filters cleared", map_differently(FilterCriteria={})),
    Drift("filters", map_differently(FilterCriteria={"Filters": [{"Pattern": '{"eventName":["INSERT"]}'}]})),
    Drift("the trigger removed", lambda w: awslambda(w).delete_event_source_mapping(UUID=mapping_uuid(w))),
    Drift("the trigger's tag stripped", lambda w: awslambda(w).untag_resource(
        Resource=snapshot.mapping_arn(w, mapping_uuid(w)), TagKeys=["team"]), deep=True),
    Drift("a second mapping", second_mapping, deep=True),
]  # fmt: skip
