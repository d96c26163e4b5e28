"""Finds the tenant that the command line names, in the cluster or in a manifest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import click

from humangov.api.names import Names
from humangov.api.spec import KIND, InvalidSpecError, Tenant, parse, require_shape
from humangov.aws.identity import UnknownTenantError, names_of
from humangov.cli.manifests import read_manifests
from humangov.cli.options import EveryOptions, TenantOptions, sdk_region

SessionOf = Callable[[Tenant], boto3.Session]


SessionOfResource = Callable[[Mapping[str, Any]], boto3.Session | None]


class Found(NamedTuple):
    """A HumanGovState as the cluster or the manifest has it, and its names.

    session: as whom its AWS resources are read; None: as the caller.
    """

    resource: Mapping[str, Any]
    names: Names
    session: boto3.Session | None = None


def names(options: TenantOptions) -> Names:
    """From the cluster, or from --filename. Raises ClickException, with what is wrong and what to do."""
    return found(options).names


def found(options: TenantOptions, *, session_of: SessionOfResource | None = None) -> Found:
    """The same, with the resource. session_of: as whom a HumanGovState of the cluster is read; None: as the caller."""
    if options.filename is not None:
        return _found_in_file(options.filename, options, session_of=None)
    namespace, name = which(options.tenant, options.namespace)
    return _found_in_cluster(
        namespace, name, default_region=sdk_region(options.region), cluster_name=options.cluster_name,
        session_of=session_of,
    )  # fmt: skip


def every(options: EveryOptions) -> list[tuple[Mapping[str, Any], str]]:
    """All HumanGovStates of --namespace, of --namespaces, or of the cluster, each with its cluster's name.

    Raises ClickException.
    """
    from humangov.kube.client import KubeError, Resource
    from humangov.kube.tenants import Tenants

    async def read() -> tuple[list[Resource], str]:
        api = Tenants()
        try:
            resources = await api.list_resources([options.namespace] if options.namespace else options.namespaces)
            return resources, "" if options.cluster_name else await api.cluster_uid()
        finally:
            await api.close()

    try:
        resources, uid = asyncio.run(read())
    except KubeError as error:
        raise click.ClickException(str(error)) from error
    recorded = (((one.get("status") or {}).get("aws") or {}).get("cluster") for one in resources)
    return [(one, options.cluster_name or str(its or uid)) for one, its in zip(resources, recorded, strict=True)]


NOT_PROVISIONED = "the operator has created nothing in AWS for it: its condition Ready says why"


def is_provisioned(resource: Mapping[str, Any]) -> bool:
    """Whether the operator has created anything in AWS for it.

    Before that it may name what its namespace may not use, or what another HumanGovState has: who reads for all by
    permissions of their own reads nothing by these names.
    """
    return bool((resource.get("status") or {}).get("aws"))


def names_of_file(filename: Path, options: TenantOptions, *, session_of: SessionOf | None = None) -> Names:
    """session_of: returns the session of the role that the command assumes; None: the caller's credentials.

    Raises ClickException.
    """
    return _found_in_file(filename, options, session_of=session_of).names


def _found_in_file(filename: Path, options: TenantOptions, *, session_of: SessionOf | None) -> Found:
    """Raises ClickException."""
    if not options.cluster_name:
        raise click.UsageError("--filename needs --cluster-name: receipts and tags contain the cluster's name")
    try:
        return _one_of(
            read_manifests(filename), options.tenant, namespace=options.namespace,
            default_region=sdk_region(options.region), cluster_name=options.cluster_name, session_of=session_of,
        )  # fmt: skip
    except (UnknownTenantError, InvalidSpecError) as error:
        raise click.ClickException(str(error)) from error


def which(tenant: str | None, namespace: str | None) -> tuple[str, str]:
    """Namespace and name of the TENANT; the default namespace is the context's. Raises ClickException."""
    from humangov.kube import client  # takes a second to load; commands that read a manifest do not need it

    if tenant is None:
        raise click.UsageError("no TENANT given: expected NAME or NAMESPACE/NAME, or a manifest with --filename")
    try:
        return split(tenant, namespace=namespace, default=client.context_namespace())
    except UnknownTenantError as error:
        raise click.ClickException(str(error)) from error


def split(name: str, *, namespace: str | None, default: str | None = None) -> tuple[str, str]:
    """`namespace/name` or `name` → namespace, name. Raises UnknownTenantError."""
    before, slash, after = name.rpartition("/")
    if slash and namespace and before != namespace:
        raise UnknownTenantError(f"{name} contradicts --namespace {namespace}: give only one of them")
    if not after or "/" in before or (slash and not before):
        raise UnknownTenantError(f"{name!r} is not a valid TENANT: expected NAME or NAMESPACE/NAME")
    return before or namespace or default or "default", after


def _found_in_cluster(
    namespace: str, name: str, *, default_region: str | None, cluster_name: str | None,
    session_of: SessionOfResource | None,
) -> Found:  # fmt: skip
    """From the API server. Raises ClickException."""
    from humangov.kube.client import KubeError, Resource
    from humangov.kube.tenants import Tenants, by_name

    async def read() -> tuple[Resource, str]:
        api = Tenants()
        try:
            resource = await api.read(by_name(namespace, name))
            if resource is None:
                raise UnknownTenantError(f"{KIND} {namespace}/{name} does not exist in this cluster")
            recorded = (resource.get("status") or {}).get("aws") or {}
            return resource, str(cluster_name or recorded.get("cluster") or await api.cluster_uid())
        finally:
            await api.close()

    try:
        resource, cluster = asyncio.run(read())
        session = session_of(resource) if session_of else None
        names = names_of(resource, default_region=default_region, cluster=cluster, session=session)
        return Found(resource, names, session)
    except (UnknownTenantError, InvalidSpecError, KubeError) as error:
        raise click.ClickException(str(error)) from error


def _one_of(
    manifests: Sequence[Any],
    name: str | None,
    *,
    namespace: str | None,
    default_region: str | None,
    cluster_name: str,
    session_of: SessionOf | None,
) -> Found:
    """From the one manifest that matches. Raises UnknownTenantError, InvalidSpecError."""
    wanted = split(name, namespace=namespace) if name else None
    states = [one for one in _states(manifests, namespace=namespace or "default") if wanted in (None, _key(one))]
    if len(states) != 1:
        what = f"{KIND} {'/'.join(wanted)}" if wanted else KIND
        raise UnknownTenantError(f"expected one {what} in the manifest, found {len(states)}")
    session = session_of(parse(states[0], default_region=default_region or "us-east-1")) if session_of else None
    names = names_of(states[0], default_region=default_region, cluster=cluster_name, session=session)
    return Found(states[0], names)


def _states(manifests: Sequence[Any], *, namespace: str) -> list[Mapping[str, Any]]:
    """The HumanGovStates among these manifests, each with a namespace. Raises InvalidSpecError."""
    states = [one for one in manifests if isinstance(one, Mapping) and one.get("kind") == KIND]
    for one in states:
        require_shape(one)
    return [{**one, "metadata": {"namespace": namespace, **(one.get("metadata") or {})}} for one in states]


def _key(state: Mapping[str, Any]) -> tuple[Any, Any]:
    return state["metadata"]["namespace"], state["metadata"].get("name")
