"""The tenant that a person names on the command line: from the cluster, or from a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3

from humangov import kube
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.tenant import KIND, Identity, Names, Tenant, parse


class NotToldError(Exception):
    """Which tenant, or in which account, can't be told; the text is a sentence for people."""


def split(name: str, *, namespace: str | None, default: str | None = None) -> tuple[str, str]:
    """`namespace/name` or `name` → namespace, name. Raises NotToldError."""
    before, slash, after = name.rpartition("/")
    if slash and namespace and before != namespace:
        raise NotToldError(f"{name} is not in namespace {namespace}: give one of both")
    if not after or "/" in before or (slash and not before):
        raise NotToldError(f"{name!r} is no tenant: expected NAME or NAMESPACE/NAME")
    return before or namespace or default or "default", after


async def of_cluster(namespace: str, name: str, *, default_region: str | None, cluster_name: str | None) -> Names:
    """The HumanGovState as the API server has it. Raises NotToldError, KubeError, InvalidSpecError."""
    api = kube.Kube(identity="command line")
    try:
        resource = await api.get(namespace, name)
        if resource is None:
            raise NotToldError(f"there is no {KIND} {namespace}/{name} in this cluster")
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

    Raises NotToldError, InvalidSpecError.
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
        raise NotToldError(f"the manifest holds {len(found)} of {what}, not one")
    session = session_of(parse(found[0], default_region=default_region or "us-east-1")) if session_of else None
    return names_of(found[0], default_region=default_region, cluster=cluster_name, session=session)


def names_of(
    resource: Mapping[str, Any], *, default_region: str | None, cluster: str, session: boto3.Session | None = None
) -> Names:
    """With the account of the session's credentials, else the caller's.

    Raises NotToldError where the tenant's objects are elsewhere.
    """
    recorded = (resource.get("status") or {}).get("aws") or {}
    region = recorded.get("region") or default_region or (resource.get("spec") or {}).get("region")
    if not region:
        raise NotToldError("no AWS region: give --region, or set HUMANGOV_REGION or AWS_REGION")
    tenant = parse(resource, default_region=region)
    try:
        identity = Clients(region=tenant.region, session=session).identity(cluster=cluster)
    except AwsError as error:
        raise NotToldError(str(error)) from error
    differing = _differing(recorded, identity)
    if differing:
        raise NotToldError(
            f"these are not the account, region and cluster of {tenant.key}'s AWS objects: {differing}. Nothing was "
            "touched; use the credentials of that account"
        )
    return Names(tenant=tenant, identity=identity)


def _differing(recorded: Mapping[str, Any], identity: Identity) -> str:
    present = {"accountID": identity.account_id, "region": identity.region, "cluster": identity.cluster}
    return ", ".join(
        f"{name} is {recorded[name]} and here {value}"
        for name, value in present.items()
        if name in recorded and recorded[name] != value
    )
