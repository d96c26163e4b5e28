"""The event source does what Lambda's pages say, and the real zip behind it does what it should.

The first part has functions of a few lines behind it; the second the zip under AWS's runtime client, on moto. The
event source's clock is the test's own. What the pages leave open is tested both ways: `Reading`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import pytest
from humangov.aws import trigger as trigger_of
from humangov.aws.policy import cleanup_policy

from testing import samples
from testing.event_source import destination, mapping, permissions
from testing.event_source.answers import Answer, number_of
from testing.event_source.clock import StillClock
from testing.event_source.decisions import RETRIES_EXHAUSTED, TOO_OLD, Reading
from testing.event_source.functions import under_lambda
from testing.event_source.mapping import trigger
from testing.event_source.source import SHARD, EventSource, ThrottledError, redeliver
from testing.event_source.story import operator_settings
from testing.lambda_runtime.runtime_api import TIMED_OUT
from testing.lambda_runtime.stream_events import Event, batch, employee, insert, modify, remove

from .conftest import Answer as HttpAnswer
from .conftest import Call, Fault, Forward, World, always, xml_error

STREAM = "arn:aws:dynamodb:us-east-1:123456789012:table/california/stream/2026-01-01T00:00:00.000"
PARTIAL = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
BISECT = {"BisectBatchOnFunctionError": True}
TO_S3 = {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::california-files"}}}
Settings = Mapping[str, Any]


class Function:
    """Remembers what it was sent, as record IDs, and answers as it is told."""

    def __init__(self, answer: Callable[[list[str], Event], Answer], clock: StillClock) -> None:
        self._answer, self._clock = answer, clock
        self.sent: list[list[str]] = []
        self.times: list[float] = []

    def __call__(self, event: Any) -> Answer:
        ids = ids_of(event["Records"])
        self.sent.append(ids)
        self.times.append(self._clock.now)
        return self._answer(ids, event)


class Line:
    """An event source with a function of a few lines behind it."""

    def __init__(self, settings: Settings, answer: Callable[[list[str], Event], Answer], **more: Any) -> None:
        self.clock = StillClock()
        self.begun = self.clock.now
        self.function = Function(answer, self.clock)
        self.stored: dict[str, bytes] = {}
        self.source = EventSource(
            trigger(settings, stream_arn=STREAM),
            clock=self.clock, invoke=self.function, deliver=self.stored.__setitem__, **more,
        )  # fmt: skip

    def put(self, *ids: str, shard: str = SHARD, **more: Any) -> list[Event]:
        records = [remove(employee(one, f"{one}.pdf", **more), at=self.clock.now) for one in ids]
        for record in records:
            self.source.put(record, shard=shard)
        return records

    def run(self, *ids: str) -> list[list[str]]:
        self.put(*ids)
        self.source.run()
        return self.function.sent

    @property
    def discarded(self) -> list[list[str]]:
        return [ids_of(one.records) for one in self.source.discarded]


def ids_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [one["dynamodb"]["Keys"]["id"]["S"] for one in records]


def fine(_ids: list[str], _event: Event) -> Answer:
    return Answer(result={"batchItemFailures": []})


def raising(*poison: str) -> Callable[[list[str], Event], Answer]:
    """The whole function fails if one of these is in the batch."""
    return lambda ids, _event: Answer(error="Unhandled") if set(ids) & set(poison) else fine(ids, _event)


def reporting(*poison: str) -> Callable[[list[str], Event], Answer]:
    """Everything is processed, and these are reported."""

    def answer(_ids: list[str], event: Event) -> Answer:
        bad = [one for one in event["Records"] if one["dynamodb"]["Keys"]["id"]["S"] in poison]
        return Answer(result={"batchItemFailures": [{"itemIdentifier": number_of(one)} for one in reversed(bad)]})

    return answer


def saying(result: Any) -> Callable[[list[str], Event], Answer]:
    """That answer once, then success."""
    answers = [Answer(result=result)]
    return lambda ids, event: answers.pop() if answers else fine(ids, event)


# Batches.


def test_batch_holds_at_most_batch_size_records_in_order() -> None:
    assert Line({"BatchSize": 2}, fine).run(*"abcde") == [["a", "b"], ["c", "d"], ["e"]]


def test_batch_holds_at_most_six_megabytes() -> None:
    line = Line({"BatchSize": 100}, fine)
    line.put(*"abcdefg", note={"S": "x" * 1_000_000})
    line.source.run()

    assert line.function.sent == [list("abcdef"), ["g"]]


def test_batch_waits_for_its_window_unless_full() -> None:
    line = Line({"BatchSize": 3, "MaximumBatchingWindowInSeconds": 10}, fine)
    line.put("a")
    line.clock.advance(4)
    line.put("b")
    line.source.run()
    late = line.function.times[0] - line.begun
    line.put("c", "d", "e")
    line.source.run()

    assert line.function.sent == [["a", "b"], ["c", "d", "e"]]
    assert late == 10
    assert line.function.times[1] == line.function.times[0]


def test_shards_are_processed_independently() -> None:
    line = Line({"BatchSize": 1, "MaximumRetryAttempts": 3}, raising("bad"))
    line.put("bad", "after", shard="one")
    line.put("other", shard="two")
    line.source.run()

    assert line.function.sent[:2] == [["bad"], ["other"]]
    assert line.function.sent[-1] == ["after"]
    assert line.function.sent.count(["bad"]) == 4


def test_child_shard_waits_for_its_parent() -> None:
    line = Line({"BatchSize": 1, "MaximumRetryAttempts": 2}, raising("bad"))
    line.source.split("parent", "child")
    line.put("young", shard="child")
    line.put("bad", "old", shard="parent")
    line.source.run()

    assert line.function.sent == [["bad"]] * 3 + [["old"], ["young"]]


def test_parallelization_splits_a_shard_by_key_and_keeps_the_order_per_key() -> None:
    line = Line({"BatchSize": 1, "ParallelizationFactor": 10, "MaximumRetryAttempts": 1}, raising("bad"))
    line.put("bad", *"abcdefgh", "bad", "a")
    line.source.run()

    lanes = {one.lane for one in line.source.invocations}
    lane_of: dict[str, set[int]] = {}
    for one, ids in zip(line.source.invocations, line.function.sent, strict=True):
        lane_of.setdefault(ids[0], set()).add(one.lane)
    assert len(lanes) > 1
    assert all(len(of_key) == 1 for of_key in lane_of.values())
    assert line.function.sent.count(["bad"]) == 4
    assert any(
        line.function.times[place] == line.begun for place, ids in enumerate(line.function.sent) if ids != ["bad"]
    )


def test_only_records_that_match_a_filter_reach_the_function() -> None:
    pattern = {"Pattern": '{"eventName":["REMOVE","MODIFY"]}'}
    line = Line({"FilterCriteria": {"Filters": [pattern]}}, fine)
    a, b, c = employee("a", "a.pdf"), employee("b", "b.pdf"), employee("c", "c.pdf")
    now = line.clock.now
    for record in (insert(a, at=now), modify(b, b | {"pdf": {"S": "new"}}, at=now), remove(c, at=now)):
        line.source.put(record)
    line.source.run()

    assert line.function.sent == [["b", "c"]]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"eventName": ["REMOVE"]}, True),
        ({"eventName": ["INSERT"]}, False),
        ({"userIdentity": {"principalId": ["dynamodb.amazonaws.com"]}}, False),
        ({"userIdentity": {"principalId": [{"exists": False}]}}, True),
        ({"eventName": [{"exists": False}]}, False),
        ({"eventName": [{"anything-but": ["REMOVE"]}]}, False),
        ({"dynamodb": {"OldImage": {"pdf": {"S": [{"suffix": ".pdf"}]}}}}, True),
        ({"dynamodb": {"OldImage": {"pdf": {"S": [{"prefix": "b"}]}}}}, False),
        ({"eventName": [{"anything-but": ["INSERT"]}], "awsRegion": ["us-east-1"]}, True),
    ],
)
def test_filter_pattern_matches_as_documented_by_aws(pattern: Any, expected: bool) -> None:
    line = Line({"FilterCriteria": {"Filters": [{"Pattern": json.dumps(pattern)}]}}, fine)

    assert line.run("a") == ([["a"]] if expected else [])


@pytest.mark.parametrize(
    "settings",
    [
        {"BatchSize": 0},
        {"BatchSize": 10_001},
        {"MaximumBatchingWindowInSeconds": 301},
        {"ParallelizationFactor": 11},
        {"MaximumRetryAttempts": -2},
        {"MaximumRecordAgeInSeconds": 59},
        {"FilterCriteria": {"Filters": [{"Pattern": "{}"}] * 6}},
        {"Retries": 1},
    ],
)
def test_invalid_mapping_settings_are_refused_like_lambda(settings: Settings) -> None:
    with pytest.raises(ValueError, match=r"range|filters|not known"):
        trigger(settings, stream_arn=STREAM)


# Answers.


@pytest.mark.parametrize("result", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_null_or_empty_function_response_is_a_success(result: Any) -> None:
    assert Line(PARTIAL, saying(result)).run(*"abc") == [["a", "b", "c"]]


@pytest.mark.parametrize(
    "failure",
    [{"itemIdentifier": ""}, {"itemIdentifier": None}, {"identifier": "1"}, {"itemIdentifier": "unknown"}, {}],
)
def test_invalid_item_identifier_fails_the_whole_batch(failure: Any) -> None:
    assert Line(PARTIAL, saying({"batchItemFailures": [failure]})).run(*"abc") == [["a", "b", "c"]] * 2


def test_lowest_failed_sequence_number_is_the_checkpoint_and_later_records_are_redelivered() -> None:
    line = Line(PARTIAL | {"MaximumRetryAttempts": 1}, reporting("b", "d"))

    assert line.run(*"abcde") == [list("abcde"), list("bcde")]


def test_batch_item_failures_count_only_if_the_mapping_enables_them() -> None:
    assert Line({}, reporting("b")).run(*"abc") == [["a", "b", "c"]]


# Failures.


def test_maximum_retry_attempts_excludes_the_first_attempt() -> None:
    line = Line({"MaximumRetryAttempts": 3}, raising("b"))

    assert line.run(*"abc") == [["a", "b", "c"]] * 4
    assert line.discarded == [["a", "b", "c"]]


def test_record_without_retries_is_discarded_at_once() -> None:
    assert Line({"MaximumRetryAttempts": 0}, raising("a")).run("a") == [["a"]]


def test_poison_record_blocks_its_shard_until_it_expires_by_default() -> None:
    line = Line({"BatchSize": 1}, raising("bad"))
    line.put("bad")
    line.clock.advance(3600)
    line.put("after")
    line.source.run()

    assert line.function.sent[-1] == ["after"]
    assert 24 * 3600 <= line.function.times[-1] - line.begun < 24 * 3600 + 120
    assert line.discarded == [["bad"]]
    assert line.source.discarded[0].condition == TOO_OLD


def test_records_written_with_a_poison_record_expire_with_it() -> None:
    line = Line({"BatchSize": 1}, raising("bad"))
    line.run("bad", "after")

    assert ["after"] not in line.function.sent
    assert line.discarded == [["bad"], ["after"]]


def test_records_over_the_maximum_age_are_discarded_without_an_invocation() -> None:
    line = Line({"MaximumRecordAgeInSeconds": 60}, fine)
    line.put("old")
    line.clock.advance(60)
    line.put("young")
    line.source.run()

    assert line.function.sent == [["young"]]
    assert line.discarded == [["old"]]


def test_bisecting_a_batch_uses_no_retries() -> None:
    line = Line(BISECT | {"MaximumRetryAttempts": 2}, raising("c"))

    assert line.run(*"abcd") == [list("abcd"), ["a", "b"], ["c", "d"], ["c"], ["c"], ["c"], ["d"]]
    assert line.discarded == [["c"]]


@pytest.mark.parametrize("reading", Reading)
def test_batch_is_bisected_at_the_reported_item_and_only_the_rest_is_redelivered(reading: Reading) -> None:
    line = Line(BISECT | PARTIAL | {"MaximumRetryAttempts": 1}, reporting("c"), reading=reading)
    line.run(*"abcd")

    assert line.function.sent[:2] == [list("abcd"), list("cd")]
    if reading is Reading.HALVES:
        assert line.function.sent[2:] == [["c"], ["c"], ["d"]]
        assert line.discarded == [["c"]]
    else:
        assert line.function.sent[2:] == [list("cd")]
        assert line.discarded == [["c", "d"]]


@pytest.mark.parametrize("reading", Reading)
def test_function_error_bisects_the_batch_despite_item_failures(reading: Reading) -> None:
    line = Line(BISECT | PARTIAL | {"MaximumRetryAttempts": 0}, raising("d"), reading=reading)

    assert line.run(*"abcd") == [list("abcd"), ["a", "b"], ["c", "d"], ["c"], ["d"]]


def test_throttled_invocations_use_no_retries_and_end_at_the_maximum_age() -> None:
    def throttled(_ids: list[str], _event: Event) -> Answer:
        raise ThrottledError

    line = Line({"MaximumRetryAttempts": 0, "MaximumRecordAgeInSeconds": 600}, throttled)
    line.run("a")

    assert len(line.function.sent) > 5
    assert line.source.invocations == []
    assert line.source.discarded[0].condition == TOO_OLD
    assert line.source.discarded[0].invocations == 0
    assert 600 <= line.clock.now - line.begun < 660


def test_rewound_lane_redelivers_handled_records() -> None:
    line = Line({"BatchSize": 2}, fine)
    line.run(*"abc")
    line.source.rewind(2)
    line.source.run()

    assert line.function.sent == [["a", "b"], ["c"], ["b", "c"]]


# The destination.


def test_discarded_batch_is_written_to_s3_as_an_invocation_record() -> None:
    line = Line(PARTIAL | TO_S3 | {"MaximumRetryAttempts": 2}, raising("a"), pause=lambda _failures: 1)
    line.clock.now = line.begun = 1_767_268_799  # 2026-01-01T11:59:59Z
    records = line.put("a", "b")
    line.source.run()

    ((key, stored),) = line.stored.items()
    head, random = key[:-36], key[-36:]
    assert head == f"aws/lambda/11111111-2222-3333-4444-555555555555/{SHARD}/2026/01/01/2026-01-01T12.00.01-"
    assert random.count("-") == 4
    reported = json.loads(stored)
    request_id = reported["requestContext"].pop("requestId")
    assert len(request_id) == 36
    assert json.loads(reported.pop("payload")) == {"Records": records}
    assert reported == {
        "requestContext": {
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:humangov-california-delete-file",
            "condition": RETRIES_EXHAUSTED,
            "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2026-01-01T12:00:01.000Z",
        "DDBStreamBatchInfo": {
            "shardId": SHARD,
            "startSequenceNumber": number_of(records[0]),
            "endSequenceNumber": number_of(records[1]),
            "approximateArrivalOfFirstRecord": "2026-01-01T11:59:59Z",
            "approximateArrivalOfLastRecord": "2026-01-01T11:59:59Z",
            "batchSize": 2,
            "streamArn": STREAM,
        },
    }


def test_discarded_batch_without_a_destination_is_not_written() -> None:
    line = Line({"MaximumRetryAttempts": 0}, raising("a"))
    line.run("a")

    assert line.discarded == [["a"]]
    assert line.stored == {}


def test_invocation_record_holds_the_event_of_a_redrive() -> None:
    line = Line(TO_S3 | {"MaximumRetryAttempts": 0}, raising("a"))
    line.run("a", "b")
    again = Function(fine, line.clock)
    redeliver(line.stored, again)

    assert again.sent == [["a", "b"]]


# Rights.


def generated_policy() -> dict[str, Any]:
    return cleanup_policy(samples.names(), table_key_arn=None)


def the_stream() -> str:
    return f"{samples.names().table_arn}/stream/2026-01-01T00:00:00.000"


def test_generated_role_lets_lambda_read_the_stream() -> None:
    permissions.check_stream(generated_policy(), stream_arn=the_stream())


@pytest.mark.parametrize("action", permissions.STREAM_ACTIONS)
def test_mapping_is_refused_without_any_of_the_four_stream_permissions(action: str) -> None:
    policy = generated_policy()
    for statement in policy["Statement"]:
        named = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        statement["Action"] = [one for one in named if one != f"dynamodb:{action}"]

    with pytest.raises(
        permissions.NoPermissionError, match=f"Please ensure the role can perform .* Missing: {action}$"
    ):
        permissions.check_stream(policy, stream_arn=the_stream())


def test_generated_role_cannot_read_the_stream_of_another_table() -> None:
    another = the_stream().replace("table/", "table/another-")

    with pytest.raises(permissions.NoPermissionError, match=r"Missing: GetRecords, GetShardIterator, DescribeStream$"):
        permissions.check_stream(generated_policy(), stream_arn=another)


def test_deny_statement_overrides_allow() -> None:
    policy = generated_policy()
    policy["Statement"].append({"Effect": "Deny", "Action": "dynamodb:GetRecords", "Resource": "*"})

    with pytest.raises(permissions.NoPermissionError, match=r"Missing: GetRecords$"):
        permissions.check_stream(policy, stream_arn=the_stream())


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ({"Action": "s3:PutObject", "Resource": "arn:aws:s3:::files/aws/lambda/*"}, "s3:ListBucket on"),
        ({"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::files"}, "s3:PutObject on"),
    ],
)
def test_failure_destination_needs_permission_to_write_and_list(statement: dict[str, str], missing: str) -> None:
    policy = {"Statement": [{"Effect": "Allow", **statement}]}

    with pytest.raises(permissions.NoPermissionError, match=missing):
        permissions.check_destination(policy, bucket="files", uuid="1")


def test_generated_role_lets_lambda_write_failed_invocations_only_to_the_tenants_bucket() -> None:
    permissions.check_destination(generated_policy(), bucket=samples.names().tenant.bucket.name, uuid="1")

    with pytest.raises(permissions.NoPermissionError):
        permissions.check_destination(generated_policy(), bucket="another", uuid="1")
    with pytest.raises(permissions.NoPermissionError):
        permissions.check_destination(
            generated_policy(), bucket=samples.names().tenant.bucket.name, uuid="1", account="999999999999"
        )


@pytest.mark.parametrize("sid", ["KeepFailedInvocations", "FindTheBucketOfFailures"])
def test_failed_invocations_need_both_policy_statements(sid: str) -> None:
    policy = generated_policy()
    kept = [one for one in policy["Statement"] if one["Sid"] != sid]

    with pytest.raises(permissions.NoPermissionError):
        permissions.check_destination(policy | {"Statement": kept}, bucket=samples.names().tenant.bucket.name, uuid="1")


def test_failed_invocations_go_only_to_the_named_failures_bucket() -> None:
    names = samples.names(failures={"bucket": "all-failures"})
    settings = trigger_of.desired(names, samples.context(), table=None).configuration
    policy = cleanup_policy(names, table_key_arn=None)

    assert mapping.trigger(settings, stream_arn=the_stream()).failures_bucket == "all-failures"
    permissions.check_destination(policy, bucket="all-failures", uuid="1")
    with pytest.raises(permissions.NoPermissionError):
        permissions.check_destination(policy, bucket=names.tenant.bucket.name, uuid="1")


# The zip behind it, on moto.


class Tenant:
    """A world on moto, its zip behind an event source, and the application's removals."""

    def __init__(
        self, world: World, *, settings: Settings | None = None, timeout_ms: int = 300_000, **more: Any
    ) -> None:
        self.world = world
        self.clock = StillClock(now=time.time())
        self.invoke = under_lambda(world.function, timeout_ms=timeout_ms)
        self.source = EventSource(
            trigger(settings or operator_settings(), stream_arn=STREAM),
            clock=self.clock, invoke=self.invoke, deliver=self._store, **more,
        )  # fmt: skip

    def _store(self, key: str, body: bytes) -> None:
        self.world.s3.put_object(Bucket=self.world.bucket, Key=key, Body=body)

    def delete(self, *ids: str, **more: Any) -> None:
        self.world.upload(*(f"{one}.pdf" for one in ids))
        for one in ids:
            self.source.put(remove(employee(one, f"{one}.pdf", **more), at=self.clock.now))

    @property
    def files(self) -> set[str]:
        return {key for key in self.world.files if not key.startswith("aws/lambda/")}

    @property
    def stored(self) -> dict[str, bytes]:
        keys = [key for key in self.world.files if key.startswith("aws/lambda/")]
        return {key: self.world.s3.get_object(Bucket=self.world.bucket, Key=key)["Body"].read() for key in keys}


