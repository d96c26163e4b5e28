"""A tenant's world for whole passes: an API server in memory, emulated AWS, and faults between the operator and both.

The door to AWS is the operator's own (`Clients`); a fault takes the place of the SDK's method, so that the error is
translated, counted and logged as AWS's own would be. What the SDK itself does (retries, time-outs) is not shown here.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import ClientError, ReadTimeoutError
from humangov.api.allowed_names import AllowedNames
from humangov.api.conditions import Event, find
from humangov.api.names import Identity, Names
from humangov.api.spec import FINALIZER, Tenant, parse
from humangov.api.times import timestamp
from humangov.aws.clients import ACTIONS, Clients
from humangov.bundle import Bundle
from humangov.kube.client import KubeError, Resource
from humangov.reconcile.cache import Store, key_of
from humangov.reconcile.context import Operator
from humangov.reconcile.outcome import Outcome
from humangov.reconcile.reconciler import reconcile
from humangov.reconcile.settings import Settings

from testing.live.aws_evidence import Evidence

CLUSTER = "test-cluster"
REGION = "us-east-1"
NAMESPACE = "humangov"
_ACTION_OF = {(method.service, method.name): action for action, method in ACTIONS.items()}


class Killed(BaseException):
    """The operator's process has ended: nothing that it calls afterwards has any effect."""


@dataclass(frozen=True)
class Call:
    """One call, of AWS (`lambda:CreateFunction`) or of the API server (`kube:apply_status`)."""

    action: str
    parameters: Mapping[str, Any]
    writes: bool


@dataclass
class Fault:
    """What happens to calls that `hits` names. `times` None = to each of them."""

    hits: Callable[[Call], bool]
    error: BaseException | None = None
    after_effect: bool = False
    alter: Callable[[Any], Any] | None = None
    instead: Callable[[Call], Any] | None = None
    times: int | None = None


class Sdk:
    """The SDK's clients, made once for all tests of a process; the account is the access key, set for each test."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self.evidence = Evidence()
        self._session = boto3.Session(
            aws_access_key_id="000000000000", aws_secret_access_key="test", region_name=REGION
        )
        self._made: dict[tuple[str, str, int], Any] = {}

    def enter(self, account: str) -> None:
        self._session.get_credentials().access_key = account

    def client(self, service: str, *, region_name: str = REGION, config: Any = None) -> Any:
        attempts = config.retries["total_max_attempts"] if config else 0
        key = (service, region_name, attempts)
        if key not in self._made:
            self._made[key] = self._session.client(
                service, region_name=region_name, config=config, endpoint_url=self.endpoint_url
            )
        return self._made[key]

    def get_partition_for_region(self, region: str) -> str:
        return str(self._session.get_partition_for_region(region))


class Line:
    """All calls pass here, AWS's and Kubernetes', and are recorded; here they fail, lag, and the process is killed."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.kill_after_write: int | None = None
        self.kill_at: tuple[int, str] | None = None  # the number of a call, from 1, and "before" or "after" its effect
        self.dead = False
        self._writes = 0
        self._calls = 0

    def pass_through(self, call: Call, do: Callable[[], Any]) -> Any:
        if self.dead:
            raise Killed
        self.calls.append(call)
        self._calls += 1
        self._dies("before")
        fault = next((fault for fault in self.faults if fault.times != 0 and fault.hits(call)), None)
        if fault is not None and fault.times is not None:
            fault.times -= 1
        if fault is not None and fault.error is not None and not fault.after_effect:
            raise fault.error
        try:
            answer = do() if fault is None or fault.instead is None else fault.instead(call)
        finally:
            self._dies("after")
        if call.writes:
            self._writes += 1
            if self._writes == self.kill_after_write:
                self.dead = True
                raise Killed
        if fault is not None and fault.error is not None:
            raise fault.error
        return fault.alter(answer) if fault is not None and fault.alter is not None else answer

    def _dies(self, side: str) -> None:
        if self.kill_at == (self._calls, side):
            self.dead = True
            raise Killed

    def forget(self) -> list[Call]:
        """The calls so far, which are no longer remembered."""
        gone, self.calls = self.calls, []
        return gone

    @property
    def writes_so_far(self) -> int:
        """Of this life, the forgotten ones too."""
        return self._writes

    def reads(self) -> list[str]:
        return [call.action for call in self.calls if not call.writes and not call.action.startswith("kube:")]

    def writes(self) -> list[str]:
        """AWS's."""
        return [call.action for call in self.calls if call.writes and not call.action.startswith("kube:")]

    def kube_writes(self) -> list[str]:
        return [call.action for call in self.calls if call.writes and call.action.startswith("kube:")]


