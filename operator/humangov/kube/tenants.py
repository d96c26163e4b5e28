"""HumanGovStates in the API server: listed, read, checked; and what the operator writes: finalizer and status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from humangov.api.spec import FINALIZER, GROUP, KIND, PLURAL, VERSION
from humangov.kube.answers import raise_for_status
from humangov.kube.client import FIELD_MANAGER, Client, Resource, described
from humangov.kube.custom_objects import CustomObjectsApi
from humangov.kube.kept import kept


class Tenants(Client):
    """HumanGovStates. Belongs to one event loop."""

    async def list_resources(self, namespaces: Sequence[str]) -> list[Resource]:
        """Every HumanGovState of these namespaces, or of all if none are named, with what is kept of it (kept.py).

        Raises KubeError.
        """
        found: list[Resource] = []
        for namespace in namespaces or (None,):
            what = f"listing {PLURAL} in {namespace or 'all namespaces'}"
            async for item in self._listed(what, _list, namespace):
                found.append(kept({"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, **item}))
        return found

    async def require_watch(self, namespaces: Sequence[str]) -> None:
        """Open a watch of these namespaces, or of all if none are named, and close it: may it be? Raises KubeError."""
        for namespace in namespaces or (None,):
            await self._call(f"opening a watch of {PLURAL} in {namespace or 'all namespaces'}", _watch, namespace)

    async def read(self, resource: Resource) -> Resource | None:
        """The resource as the API server has it now: of this namespace, name, and, if it has one, UID.

        None if it does not exist, another has its name, or there is no definition of its kind. Raises KubeError.
        """
        found = await self._call(
            f"reading {described(resource)}",
            CustomObjectsApi.get_namespaced_custom_object,
            *_path(resource),
            none_if=404,
        )
        uid = resource["metadata"].get("uid")
        if found is None or (uid is not None and found["metadata"]["uid"] != uid):
            return None
        return dict(found)

    async def dry_run(self, manifest: Resource) -> Resource:
        """The manifest as the API server would store it: checked, and with defaults. Raises KubeError."""
        found: Resource = await self._call(f"checking {described(manifest)}", _dry_run, manifest)
        return found

    async def set_finalizer(self, resource: Resource, *, present: bool) -> Resource | None:
        """Put our finalizer on, or take it off; the resource as it is then, None if that was its end.

        Raises KubeError (409: somebody changed the resource meanwhile).
        """
        others = [name for name in resource["metadata"].get("finalizers") or () if name != FINALIZER]
        metadata = {
            "finalizers": [*others, FINALIZER] if present else others,
            # Without it a finalizer that somebody added meanwhile would be lost.
            "resourceVersion": resource["metadata"]["resourceVersion"],
            "uid": resource["metadata"]["uid"],
        }
        answer = await self._call(
            f"{'adding the finalizer to' if present else 'removing the finalizer from'} {described(resource)}",
            CustomObjectsApi.patch_namespaced_custom_object, *_path(resource), {"metadata": metadata},
            writes=True, none_if=None if present else 404,
            field_manager=FIELD_MANAGER, _content_type="application/merge-patch+json",
        )  # fmt: skip
        return dict(answer) if answer is not None else None

    async def apply_status(
        self, resource: Resource, status: Mapping[str, Any], *, field_manager: str = FIELD_MANAGER
    ) -> Resource:
        """Write the whole of the status that is the field manager's, by server-side apply. Raises KubeError."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": resource["metadata"]["name"], "uid": resource["metadata"]["uid"]},
            "status": status,
        }
        answer = await self._call(
            f"writing the status of {described(resource)}",
            CustomObjectsApi.patch_namespaced_custom_object_status, *_path(resource), body,
            writes=True, field_manager=field_manager, force=True, _content_type="application/apply-patch+yaml",
        )  # fmt: skip
        return dict(answer)

    async def annotate(
        self, resource: Resource, annotations: Mapping[str, str], *, field_manager: str
    ) -> None:  # fmt: skip
        """Write all of the annotations that are the field manager's, by server-side apply.

        Neither Argo CD nor Flux undoes what another manager has applied. Raises KubeError.
        """
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            # The UID, else an apply would make what was deleted meanwhile.
            "metadata": {**_only(resource, "name", "uid"), "annotations": dict(annotations)},
        }
        await self._call(
            f"annotating {described(resource)}", CustomObjectsApi.patch_namespaced_custom_object, *_path(resource),
            body, writes=True, field_manager=field_manager, force=True, _content_type="application/apply-patch+yaml",
        )  # fmt: skip

    async def remove_annotation(
        self, resource: Resource, name: str, *, beside: Mapping[str, str], field_manager: str
    ) -> None:
        """Whoever wrote it. beside: annotations that are written at once. Raises KubeError."""
        body = {"metadata": {**_only(resource, "uid"), "annotations": {**beside, name: None}}}
        await self._call(
            f"removing an annotation of {described(resource)}", CustomObjectsApi.patch_namespaced_custom_object,
            *_path(resource), body, writes=True, field_manager=field_manager,
            _content_type="application/merge-patch+json",
        )  # fmt: skip


def by_name(namespace: str, name: str) -> Resource:
    """What of a HumanGovState is known where only its name is: enough to `read` it."""
    return {"metadata": {"namespace": namespace, "name": name}}


async def _list(api: Any, namespace: str | None, **named: Any) -> Any:
    if namespace is None:
        return await api.list_cluster_custom_object(GROUP, VERSION, PLURAL, **named)
    return await api.list_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, **named)


async def _watch(api: Any, namespace: str | None, **named: Any) -> None:
    """Until it is open."""
    more = {"watch": True, "timeout_seconds": 1, **named}
    if namespace is None:
        answer = await api.list_cluster_custom_object_without_preload_content(GROUP, VERSION, PLURAL, **more)
    else:
        answer = await api.list_namespaced_custom_object_without_preload_content(
            GROUP, VERSION, namespace, PLURAL, **more
        )
    await raise_for_status(answer)
    answer.close()


async def _dry_run(api: Any, manifest: Resource, **named: Any) -> Resource:
    found: Resource = await api.patch_namespaced_custom_object(
        *_path(manifest), dict(manifest), dry_run="All", field_manager=f"{FIELD_MANAGER}-plan",
        field_validation="Strict", force=True, _content_type="application/apply-patch+yaml", **named,
    )  # fmt: skip
    return found


def _only(resource: Resource, *fields: str) -> dict[str, Any]:
    return {field: resource["metadata"][field] for field in fields}


def _path(resource: Resource) -> tuple[str, str, str, str, str]:
    return GROUP, VERSION, resource["metadata"]["namespace"], PLURAL, resource["metadata"]["name"]
