"""What is erased, and what S3's answers lead to: the real zip, awslambdaric, moto behind the fault layer.

moto has no 1,000-key limit, no bucket policy and no slow answers, and finds no key with a line feed in it: the
limit is counted at the fault layer, errors are the layer's in S3's form. Versions and retention: test_versions.py.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest

from testing.lambda_runtime.stream_events import batch, employee, failures, remove

from .conftest import (
    Answer,
    Call,
    Fault,
    Forward,
    MakeWorld,
    StartFunction,
    World,
    always,
    broken_off,
    json_error,
    once,
    xml_error,
)

XML = {"Content-Type": "application/xml"}


def keys_of(call: Call) -> list[str]:
    """What a DeleteObjects call asks for."""
    tree = ElementTree.fromstring(call.body)  # noqa: S314
    return [node.text or "" for node in tree.iter() if node.tag.endswith("Key")]


def refuse(*keys: str, code: str = "AccessDenied") -> Fault:
    """DeleteObjects answers 200 and refuses these keys in it."""

    def fault(call: Call, forward: Forward) -> Answer:
        parts = [
            f"<Error><Key>{escape(key)}</Key><Code>{code}</Code><Message>no</Message></Error>"
            if key in keys
            else f"<Deleted><Key>{escape(key)}</Key></Deleted>"
            for key in keys_of(call)
        ]
        return Answer(200, f"<DeleteResult>{''.join(parts)}</DeleteResult>".encode(), XML)

    return fault


def test_2500_removals_cost_three_delete_calls(world: World) -> None:
    world.upload(*(f"{one}.pdf" for one in range(2500)), "live.pdf")

    done = world.invoke(batch(*(remove(employee(str(one), f"{one}.pdf")) for one in range(2500))))

    assert done.result == failures()
    assert world.files == {"live.pdf"}
    counts = world.layer.counts
    assert counts.pop("DeleteObjects") == 3
    # Each of the three deletions reads its records again if a second has gone by since: cleanup/look.py.
    assert counts.pop("BatchGetItem") in (25, 30, 35, 40, 45, 50)
    assert not counts
    sizes = [len(keys_of(call)) for call in world.layer.calls if call.operation == "DeleteObjects"]
    assert sizes == [1000, 1000, 500]
    assert done.summary["files"] == {"erased": 2500}


def test_key_refused_by_s3_fails_only_the_records_that_named_it(world: World) -> None:
    world.layer.spoil("DeleteObjects", refuse("shared.pdf"))
    records = [
        remove(employee("1", "1.pdf")),
        remove(employee("2", "shared.pdf")),
        remove(employee("3", "3.pdf")),
        remove(employee("4", "shared.pdf")),
    ]

    done = world.invoke(batch(*records))

    assert done.result == failures(records[1], records[3])
    assert done.outcomes == {"1.pdf": "erased", "shared.pdf": "failed: AccessDenied", "3.pdf": "erased"}
    assert [keys_of(call) for call in world.layer.calls if call.operation == "DeleteObjects"] == [
        ["1.pdf", "shared.pdf", "3.pdf"]
    ]


def test_key_missing_in_the_delete_response_has_failed(world: World) -> None:
    world.layer.spoil(
        "DeleteObjects",
        always(Answer(200, b"<DeleteResult><Deleted><Key>1.pdf</Key></Deleted></DeleteResult>", XML)),
    )
    records = [remove(employee("1", "1.pdf")), remove(employee("2", "2.pdf"))]

    done = world.invoke(batch(*records))

    assert done.result == failures(records[1])


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        pytest.param(always(xml_error("AccessDenied", status=403)), "AccessDenied", id="denied"),
        pytest.param(always(xml_error("NoSuchBucket", status=404)), "NoSuchBucket", id="no bucket"),
        pytest.param(always(xml_error("SlowDown", status=503)), "SlowDown", id="slow down"),
        pytest.param(broken_off, "ConnectionClosedError", id="connection broken"),
        pytest.param(always(Answer(200, b"<Dele", XML)), "500", id="cut off"),
    ],
)
def test_failed_delete_call_fails_all_its_records(world: World, fault: Fault, code: str) -> None:
    world.upload("1.pdf", "2.pdf")
    world.layer.spoil("DeleteObjects", fault)
    records = [remove(employee(one, f"{one}.pdf")) for one in ("1", "2")]

    done = world.invoke(batch(*records))

    assert done.result == failures(*records)
    assert done.outcomes == dict.fromkeys(("1.pdf", "2.pdf"), f"failed: {code}")


OPERATIONS = ("ListObjectVersions", "BatchGetItem", "DeleteObjects", "DeleteObject")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("broken", [False, True])
def test_call_that_fails_once_is_retried_and_no_record_fails(world: World, operation: str, broken: bool) -> None:
    error = json_error if operation == "BatchGetItem" else xml_error
    late, fresh = "a.pdf", "bell\x07.pdf"
    world.upload(late, fresh, modified=datetime(2020, 1, 1, tzinfo=UTC))
    world.layer.spoil(operation, once(None if broken else error("ServiceUnavailable", status=503)))

    done = world.invoke(batch(remove(employee(late, late), age_seconds=1200), remove(employee(fresh, fresh))))

    assert done.result == failures()
    assert done.outcomes == {late: "erased", fresh: "erased"}
    usual = {"ListObjectVersions": 1, "BatchGetItem": 1, "DeleteObjects": 1, "DeleteObject": 1}
    assert world.layer.counts == usual | {operation: usual[operation] + 1}


def test_call_that_keeps_failing_is_tried_three_times(world: World) -> None:
    world.layer.spoil("DeleteObjects", always(xml_error("SlowDown", status=503)))

    world.invoke(batch(remove(employee("1", "1.pdf"))))

    assert world.layer.counts["DeleteObjects"] == 3


def test_call_that_fails_past_the_deadline_is_not_retried(world: World) -> None:
    """The fault layer holds the answer past half of the 1.8 s, where no attempt is begun any more."""
    world.upload("1.pdf")
    removed = remove(employee("1", "1.pdf"))

    def hold(call: Call, forward: Forward) -> Answer:
        time.sleep(0.93)
        return xml_error("SlowDown", status=503)

    world.layer.spoil("DeleteObjects", hold)

    done = world.invoke(batch(removed), timeout_ms=1800)

    assert done.result == failures(removed)
    assert done.outcomes == {"1.pdf": "failed: SlowDown"}
    assert world.layer.counts["DeleteObjects"] == 1


def test_failed_record_succeeds_on_redelivery(world: World) -> None:
    world.upload("1.pdf")
    world.layer.spoil("DeleteObjects", always(xml_error("AccessDenied", status=403)))
    event = batch(remove(employee("1", "1.pdf")))
    assert world.invoke(event).result != failures()

    world.layer.reset()

    assert world.invoke(event).result == failures()
    assert world.files == set()


def test_redelivery_of_a_handled_batch_changes_nothing_and_succeeds(world: World) -> None:
    world.upload("1.pdf", "live.pdf")
    world.write(employee("2", "live.pdf"))
    event = batch(remove(employee("1", "1.pdf")), remove(employee("2", "live.pdf")))

    results = [world.invoke(event).result for _ in range(3)]

    assert results == [failures()] * 3
    assert world.files == {"live.pdf"}


@pytest.mark.parametrize(
    "name",
    [
        "employee cv.pdf",
        "Łukasz-履歴書-📄.pdf",
        "a+b=c&d.pdf",
        "100%.pdf",
        "<>&'\".pdf",
        "/leading/slash.pdf",
        "double//slash.pdf",
        "a?versionId=1#x.pdf",
        "é-combined e\u0301.pdf",
        " leading and trailing ",
        "tab\treturn\r.pdf",
        "bell\x07.pdf",
        "next\x85line\u2028.pdf",
        "x" * 1024,
    ],
)
def test_object_key_is_used_byte_for_byte(world: World, name: str) -> None:
    world.upload(name, "other.pdf")

    done = world.invoke(batch(remove(employee("1", name))))

    assert done.result == failures()
    assert world.files == {"other.pdf"}
    assert done.outcomes == {name: "erased"}


def test_key_that_xml_cannot_carry_is_erased_alone_and_the_others_together(world: World) -> None:
    names = ["a.pdf", "bell\x07.pdf", "b.pdf"]
    world.upload(*names)

    done = world.invoke(batch(*(remove(employee(name, name)) for name in names)))

    assert done.result == failures()
    assert world.files == set()
    assert world.layer.counts == {"BatchGetItem": 1, "DeleteObjects": 1, "DeleteObject": 1}


def test_late_key_that_xml_cannot_carry_is_found_in_the_listing(world: World) -> None:
    """moto cannot list such a key; the answer is in S3's form."""
    name = "bell\x07 and+plus.pdf"
    listed = (
        "<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Version>"
        "<Key>bell%07+and%2Bplus.pdf</Key><VersionId>null</VersionId><LastModified>2999-01-01T00:00:00.000Z</LastModified>"
        "</Version></ListVersionsResult>"
    )
    world.layer.spoil("ListObjectVersions", always(Answer(200, listed.encode(), XML)))

    done = world.invoke(batch(remove(employee("1", name), age_seconds=1200)))

    assert done.outcomes == {name: "kept: newer"}


