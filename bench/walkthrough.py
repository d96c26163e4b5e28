"""The same AWS resources created and removed by hand: a bare boto3 script, one call after the other.

It is the fourteen console steps of HumanGov's runbook without the clicking, the looking and the reading, by one who
never errs: no ownership is checked, nothing is tagged or corrected. What the operator does is compared with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from humangov.bundle import bundle

FUNCTION = "HumanGovDeleteFile"
_ROLE = "HumanGovDeleteFileRole"
_POLICY = "cleanup"
_LOG_GROUP = f"/aws/lambda/{FUNCTION}"
_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 60.0
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def build(clients: Mapping[str, Any], *, table: str, bucket: str) -> str:
    """Stream, role, log group, function, trigger, each waited for; the trigger's UUID."""
    code = bundle()
    dynamodb, iam, functions, logs = (clients[name] for name in ("dynamodb", "iam", "lambda", "logs"))
    described = dynamodb.update_table(
        TableName=table, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    )["TableDescription"]
    _until(lambda: bool(dynamodb.describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE"))
    role = iam.create_role(RoleName=_ROLE, AssumeRolePolicyDocument=json.dumps(_TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName=_ROLE, PolicyName=_POLICY, PolicyDocument=json.dumps(_policy(described, bucket)))
    logs.create_log_group(logGroupName=_LOG_GROUP)
    logs.put_retention_policy(logGroupName=_LOG_GROUP, retentionInDays=400)
    functions.create_function(
        FunctionName=FUNCTION,
        Runtime="python3.13",
        Handler=code.handler,
        Role=role,
        Code={"ZipFile": code.zip},
        Timeout=300,
        MemorySize=512,
        Environment={"Variables": {"HUMANGOV_TENANT": "by/hand", "HUMANGOV_TABLE": table, "HUMANGOV_BUCKET": bucket}},
    )
    _until(lambda: bool(functions.get_function(FunctionName=FUNCTION)["Configuration"]["State"] == "Active"))
    uuid = functions.create_event_source_mapping(
        FunctionName=FUNCTION,
        EventSourceArn=described["LatestStreamArn"],
        StartingPosition="TRIM_HORIZON",
        BatchSize=1000,
    )["UUID"]
    _until(lambda: bool(functions.get_event_source_mapping(UUID=uuid)["State"] == "Enabled"))
    return str(uuid)


def take_down(clients: Mapping[str, Any], *, table: str, uuid: str) -> None:
    """In the reverse order; the trigger's end is waited for, for a function must not go before it."""
    dynamodb, iam, functions, logs = (clients[name] for name in ("dynamodb", "iam", "lambda", "logs"))
    functions.delete_event_source_mapping(UUID=uuid)
    _until(lambda: not functions.list_event_source_mappings(FunctionName=FUNCTION)["EventSourceMappings"])
    functions.delete_function(FunctionName=FUNCTION)
    iam.delete_role_policy(RoleName=_ROLE, PolicyName=_POLICY)
    iam.delete_role(RoleName=_ROLE)
    logs.delete_log_group(logGroupName=_LOG_GROUP)
    dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})


def _policy(described: Mapping[str, Any], bucket: str) -> dict[str, Any]:
    granted = {
        "dynamodb:*": [described["TableArn"], described["LatestStreamArn"]],
        "s3:*": [f"arn:aws:s3:::{bucket}/*"],
        "logs:*": [f"arn:aws:logs:*:*:log-group:{_LOG_GROUP}:*"],
    }
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": action, "Resource": resources} for action, resources in granted.items()
        ],
    }


def _until(done: Callable[[], bool]) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"an AWS object did not settle within {_PATIENCE_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
