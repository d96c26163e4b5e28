"""One invocation on a table and a bucket that are dicts: what is reported, and that no live file ever goes.

The dicts answer at once and always with the truth. They show no stale read, no limit on calls, and no clock of S3's
own; tests/lambda runs the same code as Lambda does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from humangov.cleanup import guard
from humangov.cleanup.batch import deadline, run
from humangov.cleanup.calls import Calls, Line
from humangov.cleanup.environment import FunctionSettings
from humangov.cleanup.log_lines import batch_line
from humangov.cleanup.records import read_change
from hypothesis import given, settings
from hypothesis import strategies as st

from testing.lambda_runtime.stream_events import Event, batch, employee, failures, insert, modify, number_of, remove

SETTINGS = FunctionSettings(
    tenant="uid/humangov/california", table="california", bucket="files", account_id="123456789012"
)


def never() -> bool:
    return False


@dataclass
class Cloud:
    """A tenant's table and bucket. fails: asked before each operation's effect on a key, as S3 and DynamoDB do."""

    records: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    fails: Callable[[], bool] = never
    log: list[Line] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def batch_get_item(self, **request: Any) -> Mapping[str, Any]:
        self._begin("BatchGetItem")
        keys = request["RequestItems"]["california"]["Keys"]
        assert len({one["id"]["S"] for one in keys}) == len(keys) <= 100, "DynamoDB refuses the call"
        left = [one for one in keys if self.fails()]
        found = [self.records.get(one["id"]["S"]) for one in keys if one not in left]
        unprocessed = {"california": {"Keys": left}} if left else {}
        return {"Responses": {"california": [item for item in found if item]}, "UnprocessedKeys": unprocessed}

    def delete_objects(self, **request: Any) -> Mapping[str, Any]:
        self._begin("DeleteObjects")
        answer: dict[str, list[Any]] = {"Deleted": [], "Errors": []}
        assert len(request["Delete"]["Objects"]) <= 1000
        for one in request["Delete"]["Objects"]:
            if self.fails():
                answer["Errors"].append(one | {"Code": "InternalError"})
            else:
                self.files.discard(one["Key"])
                answer["Deleted"].append(one)
        if self.fails():
            raise ClientError({"Error": {"Code": "RequestTimeout"}}, "DeleteObjects")
        return answer

    def delete_object(self, **request: Any) -> Mapping[str, Any]:
        self._begin("DeleteObject")
        self.files.discard(request["Key"])
        return {}

    def list_object_versions(self, **request: Any) -> Mapping[str, Any]:
        raise AssertionError("no event here is late, and no version is kept")

    query = get_object_retention = get_object_legal_hold = list_object_versions

    def run(
        self,
        *records: Any,
        out_of_time: Callable[[], bool] = never,
        now: float = 1.0,
        settings: FunctionSettings = SETTINGS,
    ) -> Any:
        calls = Calls(
            dynamodb=self,
            s3=self,
            bucket_owner="123456789012",
            out_of_time=out_of_time,
            pause=lambda _: None,
            now=lambda: now,
            write=self.log.extend,
            store=self.log.extend,
        )
        result = run(batch(*records), settings=settings, calls=calls)
        self.log.append(batch_line(result, settings=settings))
        return result.answer

    def _begin(self, operation: str) -> None:
        self.requests.append(operation)
        if self.fails():
            raise ClientError({"Error": {"Code": "InternalServerError"}}, operation)


def test_batch_item_failures_are_in_the_order_of_the_batch() -> None:
    cloud = Cloud(fails=lambda: True)
    records = [remove(employee(str(one), f"{one}.pdf")) for one in range(5)]

    assert cloud.run(*records) == failures(*records)


def test_move_whose_first_half_lambda_discarded_by_its_age_erases_nothing() -> None:
    """The record moved from id 6 to id 0. Lambda retried both until the first was too old, and hands on the second."""
    cloud = Cloud(records={"0": employee("0", "4.pdf")}, files={"4.pdf"})
    limited = replace(SETTINGS, record_age_limit_seconds=60)
    moved_away = remove(employee("6", "4.pdf"), at=100)

    assert cloud.run(moved_away, now=159.2, settings=limited) == failures(moved_away)
    assert cloud.files == {"4.pdf"}
    [outcome] = [line["outcome"] for line in cloud.log if line.get("receipt") == "outcome"]
    assert outcome == "failed: NearlyTooOld"


def test_record_fails_if_one_of_its_files_fails() -> None:
    cloud = Cloud(files={"a", "b"})
    record = remove(employee("1") | {"pdf": {"SS": ["a", "b"]}})
    answers = iter([False, False, False, True, False, False])
    cloud.fails = lambda: next(answers)

    assert cloud.run(record) == failures(record)
    assert len(cloud.files) == 1


def test_unexpected_error_in_one_record_fails_only_that_record(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(files={"1.pdf", "2.pdf"})
    bad, good = remove(employee("1", "1.pdf")), remove(employee("2", "2.pdf"))

    def buggy(record: Any, **more: Any) -> Any:
        if record is bad:
            raise RuntimeError("Secret Name")
        return read_change(record, **more)

    monkeypatch.setattr("humangov.cleanup.batch.read_change", buggy)

    assert cloud.run(bad, good) == failures(bad)
    assert cloud.files == {"1.pdf"}
    (line,) = [line for line in cloud.log if line.get("error")]
    assert line["error"] == "RuntimeError"
    assert line["sequence_numbers"] == [number_of(bad)]
    assert "Secret Name" not in json.dumps(cloud.log)


def test_unexpected_error_in_a_verdict_fails_its_records_and_handles_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = [remove(employee(str(one), f"{one}.pdf")) for one in range(1001)]
    cloud = Cloud(files={f"{one}.pdf" for one in range(1001)})
    verdict = guard.verdict

    def buggy(file: Any, **more: Any) -> Any:
        if file.key == "7.pdf":
            raise KeyError("Secret Name")
        return verdict(file, **more)

    monkeypatch.setattr(guard, "verdict", buggy)

    assert cloud.run(*records) == failures(*records[:1000])
    assert cloud.files == {f"{one}.pdf" for one in range(1000)}
    assert "Secret Name" not in json.dumps(cloud.log)


@pytest.mark.parametrize(
    ("at_start_ms", "remaining_ms", "over"),
    [
        (300_000, 10_001, False),
        (300_000, 10_000, True),
        (20_000, 10_000, True),
        pytest.param(8_000, 8_000, False, id="a short time-out begins"),
        pytest.param(8_000, 4_000, True, id="a short time-out is over at its half"),
        (0, 0, True),
    ],
)
def test_cleanup_function_stops_ten_seconds_before_its_deadline(
    at_start_ms: int, remaining_ms: int, over: bool
) -> None:
    answers = iter([at_start_ms, remaining_ms])

    assert deadline(lambda: next(answers))() is over


def test_out_of_time_reports_started_records_and_the_first_unstarted_one() -> None:
    """Time is over after the first thousand files' reads: these fail, of the others the first is reported."""
    cloud = Cloud(files={f"{one}.pdf" for one in range(1500)})
    records = [remove(employee(str(one), f"{one}.pdf")) for one in range(1500)]

    result = cloud.run(*records, out_of_time=lambda: len(cloud.requests) >= 10)

    assert result == failures(*records[:1001])
    assert len(cloud.files) == 1500
    assert [line["unhandled"] for line in cloud.log if line.get("message") == "batch"] == [500]


