"""One HumanGovState as the API server has it, for those who do not run in an event loop: usable from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from humangov.api.spec import KIND
from humangov.api.stop import STOP_CONFIG_MAP, Stop, stop_of_all
from humangov.kube.client import KubeError, Resource
from humangov.kube.config_maps import ConfigMaps
from humangov.kube.tenants import Tenants, by_name

OPERATOR_NAMESPACE = "humangov"
"""The chart's and the manifest's."""

_ANSWER_WITHIN_SECONDS = 30.0
T = TypeVar("T")


class TenantNotFoundError(Exception):
    """The HumanGovState does not exist, or another one has its name; the message says so."""


class TenantInCluster:
    """Asks in a thread of its own, as long as the context.

    uid: of the one that is meant; None: the first one seen. operator_namespace: where the stop of all is.
    """

    def __init__(
        self, *, namespace: str, name: str, uid: str | None, operator_namespace: str | None = None
    ) -> None:  # fmt: skip
        self._namespace, self._name, self._uid = namespace, name, uid
        self._operator_namespace = operator_namespace or OPERATOR_NAMESPACE
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubernetes", daemon=True)
        self._tenants, self._config_maps = Tenants(), ConfigMaps()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):
            self._wait(self._tenants.close())
            self._wait(self._config_maps.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_WITHIN_SECONDS)

    def read(self) -> Resource:
        """Raises TenantNotFoundError, KubeError."""
        found = self._wait(self._tenants.read(by_name(self._namespace, self._name)))
        if found is None:
            raise TenantNotFoundError(f"{KIND} {self._namespace}/{self._name} does not exist in this cluster")
        if self._uid is not None and found["metadata"]["uid"] != self._uid:
            raise TenantNotFoundError(
                f"{KIND} {self._namespace}/{self._name} was deleted and re-created in the meantime"
            )
        self._uid = str(found["metadata"]["uid"])
        return found

    def stop_of_all(self) -> Stop | None:
        """The stop of every HumanGovState. Raises KubeError."""
        return stop_of_all(self._wait(self._config_maps.read_config_map(self._operator_namespace, STOP_CONFIG_MAP)))

    def others(self, namespaces: Sequence[str]) -> list[Resource]:
        """Every HumanGovState of these namespaces, or of all if none are named. Raises KubeError."""
        return self._wait(self._tenants.list_resources(namespaces))

    def cluster_uid(self) -> str:
        """Raises KubeError."""
        return self._wait(self._tenants.cluster_uid())

    def apply_status(self, resource: Resource, fields: Mapping[str, Any], *, manager: str) -> None:
        """Fields of the status, beside those of other managers. Raises KubeError."""
        self._wait(self._tenants.apply_status(resource, fields, field_manager=manager))

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result(_ANSWER_WITHIN_SECONDS)
        except TimeoutError as error:
            future.cancel()
            raise KubeError("calling the API server", status=None, reason="no response within 30 s") from error
