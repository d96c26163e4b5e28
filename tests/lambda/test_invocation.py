"""One invocation as Lambda sees it: what it returns, logs and leaves: the real zip, awslambdaric, moto.

The local Runtime API kills nothing at the deadline and bounds neither memory nor payload; it only says when
the deadline is. How Lambda retries and bisects is not shown here.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from testing.lambda_runtime.runtime_api import InitError
from testing.lambda_runtime.stream_events import Event, batch, employee, failures, insert, modify, number_of, remove

from .conftest import Answer, Call, Forward, StartFunction, World


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"Records": []}, id="no records"),
        pytest.param({}, id="empty"),
        pytest.param([], id="a list"),
        pytest.param(None, id="null"),
        pytest.param({"Records": None}, id="null records"),
        pytest.param(batch(insert(employee("1", "1.pdf"))), id="only an insert"),
    ],
)
def test_events_without_records_report_no_batch_item_failures(world: World, event: Any) -> None:
    done = world.invoke(event)

    assert done.error is None
    assert done.result == {"batchItemFailures": []}
    assert world.layer.counts == {}


def broken_records() -> dict[str, Any]:
    """What a stream cannot hold, or what names no file: no retry would cure any of it."""
    no_old_image = remove(employee("1", "1.pdf"))
    del no_old_image["dynamodb"]["OldImage"]
    no_keys = remove(employee("1", "1.pdf"))
    del no_keys["dynamodb"]["Keys"]
    no_number = remove(employee("1", "1.pdf"))
    del no_number["dynamodb"]["SequenceNumber"]
    odd_key = remove(employee("1", "1.pdf"))
    odd_key["dynamodb"]["Keys"] = {"id": {"N": "seven"}}
    return {
        "null": None,
        "text": "record",
        "empty": {},
        "no old image": no_old_image,
        "no keys": no_keys,
        "no sequence number": no_number,
        "a key that DynamoDB refuses": odd_key,
        "images that are no maps": remove(employee("1", "1.pdf")) | {"dynamodb": {"OldImage": 7}},
        "unknown event": remove(employee("1", "1.pdf")) | {"eventName": "TRUNCATE"},
        "another table's": remove(employee("1", "1.pdf"), table="florida"),
        "no table": remove(employee("1", "1.pdf")) | {"eventSourceARN": None},
        "no file": remove(employee("1")),
        "empty name": remove(employee("1", "")),
        "a number": remove(employee("1", pdf=None) | {"pdf": {"N": "7"}}),
        "null file": remove(employee("1") | {"pdf": {"NULL": True}}),
        "empty list": remove(employee("1") | {"pdf": {"L": []}}),
    }


@pytest.mark.parametrize("name", broken_records())
def test_malformed_record_is_skipped_and_delays_no_other(world: World, name: str) -> None:
    world.upload("1.pdf", "2.pdf", "3.pdf")
    before, broken, after = (
        remove(employee("2", "2.pdf")),
        broken_records()[name],
        remove(employee("3", "3.pdf")),
    )

    done = world.invoke(batch(before, broken, after))

    assert done.result == failures()
    assert world.files == {"1.pdf"}
    assert done.summary["malformed"] == 1
    assert [line["message"] for line in done.lines if line.get("level") == "WARN"] == ["malformed record skipped"]


@pytest.mark.parametrize("text", ["x" * 1025, "s3://elsewhere/1.pdf", "ftp://california-files/1.pdf"])
def test_file_name_outside_the_bucket_is_skipped_and_does_not_delay_the_others(world: World, text: str) -> None:
    world.upload("1.pdf", "2.pdf", "3.pdf")
    unresolved = remove(employee("1", text))

    done = world.invoke(batch(remove(employee("2", "2.pdf")), unresolved, remove(employee("3", "3.pdf"))))

    assert done.result == failures()
    assert world.files == {"1.pdf"}
    assert (done.summary["malformed"], done.summary["unresolved"]) == (0, 1)
    assert [line["message"] for line in done.lines if line.get("level") == "WARN"] == ["unresolved file name skipped"]


def test_record_with_a_key_of_another_shape_fails_alone(world: World) -> None:
    """A key that does not fit the table's schema makes DynamoDB refuse a whole call."""
    world.upload("1.pdf", "2.pdf")
    poison = remove(employee("1", "1.pdf") | {"other": {"S": "x"}}, key_names=("other",))
    good = remove(employee("2", "2.pdf"))

    done = world.invoke(batch(poison, good))

    assert done.result == failures(poison)
    assert world.files == {"1.pdf"}


