"""CronJobs and Jobs, as a tenant's sweeps run by them."""

from __future__ import annotations

from humangov.kube.client import FIELD_MANAGER, Client, Resource
from humangov.kube.custom_objects import CustomObjectsApi

_BATCH = ("batch", "v1")


class Jobs(Client):
    """CronJobs and Jobs; `plural` says which. Belongs to one event loop."""

    async def get_object(self, plural: str, namespace: str, name: str) -> Resource | None:
        """A CronJob or Job; None if there is none. Raises KubeError."""
        found = await self._call(
            f"reading {plural} {namespace}/{name}", CustomObjectsApi.get_namespaced_custom_object,
            *_BATCH, namespace, plural, name, none_if=404,
        )  # fmt: skip
        return dict(found) if found is not None else None

    async def list_jobs(self, namespace: str, label_selector: str) -> list[Resource]:
        """Raises KubeError."""
        return await self._list("jobs", namespace, label_selector)

    async def list_cron_jobs(self, namespace: str, label_selector: str) -> list[Resource]:
        """Raises KubeError."""
        return await self._list("cronjobs", namespace, label_selector)

    async def _list(self, plural: str, namespace: str, label_selector: str) -> list[Resource]:
        pages = self._listed(
            f"listing {plural} in {namespace}", CustomObjectsApi.list_namespaced_custom_object,
            *_BATCH, namespace, plural, label_selector=label_selector,
        )  # fmt: skip
        return [one async for one in pages]

    async def replace_object(self, plural: str, found: Resource, desired: Resource) -> None:
        """Correct a CronJob: its whole spec, and our labels and annotations. Raises KubeError.

        An apply would leave in the spec's lists what others have put there, and what the operator created it with.
        """
        namespace, name = desired["metadata"]["namespace"], desired["metadata"]["name"]
        changes = [{"op": "test", "path": "/metadata/uid", "value": found["metadata"]["uid"]}]
        for field in ("labels", "annotations"):
            merged = {**(found["metadata"].get(field) or {}), **desired["metadata"][field]}
            changes.append({"op": "add", "path": f"/metadata/{field}", "value": merged})
        changes.append({"op": "replace", "path": "/spec", "value": desired["spec"]})
        await self._call(
            f"writing {plural} {namespace}/{name}", CustomObjectsApi.patch_namespaced_custom_object,
            *_BATCH, namespace, plural, name, changes,
            writes=True, field_manager=FIELD_MANAGER, _content_type="application/json-patch+json",
        )  # fmt: skip

    async def start_job(self, job: Resource) -> None:
        """End the suspension of a Job, unless it has ended already. Raises KubeError."""
        await self._patch_job(
            job, {"op": "test", "path": "/spec/suspend", "value": True},
            {"op": "replace", "path": "/spec/suspend", "value": False},
        )  # fmt: skip

    async def remove_job_label(self, job: Resource, label: str) -> None:
        """Raises KubeError."""
        await self._patch_job(job, {"op": "remove", "path": f"/metadata/labels/{label.replace('/', '~1')}"})

    async def _patch_job(self, job: Resource, *changes: Resource) -> None:
        """Changes of this very Job. Raises KubeError."""
        metadata = job["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        same = {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]}
        await self._call(
            f"writing jobs {namespace}/{name}", CustomObjectsApi.patch_namespaced_custom_object,
            *_BATCH, namespace, "jobs", name, [same, *changes],
            writes=True, field_manager=FIELD_MANAGER, _content_type="application/json-patch+json",
        )  # fmt: skip

    async def create_object(self, plural: str, document: Resource) -> None:
        """Make a CronJob or Job; success if it already exists. Raises KubeError."""
        namespace, name = document["metadata"]["namespace"], document["metadata"]["name"]
        await self._call(
            f"creating {plural} {namespace}/{name}", CustomObjectsApi.create_namespaced_custom_object,
            *_BATCH, namespace, plural, dict(document), writes=True, none_if=409, field_manager=FIELD_MANAGER,
        )  # fmt: skip

    async def delete_object(self, plural: str, namespace: str, name: str) -> None:
        """Remove a CronJob or Job, and then its pods; success if it does not exist. Raises KubeError."""
        await self._call(
            f"deleting {plural} {namespace}/{name}", CustomObjectsApi.delete_namespaced_custom_object,
            *_BATCH, namespace, plural, name, writes=True, none_if=404, propagation_policy="Background",
        )  # fmt: skip
