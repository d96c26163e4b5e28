"""Objects of any API group, as JSON: what the operator needs of the client library's class of the same name.

That class checks each argument with pydantic, whose validators take 17 MiB and a second of processor time to build; its
classes of one group each load the models of the whole API, half a second more. The names, the paths and the errors here
are its own. The core group, whose name is empty, is one of them here.
"""

from __future__ import annotations

from typing import Any

from humangov.kube.answers import json_of

_CLUSTER = "/{version}/{plural}"
_OF_CLUSTER = f"{_CLUSTER}/{{name}}"
_NAMESPACE = "/{version}/namespaces/{namespace}/{plural}"
_OBJECT = f"{_NAMESPACE}/{{name}}"
_QUERY = {
    "_continue": "continue", "dry_run": "dryRun", "field_manager": "fieldManager",
    "field_validation": "fieldValidation", "force": "force", "label_selector": "labelSelector", "limit": "limit",
    "propagation_policy": "propagationPolicy", "timeout_seconds": "timeoutSeconds", "watch": "watch",
}  # fmt: skip
_JSON = "application/json"


class CustomObjectsApi:
    """By group, version, namespace, plural and name, in this order. Raises ApiException."""

    def __init__(self, api_client: Any) -> None:
        self._client = api_client

    async def list_cluster_custom_object(self, group: str, version: str, plural: str, **named: Any) -> Any:
        return await self._json("GET", _CLUSTER, named, group=group, version=version, plural=plural)

    async def list_cluster_custom_object_without_preload_content(
        self, group: str, version: str, plural: str, **named: Any
    ) -> Any:
        return await self._raw("GET", _CLUSTER, named, group=group, version=version, plural=plural)

    async def get_cluster_custom_object(self, group: str, version: str, plural: str, name: str, **named: Any) -> Any:
        return await self._json("GET", _OF_CLUSTER, named, group=group, version=version, plural=plural, name=name)

    async def create_cluster_custom_object(
        self, group: str, version: str, plural: str, body: Any, **named: Any
    ) -> Any:  # fmt: skip
        return await self._json("POST", _CLUSTER, named, group=group, version=version, plural=plural, body=body)

    async def list_namespaced_custom_object(self, *path: str, **named: Any) -> Any:
        return await self._json("GET", _NAMESPACE, named, **_named(path))

    async def list_namespaced_custom_object_without_preload_content(self, *path: str, **named: Any) -> Any:
        return await self._raw("GET", _NAMESPACE, named, **_named(path))

    async def get_namespaced_custom_object(self, *path: str, **named: Any) -> Any:
        return await self._json("GET", _OBJECT, named, **_named(path))

    async def create_namespaced_custom_object(self, *path: Any, **named: Any) -> Any:
        return await self._json("POST", _NAMESPACE, named, body=path[4], **_named(path[:4]))

    async def replace_namespaced_custom_object(self, *path: Any, **named: Any) -> Any:
        return await self._json("PUT", _OBJECT, named, body=path[5], **_named(path[:5]))

    async def patch_namespaced_custom_object(self, *path: Any, **named: Any) -> Any:
        return await self._json("PATCH", _OBJECT, named, body=path[5], **_named(path[:5]))

    async def patch_namespaced_custom_object_status(self, *path: Any, **named: Any) -> Any:
        return await self._json("PATCH", f"{_OBJECT}/status", named, body=path[5], **_named(path[:5]))

    async def delete_namespaced_custom_object(self, *path: str, **named: Any) -> Any:
        return await self._json("DELETE", _OBJECT, named, **_named(path))

    async def _json(self, method: str, where: str, named: dict[str, Any], **path: Any) -> Any:
        return await json_of(await self._raw(method, where, named, **path))

    async def _raw(
        self, method: str, where: str, named: dict[str, Any], *, body: Any = None, **path: str
    ) -> Any:  # fmt: skip
        """The answer, unread; refusals are answers too."""
        request_timeout, content_type = named.pop("_request_timeout", None), named.pop("_content_type", _JSON)
        # https://kubernetes.io/docs/reference/using-api/#api-groups
        root = "/apis/{group}" if path["group"] else "/api"
        headers = {"Accept": _JSON, **({"Content-Type": content_type} if body is not None else {})}
        request = await self._client.param_serialize(
            method=method, resource_path=root + where, path_params=path, header_params=headers, body=body,
            query_params=[(_QUERY[name], value) for name, value in named.items()], auth_settings=["BearerToken"],
        )  # fmt: skip
        answer = await self._client.call_api(*request, _preload_content=False, _request_timeout=request_timeout)
        return answer.response


def _named(path: tuple[Any, ...]) -> dict[str, str]:
    names = ("group", "version", "namespace", "plural", "name")
    return dict(zip(names, path, strict=False))
