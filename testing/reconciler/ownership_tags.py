"""What people do to the ownership tags of a tenant's AWS objects, and what does not carry the tenant's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from humangov.api.names import OWNER_TAG

from testing.reconciler import snapshot
from testing.reconciler.drifts import GROUP, NAME, ROLE, TABLE, function_arn, group_arn
from testing.reconciler.world import World

OWNER = "test-cluster/humangov/california"


def not_owned(world: World) -> set[str]:
    """Names under which something is there that does not carry our ownership tag."""
    awslambda, logs = world.sdk.look("lambda"), world.sdk.look("logs")
    owner_tags: dict[str, Callable[[], Mapping[str, str]]] = {
        NAME: lambda: awslambda.list_tags(Resource=function_arn(world))["Tags"],
        GROUP: lambda: logs.list_tags_for_resource(resourceArn=group_arn(world))["tags"],
        ROLE: lambda: {
            tag["Key"]: tag["Value"] for tag in world.sdk.look("iam").get_role(RoleName=ROLE)["Role"].get("Tags", ())
        },
    }
    found = set()
    for name, tags in owner_tags.items():
        try:
            if tags().get(OWNER_TAG) != OWNER:
                found.add(name)
        except Exception as missing:
            if not is_absence(missing):
                raise
    return found | (_mappings_of_others(world) if NAME in found else set())


def _mappings_of_others(world: World) -> set[str]:
    """UUIDs: a mapping is the tenant's by its function, or by a tag of its own."""
    tags = world.sdk.look("lambda").list_tags
    uuids = {str(one["UUID"]) for one in snapshot.mappings_of(world, NAME)}
    return {
        uuid for uuid in uuids
        if tags(Resource=snapshot.mapping_arn(world, uuid))["Tags"].get(OWNER_TAG) != OWNER
    }  # fmt: skip


def put(world: World, tags: Mapping[str, str]) -> None:
    """On all of the tenant's that is there."""
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    for tag in (
        lambda: world.sdk.client("lambda").tag_resource(Resource=function_arn(world), Tags=dict(tags)),
        lambda: world.sdk.client("iam").tag_role(RoleName=ROLE, Tags=pairs),
        lambda: world.sdk.client("logs").tag_resource(resourceArn=group_arn(world), tags=dict(tags)),
    ):
        if_there(tag)


def strip(world: World, kind: str) -> None:
    iam, awslambda = world.sdk.client("iam"), world.sdk.client("lambda")
    match kind:
        case "function":
            if_there(lambda: awslambda.untag_resource(Resource=function_arn(world), TagKeys=[OWNER_TAG]))
        case "role":
            if_there(lambda: iam.untag_role(RoleName=ROLE, TagKeys=[OWNER_TAG]))
        case "log group":
            logs = world.sdk.client("logs")
            if_there(lambda: logs.untag_resource(resourceArn=group_arn(world), tagKeys=[OWNER_TAG]))
        case "trigger":
            for mapping in snapshot.mappings_of(world, NAME):
                arn = snapshot.mapping_arn(world, mapping["UUID"])
                awslambda.untag_resource(Resource=arn, TagKeys=[OWNER_TAG])
        case "table":
            arn = f"arn:aws:dynamodb:us-east-1:{world.account}:table/{TABLE}"
            dynamodb = world.sdk.client("dynamodb")
            keys = [OWNER_TAG, "humangov.io/stream", "humangov.io/stream-enabling"]
            if_there(lambda: dynamodb.untag_resource(ResourceArn=arn, TagKeys=keys))


def if_there(do: Callable[[], Any]) -> None:
    try:
        do()
    except Exception as missing:
        if not is_absence(missing):
            raise


def is_absence(failure: Exception) -> bool:
    code = str(getattr(failure, "response", {}).get("Error", {}).get("Code"))
    return "NotFound" in code or "NoSuch" in code or "AlreadyExists" in code or isinstance(failure, LookupError)
