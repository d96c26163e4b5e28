"""`humangov receipts`: lines of a log → rows. Runs on nothing."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from humangov.aws.identity import UnknownTenantError
from humangov.cli import lookup
from humangov.kube import client
from humangov.proof import receipt_table, receipts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def line(kind: str, *, key: str = "cv.pdf", event_id: str = "e1", at: int = 0, **more: Any) -> dict[str, Any]:
    message = {
        "receipt": kind, "tenant": "c/humangov/california", "bucket": "files", "key": key,
        "record_key": {"id": {"S": "7"}}, "event_id": event_id, "sequence_number": "1", "event": "REMOVE",
        "expired": False, "deleted_at": "2026-03-01T11:00:00.000Z", **more,
    }  # fmt: skip
    return {"timestamp": 1_772_366_400_000 + at, "logStreamName": "s", "message": json.dumps(message)}


def outcome(text: str = "erased", **more: Any) -> dict[str, Any]:
    erased: dict[str, Any] = {
        "versions_erased": None,
        "erased_at": "2026-03-01T11:00:00.300Z" if text == "erased" else None,
    }
    return line("outcome", outcome=text, **erased, **more)


def test_an_intent_and_its_outcome_are_one_receipt() -> None:
    [one] = receipts.joined([line("intent"), outcome(at=250)])
    assert (one.outcome, one.deleted_at, one.erased_at) == (
        "erased", "2026-03-01T11:00:00.000Z", "2026-03-01T11:00:00.300Z",
    )  # fmt: skip
    assert one.intended_at == "2026-03-01T12:00:00.000Z"
    assert one.logged_at == "2026-03-01T12:00:00.250Z"


def test_an_intent_that_nothing_followed_is_told_as_unknown() -> None:
    assert [one.outcome for one in receipts.joined([line("intent")])] == ["unknown: cut off"]


def test_an_intent_that_was_cut_off_and_redelivered_is_told_once() -> None:
    found = receipts.joined([line("intent"), line("intent", at=60_000), outcome(at=60_100)])
    assert [one.outcome for one in found] == ["erased"]


def test_two_files_of_one_event_and_two_events_of_one_file_are_receipts_of_their_own() -> None:
    events = [
        line("intent"), line("intent", key="b.pdf"), outcome(), outcome(key="b.pdf"), line("intent", event_id="e2"),
        outcome("kept: live", event_id="e3"),
    ]  # fmt: skip
    assert [(one.key, one.event_id, one.outcome) for one in receipts.joined(events)] == [
        ("cv.pdf", "e1", "erased"), ("b.pdf", "e1", "erased"), ("cv.pdf", "e3", "kept: live"),
        ("cv.pdf", "e2", "unknown: cut off"),
    ]  # fmt: skip


@pytest.mark.parametrize("message", ["START RequestId: 1", "", "{", '{"message": "batch"}', "[1]", '{"receipt": "x"}'])
def test_what_is_no_receipt_is_passed_over(message: str) -> None:
    event = {"timestamp": 1, "logStreamName": "s", "message": message}
    assert [one.outcome for one in receipts.joined([event, outcome()])] == ["erased"]


@pytest.mark.parametrize(
    ("record", "found"),
    [("7", True), ('{"id": {"S": "7"}}', True), ("77", False), ("S", False), ('{"id": {"N": "7"}}', False)],
)
def test_a_record_is_found_by_a_value_of_its_key_or_by_all_of_it(record: str, found: bool) -> None:
    [one] = receipts.joined([outcome()])
    assert receipts.wanted(one, record=record, key=None) is found


def test_a_key_is_found_whole() -> None:
    [one] = receipts.joined([outcome()])
    assert receipts.wanted(one, record=None, key="cv.pdf")
    assert not receipts.wanted(one, record=None, key="cv")


def test_the_csv_is_read_back_as_it_was_and_no_cell_of_it_is_a_formula() -> None:
    keys = ['=HYPERLINK("x")', "a,b.pdf", 'say "hi".pdf', "line\nbreak.pdf", "+1", "-1", "@x", "plain.pdf"]
    text = "\r\n".join(receipt_table.csv_lines(receipts.joined([outcome(key=key) for key in keys])))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["key"].removeprefix("'") for row in rows] == keys
    assert not any(row["key"].startswith(("=", "+", "-", "@")) for row in rows)
    assert {row["record_key"] for row in rows} == {'{"id": {"S": "7"}}'}
    assert {row["versions_erased"] for row in rows} == {""}


def test_the_table_ends_with_totals_and_a_key_cannot_write_to_the_terminal() -> None:
    retained = [outcome(f"retained until 203{year}-01-01T00:00:00.000Z", event_id=f"r{year}") for year in (0, 1)]
    lines = list(receipt_table.table_lines(receipts.joined([outcome(key="\x1b[31mred.pdf"), *retained])))
    assert lines[0].split() == ["DELETED", "ERASED", "OUTCOME", "VERSIONS", "FILE", "RECORD"]
    assert "\x1b" not in "".join(lines)
    assert lines[-1] == "3 receipts: 2 retained, 1 erased"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", NOW - timedelta(days=7)), ("36h", NOW - timedelta(hours=36)), ("2w", NOW - timedelta(weeks=2)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_a_moment_is_a_span_back_or_a_time(text: str, expected: datetime) -> None:
    assert receipts.moment(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-7d", "2026-13-01", "7 d"])
def test_what_is_no_moment_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(receipts.WhenError, match=r"is not a valid time: expected 7d, 36h"):
        receipts.moment(text, now=NOW)


def test_an_empty_page_with_a_token_is_no_end() -> None:
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
def test_a_tenant_is_named_with_or_without_its_namespace(
    name: str, namespace: str | None, default: str | None, expected: tuple[str, str]
) -> None:
    assert lookup.split(name, namespace=namespace, default=default) == expected


@pytest.mark.parametrize(("name", "namespace"), [("", None), ("/x", None), ("x/", None), ("a/b/c", None), ("a/b", "c")])
def test_what_names_no_tenant_is_refused(name: str, namespace: str | None) -> None:
    with pytest.raises(UnknownTenantError):
        lookup.split(name, namespace=namespace)


def test_without_a_namespace_it_is_that_of_the_present_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