def refusing(world: World, *refused: str) -> Fault:
    """S3 refuses these keys and deletes the others."""

    def fault(call: Call, _forward: Forward) -> HttpAnswer:
        tree = ElementTree.fromstring(call.body)  # noqa: S314
        keys = [node.text or "" for node in tree.iter() if node.tag.endswith("Key")]
        for key in set(keys) - set(refused):
            world.s3.delete_object(Bucket=world.bucket, Key=key)
        reported = "".join(
            f"<Error><Key>{key}</Key><Code>AccessDenied</Code></Error>"
            if key in refused
            else f"<Deleted><Key>{key}</Key></Deleted>"
            for key in keys
        )
        return HttpAnswer(200, f"<DeleteResult>{reported}</DeleteResult>".encode(), {"Content-Type": "application/xml"})

    return fault


def test_cleanup_function_erases_files_of_removed_and_changed_records(world: World) -> None:
    tenant = Tenant(world)
    world.upload("new.pdf", "old.pdf", "first.pdf")
    world.write(employee("3", "new.pdf"), employee("4", "first.pdf"))
    tenant.delete("1", "2")
    tenant.source.put(modify(employee("3", "old.pdf"), employee("3", "new.pdf"), at=tenant.clock.now))
    tenant.source.put(insert(employee("4", "first.pdf"), at=tenant.clock.now))
    tenant.source.run()

    assert tenant.files == {"new.pdf", "first.pdf"}
    assert [len(one.numbers) for one in tenant.source.invocations] == [4]


