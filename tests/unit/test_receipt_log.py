"""Receipts are stored in chained lines of log streams, and nothing is taken for stored that may not be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from humangov.cleanup.calls import Line, NoReceiptError
from humangov.cleanup.receipt_chain import BYTES_PER_CALL, BYTES_PER_EVENT, EMPTY, EVENTS_PER_CALL, first_part
from humangov.cleanup.receipt_log import ReceiptLog

from testing.receipt_chain import broken_links, each_once

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STORED_BUT_LOST = TimeoutError("read timed out")
"""The lines are stored, and the answer does not come."""


@dataclass
class FakeLogs:
    """answers: what each PutLogEvents raises, or gives; creations: what each CreateLogStream raises, or None."""

    answers: list[Any] = field(default_factory=list)
    creations: list[Exception | None] = field(default_factory=list)
    streams: dict[str, list[Any]] = field(default_factory=dict)
    puts: int = 0

    def create_log_stream(self, **request: Any) -> Any:
        answer = self.creations.pop(0) if self.creations else None
        if answer is not None:
            raise answer
        self.streams[request["logStreamName"]] = []
        return {}

    def put_log_events(self, **request: Any) -> Any:
        self.puts += 1
        answer = self.answers.pop(0) if self.answers else {}
        if answer is STORED_BUT_LOST or not isinstance(answer, Exception):
            self.streams[request["logStreamName"]] += request["logEvents"]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def messages(self) -> list[str]:
        return [one["message"] for stream in self.streams.values() for one in stream]

    @property
    def keys(self) -> list[str]:
        """Of every line, once."""
        return [line["key"] for line in each_once(map(json.loads, self.messages))]

    @property
    def sizes(self) -> list[int]:
        """The lines in each stream."""
        return [len(stream) for stream in self.streams.values()]

    @property
    def broken(self) -> list[int]:
        return [
            place for stream in self.streams.values() for place in broken_links([one["message"] for one in stream])
        ]  # fmt: skip


def refusal(code: str, status: int = 400, operation: str = "PutLogEvents") -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


def log(fake: FakeLogs) -> ReceiptLog:
    return ReceiptLog(fake, log_group="g", now=lambda: NOW.timestamp(), pause=lambda _: None, prefix="receipts")


def lines(*keys: str) -> list[Line]:
    return [{"receipt": "intent", "key": key} for key in keys]


def test_each_line_holds_the_hash_of_the_line_before_it_over_every_call() -> None:
    fake = FakeLogs()
    writer = log(fake)
    writer.write(lines("a", "b"))
    writer.write(lines("é\u2028c"))

    first, *_ = map(json.loads, fake.messages)
    assert (first["line"], first["previous"]) == (1, "0" * 64)
    assert (fake.sizes, fake.broken) == ([3], [])
    assert all(message.isascii() for message in fake.messages), "stored as it was hashed"


@pytest.mark.parametrize("change", ["altered", "removed", "swapped"])
def test_a_line_that_was_altered_removed_or_swapped_breaks_the_chain(change: str) -> None:
    fake = FakeLogs()
    log(fake).write(lines("a", "b", "c", "d"))
    one, two, three, four = fake.messages
    altered = {
        "altered": [one, two.replace('"b"', '"x"'), three, four],
        "removed": [one, three, four],
        "swapped": [one, three, two, four],
    }
    assert broken_links(altered[change])


@pytest.mark.parametrize("refused", [refusal("ThrottlingException"), refusal("OperationAbortedException")])
def test_throttled_receipt_lines_are_retried_in_the_same_log_stream(refused: Exception) -> None:
    fake = FakeLogs([refused, refused])
    log(fake).write(lines("a"))
    assert (fake.keys, fake.sizes, fake.broken) == (["a"], [1], [])


@pytest.mark.parametrize(
    "unknown",
    [OSError("reset"), STORED_BUT_LOST, refusal("InternalFailure", 500), refusal("ServiceUnavailableException", 503)],
    ids=["reset", "stored but lost", "500", "503"],
)
def test_an_unconfirmed_put_ends_its_stream_and_a_repeated_line_counts_once(unknown: Exception) -> None:
    fake = FakeLogs([{}, unknown])
    writer = log(fake)
    writer.write(lines("a"))
    writer.write(lines("b", "c"))
    writer.write(lines("d"))

    assert fake.keys == ["a", "b", "c", "d"]
    assert fake.broken == []
    assert fake.sizes == [3 if unknown is STORED_BUT_LOST else 1, 3], "nothing follows what may not be there"


def test_a_stream_that_somebody_removed_is_followed_by_a_next_one() -> None:
    fake = FakeLogs([{}, refusal("ResourceNotFoundException")])
    writer = log(fake)
    writer.write(lines("a"))
    writer.write(lines("b"))
    assert (fake.keys, fake.sizes, fake.broken) == (["a", "b"], [1, 1], [])


NO_GROUP = refusal("ResourceNotFoundException", operation="CreateLogStream")


@pytest.mark.parametrize(
    ("answers", "creations", "reason"),
    [
        ([refusal("AccessDeniedException")], [], "logs:PutLogEvents: log group g: AccessDeniedException: no"),
        ([], [refusal("AccessDeniedException", operation="CreateLogStream")], "logs:CreateLogStream: log group g: Acc"),
        ([], [NO_GROUP], "log group g does not exist, and without a receipt nothing is erased"),
        ([refusal("ResourceNotFoundException")], [None, NO_GROUP], "log group g does not exist"),
        ([refusal("ThrottlingException")] * 9, [], "ThrottlingException"),
        ([OSError("reset")] * 9, [], "OSError"),
        ([{"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": 1}}], [], "because of their time"),
    ],
    ids=["denied", "no new stream", "no group", "group gone since", "throttled for long", "unreachable", "rejected"],
)
def test_a_line_that_is_not_stored_is_an_error_that_says_why(
    answers: list[Any], creations: list[Exception | None], reason: str
) -> None:
    with pytest.raises(NoReceiptError, match=reason):
        log(FakeLogs(answers, creations)).write(lines("a"))


def test_after_lines_were_rejected_the_next_ones_begin_a_stream() -> None:
    fake = FakeLogs([{"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": 1}}])
    writer = log(fake)
    with pytest.raises(NoReceiptError):
        writer.write(lines("a"))
    writer.write(lines("b"))
    assert (len(fake.streams), fake.broken) == (2, [])


def test_once_time_is_over_nothing_is_retried() -> None:
    fake = FakeLogs([refusal("ThrottlingException")] * 9)
    with pytest.raises(NoReceiptError):
        log(fake).write(lines("a"), stop=lambda: True)
    assert fake.puts == 1


def test_no_lines_cost_no_call() -> None:
    fake = FakeLogs()
    log(fake).write([])
    assert (fake.puts, fake.streams) == (0, {})


def test_lines_of_a_later_call_have_a_later_time_although_the_clock_stands_still_or_goes_back() -> None:
    fake, clock = FakeLogs([{}, STORED_BUT_LOST]), iter([5.0, 5.0, 4.0, *[3.0] * 99])
    writer = ReceiptLog(fake, log_group="g", now=lambda: next(clock), pause=lambda _: None, prefix="receipts")
    for key in "abc":
        writer.write(lines(key))
    times = [one["timestamp"] for stream in fake.streams.values() for one in stream]
    assert times == sorted(set(times))


def _parts(given: Sequence[Line]) -> list[list[str]]:
    fake = FakeLogs()
    log(fake).write(given)
    left, end, found = list(given), EMPTY, []
    while left:
        part = first_part(left, after=end)
        found.append(part.messages)
        left, end = left[len(part.messages) :], part.end
    assert (fake.puts, fake.broken) == (len(found), [])
    assert [line["key"] for line in map(json.loads, fake.messages)] == [line["key"] for line in given]
    return found


def test_receipt_lines_are_split_into_calls_by_count_and_size_in_order() -> None:
    assert [len(part) for part in _parts(lines(*map(str, range(EVENTS_PER_CALL + 1))))][-1] >= 1
    long = _parts(lines(*["é" * 30_000] * 12))  # six bytes each, as they are stored
    assert len(long) == 3
    assert all(sum(len(one) + BYTES_PER_EVENT for one in part) <= BYTES_PER_CALL for part in long)
    few = first_part([{}] * (EVENTS_PER_CALL + 1), after=EMPTY)
    assert len(few.messages) < EVENTS_PER_CALL, "each line holds a hash: the size is the nearer limit"
