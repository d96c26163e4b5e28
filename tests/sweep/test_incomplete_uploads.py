"""Incomplete multipart uploads: counted by every sweep, and aborted in mode Delete when nothing can need them."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from humangov.cleanup.calls import NoReceiptError
from humangov.proof import receipts
from humangov.sweep import output, status
from humangov.sweep.result import DETECT, SweepResult, word_for

from testing import samples
from testing.killed import Killed
from testing.sweep.tenant_data import DAY, TenantData
from testing.sweep.world import SweepWorld

WEEK = 7 * DAY


def staffed(*, prefix: str = "", **sweep: Any) -> SweepWorld:
    names = samples.names(
        bucket={"name": "files", "keyPrefix": prefix}, sweep={"mode": "Delete", "maximumOrphanPercent": 60, **sweep}
    )
    world = SweepWorld(names=names)
    for number in range(9):
        world.upload(f"{number}.pdf", age=30 * DAY)
        world.hire(str(number), f"{number}.pdf")
    return world


def swept_twice(world: SweepWorld) -> SweepResult:
    """A week apart, as long as a sweep must have known the table."""
    world.sweep()
    return world.sweep(after=WEEK)


def lines_of(world: SweepWorld, upload: str) -> list[tuple[str, str]]:
    """Kind and outcome of its receipts' lines."""
    return [(line["receipt"], line.get("outcome", "")) for line in world.receipts() if line.get("upload_id") == upload]


def test_incomplete_upload_is_counted_and_after_a_week_aborted_with_a_receipt() -> None:
    world = staffed()
    old, young = world.begin_upload("cv.pdf", age=8 * DAY), world.begin_upload("new.pdf", age=-DAY)
    found = swept_twice(world)
    assert (found.uploads.number, found.uploads.oldest) == (2, int(world.now - 15 * DAY))
    assert list(world.uploads) == [young]
    assert lines_of(world, old) == [("intent", ""), ("outcome", "erased: incomplete upload")]
    [line] = [one for one in world.receipts() if one.get("outcome")]
    assert (line["key"], line["orphan_list"], line["erased_at"] is not None) == (
        "cv.pdf",
        world.orphan_lists()[-1],
        True,
    )
    assert found.erased.count("erased") == 0, "no file was erased"


def test_status_and_output_report_number_and_age_of_incomplete_uploads() -> None:
    world = staffed()
    world.begin_upload("cv.pdf", age=8 * DAY)
    found = world.sweep(DETECT)
    shown = "\n".join(output.lines(found, world.names, word="Detected", problem=None, files_named=False))
    message = status.message(found, world.names, problem=None)
    assert "incomplete uploads: 1, the oldest since 2026-02-21" in message
    assert "incomplete uploads" in shown
    assert "cv.pdf" not in shown + message
    fields = status.status_fields(found, world.names, word="Detected", problem=None, now=found.started, before={})
    assert (fields["incompleteUploads"], fields["oldestIncompleteUpload"]) == (1, "2026-02-21T12:00:00Z")


@pytest.mark.parametrize(
    ("name", "age"),
    [
        ("young.pdf", -1.0),
        ("notes.txt", 30 * DAY),
        (".humangov/sweeps/x.pdf", 30 * DAY),
        ("aws/lambda/x.pdf", 30 * DAY),
        ("3.pdf", 30 * DAY),
    ],
)
def test_upload_stays_if_it_is_young_or_not_included_or_reserved_or_to_a_key_that_a_record_names(
    name: str, age: float
) -> None:
    world = staffed()
    kept, gone = world.begin_upload(name, age=age), world.begin_upload("cv.pdf", age=30 * DAY)
    swept_twice(world)
    assert list(world.uploads) == [kept]
    assert lines_of(world, kept) == []
    assert lines_of(world, gone) != []


def test_upload_outside_the_key_prefix_is_neither_counted_nor_aborted() -> None:
    world = staffed(prefix="california/")
    world.begin_upload("cv.pdf", age=30 * DAY)
    [own] = world.uploads.values()
    other = TenantData(now=world.now)
    theirs = other.begin_upload("florida.pdf", age=30 * DAY)
    world.uploads["theirs"] = other.uploads[theirs]
    found = swept_twice(world)
    assert found.uploads.number == 1
    assert list(world.uploads) == ["theirs"], own


