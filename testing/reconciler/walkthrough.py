"""What the hand-made walkthrough leaves in an account, for tests of its adoption."""

from __future__ import annotations

import json
from typing import Any

from testing.reconciler.world import CLUSTER, World
from testing.zips import zipped

FUNCTION = "HumanGovDeleteFile"
GROUP = f"/aws/lambda/{FUNCTION}"
OWNER = f"{CLUSTER}/humangov/california"
TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
})  # fmt: skip
CODE = "def lambda_handler(event, context):\n    return None\n"
FULL_ACCESS = "arn:aws:iam::aws:policy/AdministratorAccess"


def set_up_by_hand(world: World, **function: Any) -> str:
    """The fourteen console steps. Returns the trigger's UUID."""
    world.make_table(view_type="NEW_AND_OLD_IMAGES")
    world.make_bucket()
    iam, lambda_ = world.sdk.client("iam"), world.sdk.client("lambda")
    role = iam.create_role(RoleName="HumanGovLambdaRole", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.attach_role_policy(RoleName="HumanGovLambdaRole", PolicyArn=FULL_ACCESS)
    world.sdk.client("logs").create_log_group(logGroupName=GROUP)
    lambda_.create_function(**{
        "FunctionName": FUNCTION, "Runtime": "python3.12", "Role": role, "Handler": "lambda_function.lambda_handler",
        "Code": {"ZipFile": zipped("lambda_function.py", CODE)}, "Timeout": 3, **function,
    })  # fmt: skip
    return str(mapping_of(world, stream_arn(world)))


def mapping_of(world: World, source: str) -> str:
    created = world.sdk.client("lambda").create_event_source_mapping(
        FunctionName=FUNCTION, EventSourceArn=source, StartingPosition="LATEST", BatchSize=100
    )
    return str(created["UUID"])


def stream_arn(world: World, table: str = "humangov-california-dynamodb") -> str:
    return str(world.sdk.client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"])


def adopting_manifest(world: World, **spec: Any) -> dict[str, Any]:
    return world.manifest(**{"adoption": "IfUntagged", "function": {"name": FUNCTION}, **spec})
