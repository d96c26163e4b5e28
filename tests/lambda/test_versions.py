"""Buckets that keep versions, and Object Lock: the real zip, awslambdaric, moto behind the fault layer.

moto is right about versions, markers and locks, and wrong about suspended versioning (a deletion takes every version)
and MFA delete (it ignores it): the first is shown in tests/unit/test_cleanup_erase.py, the second by the fault layer.
It enforces locks and cannot tell a retention: that answer is the layer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from testing.lambda_runtime.stream_events import batch, employee, failures, insert, remove

from .conftest import ASKED_ONCE, Answer, Call, Forward, MakeWorld, StartFunction, World, always, xml_error

TWENTY_MINUTES = 1200


def upload(world: World, *keys: str) -> None:
    """Files that are older than any removal here."""
    world.upload(*keys, modified=datetime.now(UTC) - timedelta(hours=1))


def versioned(world: World) -> World:
    world.s3.put_bucket_versioning(Bucket=world.bucket, VersioningConfiguration={"Status": "Enabled"})
    return world


@pytest.fixture(params=["known", "found out"])
def keeping(request: pytest.FixtureRequest, world: World, start: StartFunction) -> World:
    """A bucket that keeps versions; the function asked after that was so, or before."""
    world.function = start(HUMANGOV_TABLE=world.table, HUMANGOV_BUCKET=world.bucket)
    if request.param == "found out":
        world.invoke(batch(remove(employee("0", "before"))))
    versioned(world)
    world.layer.reset()
    return world


@dataclass
class Locked:
    """A bucket with Object Lock, and a function that knows that it keeps versions."""

    world: World

    def lock(self, key: str, **how: Any) -> None:
        upload(self.world, key)
        which = {"Bucket": self.world.bucket, "Key": key}
        if "until" in how:
            retention = {"Mode": how["mode"], "RetainUntilDate": how["until"]}
            self.world.s3.put_object_retention(**which, Retention=retention)
            # moto enforces a retention and cannot tell it.
            reported = (
                f"<Retention><Mode>{how['mode']}</Mode><RetainUntilDate>{how['until'].isoformat()}</RetainUntilDate>"
            )
            answer = Answer(200, f"{reported}</Retention>".encode(), {"Content-Type": "application/xml"})
            self.world.layer.spoil("GetObjectRetention", always(answer))
        # moto answers 500 for a hold that was never set; S3 says NoSuchObjectLockConfiguration.
        self.world.s3.put_object_legal_hold(**which, LegalHold={"Status": "ON" if how.get("hold") else "OFF"})


@pytest.fixture
def locked(world: World, start: StartFunction) -> Locked:
    world.s3.delete_bucket(Bucket=world.bucket)
    world.s3.create_bucket(Bucket=world.bucket, ObjectLockEnabledForBucket=True)
    world.function = start(HUMANGOV_TABLE=world.table, HUMANGOV_BUCKET=world.bucket)
    return Locked(world)


def test_every_version_and_delete_marker_of_exactly_the_key_is_erased(keeping: World) -> None:
    """Loses nothing else: a listing by prefix also shows `a.pdf.bak`."""
    upload(keeping, "a.pdf", "a.pdf", "a.pdf.bak", "a.pdf", "b.pdf", "b.pdf", "other")
    keeping.s3.delete_object(Bucket=keeping.bucket, Key="a.pdf")

    done = keeping.invoke(batch(remove(employee("1", "a.pdf")), remove(employee("2", "b.pdf"))))

    assert done.result == failures()
    assert keeping.versions == {"a.pdf.bak": 1, "other": 1}
    reported = {line["key"]: (line["outcome"], line["versions_erased"]) for line in done.receipts("outcome")}
    assert reported == {"a.pdf": ("erased", 4), "b.pdf": ("erased", 2)}
    assert len(done.receipts("intent")) == 2


def test_missing_file_is_absent_and_gets_no_delete_marker(world: World, start: StartFunction) -> None:
    """Known to keep versions: for a missing key moto makes no marker, where S3 does."""
    versioned(world)
    upload(world, "a.pdf.bak")
    function = start(HUMANGOV_TABLE=world.table, HUMANGOV_BUCKET=world.bucket)

    done = function.invoke(batch(remove(employee("1", "a.pdf"))))

    assert done.result == failures()
    assert done.outcomes == {"a.pdf": "absent"}
    assert world.versions == {"a.pdf.bak": 1}


def test_live_record_keeps_every_version_of_its_file(keeping: World) -> None:
    upload(keeping, "a.pdf", "a.pdf")
    keeping.write(employee("7", "a.pdf"))

    done = keeping.invoke(batch(remove(employee("7", "a.pdf"))))

    assert done.outcomes == {"a.pdf": "kept: live"}
    assert keeping.versions == {"a.pdf": 2}
    assert keeping.files == {"a.pdf"}


def test_version_written_after_the_removal_keeps_the_file(keeping: World) -> None:
    """Its record is not there yet: an application uploads first. Without the rule the live read would let it go."""
    removed = remove(employee("7", "a.pdf"), age_seconds=60)
    at = datetime.fromtimestamp(removed["dynamodb"]["ApproximateCreationDateTime"], UTC)
    keeping.upload("a.pdf", modified=at - timedelta(seconds=1))
    keeping.upload("a.pdf", modified=at + timedelta(seconds=1))

    done = keeping.invoke(batch(removed))

    assert done.result == failures()
    assert done.outcomes == {"a.pdf": "kept: newer"}
    assert keeping.versions == {"a.pdf": 2}
    assert keeping.files == {"a.pdf"}, "and no marker of ours hides it"


@pytest.mark.parametrize("operation", ["BatchGetItem", "DeleteObjects"])
def test_version_written_after_the_listing_is_not_erased(keeping: World, operation: str) -> None:
    """Written while the guard reads, or while S3 erases: the record's new file has the old one's name."""
    upload(keeping, "a.pdf")

    def write_meanwhile(call: Call, forward: Forward) -> Answer:
        if "a.pdf" not in written:
            written.append("a.pdf")
            keeping.upload("a.pdf")
        return forward(call)

    written: list[str] = []
    keeping.layer.spoil(operation, write_meanwhile)

    done = keeping.invoke(batch(remove(employee("7", "a.pdf"))))

    assert done.error is None
    if keeping.versions:
        assert keeping.files == {"a.pdf"}


def test_versions_of_many_files_are_erased_together(world: World, start: StartFunction) -> None:
    versioned(world)
    names = [f"{one:04}.pdf" for one in range(60)]
    upload(world, *names, *names)
    function = start(HUMANGOV_TABLE=world.table, HUMANGOV_BUCKET=world.bucket)

    done = function.invoke(batch(*(remove(employee(name, name)) for name in names)))

    assert done.result == failures(), [line for line in done.lines if line.get("level") or "failed" in str(line)]
    assert world.versions == {}
    assert world.layer.counts == {"ListObjectVersions": 120, "BatchGetItem": 1, "DeleteObjects": 1}
    assert [call.operation for call in world.layer.calls].count(ASKED_ONCE) == 1


def test_versions_beyond_one_listing_page_are_all_erased(world: World, start: StartFunction) -> None:
    versioned(world)
    upload(world, *["a.pdf"] * 25)
    function = start(HUMANGOV_TABLE=world.table, HUMANGOV_BUCKET=world.bucket)

    done = function.invoke(batch(remove(employee("1", "a.pdf"))))

    assert world.versions == {}
    assert world.layer.counts["ListObjectVersions"] == 3, "two pages before, and one afterwards"
    assert done.outcomes == {"a.pdf": "erased"}


def test_late_event_finds_the_versions_behind_a_delete_marker(keeping: World) -> None:
    """A plain listing shows nothing under a marker, and would call the file absent."""
    keeping.upload("a.pdf", modified=datetime(2020, 1, 1, tzinfo=UTC))
    keeping.s3.delete_object(Bucket=keeping.bucket, Key="a.pdf")

    done = keeping.invoke(batch(remove(employee("1", "a.pdf"), age_seconds=TWENTY_MINUTES)))

    assert done.outcomes == {"a.pdf": "erased"}
    assert keeping.versions == {}
    assert keeping.layer.counts["DeleteObjects"] == 2, "no marker was made"


def test_failed_erasure_of_versions_succeeds_on_redelivery(keeping: World) -> None:
    upload(keeping, "a.pdf", "a.pdf")
    event = batch(remove(employee("1", "a.pdf")))
    keeping.layer.spoil("ListObjectVersions", always(xml_error("AccessDenied", status=403)))
    assert keeping.invoke(event).result != failures()
    assert keeping.files == {"a.pdf"}

    keeping.layer.reset()

    assert keeping.invoke(event).result == failures()
    assert keeping.versions == {}


def test_bucket_with_unknown_versioning_is_detected(world: World, start: StartFunction) -> None:
    versioned(world)
    upload(world, "a.pdf", "a.pdf")
    world.layer.spoil(ASKED_ONCE, always(xml_error("AccessDenied", status=403)))
    function = start(HUMANGOV_TABLE=world.table, HUMANGOV_BUCKET=world.bucket)

    done = function.invoke(batch(remove(employee("1", "a.pdf"))))

    assert world.versions == {}
    [erasure] = [call for call in world.layer.calls if call.operation == "DeleteObjects"]
    assert erasure.body.count(b"<VersionId>") == 2, "by key alone S3 writes a delete marker, and a kill leaves it"
    assert [line["code"] for line in done.lines if line.get("level") == "WARN"] == ["AccessDenied"]


NEXT_YEAR = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_retained_file_has_a_receipt_with_its_date_and_no_redelivery(locked: Locked, mode: str) -> None:
    locked.lock("a.pdf", mode=mode, until=NEXT_YEAR)
    upload(locked.world, "b.pdf")

    done = locked.world.invoke(batch(remove(employee("1", "a.pdf")), remove(employee("2", "b.pdf"))))

    assert done.result == failures()
    assert done.outcomes == {"a.pdf": "retained until 2999-01-01T00:00:00.000Z", "b.pdf": "erased"}
    assert locked.world.versions == {"a.pdf": 1}
    assert done.summary["retained"] == 1
    assert done.summary["files"] == {"retained until": 1, "erased": 1}
    assert not any("bypass" in name.lower() for call in locked.world.layer.calls for name in call.headers)


def test_legal_hold_has_a_receipt_and_no_redelivery(locked: Locked) -> None:
    locked.lock("a.pdf", hold=True)

    done = locked.world.invoke(batch(remove(employee("1", "a.pdf"))))

    assert done.result == failures()
    assert done.outcomes == {"a.pdf": "retained: legal hold"}


def test_unretained_versions_are_erased_and_the_retained_one_stays_hidden(locked: Locked) -> None:
    """The application deleted the file before the record: without the rule, erasing its marker would unveil it."""
    world = locked.world
    locked.lock("a.pdf", mode="GOVERNANCE", until=NEXT_YEAR)
    upload(world, "a.pdf")
    world.s3.delete_object(Bucket=world.bucket, Key="a.pdf")

    done = world.invoke(batch(remove(employee("1", "a.pdf"))))

    (line,) = done.receipts("outcome")
    assert (line["outcome"], line["versions_erased"]) == ("retained until 2999-01-01T00:00:00.000Z", 1)
    assert world.versions == {"a.pdf": 2}
    assert world.files == set()


@pytest.mark.parametrize("operation", ["GetObjectRetention", "GetObjectLegalHold"])
def test_unreadable_object_lock_fails_the_record(locked: Locked, operation: str) -> None:
    locked.lock("a.pdf", mode="GOVERNANCE", until=NEXT_YEAR)
    locked.world.layer.spoil(operation, always(xml_error("AccessDenied", status=403)))
    removed = remove(employee("1", "a.pdf"))

    done = locked.world.invoke(batch(removed))

    assert done.result == failures(removed)
    assert done.outcomes == {"a.pdf": "failed: AccessDenied"}


def test_mfa_delete_has_a_receipt_and_no_redelivery(keeping: World) -> None:
    """In S3's words; the whole request is refused."""
    upload(keeping, "a.pdf")
    refused = xml_error("AccessDenied", status=403, message="Mfa Authentication must be used for this request")

    def mfa(call: Call, forward: Forward) -> Answer:
        return refused if b"VersionId" in call.body else forward(call)

    keeping.layer.spoil("DeleteObjects", mfa)

    done = keeping.invoke(batch(remove(employee("1", "a.pdf"))))

    assert done.result == failures()
    assert done.outcomes == {"a.pdf": "retained: MFA delete"}
    assert "Mfa Authentication must be used for this request" in {line.get("text") for line in done.lines}
    assert "GetObjectRetention" not in keeping.layer.counts


