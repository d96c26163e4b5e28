"""No erasure without a durable receipt, and no outcome that says more than is so.

The first part is the real zip under awslambdaric, with moto's CloudWatch Logs behind the fault layer. The second is the
same code in this process, behind an event source, a table, a bucket and a log group in memory (testing/event_source).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.cleanup.batch import run
from humangov.cleanup.calls import RETRY_WITHIN_SECONDS, Calls, Line, NoReceiptError
from humangov.cleanup.environment import FunctionSettings
from humangov.cleanup.erasure_limit import HOUR_SECONDS, RECENT_KEYS, ErasureLimit
from humangov.cleanup.outcomes import BatchResult
from humangov.proof import receipts

from testing.event_source.story import Code, Story, cleanup_code, operator_settings
from testing.event_source.tenant import Faults
from testing.lambda_runtime.stream_events import batch, employee, failures, remove
from testing.receipt_chain import broken_links

from .conftest import Fault, StartFunction, World, always, broken_off, json_error


def removals(world: World, number: int) -> list[Any]:
    world.upload(*(f"{one}.pdf" for one in range(number)))
    return [remove(employee(str(one), f"{one}.pdf")) for one in range(number)]


# The zip.


def test_a_batch_of_1000_costs_two_calls_of_the_log(world: World) -> None:
    world.invoke(batch(*removals(world, 1)))
    world.layer.reset()

    done = world.invoke(batch(*removals(world, 1000)))

    assert done.result == failures()
    assert world.layer.logging == ["PutLogEvents", "PutLogEvents"]
    order = [call.operation for call in world.layer.calls if call.operation != "GetBucketVersioning"]
    reads = ["BatchGetItem"] * 10
    # What was read lasts a second (cleanup/look.py, cleanup/versioning.py): a slow machine reads it again.
    assert order in [[*reads, "PutLogEvents", *again, "DeleteObjects", "PutLogEvents"] for again in ([], reads)]
    assert (len(done.receipts("intent")), len(done.receipts("outcome"))) == (1000, 1000)


def test_the_first_batch_creates_the_log_stream_and_the_next_ones_use_it(world: World, start: StartFunction) -> None:
    world.function = start(HUMANGOV_TABLE=world.table, HUMANGOV_BUCKET=world.bucket)

    lines = [line for _ in range(3) for line in world.invoke(batch(*removals(world, 2))).lines if "receipt" in line]

    assert world.layer.logging == ["CreateLogStream", *["PutLogEvents"] * 6]
    assert broken_links([json.dumps(line) for line in lines]) == []
    assert len({call.json["logStreamName"] for call in world.layer.calls if call.operation in world.layer.logging}) == 1


REFUSED = {
    "gone": json_error("ResourceNotFoundException"),
    "denied": json_error("AccessDeniedException"),
    "throttled": json_error("ThrottlingException"),
    "broken": json_error("InternalFailure", status=500),
}


@pytest.mark.parametrize("operation", ["PutLogEvents", "CreateLogStream"])
@pytest.mark.parametrize("why", [*REFUSED, "unreachable"])
def test_while_the_log_group_takes_no_line_nothing_is_erased_and_the_records_are_handed_back(
    world: World, start: StartFunction, operation: str, why: str
) -> None:
    world.function = start(HUMANGOV_TABLE=world.table, HUMANGOV_BUCKET=world.bucket)
    records = removals(world, 3)
    world.layer.spoil(operation, broken_off if why == "unreachable" else always(REFUSED[why]))

    done = world.invoke(batch(*records))

    assert done.result == failures(*records)
    assert world.files == {"0.pdf", "1.pdf", "2.pdf"}
    assert "DeleteObjects" not in world.layer.counts
    assert done.summary["files"] == {"failed: NoReceipt": 3}
    said = {line["message"] for line in done.lines if line.get("level") == "ERROR"}
    assert said == {"receipts could not be stored, the records will be retried"}

    world.layer.reset()
    assert world.invoke(batch(*records)).result == failures(), "once it takes lines again, they are erased"
    assert world.files == set()


def test_record_whose_outcome_was_not_stored_is_retried(world: World) -> None:
    records = removals(world, 1)
    world.layer.spoil("DeleteObjects", _then_refuse_the_log(world))

    done = world.invoke(batch(*records))

    assert (done.result, world.files) == (failures(*records), set())
    assert done.summary["files"] == {"erased": 1}, "the summary says what is so"
    world.layer.reset()
    assert world.invoke(batch(*records)).result == failures()


def _then_refuse_the_log(world: World) -> Fault:
    def fault(call: Any, forward: Any) -> Any:
        world.layer.spoil("PutLogEvents", always(json_error("AccessDeniedException")))
        return forward(call)

    return fault


def test_an_unconfirmed_put_begins_a_next_stream_and_its_lines_count_once(world: World) -> None:
    def stored_but_lost(call: Any, forward: Any) -> None:
        forward(call)
        world.layer.spoil("PutLogEvents", lambda call, forward: forward(call))

    world.layer.spoil("PutLogEvents", stored_but_lost)

    done = world.invoke(batch(*removals(world, 2)))

    assert done.result == failures()
    assert (len(done.receipts("intent")), len(done.receipts("outcome"))) == (2, 2)
    assert world.layer.logging.count("PutLogEvents") == 3


# In this process: cut off, and redelivered.


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    return cleanup_code(tmp_path_factory.mktemp("code"))


def reported(story: Story) -> list[receipts.Receipt]:
    """What `humangov receipts` says."""
    events = [
        {"timestamp": 1_800_000_000_000 + place, "logStreamName": stream, "message": message}
        for stream, messages in story.tenant.log_streams.items()
        for place, message in enumerate(messages)
    ]
    return list(receipts.joined(events))


def killed(operation: str, *, attempt: int = 1, when: str = "after") -> Faults:
    """The function's time is up at that call of the operation."""
    return lambda name, subject, number: (
        f"killed {when}" if name == operation and subject.startswith("call") and number == attempt else None
    )


