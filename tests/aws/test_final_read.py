"""The final stream read against the emulated AWS: a disabled stream's shards end, as DynamoDB's do."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from humangov.aws.data_plane import connect
from humangov.final_read.cluster import FinalHandling, handle_finally

from testing.reconciler.world import World

TABLE = "humangov-california-dynamodb"


def removed_after_the_trigger(world: World, *, disabled: bool) -> str:
    """A tenant whose trigger is deleted; then a record is deleted. Returns its key."""
    key = world.provisioned()
    s3, dynamodb, functions = (world.sdk.client(service) for service in ("s3", "dynamodb", "lambda"))
    [mapping] = functions.list_event_source_mappings()["EventSourceMappings"]
    functions.delete_event_source_mapping(UUID=mapping["UUID"])
    s3.put_object(Bucket=world.bucket, Key="a.pdf", Body=b"1")
    s3.put_object(Bucket=world.bucket, Key="b.pdf", Body=b"1")
    dynamodb.put_item(TableName=TABLE, Item={"id": {"S": "1"}, "pdf": {"S": "a.pdf"}})
    dynamodb.put_item(TableName=TABLE, Item={"id": {"S": "2"}, "pdf": {"S": "b.pdf"}})
    dynamodb.delete_item(TableName=TABLE, Key={"id": {"S": "1"}})
    if disabled:
        dynamodb.update_table(TableName=TABLE, StreamSpecification={"StreamEnabled": False})
    return key


def handled(world: World, key: str, monkeypatch: pytest.MonkeyPatch) -> FinalHandling:
    monkeypatch.setenv("AWS_ENDPOINT_URL", world.sdk.endpoint_url)
    clients = connect(region="us-east-1", session=world.sdk._session)
    clock = [0.0]

    def pause(seconds: float) -> None:
        clock[0] += seconds

    def date(*, parsed: dict[str, Any], **_: Any) -> None:
        """AWS's clock goes on in pauses, which take no time here."""
        now = datetime.fromtimestamp(time.time() + clock[0], UTC)
        parsed["ResponseMetadata"]["HTTPHeaders"]["date"] = format_datetime(now, usegmt=True)

    clients.streams.meta.events.register("after-call", date)
    began = time.time()
    return handle_finally(clients, world.names(key), now=lambda: began + clock[0], pause=pause)


@pytest.mark.parametrize("disabled", [True, False], ids=["disabled", "enabled"])
def test_final_read_of_a_disabled_stream_is_complete_and_of_an_enabled_one_not_knowable(
    world: World, disabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = removed_after_the_trigger(world, disabled=disabled)
    found = handled(world, key, monkeypatch)
    objects = world.sdk.client("s3").list_objects_v2(Bucket=world.bucket)["Contents"]
    assert [one["Key"] for one in objects] == ["b.pdf"]
    assert (found.read.erased, found.complete) == (1, disabled)
