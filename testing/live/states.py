"""HumanGovStates in one namespace of a real API server, as a user with kubectl sees and changes them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import yaml
from kubernetes.client.exceptions import ApiException

from testing.live.cluster import Cluster
from testing.live.waiting import wait_for

GROUP, VERSION, PLURAL = "humangov.io", "v1", "humangovstates"
FINALIZER = "humangov.io/cleanup"
Resource = dict[str, Any]


@dataclass(frozen=True)
class States:
    """The HumanGovStates of one namespace."""

    cluster: Cluster
    namespace: str

    def manifest(self, name: str, **spec: Any) -> Resource:
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "HumanGovState",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }

    def apply(self, *manifests: Resource) -> None:
        """As `kubectl apply --server-side --force-conflicts` does; fails if it is refused.

        Without kubectl, whose start takes longer than the request. What kubectl itself makes of a manifest:
        `kubectl_apply`, and `apply_refused`.
        """
        for one in manifests:
            metadata = one["metadata"]
            try:
                self.cluster.api.patch_namespaced_custom_object(
                    GROUP, VERSION, metadata["namespace"], PLURAL, metadata["name"], one, field_manager="kubectl",
                    force=True, field_validation="Strict", _content_type="application/apply-patch+yaml",
                )  # fmt: skip
            except ApiException as error:
                raise AssertionError(f"{metadata['name']} is refused: {error.status} {error.body}") from error

    def kubectl_apply(self, *manifests: Resource) -> None:
        """`kubectl apply -f -`; fails if it is refused."""
        self.cluster.output("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def apply_refused(self, manifest: Resource, *flags: str) -> str:
        """What kubectl says when it refuses; fails if it does not."""
        done = self.cluster.kubectl("apply", *flags, "-f", "-", stdin=yaml.safe_dump(manifest))
        assert done.returncode != 0, f"not refused: {done.stdout}"
        return done.stderr

    def create(self, manifest: Resource) -> Resource:
        created: Resource = self.cluster.api.create_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, manifest
        )
        return created

    def replace(self, manifest: Resource) -> Resource:
        """All of it, at the resourceVersion that it names. Raises ApiException."""
        replaced: Resource = self.cluster.api.replace_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, manifest["metadata"]["name"], manifest
        )
        return replaced

    def get(self, name: str) -> Resource | None:
        try:
            found: Resource = self.cluster.api.get_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, name
            )
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return found

    def all(self) -> list[Resource]:
        answer: Mapping[str, Any] = self.cluster.api.list_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL
        )
        return list(answer["items"])

    def patch(self, name: str, patch: Mapping[str, Any]) -> Resource:
        """A merge patch, as `kubectl patch --type merge` sends it. Raises ApiException."""
        patched: Resource = self.cluster.api.patch_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, name, dict(patch), _content_type="application/merge-patch+json"
        )
        return patched

    def respec(self, name: str, **spec: Any) -> Resource:
        return self.patch(name, {"spec": spec})

    def annotate(self, name: str, **annotations: str) -> Resource:
        """`reconcile="1"` sets humangov.io/reconcile."""
        return self.patch(
            name, {"metadata": {"annotations": {f"{GROUP}/{key}": value for key, value in annotations.items()}}}
        )

    def approve(self, name: str, sha256: str) -> Resource:
        """An orphan list, as the condition's command does: signed."""
        return self.annotate(name, **{"approve-sweep": sha256, "approve-sweep-by": self.cluster.user})

    def delete(self, *names: str) -> None:
        """Ask for the deletion; does not wait for its end."""
        for name in names:
            self.cluster.api.delete_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name)

    def abandon(self) -> None:
        """Take every finalizer off: a namespace with a state whose operator no longer runs would stay for ever."""
        for one in self.all():
            if one["metadata"].get("finalizers"):
                with contextlib.suppress(ApiException):
                    self.patch(one["metadata"]["name"], {"metadata": {"finalizers": None}})

    def events(self, name: str) -> list[Resource]:
        """Events about this state, oldest first."""
        answer = self.cluster.api.list_namespaced_custom_object("events.k8s.io", "v1", self.namespace, "events")
        about = [event for event in answer["items"] if event["regarding"].get("name") == name]
        return sorted(about, key=lambda event: str(event["eventTime"]))

    def wait_ready(self, *names: str, seconds: float = 30.0) -> None:
        """Until each is Ready at its present generation."""
        for name in names:
            self._wait(partial(self._is_ready, name), name, what=f"{name} is Ready", seconds=seconds)

    def wait_all_ready(self, count: int, *, seconds: float) -> None:
        """Until `count` states are here and all are Ready; one list a look."""
        wait_for(
            lambda: len(found := self.all()) == count and all(map(is_ready, found)),
            what=f"all of {count} are Ready", seconds=seconds,
            seen=lambda: [brief(one) for one in self.all() if not is_ready(one)],
        )  # fmt: skip

    def wait_reason(self, name: str, reason: str, *, seconds: float = 30.0) -> Mapping[str, Any]:
        """Until Ready has this reason; the condition."""
        return wait_for(
            lambda: ready if (ready := condition(self.get(name), "Ready")).get("reason") == reason else {},
            what=f"{name} says {reason}", seconds=seconds, seen=lambda: brief(self.get(name)),
        )  # fmt: skip

    def wait_deleted(self, *names: str, seconds: float = 30.0) -> None:
        for name in names:
            self._wait(partial(self._is_deleted, name), name, what=f"{name} is deleted", seconds=seconds)

    def _is_ready(self, name: str) -> bool:
        return is_ready(self.get(name))

    def _is_deleted(self, name: str) -> bool:
        return self.get(name) is None

    def _wait(self, condition: Callable[[], bool], name: str, *, what: str, seconds: float) -> None:
        wait_for(condition, what=what, seconds=seconds, seen=lambda: brief(self.get(name)))

    def wait_none(self, *, seconds: float) -> None:
        wait_for(lambda: not self.all(), what="no state is left", seconds=seconds,
                 seen=lambda: [brief(one) for one in self.all()])  # fmt: skip

    def reconcile(self, name: str, value: str, *, seconds: float = 30.0) -> None:
        """Request a reconciliation by the annotation and wait until status says that it was made."""
        self.annotate(name, reconcile=value)
        wait_for(
            lambda: ((self.get(name) or {}).get("status") or {}).get("lastHandledReconcile") == value,
            what=f"the annotation's value {value} is echoed in the status of {name}", seconds=seconds,
        )  # fmt: skip


def condition(resource: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any]:
    """One condition by its type; empty if there is none."""
    found: Sequence[Mapping[str, Any]] = ((resource or {}).get("status") or {}).get("conditions") or ()
    return next((one for one in found if one["type"] == kind), {})


def is_ready(resource: Mapping[str, Any] | None) -> bool:
    ready = condition(resource, "Ready")
    return (
        resource is not None
        and ready.get("status") == "True"
        and ready.get("observedGeneration") == resource["metadata"]["generation"]
    )


def brief(resource: Mapping[str, Any] | None) -> str:
    """A resource in a line, for messages of failed tests."""
    if resource is None:
        return "absent"
    ready = condition(resource, "Ready")
    going = " being deleted" if resource["metadata"].get("deletionTimestamp") else ""
    return f"{resource['metadata']['name']}{going}: {ready.get('status')} {ready.get('reason')}: {ready.get('message')}"
