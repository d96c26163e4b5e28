"""The tenant that a person names on the command line: from the cluster, or from a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3

from humangov.api.names import Names
from humangov.api.spec import KIND, Tenant, parse
from humangov.aws.identity import UnknownTenantError, names_of
from humangov.kube.tenants import Tenants, by_name


def split(name: str, *, namespace: str | None, default: str | None = None) -> tuple[str, str]:
    """`namespace/name` or `name` → namespace, name. Raises UnknownTenantError."""
    before, slash, after = name.rpartition("/")
    if slash and namespace and before != namespace:
        raise UnknownTenantError(f"{name} is not in namespace {namespace}: give one of both")
    if not after or "/" in before or (slash and not before):
        raise UnknownTenantError(f"{name!r} is no tenant: expected NAME or NAMESPACE/NAME")
    return before or namespace or default or "default", after


async def of_cluster(namespace: str, name: str, *, default_region: str | None, cluster_name: str | None) -> Names:
    """The HumanGovState as the API server has it. Raises UnknownTenantError, KubeError, InvalidSpecError."""
    api = Tenants()
    try:
        resource = await api.read(by_name(namespace, name))
        if resource is None:
            raise UnknownTenantError(f"there is no {KIND} {namespace}/{name} in this cluster")
        recorded = (resource.get("status") or {}).get("aws")
        cluster = cluster_name or (recorded or {}).get("cluster") or await api.cluster_uid()
    finally:
        await api.close()
    return names_of(resource, default_region=default_region, cluster=str(cluster))


def of_manifests(
    manifests: Sequence[Any],
    name: str | None,
    *,
    namespace: str | None,
    default_region: str | None,
    cluster_name: str,
    session_of: Callable[[Tenant], boto3.Session] | None = None,
) -> Names:
    """The one of the manifests that is meant. session_of: whose account it is; None: the caller's.

    Raises UnknownTenantError, InvalidSpecError.
    """
    wanted = split(name, namespace=namespace) if name else None
    found = []
    for manifest in manifests:
        if not isinstance(manifest, Mapping) or manifest.get("kind") != KIND:
            continue
        metadata = {"namespace": namespace or "default", **(manifest.get("metadata") or {})}
        if wanted is None or (metadata["namespace"], metadata.get("name")) == wanted:
            found.append({**manifest, "metadata": metadata})
    if len(found) != 1:
        what = "/".join(wanted) if wanted else f"one {KIND}"
        raise UnknownTenantError(f"the manifest holds {len(found)} of {what}, not one")
    session = session_of(parse(found[0], default_region=default_region or "us-east-1")) if session_of else None
    return names_of(found[0], default_region=default_region, cluster=cluster_name, session=session)
