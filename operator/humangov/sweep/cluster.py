"""Sweeps a HumanGovState in the cluster: allowed names and conflicts, the stop switch, and its status."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from humangov.api.allowed_names import AllowedNames
from humangov.api.conflicts import refusal
from humangov.api.spec import InvalidSpecError, Tenant, parse
from humangov.api.stop import why_stopped
from humangov.aws.data_plane import names_as_swept
from humangov.kube.client import KubeError
from humangov.kube.stop_switch import StopSwitch
from humangov.kube.tenant_in_cluster import TenantInCluster, TenantNotFoundError
from humangov.sweep.result import RUNNING, SweepResult
from humangov.sweep.run import EndedSweep, NotNowError, SweepRequest, begin_sweep, require_sweepable, run_sweep
from humangov.sweep.status import status_fields

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
    """Sweep a tenant in the cluster, and write the result to its status if `report_status`.

    allowed: the operator's allowed names; None: unknown, so only conflicts with older HumanGovStates are checked.
    namespaces: where to search for them. Raises NotNowError, UnknownTenantError, InvalidSpecError, KubeError.
    """
    try:
        resource = cluster.read()
    except TenantNotFoundError as error:
        raise NotNowError(str(error)) from error
    names = names_as_swept(
        resource, default_region=default_region, cluster_name=cluster_name, cluster_uid=cluster.cluster_uid
    )  # fmt: skip
    require_sweepable(names.tenant)
    if stopped := why_stopped(resource, of_all=cluster.stop_of_all()):
        raise NotNowError(f"{names.tenant.key}: no sweep runs: {stopped}")
    _require_allowed(names.tenant, cluster, allowed=allowed, namespaces=namespaces, default_region=default_region)
    begun = begin_sweep(names.tenant, options)
    before = dict((resource.get("status") or {}).get("sweep") or {})

    def report(result: SweepResult, *, word: str, problem: str | None, note: str | None, now: datetime) -> None:
        if report_status and not options.dry_run:
            fields = status_fields(result, names, word=word, problem=problem, now=now, before=before)
            noted = {"message": f"{fields['message']}; {note}"} if note else {}
            cluster.apply_status(resource, {"sweep": fields | noted}, manager=FIELD_MANAGER)

    report(begun.result, word=RUNNING, problem=None, note=None, now=datetime.now(UTC))
    followed = names.tenant.sweep.mode if options.mode is None else None
    switch = StopSwitch(cluster, interrupted=options.interrupted, also=partial(_reason_to_stop, mode=followed))
    ended = run_sweep(names, begun, options, why_stop=switch.reading, may_erase=switch.erasing)
    try:
        report(ended.result, word=ended.word, problem=ended.problem, note=ended.note, now=ended.ended)
    except KubeError as error:  # what was erased is told all the same
        return replace(ended, unreported=f"the result could not be written to the HumanGovState's status: {error}")
    return ended


def _reason_to_stop(tenant: Tenant, *, mode: str | None) -> str | None:
    """mode: the sweep stops unless spec.sweep.mode is still this; None: any mode."""
    if tenant.deleting:
        return "the HumanGovState is being deleted"
    return None if mode in (None, tenant.sweep.mode) else f"spec.sweep.mode was set to {tenant.sweep.mode}"


def _require_allowed(
    tenant: Tenant,
    cluster: TenantInCluster,
    *,
    allowed: AllowedNames | None,
    namespaces: Sequence[str],
    default_region: str | None,
) -> None:
    """Raises NotNowError if a name is not allowed or conflicts with an older HumanGovState; KubeError."""
    others = []
    try:
        for other in cluster.others(namespaces):
            with suppress(InvalidSpecError):
                others.append(parse(other, default_region=default_region or tenant.region))
    except KubeError as error:
        # A person may have permissions for one namespace only. The claim in the bucket covers all clusters.
        if allowed is not None or error.status != 403:
            raise
    namespaces_of_all = {one.namespace for one in (*others, tenant)}
    anything = {one: AllowedNames.only(one).namespaces[one] for one in namespaces_of_all}
    found = refusal(tenant, allowed=allowed or AllowedNames(anything), others=others)
    if found:
        raise NotNowError(found.message)
