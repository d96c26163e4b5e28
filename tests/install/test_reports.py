"""Reports and checkpoints in real pods: the chart's CronJobs, run by a kubelet. AWS is MiniStack, whose KMS signs."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from humangov.cli.main import main

from sandbox.release import Release
from testing.live.account import Account
from testing.live.states import States
from testing.live.waiting import wait_for
from tests.conftest import Print
from tests.install.conftest import Install, wait_erased

ALIAS = "alias/humangov-checkpoints"


@pytest.mark.usefixtures("new_api_server")
def test_the_charts_cronjobs_write_a_report_and_a_signed_checkpoint_that_verify(
    install: Install, states: States, account: Account, measured: Print, tmp_path: Path
) -> None:
    bucket = report_bucket(account)
    public = signing_key(account, tmp_path)
    account.make("california")
    key = account.employ("california", "CA-1002")
    on_this_node = {"requests": {"ephemeral-storage": None}}  # it tells of none
    release = install(
        reports={
            "enabled": True, "bucket": bucket, "keyPrefix": "humangov/", "signingKey": ALIAS, "resources": on_this_node,
        }
    )  # fmt: skip
    states.kubectl_apply(states.manifest("california", **account.spec("california")))
    states.wait_ready("california")
    account.dismiss("california", "CA-1002")
    wait_erased(account, "california", key)

    log = run(release, "report")
    measured(log.strip())
    found = stored(account, bucket)
    of_state = f"humangov/reports/{owner(states)}/"
    assert {Path(one).suffix for one in found if one.startswith(of_state)} == {".html", ".json", ".sqlite"}
    [table] = [one for one in found if one.startswith("humangov/reports/all/") and one.endswith(".json")]
    [state] = read(account, bucket, table)["states"]
    assert (state["tenant"], state["problem"]) == (f"{states.namespace}/california", None)

    log = run(release, "checkpoint")
    assert re.search(r"\d log streams? in s3://", log)
    [checkpoint] = [one for one in stored(account, bucket) if one.startswith("humangov/checkpoints/")]
    for one in stored(account, bucket):
        assert retained(account, bucket, one) == "GOVERNANCE", one

    manifest = tmp_path / "california.yaml"
    manifest.write_text(json.dumps(states.get("california")))
    arguments = ["verify", "-f", str(manifest), "--cluster-name", owner(states).partition("/")[0], "--bucket", bucket]
    done = CliRunner(env=account.environment | {"AWS_SECRET_ACCESS_KEY": "sandbox", "AWS_REGION": "us-east-1"}).invoke(
        main, [*arguments, "--prefix", "humangov/", "--public-key", str(public), "--bucket-owner", account.id]
    )
    assert done.exit_code == 0, done.output
    assert "by 1 checkpoint," in done.output
    assert "each signed by checkpoints.der" in done.output
    assert checkpoint


def report_bucket(account: Account) -> str:
    name = f"reports-{secrets.token_hex(4)}"
    account.client("s3").create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def signing_key(account: Account, folder: Path) -> Path:
    """The file of its public key."""
    kms = account.client("kms")
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=ALIAS, TargetKeyId=key)
    path = folder / "checkpoints.der"
    path.write_bytes(kms.get_public_key(KeyId=ALIAS)["PublicKey"])
    return path


def owner(states: States) -> str:
    found = states.get("california") or {}
    return f"{found['status']['aws']['cluster']}/{states.namespace}/california"


def run(release: Release, job: str) -> str:
    """The CronJob's Job now, until it has succeeded; what its pod logged."""
    release.kubectl("create", "job", f"--from=cronjob/{release.name}-{job}", f"{job}-now")

    def ended() -> bool:
        status = json.loads(release.kubectl("get", "job", f"{job}-now", "-o", "json"))["status"]
        return bool(status.get("succeeded") or status.get("failed"))

    def logged() -> str:
        return release.kubectl("logs", f"job/{job}-now", check=False)

    wait_for(ended, what=f"the Job of {job} ends", seconds=180, seen=logged)
    status = json.loads(release.kubectl("get", "job", f"{job}-now", "-o", "json"))["status"]
    assert status.get("succeeded") == 1, logged()
    return logged()


def stored(account: Account, bucket: str) -> list[str]:
    return [one["Key"] for one in account.client("s3").list_objects_v2(Bucket=bucket).get("Contents", ())]


def read(account: Account, bucket: str, key: str) -> Any:
    return json.loads(account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def retained(account: Account, bucket: str, key: str) -> str:
    found = account.client("s3").get_object_retention(Bucket=bucket, Key=key)["Retention"]
    return str(found["Mode"])
