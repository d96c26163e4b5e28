"""The final stream read: which shards are read, and that the function's checks apply there too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from humangov.aws.data_plane import AwsClients
from humangov.final_read.cluster import FinalHandling, status_fields
from humangov.final_read.final_read import READ_WITHIN_SECONDS, FinalRead, read_stream
from humangov.reading.shards import QUIET_SECONDS

from testing.lambda_runtime.stream_events import employee
from testing.sweep.tenant_data import DAY, START
from testing.sweep.world import SweepWorld, clients

NOW = datetime.fromtimestamp(START - 60, UTC)
HOURS_AGO = datetime.fromtimestamp(START - 20 * 3600, UTC)


@dataclass
class Streams:
    """DynamoDB's streams of one table. shards: name → its pages of records.

    The shards of a disabled stream end; those of an enabled one do not. fails: shard → codes of GetShardIterator, and
    of GetRecords at each page, used up one after the other. arns: of the streams; each has the same shards.
    """

    shards: dict[str, list[list[dict[str, Any]]]]
    status: list[str] = field(default_factory=lambda: ["DISABLED"])
    fails: dict[str, list[str]] = field(default_factory=dict)
    fails_at: dict[str, list[str]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    arns: list[str] = field(default_factory=list)
    calls: int = 0
    meanwhile: Callable[[int], None] = lambda _calls: None

    now: Callable[[], float] = lambda: START

    def _dated(self, answer: dict[str, Any]) -> dict[str, Any]:
        date = datetime.fromtimestamp(self.now(), UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        return answer | {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}

    def list_streams(self, **_: Any) -> dict[str, Any]:
        return {"Streams": [{"StreamArn": arn} for arn in self.arns]}

    def describe_stream(self, **_: Any) -> dict[str, Any]:
        status = self.status.pop(0) if len(self.status) > 1 else self.status[0]
        shards = [{"ShardId": name} for name in self.shards]
        return self._dated({"StreamDescription": {"StreamStatus": status, "Shards": shards}})

    def get_shard_iterator(self, *, ShardId: str, StreamArn: str, **where: Any) -> dict[str, str]:  # noqa: N803
        self.asked.append({"ShardId": ShardId, **where})
        self._refuse("GetShardIterator", self.fails.get(ShardId, []))
        after = where.get("SequenceNumber")
        numbers = [[one["dynamodb"]["SequenceNumber"] for one in page] for page in self.shards[ShardId]]
        first = next((at + 1 for at, page in enumerate(numbers) if after in page), 0)
        return {"ShardIterator": f"{ShardId}/{first}"}

    def get_records(self, *, ShardIterator: str) -> dict[str, Any]:  # noqa: N803
        self.calls += 1
        self.meanwhile(self.calls)
        name, _, at = ShardIterator.partition("/")
        self._refuse("GetRecords", self.fails_at.get(ShardIterator, []))
        pages, page = self.shards[name], int(at)
        records = pages[page] if page < len(pages) else []
        ends = self.status[0] == "DISABLED" and page >= len(pages) - 1
        return self._dated({"Records": records, **({} if ends else {"NextShardIterator": f"{name}/{page + 1}"})})

    def _refuse(self, operation: str, codes: list[str]) -> None:
        if codes:
            raise ClientError({"Error": {"Code": codes.pop(0), "Message": ""}}, operation)


def removal(one: str, name: str, *, at: datetime = NOW) -> dict[str, Any]:
    """As GetRecords gives it."""
    image = employee(one, name)
    change = {
        "ApproximateCreationDateTime": at, "Keys": {"id": image["id"]}, "OldImage": image,
        "SequenceNumber": f"{one}{name}".encode().hex(), "SizeBytes": 1, "StreamViewType": "NEW_AND_OLD_IMAGES",
    }  # fmt: skip
    return {"eventID": f"event-{one}", "eventName": "REMOVE", "dynamodb": change}


def look(world: SweepWorld, streams: Streams, **more: Any) -> FinalRead:
    arn = f"{world.names.table_arn}/stream/2026-03-01T00:00:00.000"
    streams.arns, streams.now = streams.arns or [arn], lambda: world.now
    with world.behind(clients()) as sdk:
        real: AwsClients = replace(sdk, streams=streams)
        return read_stream(real, world.names, now=lambda: world.now, pause=pausing(world), **more)


def pausing(world: SweepWorld) -> Callable[[float], None]:
    """Time passes in pauses alone."""

    def pause(seconds: float) -> None:
        world.now += seconds

    return pause


def with_file() -> SweepWorld:
    world = SweepWorld()
    world.upload("1.pdf", age=2 * DAY)
    return world


def test_final_read_erases_what_was_deleted_just_before_and_keeps_a_live_file() -> None:
    world = SweepWorld()
    world.upload("1.pdf", "2.pdf", age=3600)
    world.hire("2", "2.pdf")
    found = look(world, Streams({"a": [[removal("1", "1.pdf"), removal("2", "2.pdf")]]}))
    assert (found.records, found.erased, found.complete) == (2, 1, True)
    assert world.files == {"2.pdf"}
    assert {line["key"]: line["outcome"] for line in world.receipts() if "outcome" in line} == {
        "1.pdf": "erased", "2.pdf": "kept: live",
    }  # fmt: skip


def test_final_read_of_a_backlog_handles_records_of_any_age() -> None:
    world = with_file()
    found = look(world, Streams({"a": [[removal("1", "1.pdf", at=HOURS_AGO)]]}))
    assert (found.records, found.erased, found.complete) == (1, 1, True)
    assert world.files == set()


def test_final_read_of_a_late_record_keeps_a_file_that_is_younger_than_the_removal() -> None:
    world = SweepWorld()
    world.upload("1.pdf", age=3600)
    found = look(world, Streams({"a": [[removal("1", "1.pdf", at=HOURS_AGO)]]}))
    assert (found.erased, world.files) == (0, {"1.pdf"})


def test_final_read_keeps_a_file_whose_record_moved_to_another_id_in_another_shard() -> None:
    world = with_file()
    world.hire("9", "1.pdf")
    found = look(world, Streams({"a": [[removal("1", "1.pdf", at=HOURS_AGO)]]}))
    assert (found.records, found.erased, found.complete) == (1, 0, True)
    assert (world.files, world.lost) == ({"1.pdf"}, [])


def test_final_read_takes_empty_pages_for_no_end() -> None:
    world = with_file()
    found = look(world, Streams({"a": [*([[]] * 30), [removal("1", "1.pdf")]]}))
    assert (found.complete, world.files) == (True, set())


def test_final_read_gets_an_expired_iterator_again_after_the_last_record() -> None:
    world = with_file()
    world.upload("2.pdf", age=2 * DAY)
    streams = Streams(
        {"a": [[removal("1", "1.pdf")], [removal("2", "2.pdf")]]}, fails_at={"a/1": ["ExpiredIteratorException"]}
    )
    found = look(world, streams)
    assert (found.records, found.complete, world.files) == (2, True, set())
    assert [one["ShardIteratorType"] for one in streams.asked] == ["TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER"]
    assert streams.asked[1]["SequenceNumber"] == removal("1", "1.pdf")["dynamodb"]["SequenceNumber"]


@pytest.mark.parametrize(
    ("fails", "fails_at", "reason"),
    [
        ({}, ["ExpiredIteratorException"] * 2, "ExpiredIteratorException"),
        ({}, ["AccessDeniedException"], "AccessDeniedException"),
        ({}, ["ResourceNotFoundException"], "ResourceNotFoundException"),
        ({"a": ["ResourceNotFoundException"]}, [], "ResourceNotFoundException"),
        ({"a": ["AccessDeniedException"]}, [], "AccessDeniedException"),
        ({"a": ["TrimmedDataAccessException"]}, [], "TrimmedDataAccessException"),
    ],
)
def test_final_read_is_not_complete_if_a_shard_could_not_be_read_to_its_end(
    fails: dict[str, list[str]], fails_at: list[str], reason: str
) -> None:
    world = with_file()
    streams = Streams({"a": [[]], "b": [[removal("1", "1.pdf")]]}, fails=fails, fails_at={"a/0": fails_at})
    found = look(world, streams)
    assert (dict(found.unread), found.erased, found.complete) == ({reason: 1}, 1, False)
    assert found.shards == 2


def test_final_read_names_records_that_expired_and_reads_the_rest_of_their_shard() -> None:
    world = with_file()
    streams = Streams({"a": [[removal("1", "1.pdf")]]}, fails_at={"a/0": ["TrimmedDataAccessException"]})
    found = look(world, streams)
    assert (dict(found.unread), found.erased) == ({"TrimmedDataAccessException": 1}, 1)
    assert not found.complete


def test_final_read_waits_until_a_stream_is_disabled_before_it_lists_the_shards() -> None:
    world = with_file()
    streams = Streams({"a": [[removal("1", "1.pdf")]]}, status=["DISABLING", "DISABLING", "DISABLED"])
    found = look(world, streams)
    assert (found.complete, world.files) == (True, set())


def test_final_read_of_a_stream_that_stays_enabled_ends_after_ten_quiet_seconds_and_is_not_complete() -> None:
    world = with_file()
    streams = Streams({"a": [*([[]] * 20), [removal("1", "1.pdf")]], "b": []}, status=["ENABLED"])
    began = world.now
    found = look(world, streams)
    assert (found.open, found.shards, dict(found.unread), found.complete) == (1, 2, {}, False)
    assert world.files == set()
    assert QUIET_SECONDS <= world.now - began < 2 * QUIET_SECONDS  # both shards at once


def test_final_read_of_an_open_shard_ends_at_a_record_that_is_younger_than_the_list_of_shards() -> None:
    world = with_file()
    young = datetime.fromtimestamp(START + 5, UTC)
    pages = [[removal("1", "1.pdf")], [removal("2", "2.pdf", at=young)], [removal("3", "3.pdf", at=young)]]
    streams = Streams({"a": pages}, status=["ENABLED"])
    found = look(world, streams)
    assert (found.records, found.open, streams.calls) == (2, 1, 2)


def test_final_read_reads_every_stream_of_the_table_and_no_other() -> None:
    world = with_file()
    arns = [
        f"{world.names.table_arn}/stream/{label}" for label in ("2026-02-28T00:00:00.000", "2026-03-01T00:00:00.000")
    ]
    streams = Streams({"a": [[removal("1", "1.pdf")]]}, arns=[*arns, f"{world.names.table_arn}-2/stream/x"])
    found = look(world, streams)
    assert (found.shards, found.records, world.files) == (2, 2, set())


def test_final_read_out_of_time_counts_the_shards_that_it_has_not_read() -> None:
    world = SweepWorld()
    world.upload(*(f"{name}.pdf" for name in "abc"), age=2 * DAY)
    streams = Streams({name: [[], [], [removal(name, f"{name}.pdf")]] for name in "abc"})

    def slow(calls: int) -> None:
        world.now += READ_WITHIN_SECONDS if calls == 4 else 0

    streams.meanwhile = slow
    found = look(world, streams)
    assert (dict(found.unread), found.shards, found.complete) == ({"OutOfTime": 3}, 3, False)
    assert len(world.files) == 3


def test_final_read_erases_nothing_while_erasing_is_stopped_and_says_why() -> None:
    world = with_file()
    found = look(world, Streams({"a": [[removal("1", "1.pdf")]]}), may_erase=lambda: "stopped by annotation")
    assert (found.problem, found.unhandled, found.complete) == ("stopped by annotation", 1, False)
    assert (world.files, world.receipts(), world.calls["Scan"]) == ({"1.pdf"}, [], 0)


@pytest.mark.parametrize("operation", ["Scan", "CreateLogStream", "PutLogEvents", "DescribeTable"])
def test_final_read_erases_nothing_if_table_or_log_group_cannot_be_used(operation: str) -> None:
    world = with_file()
    world.faults = lambda asked: "AccessDeniedException" if asked == operation else None
    found = look(world, Streams({"a": [[removal("1", "1.pdf")]]}))
    assert "AccessDenied" in str(found.problem)
    assert (world.files, found.complete) == ({"1.pdf"}, False)


def test_final_read_needs_neither_table_reading_nor_log_group_where_nothing_was_removed() -> None:
    world = SweepWorld()
    world.faults = lambda asked: "AccessDeniedException" if asked in ("Scan", "CreateLogStream") else None
    assert look(world, Streams({"a": [[]]})).complete


def test_final_read_of_a_table_without_a_stream_finds_nothing() -> None:
    world = SweepWorld()
    streams = Streams({"a": []}, arns=["arn:aws:dynamodb:us-east-1:1:table/other/stream/x"])
    found = look(world, streams)
    assert (found.records, found.shards, found.complete) == (0, 0, True)


def test_final_read_waits_for_the_table_that_is_updated_when_its_stream_is_disabled() -> None:
    world = with_file()
    world.table = {"TableStatus": "UPDATING"}
    began = world.now

    def settles(operation: str) -> None:
        if operation == "DescribeTable" and world.now > began + 10:
            world.table = {"TableStatus": "ACTIVE"}

    world.meanwhile = settles
    found = look(world, Streams({"a": [[removal("1", "1.pdf")]]}))
    assert (found.problem, world.files) == (None, set())


def test_final_read_of_a_table_that_does_not_become_active_erases_nothing_and_says_why() -> None:
    world = with_file()
    world.table = {"TableStatus": "UPDATING"}
    found = look(world, Streams({"a": [[removal("1", "1.pdf")]]}))
    assert "the table is UPDATING, not ACTIVE" in str(found.problem)
    assert (world.files, found.unhandled, found.complete) == ({"1.pdf"}, 1, False)


def test_final_read_does_not_take_the_time_of_its_own_handling_for_quiet_seconds_of_a_shard() -> None:
    world = with_file()
    world.upload("2.pdf", age=2 * DAY)
    streams = Streams({"a": [[removal("1", "1.pdf")], [], [], [removal("2", "2.pdf")]]}, status=["ENABLED"])

    def slow(calls: int) -> None:
        world.now += 60 if calls == 2 else 0

    streams.meanwhile = slow
    look(world, streams)
    assert world.files == set()


def test_final_read_of_an_enabled_stream_is_not_complete_though_all_its_shards_were_closed_meanwhile() -> None:
    world = with_file()
    streams = Streams({"a": [[removal("1", "1.pdf")]]}, status=["ENABLED", "DISABLED"])
    found = look(world, streams)
    assert (found.erased, found.open, dict(found.unread), found.complete) == (1, 1, {}, False)


def test_final_read_whose_place_expired_with_its_iterator_says_so_and_reads_the_rest() -> None:
    world = with_file()
    world.upload("2.pdf", age=2 * DAY)
    streams = Streams(
        {"a": [[removal("1", "1.pdf")], [removal("2", "2.pdf")]]}, fails_at={"a/1": ["ExpiredIteratorException"]}
    )

    def forgets(calls: int) -> None:
        if calls == 2:
            streams.fails["a"] = ["TrimmedDataAccessException"]

    streams.meanwhile = forgets
    found = look(world, streams)
    assert (world.files, dict(found.unread)) == (set(), {"TrimmedDataAccessException": 1})
    assert not found.complete


def test_final_read_whose_receipts_fail_ends_and_says_what_it_erased_and_that_it_is_not_complete() -> None:
    world = with_file()
    world.upload("2.pdf", age=2 * DAY)
    asked = Counter[str]()

    def outcomes_fail(operation: str) -> str | None:
        asked[operation] += 1
        return "AccessDeniedException" if operation == "PutLogEvents" and asked[operation] > 1 else None

    world.faults = outcomes_fail

    found = look(world, Streams({"a": [[removal("1", "1.pdf"), removal("2", "2.pdf")]]}))

    assert (found.erased, found.complete, world.files) == (2, False, set())
    assert "receipts could not be stored: logs:PutLogEvents" in str(found.problem)


def test_final_read_counts_and_reports_malformed_records_and_unresolved_names() -> None:
    world = SweepWorld()
    world.upload("2.pdf", age=2 * DAY)
    malformed = removal("3", "3.pdf")
    malformed["dynamodb"]["OldImage"]["pdf"] = {"N": "1"}
    records = [removal("1", "https://other-bucket.s3.amazonaws.com/1.pdf"), removal("2", "2.pdf"), malformed]
    found = look(world, Streams({"a": [records]}))
    assert (found.malformed, found.unresolved, found.erased) == (1, 1, 1)
    message = status_fields(FinalHandling(names=world.names, read=found), now=NOW)["message"]
    assert "1 malformed record was skipped; 1 record has an unresolved file name" in message


def test_final_read_of_a_deleted_table_erases_nothing_and_says_why() -> None:
    world = with_file()
    world.faults = lambda asked: "ResourceNotFoundException" if asked == "DescribeTable" else None
    found = look(world, Streams({"a": [[removal("1", "1.pdf")]]}))
    assert found.problem == "the table no longer exists, so it is unknown which files its records name"
    assert (world.files, found.unhandled, found.complete) == ({"1.pdf"}, 1, False)
