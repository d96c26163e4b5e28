"""The function under exactly the policy that the operator makes for it: MiniStack with AUTH=true, the real zip.

Each statement is taken away once, and what then fails is shown. MiniStack does not ask the policy for the stream (that
is Lambda's reading: tests/lambda/test_event_source.py) and for KMS.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result
from humangov.api.names import Identity, Names
from humangov.api.spec import parse
from humangov.aws.data_plane import AwsClients
from humangov.aws.policy import cleanup_policy, trust_policy
from humangov.bundle import bundle
from humangov.cleanup.calls import NoReceiptError
from humangov.cleanup.outcomes import ERASED
from humangov.cli.main import main
from humangov.redrive.redrive import Surroundings, redrive
from humangov.redrive.result import RedriveResult

from sandbox import emulator
from testing.event_source import destination
from testing.event_source.decisions import RETRIES_EXHAUSTED, Discarded
from testing.event_source.mapping import trigger
from testing.lambda_runtime.runtime_api import LOG_GROUP, Invocation, RunningFunction
from testing.lambda_runtime.stream_events import batch, employee, failures, remove
from testing.live.enforcing_aws import enforcing_aws

TABLE, BUCKET, PREFIX = "california", "california-files", "people/"
LATE = 1200
SIDS_ENFORCED = {
    "LookAgainBeforeErasing", "EraseFiles", "SeeWhenFilesWereWritten", "SeeWhetherVersionsAreKept",
    "SeeWhyAVersionIsRetained", "NeverTouchReservedKeys", "WriteReceipts",
}  # fmt: skip
LAMBDAS_OWN = {
    "ReadStream", "FindStream", "KeepFailedInvocations", "EncryptFailedInvocations", "FindTheBucketOfFailures",
}  # fmt: skip
MAPPING = "11111111-2222-3333-4444-555555555555"
_numbers = itertools.count(1)


def names() -> Names:
    spec = {"table": {"name": TABLE}, "bucket": {"name": BUCKET, "keyPrefix": PREFIX}}
    resource = {
        "apiVersion": "humangov.io/v1", "kind": "HumanGovState", "spec": spec,
        "metadata": {"name": "california", "namespace": "humangov"},
    }  # fmt: skip
    identity = Identity(account_id=emulator.ACCOUNT, region=emulator.REGION, cluster="uid", partition="aws")
    return Names(tenant=parse(resource, default_region=emulator.REGION), identity=identity)


def policy() -> dict[str, Any]:
    """What the policy allows to the function's code, which AWS tells from Lambda by a key that MiniStack never sets.

    MiniStack asks for CreateLogStream on the group's ARN alone; AWS appends `:log-stream:` to it, as Lambda's docs
    show for a function's own role: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
    """
    made = cleanup_policy(names(), table_key_arn=None)
    group = names().log_group_arn
    more = {"Resource": [group, f"{group}:*"]}
    return made | {
        "Statement": [
            one | more if one["Sid"] == "WriteReceipts" else one
            for one in made["Statement"] if one["Sid"] not in LAMBDAS_OWN
        ]
    }  # fmt: skip


def without(sid: str) -> dict[str, Any]:
    kept = [one for one in policy()["Statement"] if one["Sid"] != sid]
    assert len(kept) == len(policy()["Statement"]) - 1
    return policy() | {"Statement": kept}


@dataclass
class Enforcing:
    """An account that enforces, with California's table and bucket (versioned, Object Lock), and Florida's."""

    endpoint: str
    directory: Path
    read: set[str] = field(default_factory=set)

    def client(self, service: str, credentials: Mapping[str, str] | None = None) -> Any:
        who = credentials or {"AWS_ACCESS_KEY_ID": emulator.ACCOUNT, "AWS_SECRET_ACCESS_KEY": emulator.SECRET}
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=emulator.REGION,
            aws_access_key_id=who["AWS_ACCESS_KEY_ID"], aws_secret_access_key=who["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=who.get("AWS_SESSION_TOKEN"),
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )  # fmt: skip

    def session(self, document: Mapping[str, Any]) -> dict[str, str]:
        """Credentials of a role with this policy and no other."""
        iam, name = self.client("iam"), f"role-{next(_numbers)}"
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust_policy()))["Role"]
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(document))
        answer = self.client("sts").assume_role(RoleArn=made["Arn"], RoleSessionName="test")["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": answer["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": answer["SecretAccessKey"],
            "AWS_SESSION_TOKEN": answer["SessionToken"],
        }


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enforcing]:
    with enforcing_aws(tmp_path_factory.mktemp("enforcing")) as url:
        account = Enforcing(url, tmp_path_factory.mktemp("functions"))
        for state in ("california", "florida"):
            account.client("dynamodb").create_table(
                TableName=state, BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            )  # fmt: skip
            account.client("s3").create_bucket(Bucket=f"{state}-files", ObjectLockEnabledForBucket=True)
        assert names().tenant.log_group_name == LOG_GROUP
        account.client("logs").create_log_group(logGroupName=LOG_GROUP)
        yield account


def folder(aws: Enforcing) -> Path:
    made = aws.directory / str(next(_numbers))
    made.mkdir()
    return made


Invoke = Callable[..., Invocation]


@pytest.fixture
def invoke(aws: Enforcing) -> Iterator[Invoke]:
    """Runs one batch under a policy."""
    with ExitStack() as running:

        def invoke(document: Mapping[str, Any], *records: Any) -> Invocation:
            function = RunningFunction(
                bundle().zip, handler=bundle().handler, directory=folder(aws),
                environment=aws.session(document) | {
                    "AWS_ENDPOINT_URL": aws.endpoint, "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
                    "HUMANGOV_TENANT": "uid/humangov/california", "HUMANGOV_TABLE": TABLE, "HUMANGOV_BUCKET": BUCKET,
                    "HUMANGOV_KEY_PREFIX": PREFIX,
                },
                receipts=partial(stored_receipts, aws),
            )  # fmt: skip
            return running.enter_context(function).invoke(batch(*records))

        yield invoke


def stored_receipts(aws: Enforcing) -> list[dict[str, Any]]:
    """Every line of the log group; the keys of each test are its own."""
    pages = aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName=LOG_GROUP)
    lines = [json.loads(one["message"]) for page in pages for one in page["events"]]
    kept = [line for line in lines if line["id"] not in aws.read]
    aws.read.update(line["id"] for line in kept)
    return kept


def put(aws: Enforcing, name: str, *, locked: bool = False) -> str:
    key, s3 = f"{PREFIX}{next(_numbers)}-{name}", aws.client("s3")
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"%PDF")
    if locked:
        until = datetime.now(UTC) + timedelta(days=1)
        retention = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
        s3.put_object_retention(Bucket=BUCKET, Key=key, Retention=retention)
    return key


def removal(key: str) -> Any:
    """Of the record that named it, five seconds from now, so that no file is younger."""
    return remove(employee(key, key.removeprefix(PREFIX)), table=TABLE, age_seconds=-5)


def held(aws: Enforcing, key: str) -> int:
    answer = aws.client("s3").list_object_versions(Bucket=BUCKET, Prefix=key)
    return len(answer.get("Versions", ())) + len(answer.get("DeleteMarkers", ()))


def test_cleanup_function_works_with_exactly_its_policy(aws: Enforcing, invoke: Invoke) -> None:
    plain, locked = put(aws, "cv.pdf"), put(aws, "locked.pdf", locked=True)

    done = invoke(policy(), removal(plain), removal(locked))

    assert done.result == failures()
    assert done.outcomes[plain] == "erased"
    assert done.outcomes[locked].startswith("retained until ")
    assert (held(aws, plain), held(aws, locked)) == (0, 1)
    assert [line for line in done.lines if line.get("level") in ("WARN", "ERROR")] == []


@pytest.mark.parametrize("sid", ["LookAgainBeforeErasing", "EraseFiles", "SeeWhenFilesWereWritten"])
def test_record_fails_and_nothing_is_erased_without_a_policy_statement(
    aws: Enforcing, invoke: Invoke, sid: str
) -> None:
    key = put(aws, "cv.pdf")
    removed = removal(key)

    done = invoke(without(sid), removed)

    assert done.result == failures(removed)
    assert done.outcomes[key].startswith("failed: AccessDenied")
    assert held(aws, key) == 1


def test_without_the_permission_to_write_receipts_nothing_is_erased_and_the_record_fails(
    aws: Enforcing, invoke: Invoke
) -> None:
    key = put(aws, "cv.pdf")
    removed = removal(key)

    done = invoke(without("WriteReceipts"), removed)

    assert done.result == failures(removed)
    assert held(aws, key) == 1
    (said,) = {line["reason"] for line in done.lines if line.get("level") == "ERROR"}
    assert said.startswith(f"logs:CreateLogStream: log group {LOG_GROUP}: AccessDenied")


def test_retained_file_fails_its_record_without_permission_to_read_object_locks(aws: Enforcing, invoke: Invoke) -> None:
    removed = removal(put(aws, "locked.pdf", locked=True))

    done = invoke(without("SeeWhyAVersionIsRetained"), removed)

    assert done.result == failures(removed)


def test_bucket_versioning_is_detected_with_a_warning_without_its_permission(aws: Enforcing, invoke: Invoke) -> None:
    key = put(aws, "cv.pdf")

    done = invoke(without("SeeWhetherVersionsAreKept"), removal(key))

    assert done.outcomes == {key: "erased"}
    assert held(aws, key) == 0
    assert [line["message"] for line in done.lines if line.get("level") == "WARN"] == ["GetBucketVersioning failed"]


@pytest.mark.parametrize("reserved", [f"{PREFIX}.humangov/owner.json", f"{PREFIX}aws/lambda/record"])
@pytest.mark.parametrize("versioned", [True, False])
def test_function_role_cannot_erase_a_reserved_key_because_of_the_deny_statement(
    aws: Enforcing, reserved: str, versioned: bool
) -> None:
    made = aws.client("s3").put_object(Bucket=BUCKET, Key=reserved, Body=b"{}")
    version = {"VersionId": made["VersionId"]} if versioned else {}

    with pytest.raises(ClientError, match="AccessDenied"):
        aws.client("s3", aws.session(policy())).delete_object(Bucket=BUCKET, Key=reserved, **version)

    aws.client("s3", aws.session(without("NeverTouchReservedKeys"))).delete_object(
        Bucket=BUCKET, Key=reserved, **version
    )


@pytest.mark.parametrize(
    ("service", "call", "parameters"),
    [
        ("s3", "get_object", {"Bucket": BUCKET, "Key": f"{PREFIX}other.pdf"}),
        ("s3", "delete_object", {"Bucket": BUCKET, "Key": "outside-the-prefix.pdf"}),
        ("s3", "list_object_versions", {"Bucket": BUCKET}),
        ("s3", "list_object_versions", {"Bucket": BUCKET, "Prefix": PREFIX}),
        ("s3", "list_objects_v2", {"Bucket": BUCKET, "Prefix": "aws/lambda/"}),
        ("s3", "put_object", {"Bucket": BUCKET, "Key": f"aws/lambda/{MAPPING}/shard/planted", "Body": b"{}"}),
        ("s3", "delete_object", {"Bucket": "florida-files", "Key": f"{PREFIX}cv.pdf"}),
        ("s3", "list_object_versions", {"Bucket": "florida-files", "Prefix": f"{PREFIX}cv.pdf"}),
        ("dynamodb", "batch_get_item", {"RequestItems": {"florida": {"Keys": [{"id": {"S": "1"}}]}}}),
        ("dynamodb", "delete_item", {"TableName": TABLE, "Key": {"id": {"S": "1"}}}),
    ],
)
def test_function_role_is_denied_every_other_call(
    aws: Enforcing, service: str, call: str, parameters: Mapping[str, Any]
) -> None:
    aws.client("s3").put_object(Bucket=BUCKET, Key=f"{PREFIX}other.pdf", Body=b"%PDF")

    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(aws.client(service, aws.session(policy())), call)(**parameters)


def test_every_policy_statement_is_tested_or_not_enforced_by_the_emulator() -> None:
    made = cleanup_policy(names(), table_key_arn=None)["Statement"]
    by_lambda = {one["Sid"] for one in made if "Null" in one.get("Condition", {})}
    assert by_lambda == LAMBDAS_OWN
    assert {one["Sid"] for one in made} == SIDS_ENFORCED | LAMBDAS_OWN


# Who redrives: docs/security.md names the permissions, and these are they.


def redriving_policy() -> dict[str, Any]:
    bucket, prefix = f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/aws/lambda/*"
    of_function = ("LookAgainBeforeErasing", "EraseFiles", "SeeWhenFilesWereWritten", "SeeWhyAVersionIsRetained")
    group = names().log_group_arn
    granted = [
        ("SeeWhatWaits", ["s3:ListBucketVersions"], bucket),
        ("ReadTheTable", ["dynamodb:DescribeTable", "dynamodb:Scan"], names().table_arn),
        (
            "ReadAndRemoveIt",
            ["s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion"],
            [prefix, f"arn:aws:s3:::{BUCKET}/{PREFIX}.humangov/mappings/*"],
        ),
        ("WriteReceipts", ["logs:CreateLogStream", "logs:PutLogEvents"], f"{group}*"),
    ]
    statements: list[dict[str, Any]] = [
        {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": on} for sid, action, on in granted
    ]
    statements[0]["Condition"] = {"StringLike": {"s3:prefix": ["aws/lambda/*", f"{PREFIX}.humangov/mappings/*"]}}
    return policy() | {"Statement": [one for one in policy()["Statement"] if one["Sid"] in of_function] + statements}


def run_redrive(aws: Enforcing, document: Mapping[str, Any]) -> RedriveResult:
    session = aws.session(document)
    s3 = aws.client("s3", session)
    dynamodb = aws.client("dynamodb", session)
    clients = AwsClients(
        dynamodb=dynamodb, patient_dynamodb=dynamodb, streams=None, s3=s3, patient_s3=s3,
        logs=aws.client("logs", session), functions=None,
    )  # fmt: skip
    return redrive(clients, names(), around=Surroundings(mappings=[MAPPING]))


def discarded(aws: Enforcing, one: str, key: str) -> None:
    """The removal's file, and the invocation record where Lambda would put it."""
    s3 = aws.client("s3")
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}{key}", Body=b"%PDF")
    at = datetime.now(UTC).timestamp() + 60
    settings = trigger(
        {}, stream_arn=f"{names().table_arn}/stream/2026-01-01T00:00:00.000", function_arn=names().function_arn
    )
    record = remove(employee(one, key), table=TABLE, at=at)
    record["eventSourceARN"] = settings.stream_arn
    stored = destination.body(
        Discarded((record,), RETRIES_EXHAUSTED, 11), settings, shard="s", now=at, request_id="1", error=None
    )
    place = destination.object_key(settings, shard="s", now=at, random=one)
    s3.put_object(Bucket=BUCKET, Key=place, Body=stored)


