"""Whether a run that may erase files may go on: the HumanGovState, the stop of all, and the caller say so."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from humangov.api.spec import InvalidSpecError, Tenant, parse
from humangov.api.stop import why_not_erase, why_stopped
from humangov.kube.client import KubeError, Resource
from humangov.kube.tenant_in_cluster import TenantInCluster, TenantNotFoundError

_READ_EVERY_SECONDS = 2.0


class StopSwitch:
    """Reads the HumanGovState and the stop of all, at most every two seconds. Returns the reason to stop, or None.

    interrupted: the caller's reason to stop, or None. also: what else of the tenant is a reason. One that is asked
    from several threads may read twice.
    """

    def __init__(
        self,
        cluster: TenantInCluster,
        *,
        interrupted: Callable[[], str | None],
        also: Callable[[Tenant], str | None] = lambda _tenant: None,
    ) -> None:
        self._cluster, self._interrupted, self._also = cluster, interrupted, also
        self._read_at = -math.inf
        self._resource: Resource | None = None
        self._reason: str | None = None  # to stop anything
        self._unread: str | None = None

    def reading(self) -> str | None:
        """For what only reads: it goes on while the API server does not respond."""
        return self._interrupted() or self._last() or None

    def erasing(self) -> str | None:
        """Before a file is erased: a failed read is a reason, and so are a legal hold and a disabled trigger."""
        return self._interrupted() or self._last() or self._unread or _declared_off(self._resource)

    def _last(self) -> str | None:
        if time.monotonic() - self._read_at >= _READ_EVERY_SECONDS:
            self._read()
            self._read_at = time.monotonic()
        return self._reason

    def _read(self) -> None:
        self._unread = None
        try:
            self._resource = self._cluster.read()
            self._reason = reason_to_stop(
                self._resource, why_stopped(self._resource, of_all=self._cluster.stop_of_all()), also=self._also
            )
        except TenantNotFoundError as error:
            self._reason = str(error)
        except KubeError as error:
            self._unread = f"whether the HumanGovState is stopped could not be read, so nothing is erased: {error}"


def reason_to_stop(resource: Resource, stopped: str | None, *, also: Callable[[Tenant], str | None]) -> str | None:
    """stopped: `why_stopped`."""
    if stopped:
        return stopped
    try:
        tenant = parse(resource, default_region="us-east-1")
    except InvalidSpecError as error:
        return str(error)
    if tenant.suspend:
        return "spec.suspend is true"
    return also(tenant)


def _declared_off(resource: Resource | None) -> str | None:
    return why_not_erase(parse(resource, default_region="us-east-1")) if resource is not None else None
