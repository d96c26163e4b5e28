"""`humangov receipts`: lines of a log → rows. Runs on nothing."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from humangov.aws.identity import UnknownTenantError
from humangov.cli import lookup
from humangov.kube import client
from humangov.proof import receipt_table, receipts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STREAM, LAMBDAS = "receipts/2026/03/01/a", "2026/03/01/[$LATEST]a"
DEEP = f'{{"receipt": "intent", "key": {"[" * 100_000}{"]" * 100_000}}}'


def line(kind: str, *, key: str = "cv.pdf", event_id: str = "e1", at: int = 0, **more: Any) -> dict[str, Any]:
    message = {
        "receipt": kind, "tenant": "c/humangov/california", "bucket": "files", "key": key,
        "record_key": {"id": {"S": "7"}}, "event_id": event_id, "sequence_number": "1", "event": "REMOVE",
        "expired": False, "deleted_at": "2026-03-01T11:00:00.000Z", **more,
    }  # fmt: skip
    return {"timestamp": 1_772_366_400_000 + at, "logStreamName": STREAM, "message": json.dumps(message)}


def outcome(text: str = "erased", **more: Any) -> dict[str, Any]:
    erased: dict[str, Any] = {
        "versions_erased": None,
        "erased_at": "2026-03-01T11:00:00.300Z" if text == "erased" else None,
    }
    return line("outcome", outcome=text, **erased, **more)


def test_intent_and_outcome_are_joined_into_one_receipt() -> None:
    [one] = receipts.joined([line("intent"), outcome(at=250)])
    assert (one.outcome, one.deleted_at, one.erased_at) == (
        "erased", "2026-03-01T11:00:00.000Z", "2026-03-01T11:00:00.300Z",
    )  # fmt: skip
    assert one.intended_at == "2026-03-01T12:00:00.000Z"
    assert one.logged_at == "2026-03-01T12:00:00.250Z"


def test_intent_without_outcome_is_an_unknown_receipt() -> None:
    assert [one.outcome for one in receipts.joined([line("intent")])] == ["unknown: cut off"]


def test_redelivered_intent_gives_one_receipt() -> None:
    found = receipts.joined([line("intent"), line("intent", at=60_000), outcome(at=60_100)])
    assert [one.outcome for one in found] == ["erased"]


def lines_of(*told: tuple[str, bool] | str) -> list[dict[str, Any]]:
    """`intent`, or an outcome and whether its own attempt had stored an intent; a second apart."""
    return [
        line("intent", at=1000 * number) if isinstance(one, str)
        else outcome(one[0], at=1000 * number, announced=one[1])
        for number, one in enumerate(told)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "outcomes"),
    [
        (["intent", ("absent", False)], [("absent after intent", 1)]),
        (["intent", "intent", ("erased", True)], [("erased", 1)]),
        (["intent", ("kept: newer", False)], [("kept: newer, after a cut-off attempt", 1)]),
        (["intent", ("kept: live", True)], [("kept: live", 0)]),
        ([("absent", False)], [("absent", 0)]),
        (
            ["intent", ("failed: SlowDown", False), ("absent", False)],
            [("failed: SlowDown, after a cut-off attempt", 1), ("absent after intent", 1)],
        ),
        (
            ["intent", ("failed: InternalError", True), ("absent", False)],
            [("failed: InternalError", 0), ("absent after intent", 0)],
        ),
        (["intent", ("failed: InternalError", True)], [("failed: InternalError", 0)]),
        (
            ["intent", ("failed: InternalError", True), ("kept: live", False)],
            [("failed: InternalError", 0), ("kept: live, after a failed attempt", 0)],
        ),
        (["intent", ("limited", False), "intent", ("erased", True), ("absent", False)],
         [("limited, after a cut-off attempt", 1), ("erased", 1), ("absent", 0)]),
    ],
    ids=[
        "nothing there", "erased again", "another there", "kept at the last moment", "never ours", "not known between",
        "failed, but done", "failed", "failed, and named again", "settled",
    ],
)  # fmt: skip
def test_attempt_that_was_cut_off_is_reported_with_the_outcome_that_settles_it(
    told: list[Any], outcomes: list[tuple[str, int]]
) -> None:
    found = list(receipts.joined(lines_of(*told)))

    assert [(one.outcome, one.cut_off) for one in found] == outcomes
    gone = [one for one in found if one.outcome == "absent after intent"]
    assert all(one.intended_at == "2026-03-01T12:00:00.000Z" and one.erased_at is None for one in gone)


def test_a_line_that_was_stored_twice_counts_once() -> None:
    twice = [line("intent", id="w-1"), line("intent", id="w-1", at=3), outcome(id="w-2", at=5, announced=True)]
    found = list(receipts.joined([*twice, outcome(id="w-2", at=9, announced=True), outcome(id="w-3", at=9)]))
    assert [(one.outcome, one.cut_off) for one in found] == [("erased", 0), ("erased", 0)]


def test_of_two_lines_of_one_name_that_differ_both_count() -> None:
    """A line that is stored again says the same: another one is somebody's, and hides none."""
    repeated = outcome("kept: live", id="w-1", line=3, previous="a" * 64)
    again = outcome("kept: live", id="w-1", at=2, line=1, previous="0" * 64)
    found = receipts.joined([outcome(id="w-1", at=-1), repeated, outcome(id="w-1", at=1, line=1), again])
    assert [one.outcome for one in found] == ["erased", "kept: live"]


