"""ConfigMaps, as the stop of every HumanGovState is one.

The operator reads one before it watches. The library's class for them loads the models of the whole API, which takes a
second: only commands that write load it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kubernetes.aio import client

from humangov.kube.client import Client, Resource, raise_for_status


class ConfigMaps(Client):
    """ConfigMaps by name. Belongs to one event loop."""

    async def read_config_map(self, namespace: str, name: str) -> Resource | None:
        """A ConfigMap; None if there is none. Raises KubeError."""
        found: Resource | None = await self._call(
            f"reading ConfigMap {namespace}/{name}", _read, name, namespace, library=_plain, none_if=404
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
            f"writing ConfigMap {namespace}/{name}", _apply, name, namespace, body, library=client.CoreV1Api,
            writes=True, field_manager=field_manager, force=True, _content_type="application/apply-patch+yaml",
        )  # fmt: skip

    async def delete_config_map(self, namespace: str, name: str) -> bool:
        """Whether there was one. Raises KubeError."""
        answer = await self._call(
            f"deleting ConfigMap {namespace}/{name}", client.CoreV1Api.delete_namespaced_config_map, name, namespace,
            library=client.CoreV1Api, writes=True, none_if=404,
        )  # fmt: skip
        return answer is not None


def _plain(api_client: Any) -> Any:
    """The library's client itself, without a class of the API."""
    return api_client


async def _read(api_client: Any, name: str, namespace: str, *, _request_timeout: float) -> Resource:
    """As the API server wrote it: the library's own form has other names."""
    request = await api_client.param_serialize(
        method="GET", resource_path="/api/v1/namespaces/{namespace}/configmaps/{name}",
        path_params={"namespace": namespace, "name": name}, header_params={"Accept": "application/json"},
        auth_settings=["BearerToken"],
    )  # fmt: skip
    answer = await api_client.call_api(*request, _preload_content=False, _request_timeout=_request_timeout)
    return await _answer(answer.response)


async def _apply(api: Any, name: str, namespace: str, body: Resource, **named: Any) -> Resource:
    # Read as it is: for 201, an object that is not there yet, the library returns no body.
    return await _answer(await api.patch_namespaced_config_map_without_preload_content(name, namespace, body, **named))


async def _answer(answer: Any) -> Resource:
    await raise_for_status(answer)
    return dict(json.loads(await answer.text()))
