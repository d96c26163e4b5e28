"""Leases, by which operators elect their leader. No fence is before their writes: it is by them that it judges."""

from __future__ import annotations

from typing import Any

from humangov.kube.client import Client, Resource
from humangov.kube.custom_objects import CustomObjectsApi

_COORDINATION = ("coordination.k8s.io", "v1")


class Leases(Client):
    """Leases, each call with a time-out of its own. Belongs to one event loop."""

    async def read_lease(self, *, namespace: str, name: str, timeout_seconds: float) -> Resource | None:
        """A Lease; None if there is none. Raises KubeError."""
        found = await self._call(
            f"reading the lease {namespace}/{name}", CustomObjectsApi.get_namespaced_custom_object,
            *_COORDINATION, namespace, "leases", name, none_if=404, within_seconds=timeout_seconds,
        )  # fmt: skip
        return dict(found) if found is not None else None

    async def write_lease(self, lease: Resource, *, timeout_seconds: float) -> Resource:
        """Replace the Lease if it is still as it was read, or make it if it never was; the lease as it is then.

        Raises KubeError (409: somebody was faster).
        """
        metadata = lease["metadata"]
        what = f"writing the lease {metadata['namespace']}/{metadata['name']}"
        return dict(await self._call(what, _write, lease, within_seconds=timeout_seconds))


async def _write(api: Any, lease: Resource, **named: Any) -> Any:
    metadata = lease["metadata"]
    path = (*_COORDINATION, metadata["namespace"], "leases")
    if "resourceVersion" in metadata:
        return await api.replace_namespaced_custom_object(*path, metadata["name"], dict(lease), **named)
    return await api.create_namespaced_custom_object(*path, dict(lease), **named)
