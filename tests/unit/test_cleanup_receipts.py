"""The lines of proof."""

from __future__ import annotations

import pytest
from humangov.cleanup import receipts
from humangov.cleanup.records import read_change
from humangov.cleanup.settings import Settings

from tests.stream_events import employee, modify, number_of, remove

SETTINGS = Settings(tenant="uid/ns/california", table="california", bucket="files")


def test_intent_and_outcome_join_and_hold_nothing_but_whose_file_went_when() -> None:
    record = remove(employee("7", "cv.pdf"))
    record["dynamodb"]["ApproximateCreationDateTime"] = 1767225600
    change = read_change(record, settings=SETTINGS)

    before = receipts.intent(change, "cv.pdf", settings=SETTINGS)
    after = receipts.outcome(change, "cv.pdf", receipts.Result(receipts.ERASED, 2), settings=SETTINGS, at=1767225600.25)

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
        receipts.ABSENT,
        receipts.KEPT_LIVE,
        receipts.KEPT_NEWER,
        receipts.KEPT_RESERVED,
        receipts.KEPT_UNDATED,
        receipts.LEFT_TO_SWEEP,
        receipts.RETAINED_HOLD,
        receipts.RETAINED_MFA,
        receipts.retained_until(2.0),
        receipts.failed("AccessDenied"),
    ],
)
def test_what_was_not_erased_has_no_time_of_erasure(result: str) -> None:
    change = read_change(modify(employee("7", "a"), employee("7", "b")), settings=SETTINGS)

    line = receipts.outcome(change, "a", receipts.Result(result), settings=SETTINGS, at=1.0)

    assert (line["outcome"], line["erased_at"]) == (result, None)


def test_only_failures_are_brought_again() -> None:
    assert receipts.is_failure(receipts.failed("Throttled"))
    assert not receipts.is_failure(receipts.KEPT_LIVE)
    assert not receipts.is_failure(receipts.retained_until(2.0))


@pytest.mark.parametrize(
    ("outcome", "kind", "counted_as"),
    [
        (receipts.ERASED, "erased", "erased"),
        (receipts.ABSENT, "absent", "absent"),
        (receipts.KEPT_NEWER, "kept", "kept: newer"),
        (receipts.LEFT_TO_SWEEP, "kept", "left to the sweep"),
        (receipts.RETAINED_HOLD, "retained", "retained: legal hold"),
        ("retained until 1970-01-01T00:00:02.000Z", "retained", "retained until"),
        (receipts.failed("SlowDown"), "failed", "failed: SlowDown"),
    ],
)
def test_every_outcome_is_counted_as_one_of_a_few(outcome: str, kind: str, counted_as: str) -> None:
    assert (receipts.kind(outcome), receipts.counted_as(outcome)) == (kind, counted_as)


def test_a_date_of_retention_is_told_in_utc() -> None:
    assert receipts.retained_until(2.0) == "retained until 1970-01-01T00:00:02.000Z"


def test_an_unknown_time_stays_unknown() -> None:
    assert receipts.timestamp(None) is None
