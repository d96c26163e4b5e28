"""No live record loses its file: the real zip, awslambdaric, moto behind the fault layer.

moto reads its own memory, so it cannot show a stale read, nor the milliseconds between the guard's read and
the erasure. Throttling, partial answers and broken connections are the fault layer's, in AWS's form; a
connection broken off stands for a time-out, which would take the client's 7 s three times.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto.backends import get_backend

from testing.lambda_runtime.stream_events import batch, employee, failures, insert, modify, remove

from .conftest import ACCOUNT, Answer, Call, Fault, Forward, MakeWorld, World, always, broken_off, json_error, once

TWENTY_MINUTES = 1200


def throttle(*ids: str, times: int | None = None) -> Fault:
    """BatchGetItem leaves these ids in UnprocessedKeys, each time or `times` times."""
    left = [times]

    def fault(call: Call, forward: Forward) -> Answer:
        if left[0] == 0:
            return forward(call)
        left[0] = None if left[0] is None else left[0] - 1
        ((table, request),) = call.json["RequestItems"].items()
        unprocessed = [key for key in request["Keys"] if key["id"]["S"] in ids]
        read = [key for key in request["Keys"] if key["id"]["S"] not in ids]
        body: dict[str, Any] = {"Responses": {}, "UnprocessedKeys": {}}
        if read:
            asked = {"RequestItems": {table: request | {"Keys": read}}}
            body = json.loads(forward(replace(call, body=json.dumps(asked).encode())).body)
        if unprocessed:
            body["UnprocessedKeys"] = {table: request | {"Keys": unprocessed}}
        return Answer(200, json.dumps(body).encode(), {"Content-Type": "application/x-amz-json-1.0"})

    return fault


def test_file_of_a_deleted_record_is_erased(world: World) -> None:
    world.upload("cv.pdf", "other.pdf")

    done = world.invoke(batch(remove(employee("7", "cv.pdf"))))

    assert done.result == failures()
    assert world.files == {"other.pdf"}
    assert done.outcomes == {"cv.pdf": "erased"}


def test_re_created_record_keeps_its_file(world: World) -> None:
    world.upload("cv.pdf")
    world.write(employee("7", "cv.pdf"))

    done = world.invoke(batch(remove(employee("7", "cv.pdf"))))

    assert done.result == failures()
    assert world.files == {"cv.pdf"}
    assert done.outcomes == {"cv.pdf": "kept: live"}


def test_re_created_record_with_another_file_frees_the_old_one(world: World) -> None:
    world.upload("old.pdf", "new.pdf")
    world.write(employee("7", "new.pdf"))

    world.invoke(batch(remove(employee("7", "old.pdf"))))

    assert world.files == {"new.pdf"}


def test_replaced_file_is_erased_and_the_new_one_is_kept(world: World) -> None:
    world.upload("old.pdf", "new.pdf")
    world.write(employee("7", "new.pdf"))

    done = world.invoke(batch(modify(employee("7", "old.pdf"), employee("7", "new.pdf"))))

    assert done.outcomes == {"old.pdf": "erased"}
    assert world.files == {"new.pdf"}


def test_reverted_change_keeps_the_file(world: World) -> None:
    world.upload("old.pdf")
    world.write(employee("7", "old.pdf"))

    done = world.invoke(batch(modify(employee("7", "old.pdf"), employee("7", "new.pdf"))))

    assert done.outcomes == {"old.pdf": "kept: live"}
    assert world.files == {"old.pdf"}


def test_change_of_other_attributes_makes_no_aws_call(world: World) -> None:
    done = world.invoke(batch(modify(employee("7", "cv.pdf"), employee("7", "cv.pdf", salary={"N": "1"}))))

    assert done.result == failures()
    assert world.layer.counts == {}


def test_removed_inserted_and_removed_record_in_a_batch_is_read_once_and_its_file_erased(world: World) -> None:
    world.upload("cv.pdf")
    seven = employee("7", "cv.pdf")

    done = world.invoke(batch(remove(seven), insert(seven), remove(seven)))

    assert done.result == failures()
    assert world.files == set()
    assert len(done.receipts("outcome")) == 2, "each of the two removals has its receipt"
    (read,) = [call for call in world.layer.calls if call.operation == "BatchGetItem"]
    assert read.json["RequestItems"][world.table]["Keys"] == [{"id": {"S": "7"}}]


def test_file_moved_to_another_record_within_the_batch_is_kept(world: World) -> None:
    world.upload("cv.pdf")
    world.write(employee("8", "cv.pdf"))

    done = world.invoke(batch(remove(employee("7", "cv.pdf")), insert(employee("8", "cv.pdf"))))

    assert done.result == failures()
    assert done.outcomes == {"cv.pdf": "kept: live"}
    assert world.files == {"cv.pdf"}


def test_file_moved_to_another_record_and_freed_there_is_erased(world: World) -> None:
    world.upload("cv.pdf")
    eight = employee("8", "cv.pdf")

    world.invoke(batch(remove(employee("7", "cv.pdf")), insert(eight), remove(eight)))

    assert world.files == set()


def test_file_is_kept_while_the_record_it_moved_to_cannot_be_read(world: World) -> None:
    world.upload("cv.pdf")
    world.write(employee("8", "cv.pdf"))
    world.layer.spoil("BatchGetItem", throttle("8"))
    removed = remove(employee("7", "cv.pdf"))

    done = world.invoke(batch(removed, insert(employee("8", "cv.pdf"))))

    assert done.result == failures(removed)
    assert world.files == {"cv.pdf"}


def test_throttled_record_fails_and_is_never_taken_as_deleted(world: World) -> None:
    world.upload("1.pdf", "2.pdf", "3.pdf")
    world.write(employee("2", "2.pdf"))
    world.layer.spoil("BatchGetItem", throttle("2"))
    records = [remove(employee(one, f"{one}.pdf")) for one in ("1", "2", "3")]

    done = world.invoke(batch(*records))

    assert done.result == failures(records[1])
    assert world.files == {"2.pdf"}
    assert done.outcomes["2.pdf"] == "failed: Throttled"


def test_record_read_at_the_second_try_is_handled(world: World) -> None:
    world.upload("1.pdf", "2.pdf")
    world.write(employee("2", "2.pdf"))
    world.layer.spoil("BatchGetItem", throttle("1", "2", times=1))

    done = world.invoke(batch(remove(employee("1", "1.pdf")), remove(employee("2", "2.pdf"))))

    assert done.result == failures()
    assert world.files == {"2.pdf"}


def test_missing_table_fails_the_records_and_erases_nothing(world: World) -> None:
    world.upload("cv.pdf")
    world.dynamodb.delete_table(TableName=world.table)
    removed = remove(employee("7", "cv.pdf"))

    done = world.invoke(batch(removed))

    assert done.result == failures(removed)
    assert done.outcomes == {"cv.pdf": "failed: ResourceNotFoundException"}
    assert world.files == {"cv.pdf"}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(always(json_error("AccessDeniedException")), id="denied"),
        pytest.param(always(json_error("ValidationException")), id="refused"),
        pytest.param(always(json_error("InternalServerError", status=500)), id="server error"),
        pytest.param(broken_off, id="connection broken"),
        pytest.param(always(Answer(200, b"{}")), id="an answer without items"),
        pytest.param(always(Answer(200, b"<html>")), id="not an answer"),
    ],
)
def test_failed_live_read_fails_its_records_and_erases_nothing(world: World, fault: Fault) -> None:
    world.upload("cv.pdf")
    world.layer.spoil("BatchGetItem", fault)
    removed = remove(employee("7", "cv.pdf"))

    done = world.invoke(batch(removed))

    assert done.result == failures(removed)
    assert world.files == {"cv.pdf"}


def test_live_read_is_consistent_and_projects_only_keys_and_file_attributes(world: World) -> None:
    world.invoke(batch(remove(employee("7", "cv.pdf"))))

    (read,) = [call for call in world.layer.calls if call.operation == "BatchGetItem"]
    request = read.json["RequestItems"][world.table]
    assert request["ConsistentRead"] is True
    assert sorted(request["ExpressionAttributeNames"].values()) == ["id", "pdf"]


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("written_after_removal_seconds", "outcome"),
    [
        pytest.param(-1, "erased", id="older"),
        pytest.param(0, "kept: newer", id="tie"),
        pytest.param(1, "kept: newer", id="newer"),
    ],
)
def test_late_event_erases_only_files_older_than_the_removal(
    world: World, written_after_removal_seconds: int, outcome: str
) -> None:
    late = remove(employee("7", "cv.pdf"), age_seconds=TWENTY_MINUTES)
    removed_at = late["dynamodb"]["ApproximateCreationDateTime"]
    world.upload("cv.pdf", modified=at(removed_at + written_after_removal_seconds))

    done = world.invoke(batch(late))

    assert done.result == failures()
    assert done.outcomes == {"cv.pdf": outcome}
    assert world.files == (set() if outcome == "erased" else {"cv.pdf"})


def test_fresh_event_lists_no_versions(world: World) -> None:
    world.upload("cv.pdf")

    world.invoke(batch(remove(employee("7", "cv.pdf"))))

    assert world.layer.counts == {"BatchGetItem": 1, "DeleteObjects": 1}


def test_late_event_ignores_longer_keys_in_the_listing(world: World) -> None:
    """`cv.pdf.bak` is what a listing by prefix shows when `cv.pdf` is gone."""
    world.upload("cv.pdf.bak", modified=at(0))

    done = world.invoke(batch(remove(employee("7", "cv.pdf"), age_seconds=TWENTY_MINUTES)))

    assert done.outcomes == {"cv.pdf": "absent"}
    assert world.files == {"cv.pdf.bak"}


def test_event_without_a_date_keeps_the_file(world: World) -> None:
    world.upload("cv.pdf", modified=at(0))
    undated = remove(employee("7", "cv.pdf"))
    del undated["dynamodb"]["ApproximateCreationDateTime"]

    done = world.invoke(batch(undated))

    assert done.result == failures()
    assert done.outcomes == {"cv.pdf": "kept: undated"}
    assert world.files == {"cv.pdf"}


def test_late_event_fails_if_the_file_cannot_be_listed(world: World) -> None:
    world.upload("cv.pdf", modified=at(0))
    world.layer.spoil("ListObjectVersions", broken_off)
    late = remove(employee("7", "cv.pdf"), age_seconds=TWENTY_MINUTES)

    done = world.invoke(batch(late))

    assert done.result == failures(late)
    assert world.files == {"cv.pdf"}


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        pytest.param([("state", "S"), ("id", "N")], lambda one: {"state": {"S": "CA"}, "id": {"N": one}}, id="two"),
        pytest.param([("id", "B")], lambda one: {"id": {"B": {"1": "AQ==", "2": "Ag=="}[one]}}, id="binary"),
    ],
)
def test_live_read_supports_any_primary_key(
    make_world: MakeWorld, keys: list[tuple[str, str]], value: Callable[[str], dict[str, Any]]
) -> None:
    world = make_world(keys=keys)
    world.upload("1.pdf", "2.pdf")
    live = value("2") | {"pdf": {"S": "2.pdf"}}
    stored = {name: {"B": bytes([2])} if name == "id" and "B" in kind else kind for name, kind in live.items()}
    world.write(stored)
    key_names = [name for name, _ in keys]

    done = world.invoke(
        batch(
            *(
                remove(value(one) | {"pdf": {"S": f"{one}.pdf"}}, table=world.table, key_names=key_names)
                for one in ("1", "2")
            )
        )
    )

    assert done.result == failures()
    assert world.files == {"2.pdf"}


def test_several_file_attributes_with_sets_and_lists_name_files(make_world: MakeWorld) -> None:
    world = make_world(HUMANGOV_FILE_ATTRIBUTES='["pdf", "scans", "pages"]')
    world.upload("cv.pdf", "a.png", "b.png", "1.tif", "2.tif")
    world.write(employee("7", scans={"SS": ["b.png"]}, pages={"L": [{"S": "2.tif"}]}))
    gone = employee("7", "cv.pdf", scans={"SS": ["a.png", "b.png"]}, pages={"L": [{"S": "1.tif"}, {"S": "2.tif"}]})

    done = world.invoke(batch(remove(gone, table=world.table)))

    assert done.result == failures()
    assert world.files == {"b.png", "2.tif"}


@pytest.mark.parametrize("edited", [False, True])
def test_a_file_that_moved_to_another_id_stays_where_the_stream_has_no_new_image(world: World, edited: bool) -> None:
    """View type OLD_IMAGE: the other record is read by its key, whatever the stream does not tell of it."""
    world.upload("cv.pdf", "other.pdf")
    world.write(employee("8", "cv.pdf"))
    moved = modify(employee("8"), employee("8", "cv.pdf")) if edited else insert(employee("8", "cv.pdf"))
    removed, other = remove(employee("7", "cv.pdf")), remove(employee("9", "other.pdf"))
    for record in (moved, removed, other):
        record["dynamodb"]["StreamViewType"] = "OLD_IMAGE"
    del moved["dynamodb"]["NewImage"]

    done = world.invoke(batch(moved, removed, other))

    assert done.result == failures()
    assert done.outcomes == {"cv.pdf": "kept: live", "other.pdf": "erased"}
    assert world.files == {"cv.pdf"}


def test_nothing_is_erased_while_a_record_without_its_new_image_cannot_be_read(world: World) -> None:
    world.upload("cv.pdf")
    world.write(employee("8", "cv.pdf"))
    world.layer.spoil("BatchGetItem", throttle("8"))
    moved, removed = insert(employee("8", "cv.pdf")), remove(employee("7", "cv.pdf"))
    del moved["dynamodb"]["NewImage"]

    done = world.invoke(batch(moved, removed))

    assert done.result == failures(moved, removed)
    assert world.files == {"cv.pdf"}


def test_the_retry_of_a_removal_begins_at_the_record_that_was_given_its_file(world: World) -> None:
    """Lambda brings a batch again from the lowest number that was handed back."""
    world.upload("cv.pdf")
    world.write(employee("8", "cv.pdf"))
    records = [remove(employee("1")), insert(employee("8", "cv.pdf")), remove(employee("7", "cv.pdf"))]
    world.layer.spoil("BatchGetItem", always(json_error("ProvisionedThroughputExceededException")))
    first = world.invoke(batch(*records))
    world.layer.reset()
    handed_back = [one["itemIdentifier"] for one in first.result["batchItemFailures"]]
    start = min(place for place, one in enumerate(records) if one["dynamodb"]["SequenceNumber"] in handed_back)

    second = world.invoke(batch(*records[start:]))

    assert start == 1
    assert second.outcomes == {"cv.pdf": "kept: live"}
    assert world.files == {"cv.pdf"}


def test_the_retry_of_another_removal_begins_at_the_record_that_was_given_a_file_too(world: World) -> None:
    world.upload("cv.pdf", "other.pdf")
    world.write(employee("8", "cv.pdf"))
    world.layer.spoil("BatchGetItem", throttle("9"))
    given, other = insert(employee("8", "cv.pdf")), remove(employee("9", "other.pdf"))

    done = world.invoke(batch(given, other, remove(employee("7", "cv.pdf"))))

    assert done.result == failures(given, other)


@pytest.mark.parametrize(
    ("written_after_removal_seconds", "outcome"),
    [pytest.param(-1, "erased", id="older"), pytest.param(0, "kept: newer", id="tie"), (1, "kept: newer")],
)
def test_under_reused_file_names_a_fresh_upload_of_the_same_name_stays(
    make_world: MakeWorld, written_after_removal_seconds: int, outcome: str
) -> None:
    world = make_world(HUMANGOV_FILE_NAMES="Reused")
    removed = remove(employee("7", "7.pdf"), table=world.table, age_seconds=60)
    removed_at = removed["dynamodb"]["ApproximateCreationDateTime"]
    world.upload("7.pdf", modified=at(removed_at + written_after_removal_seconds))

    done = world.invoke(batch(removed))

    assert done.outcomes == {"7.pdf": outcome}
    assert world.files == (set() if outcome == "erased" else {"7.pdf"})


def upload_in_parts(world: World, key: str, *, begun: datetime) -> None:
    """S3 dates such an object by the start of its upload; moto by its end, so the date is set."""
    upload = world.s3.create_multipart_upload(Bucket=world.bucket, Key=key)["UploadId"]
    part = world.s3.upload_part(Bucket=world.bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"%PDF")
    world.s3.complete_multipart_upload(
        Bucket=world.bucket, Key=key, UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )  # fmt: skip
    stored = get_backend("s3")[ACCOUNT]["aws"].get_bucket(world.bucket).keys[key]
    stored.last_modified = begun.replace(tzinfo=None)


def test_a_late_event_keeps_a_file_that_was_uploaded_in_parts(world: World) -> None:
    """The upload began before the removal: nothing shows whether it ended before it, too."""
    late = remove(employee("7", "cv.pdf"), age_seconds=TWENTY_MINUTES)
    removed_at = at(late["dynamodb"]["ApproximateCreationDateTime"])
    upload_in_parts(world, "cv.pdf", begun=removed_at - timedelta(seconds=100))

    done = world.invoke(batch(late))

    assert done.result == failures()
    assert done.outcomes == {"cv.pdf": "kept: undated"}
    assert world.files == {"cv.pdf"}


def test_under_unique_file_names_a_recent_event_erases_a_file_that_was_uploaded_in_parts(world: World) -> None:
    upload_in_parts(world, "cv.pdf", begun=at(0))

    assert world.invoke(batch(remove(employee("7", "cv.pdf")))).outcomes == {"cv.pdf": "erased"}


def test_a_removed_url_of_the_bucket_erases_its_file(world: World) -> None:
    world.upload("a b.pdf", "c.pdf", "d.pdf")
    names = (
        f"https://{world.bucket}.s3.us-east-1.amazonaws.com/a%20b.pdf?X-Amz-Signature=ab",
        f"https://s3.amazonaws.com/{world.bucket}/c.pdf",
        f"s3://{world.bucket}/d.pdf",
    )

    done = world.invoke(batch(*(remove(employee(name, name)) for name in names)))

    assert done.outcomes == {"a b.pdf": "erased", "c.pdf": "erased", "d.pdf": "erased"}
    assert world.files == set()


def test_a_removed_name_of_another_bucket_erases_nothing_and_is_counted_without_the_name(world: World) -> None:
    world.upload("secret.pdf", "b.pdf")
    other = remove(employee("7", "s3://elsewhere/secret.pdf"))

    done = world.invoke(batch(other, remove(employee("8", "b.pdf"))))

    assert done.result == failures()
    assert world.files == {"secret.pdf"}
    [line] = [line for line in done.lines if line.get("message") == "unresolved file name skipped"]
    assert line["reason"] == "attribute pdf names another bucket"
    assert line["record_key"] == {"id": {"S": "7"}}
    summary = done.summary
    assert (summary["unresolved"], summary["malformed"]) == (1, 0)
    assert {"Name": "unresolved", "Unit": "Count"} in summary["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    assert "elsewhere" not in json.dumps(done.lines)


@pytest.mark.parametrize(
    "value",
    [
        {"S": "https://california-files.s3.amazonaws.com/a%20b.pdf"},
        {"S": "/a%20b.pdf"},
        {"S": "a+b.pdf"},
        {"B": b"a b.pdf"},
        {"M": {"a b.pdf": {"M": {"pages": {"N": "3"}}}}},
    ],
)
def test_a_live_record_keeps_its_file_however_it_names_it(world: World, value: Any) -> None:
    world.upload("a b.pdf")
    world.write({"id": {"S": "7"}, "pdf": value})

    done = world.invoke(batch(remove(employee("7", "a b.pdf"))))

    assert done.outcomes == {"a b.pdf": "kept: live"}
    assert world.files == {"a b.pdf"}


INDEX = '{"by-pdf": "pdf"}'


def indexed(make_world: MakeWorld, **environment: str) -> World:
    """A tenant whose table has an index by file name."""
    world = make_world(HUMANGOV_FILE_INDEXES=INDEX, **environment)
    world.dynamodb.update_table(
        TableName=world.table,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"},
                              {"AttributeName": "pdf", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[{"Create": {
            "IndexName": "by-pdf", "KeySchema": [{"AttributeName": "pdf", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }}],
    )  # fmt: skip
    return world


def test_an_index_finds_the_record_of_an_earlier_batch_that_names_the_file(make_world: MakeWorld) -> None:
    world = indexed(make_world)
    url = f"s3://{world.bucket}/url.pdf"
    world.upload("cv.pdf", "url.pdf", "gone.pdf")
    world.write(employee("8", "cv.pdf"), employee("9", url))

    done = world.invoke(
        batch(
            remove(employee("1", "cv.pdf"), table=world.table),
            remove(employee("2", url), table=world.table),
            remove(employee("3", "gone.pdf"), table=world.table),
        )
    )

    assert done.result == failures()
    assert done.outcomes == {"cv.pdf": "kept: live", "url.pdf": "kept: live", "gone.pdf": "erased"}
    assert world.files == {"cv.pdf", "url.pdf"}


def test_an_index_entry_counts_only_if_a_consistent_read_of_its_record_confirms_it(make_world: MakeWorld) -> None:
    """The index still has the removed record's own entry, and one of another that was removed meanwhile."""
    world = indexed(make_world)
    world.upload("cv.pdf")
    entries = {"Items": [{"id": {"S": "7"}}, {"id": {"S": "8"}}], "Count": 2}
    world.layer.spoil("Query", always(Answer(200, json.dumps(entries).encode())))

    done = world.invoke(batch(remove(employee("7", "cv.pdf"), table=world.table)))

    assert done.outcomes == {"cv.pdf": "erased"}
    [read] = [call for call in world.layer.calls if call.operation == "BatchGetItem"]
    assert read.json["RequestItems"][world.table]["Keys"] == [{"id": {"S": "7"}}, {"id": {"S": "8"}}]


