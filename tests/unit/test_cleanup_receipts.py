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
    after = receipts.outcome(change, "cv.pdf", receipts.ERASED, settings=SETTINGS, at=1767225600.25)

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
    assert after == {**before, "receipt": "outcome", "outcome": "erased", "erased_at": "2026-01-01T00:00:00.250Z"}


@pytest.mark.parametrize(
    "result",
    [
        receipts.HIDDEN,
        receipts.ABSENT,
        receipts.KEPT_LIVE,
        receipts.KEPT_NEWER,
        receipts.KEPT_RESERVED,
        receipts.KEPT_UNDATED,
        receipts.failed("AccessDenied"),
    ],
)
def test_what_was_not_erased_has_no_time_of_erasure(result: str) -> None:
    change = read_change(modify(employee("7", "a"), employee("7", "b")), settings=SETTINGS)

    line = receipts.outcome(change, "a", result, settings=SETTINGS, at=1.0)

    assert (line["outcome"], line["erased_at"]) == (result, None)


def test_only_failures_are_brought_again() -> None:
    assert receipts.is_failure(receipts.failed("Throttled"))
    assert not receipts.is_failure(receipts.KEPT_LIVE)


def test_an_unknown_time_stays_unknown() -> None:
    assert receipts.timestamp(None) is None
