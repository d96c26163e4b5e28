"""Reports and checkpoints of HumanGovStates in other AWS accounts; on moto, which asks no role for its trust."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result
from humangov.aws.sessions import session_for
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.cli import account_role, lookup
from humangov.cli.main import main
from humangov.kube import tenants
from moto import mock_aws

from testing import samples

OTHER, REGION, BUCKET = "999999999999", "us-east-1", "reports"
ROLE = f"arn:aws:iam::{OTHER}:role/humangov-report-reader"
GROUP = "/aws/lambda/humangov-california-delete-file"


class Assumed(list[tuple[str | None, str | None]]):
    """Role and external ID of each session that was asked for."""


@pytest.fixture
def assumed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Assumed]:
    """A receipt in the log group of the other account; none here."""
    found = Assumed()

    def noted(**given: Any) -> boto3.Session:
        found.append((given["role_arn"], given["external_id"]))
        return session_for(**given)

    for name, value in (("AWS_REGION", REGION), ("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(account_role, "session_for", noted)
    with mock_aws():
        boto3.client("s3", region_name=REGION).create_bucket(Bucket=BUCKET)
        there = session_for(role_arn=ROLE, external_id=None, session_name="test", region=REGION)
        logs = there.client("logs", region_name=REGION)
        logs.create_log_group(logGroupName=GROUP)
        logs.put_retention_policy(logGroupName=GROUP, retentionInDays=400)
        there.client("s3", region_name=REGION).create_bucket(Bucket="humangov-california-s3-abcd")
        at = datetime.now(UTC) - timedelta(hours=3)
        log = ReceiptLog(logs, log_group=GROUP, now=at.timestamp, pause=lambda _: None, prefix="receipts")
        log.write([{"receipt": "intent", "key": "1.pdf", "event_id": "1"}])
        yield found


def of_account(monkeypatch: pytest.MonkeyPatch, account: str) -> dict[str, Any]:
    """The cluster's only HumanGovState: the operator assumes a role for it, and its resources are in this account."""
    resource = dict(samples.resource())
    resource["spec"]["account"] = {"roleARN": f"arn:aws:iam::{account}:role/t", "externalID": "california-7f3a"}
    resource["status"] = {"aws": {"accountID": account, "region": REGION, "cluster": "cluster"}}
    monkeypatch.setattr(lookup, "every", lambda _options: [(resource, "cluster")])
    return resource


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--all", "--bucket", BUCKET, "-o", "json"])