def test_upload_whose_record_is_written_between_the_readings_stays() -> None:
    world = staffed()
    upload = world.begin_upload("cv.pdf", age=30 * DAY)
    world.upload("orphan.pdf", age=30 * DAY)
    world.sweep()

    def write(operation: str) -> None:
        if operation == "PutObject" and world.calls["Scan"] > 4:
            world.hire("late", "cv.pdf")

    world.meanwhile = write
    world.sweep(after=WEEK)
    assert list(world.uploads) == [upload]
    assert "orphan.pdf" not in world.files


def test_first_sweep_and_mode_detect_and_a_failed_safety_check_abort_no_upload() -> None:
    for world, mode, sweeps in ((staffed(), "Delete", 1), (staffed(), DETECT, 3), (staffed(), "Delete", 3)):
        upload = world.begin_upload("cv.pdf", age=30 * DAY)
        if mode == "Delete" and sweeps > 1:
            world.upload(*(f"orphan{number}.pdf" for number in range(90)), age=30 * DAY)
        for _ in range(sweeps):
            world.sweep(mode, after=4 * DAY)
        assert list(world.uploads) == [upload], (mode, sweeps)


def test_table_that_no_sweep_has_known_for_a_week_aborts_no_upload() -> None:
    """A restored table lacks records, and a replaced one may be the wrong one."""
    world = staffed()
    upload = world.begin_upload("cv.pdf", age=30 * DAY)
    for _ in range(6):
        world.sweep(after=DAY)
    assert list(world.uploads) == [upload]
    world.table_id = "table-2"
    for _ in range(7):
        world.sweep(after=DAY)
    assert list(world.uploads) == [upload]
    world.sweep(after=DAY)
    assert world.uploads == {}


def test_approved_orphan_list_is_no_approval_to_abort_uploads() -> None:
    world = staffed()
    upload = world.begin_upload("cv.pdf", age=30 * DAY)
    world.upload(*(f"orphan{number}.pdf" for number in range(90)), age=30 * DAY)
    checked = world.sweep()
    assert checked.orphan_list is not None
    found = world.sweep(after=WEEK, approved=checked.orphan_list.sha256)
    assert found.erased.count("erased") == 90
    assert list(world.uploads) == [upload]


def test_empty_table_and_bucket_abort_no_upload() -> None:
    world = SweepWorld(names=samples.names(bucket={"name": "files"}, sweep={"mode": "Delete"}))
    upload = world.begin_upload("cv.pdf", age=30 * DAY)
    swept_twice(world)
    assert list(world.uploads) == [upload]


def test_stop_ends_the_aborts_within_a_batch_and_says_so() -> None:
    world = staffed()
    for number in range(250):
        world.begin_upload(f"cv{number}.pdf", age=30 * DAY)
    world.sweep()
    found = world.sweep(after=WEEK, may_erase=lambda: "stopped by a person" if world.calls["ListParts"] else None)
    assert len(world.uploads) == 150
    assert (found.uploads.stopped, found.uploads.unfinished) == (True, "stopped by a person")
    assert word_for(found, failed=False, stopped=False) == "Stopped"


def test_files_and_uploads_share_the_limit_of_a_sweep() -> None:
    world = staffed(maximumErasures=3)
    world.upload("a.pdf", "b.pdf", age=30 * DAY)
    for number in range(5):
        world.begin_upload(f"cv{number}.pdf", age=30 * DAY)
    found = swept_twice(world)
    assert (found.erased.count("erased"), found.uploads.count("erased"), len(world.uploads)) == (2, 1, 4)


def test_parts_that_arrive_during_the_abort_are_a_failure_until_a_later_sweep_has_aborted_them() -> None:
    world = staffed()
    upload = world.begin_upload("cv.pdf", age=30 * DAY, late_parts=1)
    found = swept_twice(world)
    assert (found.uploads.count("failed"), list(world.uploads)) == (1, [upload])
    assert lines_of(world, upload)[-1] == ("outcome", "failed: StillThere")
    assert world.sweep(after=WEEK).uploads.count("erased") == 1
    assert world.uploads == {}


def test_upload_that_is_completed_just_before_is_absent_and_its_file_stays() -> None:
    world = staffed()
    upload = world.begin_upload("cv.pdf", age=30 * DAY)
    world.sweep()

    def complete(operation: str) -> None:
        if operation == "AbortMultipartUpload" and upload in world.uploads:
            del world.uploads[upload]
            world.upload("cv.pdf")

    world.meanwhile = complete
    world.sweep(after=WEEK)
    assert lines_of(world, upload)[-1] == ("outcome", "absent: incomplete upload")
    assert "cv.pdf" in world.files


