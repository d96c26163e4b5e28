"""`humangov redrive` on moto, which shows versions and Object Lock, no permissions, and not Lambda's own writing."""

from __future__ import annotations

import io
import itertools
import json
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import CliRunner
from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients, connect
from humangov.cleanup.calls import NoReceiptError
from humangov.cleanup.outcomes import ERASED, FileOutcome
from humangov.cleanup.receipt_lines import spell
from humangov.cli import lookup
from humangov.cli.main import main
from humangov.final_read.cluster import FinalHandling, handle_finally, status_fields
from humangov.redrive import mappings, output
from humangov.redrive.redrive import RefusedError, Surroundings, redrive
from humangov.redrive.result import RedriveResult
from moto import mock_aws

from testing import samples
from testing.documents import differences, object_of
from testing.event_source import destination
from testing.event_source.decisions import RETRIES_EXHAUSTED, Discarded
from testing.event_source.mapping import trigger
from testing.lambda_runtime import stream_events
from testing.lambda_runtime.stream_events import employee

UUID, FORMER = "91eaeb7e-c976-4939-86c8-b8e4f4a5e3d0", "00000000-0000-4000-8000-000000000000"
"""Of the tenant's mappings, as the operator has recorded them; of a mapping that nobody has recorded: ELSEWHERE."""

ELSEWHERE = "11111111-0000-4000-8000-000000000000"
REMOVED_AT = (datetime.now(UTC) + timedelta(hours=1)).timestamp()  # every file made in these tests is older


# Clients take long to make, and moto is behind all of them.
sdk = cache(lambda service: boto3.client(service, region_name="us-east-1"))
connected = cache(lambda: connect(region="us-east-1"))


class Killed(BaseException):
    """The process has ended."""


@dataclass
class Account:
    """A tenant in moto, and the invocation records that Lambda wrote."""

    names: Names
    clients: AwsClients
    calls: list[str] = field(default_factory=list)
    before: Callable[[str, dict[str, Any]], None] = lambda _operation, _parameters: None
    after: Callable[[str], None] = lambda _operation: None
    written: int = 0

    def __post_init__(self) -> None:
        for client in self._watched():
            client.meta.events.register("before-parameter-build", self._before)
            client.meta.events.register("after-call", self._after)

    def leave(self) -> None:
        """The clients are everybody's."""
        for client in self._watched():
            client.meta.events.unregister("before-parameter-build", self._before)
            client.meta.events.unregister("after-call", self._after)

    def _watched(self) -> list[Any]:
        clients = self.clients
        return [clients.dynamodb, clients.patient_dynamodb, clients.s3, clients.patient_s3, clients.logs]

    def _before(self, *, model: Any, params: dict[str, Any], **_: Any) -> None:
        self.before(model.name, params)
        self.calls.append(model.name)

    def _after(self, *, model: Any, **_: Any) -> None:
        self.after(model.name)

    @property
    def bucket(self) -> str:
        return self.names.tenant.bucket.name

    def upload(self, *names: str) -> None:
        for name in names:
            sdk("s3").put_object(Bucket=self.bucket, Key=name, Body=b"%PDF")

    def hire(self, one: str, name: str) -> None:
        sdk("dynamodb").put_item(TableName=self.names.tenant.table.name, Item=employee(one, name))

    def discard(
        self, *removed: tuple[str, str], uuid: str = UUID,
        function_arn: str = "", table: str = "", at: float = REMOVED_AT,
    ) -> str:  # fmt: skip
        """Lambda gives up a batch of these removals (id, file); returns the invocation record's key."""
        table = table or self.names.tenant.table.name
        records = tuple(stream_events.remove(employee(one, name), table=table, at=at) for one, name in removed)
        mapping = trigger(
            {}, stream_arn=f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}/stream/2026-01-01T00:00:00.000",
            uuid=uuid, function_arn=function_arn or self.names.function_arn,
        )  # fmt: skip
        self.written += 1
        key = destination.object_key(mapping, shard="shardId-1", now=at, random=f"{self.written:04}")
        body = destination.body(
            Discarded(records, RETRIES_EXHAUSTED, 11), mapping, shard="shardId-1", now=at, request_id="1", error=None
        )
        self.put(key, body)
        return key

    def put(self, key: str, body: bytes) -> None:
        sdk("s3").put_object(Bucket=self.names.tenant.failures.bucket, Key=key, Body=body)

    def keys(self) -> set[str]:
        """Of every version and marker in the bucket."""
        page = sdk("s3").list_object_versions(Bucket=self.bucket)
        return {one["Key"] for name in ("Versions", "DeleteMarkers") for one in page.get(name, ())}

    @property
    def files(self) -> set[str]:
        return {key for key in self.keys() if not key.startswith("aws/lambda/")}

    @property
    def waiting(self) -> set[str]:
        return self.keys() - self.files

    def run(self, **more: Any) -> RedriveResult:
        dry_run = more.pop("dry_run", False)
        around = Surroundings(**({"pause": lambda _seconds: None} | more))
        return redrive(self.clients, self.names, dry_run=dry_run, around=around)

    def receipts(self) -> list[dict[str, Any]]:
        group = self.names.tenant.log_group_name
        events = sdk("logs").filter_log_events(logGroupName=group)["events"]
        return [line for event in events if "receipt" in (line := json.loads(event["message"]))]


def known_names(**spec: Any) -> Names:
    """With the mappings that the operator has recorded."""
    names = samples.names(**spec)
    return replace(names, tenant=replace(names.tenant, mappings=(FORMER, UUID)))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing"),
                        ("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_REGION", "us-east-1"),
                        ("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")):  # fmt: skip
        monkeypatch.setenv(name, value)
    names = known_names()
    with mock_aws():
        sdk("dynamodb").create_table(
            TableName=names.tenant.table.name, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )  # fmt: skip
        sdk("s3").create_bucket(Bucket=names.tenant.bucket.name, ObjectLockEnabledForBucket=False)
        sdk("logs").create_log_group(logGroupName=names.tenant.log_group_name)
        found = Account(names, connected())
        yield found
        found.leave()


