"""`humangov sweep` as a person runs it on a manifest. On moto, whose files are all as young as the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from click.testing import CliRunner, Result
from humangov.cli.main import main
from moto import mock_aws

from testing import samples
from testing.documents import differences, object_of

BUCKET = "humangov-california-s3"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "HUMANGOV_ALLOWED_NAMES", "HUMANGOV_OPERATOR_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing"),
                        ("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_REGION", "us-east-1"),
                        ("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")):  # fmt: skip
        monkeypatch.setenv(name, value)
    with mock_aws():
        boto3.client("dynamodb").create_table(
            TableName="humangov-california-dynamodb", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )  # fmt: skip
        boto3.client("dynamodb").put_item(
            TableName="humangov-california-dynamodb", Item={"id": {"S": "1"}, "pdf": {"S": "1.pdf"}}
        )
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="1.pdf", Body=b"%PDF")
        yield client


def sweep(folder: Path, *flags: str, **spec: Any) -> Result:
    path = folder / "california.yaml"
    path.write_text(yaml.safe_dump(dict(samples.resource(**spec))))
    return CliRunner().invoke(main, ["sweep", "--file", str(path), "--cluster-name", "c", *flags])


def keys(s3: Any) -> list[str]:
    return sorted(one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ()))


def test_sweep_detect_prints_a_table_and_stores_an_orphan_list(s3: Any, tmp_path: Path) -> None:
    done = sweep(tmp_path, "--mode", "detect")
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["listed", "1"] in [row[:2] for row in rows]
    assert ["too", "young", "1"] in [row[:3] for row in rows]
    claim, orphan_list, file = keys(s3)
    assert (claim[:16], file) == (".humangov/owner-", "1.pdf")
    assert f"orphan list: s3://{BUCKET}/{orphan_list} (sha256 " in done.stdout


# docs/commands.md: absent where there are none
NOT_ALWAYS = ["nextRun", "orphanList", "orphanListSHA256", "oldestIncompleteUpload"]


def test_sweep_dry_run_writes_nothing(s3: Any, tmp_path: Path) -> None:
    done = sweep(tmp_path, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert (
        differences(
            printed, object_of("sweep"), absent=["nextRun", "orphanList", "orphanListSHA256", "oldestIncompleteUpload"]
        )
        == []
    )
    assert printed["dryRun"] is True
    assert keys(s3) == ["1.pdf"]


def test_sweep_command_error_is_a_sentence_and_exit_code_1(s3: Any, tmp_path: Path) -> None:
    done = sweep(tmp_path, bucket={"name": "no-such-bucket"})
    assert done.exit_code == 1
    assert "no-such-bucket" in done.output or "NoSuchBucket" in done.output
    assert "Traceback" not in done.output


def test_disabled_trigger_turns_a_delete_sweep_into_detect_and_reports_it(s3: Any, tmp_path: Path) -> None:
    done = sweep(tmp_path, "--mode", "delete", trigger={"enabled": False})
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].startswith("spec.trigger.enabled is false, so this sweep ran in mode Detect")


def test_suspended_tenant_is_not_swept(s3: Any, tmp_path: Path) -> None:
    done = sweep(tmp_path, suspend=True)
    assert (done.exit_code, keys(s3)) == (1, ["1.pdf"])
    assert "spec.suspend is true" in done.output
