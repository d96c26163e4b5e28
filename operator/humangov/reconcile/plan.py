"""What the operator would do about a manifest, in words. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import Names
from humangov.api.spec import parse
from humangov.aws import bucket, resources
from humangov.aws.change import Context, boundary_of
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.aws.resources import BUCKET, STREAM, Unread
from humangov.aws.sessions import Directory
from humangov.bundle import bundle
from humangov.kube.tenants import Tenants
from humangov.reconcile.settings import Settings


class PlanError(Exception):
    """It can't be told; the message says why."""


async def plan_manifest(
    manifest: Any, *, settings: Settings, cluster_name: str | None, namespace: str, offline: bool
) -> tuple[list[str], bool]:
    """The changes for one manifest, a line each, and whether there are any.

    Raises PlanError, InvalidSpecError, KubeError.
    """
    if not isinstance(manifest, Mapping):
        raise PlanError("expected a HumanGovState, found no object")
    if not isinstance(manifest.get("metadata") or {}, Mapping):
        raise PlanError("metadata must be an object")
    manifest = {**manifest, "metadata": {"namespace": namespace, **(manifest.get("metadata") or {})}}
    parse(manifest, default_region=settings.region)  # what is wrong with the manifest itself is said first
    cluster = cluster_name
    if not offline:
        api = Tenants()
        try:
            manifest = {**await api.dry_run(manifest)}
            cluster = cluster or await api.cluster_uid()
        finally:
            await api.close()
    tenant = parse(manifest, default_region=settings.region)
    clients = Directory(Clients).of_tenant(tenant)
    try:
        identity = clients.identity(cluster=str(cluster))
    except AwsError as error:
        raise PlanError(str(error)) from error
    names = Names(tenant=tenant, identity=identity)
    context = Context(
        names=names,
        default_tags=settings.default_tags,
        permissions_boundary_arn=boundary_of(settings.permissions_boundary_arn, names),
        now=datetime.now(UTC),
    )
    observed = await resources.gather(clients, names, deep=True, in_thread=asyncio.to_thread)
    for seen in observed.values():
        if isinstance(seen, Unread):
            raise PlanError(str(seen.error))
    header = f"{tenant.key} ({identity.account_id}, {identity.region})"
    obstacles = _obstacles(observed, names)
    planned = resources.plans(observed, resources.desires(names, context, observed, bundle=bundle()))
    lines, changes = [f"{header}:"], 0
    for plan in planned.values():
        if isinstance(plan, Finding):
            obstacles.append(plan.message)
            continue
        for change in plan:
            lines.append(f"  {change.resource:10} {change.action:34} {change.summary}")
            changes += 1
    lines += [f"  waits: {obstacle}" for obstacle in obstacles]
    if not changes and not obstacles:
        return [f"{header}: in step"], False
    return lines, True


def _obstacles(observed: Mapping[str, Any], names: Names) -> list[str]:
    obstacles = []
    if observed[STREAM] is None:
        obstacles.append(f"table {names.tenant.table.name} does not exist yet: nothing is made before it does")
    found = bucket.finding(observed[BUCKET], names)
    if found.status != "True":
        obstacles.append(found.message)
    return obstacles