def spelled(outcomes: Mapping[FileOutcome, int]) -> dict[str, int]:
    return {spell(outcome): number for outcome, number in outcomes.items()}


def versioned(account: Account) -> None:
    sdk("s3").put_bucket_versioning(
        Bucket=account.bucket, VersioningConfiguration={"Status": "Enabled"}
    )  # fmt: skip


def test_redrive_erases_the_files_of_failed_invocations_with_receipts_and_deletes_their_objects(
    account: Account,
) -> None:
    account.upload("1.pdf", "2.pdf", "other.pdf")
    account.discard(("1", "1.pdf"), ("2", "2.pdf"))

    summary = account.run()

    assert account.keys() == {"other.pdf"}
    assert (summary.own, summary.records, summary.removed, summary.left) == (1, 2, 1, 0)
    assert spelled(summary.outcomes) == {"erased": 2}
    assert [(one["receipt"], one["key"]) for one in account.receipts()] == [
        ("intent", "1.pdf"), ("intent", "2.pdf"), ("outcome", "1.pdf"), ("outcome", "2.pdf"),
    ]  # fmt: skip
    assert {one["tenant"] for one in account.receipts()} == {account.names.owner}


def test_redrive_keeps_a_file_that_a_record_names(account: Account) -> None:
    account.upload("1.pdf", "2.pdf")
    account.hire("1", "1.pdf")
    account.discard(("1", "1.pdf"), ("2", "2.pdf"))

    summary = account.run()

    assert account.keys() == {"1.pdf"}
    assert spelled(summary.outcomes) == {"kept: live": 1, "erased": 1}
    assert summary.left == 0


def test_redrive_keeps_a_file_written_after_the_removal(account: Account) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"), at=datetime.now(UTC).timestamp() - 3600)

    assert spelled(account.run().outcomes) == {"kept: newer": 1}
    assert account.files == {"1.pdf"}


def test_redrive_accepts_failed_invocations_of_a_former_mapping_and_of_any_function_version(account: Account) -> None:
    account.upload("1.pdf", "2.pdf")
    account.discard(("1", "1.pdf"), uuid=FORMER)
    account.discard(("2", "2.pdf"), function_arn=f"{account.names.function_arn}:live")

    assert account.run().removed == 2
    assert account.keys() == set()


@pytest.mark.parametrize(
    "whose",
    [
        {"function_arn": "arn:aws:lambda:us-east-1:123456789012:function:humangov-california-delete-file-2"},
        {"function_arn": "arn:aws:lambda:us-east-1:999999999999:function:humangov-california-delete-file"},
        {"table": "humangov-california-dynamodb-2"},
    ],
    ids=["another function", "another account", "another table"],
)
def test_redrive_counts_and_keeps_failed_invocations_of_other_functions(
    account: Account, whose: dict[str, Any]
) -> None:
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"), **whose)

    summary = account.run()

    assert (summary.others, summary.own, summary.left) == (1, 0, 0)
    assert account.keys() == {"1.pdf", key}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"%PDF", b"[]", b"{}", b'{"requestContext": {"functionArn": 1}}', b"\xff\xfe", b"[" * 100_000,
        b'{"requestContext": "x", "DDBStreamBatchInfo": []}',
    ],
    ids=["empty", "no JSON", "a list", "nothing in it", "a number", "no text", "too deep", "other shapes"],
)  # fmt: skip
def test_redrive_keeps_an_unreadable_failed_invocation_with_the_reason_and_handles_the_others(
    account: Account, body: bytes
) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))
    account.put(f"aws/lambda/{UUID}/a-strange-one", body)

    summary = account.run()

    assert account.keys() == {f"aws/lambda/{UUID}/a-strange-one"}
    assert list(summary.unreadable) == [f"aws/lambda/{UUID}/a-strange-one"]
    assert summary.left == 1


@pytest.mark.parametrize("payload", [None, "x", '{"Records": []}', "{}", 7, "null"])
def test_redrive_keeps_a_failed_invocation_without_its_event_with_the_reason(account: Account, payload: Any) -> None:
    key = account.discard(("1", "1.pdf"))
    stored = json.loads(sdk("s3").get_object(Bucket=account.bucket, Key=key)["Body"].read())
    account.put(key, json.dumps(stored | {"payload": payload}).encode())

    assert list(account.run().unreadable) == [key]
    assert account.waiting == {key}


def test_redrive_keeps_a_failed_invocation_that_fails_again_and_handles_it_in_the_next_run(account: Account) -> None:
    account.upload("1.pdf", "2.pdf")
    key = account.discard(("1", "1.pdf"), ("2", "2.pdf"))
    account.before = _fails("BatchGetItem", "ResourceNotFoundException")

    summary = account.run()

    assert account.files == {"1.pdf", "2.pdf"}
    assert {one: [*map(spell, why)] for one, why in summary.failed.items()} == {
        key: ["failed: ResourceNotFoundException"]
    }
    assert (summary.removed, summary.left) == (0, 1)

    account.before = lambda _operation, _parameters: None
    assert account.run().left == 0
    assert account.keys() == set()


def test_redrive_on_a_versioned_bucket_erases_every_version_of_the_file_and_of_the_failed_invocation(
    account: Account,
) -> None:
    versioned(account)
    account.upload("1.pdf", "1.pdf", "1.pdf.bak")
    key = account.discard(("1", "1.pdf"))
    body = sdk("s3").get_object(Bucket=account.bucket, Key=key)["Body"].read()
    account.put(key, body)

    summary = account.run()

    assert account.keys() == {"1.pdf.bak"}
    assert summary.removed == 1
    assert [one["versions_erased"] for one in account.receipts() if one["receipt"] == "outcome"] == [2]


def test_redrive_ignores_a_failed_invocation_behind_a_delete_marker(account: Account) -> None:
    versioned(account)
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"))
    sdk("s3").delete_object(Bucket=account.bucket, Key=key)

    assert account.run().found == 0
    assert account.files == {"1.pdf"}


