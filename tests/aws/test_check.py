"""`humangov check` on moto, which has tables, buckets and records; what is denied is faked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import pytest
import yaml
from botocore.exceptions import ClientError
from click.testing import CliRunner
from humangov.cli.main import main
from humangov.proof import before_apply
from humangov.proof.costs import Costs, Size, estimate
from humangov.proof.prices import PRICES, PRICES_AS_OF, PRICES_OF
from moto import mock_aws

from sandbox.paths import REPOSITORY
from testing import samples
from testing.documents import differences, object_of

TABLE, BUCKET = "humangov-california-dynamodb", "humangov-california-s3"
KEYS: Mapping[str, Any] = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
sdk = cache(lambda service: boto3.client(service, region_name="us-east-1"))


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with mock_aws():
        sdk("s3").create_bucket(Bucket=BUCKET)
        yield


def table(**more: Any) -> None:
    sdk("dynamodb").create_table(TableName=TABLE, **{**KEYS, **more})


def hire(number: int, **attributes: str) -> None:
    item = {"id": {"S": str(number)}, **{name: {"S": value} for name, value in attributes.items()}}
    sdk("dynamodb").put_item(TableName=TABLE, Item=item)


def upload(*keys: str) -> None:
    for key in keys:
        sdk("s3").put_object(Bucket=BUCKET, Key=key, Body=b"%PDF")


def check(folder: Path, *more: str, **spec: Any) -> Any:
    manifest = folder / "california.yaml"
    manifest.write_text(yaml.safe_dump(dict(samples.resource(metadata={}, **spec))))
    return CliRunner().invoke(main, ["check", "-f", str(manifest), *more])


def found(folder: Path, **spec: Any) -> dict[tuple[str, str], str]:
    """(area, grade) → message and remedy."""
    done = check(folder, "-o", "json", **spec)
    printed = json.loads(done.stdout)
    assert differences(printed, object_of("check")) == []
    checks = printed["checks"]
    grades = {one["grade"] for one in checks}
    assert done.exit_code == (3 if "bad" in grades else 2 if "warning" in grades else 0)
    return {(one["area"], one["grade"]): f"{one['message']} → {one['remedy']}" for one in checks}


def test_check_shows_a_table_with_a_sign_and_a_remedy_for_each_line(tmp_path: Path) -> None:
    table()
    hire(1, pdf="1.pdf")
    upload("1.pdf", "orphan.pdf")
    done = check(tmp_path)
    assert done.exit_code == 2, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "humangov/california"
    assert "✓ files" in done.stdout
    assert "! orphans     no record names 1 of 2 files" in done.stdout
    assert "→ start a sweep in mode Detect" in done.stdout
    assert "0 that will not work" in lines[-1]


def test_check_finds_wrong_file_attributes_and_names_the_likely_ones(tmp_path: Path) -> None:
    table()
    for number in range(3):
        hire(number, document=f"{number}.pdf", email="a@b.org", name="Ann")
    message = found(tmp_path)["records", "bad"]
    assert "none of 3 records names a file in pdf" in message
    assert "document (3)" in message
    assert "email" not in message
    assert "correct spec.table.fileAttributes" in message


def test_check_counts_the_forms_of_references(tmp_path: Path) -> None:
    table()
    hire(1, pdf="1.pdf")
    hire(2, pdf=f"s3://{BUCKET}/2.pdf")
    hire(3, pdf=f"https://{BUCKET}.s3.amazonaws.com/3.pdf")
    hire(4, pdf="s3://other/4.pdf")
    hire(5)
    upload("1.pdf", "2.pdf", "3.pdf")
    verdicts = found(tmp_path)
    assert "1 URL, 1 key, 1 not certain, 1 s3 URI" in verdicts["references", "good"]
    assert "do not name exactly one file of this bucket: 1." in verdicts["references", "warning"]
    assert "1 of 5 records names no file in pdf" in verdicts["records", "warning"]
    assert ("orphans", "good") in verdicts


def test_check_finds_shared_files_and_files_that_do_not_exist(tmp_path: Path) -> None:
    table()
    hire(1, pdf="1.pdf")
    hire(2, pdf="1.pdf")
    verdicts = found(tmp_path)
    assert "set spec.table.fileNames to Shared" in verdicts["references", "bad"]
    assert "1 of 1 named file missing in the bucket" in verdicts["files", "bad"]
    assert ("references", "bad") not in found(tmp_path, table={"name": TABLE, "fileNames": "Shared"})


@pytest.mark.parametrize(
    ("view", "grade"), [("NEW_AND_OLD_IMAGES", "good"), ("KEYS_ONLY", "bad"), ("OLD_IMAGE", "warning"), (None, "good")]
)
def test_check_judges_the_stream_that_others_enabled(view: str | None, grade: str, tmp_path: Path) -> None:
    more = {} if view is None else {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view}}
    table(**more)
    assert ("stream", grade) in found(tmp_path)


def test_check_finds_a_young_table_without_recovery_versions_and_a_bucket_elsewhere(tmp_path: Path) -> None:
    table()
    sdk("s3").create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    sdk("s3").put_bucket_versioning(Bucket="elsewhere", VersioningConfiguration={"Status": "Enabled"})
    verdicts = found(tmp_path, bucket={"name": "elsewhere"})
    assert "less than 14 days ago" in verdicts["table", "warning"]
    assert "point-in-time recovery is disabled" in verdicts["recovery", "warning"]
    assert "it is in eu-west-1, and the table in us-east-1" in verdicts["bucket", "bad"]
    assert "every version of a file is erased" in verdicts["versions", "good"]
    assert "the table is empty" in verdicts["records", "warning"]


def test_check_finds_that_table_and_bucket_do_not_exist(tmp_path: Path) -> None:
    verdicts = found(tmp_path, bucket={"name": "not-there"})
    assert "it does not exist" in verdicts["table", "bad"]
    assert "NoSuchBucket" in verdicts["bucket", "bad"]
    assert ("function", "good") in verdicts


def test_check_says_which_permission_is_missing_and_goes_on(tmp_path: Path) -> None:
    table()
    real = botocore.client.BaseClient._make_api_call

    def denied(client: Any, operation: str, parameters: Any) -> Any:
        if operation in ("Scan", "GetBucketVersioning", "DescribeContinuousBackups", "GetFunction"):
            answer: Any = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
            raise ClientError(answer, operation)
        return real(client, operation, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", denied)
        verdicts = found(tmp_path)
    assert "allow dynamodb:Scan" in verdicts["records", "warning"]
    assert "allow s3:GetBucketVersioning" in verdicts["versions", "warning"]
    assert "allow dynamodb:DescribeContinuousBackups" in verdicts["recovery", "warning"]
    assert "allow lambda:GetFunction" in verdicts["function", "warning"]
    assert ("table", "good") in verdicts


def test_check_finds_a_function_that_somebody_else_owns(tmp_path: Path) -> None:
    table()
    sdk("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    sdk("lambda").create_function(
        FunctionName="humangov-california-delete-file", Runtime="python3.13", Handler="x.y",
        Role="arn:aws:iam::123456789012:role/r", Code={"ZipFile": b"PK\x05\x06" + b"\0" * 18},
        Tags={"humangov.io/tenant": "other/humangov/california"},
    )  # fmt: skip
    assert "other/humangov/california owns it" in found(tmp_path)["function", "bad"]


def test_check_writes_nothing(tmp_path: Path) -> None:
    table()
    hire(1, pdf="1.pdf")
    upload("1.pdf")
    calls: list[str] = []
    real = botocore.client.BaseClient._make_api_call

    def noted(client: Any, operation: str, parameters: Any) -> Any:
        calls.append(operation)
        return real(client, operation, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
        check(tmp_path)
    assert len(calls) > 10
    assert all(one.startswith(("Describe", "Get", "List", "Head", "Scan")) for one in calls), calls


def test_check_finds_a_log_group_and_a_role_that_somebody_else_has(tmp_path: Path) -> None:
    table()
    verdicts = found(tmp_path)
    assert "the name /aws/lambda/humangov-california-delete-file is free" in verdicts["log group", "good"]
    assert "is free" in verdicts["role", "good"]
    sdk("logs").create_log_group(
        logGroupName="/aws/lambda/humangov-california-delete-file", tags={"humangov.io/tenant": "other/a/b"}
    )
    sdk("iam").create_role(RoleName="humangov-california-delete-file-us-east-1", AssumeRolePolicyDocument="{}")
    verdicts = found(tmp_path)
    assert "other/a/b owns it" in verdicts["log group", "bad"]
    assert "nobody owns it" in verdicts["role", "bad"]
    verdicts = found(tmp_path, adoption="IfUntagged")
    assert "other/a/b owns it" in verdicts["log group", "bad"]
    assert "the operator adopts it if the allowed names of namespace humangov permit" in verdicts["role", "good"]


def test_check_shows_the_keys_and_indexes_of_the_table(tmp_path: Path) -> None:
    table(
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"}, {"AttributeName": "at", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-date", "KeySchema": [{"AttributeName": "at", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )  # fmt: skip
    assert "key: id (S), at (N), indexes: by-date" in found(tmp_path)["table", "good"]


def test_check_estimates_orphans_of_a_table_that_was_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table()
    for number in range(10):
        hire(number, pdf=f"{number}.pdf")
    upload(*(f"{number}.pdf" for number in range(10)), *(f"orphan-{number}.pdf" for number in range(7)))
    monkeypatch.setattr(before_apply, "SAMPLE", 5)
    assert found(tmp_path)["orphans", "warning"].startswith("about 7, an estimate: there are 17 files")
    monkeypatch.setattr(before_apply, "FILES", 5)
    assert found(tmp_path)["orphans", "warning"].startswith("not counted: there are 5 files and more")


def test_check_counts_orphans_among_the_first_files_of_a_large_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table()
    hire(1, pdf="a.pdf")
    upload("a.pdf", "b.pdf", "c.pdf")
    monkeypatch.setattr(before_apply, "FILES", 2)
    assert found(tmp_path)["orphans", "warning"].startswith("no record names 1 of the first 2 files")
    monkeypatch.setattr(before_apply, "FILES", 1)
    assert found(tmp_path)["orphans", "warning"].startswith("records name all of the first 1 file; there are more")


# Costs


def size(**more: Any) -> Size:
    known: dict[str, Any] = {
        "table_bytes": 0, "on_demand": True, "files": 0, "whole": True, "versioned": False, **more,
    }  # fmt: skip
    return Size(**known)


def costs(*, of: Size | None = None, **sweep: Any) -> Costs:
    names = samples.names(sweep=sweep) if sweep else samples.names()
    return estimate(of or size(), names, now=datetime(2026, 11, 29, 12, tzinfo=UTC))


def test_costs_of_the_operator_are_those_of_the_measured_calls_and_the_documented_metrics() -> None:
    text = (REPOSITORY / "docs" / "measurements.md").read_text()
    [average] = re.findall(r"^AWS calls +(\d+\.\d+) ", text, re.M)  # of one state alone: the first column
    assert costs().operator_calls == round(float(average) * 6 * 24 * 30)
    [metrics] = re.findall(
        r"every five minutes, are ([\d,]+) in 30 days", (REPOSITORY / "docs/operations.md").read_text()
    )
    of_metrics = int(metrics.replace(",", "")) * 0.01 / 1000
    assert costs().operator_dollars == pytest.approx(of_metrics + costs().operator_calls * 0.0004 / 1000)


def test_costs_of_sweeps_follow_schedule_mode_files_and_records() -> None:
    """Of a million files and a table of 1 GiB: 1,000 listings, and 262,144 read units of 4 KiB, each night."""
    large = size(files=1_000_000, table_bytes=1 << 30)
    nightly = costs(of=large)
    assert (nightly.sweeps, nightly.sweep_calls) == (30, 30 * (1000 + 1024))
    assert nightly.sweep_dollars == pytest.approx(30 * (1000 * 0.005 / 1000 + 262_144 * 0.125 / 1e6))
    twice = costs(of=large, mode="Delete")
    assert twice.sweep_calls == 30 * (1000 + 2048)
    assert costs(of=replace(large, on_demand=False)).sweep_dollars == pytest.approx(30 * 0.005)
    assert costs(of=large, schedule="0 3 * * 0").sweeps == 4
    assert costs(of=large, suspend=True).sweep_dollars == 0


def test_costs_of_deletions_are_below_a_cent_for_a_thousand() -> None:
    plain, versioned = costs(), costs(of=size(versioned=True))
    assert 0 < plain.dollars_of_thousand_deletions < versioned.dollars_of_thousand_deletions < 0.01


def test_check_states_costs_with_the_region_of_the_prices(tmp_path: Path) -> None:
    table()
    hire(1, pdf="1.pdf")
    upload("1.pdf")
    message = found(tmp_path)["costs", "good"]
    assert re.match(r"about 41,834 AWS calls and \$0\.36 in 30 days, at list prices of us-east-1: ", message), message


def test_documented_prices_are_those_of_the_code() -> None:
    section = (REPOSITORY / "docs" / "operations.md").read_text().partition("### Costs")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| ([^|]+) \| \$([\d.]+) \|", section, re.M))
    prices = {
        "1,000 listings of S3": PRICES["s3-list"] * 1000, "1,000 other reads of S3": PRICES["s3-get"] * 1000,
        "1,000 metrics of CloudWatch": PRICES["metric"] * 1000, "1 GB of log": PRICES["logs-ingested-gb"],
        "1,000,000 read units of DynamoDB": PRICES["dynamodb-read-unit"] * 1e6,
        "1,000,000 invocations of Lambda": PRICES["lambda-request"] * 1e6,
        "1,000,000 GB-seconds of Lambda (arm64)": PRICES["lambda-gib-second"] * 1e6,
    }  # fmt: skip
    assert {name: float(value) for name, value in rows.items()} == pytest.approx(prices)
    assert f"{PRICES_OF}, {PRICES_AS_OF}" in section