def test_records_that_protect_files_not_begun_are_returned_when_time_is_over() -> None:
    """The 1,200th record was moved: its new record stands at the beginning of the batch."""
    cloud = Cloud(files={f"{one}.pdf" for one in range(1500)})
    cloud.records["new"] = employee("new", "1200.pdf")
    moved = insert(employee("new", "1200.pdf"))
    records = [moved, *(remove(employee(str(one), f"{one}.pdf")) for one in range(1500))]

    result = cloud.run(*records, out_of_time=lambda: len(cloud.requests) >= 11)

    assert len(cloud.files) == 500
    assert result == failures(moved, records[1001])


def test_an_insert_that_cannot_be_read_protects_whatever_its_record_names(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(files={"a.pdf", "b.pdf"}, records={"8": employee("8", "a.pdf")})
    moved = insert(employee("8", "a.pdf"))

    def buggy(record: Any, **more: Any) -> Any:
        if record is moved:
            raise RuntimeError
        return read_change(record, **more)

    monkeypatch.setattr("humangov.cleanup.batch.read_change", buggy)

    result = cloud.run(moved, remove(employee("7", "a.pdf")), remove(employee("9", "b.pdf")))

    assert result == failures(moved)
    assert cloud.files == {"a.pdf"}


def test_ten_thousand_removals_cost_100_reads_and_10_deletes() -> None:
    cloud = Cloud()

    cloud.run(*(remove(employee(str(one), f"{one}.pdf")) for one in range(10_000)))

    assert (cloud.requests.count("BatchGetItem"), cloud.requests.count("DeleteObjects")) == (100, 10)


def test_file_has_one_outcome_per_freeing_record_and_an_intent_only_before_erasure() -> None:
    cloud = Cloud(records={"2": employee("2", "2.pdf")}, files={"1.pdf", "2.pdf"})
    one, two = employee("1", "1.pdf"), employee("2", "2.pdf")

    cloud.run(remove(one), insert(one), remove(one), remove(two))

    reported = [(line["receipt"], line["key"]) for line in cloud.log if "receipt" in line]
    assert reported == [("intent", "1.pdf")] * 2 + [("outcome", "1.pdf")] * 2 + [("outcome", "2.pdf")]


# What an application may do to one of three ids. A file's name is written once, for one record.
PUT, REMOVE, REPEAT = "put", "remove", "repeat the last file"
actions = st.lists(st.tuples(st.sampled_from([PUT, REMOVE, REPEAT]), st.sampled_from("123")), max_size=30)


@dataclass
class Application:
    """Writes records and files as HumanGov does, and what the stream then holds."""

    cloud: Cloud
    stream: list[Event] = field(default_factory=list)
    last: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    uploads: int = 0

    def act(self, action: str, one: str) -> None:
        old = self.cloud.records.pop(one, None)
        if action == REMOVE:
            new = None
        elif action == REPEAT and old is None and self._still_there(one):
            new = self.last[one]
        else:
            self.uploads += 1
            new = employee(one, f"{self.uploads}.pdf")
            self.cloud.files.add(f"{self.uploads}.pdf")
        if new:
            self.cloud.records[one] = self.last[one] = new
        if old and new:
            self.stream.append(modify(old, new))
        elif new:
            self.stream.append(insert(new))
        elif old:
            self.stream.append(remove(old))

    def move(self, one: str, other: str, *, written_first: bool) -> None:
        """A record gets another id, which takes two changes."""
        if one not in self.cloud.records or other in self.cloud.records:
            return
        old = self.cloud.records.pop(one)
        new = self.cloud.records[other] = self.last[other] = {**old, "id": {"S": other}}
        both = [insert(new), remove(old)]
        self.stream += both if written_first else reversed(both)

    @property
    def live(self) -> set[str]:
        return {item["pdf"]["S"] for item in self.cloud.records.values()}

    def _still_there(self, one: str) -> bool:
        return one in self.last and self.last[one]["pdf"]["S"] in self.cloud.files


@settings(max_examples=100, deadline=None)
@given(actions, st.data())
def test_redelivery_after_any_failure_erases_no_live_file_and_leaves_no_orphan(
    plan: Iterable[tuple[str, str]], data: st.DataObject
) -> None:
    """Batches as Lambda forms them: after a failure it goes on at the lowest number, and any batch may come twice."""
    cloud = Cloud()
    application = Application(cloud)
    todo = list(plan)
    position = 0
    for _ in range(len(todo) * 3):
        for action, one in [todo.pop(0) for _ in range(data.draw(st.integers(0, min(3, len(todo)))))]:
            application.act(action, one)
        end = data.draw(st.integers(position, len(application.stream)))
        start = data.draw(st.integers(0, position))
        cloud.fails = lambda: data.draw(st.integers(0, 9)) == 0
        result = cloud.run(*application.stream[start:end])
        assert application.live <= cloud.files
        position = max(position, checkpoint(application.stream, result, start=start, end=end))

    cloud.fails = never
    for action, one in todo:
        application.act(action, one)
    assert cloud.run(*application.stream[position:]) == failures()
    assert cloud.files == application.live


moves = st.lists(
    st.tuples(st.sampled_from([PUT, REMOVE, "move", "move"]), st.sampled_from("123"), st.sampled_from("123")),
    min_size=2, max_size=20,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(moves, st.booleans(), st.booleans(), st.data())
def test_whatever_fails_the_files_of_records_that_move_within_a_batch_stay_in_every_retry(
    plan: Iterable[tuple[str, str, str]], written_first: bool, old_images_only: bool, data: st.DataObject
) -> None:
    """Lambda brings the batch again from the lowest number, until nothing fails."""
    cloud = Cloud()
    application = Application(cloud)
    for action, one, other in plan:
        if action == "move":
            application.move(one, other, written_first=written_first)
        else:
            application.act(action, one)
    stream = application.stream
    for record in stream if old_images_only else ():
        record["dynamodb"].pop("NewImage", None)
    start = 0
    for attempt in range(4):
        cloud.fails = never if attempt == 3 else lambda: data.draw(st.integers(0, 3)) == 0
        start = checkpoint(stream, cloud.run(*stream[start:]), start=start, end=len(stream))
        assert application.live <= cloud.files

    assert start == len(stream)
    assert cloud.files == application.live


def checkpoint(stream: list[Event], result: Mapping[str, Any], *, start: int, end: int) -> int:
    """Where Lambda goes on: at the lowest sequence number that failed."""
    failed = {one["itemIdentifier"] for one in result["batchItemFailures"]}
    return next((at for at in range(start, end) if number_of(stream[at]) in failed), end)