def test_redrive_reports_a_failed_invocation_that_s3_retains_and_may_repeat_it_safely(account: Account) -> None:
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"))
    account.clients = replace(
        account.clients, patient_s3=_With(account.clients.patient_s3, delete_objects=lambda **_: _DENIED)
    )

    for outcome in ("erased", "absent"):
        summary = account.run()
        assert summary.kept == {key: "AccessDenied"}
        assert (spelled(summary.outcomes), summary.left) == ({outcome: 1}, 1)


def test_redrive_killed_after_any_call_ends_the_same_in_the_next_run(account: Account) -> None:
    """Before a call is after the one before it: what was done is the same."""
    for number in range(1, 100):
        account.upload("1.pdf", "2.pdf", "3.pdf")
        account.hire("2", "2.pdf")
        account.discard(("1", "1.pdf"), ("2", "2.pdf"))
        account.discard(("3", "3.pdf"))
        reported = len(account.receipts())
        account.calls.clear()
        account.after = _kills(account, number)
        killed = False
        try:
            account.run()
        except Killed:
            killed = True
        account.after = lambda _operation: None
        intended = {one["key"] for one in account.receipts()[reported:] if one["receipt"] == "intent"}
        assert {"1.pdf", "2.pdf", "3.pdf"} - account.files <= intended, "erased without a receipt"

        assert account.run().left == 0
        assert account.keys() == {"2.pdf"}
        if not killed:
            break
    assert number > 10


def test_redrive_without_the_log_group_erases_nothing(account: Account) -> None:
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"))
    sdk("logs").delete_log_group(logGroupName=account.names.tenant.log_group_name)

    with pytest.raises(NoReceiptError, match="does not exist, and without a receipt nothing is erased"):
        account.run()

    assert account.keys() == {"1.pdf", key}


def test_redrive_stops_before_the_erasure_when_a_receipt_cannot_be_written(account: Account) -> None:
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"))
    account.before = _fails("PutLogEvents", "AccessDeniedException")

    result = account.run()

    assert result.unstored is not None
    assert "AccessDeniedException" in result.unstored
    assert (account.keys(), result.left) == ({"1.pdf", key}, 1)


def test_redrive_counts_what_it_erased_before_its_receipts_failed(account: Account) -> None:
    account.upload("1.pdf", "2.pdf")
    account.discard(("1", "1.pdf"))
    account.discard(("2", "2.pdf"))
    puts = itertools.count(1)

    def outcomes_fail(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "PutLogEvents" and next(puts) > 1:
            _fails("PutLogEvents", "AccessDeniedException")(operation, parameters)

    account.before = outcomes_fail

    result = account.run()

    assert result.unstored is not None
    assert (dict(result.outcomes), result.removed, result.left) == ({ERASED: 1}, 0, 2)
    assert {"2.pdf"} <= account.keys(), "nothing is erased after that"


def test_redrive_does_not_take_a_failed_page_as_the_end_of_the_list(account: Account) -> None:
    account.discard(("1", "1.pdf"))
    account.before = _fails("ListObjectVersions", "AccessDenied")

    with pytest.raises(ClientError, match="AccessDenied"):
        account.run()


def test_redrive_starts_no_invocation_after_a_stop_signal(account: Account) -> None:
    account.upload("1.pdf", "2.pdf")
    account.discard(("1", "1.pdf"))
    account.discard(("2", "2.pdf"))

    summary = account.run(stop=lambda: account.files != {"1.pdf", "2.pdf"})

    assert summary.stopped
    assert account.files == {"2.pdf"}
    assert len(account.waiting) >= 1
    assert account.run().left == 0


def test_redrive_dry_run_reports_and_changes_nothing(account: Account) -> None:
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"))

    summary = account.run(dry_run=True)

    assert (summary.own, summary.records, summary.by_condition) == (1, 1, {RETRIES_EXHAUSTED: 1})
    assert account.keys() == {"1.pdf", key}
    assert set(account.calls) == {"ListObjectVersions", "GetObject"}


@pytest.mark.parametrize("spec", [{"trigger": {"enabled": False}}, {"suspend": True}])
def test_redrive_refuses_while_the_spec_stops_all_erasing(account: Account, spec: dict[str, Any]) -> None:
    account.discard(("1", "1.pdf"))
    account.names = known_names(**spec)

    with pytest.raises(RefusedError, match=r"so nothing is erased\. Set it to (true|false) first"):
        account.run()

    assert account.calls == []


def test_redrive_leaves_each_file_to_the_sweep_when_records_share_file_names(account: Account) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))
    spec = samples.resource()["spec"]
    account.names = known_names(table={**spec["table"], "fileNames": "Shared"})

    assert spelled(account.run().outcomes) == {"left to the sweep": 1}
    assert account.keys() == {"1.pdf"}


# Whose failed invocations these are, and what the table says.


def test_redrive_does_not_read_what_a_mapping_of_another_wrote_and_a_planted_record_erases_nothing(
    account: Account,
) -> None:
    """As one who may write under aws/lambda/ in a shared bucket plants it: function and table are named correctly."""
    account.upload("live.pdf", "unnamed.pdf")
    account.hire("7", "live.pdf")
    key = account.discard(("no-such", "live.pdf"), ("no-such", "unnamed.pdf"), uuid=ELSEWHERE)

    summary = account.run()

    assert (summary.others, summary.own, summary.by_other_mapping) == (1, 0, {ELSEWHERE: 1})
    assert account.keys() == {"live.pdf", "unnamed.pdf", key}
    assert "GetObject" not in account.calls


def test_redrive_keeps_a_file_that_any_record_of_the_table_names_whatever_the_invocation_says(
    account: Account,
) -> None:
    account.upload("live.pdf", "1.pdf")
    account.hire("7", "live.pdf")
    account.discard(("no-such", "live.pdf"), ("1", "1.pdf"))

    summary = account.run()

    assert account.keys() == {"live.pdf"}
    assert spelled(summary.outcomes) == {"kept: live": 1, "erased": 1}