def test_undeletable_delete_marker_on_a_live_file_fails_the_record(world: World, start: StartFunction) -> None:
    """The record is written again while S3 erases; no permission for versions. Nothing else shows that it is hidden."""
    world.function = start(HUMANGOV_TABLE=world.table, HUMANGOV_BUCKET=world.bucket)  # it has not asked S3 yet
    upload(world, "a.pdf")

    def enable_then(call: Call, forward: Forward) -> Answer:
        answer = forward(call)
        versioned(world)
        return answer

    def write_meanwhile(call: Call, forward: Forward) -> Answer:
        world.write(employee("7", "a.pdf"))
        return xml_error("AccessDenied", status=403) if b"VersionId" in call.body else forward(call)

    world.layer.spoil("GetBucketVersioning", enable_then)
    world.layer.spoil("DeleteObjects", write_meanwhile)
    removed = remove(employee("7", "a.pdf"))

    done = world.invoke(batch(removed))

    assert done.result == failures(removed)
    assert world.versions["a.pdf"] == 2


def test_shared_file_names_are_left_to_the_sweep_without_a_call(make_world: MakeWorld) -> None:
    """Another record may name the file, and the function sees one record at a time."""
    world = make_world(HUMANGOV_FILE_NAMES="Shared")
    upload(world, "a.pdf")
    world.write(employee("8", "a.pdf"))

    done = world.invoke(
        batch(remove(employee("7", "a.pdf"), table=world.table), insert(employee("9", "a.pdf"), table=world.table))
    )

    assert done.result == failures()
    assert done.outcomes == {"a.pdf": "left to the sweep"}
    assert done.receipts("intent") == []
    assert world.files == {"a.pdf"}
    assert world.layer.counts == {}
    assert done.summary["kept"] == 1
