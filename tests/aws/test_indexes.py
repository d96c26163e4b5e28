"""An index of the table by a file attribute: the function asks it, and may, as long as the index is complete."""

from __future__ import annotations

import json
from typing import Any

from testing.reconciler.drifts import NAME, TABLE
from testing.reconciler.world import World

BY_PDF = {
    "IndexName": "by-pdf", "KeySchema": [{"AttributeName": "pdf", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "KEYS_ONLY"},
}  # fmt: skip


def asked(world: World) -> tuple[str | None, list[Any]]:
    """The function's setting, and the indexes that its role may query."""
    function = world.sdk.client("lambda").get_function_configuration(FunctionName=NAME)
    role = function["Role"].rsplit("/", 1)[-1]
    iam = world.sdk.client("iam")
    [policy] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    statements = document["Statement"] if isinstance(document, dict) else json.loads(document)["Statement"]
    resources = [one["Resource"] for one in statements if one["Action"] == "dynamodb:Query"]
    return function["Environment"]["Variables"].get("HUMANGOV_FILE_INDEXES"), resources


def test_index_by_file_name_is_queried_as_long_as_the_table_has_it(world: World) -> None:
    key = world.provisioned()
    assert asked(world) == (None, [])

    dynamodb = world.sdk.client("dynamodb")
    dynamodb.update_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "pdf")],
        GlobalSecondaryIndexUpdates=[{"Create": BY_PDF}],
    )
    world.settle(key)
    setting, [resource] = asked(world)
    assert setting == '{"by-pdf": "pdf"}'
    assert resource.endswith(f":table/{TABLE}/index/by-pdf")

    dynamodb.update_table(TableName=TABLE, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-pdf"}}])
    world.settle(key)
    assert asked(world) == (None, [])
    assert world.ready(key).startswith("True InSync")
