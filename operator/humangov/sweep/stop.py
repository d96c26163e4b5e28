"""Whether a sweep may continue: the HumanGovState or the caller can stop it."""

from __future__ import annotations

import time
from collections.abc import Callable

from humangov.api.spec import STOP_ANNOTATION, InvalidSpecError, parse
from humangov.kube.client import KubeError, Resource
from humangov.kube.tenant_in_cluster import TenantInCluster, TenantNotFoundError

_READ_EVERY_SECONDS = 5.0


class StopSwitch:
    """Reads the HumanGovState, at most every few seconds where that is enough. Returns the reason to stop, or None.

    interrupted: the caller's reason to stop, or None. mode: spec.sweep.mode at the start, if the sweep uses it; None
    if the caller chose the mode.
    """

    def __init__(
        self, cluster: TenantInCluster, *, interrupted: Callable[[], str | None], mode: str | None
    ) -> None:  # fmt: skip
        self._cluster, self._interrupted, self._mode = cluster, interrupted, mode
        self._read_at = time.monotonic()

    def cached(self) -> str | None:
        """At most a few seconds old: for reads, which continue while the API server does not respond."""
        if reason := self._interrupted():
            return reason
        if time.monotonic() - self._read_at < _READ_EVERY_SECONDS:
            return None
        self._read_at = time.monotonic()
        try:
            return self._read()
        except KubeError:
            return None

    def fresh(self) -> str | None:
        """The current state, before files are erased. A failed read stops the sweep."""
        if reason := self._interrupted():
            return reason
        try:
            return self._read()
        except KubeError as error:
            return f"the HumanGovState could not be read, so it is unknown whether the sweep may continue: {error}"

    def _read(self) -> str | None:
        try:
            return reason_to_stop(self._cluster.read(), mode=self._mode)
        except TenantNotFoundError as error:
            return str(error)


def reason_to_stop(resource: Resource, *, mode: str | None) -> str | None:
    """mode: the sweep stops unless spec.sweep.mode is still this; None: any mode."""
    try:
        tenant = parse(resource, default_region="us-east-1")
    except InvalidSpecError as error:
        return str(error)
    if tenant.deleting:
        return "the HumanGovState is being deleted"
    if tenant.suspend:
        return "spec.suspend was set to true"
    if not tenant.trigger.enabled:
        return "spec.trigger.enabled was set to false"
    if tenant.annotations.get(STOP_ANNOTATION):
        return f"annotation {STOP_ANNOTATION} was set"
    if mode not in (None, tenant.sweep.mode):
        return f"spec.sweep.mode was set to {tenant.sweep.mode}"
    return None