@pytest.mark.parametrize("reading", Reading)
def test_file_refused_by_s3_delays_no_other_and_is_erased_on_redelivery(world: World, reading: Reading) -> None:
    tenant = Tenant(world, reading=reading)
    world.layer.spoil("DeleteObjects", refusing(world, "3.pdf"))
    tenant.delete(*"12345")
    tenant.source.step()
    after_one_invocation = tenant.files
    tenant.source.run()

    assert after_one_invocation == {"3.pdf"}
    retries = operator_settings()["MaximumRetryAttempts"]
    with_the_poison = [one for one in tenant.source.invocations if one.failed_from is not None]
    assert len(with_the_poison) == retries + 1
    ((_, stored),) = tenant.stored.items()
    sent_again = destination.event(stored)["Records"]
    assert ids_of(sent_again) == ["3", "4", "5"]

    world.layer.reset()
    assert redeliver(tenant.stored, tenant.invoke) == [Answer(result={"batchItemFailures": []})]
    assert tenant.files == set()


def test_malformed_record_uses_no_retry_and_delays_no_other(world: World) -> None:
    tenant = Tenant(world)
    tenant.source.put(remove(employee("0"), at=tenant.clock.now))
    tenant.delete(*"12")
    tenant.source.run()

    assert tenant.files == set()
    assert [len(one.numbers) for one in tenant.source.invocations] == [3]
    assert tenant.stored == {}