def test_redrive_has_no_erasure_limit(account: Account) -> None:
    """It handles at once what the function returned because of the limit, as docs/operations.md says."""
    account.names = known_names(trigger={"maximumErasuresPerHour": 1})
    account.upload("0.pdf", "1.pdf", "2.pdf")
    account.discard(*((str(number), f"{number}.pdf") for number in range(3)))
    assert spelled(account.run().outcomes) == {"erased": 3}
    assert account.files == set()


def test_redrive_reads_the_table_once_for_many_invocations_and_not_at_all_without_any(account: Account) -> None:
    account.discard(("1", "1.pdf"), uuid=ELSEWHERE)
    account.run()
    assert account.calls.count("Scan") == 0
    for number in range(5):
        account.discard((str(number), f"{number}.pdf"))
    assert account.run().removed == 5
    assert account.calls.count("Scan") == 1


def test_redrive_of_very_many_files_reads_the_table_more_than_once(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("humangov.redrive.redrive.KEYS_AT_ONCE", 2)
    account.upload("0.pdf", "1.pdf", "2.pdf", "3.pdf", "4.pdf")
    for number in range(5):
        account.discard((str(number), f"{number}.pdf"))
    assert account.run().removed == 5
    assert (account.calls.count("Scan"), account.keys()) == (3, set())


def test_redrive_erases_nothing_if_the_table_cannot_be_read(account: Account) -> None:
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"))
    account.before = _fails("Scan", "AccessDeniedException")

    with pytest.raises(ClientError, match="AccessDeniedException"):
        account.run()

    assert account.keys() == {"1.pdf", key}


def test_redrive_erases_nothing_more_than_15_minutes_after_the_reading_of_the_table_began(account: Account) -> None:
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"))
    clock = [REMOVED_AT]

    def slow(operation: str) -> None:
        clock[0] += 901 if operation == "Scan" else 0

    account.after = slow
    summary = account.run(now=lambda: clock[0])
    assert {one: [*map(spell, why)] for one, why in summary.failed.items()} == {key: ["failed: ReadingTooOld"]}
    assert account.keys() == {"1.pdf", key}


def test_redrive_of_an_invocation_that_changes_after_the_reading_erases_none_of_its_new_files(
    account: Account,
) -> None:
    account.upload("1.pdf", "live.pdf")
    account.hire("7", "live.pdf")
    key = account.discard(("1", "1.pdf"))
    planted = account.discard(("no-such", "live.pdf"), uuid=ELSEWHERE)
    body = sdk("s3").get_object(Bucket=account.bucket, Key=planted)["Body"].read()

    def replaced(operation: str) -> None:
        if operation == "Scan":
            account.put(key, body)

    account.after = replaced
    summary = account.run()
    assert {one: [*map(spell, why)] for one, why in summary.failed.items()} == {key: ["failed: NotInTheReading"]}
    assert account.files == {"1.pdf", "live.pdf"}


@pytest.mark.parametrize("code", ["AccessDenied", "KMS.DisabledException", "InvalidObjectState"])
def test_redrive_counts_names_and_skips_an_object_that_cannot_be_read(account: Account, code: str) -> None:
    account.upload("0.pdf", "1.pdf")
    key = account.discard(("0", "0.pdf"))
    account.discard(("1", "1.pdf"))

    def before(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "GetObject" and parameters["Key"] == key:
            raise ClientError({"Error": {"Code": code, "Message": ""}}, operation)

    account.before = before
    summary = account.run()
    assert summary.unreadable == {key: f"S3 answers {code}"}
    assert (summary.removed, summary.left) == (1, 1)
    assert account.keys() == {"0.pdf", key}


def test_redrive_erases_nothing_while_erasing_is_stopped_and_says_why(account: Account) -> None:
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"))
    summary = account.run(may_erase=lambda: "annotation humangov.io/stop is set")
    assert (summary.problem, summary.left) == ("annotation humangov.io/stop is set", 1)
    assert account.keys() == {"1.pdf", key}
    assert not {"Scan", "CreateLogStream", "PutLogEvents"} & set(account.calls)


def test_redrive_stopped_between_two_invocations_handles_no_other(account: Account) -> None:
    account.upload("1.pdf", "2.pdf")
    account.discard(("1", "1.pdf"))
    account.discard(("2", "2.pdf"))
    summary = account.run(may_erase=lambda: "stopped" if "1.pdf" not in account.files else None)
    # What was erased last could not be confirmed after the stop: its invocation stays, and the next redrive settles it.
    assert (summary.problem, summary.left, account.files) == ("stopped", 2, {"2.pdf"})
    assert account.run().left == 0


def test_redrive_that_is_stopped_reads_no_further_invocation_records(account: Account) -> None:
    """Reading a hundred thousand of them takes an hour."""
    for number in range(5):
        account.discard((str(number), f"{number}.pdf"), uuid=UUID if number == 4 else ELSEWHERE)
    stopped = itertools.chain([None], itertools.repeat("annotation humangov.io/stop is set"))
    summary = account.run(may_erase=lambda: next(stopped), mappings=[ELSEWHERE])
    assert (summary.problem, summary.found) == ("annotation humangov.io/stop is set", 2)
    assert not summary.counted
    assert account.calls.count("GetObject") == 2


def test_redrive_that_is_stopped_before_it_finds_anything_of_its_own_does_not_say_that_nothing_is_left(
    account: Account,
) -> None:
    for uuid in (ELSEWHERE, UUID, UUID):
        account.discard(("1", "1.pdf"), uuid=uuid)
    summary = account.run(may_erase=lambda: "stopped")
    assert (summary.problem, summary.counted) == ("stopped", False)


def test_redrive_that_is_stopped_while_it_reads_the_table_reads_no_further_page_and_says_why(account: Account) -> None:
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"))
    for number in range(30):
        account.hire(str(number), f"{number}-other.pdf")

    def before(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "Scan":
            parameters["Limit"] = 10

    account.before = before
    summary = account.run(may_erase=lambda: "stopped" if "Scan" in account.calls else None)
    assert (summary.problem, summary.left, account.keys()) == ("stopped", 1, {"1.pdf", key})
    assert account.calls.count("Scan") == 1


def test_dry_run_counts_whether_or_not_erasing_is_stopped(account: Account) -> None:
    for number in range(3):
        account.discard((str(number), f"{number}.pdf"))
    summary = account.run(may_erase=lambda: "stopped", dry_run=True)
    assert (summary.problem, summary.left) == (None, 3)


# After the HumanGovState is deleted.


def deleted(account: Account, *, log_group: bool = False) -> None:
    """What is left of a deleted tenant: neither status nor, unless `log_group`, its log group."""
    account.names = samples.names()
    if not log_group:
        sdk("logs").delete_log_group(logGroupName=account.names.tenant.log_group_name)


def test_redrive_after_the_deletion_knows_the_mappings_that_the_bucket_has_recorded(account: Account) -> None:
    account.upload("1.pdf", "2.pdf")
    account.discard(("1", "1.pdf"))
    theirs = account.discard(("2", "2.pdf"), uuid=ELSEWHERE)
    mappings.record(account.clients.patient_s3, account.names, account.names.tenant.mappings)
    deleted(account, log_group=True)

    summary = account.run()

    assert (summary.removed, summary.others, summary.left) == (1, 1, 0)
    assert account.keys() == {"2.pdf", theirs}  # and no record of a mapping


def finally_handled(account: Account, **more: Any) -> FinalHandling:
    return handle_finally(account.clients, account.names, pause=lambda _seconds: None, **more)


def test_final_read_redrives_and_what_is_left_can_be_redriven_after_the_deletion(
    account: Account, manifest: Path
) -> None:
    manifest.write_text(yaml.safe_dump(dict(samples.resource(metadata={}))))
    account.upload("1.pdf", "2.pdf")
    failing = account.discard(("1", "1.pdf"), uuid=FORMER)
    account.discard(("2", "2.pdf"))

    def before(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "GetObject" and parameters["Key"] == failing:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, operation)

    account.before = before
    found = finally_handled(account)

    told = status_fields(found, now=datetime.now(UTC))
    assert (found.complete, told["complete"], told["failedInvocations"]) == (False, True, 1)
    assert "1 of 1 failed invocations handled, 1 could not be read" in told["message"]
    assert "run: humangov redrive --filename MANIFEST --cluster-name cluster" in told["message"]
    assert account.keys() == {"1.pdf", failing, f".humangov/mappings/{FORMER}"}

    account.before = lambda _operation, _parameters: None
    deleted(account)
    assert redrive_command(manifest).exit_code == 0
    assert account.keys() == set()


def test_final_read_without_failed_invocations_leaves_no_mapping_recorded(account: Account) -> None:
    assert finally_handled(account).complete
    assert account.keys() == set()


def test_final_read_names_the_mappings_that_could_not_be_recorded(account: Account) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))

    def before(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "PutObject" or (operation == "GetObject" and "aws/lambda/" in parameters["Key"]):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, operation)

    account.before = before
    told = status_fields(finally_handled(account), now=datetime.now(UTC))
    assert told["failedInvocations"] == 1
    assert f"--cluster-name cluster --mapping {FORMER} --mapping {UUID}" in told["message"]


@pytest.mark.parametrize("spec", [{"trigger": {"enabled": False}}, {"suspend": True}])
def test_final_read_where_the_spec_stops_all_erasing_records_the_mappings_and_counts(
    account: Account, spec: dict[str, Any]
) -> None:
    account.names = known_names(**spec)
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"))
    told = status_fields(finally_handled(account), now=datetime.now(UTC))
    assert (told["complete"], told["failedInvocations"]) == (False, 1)
    assert account.keys() == {"1.pdf", key, f".humangov/mappings/{UUID}"}


def test_final_read_killed_after_any_call_leaves_every_failed_invocation_handled_or_its_mapping_recorded(
    account: Account,
) -> None:
    for number in range(1, 100):
        account.upload("1.pdf")
        account.discard(("1", "1.pdf"))
        account.calls.clear()
        account.after = _kills(account, number)
        killed = False
        try:
            finally_handled(account)
        except Killed:
            killed = True
        account.after = lambda _operation: None
        left = account.keys()
        # Before, the operator still knows them: status.mappings.
        recorded = f".humangov/mappings/{UUID}" in left or number <= len(account.names.tenant.mappings)
        assert recorded or not account.waiting
        finally_handled(account)
        assert account.keys() == set()
        if not killed:
            break
    assert number > 10


@pytest.mark.parametrize("versions", [False, True], ids=["unversioned", "versioned"])
def test_redrive_forgets_a_mapping_only_with_its_last_failed_invocation(account: Account, versions: bool) -> None:
    if versions:
        versioned(account)
    account.upload("1.pdf", "2.pdf")
    account.discard(("1", "1.pdf"))
    failing = account.discard(("2", "2.pdf"), uuid=FORMER)
    mappings.record(account.clients.patient_s3, account.names, account.names.tenant.mappings)
    deleted(account, log_group=True)

    def before(operation: str, parameters: dict[str, Any]) -> None:
        if operation == "GetObject" and parameters["Key"] == failing:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, operation)

    account.before = before
    assert account.run().left == 1
    assert account.keys() == {"2.pdf", failing, f".humangov/mappings/{FORMER}"}
    account.before = lambda _operation, _parameters: None
    assert account.run().left == 0
    assert account.keys() == set()


