"""The final stream read for a HumanGovState that is being deleted, and its status."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from humangov.api.times import timestamp
from humangov.aws.data_plane import connect_as_sweep, names_as_swept
from humangov.final_read.final_read import FinalRead, read_stream
from humangov.kube.stop_switch import StopSwitch
from humangov.kube.tenant_in_cluster import TenantInCluster
from humangov.redrive.redrive import RefusedError, refuse

FIELD_MANAGER = "humangov-sweep-end"


def read_stream_in_cluster(
    cluster: TenantInCluster,
    *,
    since: datetime,
    default_region: str | None,
    cluster_name: str | None,
    report_status: bool,
    stop: Callable[[], bool],
) -> FinalRead:
    """Reads the stream of a tenant in the cluster once more, and writes the result to its status if `report_status`.

    Raises RefusedError, TenantGoneError, UnknownTenantError, InvalidSpecError, KubeError, and as `read_stream` does.
    """
    resource = cluster.read()
    names = names_as_swept(
        resource, default_region=default_region, cluster_name=cluster_name, cluster_uid=cluster.cluster_uid
    )  # fmt: skip
    refuse(names.tenant)
    switch = StopSwitch(cluster, interrupted=lambda: "a signal" if stop() else None)
    if reason := switch.erasing():
        raise RefusedError(f"{names.tenant.key}: nothing was erased: {reason}")
    found = read_stream(connect_as_sweep(names), names, since=since, stop=lambda: switch.erasing() is not None)
    if report_status:
        fields = status_fields(found, now=datetime.now(UTC))
        cluster.apply_status(resource, {"finalRead": fields}, manager=FIELD_MANAGER)
    return found


def status_fields(found: FinalRead, *, now: datetime) -> dict[str, Any]:
    """status.finalRead. now: in UTC."""
    unread = f"; {found.unread:,} shards were not read completely" if found.unread else ""
    failed = f"; {found.failed:,} records failed" if found.failed else ""
    failed += f"; ended early, because receipts could not be stored: {found.unstored}" if found.unstored else ""
    return {
        "at": timestamp(now),
        "records": found.records,
        "erased": found.erased,
        "failed": found.failed,
        "notRead": -1 if found.unread else 0,
        "complete": found.complete,
        "message": f"final stream read: {found.records:,} records read, {found.erased:,} files erased{failed}{unread}",
    }
