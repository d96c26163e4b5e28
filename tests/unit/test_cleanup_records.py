"""A stream record → which files it frees."""

from __future__ import annotations

from typing import Any

import pytest
from humangov.cleanup.environment import FunctionSettings
from humangov.cleanup.records import (
    MalformedError,
    RecordChange,
    freed_files,
    read_change,
    record_id,
    sequence_number,
    unread_change,
)

from testing.lambda_runtime.stream_events import Event, employee, insert, modify, number_of, remove

SETTINGS = FunctionSettings(tenant="t", table="california", bucket="b", account_id="123456789012")


def read(record: Any, **more: Any) -> RecordChange:
    return read_change(
        record, settings=FunctionSettings(tenant="t", table="california", bucket="b", account_id="123456789012", **more)
    )


def without(record: Event, name: str) -> Event:
    return record | {"dynamodb": {key: one for key, one in record["dynamodb"].items() if key != name}}


def keyed(key: Any) -> Event:
    record = remove(employee("7", "a.pdf"))
    record["dynamodb"]["Keys"] = key
    return record


REMOVAL = remove(employee("7", "a.pdf"))
STREAM_ARN = REMOVAL["eventSourceARN"]
ELSEWHERE = [
    STREAM_ARN.replace("123456789012", "999999999999"),
    STREAM_ARN.replace("123456789012", ""),
    STREAM_ARN.replace("us-east-1", "eu-west-1"),
    STREAM_ARN.replace("arn:aws:", "arn:aws-cn:"),
    STREAM_ARN.replace(":dynamodb:", ":kinesis:"),
    STREAM_ARN.split("/stream/")[0],
    f"{STREAM_ARN}/shard",
    STREAM_ARN.replace("table/california", "table/x/stream/y/table/california"),
]


A, B = {"S": "a.pdf"}, {"S": "b.pdf"}


@pytest.mark.parametrize(
    ("old", "new", "frees"),
    [
        pytest.param(A, B, ("a.pdf",), id="another file"),
        pytest.param(A, A, (), id="the same file"),
        pytest.param(A, None, ("a.pdf",), id="no file any more"),
        pytest.param(None, A, (), id="a first file"),
        pytest.param({"SS": ["a.pdf", "b.pdf"]}, B, ("a.pdf",), id="one of two"),
        pytest.param({"L": [A, B]}, {"SS": ["b.pdf", "a.pdf"]}, (), id="another type, the same files"),
        pytest.param(A, {"M": {"x": A}}, (), id="named within a type that frees nothing"),
        pytest.param({"N": "1"}, {"N": "1"}, (), id="malformed before and after"),
    ],
)
def test_changed_record_frees_files_that_it_no_longer_names(old: Any, new: Any, frees: tuple[str, ...]) -> None:
    before = employee("7") | ({"pdf": old} if old else {})
    after = employee("7") | ({"pdf": new} if new else {})

    change = read(modify(before, after))

    assert (change.frees, change.problems) == (frees, ())


def test_changed_record_with_an_invalid_old_file_name_reports_a_problem() -> None:
    change = read(modify(employee("7") | {"pdf": {"N": "1"}}, employee("7", "a.pdf")))

    assert change.frees == ()
    assert change.problems == ("attribute pdf is not S, SS or L of S",)


def test_changed_record_without_new_image_frees_its_old_files() -> None:
    record = modify(employee("7", "a.pdf"), employee("7", "b.pdf"))
    del record["dynamodb"]["NewImage"]

    assert read(record).frees == ("a.pdf",)


@pytest.mark.parametrize("record", [insert(employee("7", "a.pdf")), modify(employee("7"), employee("7", "a.pdf"))])
def test_a_change_without_its_new_image_may_name_any_file(record: Event) -> None:
    record = without(record, "NewImage")

    assert read(record).names is None


def test_of_a_record_that_cannot_be_read_the_key_is_known_unless_it_is_a_removal() -> None:
    unread = unread_change(insert(employee("7", "a.pdf")) | {"userIdentity": 7})

    assert unread is not None
    assert (unread.record_key, unread.names, unread.frees) == ({"id": {"S": "7"}}, None, ())
    assert [unread_change(one) for one in (REMOVAL, keyed({}), None, {"dynamodb": 7})] == [None] * 4


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("s3://other/a.pdf", "attribute pdf names another bucket"),
        ("https://b.s3.amazonaws.com/nv/a.pdf", "attribute pdf names a key outside the key prefix"),
    ],
)
def test_a_removed_name_of_no_file_of_the_bucket_frees_nothing_and_says_why(name: str, reason: str) -> None:
    change = read(remove(employee("7", name)), key_prefix="ca/")

    assert (change.frees, change.problems, change.unresolved) == ((), (), (reason,))


def test_change_of_a_reference_from_a_key_to_its_url_frees_nothing() -> None:
    change = read(modify(employee("7", "a b.pdf"), employee("7", "https://b.s3.amazonaws.com/a%20b.pdf")))

    assert change.frees == ()


def test_a_freed_file_knows_how_it_was_named() -> None:
    url = "https://b.s3.us-east-1.amazonaws.com/a.pdf"
    changes = [read(remove(employee("7", "a.pdf"))), read(remove(employee("8", url)))]

    [file] = freed_files(changes)

    assert file.spellings == {"a.pdf", url}


def test_file_moved_between_attributes_is_not_freed() -> None:
    change = read(
        modify(employee("7", "a.pdf"), employee("7", scan=A)),
        file_attributes=("pdf", "scan"),
    )

    assert change.frees == ()


