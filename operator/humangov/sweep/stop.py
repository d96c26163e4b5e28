"""Whether a sweep may go on: the HumanGovState says so, and whoever runs the sweep."""

from __future__ import annotations

import time
from collections.abc import Callable

from humangov.api.spec import STOP_ANNOTATION, InvalidSpecError, parse
from humangov.kube.client import KubeError, Resource
from humangov.kube.tenant_in_cluster import TenantGoneError, TenantInCluster

_ASKED_EVERY_SECONDS = 5.0


class StopSwitch:
    """Asks the API server at most every few seconds where that is soon enough. Each answer is the reason, or None.

    interrupted: the reason of whoever runs the sweep. mode: spec.sweep.mode as it was at the start, where the sweep
    follows it; None where the caller has chosen another.
    """

    def __init__(
        self, cluster: TenantInCluster, *, interrupted: Callable[[], str | None], mode: str | None
    ) -> None:  # fmt: skip
        self._cluster, self._interrupted, self._mode = cluster, interrupted, mode
        self._asked_at = time.monotonic()

    def cached(self) -> str | None:
        """At most a few seconds old: for the reading, where a silent API server is no reason to end."""
        if reason := self._interrupted():
            return reason
        if time.monotonic() - self._asked_at < _ASKED_EVERY_SECONDS:
            return None
        self._asked_at = time.monotonic()
        try:
            return self._ask()
        except KubeError:
            return None

    def fresh(self) -> str | None:
        """As it is now: before files go. What can't be read stops it."""
        if reason := self._interrupted():
            return reason
        try:
            return self._ask()
        except KubeError as error:
            return f"whether it may go on can't be told: {error}"

    def _ask(self) -> str | None:
        try:
            return reason_to_stop(self._cluster.read(), mode=self._mode)
        except TenantGoneError as error:
            return str(error)


def reason_to_stop(resource: Resource, *, mode: str | None) -> str | None:
    """mode: what spec.sweep.mode has to be yet; None: whatever it is."""
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