def test_redrive_takes_no_mapping_from_the_bucket_that_was_recorded_for_another_function(account: Account) -> None:
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"), uuid=ELSEWHERE)
    for body in (b"{}", b"?", b'{"function": "other", "table": "other"}'):
        account.put(f".humangov/mappings/{ELSEWHERE}", body)
        assert account.run().others == 1
    assert account.files == {"1.pdf", f".humangov/mappings/{ELSEWHERE}"}
    assert account.waiting == {key}


def test_redrive_command_works_after_the_deletion_when_the_log_group_is_deleted(
    account: Account, manifest: Path
) -> None:
    manifest.write_text(yaml.safe_dump(dict(samples.resource(metadata={}))))
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))
    mappings.record(account.clients.patient_s3, account.names, account.names.tenant.mappings)
    deleted(account)

    done = redrive_command(manifest)

    assert done.exit_code == 0, done.output
    assert "did not exist: created with a retention of 400 days, for the receipts of this redrive" in done.stderr
    assert account.keys() == set()
    name = account.names.tenant.log_group_name
    [group] = sdk("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    tags = sdk("logs").list_tags_log_group(logGroupName=name)["tags"]
    assert (group["retentionInDays"], tags["humangov.io/tenant"]) == (400, "cluster/humangov/california")
    assert [one["receipt"] for one in account.receipts()] == ["intent", "outcome"]


def test_redrive_command_creates_no_log_group_where_nothing_is_to_be_redriven(account: Account, manifest: Path) -> None:
    account.discard(("1", "1.pdf"), uuid=ELSEWHERE)
    deleted(account)
    assert redrive_command(manifest).exit_code == 0
    assert sdk("logs").describe_log_groups()["logGroups"] == []


def test_log_group_of_a_killed_redrive_gets_its_retention_in_the_next(account: Account, manifest: Path) -> None:
    account.discard(("1", "1.pdf"))
    deleted(account)
    name = account.names.tenant.log_group_name
    sdk("logs").create_log_group(logGroupName=name, tags={"humangov.io/tenant": "cluster/humangov/california"})
    assert redrive_command(manifest).exit_code == 0
    [group] = sdk("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert group["retentionInDays"] == 400


def test_redrive_command_handles_a_mapping_that_the_caller_names(account: Account, manifest: Path) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"), uuid=ELSEWHERE)
    before = redrive_command(manifest)
    after = redrive_command(manifest, "--mapping", ELSEWHERE)
    assert f"  {ELSEWHERE}: 1" in before.stdout
    assert (before.exit_code, after.exit_code, account.keys()) == (0, 0, set())


def test_stopped_final_redrive_does_not_say_that_no_failed_invocation_is_left(account: Account) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))
    found = finally_handled(account, stop=lambda: True)
    told = status_fields(found, now=datetime.now(UTC))
    assert (found.complete, told["failedInvocations"]) == (False, -1)
    assert "stopped before all failed invocations were counted" in told["message"]
    assert account.waiting != set()