@pytest.mark.parametrize(
    ("versioning", "wait", "outcome"),
    [("Enabled", 1, "absent after intent"), ("", 1200, "absent after intent"), ("", 1, "erased")],
    ids=["versions", "a late event", "no versions"],
)
def test_file_that_was_erased_before_the_function_was_cut_off_is_not_reported_as_merely_absent(
    code: Code, versioning: str, wait: int, outcome: str
) -> None:
    story = Story(code, operator_settings(), faults=killed("DeleteObjects"), versioning=versioning)
    story.tenant.upload("cv.pdf")
    story.clock.advance(10)
    story.tenant.write("7", "cv.pdf")
    story.source.run()
    story.clock.advance(10)
    story.tenant.remove("7")
    story.clock.advance(wait)
    story.source.run()

    assert story.tenant.files == set()
    (receipt,) = reported(story)
    assert (receipt.key, receipt.outcome, receipt.cut_off) == ("cv.pdf", outcome, 1)
    assert receipt.intended_at is not None
    assert (receipt.erased_at is not None) is (outcome == "erased")


@pytest.mark.parametrize("operation", ["BatchGetItem", "PutLogEvents", "DeleteObjects"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("attempt", [1, 2])
@pytest.mark.parametrize("versioning", ["", "Enabled"])
def test_wherever_the_function_is_cut_off_the_next_delivery_settles_every_intent(
    code: Code, operation: str, when: str, attempt: int, versioning: str
) -> None:
    story = Story(
        code, operator_settings(), faults=killed(operation, attempt=attempt, when=when), versioning=versioning
    )  # fmt: skip
    for one in ("1", "2"):
        story.tenant.upload(f"{one}.pdf")
        story.clock.advance(2)
        story.tenant.write(one, f"{one}.pdf")
    story.source.run()
    story.clock.advance(10)
    for one in ("1", "2"):
        story.tenant.remove(one)
    story.source.run()

    assert (story.tenant.files, story.tenant.unannounced) == (set(), [])
    by_key: dict[str, list[str]] = {}
    for receipt in reported(story):
        by_key.setdefault(receipt.key, []).append(receipt.outcome)
    for key in ("1.pdf", "2.pdf"):
        assert by_key[key][0] in ("erased", "absent after intent")
        assert set(by_key[key][1:]) <= {"erased", "absent"}, "delivered again after its outcome was stored"


# What is left, and what was written meanwhile.

SETTINGS = FunctionSettings(
    tenant="uid/humangov/california", table="california", bucket="files", account_id="123456789012"
)


@dataclass
class Moment:
    """One record that is gone and one file that is there, with a clock; storing lines takes `storing` seconds."""

    records: dict[str, Any] = field(default_factory=dict)
    storing: float = 0.0
    now: float = 1_800_000_000.0
    calls: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    log: list[Line] = field(default_factory=list)
    meanwhile: Iterator[None] = field(default_factory=lambda: iter(()))
    limit: ErasureLimit | None = None
    refuses: bool = False
    written: float = 1_700_000_000.0
    settings: FunctionSettings = SETTINGS

    def batch_get_item(self, **request: Any) -> Any:
        self.calls.append("read")
        asked = [one["id"]["S"] for one in request["RequestItems"]["california"]["Keys"]]
        return {"Responses": {"california": [self.records[one] for one in asked if one in self.records]}}

    def delete_objects(self, **request: Any) -> Any:
        self.calls.append(f"erase {len(request['Delete']['Objects'])}")
        return {"Deleted": request["Delete"]["Objects"]}

    def query(self, **_: Any) -> Any:
        raise AssertionError("the table has no index")

    def list_object_versions(self, **request: Any) -> Any:
        """Of a late event, or under `Reused`: one file, in a bucket that keeps no versions."""
        at = datetime.fromtimestamp(self.written, UTC)
        return {"Versions": [{"Key": request["Prefix"], "VersionId": "null", "LastModified": at}]}

    def delete_object(self, **_: Any) -> Any:
        raise AssertionError("every key here is fit for DeleteObjects")

    get_object_retention = get_object_legal_hold = delete_object

    def store(self, lines: Any) -> None:
        if self.refuses:
            raise NoReceiptError("no")
        self.lines += lines
        self.calls.append("store")
        self.now += self.storing
        next(self.meanwhile, None)

    def run(self, *records: Any) -> BatchResult:
        calls = Calls(
            dynamodb=self, s3=self, bucket_owner="123456789012", out_of_time=lambda: False, pause=lambda _: None,
            now=lambda: self.now, write=self.log.extend, store=self.store, limit=self.limit,
        )  # fmt: skip
        return run(batch(*records), settings=self.settings, calls=calls)

    def gone(self, *ids: str) -> list[Any]:
        return [remove(employee(one, f"{one}.pdf"), at=self.now) for one in ids]


def test_if_storing_the_intents_takes_long_the_table_is_read_again_before_the_erasure() -> None:
    moment = Moment(storing=RETRY_WITHIN_SECONDS + 1)

    def named_again() -> Iterator[None]:
        moment.records["1"] = employee("1", "1.pdf")
        yield

    moment.meanwhile = named_again()
    result = moment.run(*moment.gone("1", "2"))

    assert moment.calls == ["read", "store", "read", "erase 1", "store"]
    assert {one["key"]: (one["outcome"], one["announced"]) for one in moment.lines if one["receipt"] == "outcome"} == {
        "1.pdf": ("kept: live", True), "2.pdf": ("erased", True),
    }  # fmt: skip
    assert result.hand_back == ()


def test_if_storing_the_intents_takes_long_a_file_that_was_uploaded_again_meanwhile_stays() -> None:
    """`Reused`: the application uploads first, and writes the record afterwards."""
    moment = Moment(storing=RETRY_WITHIN_SECONDS + 1, settings=replace(SETTINGS, file_names="Reused"))

    def uploaded_again() -> Iterator[None]:
        moment.written = moment.now
        yield

    moment.meanwhile = uploaded_again()
    result = moment.run(*moment.gone("1"))

    assert not [call for call in moment.calls if call.startswith("erase")]
    assert [one["outcome"] for one in moment.lines if one["receipt"] == "outcome"] == ["kept: newer"]
    assert result.hand_back == ()


def test_if_storing_the_intents_takes_no_time_the_table_is_read_once() -> None:
    moment = Moment(storing=0.05)
    moment.run(*moment.gone("1"))
    assert moment.calls == ["read", "store", "erase 1", "store"]


# The limit.


def test_beyond_the_limit_of_an_hour_the_rest_is_handed_back_and_counted_as_limited() -> None:
    moment = Moment(limit=ErasureLimit(3))
    records = moment.gone(*"12345")

    first = moment.run(*records)

    assert first.answer == failures(*records[3:])
    assert (first.limited, first.failed, first.unhandled) == (2, 0, 0)
    assert moment.calls == ["read", "store", "erase 3", "store"]
    (line,) = moment.log
    assert (line["level"], line["message"], line["limited"], line["maximum_per_hour"]) == (
        "WARN", "erasure limit reached", 2, 3,
    )  # fmt: skip
    assert [one["outcome"] for one in moment.lines if one["receipt"] == "outcome"] == ["erased"] * 3 + ["limited"] * 2

    moment.now += HOUR_SECONDS - 1
    assert moment.run(*records[3:]).limited == 2
    moment.now += 1
    assert moment.run(*records[3:]).hand_back == ()


def test_kept_files_and_files_without_a_receipt_do_not_count_for_the_erasure_limit() -> None:
    moment = Moment(limit=ErasureLimit(1), records={"1": employee("1", "1.pdf")})
    records = moment.gone("1", "2")
    assert moment.run(*records).hand_back == ()
    assert moment.limit is not None
    assert moment.limit.beyond(["9.pdf"], now=moment.now) == {"9.pdf"}

    again = Moment(limit=ErasureLimit(1), refuses=True)
    assert again.run(*again.gone("1")).failed == 1
    assert again.limit is not None
    assert again.limit.beyond(["9.pdf"], now=again.now) == frozenset()


def test_a_limit_of_0_is_none() -> None:
    limit = ErasureLimit(0)
    limit.start(["1.pdf", "2.pdf"], now=0.0)
    assert limit.beyond(["3.pdf"], now=0.0) == frozenset()


def test_a_batch_that_is_delivered_again_counts_once_for_the_limit() -> None:
    """One record of it fails each time. Nothing is listed for young events, so each file seems to be erased again."""
    moment = Moment(limit=ErasureLimit(4))
    records = moment.gone("1", "2", "3")
    for _ in range(11):
        assert moment.run(*records).limited == 0
    assert moment.run(*moment.gone("4", "5")).limited == 1


def test_a_key_that_is_erased_again_hours_later_counts_again_for_the_limit() -> None:
    """`Reused`: an application uploads each night's files under the same names."""
    limit = ErasureLimit(2)
    keys = ["1.pdf", "2.pdf"]
    limit.start(keys, now=0.0)
    assert limit.beyond([*keys, "3.pdf"], now=HOUR_SECONDS - 1) == {"3.pdf"}

    limit.start(keys, now=HOUR_SECONDS)

    assert limit.beyond([*keys, "3.pdf"], now=HOUR_SECONDS) == {"3.pdf"}
    assert limit.beyond([*keys, "3.pdf"], now=2 * HOUR_SECONDS) == {"3.pdf"}


def test_the_limit_remembers_as_many_files_as_a_batch_has() -> None:
    limit = ErasureLimit(RECENT_KEYS + 2000)
    keys = [f"{number}.pdf" for number in range(RECENT_KEYS + 5)]
    limit.start(keys, now=0.0)
    limit.start(keys, now=1.0)
    # The first five were forgotten, and count twice.
    assert len(limit.beyond([f"new-{number}" for number in range(2000)], now=2.0)) == 10


def test_the_zip_takes_its_limit_from_its_environment(world: World, start: StartFunction) -> None:
    world.function = start(
        HUMANGOV_TABLE=world.table, HUMANGOV_BUCKET=world.bucket, HUMANGOV_MAXIMUM_ERASURES_PER_HOUR="2"
    )
    records = removals(world, 3)

    done = world.invoke(batch(*records))

    assert done.result == failures(records[2])
    assert world.files == {"2.pdf"}
    assert done.summary["LimitedRecords"] == 1
    assert [line["message"] for line in done.lines if line.get("level") == "WARN"] == ["erasure limit reached"]


def test_limited_records_whose_retries_end_go_to_the_failures_bucket_and_are_not_lost(
    code: Code,
) -> None:
    limited = Code(code.directory, code.handler, {**code.environment, "HUMANGOV_MAXIMUM_ERASURES_PER_HOUR": "1"})
    story = Story(limited, operator_settings())
    for one in ("1", "2"):
        story.tenant.upload(f"{one}.pdf")
        story.clock.advance(2)
        story.tenant.write(one, f"{one}.pdf")
    story.source.run()
    story.clock.advance(10)
    for one in ("1", "2"):
        story.tenant.remove(one)
    story.source.run()

    assert story.tenant.files == {"2.pdf"}
    assert len(story.tenant.failures) == 1
    story.clock.advance(HOUR_SECONDS)
    story.redrive()
    assert (story.tenant.files, story.tenant.lost) == (set(), [])
