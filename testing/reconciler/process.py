"""One process of the operator, from its start to its end; what it remembers goes with it.

In place of the manager: it hands a reconcile what the watch would have told, and counts how long a tenant has failed.
With `bulk_reads`, a snapshot goes before each reconcile, whatever it is worth. It can't show the queue, workers beside
each other, monitors or leader election: tests/unit and tests/e2e do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from humangov.api.spec import Tenant
from humangov.aws.clients import Clients
from humangov.bundle import Bundle
from humangov.kube.client import KubeError
from humangov.manager import bulk_read_monitor
from humangov.manager.bulk_read_monitor import BulkCheck
from humangov.reconcile.cache import Store
from humangov.reconcile.context import Operator
from humangov.reconcile.outcome import Outcome
from humangov.reconcile.reconciler import reconcile
from humangov.reconcile.settings import Settings

from testing.reconciler.clock import Clock
from testing.reconciler.kube import FakeKube, copied
from testing.reconciler.line import Line
from testing.reconciler.sdk import FaultyClients, Sdk

RESYNC_SECONDS = 600.0
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


async def inline(call: Callable[[], Any]) -> Any:
    """In place of threads: one order of calls, and a kill that ends everything."""
    return call()


class OperatorProcess:
    """It remembers nothing of earlier ones: only AWS and Kubernetes do."""

    def __init__(
        self,
        *,
        settings: Settings,
        cluster: str,
        cluster_uid: str | None,
        bundle: Bundle,
        kube: FakeKube,
        sdk: Sdk,
        account: str,
        clock: Clock,
        in_thread: InThread,
        bulk_reads: bool = False,
    ) -> None:
        self.line = Line()
        self._kube, self._sdk, self._account, self._clock = kube, sdk, account, clock
        self._clients: dict[str, FaultyClients] = {}
        self._failing_since: dict[str, float] = {}
        self.bulk_reads, self.bulk_check = bulk_reads, BulkCheck()
        self.operator = Operator(
            settings=settings,
            cluster=cluster,
            bundle=bundle,
            kube=kube,
            store=Store(default_region=settings.region, cluster_uid=cluster_uid),
            clients_for=self.clients_for,
            in_thread=in_thread,
            monotonic=clock.monotonic,
            started_at=clock.monotonic(),
            now=clock.now,
        )

    def reconcile_once(self, key: str) -> Outcome:
        """As the manager runs it: with what the watch has told, and with a fresh copy after a refusal."""
        for known, uid in self.operator.store.uids().items():
            if known not in self._kube.objects:
                self.operator.store.drop(known, uid=uid)
        for resource in self._kube.objects.values():
            self.operator.store.put(copied(resource))
        failing = self._clock.monotonic() - self._failing_since.get(key, self._clock.monotonic())
        try:
            outcome = asyncio.run(self._reconciled(key, failing_seconds=failing))
        except KubeError:
            outcome = Outcome(failed=True, soon=True)
        if outcome.failed:
            if not outcome.throttled:
                self._failing_since.setdefault(key, self._clock.monotonic())
        else:
            self._failing_since.pop(key, None)
        return outcome

    async def _reconciled(self, key: str, *, failing_seconds: float) -> Outcome:
        if self.bulk_reads:
            await self.read_in_bulk()
        return await reconcile(self.operator, key, failing_seconds=failing_seconds)

    async def read_in_bulk(self) -> list[str]:
        """One check of the bulk read monitor; the keys for which it asks."""
        asked: list[str] = []

        async def ask(key: str) -> None:
            asked.append(key)

        self.bulk_check = await bulk_read_monitor.check(
            self.operator, self.bulk_check, ask_for_reconcile=ask, resync_seconds=RESYNC_SECONDS, always=True
        )
        return asked

    def clients_for(self, tenant: Tenant) -> Clients:
        region = tenant.region
        if region not in self._clients:
            self._clients[region] = FaultyClients(region=region, sdk=self._sdk, line=self.line, account=self._account)
        return self._clients[region]