def test_final_redrive_whose_receipts_fail_counts_no_failed_invocations(account: Account) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))
    account.before = _fails("PutLogEvents", "AccessDeniedException")
    found = finally_handled(account)
    assert (found.complete, status_fields(found, now=datetime.now(UTC))["failedInvocations"]) == (False, -1)


def test_final_redrive_keeps_its_result_if_the_mappings_cannot_be_forgotten(account: Account) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))

    def before(operation: str, parameters: dict[str, Any]) -> None:
        if "1.pdf" not in account.files and parameters.get("Prefix", "").startswith(".humangov/"):
            _fails("ListObjectVersions", "AccessDenied")(operation, parameters)

    account.before = before
    found = finally_handled(account)
    told = status_fields(found, now=datetime.now(UTC))
    assert (spelled(found.redriven.outcomes), found.redriven.removed, found.complete) == ({"erased": 1}, 1, False)
    assert "AccessDenied" in str(found.redriven.problem)
    assert "1 of 1 failed invocations handled, 1 file erased" in told["message"]
    assert told["failedInvocations"] == -1


@pytest.mark.parametrize("operation", ["ListObjectVersions", "DeleteObjects"])
def test_redrive_keeps_its_result_if_a_later_call_fails(account: Account, operation: str) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))
    mappings.record(account.clients.patient_s3, account.names, [FORMER])
    account.names = replace(account.names, tenant=replace(account.names.tenant, mappings=(UUID,)))

    def before(asked: str, _parameters: dict[str, Any]) -> None:
        handled = not account.waiting
        late = handled if asked == "ListObjectVersions" else "1.pdf" not in account.files
        if asked == operation and late:
            raise EndpointConnectionError(endpoint_url="https://s3")

    account.before = before
    result = account.run()
    assert spelled(result.outcomes) == {"erased": 1}
    assert "EndpointConnectionError" in str(result.problem)
    assert result.log_stream is not None


def test_redrive_says_why_an_invocation_that_changed_meanwhile_cannot_be_read(account: Account) -> None:
    account.upload("1.pdf")
    key = account.discard(("1", "1.pdf"))
    account.clients = replace(account.clients, patient_s3=_Rotting(account.clients.patient_s3))
    assert {one: [*map(spell, why)] for one, why in account.run().failed.items()} == {
        key: ["failed: the object is not JSON"]
    }


def test_redrive_counts_the_names_that_are_none_of_a_file_for_certain(account: Account) -> None:
    account.discard(("1", "https://other-bucket.s3.amazonaws.com/1.pdf"))
    result = account.run()
    assert (result.unresolved, output.as_json(result, account.names)["unresolved"]) == (1, 1)
    row = "stream records with an unresolved file name, skipped"
    assert row in str(output.lines(result, account.names, dry_run=False))


def test_redrive_without_its_table_erases_nothing_and_says_why(account: Account) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))
    sdk("dynamodb").delete_table(TableName=account.names.tenant.table.name)
    assert "the table no longer exists, so it is unknown which files its records name" in str(account.run().problem)
    assert account.files == {"1.pdf"}