@pytest.mark.parametrize("erased", [True, False], ids=["after the erasure", "before the erasure"])
def test_function_killed_at_its_deadline_restarts_and_its_batch_is_redelivered(world: World, erased: bool) -> None:
    tenant = Tenant(world, timeout_ms=4000)
    starts = world.function.starts
    hangs = [True]

    def hang(call: Call, forward: Forward) -> HttpAnswer | None:
        if not hangs:
            return forward(call)
        hangs.clear()
        if erased:
            forward(call)
        until = time.monotonic() + 20
        while world.function.starts == starts and time.monotonic() < until:
            time.sleep(0.01)
        return None

    world.layer.spoil("DeleteObjects", hang)
    tenant.delete(*"12")
    tenant.source.run()

    first, *others = tenant.source.invocations
    assert world.function.starts == starts + 1
    assert first.answer == Answer(error="Unhandled")
    assert others, "the batch is brought again"
    assert all(one.answer.result == {"batchItemFailures": []} for one in others)
    assert tenant.files == set()


def test_runtime_reports_why_a_killed_function_ended(world: World) -> None:
    held = threading.Event()

    def hang(_call: Call, _forward: Forward) -> None:
        held.wait(20)

    world.layer.spoil("BatchGetItem", hang)
    world.upload("1.pdf")
    done = world.function.invoke(batch(remove(employee("1", "1.pdf"))), timeout_ms=400, kill=True)
    held.set()

    assert done.error == {"errorType": TIMED_OUT}
    assert world.files == {"1.pdf"}


