"""What speaks against an erasure, decided from answers of AWS that are written down here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from humangov.cleanup.calls import Calls, Line
from humangov.cleanup.environment import FunctionSettings
from humangov.cleanup.guard import (
    LiveRecords,
    age_verdict,
    is_late,
    is_nearly_too_old,
    must_be_older,
    read_live,
    verdict,
    written_before,
)
from humangov.cleanup.outcomes import FileOutcome
from humangov.cleanup.receipt_lines import spell
from humangov.cleanup.records import FreedFile, RecordKey, read_change, record_id
from humangov.cleanup.versions import Version

from testing.lambda_runtime.stream_events import employee, remove

SETTINGS = FunctionSettings(tenant="t", table="california", bucket="b", account_id="123456789012")


def file(key: str, *, age_seconds: float = 1) -> FreedFile:
    change = read_change(remove(employee("7", key), age_seconds=age_seconds), settings=SETTINGS)
    return FreedFile(key, (change,))


def spelled(outcome: FileOutcome | None) -> str | None:
    return None if outcome is None else spell(outcome)


@dataclass
class Answers:
    """AWS as a function from request to answer; remembers requests, pauses and log."""

    answer: Callable[..., Mapping[str, Any]]
    requests: list[dict[str, Any]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    log: list[Line] = field(default_factory=list)
    calls_before_the_end: int = 1000

    def batch_get_item(self, **request: Any) -> Mapping[str, Any]:
        self.requests.append(request)
        return self.answer(**request)

    query = list_object_versions = delete_objects = delete_object = batch_get_item
    get_object_retention = get_object_legal_hold = batch_get_item

    @property
    def calls(self) -> Calls:
        return Calls(
            dynamodb=self,
            s3=self,
            bucket_owner="123456789012",
            out_of_time=lambda: len(self.requests) >= self.calls_before_the_end,
            pause=self.pauses.append,
            now=lambda: 0.0,
            write=self.log.extend,
        )


def key(one: str) -> RecordKey:
    return {"id": {"S": one}}


def look_for(answers: Answers, ids: Iterable[str]) -> LiveRecords:
    return read_live(answers.calls, settings=SETTINGS, record_keys=[key(one) for one in ids])


def table(*live: Mapping[str, Any]) -> Callable[..., Mapping[str, Any]]:
    def answer(**request: Any) -> Mapping[str, Any]:
        asked = [one["id"] for one in request["RequestItems"]["california"]["Keys"]]
        return {"Responses": {"california": [item for item in live if item["id"] in asked]}, "UnprocessedKeys": {}}

    return answer


def unprocessed(*ids: str, table: str = "california") -> Callable[..., Mapping[str, Any]]:
    left = {table: {"Keys": [key(one) for one in ids]}}
    return lambda **_: {"Responses": {"california": []}, "UnprocessedKeys": left}


def test_live_read_reads_100_records_a_call_each_once() -> None:
    answers = Answers(table(employee("1", "1.pdf"), employee("999", "999.pdf")))

    live = look_for(answers, [str(one % 1000) for one in range(2500)])

    assert live == LiveRecords(frozenset({"1.pdf", "999.pdf"}), {})
    assert [len(one["RequestItems"]["california"]["Keys"]) for one in answers.requests] == [100] * 10


def test_live_read_projects_a_key_attribute_once() -> None:
    answers = Answers(table())
    settings = FunctionSettings(
        tenant="t", table="california", bucket="b", account_id="123456789012", file_attributes=("id", "a.b", "name")
    )

    read_live(answers.calls, settings=settings, record_keys=[key("1")])

    request = answers.requests[0]["RequestItems"]["california"]
    assert request["ProjectionExpression"] == "#a0, #a1, #a2"
    assert request["ExpressionAttributeNames"] == {"#a0": "id", "#a1": "a.b", "#a2": "name"}


def test_unprocessed_keys_are_retried_with_back_off_and_then_unread() -> None:
    answers = Answers(unprocessed("2"))

    live = look_for(answers, ["1", "2"])

    assert live.unread == {record_id(key("2")): "Throttled"}
    asked = [[one["id"]["S"] for one in each["RequestItems"]["california"]["Keys"]] for each in answers.requests]
    assert asked == [["1", "2"], ["2"], ["2"], ["2"], ["2"]]
    assert answers.pauses == sorted(answers.pauses)
    assert sum(answers.pauses) < 1


def test_unexpected_unprocessed_keys_make_the_whole_read_unread() -> None:
    live = look_for(Answers(unprocessed("3")), ["1", "2"])

    assert set(live.unread) == {record_id(key("1")), record_id(key("2"))}


def test_unprocessed_keys_count_under_a_table_name_or_arn() -> None:
    live = look_for(Answers(unprocessed("1", table="arn:aws:dynamodb:us-east-1:1:table/california")), ["1"])

    assert set(live.unread) == {record_id(key("1"))}


def test_binary_keys_are_sent_as_bytes_and_recognized_when_unprocessed() -> None:
    left = {"california": {"Keys": [{"id": {"B": b"\x01"}}]}}
    answers = Answers(lambda **_: {"Responses": {"california": []}, "UnprocessedKeys": left})
    binary: RecordKey = {"id": {"B": "AQ=="}}

    live = read_live(answers.calls, settings=SETTINGS, record_keys=[binary])

    assert answers.requests[0]["RequestItems"]["california"]["Keys"] == [{"id": {"B": b"\x01"}}]
    assert set(live.unread) == {record_id(binary)}


def timeout(**_: Any) -> Mapping[str, Any]:
    raise ReadTimeoutError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")


@pytest.mark.parametrize(
    "answer",
    [
        timeout,
        lambda **_: {},
        lambda **_: {"Responses": None},
        lambda **_: {"Responses": {"california": None}},
        lambda **_: {"Responses": {"arn:aws:dynamodb:us-east-1:1:table/california": [{"id": {"S": "7"}}]}},
        lambda **_: {"Responses": {"california": []}, "UnprocessedKeys": {"california": {"Keys": []}}},
    ],
)
def test_failed_live_read_leaves_its_records_unread(answer: Callable[..., Any]) -> None:
    live = look_for(Answers(answer), ["1", "2"])

    assert set(live.unread) == {record_id(key("1")), record_id(key("2"))}


def test_failed_live_read_call_does_not_fail_the_others() -> None:
    def answer(**request: Any) -> Mapping[str, Any]:
        return timeout() if key("0") in request["RequestItems"]["california"]["Keys"] else table()(**request)

    live = look_for(Answers(answer), map(str, range(150)))

    assert len(live.unread) == 100
    assert record_id(key("149")) not in live.unread


def test_no_live_read_starts_when_out_of_time() -> None:
    answers = Answers(table(), calls_before_the_end=1)

    live = look_for(answers, map(str, range(150)))

    assert len(answers.requests) == 1
    assert set(live.unread.values()) == {"OutOfTime"}
    assert len(live.unread) == 50


def test_keys_of_different_shapes_are_read_in_separate_calls() -> None:
    answers = Answers(table())

    read_live(
        answers.calls, settings=SETTINGS, record_keys=[key("1"), {"id": {"N": "1"}}, {"pk": {"S": "1"}}, key("2")]
    )

    assert [len(one["RequestItems"]["california"]["Keys"]) for one in answers.requests] == [2, 1, 1]


@pytest.mark.parametrize(
    ("live", "outcome"),
    [
        pytest.param(LiveRecords(frozenset(), {}), None, id="absent"),
        pytest.param(LiveRecords(frozenset({"b.pdf"}), {}), None, id="live with another file"),
        pytest.param(LiveRecords(frozenset({"a.pdf"}), {}), "kept: live", id="live"),
        pytest.param(LiveRecords(frozenset(), {"1": "Throttled"}), "failed: Throttled", id="unread"),
        pytest.param(LiveRecords(frozenset(), {"2": "Throttled"}), "failed: Throttled", id="another namer unread"),
        pytest.param(LiveRecords(frozenset(), {"3": "Throttled"}), None, id="an unrelated record unread"),
        pytest.param(LiveRecords(frozenset({"a.pdf"}), {"1": "Throttled"}), "kept: live", id="live elsewhere"),
    ],
)
def test_file_is_erased_only_if_every_record_that_could_name_it_was_read_and_does_not(
    live: LiveRecords, outcome: str | None
) -> None:
    assert spelled(verdict(file("a.pdf"), record_ids=["1", "2"], live=live)) == outcome


@pytest.mark.parametrize(
    ("file_names", "age_seconds", "must"),
    [("Unique", 1, False), ("Unique", 901, True), ("Reused", 1, True), ("Reused", 901, True)],
)
def test_under_reused_file_names_every_file_must_be_older_than_the_removal(
    file_names: str, age_seconds: float, must: bool
) -> None:
    assert must_be_older(10_000 - age_seconds, file_names=file_names, now=10_000) is must


@pytest.mark.parametrize(("age_seconds", "late"), [(0, False), (900, False), (901, True), (-30, False), (None, True)])
def test_event_is_late_after_15_minutes_or_without_a_date(age_seconds: float | None, late: bool) -> None:
    removed_at = None if age_seconds is None else 10_000 - age_seconds

    assert is_late(removed_at, now=10_000) is late


@pytest.mark.parametrize(
    ("limit_seconds", "age_seconds", "nearly"),
    [
        (43_200, 43_140, False), (43_200, 43_141, True), (60, 50, False), (60, 51, True),
        (60, None, False), (None, 1_000_000, False),
    ],
)  # fmt: skip
def test_event_is_nearly_too_old_a_minute_or_a_sixth_of_the_limit_before_it_is_discarded(
    limit_seconds: int | None, age_seconds: int | None, nearly: bool
) -> None:
    removed_at = None if age_seconds is None else 1_000_000.0 - age_seconds

    assert is_nearly_too_old(removed_at, limit_seconds=limit_seconds, now=1_000_000.0) is nearly


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "removed", "before"),
    [
        pytest.param(NOON - timedelta(seconds=1), NOON, True, id="a second earlier"),
        pytest.param(NOON, NOON, False, id="tie"),
        pytest.param(NOON, NOON + timedelta(milliseconds=900), False, id="tie within the second"),
        pytest.param(NOON - timedelta(milliseconds=1), NOON, True, id="the second before"),
        pytest.param(NOON + timedelta(seconds=1), NOON, False, id="later"),
        pytest.param(NOON.astimezone(timezone(timedelta(hours=9))), NOON, False, id="another zone"),
    ],
)
def test_only_an_earlier_second_proves_that_a_file_predates_the_removal(
    written: datetime, removed: datetime, before: bool
) -> None:
    assert written_before(written, removed.timestamp()) is before


def version(seconds: float, *, is_marker: bool = False, is_multipart: bool = False) -> Version:
    return Version("1", NOON + timedelta(seconds=seconds), is_marker, is_multipart)


@pytest.mark.parametrize(
    ("versions", "older_only", "outcome"),
    [
        pytest.param((), False, "absent", id="nothing there"),
        pytest.param((version(-1),), True, None, id="late: older"),
        pytest.param((version(0),), True, "kept: newer", id="late: tie"),
        pytest.param((version(1),), True, "kept: newer", id="late: younger"),
        pytest.param((version(-1), version(0)), True, "kept: newer", id="late: one version is no older"),
        pytest.param((version(-1), version(9, is_marker=True)), True, None, id="late: a younger marker"),
        pytest.param((version(-1),), False, None, id="fresh: older"),
        pytest.param((version(0),), False, None, id="fresh: tie"),
        pytest.param((version(0.9),), False, None, id="fresh: tie within the second"),
        pytest.param((version(1),), False, "kept: newer", id="fresh: younger"),
        pytest.param((version(-1), version(1)), False, "kept: newer", id="fresh: one version is younger"),
        pytest.param((version(9, is_marker=True),), False, None, id="fresh: only a marker"),
        pytest.param(
            (version(-9, is_multipart=True),), True, "kept: undated", id="late: an upload in parts, begun before"
        ),
        pytest.param((version(1, is_multipart=True),), True, "kept: newer", id="late: an upload in parts, begun after"),
        pytest.param(
            (version(-1), version(-9, is_multipart=True)), True, "kept: undated", id="late: one of two in parts"
        ),
        pytest.param(
            (version(1), version(-9, is_multipart=True)), True, "kept: newer", id="late: the other is younger"
        ),
        pytest.param((version(-9, is_multipart=True),), False, None, id="fresh: an upload in parts, begun before"),
        pytest.param((version(1, is_multipart=True),), False, "kept: newer", id="fresh: begun after"),
    ],
)
def test_file_newer_than_the_removal_is_kept(
    versions: tuple[Version, ...], older_only: bool, outcome: str | None
) -> None:
    assert spelled(age_verdict(versions, removed_at=NOON.timestamp(), older_only=older_only)) == outcome


def test_existing_file_is_kept_without_a_removal_date() -> None:
    assert spelled(age_verdict((version(-9),), removed_at=None, older_only=True)) == "kept: undated"
    assert spelled(age_verdict((), removed_at=None, older_only=True)) == "absent"
