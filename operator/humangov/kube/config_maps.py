"""ConfigMaps, as the stop of every HumanGovState is one. The operator reads one before it watches."""

from __future__ import annotations

from collections.abc import Mapping

from humangov.kube.client import Client, Resource
from humangov.kube.custom_objects import CustomObjectsApi

_CORE = ("", "v1")


class ConfigMaps(Client):
    """ConfigMaps by name. Belongs to one event loop."""

    async def read_config_map(self, namespace: str, name: str) -> Resource | None:
        """A ConfigMap; None if there is none. Raises KubeError."""
        found: Resource | None = await self._call(
            f"reading ConfigMap {namespace}/{name}", CustomObjectsApi.get_namespaced_custom_object,
            *_CORE, namespace, "configmaps", name, none_if=404,
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
            f"writing ConfigMap {namespace}/{name}", CustomObjectsApi.patch_namespaced_custom_object,
            *_CORE, namespace, "configmaps", name, body,
            writes=True, field_manager=field_manager, force=True, _content_type="application/apply-patch+yaml",
        )  # fmt: skip

    async def annotate_config_map(
        self, namespace: str, name: str, annotations: Mapping[str, str], *, field_manager: str
    ) -> None:  # fmt: skip
        """Add these annotations; success if it does not exist. Raises KubeError."""
        await self._call(
            f"annotating ConfigMap {namespace}/{name}", CustomObjectsApi.patch_namespaced_custom_object,
            *_CORE, namespace, "configmaps", name, {"metadata": {"annotations": dict(annotations)}},
            writes=True, none_if=404,
            field_manager=field_manager, _content_type="application/merge-patch+json",
        )  # fmt: skip

    async def delete_config_map(self, namespace: str, name: str) -> bool:
        """Whether there was one. Raises KubeError."""
        answer = await self._call(
            f"deleting ConfigMap {namespace}/{name}", CustomObjectsApi.delete_namespaced_custom_object,
            *_CORE, namespace, "configmaps", name, writes=True, none_if=404,
        )  # fmt: skip
        return answer is not None