@pytest.mark.parametrize("code", ["AccessDenied", "NotImplemented", "SlowDown"])
def test_uploads_that_cannot_be_listed_are_unknown_and_the_sweep_goes_on(code: str) -> None:
    world = staffed()
    world.upload("orphan.pdf", age=30 * DAY)
    world.faults = lambda operation: code if operation == "ListMultipartUploads" else None
    found = swept_twice(world)
    assert found.uploads.number is None
    assert "orphan.pdf" not in world.files
    message = status.message(found, world.names, problem=None)
    assert f"incomplete uploads could not be listed: ListMultipartUploads: {code}" in message
    before = {"incompleteUploads": 7, "oldestIncompleteUpload": "2026-01-01T00:00:00Z"}
    fields = status.status_fields(found, world.names, word="Erased", problem=None, now=found.started, before=before)
    assert "incompleteUploads" not in fields, "what is not known is not told"


def test_truncated_listing_of_uploads_without_a_marker_is_unknown() -> None:
    world = staffed()
    world.page = 1
    for number in range(3):
        world.begin_upload(f"cv{number}.pdf", age=30 * DAY)
    whole = world.operations["ListMultipartUploads"]

    def cut(data: TenantData, params: Any) -> Any:
        reply = whole(data, params)
        reply.answer.pop("NextKeyMarker", None)
        return reply

    world.operations["ListMultipartUploads"] = cut
    found = swept_twice(world)
    assert (found.uploads.number, len(world.uploads)) == (None, 3)
    assert "without a valid next marker" in str(found.uploads.problem)


def test_every_page_of_uploads_is_read_and_keys_that_xml_cannot_hold_are_decoded() -> None:
    world = staffed()
    world.page = 2
    for number in range(7):
        world.begin_upload(f"a b+c\x01{number}.pdf", age=30 * DAY)
    found = swept_twice(world)
    assert (found.uploads.number, world.uploads) == (7, {})
    assert {line["key"] for line in world.receipts()} == {f"a b+c\x01{number}.pdf" for number in range(7)}


@pytest.mark.parametrize("side", ["killed before", "killed after"])
@pytest.mark.parametrize("operation", ["AbortMultipartUpload", "ListParts", "PutLogEvents", "ListMultipartUploads"])
def test_sweep_that_is_killed_while_it_aborts_is_repeated_and_every_abort_has_an_intent(
    operation: str, side: str
) -> None:
    world = staffed()
    upload = world.begin_upload("cv.pdf", age=30 * DAY)
    world.sweep()
    world.faults = lambda asked: side if asked == operation else None
    with pytest.raises(Killed):
        world.sweep(after=WEEK)
    assert upload in world.uploads or ("intent", "") in lines_of(world, upload)
    world.faults = lambda _asked: None
    world.sweep(after=WEEK)
    assert world.uploads == {}
    assert "3.pdf" in world.files


def test_without_a_receipt_no_upload_is_aborted() -> None:
    world = staffed()
    upload = world.begin_upload("cv.pdf", age=30 * DAY)
    world.sweep()
    world.faults = lambda asked: "AccessDenied" if asked == "PutLogEvents" else None
    with pytest.raises(NoReceiptError):
        world.sweep(after=WEEK)
    assert list(world.uploads) == [upload]


def test_receipts_distinguish_an_aborted_upload_from_an_erased_file_of_the_same_name() -> None:
    world = staffed()
    world.upload("cv.pdf", age=30 * DAY)
    world.begin_upload("cv.pdf", age=30 * DAY)
    swept_twice(world)
    [stream] = [name for name, messages in world.log_streams.items() if messages]
    events = [
        {"timestamp": 1000 + number, "logStreamName": stream, "message": message}
        for number, message in enumerate(world.log_streams[stream])
    ]
    told = sorted(one.outcome for one in receipts.joined(events) if one.key == "cv.pdf")
    assert told == ["erased", "erased: incomplete upload"]
    assert "cv.pdf" not in world.files


def test_orphan_list_names_the_uploads_that_mode_delete_would_abort() -> None:
    world = staffed()
    world.begin_upload("cv.pdf", age=30 * DAY)
    world.begin_upload("young.pdf", age=DAY)
    kept = world.sweep(DETECT).orphan_list
    assert kept is not None
    assert kept.head.incomplete_uploads == 2
    body = world.objects[kept.key][-1].body
    text = gzip.decompress(body).decode()
    assert '"uploadOf":"cv.pdf"' in text
    assert "young.pdf" not in text