class _Door:
    """An SDK client whose methods pass through the line."""

    def __init__(self, service: str, client: Any, line: Line) -> None:
        self._service, self._client, self._line = service, client, line

    def __getattr__(self, name: str) -> Callable[..., Any]:
        action = _ACTION_OF[self._service, name]

        def method(**parameters: Any) -> Any:
            call = Call(action=action, parameters=parameters, writes=ACTIONS[action].writes)
            return self._line.pass_through(call, lambda: _prompt(getattr(self._client, name)(**parameters)))

        return method


def _prompt(answer: Any) -> Any:
    """MiniStack shows a changed function as Pending for half a second and refuses nothing meanwhile: skipped here."""
    configuration = answer.get("Configuration", answer)
    if configuration.get("State") == "Pending":
        configuration["State"] = "Active"
    if configuration.get("LastUpdateStatus") == "InProgress":
        configuration["LastUpdateStatus"] = "Successful"
    return answer


class FaultyClients(Clients):
    """The operator's door to AWS, with faults behind it."""

    def __init__(self, *, region: str, sdk: Sdk, line: Line, account: str) -> None:
        super().__init__(region=region, session=sdk)
        self._sdk, self._line, self._of = sdk, line, account

    def call(self, action: str, *, target: str, **parameters: Any) -> dict[str, Any]:
        self._sdk.evidence.note(
            action, target=target, parameters=parameters, account=self._of, region=self.region,
            client=lambda service: self._sdk.client(service, region_name=self.region),
        )  # fmt: skip
        return super().call(action, target=target, **parameters)

    def _client(self, service: str, *, writes: bool) -> Any:
        return _Door(service, super()._client(service, writes=writes), self._line)


