"""A plain and a versioned bucket of an S3 that is neither AWS nor an emulator, swept in mode Delete over real HTTP.

Versity's gateway keeps the files, a moto server the tables and the log groups; both are processes of their own, and so
is each sweep: `humangov sweep` on a manifest. Ages are as short as the definition allows and are waited for. Between
the two sweeps the application goes on: what it names again, or uploads again, must stay, and so must what is new.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from humangov.proof import receipts

from bench.measure import Report, Table
from bench.rig import NotMeasuredError, Say, moto_server
from sandbox import emulator, s3_gateway
from sandbox.paths import BUILD, REPOSITORY

FILES = 2_500
_AGE_SECONDS = 60
_UPLOADS_AT_ONCE = 8
_CLUSTER = "bench"
_SWEEP = {
    "mode": "Delete",
    "minimumAge": f"{_AGE_SECONDS // 60}m",
    "confirmAfter": f"{_AGE_SECONDS // 60}m",
    "maximumOrphanPercent": 20,
}
_EXIT_CODES = (0, 2, 3)
"""No orphan is left, some are, or a safety check failed: of a table this young, until a person approves the list."""

_NOTES = (
    "Keys lie in folders and beside them. In the versioned bucket files have older versions, or are hidden by markers.",
    "Between the sweeps: orphans are named again, uploaded again with the same bytes, and new ones come.",
    f"minimumAge and confirmAfter: {_AGE_SECONDS} s each, waited for. A failed safety check: its list is approved.",
)


@dataclass
class Tenant:
    """One bucket and its table. live: keys that a record names. orphans: the others, which must go.

    spared: orphans of the first sweep that the second one must keep; new: orphans that no earlier sweep saw.
    """

    name: str
    versioned: bool
    live: list[str]
    orphans: list[str]
    spared: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)

    @property
    def bucket(self) -> str:
        return f"humangov-{self.name}-s3"

    @property
    def table(self) -> str:
        return f"humangov-{self.name}-dynamodb"

    @property
    def log_group(self) -> str:
        return f"/aws/lambda/humangov-{self.name}-delete-file"


@dataclass(frozen=True)
class Swept:
    """What is left of a tenant's files after the second sweep. receipts: keys that their outcomes call erased."""

    left: frozenset[str]
    receipts: frozenset[str]
    result: Mapping[str, Any]
    seconds: float


def run(*, say: Say, files: int = FILES) -> Report:
    """Takes about four minutes; the first time, the gateway is built. Raises SandboxError, NotMeasuredError."""
    with tempfile.TemporaryDirectory(prefix="humangov-bench-") as name, moto_server() as others:
        folder = Path(name)
        with s3_gateway.running(folder / "s3", say=say) as s3_url:
            session = boto3.Session(
                aws_access_key_id=s3_gateway.ACCESS_KEY, aws_secret_access_key=s3_gateway.SECRET,
                region_name=emulator.REGION,
            )  # fmt: skip
            bench = _Bench(folder, s3_url, others, session, say)
            tenants = [_tenant("plain", files, versioned=False), _tenant("versioned", files, versioned=True)]
            found = {one.name: swept for one, swept in zip(tenants, bench.swept(tenants), strict=True)}
    return _report(tenants, found)


def _tenant(name: str, files: int, *, versioned: bool) -> Tenant:
    """One key in six is an orphan."""
    keys = list(map(_key, range(files)))
    orphans = keys[3::6]
    return Tenant(name, versioned, live=[key for key in keys if key not in set(orphans)], orphans=orphans)


def _key(number: int) -> str:
    """Keys whose order as bytes differs from that of a walk through folders."""
    forms = ("{}.pdf", "a{}/{}.pdf", "a{}-x.pdf", "ä{}.pdf", "staff/x{}/y.pdf", "a{}.pdf", "文{} z.pdf")
    return forms[number % len(forms)].format(number, number)