def test_every_page_of_an_index_is_read(make_world: MakeWorld) -> None:
    world = indexed(make_world)
    world.upload("cv.pdf")
    world.write(employee("8", "cv.pdf"))
    page = {"Items": [{"id": {"S": "7"}}], "Count": 1, "LastEvaluatedKey": {"id": {"S": "7"}, "pdf": {"S": "cv.pdf"}}}
    world.layer.spoil("Query", once(Answer(200, json.dumps(page).encode())))

    done = world.invoke(batch(remove(employee("7", "cv.pdf"), table=world.table)))

    assert done.outcomes == {"cv.pdf": "kept: live"}
    second = [call for call in world.layer.calls if call.operation == "Query"][1]
    assert second.json["ExclusiveStartKey"] == page["LastEvaluatedKey"]


@pytest.mark.parametrize(
    "fault",
    [always(json_error("AccessDeniedException")), always(json_error("ValidationException")), broken_off,
     always(Answer(200, b"{}"))],
)  # fmt: skip
def test_an_index_that_cannot_be_asked_fails_the_record_and_erases_nothing(make_world: MakeWorld, fault: Fault) -> None:
    world = indexed(make_world)
    world.upload("cv.pdf")
    world.layer.spoil("Query", fault)
    removed = remove(employee("7", "cv.pdf"), table=world.table)

    assert world.invoke(batch(removed)).result == failures(removed)
    assert world.files == {"cv.pdf"}