def test_receipts_in_another_account_are_read_by_the_role_there(
    assumed: Assumed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The account is the status's, the name the administrator's, the external ID the manifest's. What is stored, is
    stored here."""
    of_account(monkeypatch, OTHER)
    flags = ("--account-role", "humangov-report-reader")
    done = run("checkpoint", *flags)
    assert done.exit_code == 0, done.output
    [one] = json.loads(done.stdout)["checkpoints"]
    assert one["logStreams"] == 1
    monkeypatch.setenv("HUMANGOV_REPORTS_ACCOUNT_ROLE", "humangov-report-reader")
    told = run("report", "--since", "1d", "-d", str(tmp_path))
    [report] = json.loads(told.stdout)["reports"]
    assert report["failed"] is False
    assert "LogGroupMissing" not in {gap["kind"] for gap in report["gaps"]}
    assert report["stored"].startswith(f"s3://{BUCKET}/")
    assert set(assumed) == {(ROLE, "california-7f3a")}


def test_without_a_role_a_state_of_another_account_has_no_report_and_the_commands_say_so(
    assumed: Assumed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    of_account(monkeypatch, OTHER)
    for command in (("checkpoint",), ("report", "--since", "1d", "-d", str(tmp_path), "--accept-gaps")):
        done = run(*command)
        assert done.exit_code == 1
        assert "in another account" in done.stdout
        assert "--account-role" in done.stdout
    assert assumed == []


def test_no_role_is_assumed_for_a_state_of_the_own_account(assumed: Assumed, monkeypatch: pytest.MonkeyPatch) -> None:
    of_account(monkeypatch, "123456789012")  # moto's
    run("checkpoint", "--account-role", "humangov-report-reader")
    assert assumed == []


def test_a_checkpoint_that_is_dated_in_the_future_is_an_error_and_not_silence(
    assumed: Assumed, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_account(monkeypatch, OTHER)
    flags = ("checkpoint", "--account-role", "humangov-report-reader")
    assert run(*flags).exit_code == 0
    s3 = boto3.client("s3", region_name=REGION)
    [first] = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    content = json.loads(s3.get_object(Bucket=BUCKET, Key=first["Key"])["Body"].read())
    until = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
    key = f"{first['Key'].rpartition('/')[0]}/{until:%Y-%m-%dT%H-%M-%SZ}.json"
    body = json.dumps({**content, "until": round(until.timestamp() * 1000)}).encode()
    s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    again = run(*flags)
    [one] = json.loads(again.stdout)["checkpoints"]
    assert (again.exit_code, one["failed"]) == (1, True)
    assert "in the future" in one["message"]


# `humangov verify --account-role`, as a person runs it for one state of the cluster.


@pytest.fixture
def of_cluster(assumed: Assumed, monkeypatch: pytest.MonkeyPatch) -> Assumed:
    """A cluster with California alone, whose resources are in the other account; a checkpoint of its receipts."""
    resource = of_account(monkeypatch, OTHER)

    class Cluster:
        async def read(self, _reference: Any) -> Any:
            return resource

        async def cluster_uid(self) -> str:
            return "cluster"

        async def close(self) -> None:
            pass

    monkeypatch.setattr(tenants, "Tenants", Cluster)
    assert run("checkpoint", "--account-role", "humangov-report-reader").exit_code == 0
    assumed.clear()
    return assumed


def refused(monkeypatch: pytest.MonkeyPatch, operation: str, code: str, message: str) -> None:
    """AWS answers this operation so."""
    original = BaseClient._make_api_call

    def call(self: Any, name: str, parameters: Any) -> Any:
        if name == operation:
            raise ClientError({"Error": {"Code": code, "Message": message}}, name)
        return original(self, name, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)


def verify(*flags: str) -> Result:
    return CliRunner().invoke(main, ["verify", "-n", "humangov", "california", "--bucket", BUCKET, *flags])


def test_verify_reads_receipts_in_another_account_by_the_role_there_and_checkpoints_here(of_cluster: Assumed) -> None:
    done = verify("--account-role", "humangov-report-reader")
    assert done.exit_code == 0, done.output
    assert "1 line is proven by 1 checkpoint" in done.output
    assert set(of_cluster) == {(ROLE, "california-7f3a")}


def test_verify_finds_what_was_removed_in_another_account(of_cluster: Assumed) -> None:
    there = session_for(role_arn=ROLE, external_id=None, session_name="test", region=REGION)
    logs = there.client("logs", region_name=REGION)
    [stream] = logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
    logs.delete_log_stream(logGroupName=GROUP, logStreamName=stream["logStreamName"])
    done = verify("--account-role", "humangov-report-reader")
    assert done.exit_code == 2
    assert f"Removed: log stream {stream['logStreamName']}: 1 line is removed, all that it had" in done.output


def test_verify_without_a_role_says_that_the_state_is_in_another_account_and_which_option_reads_there(
    of_cluster: Assumed,
) -> None:
    done = verify()
    assert done.exit_code == 1
    assert "are in another account" in done.output
    assert "name the role that reads there with --account-role" in done.output
    assert of_cluster == []


def test_verify_says_which_role_could_not_be_assumed(of_cluster: Assumed, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"User: arn:aws:iam::123456789012:user/brady is not authorized to perform: sts:AssumeRole on {OTHER}"
    refused(monkeypatch, "AssumeRole", "AccessDenied", text)
    done = verify("--account-role", "no-such-role")
    assert done.exit_code == 1
    assert f"role arn:aws:iam::{OTHER}:role/no-such-role (--account-role) can't be used" in done.output
    assert "sts:AssumeRole" in done.output
    assert "Traceback" not in done.output
    assert len(done.output.splitlines()) == 1


def test_verify_says_what_the_role_may_not_read_and_does_not_call_it_removed(
    of_cluster: Assumed, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(
        monkeypatch, "FilterLogEvents", "AccessDeniedException", f"{ROLE} is not authorized to: logs:FilterLogEvents"
    )
    done = verify("--account-role", "humangov-report-reader")
    assert done.exit_code == 1
    assert GROUP in done.output
    assert "logs:FilterLogEvents" in done.output
    assert f"{GROUP} (in account {OTHER}, read by role humangov-report-reader)" in done.output
    assert "Removed" not in done.output
    assert len(done.output.splitlines()) == 1
