"""The final stream read: which shards are read, and that the function's checks apply there too."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from humangov.aws.data_plane import AwsClients
from humangov.final_read.cluster import status_fields
from humangov.final_read.final_read import FinalRead, read_stream

from testing.lambda_runtime.stream_events import employee
from testing.sweep.tenant_data import START
from testing.sweep.world import SweepWorld, clients

SINCE = datetime.fromtimestamp(START - 900, UTC)
NOW = datetime.fromtimestamp(START - 60, UTC)
OLD = SINCE - timedelta(minutes=1)


@dataclass
class Streams:
    """DynamoDB's streams of one table. shards: name → (parent, is closed, its records)."""

    shards: dict[str, tuple[str | None, bool, list[dict[str, Any]]]]
    page: int = 2
    fails: dict[str, str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def describe_stream(self, **_: Any) -> dict[str, Any]:
        described = [
            {
                "ShardId": name, **({"ParentShardId": parent} if parent else {}),
                "SequenceNumberRange": {"EndingSequenceNumber": "9"} if closed else {},
            }
            for name, (parent, closed, _) in self.shards.items()
        ]  # fmt: skip
        return {"StreamDescription": {"Shards": described}}

    def get_shard_iterator(self, *, ShardId: str, **_: Any) -> dict[str, str]:  # noqa: N803
        self.asked[ShardId] += 1
        if ShardId in self.fails:
            raise ClientError({"Error": {"Code": self.fails[ShardId], "Message": ""}}, "GetShardIterator")
        return {"ShardIterator": f"{ShardId}/0"}

    def get_records(self, *, ShardIterator: str) -> dict[str, Any]:  # noqa: N803
        name, _, at = ShardIterator.partition("/")
        _, closed, records = self.shards[name]
        first, last = int(at), min(int(at) + self.page, len(records))
        following = {} if closed and last == len(records) else {"NextShardIterator": f"{name}/{last}"}
        return {"Records": records[first:last], **following}


def removal(one: str, name: str, *, at: datetime = NOW) -> dict[str, Any]:
    """As GetRecords gives it."""
    image = employee(one, name)
    change = {
        "ApproximateCreationDateTime": at, "Keys": {"id": image["id"]}, "OldImage": image,
        "SequenceNumber": f"{one}{name}".encode().hex(), "SizeBytes": 1, "StreamViewType": "NEW_AND_OLD_IMAGES",
    }  # fmt: skip
    return {"eventID": f"event-{one}", "eventName": "REMOVE", "dynamodb": change}


def look(world: SweepWorld, streams: Streams, **more: Any) -> FinalRead:
    world.table = {
        "LatestStreamArn": f"{world.names.table_arn}/stream/2026-03-01T00:00:00.000",
        "StreamSpecification": {"StreamEnabled": True},
    }
    with world.behind(clients()) as sdk:
        real: AwsClients = replace(sdk, streams=streams)
        return read_stream(real, world.names, since=SINCE, now=lambda: world.now, pause=lambda _seconds: None, **more)


def test_what_was_deleted_just_before_is_erased_and_a_live_file_stays() -> None:
    world = SweepWorld()
    world.upload("1.pdf", "2.pdf", age=3600)
    world.hire("2", "2.pdf")
    found = look(world, Streams({"a": (None, False, [removal("1", "1.pdf"), removal("2", "2.pdf")])}))
    assert (found.records, found.erased, found.complete) == (2, 1, True)
    assert world.files == {"2.pdf"}
    assert [line["outcome"] for line in world.receipts() if "outcome" in line] == ["erased", "kept: live"]


def test_records_from_before_are_passed_over_and_shards_that_hold_only_such_are_not_read() -> None:
    world = SweepWorld()
    world.upload("1.pdf", "2.pdf", "3.pdf", age=3600)
    streams = Streams(
        {
            "oldest": (None, True, [removal("1", "1.pdf", at=OLD)]),
            "older": ("oldest", True, [removal("2", "2.pdf", at=OLD), removal("3", "3.pdf")]),
            "open": ("older", False, []),
        }
    )
    found = look(world, streams)
    assert (found.records, found.erased, found.shards) == (1, 1, 2)
    assert world.files == {"1.pdf", "2.pdf"}
    assert "oldest" not in streams.asked


def test_every_shard_is_read_to_its_end_a_page_at_a_time() -> None:
    world = SweepWorld()
    removals = [removal(f"{number}", f"{number}.pdf") for number in range(11)]
    world.upload(*(f"{number}.pdf" for number in range(11)), age=3600)
    found = look(world, Streams({"a": (None, True, removals[:6]), "b": (None, False, removals[6:])}))
    assert (found.records, found.erased, found.unread) == (11, 11, 0)


@pytest.mark.parametrize(("code", "unread"), [("AccessDeniedException", 1), ("TrimmedDataAccessException", 0)])
def test_a_shard_that_cannot_be_read_is_counted_unless_it_is_no_more(code: str, unread: int) -> None:
    world = SweepWorld()
    world.upload("1.pdf", age=3600)
    found = look(
        world, Streams({"a": (None, True, []), "b": (None, False, [removal("1", "1.pdf")])}, fails={"a": code})
    )
    assert (found.unread, found.erased, found.complete) == (unread, 1, unread == 0)


def test_after_two_minutes_it_ends_and_counts_what_it_has_not_read() -> None:
    world = SweepWorld()

    def slow(_operation: str) -> None:
        world.now += 121

    world.meanwhile = slow
    world.upload("1.pdf", age=3600)
    streams = Streams({name: (None, False, [removal(name, f"{name}.pdf")]) for name in "abc"})
    found = look(world, streams)
    assert found.unread > 0
    assert not found.complete
    assert found.records + found.unread >= 3


def test_a_table_without_a_stream_has_nothing_to_look_at() -> None:
    world = SweepWorld()
    with world.behind(clients()) as sdk:
        found = read_stream(sdk, world.names, since=SINCE, now=lambda: world.now)
    assert (found.records, found.complete) == (0, True)


def test_once_its_receipts_fail_it_ends_and_says_what_it_has_erased_and_that_it_is_not_complete() -> None:
    world = SweepWorld()
    world.upload("1.pdf", age=3600)
    world.upload("2.pdf", age=3600)
    asked = Counter[str]()

    def outcomes_fail(operation: str) -> str | None:
        asked[operation] += 1
        return "AccessDeniedException" if operation == "PutLogEvents" and asked[operation] > 1 else None

    world.faults = outcomes_fail

    found = look(world, Streams({"a": (None, True, [removal("1", "1.pdf"), removal("2", "2.pdf")])}))

    assert (found.erased, found.complete, world.files) == (2, False, set())
    said = status_fields(found, now=NOW)["message"]
    assert "2 files erased" in said
    assert "ended early, because receipts could not be stored: logs:PutLogEvents" in said