def test_redrive_works_with_exactly_the_documented_permissions(aws: Enforcing) -> None:
    discarded(aws, "r1", "redriven.pdf")

    summary = run_redrive(aws, redriving_policy())

    assert (summary.outcomes, summary.removed, summary.left) == ({ERASED: 1}, 1, 0)


@pytest.mark.parametrize(
    "sid",
    ["LookAgainBeforeErasing", "EraseFiles", "SeeWhenFilesWereWritten", "SeeWhatWaits", "ReadAndRemoveIt",
     "ReadTheTable", "WriteReceipts"],
)  # fmt: skip
def test_redrive_without_a_documented_permission_reports_what_it_could_not_do(aws: Enforcing, sid: str) -> None:
    discarded(aws, sid, f"{sid}.pdf")
    document = redriving_policy()
    kept = [one for one in document["Statement"] if one["Sid"] != sid]

    assert refused_or_left(aws, document | {"Statement": kept})
    assert run_redrive(aws, redriving_policy()).left == 0


def refused_or_left(aws: Enforcing, document: Mapping[str, Any]) -> bool:
    try:
        return run_redrive(aws, document).left > 0
    except (ClientError, NoReceiptError) as error:
        return "AccessDenied" in str(error)


FILENAME_SIDS = ("SeeTheLogGroup", "SeeTheTriggers")


