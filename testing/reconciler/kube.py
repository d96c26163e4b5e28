"""An API server in memory: HumanGovStates, events, CronJobs and Jobs, and one counter of versions for all.

In place of `humangov.kube`'s client and the API server behind it, as far as a reconcile can tell: uid, generation,
resourceVersion and its conflicts, finalizers, a deletion that waits for them. It cannot show validation by
the definition, admission, watches or field ownership: tests/cluster and tests/e2e do.
"""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from humangov.api.conditions import Event
from humangov.api.spec import FINALIZER
from humangov.api.times import timestamp
from humangov.kube.client import KubeError, Resource
from humangov.reconcile.cache import key_of

from testing import kstatus
from testing.reconciler.line import Call, Line

Document = TypeVar("Document")


def copied(document: Document) -> Document:
    """A copy all the way down, in a fifth of the time that `copy.deepcopy` takes."""
    copy: Document = pickle.loads(pickle.dumps(document))  # noqa: S301
    return copy


class FakeKube:
    """An API server that keeps HumanGovStates, as far as a reconcile can tell (what `reconcile.context` asks of it)."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.batch: dict[tuple[str, str], dict[str, Any]] = {}  # CronJobs and Jobs: (plural, name)
        self.templates: dict[tuple[str, str], dict[str, Any]] = {}  # what the chart makes beside them
        self.events: list[Event] = []
        self.line: Line | None = None
        self._versions = itertools.count(1)

    # what people do

    def restore(self, backup: FakeKube) -> None:
        """Its objects. What is written from here on is newer than they are."""
        self.objects.update(backup.objects)
        self._versions = backup._versions

    def apply(self, manifest: Mapping[str, Any], *, created: datetime) -> str:
        resource = copied(dict(manifest))
        metadata = resource["metadata"]
        metadata |= {
            "uid": f"uid-{next(self._versions)}",
            "generation": 1,
            "creationTimestamp": timestamp(created),
            "finalizers": [],
        }
        self._store(resource)
        return key_of(resource)

    def edit(self, key: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the spec or annotations; a changed spec is a new generation."""
        resource = copied(self.objects[key])
        change(resource)
        if resource["spec"] != self.objects[key]["spec"]:
            resource["metadata"]["generation"] += 1
        self._store(resource)

    def delete(self, key: str, *, now: datetime) -> None:
        resource = copied(self.objects[key])
        if not resource["metadata"]["finalizers"]:
            del self.objects[key]
            return
        if "deletionTimestamp" not in resource["metadata"]:
            resource["metadata"]["deletionTimestamp"] = timestamp(now)
            resource["metadata"]["generation"] += 1  # as the API server does
        self._store(resource)

    # what the operator does

    async def read(self, resource: Resource) -> Resource | None:
        found: Resource | None = self._through("read", resource, lambda: self._current(resource), writes=False)
        return found

    async def set_finalizer(self, resource: Resource, *, present: bool) -> Resource | None:
        answer: Resource | None = self._through(
            "set_finalizer", resource, lambda: self._set_finalizer(resource, present=present), present=present
        )
        return answer

    async def apply_status(self, resource: Resource, status: Mapping[str, Any]) -> Resource:
        answer: Resource = self._through(
            "apply_status", resource, lambda: self._apply_status(resource, status), status=status
        )
        return answer

    async def post_event(self, resource: Resource, event: Event) -> None:
        self._through("post_event", resource, lambda: self.events.append(event), event=event)

    async def get_object(self, plural: str, namespace: str, name: str) -> Resource | None:
        found: Resource | None = self._asked(
            "get_object", lambda: copied((self.batch | self.templates).get((plural, name))), writes=False
        )
        return found

    async def list_jobs(self, namespace: str, label_selector: str) -> list[Resource]:
        wanted = dict(part.split("=") for part in label_selector.split(","))
        jobs = [job for (plural, _), job in self.batch.items() if plural == "jobs"]
        chosen = [job for job in jobs if wanted.items() <= job["metadata"]["labels"].items()]
        found: list[Resource] = self._asked("list_jobs", lambda: copied(chosen), writes=False)
        return found

    async def list_cron_jobs(self, namespace: str, label_selector: str) -> list[Resource]:
        [wanted] = [dict([part.split("=")]) for part in label_selector.split(",")]
        chosen = [one for one in self.templates.values() if wanted.items() <= one["metadata"].get("labels", {}).items()]
        found: list[Resource] = self._asked("list_cron_jobs", lambda: copied(chosen), writes=False)
        return found

    async def replace_object(self, plural: str, found: Resource, desired: Resource) -> None:
        self._asked(f"replace {plural}", lambda: self._keep(plural, desired))

    async def create_object(self, plural: str, document: Resource) -> None:
        if (plural, document["metadata"]["name"]) not in self.batch:
            self._asked(f"create {plural}", lambda: self._keep(plural, document))

    async def delete_object(self, plural: str, namespace: str, name: str) -> None:
        self._asked(f"delete {plural}", lambda: self.batch.pop((plural, name), None))

    def _keep(self, plural: str, document: Resource) -> None:
        kept, name = copied(dict(document)), document["metadata"]["name"]
        before = self.batch.get((plural, name), {"metadata": {}})
        kept["metadata"]["uid"] = before["metadata"].get("uid") or f"uid-{next(self._versions)}"
        self.batch[plural, name] = kept

    def _asked(self, name: str, do: Callable[[], Any], *, writes: bool = True) -> Any:
        assert self.line is not None
        return self.line.pass_through(Call(action=f"kube:{name}", parameters={}, writes=writes), do)

    def _set_finalizer(self, resource: Resource, *, present: bool) -> Resource | None:
        stored = self._current(resource)
        if stored is None:
            if present:
                raise KubeError("finalizer", status=404, reason="not found")
            return None
        if stored["metadata"]["resourceVersion"] != resource["metadata"]["resourceVersion"]:
            raise KubeError("finalizer", status=409, reason="the object has been modified")
        others = [name for name in stored["metadata"]["finalizers"] if name != FINALIZER]
        stored["metadata"]["finalizers"] = [*others, FINALIZER] if present else others
        if "deletionTimestamp" in stored["metadata"] and not stored["metadata"]["finalizers"]:
            del self.objects[key_of(resource)]
            return None
        return self._store(stored)

    def _apply_status(self, resource: Resource, status: Mapping[str, Any]) -> Resource:
        stored = self._current(resource)
        if stored is None:
            raise KubeError("status", status=404, reason="not found")
        before = stored.get("status") or {}
        of_sweeps = {name: before[name] for name in ("sweep", "finalRead") if name in before}
        if before != {**status, **of_sweeps}:
            stored["status"] = json.loads(json.dumps({**status, **of_sweeps}))
            broken = kstatus.problems(stored) + kstatus.moves(before, status)
            assert not broken, f"a status against kstatus's rules: {broken}: {status}"
            return self._store(stored)
        return stored

    def _current(self, resource: Resource) -> dict[str, Any] | None:
        stored = self.objects.get(key_of(resource))
        if stored is None or stored["metadata"]["uid"] != resource["metadata"]["uid"]:
            return None
        return copied(stored)

    def _store(self, resource: dict[str, Any]) -> dict[str, Any]:
        resource["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[key_of(resource)] = resource
        return copied(resource)

    def _through(
        self, name: str, resource: Resource, do: Callable[[], Any], *, writes: bool = True, **parameters: Any
    ) -> Any:
        assert self.line is not None
        return self.line.pass_through(Call(action=f"kube:{name}", parameters=parameters, writes=writes), do)
