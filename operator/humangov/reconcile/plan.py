"""What the operator would do about a manifest, in words. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from humangov.api import sweep_schedule
from humangov.api.conditions import Finding
from humangov.api.names import CLUSTER_UID_TAG, Names
from humangov.api.spec import Tenant, parse
from humangov.api.stop import while_stopped, why_stopped
from humangov.aws import bucket, function, resources
from humangov.aws.change import Change, Context, boundary_of
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.aws.resources import BUCKET, STREAM, Observations, Unread
from humangov.aws.sessions import Directory, RoleOfManifestError, require_consent
from humangov.bundle import bundle
from humangov.kube.client import KubeError
from humangov.kube.tenants import Tenants
from humangov.reconcile import erasure_limit, legal_hold
from humangov.reconcile.identity import in_cluster
from humangov.reconcile.settings import Settings


class PlanError(Exception):
    """There can be no plan; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The plan of one tenant (`namespace/name`). waits: what has to happen first, a sentence each."""

    tenant: str
    account: str
    region: str
    stopped: bool
    changes: tuple[Change, ...]
    waits: tuple[str, ...]

    @property
    def in_sync(self) -> bool:
        return not self.changes and not self.waits


def lines(planned: Planned) -> list[str]:
    """For people: a line for each change."""
    header = f"{planned.tenant} ({planned.account}, {planned.region}{', stopped' if planned.stopped else ''})"
    if planned.in_sync:
        return [f"{header}: in sync"]
    waits = [f"  waits: {one}" for one in planned.waits]
    return [f"{header}:", *map(_line, planned.changes), *waits]


def fields(planned: Planned) -> dict[str, Any]:
    """For programs."""
    return {
        "tenant": planned.tenant,
        "account": planned.account,
        "region": planned.region,
        "stopped": planned.stopped,
        "inSync": planned.in_sync,
        "changes": [
            {"resource": one.resource, "action": one.action, "summary": one.summary} for one in planned.changes
        ],
        "waits": list(planned.waits),
    }


async def plan_manifest(
    manifest: Any, *, settings: Settings, cluster_name: str | None, namespace: str, offline: bool, assume_role: bool
) -> Planned:
    """The changes for one manifest.

    assume_role: whether the role that the manifest names may be assumed.

    Raises PlanError, InvalidSpecError, KubeError.
    """
    manifest, cluster, uid = await _completed(
        manifest, settings=settings, cluster_name=cluster_name, namespace=namespace, offline=offline
    )
    tenant = parse(manifest, default_region=settings.region)
    stopped = why_stopped(manifest, of_all=None)
    tenant = while_stopped(tenant) if stopped else tenant
    try:
        require_consent(tenant.account.role_arn, field="spec.account.roleARN", given=assume_role)
    except RoleOfManifestError as error:
        raise PlanError(str(error)) from error
    clients = Directory(Clients).of_tenant(tenant)
    names = _names(tenant, clients, cluster=cluster)
    recorded = (manifest.get("status") or {}).get("aws")
    uid = await _uid_of_function(clients, names) if offline else uid
    identity = in_cluster(names.identity, uid=uid, moved_from=settings.moved_from, recorded=recorded)
    names = replace(names, identity=identity)
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
    return Planned(
        tenant=tenant.key, account=names.identity.account_id, region=names.identity.region, stopped=bool(stopped),
        changes=tuple(changes), waits=tuple(obstacles),
    )  # fmt: skip


async def _completed(
    manifest: Any, *, settings: Settings, cluster_name: str | None, namespace: str, offline: bool
) -> tuple[Mapping[str, Any], str, str | None]:
    """The manifest as the API server would store it, or as given if `offline`, the cluster's name, and its UID.

    Raises PlanError, InvalidSpecError, KubeError.
    """
    if not isinstance(manifest, Mapping):
        raise PlanError("expected a HumanGovState, found no object")
    if not isinstance(manifest.get("metadata") or {}, Mapping):
        raise PlanError("metadata must be an object")
    manifest = {**manifest, "metadata": {"namespace": namespace, **(manifest.get("metadata") or {})}}
    parse(manifest, default_region=settings.region)  # what is wrong with the manifest itself is said first
    if offline:
        return manifest, str(cluster_name), None
    api = Tenants()
    try:
        stored = await api.dry_run(manifest)
        # As the operator recorded it: under another name, all that it owns would look like somebody else's.
        recorded = ((stored.get("status") or {}).get("aws") or {}).get("cluster")
        cluster_name = cluster_name or (str(recorded) if recorded and recorded not in settings.moved_from else None)
        try:
            uid = await api.cluster_uid(needed=cluster_name is None)
        except KubeError as error:
            if cluster_name is None or error.is_transient:
                raise
            return stored, cluster_name, None
        return stored, cluster_name or uid, uid
    finally:
        await api.close()


def _names(tenant: Tenant, clients: Clients, *, cluster: str) -> Names:
    """Raises PlanError."""
    try:
        return Names(tenant=tenant, identity=clients.identity(cluster=cluster))
    except AwsError as error:
        raise PlanError(str(error)) from error


async def _uid_of_function(clients: Clients, names: Names) -> str | None:
    """Which cluster the tenant is taken to be in, where no cluster is asked. Raises PlanError."""
    try:
        found = await asyncio.to_thread(partial(function.observe, clients, names, deep=False))
    except AwsError as error:
        raise PlanError(str(error)) from error
    return ((found.tags if found is not None else None) or {}).get(CLUSTER_UID_TAG)


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
        obstacles.append(f"table {names.tenant.table.name} does not exist; nothing is created until it does")
    found = bucket.finding(observed[BUCKET], names)
    if found.status != "True":
        obstacles.append(found.message)
    return obstacles


def _line(change: Change) -> str:
    return f"  {change.resource:10} {change.action:34} {change.summary}"