def test_inserted_record_frees_no_file_and_names_its_file() -> None:
    change = read(insert(employee("7", "a.pdf")), key_prefix="ca/")

    assert change.frees == ()
    assert change.names == frozenset({"ca/a.pdf"})


def test_deleted_record_frees_its_files_and_names_none() -> None:
    change = read(remove(employee("7", "a.pdf")), key_prefix="ca/")

    assert (change.frees, change.names) == (("ca/a.pdf",), frozenset())


def test_missing_file_attribute_does_not_hide_another() -> None:
    change = read(remove(employee("7", "a.pdf")), file_attributes=("scan", "pdf"))

    assert change.frees == ("a.pdf",)
    assert change.problems == ("attribute scan is missing",)


def test_a_name_that_cannot_be_a_key_is_unresolved() -> None:
    change = read(remove(employee("7", "x" * 1025)))

    assert change.frees == ()
    assert (change.problems, change.unresolved) == ((), ("attribute pdf makes a key of 1025 bytes, over 1024",))


@pytest.mark.parametrize(("expired", "principal"), [(True, "dynamodb.amazonaws.com"), (False, "someone")])
def test_removal_by_time_to_live_is_recognized_by_its_principal(expired: bool, principal: str) -> None:
    record = remove(employee("7", "a.pdf")) | {"userIdentity": {"type": "Service", "principalId": principal}}

    assert read(record).expired is expired


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1479499740, 1479499740.0),
        (1479499740.5, 1479499740.5),
        (None, None),
        ("1479499740", None),
        (True, None),
        (0, None),
        (-5, None),
        (float("nan"), None),
        (float("inf"), None),
        pytest.param(10**400, None, id="more than any float"),
        pytest.param(1479499740000, None, id="milliseconds"),
    ],
)
def test_invalid_removal_date_counts_as_unknown(value: Any, seconds: float | None) -> None:
    record = remove(employee("7", "a.pdf"))
    record["dynamodb"]["ApproximateCreationDateTime"] = value

    assert read(record).removed_at == seconds


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "not a DynamoDB stream record"),
        ({}, "not a DynamoDB stream record"),
        ({"dynamodb": []}, "not a DynamoDB stream record"),
        (without(REMOVAL, "SequenceNumber"), "no sequence number"),
        (REMOVAL | {"eventName": "DROP"}, "event name"),
        (REMOVAL | {"eventName": ["REMOVE"]}, "event name"),
        (
            REMOVAL | {"eventSourceARN": None},
            "not of a stream of arn:aws:dynamodb:us-east-1:123456789012:table/california",
        ),
        (REMOVAL | {"eventSourceARN": "arn:aws:sqs:us-east-1:1:california"}, "not of a stream of"),
        (remove(employee("7", "a.pdf"), table="california-2"), "not of a stream of"),
        *((REMOVAL | {"eventSourceARN": arn}, "not of a stream of") for arn in ELSEWHERE),
        (without(REMOVAL, "OldImage"), "view type must be NEW_AND_OLD_IMAGES"),
        (without(REMOVAL, "Keys"), "no primary key"),
        (keyed({}), "no primary key"),
        (keyed({"a": {"S": "1"}, "b": {"S": "1"}, "c": {"S": "1"}}), "no primary key"),
        (keyed({"id": {"S": ""}}), "no primary key"),
        (keyed({"id": {"S": 7}}), "no primary key"),
        (keyed({"id": {"N": "seven"}}), "no primary key"),
        (keyed({"id": {"N": "Infinity"}}), "no primary key"),
        (keyed({"id": {"B": "not base64!"}}), "no primary key"),
        (keyed({"id": {"B": ""}}), "no primary key"),
        (keyed({"id": {"BOOL": True}}), "no primary key"),
        (keyed({"id": {"S": "7", "N": "7"}}), "no primary key"),
        (keyed({"id": "7"}), "no primary key"),
    ],
)
def test_invalid_stream_record_is_malformed(record: Any, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        read(record)


def test_unsupported_stream_view_type_is_named() -> None:
    record = without(remove(employee("7", "a.pdf")), "OldImage")
    record["dynamodb"]["StreamViewType"] = "KEYS_ONLY"

    with pytest.raises(MalformedError, match="it is KEYS_ONLY"):
        read(record)


@pytest.mark.parametrize("record", [None, [], "x", {}, {"dynamodb": None}, {"dynamodb": {"SequenceNumber": 7}}])
def test_missing_sequence_number_is_empty(record: Any) -> None:
    assert sequence_number(record) == ""


def test_record_id_does_not_depend_on_the_order_of_key_attributes() -> None:
    one = record_id({"state": {"S": "CA"}, "id": {"N": "7"}})

    assert one == record_id({"id": {"N": "7"}, "state": {"S": "CA"}})
    assert one != record_id({"id": {"S": "7"}, "state": {"S": "CA"}})


def test_file_freed_by_several_records_is_decided_once_with_the_latest_removal() -> None:
    changes = [
        read(remove(employee("7", "a.pdf"), age_seconds=50)),
        read(remove(employee("8", "b.pdf"))),
        read(remove(employee("9", "a.pdf"), age_seconds=10)),
    ]

    first, second = freed_files(changes)

    assert [first.key, second.key] == ["a.pdf", "b.pdf"]
    assert [one.sequence_number for one in first.freed_by] == [changes[0].sequence_number, changes[2].sequence_number]
    assert first.removed_at == changes[2].removed_at


def test_sequence_number_is_read_from_the_record() -> None:
    record = remove(employee("7", "a.pdf"))

    assert read(record).sequence_number == number_of(record)
