"""ConfigMaps, as the stop of every HumanGovState is one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kubernetes.aio.client import CoreV1Api

from humangov.kube.client import Client, Resource, raise_for_status


class ConfigMaps(Client):
    """ConfigMaps by name. Belongs to one event loop."""

    async def read_config_map(self, namespace: str, name: str) -> Resource | None:
        """A ConfigMap; None if there is none. Raises KubeError."""
        found: Resource | None = await self._call(
            f"reading ConfigMap {namespace}/{name}", _read, name, namespace, library=CoreV1Api, none_if=404
        )
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
            f"writing ConfigMap {namespace}/{name}", _apply, name, namespace, body, library=CoreV1Api, writes=True,
            field_manager=field_manager, force=True, _content_type="application/apply-patch+yaml",
        )  # fmt: skip

    async def delete_config_map(self, namespace: str, name: str) -> bool:
        """Whether there was one. Raises KubeError."""
        answer = await self._call(
            f"deleting ConfigMap {namespace}/{name}", CoreV1Api.delete_namespaced_config_map, name, namespace,
            library=CoreV1Api, writes=True, none_if=404,
        )  # fmt: skip
        return answer is not None


async def _read(api: Any, name: str, namespace: str, **named: Any) -> Resource:
    """As the API server wrote it: the library's own form has other names."""
    return await _answer(await api.read_namespaced_config_map_without_preload_content(name, namespace, **named))


async def _apply(api: Any, name: str, namespace: str, body: Resource, **named: Any) -> Resource:
    # Read as it is: for 201, an object that is not there yet, the library returns no body.
    return await _answer(await api.patch_namespaced_config_map_without_preload_content(name, namespace, body, **named))


async def _answer(answer: Any) -> Resource:
    await raise_for_status(answer)
    return dict(json.loads(await answer.text()))
