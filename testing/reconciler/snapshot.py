"""All that the operator owns in AWS, in a form in which equal worlds are equal."""

from __future__ import annotations

from typing import Any

from humangov.api.times import timestamp
from humangov.aws.function_role import ROLE_ID_TAG

from testing.reconciler.world import World

_FUNCTION = (
    "Runtime", "Handler", "Role", "MemorySize", "Timeout", "Environment", "LoggingConfig", "Layers", "Description",
    "CodeSha256", "Architectures", "VpcConfig", "DeadLetterConfig", "KMSKeyArn", "FileSystemConfigs", "TracingConfig",
    "EphemeralStorage", "SnapStart",
)  # fmt: skip
_MAPPING = (
    "EventSourceArn", "FunctionArn", "State", "BatchSize", "MaximumBatchingWindowInSeconds", "ParallelizationFactor",
    "MaximumRetryAttempts", "MaximumRecordAgeInSeconds", "BisectBatchOnFunctionError", "FunctionResponseTypes",
    "FilterCriteria", "DestinationConfig", "StartingPosition",
)  # fmt: skip


def snapshot(world: World) -> dict[str, Any]:
    return {
        "functions": functions(world),
        "mappings": mappings(world),
        "roles": roles(world),
        "log groups": log_groups(world),
        "tables": tables(world),
    }


def functions(world: World) -> list[dict[str, Any]]:
    """A function's tag with the ID of its role only says whether it is that of the role as it is."""
    client = world.sdk.look("lambda")
    found = []
    found_roles = world.sdk.look("iam").list_roles()["Roles"]
    ids = {role["Arn"]: f"{role['RoleId']} {timestamp(role['CreateDate'])}" for role in found_roles}
    for item in client.list_functions()["Functions"]:
        answer = client.get_function(FunctionName=item["FunctionName"])
        configuration = {field: _filled(answer["Configuration"].get(field)) for field in _FUNCTION}
        found.append({
            "name": item["FunctionName"],
            "tags": _of_role(answer.get("Tags"), ids.get(answer["Configuration"].get("Role"))),
            "concurrency": answer.get("Concurrency"),
            **configuration,
        })  # fmt: skip
    return found


def _of_role(tags: dict[str, str] | None, role_id: str | None) -> dict[str, str] | None:
    if not tags or ROLE_ID_TAG not in tags:
        return tags
    return {**tags, ROLE_ID_TAG: "the present one's" if tags[ROLE_ID_TAG] == role_id else "another's"}


def _filled(value: Any) -> Any:
    """Without what is empty: Lambda shows a VPC that was taken away as empty lists. None if nothing is left."""
    if isinstance(value, dict):
        value = {key: _filled(item) for key, item in value.items() if _filled(item) is not None}
    return value or None


def mappings(world: World) -> list[dict[str, Any]]:
    client = world.sdk.look("lambda")
    return [
        {field: item.get(field) for field in _MAPPING}
        | {"tags": client.list_tags(Resource=mapping_arn(world, item["UUID"]))["Tags"]}
        for item in client.list_event_source_mappings()["EventSourceMappings"]
    ]


def mappings_of(world: World, function: str) -> list[dict[str, Any]]:
    """As Lambda lists them."""
    listed = world.sdk.look("lambda").list_event_source_mappings()["EventSourceMappings"]
    return [mapping for mapping in listed if mapping["FunctionArn"].endswith(f":{function}")]


def mapping_arn(world: World, uuid: str) -> str:
    return f"arn:aws:lambda:us-east-1:{world.account}:event-source-mapping:{uuid}"


def roles(world: World) -> list[dict[str, Any]]:
    client = world.sdk.look("iam")
    found = []
    for item in client.list_roles()["Roles"]:
        name = item["RoleName"]
        role = client.get_role(RoleName=name)["Role"]
        inline = client.list_role_policies(RoleName=name)["PolicyNames"]
        attached = client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        found.append({
            "name": name,
            "path": role["Path"],
            "trust": role["AssumeRolePolicyDocument"],
            "tags": sorted((tag["Key"], tag["Value"]) for tag in role.get("Tags") or ()),
            "boundary": role.get("PermissionsBoundary"),
            "inline": {
                policy: client.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"] for policy in inline
            },
            "attached": [policy["PolicyArn"] for policy in attached],
        })  # fmt: skip
    return found


def log_groups(world: World) -> list[dict[str, Any]]:
    client = world.sdk.look("logs")
    found = []
    for item in client.describe_log_groups()["logGroups"]:
        arn = f"arn:aws:logs:us-east-1:{world.account}:log-group:{item['logGroupName']}"
        found.append({
            "name": item["logGroupName"],
            "retention": item.get("retentionInDays"),
            "key": item.get("kmsKeyId"),
            "tags": client.list_tags_for_resource(resourceArn=arn)["tags"],
        })  # fmt: skip
    return found


def tables(world: World) -> list[dict[str, Any]]:
    client = world.sdk.look("dynamodb")
    found = []
    for name in client.list_tables()["TableNames"]:
        table = client.describe_table(TableName=name)["Table"]
        tags = client.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
        found.append({
            "name": name,
            "stream": table.get("StreamSpecification"),
            "arn": table.get("LatestStreamArn"),
            "tags": {tag["Key"]: tag["Value"] for tag in tags},
        })  # fmt: skip
    return found
