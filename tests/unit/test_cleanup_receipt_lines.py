"""The lines of proof."""

from __future__ import annotations

import pytest
from humangov.cleanup import outcomes, receipt_lines
from humangov.cleanup.environment import FunctionSettings
from humangov.cleanup.outcomes import FileOutcome, FileResult
from humangov.cleanup.records import read_change

from testing.lambda_runtime.stream_events import employee, modify, number_of, remove

SETTINGS = FunctionSettings(tenant="uid/ns/california", table="california", bucket="files", account_id="123456789012")


def test_receipt_intent_and_outcome_share_an_event_id_and_hold_only_documented_fields() -> None:
    record = remove(employee("7", "cv.pdf"))
    record["dynamodb"]["ApproximateCreationDateTime"] = 1767225600
    change = read_change(record, settings=SETTINGS)

    before = receipt_lines.intent_line(change, "cv.pdf", settings=SETTINGS, versions_seen=3)
    after = receipt_lines.outcome_line(
        change, "cv.pdf", FileResult(outcomes.ERASED, 2, left=1, announced=True), settings=SETTINGS, at=1767225600.25
    )

    assert before == {
        "receipt": "intent",
        "tenant": "uid/ns/california",
        "bucket": "files",
        "key": "cv.pdf",
        "record_key": {"id": {"S": "7"}},
        "event_id": record["eventID"],
        "sequence_number": number_of(record),
        "event": "REMOVE",
        "expired": False,
        "deleted_at": "2026-01-01T00:00:00.000Z",
        "versions_seen": 3,
    }
    assert after == {
        **{name: value for name, value in before.items() if name != "versions_seen"},
        "receipt": "outcome",
        "outcome": "erased",
        "versions_erased": 2,
        "versions_left": 1,
        "erased_at": "2026-01-01T00:00:00.250Z",
        "announced": True,
    }


NOT_ERASED = {
    "absent": outcomes.ABSENT,
    "kept: live": outcomes.KEPT_LIVE,
    "kept: newer": outcomes.KEPT_NEWER,
    "kept: reserved": outcomes.KEPT_RESERVED,
    "kept: undated": outcomes.KEPT_UNDATED,
    "left to the sweep": outcomes.LEFT_TO_SWEEP,
    "retained: legal hold": outcomes.RETAINED_HOLD,
    "retained: MFA delete": outcomes.RETAINED_MFA,
    "retained until 1970-01-01T00:00:02.000Z": outcomes.retained_until(2.0),
    "failed: AccessDenied": outcomes.failed("AccessDenied"),
    "limited": outcomes.LIMITED,
}


@pytest.mark.parametrize("text", NOT_ERASED)
def test_receipt_of_a_file_not_erased_has_no_erasure_time(text: str) -> None:
    change = read_change(modify(employee("7", "a"), employee("7", "b")), settings=SETTINGS)

    line = receipt_lines.outcome_line(change, "a", FileResult(NOT_ERASED[text]), settings=SETTINGS, at=1.0)

    assert (line["outcome"], line["erased_at"]) == (text, None)


def test_only_failed_outcomes_are_redelivered() -> None:
    assert outcomes.failed("Throttled").is_failure
    assert outcomes.LIMITED.is_failure
    assert not outcomes.KEPT_LIVE.is_failure
    assert not outcomes.retained_until(2.0).is_failure


@pytest.mark.parametrize(
    ("outcome", "kind", "counted_as"),
    [
        (outcomes.ERASED, "erased", "erased"),
        (outcomes.ABSENT, "absent", "absent"),
        (outcomes.KEPT_NEWER, "kept", "kept: newer"),
        (outcomes.LEFT_TO_SWEEP, "kept", "left to the sweep"),
        (outcomes.RETAINED_HOLD, "retained", "retained: legal hold"),
        (outcomes.retained_until(2.0), "retained", "retained until"),
        (outcomes.LIMITED, "limited", "limited"),
        (outcomes.failed("SlowDown"), "failed", "failed: SlowDown"),
    ],
)
def test_outcomes_are_counted_by_kind(outcome: FileOutcome, kind: str, counted_as: str) -> None:
    assert (outcome.kind, receipt_lines.spell(outcome.undated)) == (kind, counted_as)


@pytest.mark.parametrize("text", [*NOT_ERASED, "erased", "retained until", "failed: a: b"])
def test_stored_outcome_is_parsed_back_unchanged(text: str) -> None:
    outcome = receipt_lines.parse(text)

    assert outcome is not None
    assert receipt_lines.spell(outcome) == text
    assert text not in NOT_ERASED or outcome == NOT_ERASED[text]


@pytest.mark.parametrize("text", ["", "unknown: cut off", "lost", "retained until tomorrow", "eraseds"])
def test_unknown_outcome_text_is_not_parsed(text: str) -> None:
    assert receipt_lines.parse(text) is None


def test_retention_date_of_an_outcome_is_in_utc() -> None:
    assert receipt_lines.spell(outcomes.retained_until(2.0)) == "retained until 1970-01-01T00:00:02.000Z"


def test_unknown_receipt_time_stays_unknown() -> None:
    assert receipt_lines.timestamp(None) is None