def test_first_unhandled_record_at_the_deadline_is_reported(world: World) -> None:
    """The fault layer holds the first erasure's answer past half of the 4 s: from there nothing is begun."""
    files = [[f"{one}-{part}.pdf" for part in range(100)] for one in range(12)]
    world.upload(*(name for names in files for name in names))
    records = [remove(employee(str(one)) | {"pdf": {"SS": names}}) for one, names in enumerate(files)]
    timeout_ms = 4000
    stop_at = time.time() + timeout_ms / 2000 + 0.2

    def hold(call: Call, forward: Forward) -> Answer:
        answer = forward(call)
        while time.time() < stop_at:
            time.sleep(0.05)
        return answer

    world.layer.spoil("DeleteObjects", hold)

    done = world.invoke(batch(*records), timeout_ms=timeout_ms)

    assert done.result == failures(records[10])
    assert world.files == {*files[10], *files[11]}
    assert done.summary["unhandled"] == 2


def test_no_call_starts_past_the_deadline(world: World) -> None:
    world.upload("1.pdf", "2.pdf")
    records = [remove(employee(one, f"{one}.pdf")) for one in ("1", "2")]

    done = world.invoke(batch(*records), timeout_ms=0)

    assert done.result == failures(records[0])
    assert world.layer.counts == {}


def test_receipt_intent_is_logged_before_the_erasure_and_outcome_after_it(world: World) -> None:
    world.upload("cv.pdf")
    intents: list[dict[str, Any]] = []

    def look_at_the_log(call: Call, forward: Forward) -> Answer:
        intents.extend(world.layer.stored())
        return forward(call)

    world.layer.spoil("DeleteObjects", look_at_the_log)
    removed = remove(employee("7", "cv.pdf"))

    done = world.invoke(batch(removed))

    (before,) = intents
    assert before["receipt"] == "intent"
    (after,) = done.receipts("outcome")
    deleted_at = after["deleted_at"]
    assert after == {
        "receipt": "outcome",
        "tenant": "uid/humangov/california",
        "bucket": world.bucket,
        "key": "cv.pdf",
        "record_key": {"id": {"S": "7"}},
        "event_id": removed["eventID"],
        "sequence_number": number_of(removed),
        "event": "REMOVE",
        "expired": False,
        "deleted_at": deleted_at,
        "outcome": "erased",
        "versions_erased": None,
        "versions_left": None,
        "erased_at": after["erased_at"],
        "announced": True,
        "id": after["id"],
        "line": before["line"] + 1,
        "previous": after["previous"],
    }
    of_outcomes = ("outcome", "versions_erased", "versions_left", "erased_at", "announced")
    assert before == {key: value for key, value in after.items() if key not in of_outcomes} | {
        "receipt": "intent", "versions_seen": None, "id": before["id"], "line": before["line"],
        "previous": before["previous"],
    }  # fmt: skip
    assert deleted_at < after["erased_at"]