def filename_policy() -> dict[str, Any]:
    """Beside the others, what `humangov redrive --filename` needs where there is no HumanGovState any more."""
    group = names().log_group_arn
    granted = [
        ("SeeTheLogGroup", ["logs:DescribeLogGroups", "logs:ListTagsForResource"], "*"),
        ("SeeTheTriggers", "lambda:ListEventSourceMappings", "*"),
        (
            "MakeTheLogGroup",
            ["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"],
            [group, f"{group}:*"],
        ),
    ]
    more = [{"Sid": sid, "Effect": "Allow", "Action": action, "Resource": on} for sid, action, on in granted]
    return policy() | {"Statement": [*redriving_policy()["Statement"], *more]}


Redrive = Callable[[Mapping[str, Any]], Result]


@pytest.fixture
def redrive_by_manifest(aws: Enforcing, monkeypatch: pytest.MonkeyPatch) -> Redrive:
    """`humangov redrive --filename`, as a person with this policy alone types it."""

    def typed(document: Mapping[str, Any]) -> Result:
        manifest = folder(aws) / "california.yaml"
        spec = {"table": {"name": TABLE}, "bucket": {"name": BUCKET, "keyPrefix": PREFIX}}
        made = {"apiVersion": "humangov.io/v1", "kind": "HumanGovState", "metadata": {"name": "california"}}
        manifest.write_text(yaml.safe_dump({**made, "spec": spec}))
        environment = aws.session(document) | {
            "AWS_ENDPOINT_URL": aws.endpoint, "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
            "AWS_REGION": emulator.REGION, "AWS_DEFAULT_REGION": emulator.REGION,
        }  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(boto3, "DEFAULT_SESSION", None)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.delenv("AWS_PROFILE", raising=False)
            where = ["-n", "humangov", "--filename", str(manifest), "--cluster-name", "uid", "--mapping", MAPPING]
            return CliRunner().invoke(main, ["redrive", *where])

    return typed


