"""Events about an object, as `kubectl describe` shows them."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime

from humangov.api.conditions import Event
from humangov.api.spec import GROUP, KIND, VERSION
from humangov.api.times import micro_time
from humangov.kube.client import Client, Resource, described
from humangov.kube.custom_objects import CustomObjectsApi

_NOTE_LIMIT_BYTES = 1024  # the API's
_NOTE_END_BYTES = 680  # of a note that is cut: what to do stands at a message's end
_CUT = " … "
_INSTANCE_LIMIT = 128  # the API's


class Events(Client):
    """Events of what this process does, under its identity. Belongs to one event loop."""

    async def post_event(self, resource: Resource, event: Event) -> None:
        """Tell people of a transition of an object. One that does not say its kind is a HumanGovState.

        Raises KubeError.
        """
        metadata = resource["metadata"]
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{time.time_ns():x}{secrets.token_hex(2)}",
                "namespace": metadata["namespace"],
            },
            "eventTime": micro_time(datetime.now(UTC)),
            "type": event.kind,
            "reason": event.reason,
            "action": "Reconcile",
            "note": within_limit(event.message),
            "regarding": {
                "apiVersion": resource.get("apiVersion", f"{GROUP}/{VERSION}"),
                "kind": resource.get("kind", KIND),
                **{name: metadata[name] for name in ("namespace", "name", "uid") if name in metadata},
            },
            "reportingController": f"{GROUP}/operator",
            "reportingInstance": self._identity[:_INSTANCE_LIMIT],
        }
        await self._call(
            f"posting an event for {described(resource)}", CustomObjectsApi.create_namespaced_custom_object,
            "events.k8s.io", "v1", metadata["namespace"], "events", body, writes=True,
        )  # fmt: skip


def within_limit(message: str) -> str:
    """As long as the API takes, without its middle if need be: the end has the command that settles the matter."""
    given = message.encode()
    if len(given) <= _NOTE_LIMIT_BYTES:
        return message
    begin = given[: _NOTE_LIMIT_BYTES - _NOTE_END_BYTES - len(_CUT.encode())].decode(errors="ignore")
    end = given[-_NOTE_END_BYTES:].decode(errors="ignore")
    return f"{begin.rpartition(' ')[0] or begin}{_CUT}{end.partition(' ')[2] or end}"