def test_redrive_command_that_an_error_ended_exits_with_an_error(
    account: Account, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.discard(("1", "1.pdf"))
    mappings.record(account.clients.patient_s3, account.names, [FORMER])

    def before(asked: str, _parameters: dict[str, Any]) -> None:
        if asked == "ListObjectVersions" and not account.waiting:
            raise EndpointConnectionError(endpoint_url="https://s3")

    account.before = before
    monkeypatch.setattr("humangov.cli.redrive.connect", lambda *, region: account.clients if region else None)
    done = redrive_command(manifest)
    assert "handled and removed" in done.stdout
    assert "EndpointConnectionError" in done.stdout
    assert done.exit_code == 1


# The command.


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "california.yaml"
    path.write_text(yaml.safe_dump(dict(samples.resource(metadata={})) | {"status": {"mappings": [UUID]}}))
    return path


def command(*arguments: str | Path) -> Any:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def redrive_command(manifest: Path, *arguments: str) -> Any:
    return command("redrive", "-f", manifest, "--cluster-name", "cluster", *arguments)


def test_redrive_command_prints_what_it_found_and_did(account: Account, manifest: Path) -> None:
    account.upload("1.pdf", "2.pdf")
    account.hire("2", "2.pdf")
    account.discard(("1", "1.pdf"), ("2", "2.pdf"))
    account.put(f"aws/lambda/{UUID}/a-strange-one", b"?")
    arguments = ("redrive", "-n", "humangov", "california", "-f", manifest, "--cluster-name", "cluster")

    dry = command(*arguments, "--dry-run")
    done = command(*arguments)

    assert dry.exit_code == 2
    assert "dry run: nothing was changed" in dry.stdout
    assert done.exit_code == 2, done.output
    for line in (
        "humangov/california: failed invocations under aws/lambda/ in bucket humangov-california-s3",
        "file erased", "file kept: live", "could not be read, not removed: 1", "a-strange-one: the object is not JSON",
        "receipts: log group /aws/lambda/humangov-california-delete-file, stream redrive/",
    ):  # fmt: skip
        assert line in done.stdout, done.stdout
    assert account.files == {"2.pdf"}


def test_redrive_command_prints_json_for_scripts(account: Account, manifest: Path) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))

    done = command("redrive", "-f", manifest, "--cluster-name", "cluster", "--json")

    assert done.exit_code == 0
    reported = json.loads(done.stdout)
    assert differences(reported, object_of("redrive")) == []
    assert reported["outcomes"] == {"erased": 1}
    assert (reported["tenant"], reported["removed"], reported["left"]) == ("cluster/humangov/california", 1, 0)


def test_redrive_command_stops_at_a_signal_and_reports_it(
    account: Account, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.upload("1.pdf", "2.pdf")
    account.discard(("1", "1.pdf"))
    account.discard(("2", "2.pdf"))

    def interrupt(operation: str, _parameters: dict[str, Any]) -> None:
        if operation == "CreateLogStream":
            signal.raise_signal(signal.SIGTERM)

    account.before = interrupt
    monkeypatch.setattr("humangov.cli.redrive.connect", lambda *, region: account.clients if region else None)
    done = command("redrive", "-f", manifest, "--cluster-name", "cluster")

    assert done.exit_code == 143
    assert "stopped early: run the command again to continue" in done.stdout
    assert account.files == {"1.pdf", "2.pdf"}
    account.before = lambda _operation, _parameters: None
    assert account.run().left == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("redrive",), "no TENANT given"),
        (("redrive", "-f", "MANIFEST"), "--filename needs --cluster-name"),
        (
            ("redrive", "nevada", "-f", "MANIFEST", "--cluster-name", "c"),
            "expected one HumanGovState default/nevada in the manifest, found 0",
        ),
        (("redrive", "a/b/c"), "'a/b/c' is not a valid TENANT: expected NAME or NAMESPACE/NAME"),
        (("redrive", "-n", "x", "y/z"), "y/z contradicts --namespace x"),
        (("receipts", "california", "--since", "soon"), "'soon' is not a valid time"),
    ],
)
def test_redrive_command_reports_errors_in_a_sentence(
    account: Account, manifest: Path, arguments: tuple[str, ...], said: str
) -> None:
    del account
    done = command(*(manifest if one == "MANIFEST" else one for one in arguments))

    assert done.exit_code in (1, 2)
    assert said in done.output
    assert "Traceback" not in done.output


def test_redrive_with_credentials_of_another_account_changes_nothing(account: Account, manifest: Path) -> None:
    account.discard(("1", "1.pdf"))
    resource = dict(samples.resource(metadata={}))
    status = {"aws": {"accountID": "999999999999", "region": "us-east-1", "cluster": "cluster"}}
    manifest.write_text(yaml.safe_dump(resource | {"status": status}))

    done = command("redrive", "-f", manifest, "--cluster-name", "cluster")

    assert done.exit_code == 1
    assert "accountID was 999999999999 and is now 123456789012" in done.output
    assert len(account.waiting) == 1


def test_redrive_receipts_are_found_by_record(account: Account, manifest: Path) -> None:
    account.upload("1.pdf", "2.pdf")
    account.discard(("1", "1.pdf"), ("2", "2.pdf"))
    account.run()

    shown = command("receipts", "-f", manifest, "--cluster-name", "cluster", "--record", "1", "--json")
    none = command("receipts", "-f", manifest, "--cluster-name", "cluster", "--record", "3")

    assert shown.exit_code == 0, shown.output
    [receipt] = [json.loads(line) for line in shown.stdout.splitlines()]
    assert differences(receipt, object_of("receipts")) == []
    assert (receipt["key"], receipt["outcome"], receipt["record_key"]) == ("1.pdf", "erased", {"id": {"S": "1"}})
    assert receipt["log_stream"].startswith("redrive/")
    assert none.exit_code == 2
    assert "No receipt in log group /aws/lambda/humangov-california-delete-file" in none.stderr