def elsewhere(event: dict[str, Any], *, at: int = 0) -> dict[str, Any]:
    return {**event, "logStreamName": LAMBDAS, "timestamp": event["timestamp"] + at}


@pytest.mark.parametrize("at", [-1, 0, 1])
@pytest.mark.parametrize("name", ["w-2", "w-9", None])
@pytest.mark.parametrize("escaped", [False, True])
def test_a_line_in_a_log_stream_without_a_chain_is_no_receipt_and_is_counted(
    at: int, name: str | None, escaped: bool
) -> None:
    """It replaces none, settles none, and begins none: the function's role may write it."""
    stored = [line("intent", id="w-1"), outcome("kept: newer", id="w-2", at=5), line("intent", key="b.pdf", id="w-3")]
    forged = [elsewhere(one, at=at) for one in (outcome(id=name, at=5), outcome(key="b.pdf", at=9), line("intent"))]
    for one in forged if escaped else ():
        one["message"] = one["message"].replace('"receipt"', '"\\u0072eceipt"')
    events = sorted([*forged, *stored], key=lambda one: int(one["timestamp"]))
    period: dict[str, Any] = {"group": "g", "since": NOW, "until": NOW + timedelta(hours=1)}
    others = Counter[str]()

    found = list(receipts.of_period(StoredLines(*events), others=others, **period))

    assert found == list(receipts.of_period(StoredLines(*stored), **period))
    assert [one.outcome for one in found] == ["kept: newer", "unknown: cut off"]
    assert others == {LAMBDAS: 3}