def test_receipt_distinguishes_changed_removed_and_expired_records(world: World) -> None:
    world.upload("1.pdf", "2.pdf", "3.pdf")
    changed = modify(employee("1", "1.pdf"), employee("1", "new.pdf"))

    done = world.invoke(batch(changed, remove(employee("2", "2.pdf")), remove(employee("3", "3.pdf"), expired=True)))

    reported = {line["key"]: (line["event"], line["expired"]) for line in done.receipts("outcome")}
    assert reported == {"1.pdf": ("MODIFY", False), "2.pdf": ("REMOVE", False), "3.pdf": ("REMOVE", True)}


def test_invocation_summary_counts_files_by_outcome_and_the_longest_latency(world: World) -> None:
    world.upload("1.pdf", "2.pdf")
    world.write(employee("2", "2.pdf"))

    done = world.invoke(
        batch(
            remove(employee("1", "1.pdf"), age_seconds=30),
            remove(employee("2", "2.pdf")),
            remove(employee("3")),
            insert(employee("4", "4.pdf")),
        )
    )

    summary = done.summary
    assert summary["records"] == 4
    assert summary["files"] == {"erased": 1, "kept: live": 1}
    assert (summary["malformed"], summary["failed"], summary["unhandled"]) == (1, 0, 0)
    assert 29_000 <= summary["max_latency_ms"] <= 60_000


def test_invocation_logs_one_line_of_embedded_metrics(world: World) -> None:
    """CloudWatch takes out what `_aws` declares; nothing here can show that it does."""
    world.upload("1.pdf", "2.pdf")
    world.write(employee("2", "2.pdf"))
    failing = remove(employee("4", "4.pdf") | {"other": {"S": "x"}}, key_names=("other",))

    done = world.invoke(
        batch(remove(employee("1", "1.pdf")), remove(employee("2", "2.pdf")), remove(employee("3")), failing)
    )

    (line,) = [line for line in done.lines if "_aws" in line]
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("HumanGov", [["tenant"]])
    assert line["tenant"] == "uid/humangov/california"
    declared = {one["Name"]: line[one["Name"]] for one in directive["Metrics"]}
    (latency,) = declared.pop("erasure_latency_ms")
    assert declared == {
        "erased": 1,
        "kept": 1,
        "retained": 0,
        "malformed": 1,
        "unresolved": 0,
        "failed": 1,
        "held": 0,
        "LimitedRecords": 0,
    }
    assert latency == line["max_latency_ms"]


def secrets(event: Event) -> Event:
    """The event with a secret in every place where a record holds personal data."""
    for record in event["Records"]:
        for image in ("OldImage", "NewImage"):
            if image in record["dynamodb"]:
                record["dynamodb"][image]["note"] = {"M": {"hidden": {"S": "SECRET-note"}}}
    return event


def test_function_log_holds_only_record_keys_and_file_names(world: World) -> None:
    world.upload("1.pdf", "2.pdf", "5.pdf")
    world.write(employee("2", "2.pdf", ssn={"S": "SECRET-live"}))
    odd_file = employee("4") | {"pdf": {"M": {"x": {"S": "SECRET-map"}}}}
    odd_list = employee("6") | {"pdf": {"L": [{"M": {"x": {"S": "SECRET-list"}}}]}}
    wrong_key = remove(employee("7", "7.pdf") | {"other": {"S": "x"}}, key_names=("other",))

    done = world.invoke(
        secrets(
            batch(
                remove(employee("1", "1.pdf")),
                remove(employee("2", "2.pdf")),
                modify(employee("3", "3.pdf"), employee("3", "new.pdf")),
                remove(odd_file),
                remove(odd_list),
                wrong_key,
            )
        )
    )

    log = json.dumps(done.lines)
    assert "1.pdf" in log
    for secret in ("SECRET", "Secret Name", "987654"):
        assert secret not in log


def test_function_without_its_table_variable_fails_at_cold_start(start: StartFunction) -> None:
    function = start(HUMANGOV_BUCKET="files")

    with pytest.raises(InitError, match=r"HUMANGOV_TABLE is not set\. It must name the table whose deleted"):
        function.invoke(batch())