class FakeKube:
    """An API server that keeps HumanGovStates, as far as a pass can tell (implements context.KubeWriter)."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.batch: dict[tuple[str, str], dict[str, Any]] = {}  # CronJobs and Jobs: (plural, name)
        self.templates: dict[tuple[str, str], dict[str, Any]] = {}  # what the chart makes beside them
        self.events: list[Event] = []
        self.line: Line | None = None
        self._versions = itertools.count(1)

    # what people do

    def apply(self, manifest: Mapping[str, Any], *, created: datetime) -> str:
        resource = copy.deepcopy(dict(manifest))
        metadata = resource["metadata"]
        metadata |= {
            "uid": f"uid-{next(self._versions)}",
            "generation": 1,
            "creationTimestamp": timestamp(created),
            "finalizers": [],
        }
        self._store(resource)
        return key_of(resource)

    def edit(self, key: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the spec or annotations; a changed spec is a new generation."""
        resource = copy.deepcopy(self.objects[key])
        change(resource)
        if resource["spec"] != self.objects[key]["spec"]:
            resource["metadata"]["generation"] += 1
        self._store(resource)

    def delete(self, key: str, *, now: datetime) -> None:
        resource = copy.deepcopy(self.objects[key])
        if not resource["metadata"]["finalizers"]:
            del self.objects[key]
            return
        if "deletionTimestamp" not in resource["metadata"]:
            resource["metadata"]["deletionTimestamp"] = timestamp(now)
            resource["metadata"]["generation"] += 1  # as the API server does
        self._store(resource)

    # what the operator does

    async def read(self, resource: Resource) -> Resource | None:
        found: Resource | None = self._through("read", resource, lambda: self._current(resource), writes=False)
        return found

    async def set_finalizer(self, resource: Resource, *, present: bool) -> Resource | None:
        answer: Resource | None = self._through(
            "set_finalizer", resource, lambda: self._set_finalizer(resource, present=present), present=present
        )
        return answer

    async def apply_status(self, resource: Resource, status: Mapping[str, Any]) -> Resource:
        answer: Resource = self._through(
            "apply_status", resource, lambda: self._apply_status(resource, status), status=status
        )
        return answer

    async def post_event(self, resource: Resource, event: Event) -> None:
        self._through("post_event", resource, lambda: self.events.append(event), event=event)

    async def get_object(self, plural: str, namespace: str, name: str) -> Resource | None:
        found: Resource | None = self._asked(
            "get_object", lambda: copy.deepcopy((self.batch | self.templates).get((plural, name))), writes=False
        )
        return found

    async def list_jobs(self, namespace: str, label_selector: str) -> list[Resource]:
        wanted = dict(part.split("=") for part in label_selector.split(","))
        jobs = [job for (plural, _), job in self.batch.items() if plural == "jobs"]
        chosen = [job for job in jobs if wanted.items() <= job["metadata"]["labels"].items()]
        found: list[Resource] = self._asked("list_jobs", lambda: copy.deepcopy(chosen), writes=False)
        return found

    async def replace_object(self, plural: str, found: Resource, desired: Resource) -> None:
        self._asked(f"replace {plural}", lambda: self._keep(plural, desired))

    async def create_object(self, plural: str, document: Resource) -> None:
        if (plural, document["metadata"]["name"]) not in self.batch:
            self._asked(f"create {plural}", lambda: self._keep(plural, document))

    async def delete_object(self, plural: str, namespace: str, name: str) -> None:
        self._asked(f"delete {plural}", lambda: self.batch.pop((plural, name), None))

    def _keep(self, plural: str, document: Resource) -> None:
        self.batch[plural, document["metadata"]["name"]] = copy.deepcopy(dict(document))

    def _asked(self, name: str, do: Callable[[], Any], *, writes: bool = True) -> Any:
        assert self.line is not None
        return self.line.pass_through(Call(action=f"kube:{name}", parameters={}, writes=writes), do)

    def _set_finalizer(self, resource: Resource, *, present: bool) -> Resource | None:
        stored = self._current(resource)
        if stored is None:
            if present:
                raise KubeError("finalizer", status=404, reason="not found")
            return None
        if stored["metadata"]["resourceVersion"] != resource["metadata"]["resourceVersion"]:
            raise KubeError("finalizer", status=409, reason="the object has been modified")
        others = [name for name in stored["metadata"]["finalizers"] if name != FINALIZER]
        stored["metadata"]["finalizers"] = [*others, FINALIZER] if present else others
        if "deletionTimestamp" in stored["metadata"] and not stored["metadata"]["finalizers"]:
            del self.objects[key_of(resource)]
            return None
        return self._store(stored)

    def _apply_status(self, resource: Resource, status: Mapping[str, Any]) -> Resource:
        stored = self._current(resource)
        if stored is None:
            raise KubeError("status", status=404, reason="not found")
        before = stored.get("status") or {}
        of_sweeps = {name: before[name] for name in ("sweep", "finalRead") if name in before}
        if before != {**status, **of_sweeps}:
            stored["status"] = json.loads(json.dumps({**status, **of_sweeps}))
            return self._store(stored)
        return stored

    def _current(self, resource: Resource) -> dict[str, Any] | None:
        stored = self.objects.get(key_of(resource))
        if stored is None or stored["metadata"]["uid"] != resource["metadata"]["uid"]:
            return None
        return copy.deepcopy(stored)

    def _store(self, resource: dict[str, Any]) -> dict[str, Any]:
        resource["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[key_of(resource)] = resource
        return copy.deepcopy(resource)

    def _through(
        self, name: str, resource: Resource, do: Callable[[], Any], *, writes: bool = True, **parameters: Any
    ) -> Any:
        assert self.line is not None
        return self.line.pass_through(Call(action=f"kube:{name}", parameters=parameters, writes=writes), do)


@dataclass
class Clock:
    """Real time, moved forward at will."""

    shift: timedelta = timedelta()
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift

    def monotonic(self) -> float:
        return (self.now() - self.started).total_seconds()

    def forward(self, seconds: float) -> None:
        self.shift += timedelta(seconds=seconds)


async def inline(call: Callable[[], Any]) -> Any:
    """In place of threads: one order of calls, and a kill that ends everything."""
    return call()


class World:
    """One AWS account with a table and a bucket, an API server, and lives of the operator."""

    def __init__(self, *, sdk: Sdk, account: str, bundle: Bundle) -> None:
        sdk.enter(account)
        self.sdk, self.account, self.bundle = sdk, account, bundle
        self.clock = Clock()
        self.kube = FakeKube()
        self.line = Line()
        self.settings = Settings(
            region=REGION,
            allowed=AllowedNames.only(NAMESPACE),
            # As deploy/iam demands. The emulator asks nobody whether there is such a policy.
            permissions_boundary_arn=f"arn:aws:iam::{account}:policy/humangov-cleanup-boundary",
        )
        self.cluster = CLUSTER
        self.in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = inline
        self.new_life()

    # the operator

    def new_life(self) -> None:
        """The process is started again: nothing is remembered but what AWS and Kubernetes hold."""
        self.line = Line()
        self.kube.line = self.line
        self.clients: dict[str, FaultyClients] = {}
        self.failing_since: dict[str, float] = {}
        self.operator = Operator(
            settings=self.settings,
            cluster=self.cluster,
            bundle=self.bundle,
            kube=self.kube,
            store=Store(default_region=self.settings.region),
            clients_for=self._clients_for,
            in_thread=self.in_thread,
            monotonic=self.clock.monotonic,
            started_at=self.clock.monotonic(),
            now=self.clock.now,
        )

    def one_pass(self, key: str) -> Outcome:
        """As the controller runs it: with what the watch has told, and with a fresh copy after a refusal."""
        for known in list(self.operator.store):
            if known not in self.kube.objects:
                self.operator.store.drop(known)
        for resource in self.kube.objects.values():
            self.operator.store.put(copy.deepcopy(resource))
        failing = self.clock.monotonic() - self.failing_since.get(key, self.clock.monotonic())
        try:
            outcome = asyncio.run(reconcile(self.operator, key, failing_seconds=failing))
        except KubeError:
            outcome = Outcome(failed=True, soon=True)
        if outcome.failed:
            self.failing_since.setdefault(key, self.clock.monotonic())
        else:
            self.failing_since.pop(key, None)
        return outcome

    def settle(self, key: str, *, passes: int = 12) -> Outcome:
        """Pass after pass, with time moved on as each asks for, until none is asked for. Fails after `passes`."""
        told: list[str] = []
        for _ in range(passes):
            outcome = self.one_pass(key)
            if outcome.forget or (outcome.after is None and not outcome.failed):
                return outcome
            told.append(self.ready(key))
            self.clock.forward(outcome.after if outcome.after is not None else 1.0)
        raise AssertionError(f"not settled after {passes} passes: {told}")

    def ready(self, key: str) -> str:
        resource = self.kube.objects.get(key)
        condition = find((resource or {}).get("status") or {}, "Ready")
        return f"{condition['status']} {condition['reason']}: {condition['message']}" if condition else "no condition"

    def condition(self, key: str, name: str) -> Mapping[str, Any]:
        condition = find(self.kube.objects[key].get("status") or {}, name)
        assert condition is not None, f"no condition {name}"
        return condition

    def status(self, key: str) -> Mapping[str, Any]:
        status: Mapping[str, Any] = self.kube.objects[key].get("status") or {}
        return status

    def event_reasons(self) -> list[str]:
        return [event.reason for event in self.kube.events]

    # what people do

    def make_table(self, name: str = "humangov-california-dynamodb", *, view_type: str | None = None) -> None:
        stream = {"StreamEnabled": True, "StreamViewType": view_type} if view_type else {"StreamEnabled": False}
        self.sdk.client("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification=stream,
        )

    def make_bucket(self, name: str = "") -> None:
        self.sdk.client("s3").create_bucket(Bucket=name or self.bucket)

    @property
    def bucket(self) -> str:
        return f"humangov-california-s3-{self.account}"

    def manifest(self, name: str = "california", **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": "humangov.io/v1",
            "kind": "HumanGovState",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "table": {"name": f"humangov-{name}-dynamodb"},
                "bucket": {"name": self.bucket},
                **spec,
            },
        }

    def apply(self, manifest: Mapping[str, Any] | None = None, *, age_seconds: float = 0) -> str:
        created = self.clock.now() - timedelta(seconds=age_seconds)
        return self.kube.apply(manifest or self.manifest(), created=created)

    def provisioned(self, **spec: Any) -> str:
        """A tenant that is Ready, with nothing in the records of calls."""
        self.make_table()
        self.make_bucket()
        key = self.apply(self.manifest(**spec))
        self.settle(key)
        assert self.ready(key).startswith("True"), self.ready(key)
        self.line.forget()
        self.kube.events.clear()
        return key

    def delete(self, key: str) -> None:
        self.kube.delete(key, now=self.clock.now())

    def names(self, key: str) -> Names:
        tenant = parse(self.kube.objects[key], default_region=REGION)
        identity = Identity(account_id=self.account, region=REGION, cluster=self.cluster, partition="aws")
        return Names(tenant=tenant, identity=identity)

    # what is in AWS

    def remains(self, name: str = "california") -> list[str]:
        """All that is left of a tenant in AWS, in words; nothing after a deletion."""
        left = []
        function = f"humangov-{name}-delete-file"
        listed = self.sdk.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        left += [f"mapping {mapping['UUID']}" for mapping in listed]
        left += [f"function {item['FunctionName']}" for item in self.sdk.client("lambda").list_functions()["Functions"]]
        left += [f"role {item['RoleName']}" for item in self.sdk.client("iam").list_roles()["Roles"]]
        groups = self.sdk.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{function}")
        left += [f"log group {item['logGroupName']}" for item in groups["logGroups"]]
        dynamodb = self.sdk.client("dynamodb")
        if f"humangov-{name}-dynamodb" in dynamodb.list_tables()["TableNames"]:
            table = dynamodb.describe_table(TableName=f"humangov-{name}-dynamodb")["Table"]
            if (table.get("StreamSpecification") or {}).get("StreamEnabled"):
                left.append("stream")
            tags = dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
            left += [f"tag {tag['Key']}" for tag in tags]
        return left

    def _clients_for(self, tenant: Tenant) -> Clients:
        region = tenant.region
        if region not in self.clients:
            self.clients[region] = FaultyClients(region=region, sdk=self.sdk, line=self.line, account=self.account)
        return self.clients[region]


def error(code: str, text: str, *, status: int = 400) -> ClientError:
    """An AWS error as the SDK raises it."""
    answer: Any = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Operation")


def denied(action: str) -> ClientError:
    return error("AccessDeniedException", f"User: arn:aws:iam::1:role/op is not authorized to perform: {action}")


def throttled() -> ClientError:
    return error("ThrottlingException", "Rate exceeded")


def answer_lost() -> Exception:
    lost: Exception = ReadTimeoutError(endpoint_url="https://aws.example")
    return lost


def on(*actions: str) -> Callable[[Call], bool]:
    return lambda call: call.action in actions
