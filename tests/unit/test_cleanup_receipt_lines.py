"""The lines of proof."""

from __future__ import annotations

import pytest
from humangov.cleanup import receipt_lines
from humangov.cleanup.environment import Settings
from humangov.cleanup.records import read_change

from testing.lambda_runtime.stream_events import employee, modify, number_of, remove

SETTINGS = Settings(tenant="uid/ns/california", table="california", bucket="files")


def test_intent_and_outcome_join_and_hold_nothing_but_whose_file_went_when() -> None:
    record = remove(employee("7", "cv.pdf"))
    record["dynamodb"]["ApproximateCreationDateTime"] = 1767225600
    change = read_change(record, settings=SETTINGS)

    before = receipt_lines.intent(change, "cv.pdf", settings=SETTINGS)
    after = receipt_lines.outcome(
        change, "cv.pdf", receipt_lines.Result(receipt_lines.ERASED, 2), settings=SETTINGS, at=1767225600.25
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
    }
    assert after == {
        **before,
        "receipt": "outcome",
        "outcome": "erased",
        "versions_erased": 2,
        "erased_at": "2026-01-01T00:00:00.250Z",
    }


@pytest.mark.parametrize(
    "result",
    [
        receipt_lines.ABSENT,
        receipt_lines.KEPT_LIVE,
        receipt_lines.KEPT_NEWER,
        receipt_lines.KEPT_RESERVED,
        receipt_lines.KEPT_UNDATED,
        receipt_lines.LEFT_TO_SWEEP,
        receipt_lines.RETAINED_HOLD,
        receipt_lines.RETAINED_MFA,
        receipt_lines.retained_until(2.0),
        receipt_lines.failed("AccessDenied"),
    ],
)
def test_what_was_not_erased_has_no_time_of_erasure(result: str) -> None:
    change = read_change(modify(employee("7", "a"), employee("7", "b")), settings=SETTINGS)

    line = receipt_lines.outcome(change, "a", receipt_lines.Result(result), settings=SETTINGS, at=1.0)

    assert (line["outcome"], line["erased_at"]) == (result, None)


def test_only_failures_are_brought_again() -> None:
    assert receipt_lines.is_failure(receipt_lines.failed("Throttled"))
    assert not receipt_lines.is_failure(receipt_lines.KEPT_LIVE)
    assert not receipt_lines.is_failure(receipt_lines.retained_until(2.0))


@pytest.mark.parametrize(
    ("outcome", "kind", "counted_as"),
    [
        (receipt_lines.ERASED, "erased", "erased"),
        (receipt_lines.ABSENT, "absent", "absent"),
        (receipt_lines.KEPT_NEWER, "kept", "kept: newer"),
        (receipt_lines.LEFT_TO_SWEEP, "kept", "left to the sweep"),
        (receipt_lines.RETAINED_HOLD, "retained", "retained: legal hold"),
        ("retained until 1970-01-01T00:00:02.000Z", "retained", "retained until"),
        (receipt_lines.failed("SlowDown"), "failed", "failed: SlowDown"),
    ],
)
def test_every_outcome_is_counted_as_one_of_a_few(outcome: str, kind: str, counted_as: str) -> None:
    assert (receipt_lines.kind(outcome), receipt_lines.counted_as(outcome)) == (kind, counted_as)


def test_a_date_of_retention_is_told_in_utc() -> None:
    assert receipt_lines.retained_until(2.0) == "retained until 1970-01-01T00:00:02.000Z"


def test_an_unknown_time_stays_unknown() -> None:
    assert receipt_lines.timestamp(None) is None