def test_receipts_are_separate_for_each_file_and_event() -> None:
    events = [
        line("intent"), line("intent", key="b.pdf"), outcome(), outcome(key="b.pdf"), line("intent", event_id="e2"),
        outcome("kept: live", event_id="e3"),
    ]  # fmt: skip
    assert [(one.key, one.event_id, one.outcome) for one in receipts.joined(events)] == [
        ("cv.pdf", "e1", "erased"), ("b.pdf", "e1", "erased"), ("cv.pdf", "e3", "kept: live"),
        ("cv.pdf", "e2", "unknown: cut off"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "message", ["START RequestId: 1", "", "{", '{"message": "batch"}', "[1]", '{"receipt": "x"}', DEEP]
)
def test_log_lines_that_are_no_receipts_are_skipped(message: str) -> None:
    event = {"timestamp": 1, "logStreamName": STREAM, "message": message}
    assert [one.outcome for one in receipts.joined([event, outcome()])] == ["erased"]


@pytest.mark.parametrize(
    ("record", "found"),
    [("7", True), ('{"id": {"S": "7"}}', True), ("77", False), ("S", False), ('{"id": {"N": "7"}}', False)],
)
def test_receipts_are_filtered_by_a_key_value_or_the_whole_record_key(record: str, found: bool) -> None:
    [one] = receipts.joined([outcome()])
    assert receipts.wanted(one, record=record, key=None) is found


def test_receipts_are_filtered_by_the_whole_object_key() -> None:
    [one] = receipts.joined([outcome()])
    assert receipts.wanted(one, record=None, key="cv.pdf")
    assert not receipts.wanted(one, record=None, key="cv")


def test_receipt_csv_round_trips_and_holds_no_formula() -> None:
    keys = ['=HYPERLINK("x")', "a,b.pdf", 'say "hi".pdf', "line\nbreak.pdf", "+1", "-1", "@x", "plain.pdf"]
    text = "\r\n".join(receipt_table.csv_lines(receipts.joined([outcome(key=key) for key in keys])))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["key"].removeprefix("'") for row in rows] == keys
    assert not any(row["key"].startswith(("=", "+", "-", "@")) for row in rows)
    assert {row["record_key"] for row in rows} == {'{"id": {"S": "7"}}'}
    assert {row["versions_erased"] for row in rows} == {""}


def test_receipt_table_ends_with_totals_and_escapes_control_characters() -> None:
    retained = [outcome(f"retained until 203{year}-01-01T00:00:00.000Z", event_id=f"r{year}") for year in (0, 1)]
    lines = list(receipt_table.table_lines(receipts.joined([outcome(key="\x1b[31mred.pdf"), *retained])))
    assert lines[0].split() == ["DELETED", "ERASED", "OUTCOME", "VERSIONS", "FILE", "RECORD"]
    assert "\x1b" not in "".join(lines)
    assert lines[-2] == "3 receipts: 2 retained, 1 erased"


@pytest.mark.parametrize(
    ("outcomes", "told"), [(["erased"], True), (["kept: live"], False), (["kept: live", "erased"], True)]
)
def test_receipt_table_with_erased_files_says_what_they_do_not_cover(outcomes: list[str], told: bool) -> None:
    found = receipts.joined(outcome(text, event_id=text) for text in outcomes)
    last = list(receipt_table.table_lines(found))[-1]
    assert (("this bucket only" in last) and ("incomplete multipart uploads" in last)) is told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", NOW - timedelta(days=7)), ("36h", NOW - timedelta(hours=36)), ("2w", NOW - timedelta(weeks=2)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_receipt_time_is_a_duration_or_a_timestamp(text: str, expected: datetime) -> None:
    assert receipts.moment(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["99999w", "0001-01-01", "9999-12-31T23:59:59-23:59"])
def test_no_time_is_too_far_away_for_a_period(text: str) -> None:
    at = receipts.moment(text, now=NOW)
    assert list(receipts.of_period(StoredLines(), group="g", since=at, until=at)) == []


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-7d", "2026-13-01", "7 d"])
def test_invalid_receipt_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(receipts.WhenError, match=r"is not a valid time: expected 7d, 36h"):
        receipts.moment(text, now=NOW)


def test_empty_log_page_with_a_token_does_not_end_the_read() -> None:
    class Logs:
        def get_paginator(self, _name: str) -> Any:
            return self

        def paginate(self, **asked: Any) -> Any:
            assert asked["startTime"] < asked["endTime"]
            return [{"events": []}, {"events": [outcome()], "nextToken": "x"}, {}]

    assert len(list(receipts.read(Logs(), group="g", since=NOW - timedelta(days=1), until=NOW))) == 1