def test_function_whose_process_exits_restarts_and_its_batch_is_redelivered(world: World) -> None:
    tenant = Tenant(world)
    ends = [True]

    def end(call: Call, forward: Forward) -> HttpAnswer | None:
        if ends:
            ends.clear()
            world.function.kill()
            return None
        return forward(call)

    world.layer.spoil("BatchGetItem", end)
    tenant.delete(*"12")
    tenant.source.run()

    assert [one.answer.error for one in tenant.source.invocations] == ["Unhandled", None]
    assert tenant.files == set()


def test_re_created_record_keeps_its_file_through_every_redelivery(world: World) -> None:
    tenant = Tenant(world)
    tenant.delete(*"12")
    tenant.source.run()
    world.upload("1.pdf")
    world.write(employee("1", "1.pdf"))
    tenant.source.rewind(2)
    tenant.source.run()

    assert len(tenant.source.invocations) == 2
    assert tenant.files == {"1.pdf"}


def test_cleanup_function_handles_batches_of_six_megabytes(world: World) -> None:
    tenant = Tenant(world)
    tenant.delete(*"abcdefgh", note={"S": "x" * 1_000_000})
    tenant.source.run()

    assert [len(one.numbers) for one in tenant.source.invocations] == [6, 2]
    assert tenant.files == set()


def test_s3_outage_loses_no_erasure(world: World) -> None:
    tenant = Tenant(world, settings=operator_settings() | {"MaximumRetryAttempts": 1})
    world.layer.spoil("DeleteObjects", always(xml_error("InternalError", status=500)))
    tenant.delete(*"123")
    tenant.source.run()
    kept = tenant.files
    world.layer.reset()
    redeliver(tenant.stored, tenant.invoke)

    assert kept == {"1.pdf", "2.pdf", "3.pdf"}
    assert tenant.files == set()
