"""The sandbox, a recorder in front of its AWS, an account and a namespace of one's own, and operators to measure."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import yaml
from botocore.config import Config

from bench.measure import Phase, Write, writes_by
from sandbox import emulator, local_operator, ports, probe
from sandbox.errors import SandboxError
from sandbox.handle import Sandbox
from sandbox.proxy import Layer
from sandbox.recorder import RecordedCall, Recorder
from sandbox.session import sandbox_up

SERVICES = ("dynamodb", "s3", "lambda", "iam", "logs")
RESOURCE = "humangovstates"
QUIET_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
_SEPARATOR = "|"  # kubectl turns tabs into spaces
Say = Callable[[str], None]


class NotMeasuredError(Exception):
    """Something did not happen in time, so that there is nothing to publish."""


@dataclass(frozen=True)
class WatchedChange:
    """A change of a HumanGovState as a watch brought it. `at`: monotonic seconds."""

    at: float
    kind: str
    """ADDED, MODIFIED or DELETED."""
    name: str
    ready: bool
    """Ready is True and about the present generation."""


class Watcher:
    """`kubectl get --watch` in the background: who was seen when, and how.

    The API server ends each watch after half an hour to an hour. Another follows, and who is gone by then was deleted.
    """

    def __init__(self, sandbox: Sandbox, *, namespace: str) -> None:
        ready = '.object.status.conditions[?(@.type=="Ready")]'
        fields = (".type", ".object.metadata.name", ".object.metadata.generation", f"{ready}.observedGeneration")
        line = _SEPARATOR.join(f"{{{one}}}" for one in (*fields, f"{ready}.status"))
        self._command = [
            str(sandbox.kubectl), "get", RESOURCE, "-n", namespace, "--watch", "--output-watch-events",
            "-o", f'jsonpath={line}{{"\\n"}}',
        ]  # fmt: skip
        self._list = [
            str(sandbox.kubectl),
            "get",
            RESOURCE,
            "-n",
            namespace,
            "-o",
            "jsonpath={.items[*].metadata.name}",
        ]
        self._environment = sandbox.environment()
        self._ended = self._closing = False
        self._sightings: list[WatchedChange] = []
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        self._process = self._begin()
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)
        self._thread.start()
        return self

    def _begin(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            self._process.terminate()
        self._process.wait()
        self._thread.join(timeout=5)

    def wait(
        self,
        names: Sequence[str],
        seen: Callable[[WatchedChange], bool],
        *,
        since: float,
        what: str,
        within_seconds: float = PATIENCE_SECONDS,
    ) -> dict[str, float]:
        """When (monotonic seconds) each of `names` was first seen so after `since`. Raises NotMeasuredError."""
        deadline = time.monotonic() + within_seconds
        with self._changed:
            while True:
                found: dict[str, float] = {}
                for one in self._sightings:
                    if one.at >= since and one.name in names and seen(one):
                        found.setdefault(one.name, one.at)
                left = deadline - time.monotonic()
                if self._ended:
                    raise NotMeasuredError("kubectl get --watch has ended; its error stands above")
                if len(found) == len(names):
                    return found
                if left <= 0:
                    missing = ", ".join(sorted(set(names) - set(found))[:5])
                    raise NotMeasuredError(f"not within {within_seconds:.0f} s: {what} of {missing}")
                self._changed.wait(min(left, 1.0))

    def _follow(self) -> None:
        while not self._ended:
            with self._process as process:
                for line in process.stdout or ():
                    sighting = parse_sighting(line, at=time.monotonic())
                    if sighting is not None:
                        with self._changed:
                            self._sightings.append(sighting)
                            self._changed.notify_all()
            failed = self._process.wait() != 0
            with self._changed:
                self._ended = failed or self._closing or not self._begin_again()
                self._changed.notify_all()

    def _begin_again(self) -> bool:
        """Whether the API server could be asked who still exists."""
        self._process = self._begin()
        listed = subprocess.run(self._list, env=self._environment, capture_output=True, text=True, check=False)
        kinds = {one.name: one.kind for one in self._sightings}
        for name in {name for name, kind in kinds.items() if kind != "DELETED"} - set(listed.stdout.split()):
            if listed.returncode == 0:
                self._sightings.append(WatchedChange(at=time.monotonic(), kind="DELETED", name=name, ready=False))
        return listed.returncode == 0


def parse_sighting(line: str, *, at: float) -> WatchedChange | None:
    """One line of the watch: type, name, generation, the generation that Ready is about, and its status."""
    cells = line.rstrip("\n").split(_SEPARATOR)
    if len(cells) != 5 or cells[0] not in ("ADDED", "MODIFIED", "DELETED"):
        return None
    kind, name, generation, observed, status = cells
    return WatchedChange(at=at, kind=kind, name=name, ready=status == "True" and observed == generation)


@dataclass
class Rig:
    """Everything that a bench measures with."""

    say: Say
    sandbox: Sandbox
    namespace: str
    account: str
    by_hand_account: str
    recorder: Recorder
    folder: Path
    aws: dict[str, Any]
    """Clients of the operator's account that the recorder does not see."""
    watcher: Watcher
    audit: Path
    _audit_offset: int = 0
    _operator: local_operator.LocalOperator | None = field(default=None)

    @property
    def user(self) -> str:
        """The operator, as the audit log names it."""
        return f"system:serviceaccount:{self.namespace}:{local_operator.SERVICE_ACCOUNT}"

    @contextlib.contextmanager
    def operator(
        self, *, resync_seconds: float, arguments: Sequence[str] = ()
    ) -> Iterator[local_operator.LocalOperator]:
        """An operator whose AWS calls are recorded. arguments: more of `humangov run`."""
        with local_operator.start(
            self.sandbox,
            namespace=self.namespace,
            folder=self.folder,
            arguments=["--region", emulator.REGION, "--resync", str(resync_seconds), *arguments],
            environment={"AWS_ACCESS_KEY_ID": self.account, "AWS_ENDPOINT_URL": self.recorder.url},
        ) as running:
            self._operator = running
            yield running

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return local_operator.kubectl(self.sandbox, *arguments, stdin=stdin)

    def create_holdings(self, name: str) -> None:
        """A state's table and bucket."""
        self.aws["dynamodb"].create_table(
            TableName=table(name),
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.aws["s3"].create_bucket(Bucket=self.bucket(name))

    def bucket(self, name: str) -> str:
        return bucket(name, namespace=self.namespace)

    def apply(self, names: Sequence[str]) -> float:
        """`kubectl apply` of a manifest for each; when it began (monotonic seconds)."""
        manifests = yaml.safe_dump_all([manifest(name, namespace=self.namespace) for name in names])
        begun = time.monotonic()
        self.kubectl("apply", "-f", "-", stdin=manifests)
        return begun

    def patch(self, name: str, change: Mapping[str, Any]) -> None:
        """A merge patch of one."""
        patch = json.dumps(change)
        self.kubectl("patch", RESOURCE, name, "-n", self.namespace, "--type=merge", "-p", patch)

    def delete(self, names: Sequence[str]) -> float:
        """`kubectl delete` of them, not waited for; when it began (monotonic seconds).

        Several: of all that there are. By their names kubectl deletes one after the other, five to ten a second.
        """
        begun = time.monotonic()
        self.kubectl(
            "delete", RESOURCE, "-n", self.namespace, "--wait=false", *(names if len(names) == 1 else ["--all"])
        )
        return begun

    def ready(
        self, names: Sequence[str], *, since: float, within_seconds: float = PATIENCE_SECONDS
    ) -> dict[str, float]:
        return self.watcher.wait(names, lambda one: one.ready, since=since, what="Ready", within_seconds=within_seconds)

    def removed(
        self, names: Sequence[str], *, since: float, within_seconds: float = PATIENCE_SECONDS
    ) -> dict[str, float]:
        return self.watcher.wait(
            names, lambda one: one.kind == "DELETED", since=since, what="the end", within_seconds=within_seconds
        )

    def start_counting(self) -> None:
        """From here on counts what the next `phase` returns."""
        self.recorder.clear()
        self._audit_offset = self.audit.stat().st_size

    def phase(self, *, account: str | None = None) -> Phase:
        """What was called and written since `start_counting`, once nothing has happened for a second."""
        self._quiet()
        wanted = account or self.account
        calls = [call for call in self.recorder.calls if call.access_key == wanted]
        return phase_of(calls, kube_writes=self.kube_writes() if account is None else ())

    def kube_writes(self) -> list[Write]:
        """Of the operator, since `start_counting`."""
        with self.audit.open() as file:
            file.seek(self._audit_offset)
            return writes_by(self.user, file)

    def reconciliations(
        self, enough: Callable[[list[Reconciliation]], bool], *, what: str, within_seconds: float = PATIENCE_SECONDS
    ) -> list[Reconciliation]:
        """The reconciliations that the running operator has ended, once they are enough. Raises NotMeasuredError."""
        deadline = time.monotonic() + within_seconds
        while True:
            found = reconciliations_of(self._operator.log.read_text()) if self._operator else []
            if enough(found):
                return found
            if time.monotonic() > deadline:
                raise NotMeasuredError(f"not within {within_seconds:.0f} s: {what}")
            time.sleep(0.1)

    def _quiet(self) -> None:
        """Until neither AWS nor the API server has heard of the operator for QUIET_SECONDS."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        last, since = (-1, -1), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            now = (len(self.recorder.calls), len(self.kube_writes()))
            if now != last:
                last, since = now, time.monotonic()
            if time.monotonic() > deadline:
                raise NotMeasuredError(f"the operator did not come to rest within {PATIENCE_SECONDS:.0f} s")
            time.sleep(0.05)


@contextlib.contextmanager
def opened(*, say: Say, moto: bool = False, layers: Sequence[Layer] = ()) -> Iterator[Rig]:
    """A rig on the sandbox, which is started if it is not up; all that was created is removed. Raises SandboxError.

    `moto`: the AWS is a moto server, which makes everything Active at once and runs no function. `layers` lie between
    the recorder and AWS.
    """
    with contextlib.ExitStack() as stack:
        running, started_here = stack.enter_context(sandbox_up(say))
        if running.audit_log is None or running.aws != "emulator" or running.aws_endpoint_url is None:
            raise SandboxError(
                "A bench counts by the sandbox's own API server and emulated AWS: unset KUBECONFIG, AWS_ENDPOINT_URL "
                "and SANDBOX_AWS."
            )
        endpoint_url = stack.enter_context(moto_server()) if moto else running.aws_endpoint_url
        run = secrets.token_hex(3)
        namespace, folder = f"bench-{run}", running.root / f"bench-{run}"
        account, by_hand_account = (emulator.new_account() for _ in range(2))
        local_operator.install(running, namespace=namespace)
        _wait_served(running, namespace=namespace)
        aws = clients(endpoint_url, account=account)
        if not started_here:
            stack.callback(_remove, running, namespace=namespace, folder=folder, aws=aws)
        rig = Rig(
            say=say,
            sandbox=running,
            namespace=namespace,
            account=account,
            by_hand_account=by_hand_account,
            recorder=stack.enter_context(Recorder(endpoint_url, layers=layers)),
            folder=folder,
            aws=aws,
            watcher=stack.enter_context(Watcher(running, namespace=namespace)),
            audit=running.audit_log,
        )
        yield rig


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """The URL of a moto server, a process of its own. Raises NotMeasuredError."""
    [port] = ports.choose(["moto"]).values()
    command = [sys.executable, "-m", "moto.server", "-H", ports.HOST, "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://{ports.HOST}:{port}"
            deadline = time.monotonic() + PATIENCE_SECONDS
            while probe.status(f"{url}/moto-api/") is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NotMeasuredError("moto's server did not start")
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()


def phase_of(calls: Iterable[RecordedCall], *, kube_writes: Iterable[Write]) -> Phase:
    found = list(calls)
    return Phase(
        reads=Counter(str(call.operation) for call in found if not call.writes),
        writes=Counter(str(call.operation) for call in found if call.writes),
        kube_writes=Counter(str(write) for write in kube_writes),
    )


def clients(endpoint_url: str, *, account: str) -> dict[str, Any]:
    session = boto3.Session(
        aws_access_key_id=account, aws_secret_access_key=emulator.SECRET, region_name=emulator.REGION
    )
    config = Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "total_max_attempts": 1})
    return {service: session.client(service, endpoint_url=endpoint_url, config=config) for service in SERVICES}


def manifest(name: str, *, namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "humangov.io/v1",
        "kind": "HumanGovState",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"table": {"name": table(name)}, "bucket": {"name": bucket(name, namespace=namespace)}},
    }


def table(name: str) -> str:
    return f"humangov-{name}-dynamodb"


def bucket(name: str, *, namespace: str) -> str:
    """Buckets share one space of names, over all accounts."""
    return f"{namespace}-{name}"


@dataclass(frozen=True)
class Reconciliation:
    """One reconciliation over one tenant (`namespace/name`) that has ended; `ended` in Unix seconds."""

    tenant: str
    ended: float


def reconciliations_of(log: str) -> list[Reconciliation]:
    """The reconciliations in an operator's JSON log, in the order of their ends."""
    found = []
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("message") == "reconciliation ended":
            found.append(
                Reconciliation(tenant=entry["tenant"], ended=datetime.fromisoformat(entry["time"]).timestamp())
            )
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time that the process has used so far (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait_served(running: Sandbox, *, namespace: str) -> None:
    """A definition is Established before it is served: its lists fail for another second."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            local_operator.kubectl(running, "get", RESOURCE, "-n", namespace, "-o", "name")
        except subprocess.CalledProcessError as error:
            if time.monotonic() > deadline:
                raise NotMeasuredError(f"the definition is not served: {error.stderr}") from error
            time.sleep(0.2)
        else:
            return


def _remove(running: Sandbox, *, namespace: str, folder: Path, aws: Mapping[str, Any]) -> None:
    """Whatever state the run ended in: no finalizer holds the namespace, nothing polls in the emulator."""

    def run(*arguments: str) -> str:
        return local_operator.kubectl(running, *arguments, check=False)

    for name in run("get", RESOURCE, "-n", namespace, "-o", "name").split():
        run("patch", "-n", namespace, name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    local_operator.uninstall(running, namespace=namespace, wait=False)
    for mapping in aws["lambda"].list_event_source_mappings()["EventSourceMappings"]:
        aws["lambda"].delete_event_source_mapping(UUID=mapping["UUID"])
    for page in aws["dynamodb"].get_paginator("list_tables").paginate():
        for name in page["TableNames"]:
            aws["dynamodb"].delete_table(TableName=name)
    for found in aws["s3"].list_buckets()["Buckets"]:
        for page in aws["s3"].get_paginator("list_objects_v2").paginate(Bucket=found["Name"]):
            for key in page.get("Contents", ()):
                aws["s3"].delete_object(Bucket=found["Name"], Key=key["Key"])
        aws["s3"].delete_bucket(Bucket=found["Name"])
    shutil.rmtree(folder, ignore_errors=True)