@pytest.mark.parametrize(
    ("name", "namespace", "default", "expected"),
    [
        ("california", None, None, ("default", "california")), ("california", "x", "y", ("x", "california")),
        ("california", None, "y", ("y", "california")), ("x/california", None, "y", ("x", "california")),
        ("x/california", "x", None, ("x", "california")),
    ],
)  # fmt: skip
def test_tenant_argument_may_include_its_namespace(
    name: str, namespace: str | None, default: str | None, expected: tuple[str, str]
) -> None:
    assert lookup.split(name, namespace=namespace, default=default) == expected


@pytest.mark.parametrize(("name", "namespace"), [("", None), ("/x", None), ("x/", None), ("a/b/c", None), ("a/b", "c")])
def test_invalid_tenant_argument_is_refused(name: str, namespace: str | None) -> None:
    with pytest.raises(UnknownTenantError):
        lookup.split(name, namespace=namespace)


def test_namespace_defaults_to_that_of_the_kubeconfig_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert client.context_namespace() is None
    context = {"cluster": "c", "user": "u", "namespace": "humangov"}
    document = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "contexts": [{"name": "here", "context": context}],
        "clusters": [{"name": "c", "cluster": {}}], "users": [{"name": "u", "user": {}}],
    }  # fmt: skip
    path.write_text(json.dumps(document))
    assert client.context_namespace() == "humangov"
    del context["namespace"]
    path.write_text(json.dumps(document))
    assert client.context_namespace() is None


class StoredLines:
    """A log group that returns the lines of the period that is asked for."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self._events = events

    def get_paginator(self, _name: str) -> StoredLines:
        return self

    def paginate(self, *, startTime: int, endTime: int, **_: Any) -> list[dict[str, Any]]:  # noqa: N803 - AWS's names
        return [{"events": [one for one in self._events if startTime <= one["timestamp"] <= endTime]}]


HALF_HOUR_MS = 1_800_000


@pytest.mark.parametrize(
    ("intent_at", "outcome_at", "found"),
    [
        (-60_000, -30_000, []),
        (-60_000, 1000, [("absent after intent", "2026-03-01T11:59:00.000Z")]),
        (1000, 2000, [("absent after intent", "2026-03-01T12:00:01.000Z")]),
        (HALF_HOUR_MS - 1000, HALF_HOUR_MS + 1000, []),
        (HALF_HOUR_MS - 1000, None, [("unknown: cut off", "2026-03-01T12:29:59.000Z")]),
        (HALF_HOUR_MS + 1000, HALF_HOUR_MS + 2000, []),
    ],
    ids=["before", "across the start", "within", "across the end", "never settled", "after"],
)
def test_a_period_has_the_receipts_that_ended_in_it_and_calls_none_cut_off_that_was_settled_after_it(
    intent_at: int, outcome_at: int | None, found: list[tuple[str, str]]
) -> None:
    """The period is half an hour from NOW, at which lines are dated."""
    stored = [line("intent", at=intent_at)]
    stored += [outcome("absent", at=outcome_at, announced=False)] if outcome_at is not None else []
    period: dict[str, Any] = {"since": NOW, "until": NOW + timedelta(milliseconds=HALF_HOUR_MS)}

    answer = receipts.of_period(StoredLines(*stored), group="g", **period)

    assert [(one.outcome, one.intended_at) for one in answer] == found


def test_consecutive_periods_have_each_receipt_once() -> None:
    lines = [
        made for number in range(40)
        for made in (line("intent", event_id=str(number), at=number * 90_000),
                     outcome(event_id=str(number), at=number * 90_000 + 45_000))
    ]  # fmt: skip
    hours = [NOW + timedelta(minutes=10) * number - timedelta(milliseconds=1) for number in range(9)]

    found = [
        one.event_id for since, until in itertools.pairwise(hours)
        for one in receipts.of_period(StoredLines(*lines), group="g", since=since, until=until)
    ]  # fmt: skip

    assert sorted(found, key=int) == [str(number) for number in range(40)]
