"""Somebody else's whole of the same kind in the same account, which nothing that the operator does may touch."""

from __future__ import annotations

from typing import Any

from humangov.api.names import OWNER_TAG

from testing.reconciler import snapshot
from testing.reconciler.walkthrough import TRUST
from testing.reconciler.world import World

TABLE, FUNCTION = "payroll", "payroll-cleanup"
TAGS = {OWNER_TAG: "other-cluster/humangov/payroll"}


def make(world: World) -> None:
    """Under our path, with ownership tags of another cluster."""
    world.make_table(TABLE, view_type="NEW_AND_OLD_IMAGES")
    iam, awslambda = world.sdk.client("iam"), world.sdk.client("lambda")
    tags = [{"Key": key, "Value": value} for key, value in TAGS.items()]
    role = iam.create_role(
        RoleName=f"{FUNCTION}-us-east-1", Path="/humangov/", AssumeRolePolicyDocument=TRUST, Tags=tags
    )
    world.sdk.client("logs").create_log_group(logGroupName=f"/aws/lambda/{FUNCTION}", tags=TAGS)
    awslambda.create_function(
        FunctionName=FUNCTION, Runtime="python3.13", Role=role["Role"]["Arn"], Handler="a.b",
        Code={"ZipFile": world.bundle.zip}, Tags=TAGS,
    )  # fmt: skip
    stream = world.sdk.client("dynamodb").describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    awslambda.create_event_source_mapping(
        FunctionName=FUNCTION, EventSourceArn=stream, StartingPosition="LATEST", Tags=TAGS
    )


def picture(world: World) -> dict[str, list[Any]]:
    found = snapshot.snapshot(world)
    mine = {
        kind: [thing for thing in things if FUNCTION in str(thing) or thing.get("name") == TABLE]
        for kind, things in found.items()
    }
    assert all(len(things) == 1 for things in mine.values()), mine
    return mine


def mappings(world: World) -> list[dict[str, Any]]:
    return snapshot.mappings_of(world, FUNCTION)
