"""As whom a sweep works: the caller, or the role that spec.account.sweepRoleARN names. On moto, which asks no trust."""

from __future__ import annotations

import boto3
import pytest
from humangov.aws.data_plane import connect
from humangov.aws.sessions import session_for
from moto import mock_aws

ROLE = "arn:aws:iam::999999999999:role/humangov-sweep-california"


@pytest.fixture(autouse=True)
def _caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing"),
                        ("AWS_DEFAULT_REGION", "us-east-1")):  # fmt: skip
        monkeypatch.setenv(name, value)


def test_sweep_assumes_the_role_of_the_tenant_with_its_external_id() -> None:
    with mock_aws():
        session = session_for(
            role_arn=ROLE, external_id="california-7f3a", session_name="humangov-sweep-california", region="us-east-1"
        )
        reported = session.client("sts", region_name="us-east-1").get_caller_identity()
        assert reported["Account"] == "999999999999"
        assert reported["Arn"].endswith(":assumed-role/humangov-sweep-california/humangov-sweep-california")
        s3 = connect(region="us-east-1", session=session).patient_s3
        s3.create_bucket(Bucket="theirs")
        assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["theirs"]
        assert boto3.client("s3", region_name="us-east-1").list_buckets()["Buckets"] == []


def test_sweep_without_a_role_uses_the_callers_identity() -> None:
    with mock_aws():
        session = session_for(role_arn=None, external_id=None, session_name="x", region="us-east-1")
        assert session.client("sts", region_name="us-east-1").get_caller_identity()["Account"] == "123456789012"