class _Bench:
    def __init__(self, folder: Path, s3_url: str, others_url: str, session: boto3.Session, say: Say) -> None:
        config = Config(s3={"addressing_style": "path"}, max_pool_connections=_UPLOADS_AT_ONCE)
        self._s3 = session.client("s3", endpoint_url=s3_url, config=config)
        self._dynamodb = session.client("dynamodb", endpoint_url=others_url)
        self._logs = session.client("logs", endpoint_url=others_url)
        self._folder, self._say = folder, say
        self._environment = {
            "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"),
            "AWS_ENDPOINT_URL": others_url, "AWS_ENDPOINT_URL_S3": s3_url,
            "AWS_ACCESS_KEY_ID": s3_gateway.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": s3_gateway.SECRET,
            "AWS_DEFAULT_REGION": emulator.REGION, "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
            "PYTHONPATH": str(REPOSITORY / "operator"), "PYTHONPYCACHEPREFIX": str(BUILD / "pycache"),
        }  # fmt: skip

    def swept(self, tenants: Sequence[Tenant]) -> list[Swept]:
        for one in tenants:
            self._say(f"{one.name}: {len(one.live) + len(one.orphans):,} files")
            self._create(one)
        self._wait()
        first = {one.name: self._sweep(one) for one in tenants}
        for one in tenants:
            self._go_on(one)
        self._wait()
        found = []
        for one in tenants:
            started = time.monotonic()
            result = self._sweep(one, approve=first[one.name])
            found.append(Swept(self._left(one), self._receipts(one), result, time.monotonic() - started))
        return found

    def _create(self, tenant: Tenant) -> None:
        self._s3.create_bucket(Bucket=tenant.bucket)
        self._logs.create_log_group(logGroupName=tenant.log_group)
        self._dynamodb.create_table(
            TableName=tenant.table, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )  # fmt: skip
        keys = [*tenant.live, *tenant.orphans]
        if tenant.versioned:
            # Some have a version from before the bucket kept any, whose ID is null.
            self._put(tenant, keys[::9])
            self._s3.put_bucket_versioning(Bucket=tenant.bucket, VersioningConfiguration={"Status": "Enabled"})
            self._put(tenant, keys[::5])
        self._put(tenant, keys)
        self._name(tenant, tenant.live)
        if tenant.versioned:
            # A marker hides the file: it is an orphan all the same.
            self._each(tenant.orphans[::4], lambda key: self._s3.delete_object(Bucket=tenant.bucket, Key=key))

    def _go_on(self, tenant: Tenant) -> None:
        """The application names some orphans, uploads others again with the same bytes, and leaves new ones."""
        visible = [key for key in tenant.orphans if key not in set(tenant.orphans[::4])]
        named, again = visible[:5], visible[5:10]
        tenant.new = [f"new-{number}.pdf" for number in range(5)]
        self._name(tenant, named)
        self._put(tenant, [*again, *tenant.new])
        tenant.spared = [*named, *again]

    def _put(self, tenant: Tenant, keys: Iterable[str]) -> None:
        self._each(keys, lambda key: self._s3.put_object(Bucket=tenant.bucket, Key=key, Body=key.encode()))

    def _name(self, tenant: Tenant, keys: Sequence[str]) -> None:
        for first in range(0, len(keys), 25):
            puts = [{"PutRequest": {"Item": {"id": {"S": key}, "pdf": {"S": key}}}} for key in keys[first : first + 25]]
            self._dynamodb.batch_write_item(RequestItems={tenant.table: puts})

    def _each(self, keys: Iterable[str], do: Callable[[str], Any]) -> None:
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
            list(pool.map(do, keys))

    def _wait(self) -> None:
        """Until the youngest is old enough; S3's dates are whole seconds."""
        self._say(f"{_AGE_SECONDS + 2} s pass")
        time.sleep(_AGE_SECONDS + 2)

    def _sweep(self, tenant: Tenant, *, approve: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """What `humangov sweep` says. approve: what the sweep before said. Raises NotMeasuredError."""
        manifest = self._folder / f"{tenant.name}.yaml"
        manifest.write_text(yaml.safe_dump(_manifest(tenant)))
        approved = ["--approve", approve["orphanListSHA256"]] if approve and approve["safetyChecks"] else []
        done = subprocess.run(
            [sys.executable, "-m", "humangov.cli", "sweep", "--file", manifest, "--cluster-name", _CLUSTER,
             "--json", *approved],
            env=self._environment, capture_output=True, text=True, check=False, timeout=600, cwd=self._folder,
        )  # fmt: skip
        if done.returncode not in _EXIT_CODES:
            raise NotMeasuredError(f"a sweep of {tenant.name} ended with {done.returncode}: {done.stdout}{done.stderr}")
        result: dict[str, Any] = json.loads(done.stdout)
        self._say(f"{tenant.name}: {result['result']}, {result['message']}")
        return result

    def _left(self, tenant: Tenant) -> frozenset[str]:
        """Every key with a version or a marker, asked for one by one: this store's long listings are not whole."""
        left: set[str] = set()

        def ask(key: str) -> None:
            answer = self._s3.list_object_versions(Bucket=tenant.bucket, Prefix=key)
            kinds = (answer.get("Versions") or (), answer.get("DeleteMarkers") or ())
            left.update(one["Key"] for of_kind in kinds for one in of_kind if one["Key"] == key)

        self._each([*tenant.live, *tenant.orphans, *tenant.new], ask)
        return frozenset(left)

    def _receipts(self, tenant: Tenant) -> frozenset[str]:
        now = datetime.now(UTC)
        events = receipts.read(
            self._logs, group=tenant.log_group, since=now - timedelta(hours=1), until=now + timedelta(minutes=1)
        )
        return frozenset(one.key for one in receipts.joined(events) if one.outcome == "erased")


def _manifest(tenant: Tenant) -> Mapping[str, Any]:
    return {
        "apiVersion": "humangov.io/v1",
        "kind": "HumanGovState",
        "metadata": {"name": tenant.name, "namespace": "humangov"},
        "spec": {"table": {"name": tenant.table}, "bucket": {"name": tenant.bucket}, "sweep": _SWEEP},
    }


def _report(tenants: Sequence[Tenant], found: Mapping[str, Swept]) -> Report:
    """The first four figures must be 0: exactly the orphans of both sightings are deleted, and have receipts."""
    rows, figures = [], {}
    for one in tenants:
        swept, kept = found[one.name], {*one.live, *one.spared, *one.new}
        expected = set(one.orphans) - set(one.spared)
        figures[one.name] = {
            "files": len(one.live) + len(one.orphans),
            "erased": len(expected - swept.left),
            "orphans_left": len(expected & swept.left),
            "live_files_lost": len(kept - swept.left),
            "receipts_missing": len((expected - swept.left) - swept.receipts),
            "receipts_too_many": len(swept.receipts - (expected - swept.left)),
            "result": swept.result["result"],
            "seconds": swept.seconds,
        }
        rows.append((one.name, *figures[one.name].values()))
    wrong = ("orphans_left", "live_files_lost", "receipts_missing", "receipts_too_many")
    return Report(
        tables=[
            Table(
                "Two sweeps of each bucket",
                ("BUCKET", "FILES", "ERASED", "ORPHANS LEFT", "LIVE LOST", "NO RECEIPT", "RECEIPT ONLY", "RESULT",
                 "SECONDS"),
                rows,
            )
        ],
        notes=_NOTES,
        figures={
            **{name: sum(one[name] for one in figures.values()) for name in wrong},
            "by_bucket": figures,
        },
    )  # fmt: skip
