"""An hour of settled tenants, singly and in bulk: AWS calls by the limit that they count against, and processor time.

The reconciliations and the bulk read monitor are the operator's; AWS and the API server are in memory and take no time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from humangov.api.allowed_names import AllowedNames
from humangov.bundle import bundle
from humangov.manager import bulk_read_monitor
from humangov.manager.bulk_read_monitor import BulkCheck
from humangov.reconcile import gather
from humangov.reconcile.cache import Store
from humangov.reconcile.context import Operator
from humangov.reconcile.reconciler import reconcile
from humangov.reconcile.settings import Settings

from bench.measure import Report, Table
from bench.rig import NotMeasuredError, Say
from testing.reconciler.clock import Clock as RunningClock
from testing.reconciler.kube import FakeKube
from testing.reconciler.line import Line
from testing.reconciler.process import inline
from testing.reconciler.settled_aws import SettledAccount

STATES = (1, 50, 1000)
HOURLY_UP_TO = gather.HOURLY_UP_TO
RESYNC_SECONDS = 600.0
_ACCOUNT, _REGION, _CLUSTER, _NAMESPACE = "123456789012", "us-east-1", "bench", "humangov"
_WARM_UP, _ROUNDS = 2, 6
_SINGLY_UP_TO = 100  # beyond, a tenant costs as much singly as before
# Requests a second, an account and region, as AWS publishes them; IAM's it does not publish. DescribeTable has 2,500,
# and S3 5,500 a prefix: these are not scarce.
_LIMITS: Mapping[str, tuple[str, ...]] = {
    "Lambda, all others: 15/s": (
        "lambda:ListFunctions", "lambda:ListEventSourceMappings", "lambda:ListTags", "lambda:ListAliases",
        "lambda:ListVersionsByFunction", "lambda:ListFunctionUrlConfigs", "lambda:ListFunctionEventInvokeConfigs",
        "lambda:GetFunctionCodeSigningConfig",
    ),
    "Lambda GetFunction: 100/s": ("lambda:GetFunction",),
    "Lambda GetPolicy: 15/s": ("lambda:GetPolicy",),
    "IAM: not published": (
        "iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies", "iam:ListRoles",
    ),
    "CloudWatch Logs DescribeLogGroups: 10/s": ("logs:DescribeLogGroups",),
    "CloudWatch Logs, others": ("logs:ListTagsForResource", "logs:DescribeSubscriptionFilters"),
    "DynamoDB tags and streams: 10/s each": ("dynamodb:ListTagsOfResource", "dynamodb:DescribeStream"),
    "tagging API": ("tag:GetResources",),
    "AWS Backup": ("backup:DescribeProtectedResource",),
}  # fmt: skip
_NOTES = (
    "A tenant's reconciliations are 10 minutes apart; those of one hour are counted, after the first two.",
    "Scarce: every API but DescribeTable (2,500/s) and S3's (5,500/s a prefix); STS is called once an hour.",
    "AWS and the API server are in memory: processor time is the operator's own, without the SDK's.",
)


class Clock(RunningClock):
    """It stands still, so that an hour has six resyncs however long they take here."""

    def now(self) -> datetime:
        return self.started + self.shift


@dataclass(frozen=True, kw_only=True)
class Hour:
    """states tenants in one hour, `rounds` reconciliations each. most: AWS calls of the most expensive of them."""

    states: int
    bulk: bool
    calls: Counter[str]
    most: int
    cpu_seconds: float
    status_writes: int
    rounds: int = _ROUNDS

    def each(self, *actions: str) -> float:
        """A tenant and reconciliation."""
        return sum(self.calls[action] for action in actions) / self.states / self.rounds

    @property
    def scarce(self) -> float:
        return self.each(*(action for actions in _LIMITS.values() for action in actions))

    @property
    def total(self) -> float:
        return self.each(*self.calls)


def run(*, say: Say, states: tuple[int, ...] = STATES, hourly_up_to: int = HOURLY_UP_TO) -> Report:
    """hourly_up_to: with more tenants, some of what is seldom read is read every six hours. Raises NotMeasuredError."""
    gather.HOURLY_UP_TO = hourly_up_to
    hours = []
    for number in states:
        for bulk in (False, True) if number <= _SINGLY_UP_TO else (True,):
            say(f"{number} settled states, {'with' if bulk else 'without'} bulk reads: an hour")
            hours.append(asyncio.run(measure(number, bulk=bulk)))
    return report(hours)


async def measure(states: int, *, bulk: bool) -> Hour:
    """Raises NotMeasuredError."""
    code, clock, kube = bundle(), Clock(), FakeKube()
    boundary = f"arn:aws:iam::{_ACCOUNT}:policy/humangov-cleanup-boundary"
    account = SettledAccount(
        account_id=_ACCOUNT, region=_REGION, cluster=_CLUSTER, boundary=boundary, bundle=code
    )  # fmt: skip
    clients, store = account.clients(), Store(default_region=_REGION, monotonic=clock.monotonic)
    operator = Operator(
        settings=Settings(
            region=_REGION, allowed=AllowedNames.only(_NAMESPACE), permissions_boundary_arn=boundary
        ),
        cluster=_CLUSTER, bundle=code, kube=kube, store=store, clients_for=lambda _: clients, in_thread=inline,
        monotonic=clock.monotonic, started_at=0.0, now=clock.now,
    )  # fmt: skip
    kube.line = Line()
    keys = [kube.apply(_manifest(f"s{number:05}"), created=clock.now()) for number in range(states)]
    for key in keys:
        store.put(kube.objects[key])
    for tenant in store.tenants():
        account.add(tenant)
    check, most, used = BulkCheck(), 0, 0.0

    async def ask_for_none(_: str) -> None:
        """Asks for no reconciliation: all come in their turn."""

    for number in range(_WARM_UP + _ROUNDS):
        if number == _WARM_UP:
            account.calls.clear()
            kube.line.forget()
            used, most = time.process_time(), 0
        if bulk:
            check = await bulk_read_monitor.check(
                operator, check, ask_for_reconcile=ask_for_none, resync_seconds=RESYNC_SECONDS
            )
        for key in keys:
            before = account.calls.total()
            await reconcile(operator, key, failing_seconds=0.0)
            most = max(most, account.calls.total() - before)
        clock.forward(RESYNC_SECONDS)
    if any(_ready(kube.objects[key]) != "True" for key in keys):
        raise NotMeasuredError("a tenant is not Ready: nothing of this is about settled tenants")
    return Hour(
        states=states, bulk=bulk, calls=Counter(account.calls), most=most, cpu_seconds=time.process_time() - used,
        status_writes=len(kube.line.kube_writes()),
    )  # fmt: skip


def report(hours: list[Hour]) -> Report:
    """Pure."""
    header = ("", *(f"{one.states:,} {'BULK' if one.bulk else 'SINGLE'}" for one in hours))
    rows: list[tuple[object, ...]] = [
        ("AWS calls", *(f"{one.total:.2f}" for one in hours)),
        ("  of scarce APIs", *(f"{one.scarce:.2f}" for one in hours)),
        *((f"  {limit}", *(f"{one.each(*actions):.3f}" for one in hours)) for limit, actions in _LIMITS.items()),
        ("most of one reconciliation", *(one.most for one in hours)),
        ("CPU, ms", *(f"{one.cpu_seconds * 1000 / one.states / one.rounds:.1f}" for one in hours)),
        ("status writes", *(one.status_writes for one in hours)),
    ]
    return Report(
        tables=[Table(title="A settled tenant's reconciliation, on average of an hour", header=header, rows=rows)],
        notes=list(_NOTES),
        figures={f"{one.states}_{'bulk' if one.bulk else 'single'}": _figures(one) for one in hours},
    )


def _figures(hour: Hour) -> dict[str, Any]:
    return {
        "calls_per_reconcile": round(hour.total, 3),
        "scarce_calls_per_reconcile": round(hour.scarce, 3),
        "by_limit": {limit: round(hour.each(*actions), 3) for limit, actions in _LIMITS.items()},
        "most_of_one_reconcile": hour.most,
        "cpu_ms_per_reconcile": round(hour.cpu_seconds * 1000 / hour.states / hour.rounds, 2),
        "status_writes": hour.status_writes,
    }


def _manifest(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "humangov.io/v1",
        "kind": "HumanGovState",
        "metadata": {"name": name, "namespace": _NAMESPACE},
        "spec": {"table": {"name": f"humangov-{name}-dynamodb"}, "bucket": {"name": f"humangov-{name}-s3"}},
    }


def _ready(resource: Mapping[str, Any]) -> str:
    conditions = {one["type"]: one["status"] for one in (resource.get("status") or {}).get("conditions") or ()}
    return str(conditions.get("Ready"))
