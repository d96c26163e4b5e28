"""A tenant's world for whole reconciles: an API server in memory, emulated AWS, and faults between both.

It ties the parts together, each in a module that says what real part it stands for: `clock`, `line` (faults and
kills), `sdk` (the way into AWS), `kube` (the API server), `process` (the operator). A reconcile runs alone, in one
thread, when a test says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from humangov.api.allowed_names import AllowedNames
from humangov.api.conditions import find_condition
from humangov.api.names import Identity, Names
from humangov.api.spec import parse
from humangov.bundle import Bundle
from humangov.reconcile.context import Operator
from humangov.reconcile.outcome import Outcome
from humangov.reconcile.settings import Settings

from testing.reconciler.clock import Clock
from testing.reconciler.kube import FakeKube
from testing.reconciler.line import Fault, Line
from testing.reconciler.process import InThread, OperatorProcess, inline
from testing.reconciler.sdk import REGION, Sdk

CLUSTER = "test-cluster"
CLUSTER_UID = "9d1f3c52-0e4b-4a0e-8c52-3f1f6a1f7a01"
NAMESPACE = "humangov"


class World:
    """One AWS account with a table and a bucket, an API server, and the operator's processes."""

    def __init__(self, *, sdk: Sdk, account: str, bundle: Bundle, bulk_reads: bool = False) -> None:
        sdk.enter(account)
        self.sdk, self.account, self.bundle = sdk, account, bundle
        self.clock = Clock()
        self.kube = FakeKube()
        self.settings = Settings(
            region=REGION,
            allowed=AllowedNames.only(NAMESPACE),
            # As deploy/iam demands. The emulator asks nobody whether there is such a policy.
            permissions_boundary_arn=f"arn:aws:iam::{account}:policy/humangov-cleanup-boundary",
        )
        self.cluster, self.bulk_reads = CLUSTER, bulk_reads
        self.cluster_uid: str | None = CLUSTER_UID
        self.in_thread: InThread = inline
        self.processes: list[OperatorProcess] = []
        self.restart_operator()

    # the operator

    def restart_operator(self) -> None:
        """The process is started again: nothing is remembered but what AWS and Kubernetes hold."""
        self.process = OperatorProcess(
            settings=self.settings,
            cluster=self.cluster,
            cluster_uid=self.cluster_uid,
            bundle=self.bundle,
            kube=self.kube,
            sdk=self.sdk,
            account=self.account,
            clock=self.clock,
            in_thread=self.in_thread,
            bulk_reads=self.bulk_reads,
        )
        self.processes.append(self.process)
        self.kube.line = self.process.line

    @property
    def line(self) -> Line:
        """Of the present process."""
        return self.process.line

    def faults_never_met(self) -> list[Fault]:
        """Of all processes. What a test says of them it has not shown."""
        return [fault for process in self.processes for fault in process.line.never_met()]

    @property
    def operator(self) -> Operator:
        return self.process.operator

    def reconcile_once(self, key: str) -> Outcome:
        return self.process.reconcile_once(key)

    def settle(self, key: str, *, reconciliations: int = 12) -> Outcome:
        """Reconcile until no requeue is requested, with time moved on between. Fails after `reconciliations`."""
        statuses: list[str] = []
        for _ in range(reconciliations):
            outcome = self.reconcile_once(key)
            if outcome.forget or (outcome.requeue_after_seconds is None and not outcome.failed):
                return outcome
            statuses.append(self.ready(key))
            self.clock.forward(outcome.requeue_after_seconds if outcome.requeue_after_seconds is not None else 1.0)
        raise AssertionError(f"not in sync after {reconciliations} reconciliations: {statuses}")

    def ready(self, key: str) -> str:
        resource = self.kube.objects.get(key)
        condition = find_condition((resource or {}).get("status") or {}, "Ready")
        return f"{condition['status']} {condition['reason']}: {condition['message']}" if condition else "no condition"

    def condition(self, key: str, name: str) -> Mapping[str, Any]:
        condition = find_condition(self.kube.objects[key].get("status") or {}, name)
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
        identity = Identity(
            account_id=self.account, region=REGION, cluster=self.cluster, partition="aws",
            cluster_uid=self.cluster_uid, moved_from=self.settings.moved_from,
        )  # fmt: skip
        return Names(tenant=tenant, identity=identity)

    # what is in AWS

    def remains(self, name: str = "california") -> list[str]:
        """All that is left of a tenant in AWS, in words; nothing after a deletion."""
        left = []
        function = f"humangov-{name}-delete-file"
        listed = self.sdk.look("lambda").list_event_source_mappings()["EventSourceMappings"]
        left += [f"mapping {mapping['UUID']}" for mapping in listed]
        left += [f"function {item['FunctionName']}" for item in self.sdk.look("lambda").list_functions()["Functions"]]
        left += [f"role {item['RoleName']}" for item in self.sdk.look("iam").list_roles()["Roles"]]
        groups = self.sdk.look("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{function}")
        left += [f"log group {item['logGroupName']}" for item in groups["logGroups"]]
        dynamodb = self.sdk.look("dynamodb")
        if f"humangov-{name}-dynamodb" in dynamodb.list_tables()["TableNames"]:
            table = dynamodb.describe_table(TableName=f"humangov-{name}-dynamodb")["Table"]
            if (table.get("StreamSpecification") or {}).get("StreamEnabled"):
                left.append("stream")
            tags = dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
            left += [f"tag {tag['Key']}" for tag in tags]
        return left
