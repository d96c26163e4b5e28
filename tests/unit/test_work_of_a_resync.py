"""What a settled tenant's resync does by itself: each thing once. On an account and an API server in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from humangov.api.spec import Tenant, parse
from humangov.aws import resources
from humangov.kube.client import Resource
from humangov.reconcile import cache, reconciler, stop
from humangov.reconcile.cache import Store

from bench.bulk import measure

STATES, ROUNDS = 6, 8


def test_settled_tenant_is_composed_compared_and_concluded_once_and_not_parsed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a resync's processor time these were three quarters, for each was done twice or more."""
    times: Counter[str] = Counter()

    def counted(where: Any, name: str) -> None:
        do: Callable[..., Any] = getattr(where, name)

        def count(*given: Any, **named: Any) -> Any:
            times[name] += 1
            return do(*given, **named)

        monkeypatch.setattr(where, name, count)

    for where, name in (
        (resources, "desired"),
        (resources, "plan"),
        (reconciler, "conclude"),
        (reconciler, "reconcile"),
    ):
        counted(where, name)
    for module in (reconciler, stop, cache):
        counted(module, "parse")
    monkeypatch.setattr("bench.bulk.reconcile", reconciler.reconcile)
    hour = asyncio.run(measure(STATES, bulk=True))
    assert hour.status_writes == 0
    assert times["reconcile"] == STATES * ROUNDS
    writes = 2 * STATES  # the finalizer, and the first status: the store parses what comes with the answer
    assert times["parse"] == STATES + writes
    for name in ("desired", "plan", "conclude"):
        assert times[name] <= times["reconcile"] + writes, name


def test_resource_that_is_listed_again_unchanged_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are listed once a resync."""
    parsed: list[Any] = []

    def counted(resource: Any, **named: Any) -> Tenant:
        parsed.append(resource)
        return parse(resource, **named)

    monkeypatch.setattr("humangov.reconcile.cache.parse", counted)
    store = Store(default_region="us-east-1")

    def form(version: int, **more: Any) -> Resource:
        metadata = {"namespace": "n", "name": "a", "uid": "1", "generation": 1, "resourceVersion": str(version)}
        spec = {"table": {"name": "the-table"}, "bucket": {"name": "the-bucket"}}
        return {"apiVersion": "humangov.io/v1", "kind": "HumanGovState", "metadata": metadata, "spec": {**spec, **more}}

    for _ in range(3):
        store.put(form(7))
    assert len(parsed) == 1
    store.put(form(7, suspend=True))  # a field that an older definition had cut out of the watch's form
    assert len(parsed) == 2
    tenant = store.tenant("n/a")
    assert tenant is not None
    assert tenant.suspend
