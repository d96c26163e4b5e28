"""A sweep of a HumanGovState of the cluster: what stands against it there, what stops it, and its status."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from humangov.api.allowed_names import AllowedNames
from humangov.api.conflicts import refusal
from humangov.api.spec import InvalidSpecError, Tenant, parse
from humangov.aws.data_plane import names_as_swept
from humangov.kube.client import KubeError
from humangov.kube.tenant_in_cluster import TenantGoneError, TenantInCluster
from humangov.sweep.result import RUNNING, SweepResult
from humangov.sweep.run import EndedSweep, NotNowError, SweepRequest, begin_sweep, require_sweepable, run_sweep
from humangov.sweep.status import status_fields
from humangov.sweep.stop import StopSwitch

FIELD_MANAGER = "humangov-sweep"


def sweep_tenant_in_cluster(
    cluster: TenantInCluster,
    options: SweepRequest,
    *,
    default_region: str | None,
    cluster_name: str | None,
    allowed: AllowedNames | None,
    namespaces: Sequence[str],
    report_status: bool,
) -> EndedSweep:
    """Sweep a tenant of the cluster; its status tells of it if `report_status`.

    allowed: what the operator's --allowed-names say; None: not known here, so only what is older is looked for.
    namespaces: where to look for it. Raises NotNowError, UnknownTenantError, InvalidSpecError, KubeError.
    """
    try:
        resource = cluster.read()
    except TenantGoneError as error:
        raise NotNowError(str(error)) from error
    names = names_as_swept(
        resource, default_region=default_region, cluster_name=cluster_name, cluster_uid=cluster.cluster_uid
    )  # fmt: skip
    require_sweepable(names.tenant)
    _require_allowed(names.tenant, cluster, allowed=allowed, namespaces=namespaces, default_region=default_region)
    begun = begin_sweep(names.tenant, options)
    before = dict((resource.get("status") or {}).get("sweep") or {})

    def report(result: SweepResult, *, word: str, trouble: str | None, note: str | None, now: datetime) -> None:
        if report_status and not options.dry_run:
            fields = status_fields(result, names, word=word, trouble=trouble, now=now, before=before)
            noted = {"message": f"{fields['message']}; {note}"} if note else {}
            cluster.apply_status(resource, {"sweep": fields | noted}, manager=FIELD_MANAGER)

    report(begun.result, word=RUNNING, trouble=None, note=None, now=datetime.now(UTC))
    followed = names.tenant.sweep.mode if options.mode is None else None
    switch = StopSwitch(cluster, interrupted=options.interrupted, mode=followed)
    ended = run_sweep(names, begun, options, why_stop=switch.cached, may_erase=switch.fresh)
    report(ended.result, word=ended.word, trouble=ended.trouble, note=ended.note, now=ended.ended)
    return ended


def _require_allowed(
    tenant: Tenant,
    cluster: TenantInCluster,
    *,
    allowed: AllowedNames | None,
    namespaces: Sequence[str],
    default_region: str | None,
) -> None:
    """Raises NotNowError where the tenant may not name what it names, or an older one names the same; KubeError."""
    others = []
    try:
        for other in cluster.others(namespaces):
            with suppress(InvalidSpecError):
                others.append(parse(other, default_region=default_region or tenant.region))
    except KubeError as error:
        # A person may be allowed to see one namespace alone. The claim in the bucket stands for all clusters.
        if allowed is not None or error.status != 403:
            raise
    namespaces_of_all = {one.namespace for one in (*others, tenant)}
    anything = {one: AllowedNames.only(one).namespaces[one] for one in namespaces_of_all}
    found = refusal(tenant, allowed=allowed or AllowedNames(anything), others=others)
    if found:
        raise NotNowError(found.message)
