"""What the condition BucketReady says of other copies of the files. Runs on nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from humangov.aws import bucket, other_copies
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.other_copies import Lifecycle, OtherCopies, Replica, Unknown

from testing import samples

NONE = OtherCopies(replicas=(), lifecycle=Lifecycle(), backup=None)
DENIED_TEXT = "AWS denies the operator"
DENIED = Unknown(action="s3:GetReplicationConfiguration", code="AccessDenied", denied=True)
BUSY = Unknown(action="s3:GetReplicationConfiguration", code="SlowDown", denied=False)


class Clients:
    """Answers each action with a dictionary, or with an error's code."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[str] = []

    def call(self, action: str, *, target: str, **_parameters: Any) -> dict[str, Any]:
        self.calls.append(action)
        answer = self.answers.get(action.split(":")[1].removeprefix("Get"), ABSENT[action])
        if isinstance(answer, dict):
            return answer
        raise AwsError(action=action, target=target, code=answer, text="", meaning=Meaning.RETRY_SLOWLY)


ABSENT = {
    "s3:GetReplicationConfiguration": "ReplicationConfigurationNotFoundError",
    "s3:GetLifecycleConfiguration": "NoSuchLifecycleConfiguration",
    "backup:DescribeProtectedResource": "ResourceNotFoundException",
}


def observed(*, key_prefix: str = "california/", **answers: Any) -> OtherCopies:
    names = samples.names(bucket={"name": "files", "keyPrefix": key_prefix})
    return other_copies.observe(Clients(**answers), names)  # type: ignore[arg-type] # only `call` is used


def rule(status: str = "Enabled", *, to: str = "copies", **more: Any) -> dict[str, Any]:
    return {"Status": status, "Destination": {"Bucket": f"arn:aws:s3:::{to}"}, **more}


def replicated(*rules: dict[str, Any], **more: Any) -> OtherCopies:
    return observed(ReplicationConfiguration={"ReplicationConfiguration": {"Rules": list(rules)}}, **more)


def expiring(*rules: dict[str, Any]) -> OtherCopies:
    return observed(LifecycleConfiguration={"Rules": [{"Status": "Enabled", **one} for one in rules]})


def test_bucket_without_other_copies_takes_three_calls_and_its_message_mentions_none() -> None:
    clients = Clients()
    found = other_copies.observe(clients, samples.names())  # type: ignore[arg-type] # only `call` is used
    assert found == NONE
    assert sorted(clients.calls) == sorted(ABSENT)
    assert other_copies.sentences(found) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            replicated(rule(), rule(to="far", Destination={"Bucket": "arn:aws-us-gov:s3:::far", "Account": "42"})),
            "replication copies files to bucket copies, bucket far of account 42: what is erased here stays there",
        ),
        (
            replicated(rule("Disabled")),
            "a disabled replication rule names bucket copies: what it copied before stays there",
        ),
        (
            observed(DescribeProtectedResource={"LastBackupTime": datetime(2026, 3, 1, 5, tzinfo=UTC)}),
            "AWS Backup holds copies, the last of 2026-03-01: what is erased here stays there",
        ),
        (
            expiring({"Expiration": {"Days": 90}, "Prefix": ""}),
            "lifecycle rules expire files after 90 days, even those that a record names",
        ),
        (
            expiring({"Expiration": {"Date": datetime(2027, 1, 1, tzinfo=UTC)}, "Filter": {}}),
            "lifecycle rules expire files on a fixed date, even those that a record names",
        ),
        (
            expiring(
                {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}},
                {"NoncurrentVersionExpiration": {"NoncurrentDays": 7}, "Filter": {"And": {"Prefix": "cal"}}},
            ),
            "lifecycle rules remove older versions after 7 days or after 30 days",
        ),
        (
            expiring({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}),
            "lifecycle rules abort incomplete uploads after 7 days",
        ),
        (
            observed(ReplicationConfiguration="AccessDenied"),
            f"whether files are replicated is unknown: {DENIED_TEXT} s3:GetReplicationConfiguration (deploy/iam)",
        ),
        (
            observed(DescribeProtectedResource="SlowDown"),
            "whether AWS Backup holds copies is unknown: backup:DescribeProtectedResource failed with SlowDown",
        ),
        (
            observed(LifecycleConfiguration="AccessDenied"),
            f"what its lifecycle rules remove is unknown: {DENIED_TEXT} s3:GetLifecycleConfiguration (deploy/iam)",
        ),
    ],
)
def test_bucket_condition_names_other_copies_of_the_files_and_stays_true(found: OtherCopies, told: str) -> None:
    assert other_copies.sentences(found) == [told]
    for versioning in (None, "Enabled"):
        one = bucket.Observed(region="us-east-1", versioning=versioning, copies=found)
        finding = bucket.finding(one, samples.names())
        assert finding.status == "True"
        assert finding.message.endswith(f"; {told}")


@pytest.mark.parametrize(
    ("prefix", "concerned"),
    [("", True), ("california/", True), ("california/2026/", True), ("cal", True), ("florida/", False)],
)
def test_lifecycle_rules_for_other_keys_are_not_reported(prefix: str, concerned: bool) -> None:
    for given in ({"Prefix": prefix}, {"Filter": {"Prefix": prefix}}, {"Filter": {"And": {"Prefix": prefix}}}):
        assert bool(other_copies.sentences(replicated(rule(**given)))) is concerned
        assert bool(other_copies.sentences(expiring({"Expiration": {"Days": 1}, **given}))) is concerned


def test_disabled_lifecycle_rule_and_a_rule_about_markers_remove_no_file() -> None:
    rules = {"Status": "Disabled", "Expiration": {"Days": 1}}, {"Expiration": {"ExpiredObjectDeleteMarker": True}}
    assert other_copies.sentences(expiring(*rules)) == []


def test_transient_read_error_does_not_change_the_condition_and_a_missing_permission_does() -> None:
    known = replace(NONE, replicas=(Replica(bucket="copies", account_id=None, enabled=True),), backup=date(2026, 1, 1))
    assert other_copies.with_known(replace(NONE, replicas=BUSY), known).replicas == known.replicas
    assert other_copies.with_known(replace(NONE, replicas=DENIED), known).replicas == DENIED
    assert other_copies.with_known(NONE, known) == NONE, "what is read now counts"
    unknown = replace(NONE, replicas=DENIED)
    assert other_copies.with_known(replace(NONE, replicas=BUSY), unknown).replicas == BUSY