def test_redrive_by_manifest_works_with_exactly_the_documented_permissions_also_without_its_log_group(
    aws: Enforcing, redrive_by_manifest: Redrive
) -> None:
    discarded(aws, "f1", "by-manifest.pdf")
    done = redrive_by_manifest(filename_policy())
    assert (done.exit_code, held(aws, f"{PREFIX}by-manifest.pdf")) == (0, 0), done.output
    assert "are unknown" not in done.output

    logs = aws.client("logs")
    logs.delete_log_group(logGroupName=LOG_GROUP)
    try:
        discarded(aws, "f2", "without-log-group.pdf")
        done = redrive_by_manifest(filename_policy())
        assert (done.exit_code, held(aws, f"{PREFIX}without-log-group.pdf")) == (0, 0), done.output
        [group] = logs.describe_log_groups(logGroupNamePrefix=LOG_GROUP)["logGroups"]
        assert group["retentionInDays"] == 400
    finally:
        if not logs.describe_log_groups(logGroupNamePrefix=LOG_GROUP)["logGroups"]:
            logs.create_log_group(logGroupName=LOG_GROUP)


@pytest.mark.parametrize("sid", FILENAME_SIDS)
def test_redrive_by_manifest_without_a_documented_permission_says_which(
    aws: Enforcing, redrive_by_manifest: Redrive, sid: str
) -> None:
    discarded(aws, sid, f"{sid}.pdf")
    kept = [one for one in filename_policy()["Statement"] if one["Sid"] != sid]

    done = redrive_by_manifest(filename_policy() | {"Statement": kept})

    assert "Traceback" not in done.output
    if sid == "SeeTheTriggers":  # they are named by hand, or recorded
        assert "lambda:ListEventSourceMappings" in done.output
        assert (done.exit_code, held(aws, f"{PREFIX}{sid}.pdf")) == (0, 0), done.output
    else:
        assert "logs:DescribeLogGroups" in done.output
        assert (done.exit_code, held(aws, f"{PREFIX}{sid}.pdf")) == (1, 1), done.output
        assert redrive_by_manifest(filename_policy()).exit_code == 0