def test_report_command_writes_page_json_and_database_of_what_was_erased(
    account: Account, manifest: Path, tmp_path: Path
) -> None:
    account.upload("1.pdf", "2.pdf")
    account.discard(("1", "1.pdf"), ("2", "2.pdf"))
    account.run()
    folder = tmp_path / "reports"

    done = command("report", "-f", manifest, "--cluster-name", "cluster", "--since", "1d", "-d", folder)

    assert done.exit_code == 2, done.output
    assert "humangov/california" in done.stdout
    assert "2 files erased, 0 not settled" in done.stdout
    [data] = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    assert {gap["kind"] for gap in data["gaps"]} == {"StatusUnknown", "NoSweep", "PeriodNotOver", "LogGroupYounger"}
    assert (data["chain"]["broken"], data["chain"]["streams"]) == (0, 1)
    assert data["chain"]["lines"] == data["read"]["lines"] >= 4
    [page] = folder.glob("*.html")
    assert "1.pdf" in page.read_text()
    assert len(list(folder.iterdir())) == 3


HERE = {"aws": {"accountID": "123456789012", "region": "us-east-1", "cluster": "cluster"}}


def test_report_of_all_states_leads_to_each_report_and_names_those_without_one(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))
    account.run()
    elsewhere = {"aws": {"accountID": "999999999999", "region": "us-east-1", "cluster": "cluster"}}
    states = [{**samples.resource(), "status": HERE}, {**samples.resource("florida"), "status": elsewhere}]
    monkeypatch.setattr(lookup, "every", lambda _options: [(one, "cluster") for one in states])

    done = command("report", "--all", "--since", "1d", "-d", tmp_path, "--region", "us-east-1")

    assert done.exit_code == 1, done.output
    [data] = [json.loads(path.read_text()) for path in tmp_path.glob("all-*.json")]
    assert [one["tenant"] for one in data["states"]] == ["humangov/florida", "humangov/california"]
    assert "is now 123456789012" in data["states"][0]["problem"]
    assert data["states"][1]["numbers"]["erased"] == 1
    programs = command("report", "--all", "--since", "1d", "-d", tmp_path, "--region", "us-east-1", "-o", "json")
    printed = json.loads(programs.stdout)
    assert (programs.exit_code, programs.stderr, differences(printed, object_of("report"))) == (1, "", [])
    florida, california = sorted(printed["reports"], key=lambda one: one["problem"] is None)
    assert ("is now 123456789012" in florida["problem"], florida["erased"], florida["files"]) == (True, None, [])
    assert (california["erased"], california["problem"], california["stored"]) == (1, None, None)
    assert all(Path(one).exists() for one in (*california["files"], *printed["table"]["files"]))
    [page] = tmp_path.glob("all-*.html")
    assert f'href="{data["states"][1]["page"]}"' in page.read_text()
    assert (tmp_path / data["states"][1]["page"]).exists()


def test_report_of_all_states_reads_nothing_for_a_state_that_was_refused(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Florida names California's function, table and bucket: its report would hold California's receipts."""
    account.upload("1.pdf")
    account.discard(("1", "1.pdf"))
    account.run()
    theirs = samples.resource()["spec"]
    function = {"name": account.names.tenant.function.name}
    taking = samples.resource(
        "florida", namespace="florida", function=function, table=theirs["table"], bucket=theirs["bucket"]
    )
    blind = samples.resource("evil", namespace="florida", region="aa-evil-1")
    states = [taking, blind, {**samples.resource(), "status": HERE}]
    monkeypatch.setattr(lookup, "every", lambda _options: [(one, "cluster") for one in states])

    done = command("report", "--all", "--since", "1d", "-d", tmp_path, "--region", "us-east-1", "--accept-gaps")

    assert done.exit_code == 0, done.output  # nor does it fail the Job that writes everybody's
    [data] = [json.loads(path.read_text()) for path in tmp_path.glob("all-*.json")]
    california, *refused = data["states"]
    assert (california["tenant"], california["numbers"]["erased"]) == ("humangov/california", 1)
    assert {one["tenant"] for one in refused} == {"florida/florida", "florida/evil"}
    assert {one["problem"] for one in refused} == {lookup.NOT_PROVISIONED}
    assert not list(tmp_path.glob("*florida*"))
    flags = ("--since", "1d", "-d", tmp_path, "--region", "us-east-1", "--accept-gaps", "-o", "json")
    told = command("report", "--all", *flags)
    problems = {one["tenant"]: (one["problem"], one["failed"]) for one in json.loads(told.stdout)["reports"]}
    assert problems.pop("humangov/california") == (None, False)
    assert problems == dict.fromkeys(("florida/florida", "florida/evil"), (lookup.NOT_PROVISIONED, False))
    assert told.exit_code == 0


def test_report_command_without_a_log_group_says_that_nothing_is_proven(
    account: Account, manifest: Path, tmp_path: Path
) -> None:
    sdk("logs").delete_log_group(logGroupName=account.names.tenant.log_group_name)

    done = command("report", "-f", manifest, "--cluster-name", "cluster", "--since", "1d", "-d", tmp_path)

    assert done.exit_code == 2, done.output
    assert "no receipt could be read" in done.stdout
    assert "nothing of this period is proven" in done.stdout


def test_receipts_command_without_a_log_group_is_an_error(account: Account, manifest: Path) -> None:
    sdk("logs").delete_log_group(logGroupName=account.names.tenant.log_group_name)

    done = command("receipts", "-f", manifest, "--cluster-name", "cluster")

    assert done.exit_code == 1
    assert "ResourceNotFoundException" in done.output
    assert "Traceback" not in done.output


_DENIED = {"Errors": [{"Key": "x", "Code": "AccessDenied"}]}


class _With:
    def __init__(self, client: Any, **methods: Any) -> None:
        self.__dict__.update(methods)
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class _Rotting(_With):
    """What is read a second time is something else."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, read=set())

    def get_object(self, **asked: Any) -> Any:
        if asked["Key"] in self.read:
            return {"Body": io.BytesIO(b"?")}
        self.read.add(asked["Key"])
        return self._client.get_object(**asked)


def _fails(operation: str, code: str) -> Callable[[str, dict[str, Any]], None]:
    def fail(name: str, _parameters: dict[str, Any]) -> None:
        if name == operation:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, name)

    return fail


def _kills(account: Account, number: int) -> Callable[[str], None]:
    """After so many calls."""

    def kill(_operation: str) -> None:
        if len(account.calls) >= number:
            raise Killed

    return kill
