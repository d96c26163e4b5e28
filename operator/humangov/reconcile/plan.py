"""What the operator would do about a manifest, in words. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from humangov.api import sweep_schedule
from humangov.api.conditions import Finding
from humangov.api.names import Names
from humangov.api.spec import Tenant, parse
from humangov.api.stop import while_stopped, why_stopped
from humangov.aws import bucket, resources
from humangov.aws.change import Change, Context, boundary_of
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.aws.resources import BUCKET, STREAM, Observations, Unread
from humangov.aws.sessions import Directory
from humangov.bundle import bundle
from humangov.kube.tenants import Tenants
from humangov.reconcile import erasure_limit, legal_hold
from humangov.reconcile.settings import Settings


class PlanError(Exception):
    """There can be no plan; the message says why."""


async def plan_manifest(
    manifest: Any, *, settings: Settings, cluster_name: str | None, namespace: str, offline: bool
) -> tuple[list[str], bool]:
    """The changes for one manifest, a line each, and whether there are any.

    Raises PlanError, InvalidSpecError, KubeError.
    """
    manifest, cluster = await _completed(
        manifest, settings=settings, cluster_name=cluster_name, namespace=namespace, offline=offline
    )
    tenant = parse(manifest, default_region=settings.region)
    stopped = why_stopped(manifest, of_all=None)
    tenant = while_stopped(tenant) if stopped else tenant
    clients = Directory(Clients).of_tenant(tenant)
    names = _names(tenant, clients, cluster=cluster)
    observed = await _observed(clients, names)
    context = Context(
        names=names,
        default_tags=settings.default_tags,
        permissions_boundary_arn=boundary_of(settings.permissions_boundary_arn, names),
        now=datetime.now(UTC),
    )
    context = legal_hold.with_hold(context, observed)
    context = erasure_limit.with_limit(context, observed, status=manifest.get("status") or {})
    plans = resources.plan(observed, resources.desired(context, observed, bundle=bundle())).values()
    changes = [change for plan in plans if not isinstance(plan, Finding) for change in plan]
    obstacles = [*_obstacles(observed, names), *(plan.message for plan in plans if isinstance(plan, Finding))]
    refused = sweep_schedule.refusal(tenant.sweep)
    obstacles += [refused] if refused else []
    header = f"{tenant.key} ({names.identity.account_id}, {names.identity.region}{', stopped' if stopped else ''})"
    if not changes and not obstacles:
        return [f"{header}: in sync"], False
    return [f"{header}:", *map(_line, changes), *(f"  waits: {obstacle}" for obstacle in obstacles)], True


async def _completed(
    manifest: Any, *, settings: Settings, cluster_name: str | None, namespace: str, offline: bool
) -> tuple[Mapping[str, Any], str]:
    """The manifest as the API server would store it, or as given if `offline`, and the cluster's name.

    Raises PlanError, InvalidSpecError, KubeError.
    """
    if not isinstance(manifest, Mapping):
        raise PlanError("expected a HumanGovState, found no object")
    if not isinstance(manifest.get("metadata") or {}, Mapping):
        raise PlanError("metadata must be an object")
    manifest = {**manifest, "metadata": {"namespace": namespace, **(manifest.get("metadata") or {})}}
    parse(manifest, default_region=settings.region)  # what is wrong with the manifest itself is said first
    if offline:
        return manifest, str(cluster_name)
    api = Tenants()
    try:
        stored = await api.dry_run(manifest)
        return stored, cluster_name or await api.cluster_uid()
    finally:
        await api.close()


def _names(tenant: Tenant, clients: Clients, *, cluster: str) -> Names:
    """Raises PlanError."""
    try:
        return Names(tenant=tenant, identity=clients.identity(cluster=cluster))
    except AwsError as error:
        raise PlanError(str(error)) from error


async def _observed(clients: Clients, names: Names) -> Observations:
    """Raises PlanError."""
    observed = await resources.observe(clients, names, deep=True, in_thread=asyncio.to_thread)
    for found in observed.values():
        if isinstance(found, Unread):
            raise PlanError(str(found.error))
    return observed


def _obstacles(observed: Observations, names: Names) -> list[str]:
    obstacles = []
    if observed[STREAM] is None:
        obstacles.append(f"table {names.tenant.table.name} does not exist yet; nothing is created until it does")
    found = bucket.finding(observed[BUCKET], names)
    if found.status != "True":
        obstacles.append(found.message)
    return obstacles


def _line(change: Change) -> str:
    return f"  {change.resource:10} {change.action:34} {change.summary}"
