"""ConfigMaps, as the stop of every HumanGovState is one. The operator reads one before it watches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes.aio import client

from humangov.kube.answers import json_of
from humangov.kube.client import Client, Resource, plain, read_plain


class ConfigMaps(Client):
    """ConfigMaps by name. Belongs to one event loop."""

    async def read_config_map(self, namespace: str, name: str) -> Resource | None:
        """A ConfigMap; None if there is none. Raises KubeError."""
        found: Resource | None = await self._call(
            f"reading ConfigMap {namespace}/{name}", read_plain, "/api/v1/namespaces/{namespace}/configmaps/{name}",
            {"namespace": namespace, "name": name}, library=plain, none_if=404,
        )  # fmt: skip
        return found

    async def apply_config_map(
        self, namespace: str, name: str, data: Mapping[str, str], *, field_manager: str
    ) -> None:  # fmt: skip
        """Make it, or take these data over, by server-side apply. Raises KubeError."""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace},
            "data": dict(data),
        }
        await self._call(
            f"writing ConfigMap {namespace}/{name}", _apply, name, namespace, body, library=client.CoreV1Api,
            writes=True, field_manager=field_manager, force=True, _content_type="application/apply-patch+yaml",
        )  # fmt: skip

    async def annotate_config_map(
        self, namespace: str, name: str, annotations: Mapping[str, str], *, field_manager: str
    ) -> None:  # fmt: skip
        """Add these annotations; success if it does not exist. Raises KubeError."""
        await self._call(
            f"annotating ConfigMap {namespace}/{name}", client.CoreV1Api.patch_namespaced_config_map, name, namespace,
            {"metadata": {"annotations": dict(annotations)}}, library=client.CoreV1Api, writes=True, none_if=404,
            field_manager=field_manager, _content_type="application/merge-patch+json",
        )  # fmt: skip

    async def delete_config_map(self, namespace: str, name: str) -> bool:
        """Whether there was one. Raises KubeError."""
        answer = await self._call(
            f"deleting ConfigMap {namespace}/{name}", client.CoreV1Api.delete_namespaced_config_map, name, namespace,
            library=client.CoreV1Api, writes=True, none_if=404,
        )  # fmt: skip
        return answer is not None


async def _apply(api: Any, name: str, namespace: str, body: Resource, **named: Any) -> Resource:
    # Read as it is: for 201, an object that is not there yet, the library returns no body.
    return await json_of(await api.patch_namespaced_config_map_without_preload_content(name, namespace, body, **named))
