"""What the queue is given at the start: what needs a reconciliation at once, and what can wait for its resync. Pure.

A tenant whose status is current was in sync when the operator looked last. If all of them were reconciled at once, an
edit would wait behind them, and AWS would throttle. They are spread instead: over as many seconds as there are tenants,
and at most over one resync interval. So a few are looked at soon, and drift from while no operator ran is corrected.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from humangov.api.conditions import HELD, OWN_CONDITIONS, PARTS, STOPPED, SWEEP_SUCCEEDED
from humangov.api.conflicts import refusal
from humangov.api.spec import FINALIZER, RECONCILE_ANNOTATION, SWEEP_ANNOTATION, Tenant
from humangov.kube.client import Resource
from humangov.manager.workqueue import Lane
from humangov.reconcile.cache import Store
from humangov.reconcile.settings import Settings

TENANTS_PER_SECOND = 1.0
"""The first reading of a tenant asks Lambda's control plane for about ten things, and that allows 15 calls a second."""
_WAITS = ("waitingSince", "failingSince", "erasureLimit", "hold")
"""Of a status: something that goes on, and that time or an event ends."""


@dataclass(frozen=True, kw_only=True)
class First:
    """A key's first run after the start: in which lane, and after how many seconds."""

    key: str
    lane: Lane
    delay: float = 0.0


def first_runs(
    store: Store, *, settings: Settings, cluster: str, resync_seconds: float, rng: random.Random
) -> list[First]:  # fmt: skip
    """One for every key that is known."""
    keys = list(store)
    within = min(resync_seconds, len(keys) / TENANTS_PER_SECOND)
    return [_first_run(store, key, settings, cluster, within_seconds=within, rng=rng) for key in keys]


def _first_run(
    store: Store, key: str, settings: Settings, cluster: str, *, within_seconds: float, rng: random.Random
) -> First:  # fmt: skip
    resource, tenant = store.get(key), store.tenant(key)
    if resource is None or has_changed(resource):
        return First(key=key, lane=Lane.FAST)
    if (
        tenant is None
        or store.stop_of(key) is not None
        or not is_current(resource, cluster=cluster, sweeps=settings.sweep_template is not None)
    ):
        return First(key=key, lane=Lane.SLOW)
    if _is_refused(store, tenant, settings):
        return First(key=key, lane=Lane.FAST)  # a permission was withdrawn: it is stopped
    return First(key=key, lane=Lane.RESYNC, delay=rng.uniform(0.0, within_seconds))


def has_changed(resource: Resource) -> bool:
    """Whether somebody asked for something that no operator has seen yet."""
    metadata, status = resource["metadata"], resource.get("status") or {}
    annotations = metadata.get("annotations") or {}
    asked = {
        "lastHandledReconcile": annotations.get(RECONCILE_ANNOTATION),
        "lastHandledSweep": annotations.get(SWEEP_ANNOTATION),
    }
    return (
        bool(metadata.get("deletionTimestamp"))
        or FINALIZER not in (metadata.get("finalizers") or ())
        or status.get("observedGeneration") != metadata.get("generation")
        or any(value is not None and value != status.get(name) for name, value in asked.items())
    )


def is_current(resource: Resource, *, cluster: str, sweeps: bool) -> bool:
    """Whether the status says that all is in sync at this generation, and that nothing goes on.

    sweeps: tenants have sweeps, so each status tells of them.
    """
    status = resource.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or () if one["type"] in OWN_CONDITIONS}
    generation = resource["metadata"].get("generation")
    return (
        all(_holds(conditions.get(name), generation) for name in ("Ready", *PARTS))
        and all(one["status"] != "Unknown" for one in conditions.values())
        and not any(_is_true(conditions.get(name)) for name in (STOPPED, HELD))
        and not any(status.get(name) for name in _WAITS)
        and (not sweeps or SWEEP_SUCCEEDED in conditions)
        and (status.get("aws") or {}).get("cluster") == cluster
    )


def _holds(condition: Any, generation: Any) -> bool:
    return _is_true(condition) and condition.get("observedGeneration") == generation


def _is_true(condition: Any) -> bool:
    return condition is not None and condition["status"] == "True"


def _is_refused(store: Store, tenant: Tenant, settings: Settings) -> bool:
    return refusal(tenant, allowed=settings.allowed, others=store.conflict_candidates(tenant)) is not None
