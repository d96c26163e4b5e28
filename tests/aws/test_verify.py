"""`humangov checkpoint` and `humangov verify` on moto, which keeps log streams and a bucket."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from click.testing import CliRunner
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.cli import checkpoint as checkpoint_command
from humangov.cli import lookup, report_bucket
from humangov.cli.main import main
from humangov.proof import checkpoint_store, signature
from humangov.proof import report_bucket as proof_bucket
from humangov.proof.report_bucket import Lock, lock_for
from moto import mock_aws

from sandbox.paths import REPOSITORY
from testing import samples
from testing.documents import differences, object_of

ACCOUNT = "123456789012"  # moto's
GROUP, BUCKET = "/aws/lambda/humangov-california-delete-file", "reports"
sdk = cache(lambda service: boto3.client(service, region_name="us-east-1"))


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with mock_aws():
        sdk("logs").create_log_group(logGroupName=GROUP)
        sdk("logs").put_retention_policy(logGroupName=GROUP, retentionInDays=400)
        sdk("s3").create_bucket(Bucket=BUCKET)
        path = tmp_path / "california.yaml"
        path.write_text(yaml.safe_dump(dict(samples.resource(metadata={}))))
        yield path


def store(*keys: str, hours_ago: float, outcome: str | None = None) -> str:
    """In a log stream of its own, whose name is returned. outcome: of each; None: only the intent."""
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    log = ReceiptLog(
        sdk("logs"), log_group=GROUP, now=at.timestamp, pause=lambda _: None, prefix="receipts"
    )  # fmt: skip
    for key in keys:
        line = {"receipt": "intent", "key": key, "event_id": key}
        if outcome:
            more = {
                "tenant": samples.OWNER,
                "bucket": "files",
                "record_key": {"id": {"S": key}},
                "sequence_number": "1",
            }
            dated = {"event": "REMOVE", "deleted_at": None, "erased_at": None, "announced": False}
            line |= {**more, **dated, "receipt": "outcome", "outcome": outcome}  # type: ignore[dict-item]
        log.write([line])
    return str(log.stream_name)


def command(name: str, manifest: Path, *more: str) -> Any:
    arguments = [
        name,
        "-f",
        str(manifest),
        "--cluster-name",
        "cluster",
        "--bucket",
        BUCKET,
        "--prefix",
        "humangov/",
        *more,
    ]
    return CliRunner().invoke(main, arguments)


def checkpoint(manifest: Path, monkeypatch: pytest.MonkeyPatch, *more: str, hours_ago: float = 0) -> Any:
    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(hours=hours_ago)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_command, "datetime", Then)
        return command("checkpoint", manifest, *more)


def test_receipts_hold_from_checkpoint_to_checkpoint_and_a_removed_stream_is_named(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = command("verify", manifest)
    assert before.exit_code == 2
    assert "there is no checkpoint" in before.output

    first = store("1.pdf", "2.pdf", hours_ago=30)
    assert checkpoint(manifest, monkeypatch, hours_ago=24).exit_code == 0
    second = store("3.pdf", hours_ago=10)
    done = checkpoint(manifest, monkeypatch, "-o", "json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert differences(printed, object_of("checkpoint")) == []
    [one] = printed["checkpoints"]
    assert one["checkpoint"].startswith(f"s3://{BUCKET}/humangov/checkpoints/{samples.OWNER}/")
    assert (one["logStreams"], one["findings"], one["failed"]) == (1, [], False)
    later = store("4.pdf", hours_ago=0.5)

    holds = command("verify", manifest)
    assert holds.exit_code == 0, holds.output
    assert "nothing was altered, inserted or removed" in holds.output
    assert "3 lines are proven by 2 checkpoints" in holds.output
    assert f"{later}: 1" in holds.output

    sdk("logs").delete_log_stream(logGroupName=GROUP, logStreamName=second)
    found = json.loads(command("verify", manifest, "--json").stdout)
    assert differences(found, object_of("verify")) == []
    assert [(one["kind"], one["stream"]) for one in found["findings"]] == [("Removed", second)]
    assert found["verified"] == 2
    sdk("logs").delete_log_group(logGroupName=GROUP)
    gone = command("verify", manifest)
    assert gone.exit_code == 2
    assert first in gone.output
    assert second in gone.output


def test_a_second_checkpoint_within_the_hour_is_not_written(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store("1.pdf", hours_ago=3)
    assert checkpoint(manifest, monkeypatch).exit_code == 0
    again = checkpoint(manifest, monkeypatch, hours_ago=0.5)
    assert again.exit_code == 0
    assert "the last one covers all lines that are old enough" in again.output
    assert len(sdk("s3").list_objects_v2(Bucket=BUCKET)["Contents"]) == 1


def another_run_before(
    call: str, monkeypatch: pytest.MonkeyPatch, *, of: Any = checkpoint_store, other: Callable[[], Any],
) -> None:  # fmt: skip
    """Another run begins and ends just before this call is made for the first time."""
    original, others = getattr(of, call), [other]

    def overtaken(*given: Any, **more: Any) -> Any:
        if others:
            assert others.pop()().exit_code == 0
        return original(*given, **more)

    monkeypatch.setattr(of, call, overtaken)


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize(("first", "hours_ago"), [(True, 3), (False, 3), (False, 1)])
def test_of_two_checkpoints_at_once_one_is_stored_and_the_chain_goes_on(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, first: bool, hours_ago: float, foreign: bool
) -> None:
    """Both read the same last checkpoint, and cover other times. foreign: an object that sorts after all."""
    place = f"humangov/checkpoints/{samples.OWNER}/"
    if foreign:
        sdk("s3").put_object(Bucket=BUCKET, Key=f"{place}foreign.json", Body=b"")
    store("1.pdf", hours_ago=30)
    if not first:
        assert checkpoint(manifest, monkeypatch, hours_ago=24).exit_code == 0
    store("2.pdf", hours_ago=10)
    there = len(stored())

    another_run_before(
        "following", monkeypatch, other=lambda: checkpoint(manifest, monkeypatch, hours_ago=hours_ago)
    )  # fmt: skip
    done = checkpoint(manifest, monkeypatch, hours_ago=2)

    assert done.exit_code == 0, done.output
    assert "no checkpoint: another run has stored one meanwhile: nothing to do" in done.output
    assert len(stored()) == there + 1
    assert checkpoint(manifest, monkeypatch).exit_code == 0
    kinds = [one["kind"] for one in json.loads(command("verify", manifest, "--json").stdout)["findings"]]
    assert kinds == ["Checkpoint"] * foreign


def test_of_two_checkpoints_of_one_second_one_is_stored(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run stores it after this one has looked: S3 refuses to store over it."""
    store("1.pdf", hours_ago=30)
    moment = datetime.now(UTC)

    class Now(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return moment.astimezone(tz)

    monkeypatch.setattr(checkpoint_command, "datetime", Now)
    another_run_before("put", monkeypatch, of=proof_bucket, other=lambda: command("checkpoint", manifest))
    done = command("checkpoint", manifest)
    assert (done.exit_code, len(stored())) == (0, 1), done.output
    assert "another run has stored one meanwhile" in done.output


def test_a_stream_whose_writers_clock_was_behind_is_read_whole(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first lines are dated before what a checkpoint reads, and no checkpoint has them."""
    store("0.pdf", hours_ago=100)
    assert checkpoint(manifest, monkeypatch, hours_ago=48).exit_code == 0
    hours_ago = [90.0]
    log = ReceiptLog(
        sdk("logs"), log_group=GROUP, pause=lambda _: None, prefix="receipts",
        now=lambda: (datetime.now(UTC) - timedelta(hours=hours_ago[-1])).timestamp(),
    )  # fmt: skip
    log.write([{"receipt": "intent", "key": "1.pdf", "event_id": "1"}])
    hours_ago.append(20.0)
    log.write([{"receipt": "intent", "key": "2.pdf", "event_id": "2"}])
    done = checkpoint(manifest, monkeypatch)
    assert done.exit_code == 0, done.output
    assert command("verify", manifest).exit_code == 0


def test_a_report_is_stored_in_a_bucket_and_never_over_another(manifest: Path, tmp_path: Path) -> None:
    store("1.pdf", hours_ago=3)
    folder = str(tmp_path / "reports")
    for _ in range(2):
        done = command("report", manifest, "--since", "1d", "-d", folder)
        assert done.exit_code == 2, done.output
        keys = [one["Key"] for one in sdk("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
        place = f"humangov/reports/{samples.OWNER}/"
        assert len(keys) >= 3
        assert all(key.startswith(place) for key in keys)
        assert {Path(key).suffix for key in keys} == {".html", ".json", ".sqlite"}
    page = next(key for key in keys if key.endswith(".html"))
    with pytest.raises(ClientError, match="PreconditionFailed"):
        sdk("s3").put_object(Bucket=BUCKET, Key=page, Body=b"", IfNoneMatch="*")


def test_foreign_object_among_checkpoints_is_a_finding(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store("1.pdf", hours_ago=3)
    checkpoint(manifest, monkeypatch)
    sdk("s3").put_object(Bucket=BUCKET, Key=f"humangov/checkpoints/{samples.OWNER}/2026.json", Body=b"{}")
    done = command("verify", manifest)
    assert done.exit_code == 2
    assert "checkpoint 2026.json can't be read" in done.output


def test_without_the_bucket_checkpoint_and_verify_fail(manifest: Path) -> None:
    for name in ("checkpoint", "verify"):
        done = CliRunner().invoke(main, [name, "-f", str(manifest), "--cluster-name", "cluster", "--bucket", "none"])
        assert done.exit_code == 1
        assert "NoSuchBucket" in done.output
        assert "Traceback" not in done.output


def test_every_call_to_the_report_bucket_says_whose_it_must_be(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store("1.pdf", hours_ago=3)
    asked: list[tuple[str, Any]] = []
    original = boto3.Session.client

    def noted(self: Any, *given: Any, **more: Any) -> Any:
        client = original(self, *given, **more)
        client.meta.events.register(
            "before-parameter-build.s3",
            lambda params, model, **_: asked.append((model.name, params.get("ExpectedBucketOwner")))
            if params.get("Bucket") == BUCKET else None,
        )  # fmt: skip
        return client

    monkeypatch.setattr(boto3.Session, "client", noted)
    lock = ("--retention-days", "400")
    assert checkpoint(manifest, monkeypatch, *lock).exit_code == 0
    assert command("verify", manifest).exit_code == 0
    assert command("report", manifest, "--since", "1d", "-d", str(tmp_path), *lock).exit_code == 2
    assert {name for name, _ in asked} == {"ListObjectsV2", "GetObject", "PutObject", "GetObjectLockConfiguration"}
    assert {owner for _, owner in asked} == {ACCOUNT}
    asked.clear()
    command("verify", manifest, "--bucket-owner", "999999999999")
    assert {owner for _, owner in asked} == {"999999999999"}


def reported(manifest: Path, folder: Path) -> tuple[dict[str, Any], str]:
    """The JSON and the page of a report of the last two days."""
    done = command("report", manifest, "--since", "2d", "-d", str(folder), "-o", "json")
    assert done.exit_code == 2, done.output  # the log group is younger
    [page, data, _] = json.loads(done.stdout)["reports"][0]["files"]
    return json.loads(Path(data).read_text()), " ".join(Path(page).read_text().split())


def test_a_report_says_which_receipts_checkpoints_cover_and_that_they_are_as_stated(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before, page = reported(manifest, tmp_path)
    assert before["checkpoints"]["number"] == 0
    assert "has no checkpoint of these receipts" in page

    store("1.pdf", "2.pdf", hours_ago=10, outcome="erased")
    assert checkpoint(manifest, monkeypatch).exit_code == 0
    store("3.pdf", hours_ago=0.5, outcome="erased")
    data, page = reported(manifest, tmp_path)
    assert (data["checkpoints"]["receipts"], data["checkpoints"]["as_stated"]) == (2, True)
    assert "Of the 3 receipts of this report, 2 are proven by a checkpoint and 1 is not yet covered" in page
    assert "the receipts were as the checkpoints state" in page
    assert page.count("; proven by a checkpoint<") == 2
    assert page.count("; not proven yet: stored after the last checkpoint<") == 1


@pytest.mark.parametrize("deed", ["removed", "forged"])
def test_a_report_names_the_log_stream_that_is_not_as_a_checkpoint_states(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deed: str
) -> None:
    store("1.pdf", hours_ago=10, outcome="erased")
    other = store("2.pdf", hours_ago=8, outcome="erased")
    assert checkpoint(manifest, monkeypatch).exit_code == 0
    if deed == "removed":
        sdk("logs").delete_log_stream(logGroupName=GROUP, logStreamName=other)
    else:
        other = store("never.pdf", hours_ago=7, outcome="erased")
    data, page = reported(manifest, tmp_path)
    [gap] = [one["message"] for one in data["gaps"] if one["kind"] == "NotAsStored"]
    assert other in gap
    assert data["checkpoints"]["as_stated"] is False
    assert "not all of them were as the checkpoints state" in page
    assert page.count("; not proven: its log stream is not as a checkpoint states<") == (deed == "forged")
    assert page.count("; proven by a checkpoint<") == (1 if deed == "removed" else 2)


def test_checkpoints_that_a_report_may_not_read_or_that_were_altered_are_a_gap(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store("1.pdf", hours_ago=10, outcome="erased")
    assert checkpoint(manifest, monkeypatch).exit_code == 0
    [key] = [one["Key"] for one in sdk("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    body = sdk("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    sdk("s3").put_object(Bucket=BUCKET, Key=key, Body=body.replace(b'"previous":"0', b'"previous":"1'))
    data, page = reported(manifest, tmp_path)
    assert "CheckpointsChanged" in {one["kind"] for one in data["gaps"]}
    assert data["checkpoints"]["as_stated"] is False
    assert "proven by a checkpoint<" not in page

    def denied(*_: Any, **__: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListObjectsV2")

    monkeypatch.setattr(checkpoint_store, "read", denied)
    data, page = reported(manifest, tmp_path)
    assert "CheckpointsUnread" in {one["kind"] for one in data["gaps"]}
    assert data["checkpoints"] is None
    assert "was not compared with checkpoints" in page


@pytest.mark.parametrize(
    ("record", "code", "said"),
    [
        (
            "1.pdf",
            0,
            "record 1.pdf: proven by a checkpoint\n  1.pdf: proven\n    outcome: line 1 of log stream {first}",
        ),
        ("never.pdf", 2, "record never.pdf: not proven: a log stream of its receipts is not as a checkpoint states"),
        ("3.pdf", 2, "record 3.pdf: not yet covered by a checkpoint"),
        ("9.pdf", 2, "record 9.pdf: no receipt names it"),
    ],
)
def test_verify_of_one_record_says_whether_it_is_proven_and_exits_so(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, record: str, code: int, said: str
) -> None:
    first = store("1.pdf", hours_ago=10, outcome="erased")
    assert checkpoint(manifest, monkeypatch).exit_code == 0
    store("never.pdf", hours_ago=7, outcome="erased")
    store("3.pdf", hours_ago=0.5, outcome="erased")
    done = command("verify", manifest, "--record", record)
    assert done.exit_code == code, done.output
    assert said.format(first=first) in done.output
    assert "3 receipts: 1 is proven by a checkpoint, 1 is in a log stream that is not as" in done.output
    printed = json.loads(command("verify", manifest, "--record", record, "-o", "json").stdout)
    assert differences(printed, object_of("verify")) == []
    assert command("verify", manifest).exit_code == 2


def print_as_the_function(*messages: str, hours_ago: float = 10) -> str:
    """To Lambda's own log stream, whose name is returned."""
    stream = "2026/03/01/[$LATEST]0123456789abcdef"
    at = round((datetime.now(UTC) - timedelta(hours=hours_ago)).timestamp() * 1000)
    sdk("logs").create_log_stream(logGroupName=GROUP, logStreamName=stream)
    events = [{"timestamp": at, "message": message} for message in messages]
    sdk("logs").put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)
    return stream


def test_a_forged_line_in_the_functions_own_log_stream_replaces_no_receipt_and_every_command_names_it(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The function's role may write to every log stream. The line has the name of the one that it is to replace."""
    real = store("1.pdf", hours_ago=10, outcome="kept: live")
    assert checkpoint(manifest, monkeypatch).exit_code == 0
    [event] = sdk("logs").get_log_events(logGroupName=GROUP, logStreamName=real)["events"]
    forged = json.loads(event["message"]) | {"outcome": "erased", "erased_at": "2026-03-01T00:00:00.000Z"}
    own = print_as_the_function(json.dumps(forged), hours_ago=10.0001)

    done = command("verify", manifest)
    assert done.exit_code == 2
    assert f"NotChained: log stream {own}: 1 line calls itself a receipt, and this log stream" in done.output
    assert "1 receipt: 1 is proven by a checkpoint" in done.output
    assert command("verify", manifest, "--record", "1.pdf").exit_code == 0
    data, page = reported(manifest, tmp_path)
    assert "LinesNotChained" in {one["kind"] for one in data["gaps"]}
    assert {one["value"] for one in data["figures"] if one["name"] == "erased"} == {0}
    assert own in page
    shown = CliRunner().invoke(main, ["receipts", "--log-group", GROUP, "--region", "us-east-1", "-o", "json"])
    assert [json.loads(line)["outcome"] for line in shown.stdout.splitlines()] == ["kept: live"]
    assert f"1 line calls itself a receipt and is in no chain, in log stream {own}" in shown.stderr


def test_checkpoint_of_a_minimum_age_covers_younger_lines(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store("1.pdf", hours_ago=0.5)
    assert checkpoint(manifest, monkeypatch, "--minimum-age", "10").exit_code == 0
    assert "1 line is proven by 1 checkpoint" in command("verify", manifest).output
    assert checkpoint(manifest, monkeypatch, "--minimum-age", "-1").exit_code == 2


def stored() -> list[Any]:
    keys = [one["Key"] for one in sdk("s3").list_objects_v2(Bucket=BUCKET).get("Contents", ())]
    return [sdk("s3").head_object(Bucket=BUCKET, Key=key) for key in keys]


def test_object_lock_retains_report_and_checkpoint_where_the_bucket_has_it(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sdk("s3").delete_bucket(Bucket=BUCKET)
    sdk("s3").create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    store("1.pdf", hours_ago=3)
    kept = ("--retention-days", "1096", "--retention-mode", "COMPLIANCE")
    done = checkpoint(manifest, monkeypatch, *kept)
    assert done.exit_code == 0, done.output
    assert "Object Lock" not in done.output
    assert command("report", manifest, "--since", "1d", "-d", str(tmp_path), *kept).exit_code == 2
    found = stored()
    assert len(found) == 4
    for one in found:
        assert one["ObjectLockMode"] == "COMPLIANCE"
        assert abs(one["ObjectLockRetainUntilDate"] - datetime.now(UTC) - timedelta(days=1096)) < timedelta(hours=1)


def test_a_bucket_without_object_lock_is_named_and_still_written_to(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("1.pdf", hours_ago=3)
    done = checkpoint(manifest, monkeypatch, "--retention-days", "400")
    assert done.exit_code == 0
    assert f"bucket {BUCKET} has no Object Lock" in done.output
    [one] = stored()
    assert "ObjectLockMode" not in one


def default(**retention: Any) -> Any:
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}


@pytest.mark.parametrize(
    ("configuration", "wanted", "asked"),
    [
        (None, Lock(400, "GOVERNANCE"), None),
        ({"ObjectLockEnabled": "Enabled"}, Lock(400, "GOVERNANCE"), Lock(400, "GOVERNANCE")),
        (default(Mode="GOVERNANCE", Days=30), Lock(400, "GOVERNANCE"), Lock(400, "GOVERNANCE")),
        (default(Mode="GOVERNANCE", Years=7), Lock(400, "GOVERNANCE"), None),
        (default(Mode="COMPLIANCE", Years=7), Lock(400, "GOVERNANCE"), None),
        (default(Mode="COMPLIANCE", Days=30), Lock(400, "GOVERNANCE"), Lock(400, "COMPLIANCE")),
        (default(Mode="GOVERNANCE", Years=7), Lock(400, "COMPLIANCE"), Lock(2555, "COMPLIANCE")),
    ],
)
def test_a_retention_of_the_bucket_is_never_shortened_and_its_mode_never_weakened(
    configuration: Any, wanted: Lock, asked: Lock | None
) -> None:
    assert lock_for(configuration, wanted) == asked


def test_whether_a_bucket_has_object_lock_is_not_guessed_from_an_error(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("1.pdf", hours_ago=3)

    def denied(*_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObjectLockConfiguration")

    monkeypatch.setattr(report_bucket, "lock_configuration", denied)
    done = checkpoint(manifest, monkeypatch, "--retention-days", "400")
    assert done.exit_code == 1
    assert "AccessDenied" in done.output
    assert stored() == []


def test_a_kms_key_encrypts_what_is_stored(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = sdk("kms").create_key()["KeyMetadata"]["Arn"]
    store("1.pdf", hours_ago=3)
    assert checkpoint(manifest, monkeypatch, "--kms-key", key).exit_code == 0
    [one] = stored()
    assert (one["ServerSideEncryption"], one["SSEKMSKeyId"]) == ("aws:kms", key)


# Signatures. moto's KMS hashes a digest again; MiniStack's signs it (tests/install/test_reports.py). Here keys of the
# library cryptography sign, as KMS says of its own: https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html

PRIVATE: Mapping[str, Callable[[], Any]] = {
    "ECC_NIST_P256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECC_NIST_P384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA_2048": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}
ALGORITHMS = {
    "ECC_NIST_P256": ["ECDSA_SHA_256"],
    "ECC_NIST_P384": ["ECDSA_SHA_384"],
    "RSA_2048": ["RSASSA_PSS_SHA_256", "RSASSA_PKCS1_V1_5_SHA_256"],
}


class Keys:
    """A KMS of these keys alone."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, Any]] = {}

    def get_public_key(self, **asked: Any) -> dict[str, Any]:
        return {"SigningAlgorithms": ALGORITHMS[self._key(asked["KeyId"], "GetPublicKey")[0]]}

    def sign(self, **asked: Any) -> dict[str, Any]:
        spec, key = self._key(asked["KeyId"], "Sign")
        assert asked["MessageType"] == "DIGEST"
        assert asked["SigningAlgorithm"] in ALGORITHMS[spec]
        prehashed = Prehashed(getattr(hashes, f"SHA{asked['SigningAlgorithm'][-3:]}")())
        more = (padding.PKCS1v15(), prehashed) if spec.startswith("RSA") else (ec.ECDSA(prehashed),)
        arn = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{asked['KeyId']}"
        return {"Signature": key.sign(asked["Message"], *more), "KeyId": arn}

    def _key(self, name: str, operation: str) -> tuple[str, Any]:
        if name not in self.known:
            raise ClientError({"Error": {"Code": "NotFoundException", "Message": "no"}}, operation)
        return self.known[name]


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Keys:
    keys = Keys()
    monkeypatch.setattr(checkpoint_command, "connect_to_sign", lambda **_: keys)
    return keys


def signing_key(kms: Keys, tmp_path: Path, *, spec: str = "ECC_NIST_P256", pem: bool = True) -> tuple[str, str]:
    """(alias, file of the public key)"""
    alias = f"alias/{spec.lower()}-{len(kms.known)}"
    key = PRIVATE[spec]()
    kms.known[alias] = (spec, key)
    path = tmp_path / f"{alias.rpartition('/')[2]}.pub"
    encoding = Encoding.PEM if pem else Encoding.DER
    path.write_bytes(key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo))
    return alias, str(path)


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_NIST_P384", "RSA_2048"])
def test_signed_checkpoints_are_verified_with_the_public_key_alone(
    manifest: Path, kms: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spec: str
) -> None:
    alias, public = signing_key(kms, tmp_path, spec=spec, pem=spec != "RSA_2048")
    store("1.pdf", hours_ago=30)
    assert checkpoint(manifest, monkeypatch, "--signing-key", alias, hours_ago=24).exit_code == 0
    store("2.pdf", hours_ago=3)
    assert checkpoint(manifest, monkeypatch, "--signing-key", alias).exit_code == 0

    monkeypatch.setattr(checkpoint_command, "connect_to_sign", None)
    done = command("verify", manifest, "--public-key", public)
    assert done.exit_code == 0, done.output
    assert (
        f"2 lines are proven by 2 checkpoints, the last up to {done.output.partition('up to ')[2][:23]}" in done.output
    )
    assert f"each signed by {Path(public).name}" in done.output
    assert command("verify", manifest).exit_code == 0

    _, other = signing_key(kms, tmp_path)
    wrong = command("verify", manifest, "--public-key", other)
    assert wrong.exit_code == 2
    assert wrong.output.count("its signature is not of this public key, or it was altered") == 2
    both = command("verify", manifest, "--public-key", other, "--public-key", public)
    assert both.exit_code == 0, both.output


def test_openssl_checks_a_signature_as_the_documentation_says(
    manifest: Path, kms: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alias, public = signing_key(kms, tmp_path)
    store("1.pdf", hours_ago=3)
    checkpoint(manifest, monkeypatch, "--signing-key", alias)
    [key] = [one["Key"] for one in sdk("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    (tmp_path / "checkpoint.json").write_bytes(sdk("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())
    (tmp_path / "public.pem").write_bytes(Path(public).read_bytes())
    [script] = re.findall(r"```bash\n(head -n 1.*?)```", (REPOSITORY / "docs" / "reports.md").read_text(), re.DOTALL)
    run = partial(subprocess.run, ["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run().stdout == "Verified OK\n"
    altered = (tmp_path / "checkpoint.json").read_text().replace('"until":1', '"until":2')
    (tmp_path / "checkpoint.json").write_text(altered)
    assert "Verification failure" in run().stdout + run().stderr


@pytest.mark.parametrize("deed", ["alter", "forge without signature", "another signature"])
def test_a_last_checkpoint_that_was_altered_is_found_by_its_signature(
    manifest: Path, kms: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deed: str
) -> None:
    """The chain alone does not show it: no checkpoint follows."""
    alias, public = signing_key(kms, tmp_path)
    other, _ = signing_key(kms, tmp_path)
    gone = store("1.pdf", hours_ago=3)
    checkpoint(manifest, monkeypatch, "--signing-key", alias)
    [key] = [one["Key"] for one in sdk("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    line, second, _ = sdk("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().split(b"\n")
    value = json.loads(line)
    value["streams"] = {}
    forged = json.dumps(value, separators=(",", ":")).encode()
    sdk("logs").delete_log_stream(logGroupName=GROUP, logStreamName=gone)
    content = {
        "alter": forged + b"\n" + second + b"\n",
        "forge without signature": forged,
        "another signature": signature.signed(kms, other, forged),
    }[deed]
    sdk("s3").put_object(Bucket=BUCKET, Key=key, Body=content)
    assert command("verify", manifest).exit_code == 0
    done = command("verify", manifest, "--public-key", public)
    assert done.exit_code == 2
    assert ("it is not signed" if deed == "forge without signature" else "its signature is not of") in done.output


def test_checkpoints_before_signed_since_need_no_signature(
    manifest: Path, kms: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alias, public = signing_key(kms, tmp_path)
    store("1.pdf", hours_ago=60)
    checkpoint(manifest, monkeypatch, hours_ago=48)
    store("2.pdf", hours_ago=3)
    checkpoint(manifest, monkeypatch, "--signing-key", alias)
    assert "it is not signed" in command("verify", manifest, "--public-key", public).output
    assert command("verify", manifest, "--public-key", public, "--signed-since", "1d").exit_code == 0


def test_kms_key_that_can_not_sign_is_refused_and_nothing_is_written(
    manifest: Path, kms: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store("1.pdf", hours_ago=3)
    encrypting, _ = signing_key(kms, tmp_path, spec="RSA_2048")
    monkeypatch.setitem(ALGORITHMS, "RSA_2048", [])
    for key in (encrypting, "alias/none"):
        done = checkpoint(manifest, monkeypatch, "--signing-key", key)
        assert done.exit_code == 1
        assert "no checkpoint" in done.output
        assert "Traceback" not in done.output
    assert stored() == []
    (tmp_path / "no.pem").write_text("-----BEGIN nothing")
    bad = command("verify", manifest, "--public-key", str(tmp_path / "no.pem"))
    assert bad.exit_code == 2
    assert "it is no public key in PEM or DER" in bad.output


def test_checkpoints_of_all_are_of_no_state_that_was_refused(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may name the function, and so the log group, of another; and its region may be none."""
    store("1.pdf", hours_ago=3)
    refused = [samples.resource("florida", namespace="florida", region=region) for region in ("us-east-1", "aa-evil-1")]
    for one in refused:
        one["spec"]["function"] = {"name": "humangov-california-delete-file"}
    monkeypatch.setattr(lookup, "every", lambda _options: [(one, "cluster") for one in refused])
    done = CliRunner().invoke(main, ["checkpoint", "--all", "--bucket", BUCKET, "--prefix", "p/"])
    assert done.exit_code == 0, done.output
    assert done.output.count(f"no checkpoint: {lookup.NOT_PROVISIONED}") == 2
    told = CliRunner().invoke(main, ["checkpoint", "--all", "--bucket", BUCKET, "--prefix", "p/", "-o", "json"])
    every = json.loads(told.stdout)["checkpoints"]
    assert [(one["checkpoint"], one["message"], one["failed"]) for one in every] == [
        (None, lookup.NOT_PROVISIONED, False)
    ] * 2
    assert stored() == []


def test_reports_of_all_states_are_stored_with_a_table_that_leads_to_each(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the CronJob of the chart runs it: no file stays here, and gaps are no failure."""
    store("1.pdf", hours_ago=3)
    elsewhere = {"aws": {"accountID": "999999999999", "region": "us-east-1", "cluster": "cluster"}}
    here = {"aws": {**elsewhere["aws"], "accountID": "123456789012"}}
    states = [{**samples.resource(), "status": here}]
    monkeypatch.setattr(lookup, "every", lambda _options: [(one, "cluster") for one in states])
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    arguments = ["report", "--all", "--bucket", BUCKET, "--prefix", "p/", "--bucket-only", "--accept-gaps"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert set(tmp_path.iterdir()) == before
    assert "1 state: s3://reports/p/reports/all/" in done.output
    keys = [one["Key"] for one in sdk("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    [table] = [key for key in keys if key.startswith("p/reports/all/") and key.endswith(".html")]
    [link] = re.findall(r'href="([^"]+)"', sdk("s3").get_object(Bucket=BUCKET, Key=table)["Body"].read().decode())
    assert os.path.normpath(Path(table).parent / unquote(link)) in keys

    states.append({**samples.resource("florida"), "status": elsewhere})
    again = CliRunner().invoke(main, [*arguments, "-o", "json"])
    printed = json.loads(again.stdout)
    assert (again.exit_code, differences(printed, object_of("report"))) == (1, [])
    assert [one["files"] for one in (*printed["reports"], printed["table"])] == [[], [], []]
    assert printed["table"]["stored"].startswith("s3://reports/p/reports/all/")