def test_reserved_keys_are_never_erased(world: World) -> None:
    reserved = {".humangov/owner.json", "aws/lambda/uuid/shard/2026/01/01/x"}
    world.upload(*reserved, "aws/other.pdf")

    done = world.invoke(batch(*(remove(employee(name, name)) for name in [*reserved, "aws/other.pdf"])))

    assert done.result == failures()
    assert world.files == reserved
    assert done.outcomes == dict.fromkeys(reserved, "kept: reserved") | {"aws/other.pdf": "erased"}


def test_key_prefix_precedes_the_file_name_and_reserves_keys_under_it(make_world: MakeWorld) -> None:
    world = make_world(HUMANGOV_KEY_PREFIX="california/")
    world.upload("california/cv.pdf", "cv.pdf", "california/.humangov/owner.json", "california/live.pdf")
    world.write(employee("3", "live.pdf"))
    names = ["cv.pdf", ".humangov/owner.json", "live.pdf"]

    done = world.invoke(
        batch(*(remove(employee(str(one), name), table=world.table) for one, name in enumerate(names, 1)))
    )

    assert done.result == failures()
    assert world.files == {"cv.pdf", "california/.humangov/owner.json", "california/live.pdf"}


def test_emulator_endpoint_gets_path_style_requests(world: World, start: StartFunction) -> None:
    function = start(
        HUMANGOV_TABLE=world.table,
        HUMANGOV_BUCKET=world.bucket,
        AWS_ENDPOINT_URL=world.layer.url.replace("127.0.0.1", "localhost"),
    )
    world.upload("cv.pdf")

    done = function.invoke(batch(remove(employee("1", "cv.pdf"), table=world.table)))

    assert done.result == failures()
    assert [call.target for call in world.layer.calls if call.operation == "DeleteObjects"] == [
        f"/{world.bucket}?delete"
    ]
    assert world.files == set()
