"""No live record loses its file: the real zip, awslambdaric, moto behind the fault layer.

moto reads its own memory, so it cannot show a stale read, nor the milliseconds between the guard's read and
the erasure. Throttling, partial answers and broken connections are the fault layer's, in AWS's form; a
connection broken off stands for a time-out, which would take the client's 7 s three times.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from testing.lambda_runtime.stream_events import batch, employee, failures, insert, modify, remove

from .conftest import Answer, Call, Fault, Forward, MakeWorld, World, always, broken_off, json_error

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
