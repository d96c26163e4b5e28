"""The final stream read for a HumanGovState that is being deleted: its streams, failed invocations, and status."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from humangov.api.counts import counted
from humangov.api.names import Names
from humangov.api.times import timestamp
from humangov.aws.data_plane import AwsClients, connect_as_sweep, names_as_swept
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.cleanup.calls import NoReceiptError
from humangov.final_read.final_read import FinalRead, read_stream
from humangov.kube.stop_switch import StopSwitch
from humangov.kube.tenant_in_cluster import TenantInCluster
from humangov.redrive import mappings, output
from humangov.redrive.redrive import RefusedError, Surroundings, redrive, refuse
from humangov.redrive.result import RedriveResult

FIELD_MANAGER = "humangov-sweep-end"
REDRIVE_WITHIN_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class FinalHandling:
    """The final stream read, and the redrive after it. names: for what people are told.

    unrecorded: why the mappings could not be recorded; None: they are.
    """

    names: Names
    read: FinalRead = field(default_factory=FinalRead)
    redriven: RedriveResult = field(default_factory=RedriveResult)
    unrecorded: str | None = None

    @property
    def complete(self) -> bool:
        return self.read.complete and not self.redriven.left and self.redriven.counted


def handle_finally_in_cluster(
    cluster: TenantInCluster,
    *,
    default_region: str | None,
    cluster_name: str | None,
    report_status: bool,
    stop: Callable[[], bool],
) -> FinalHandling:
    """Reads the streams of a tenant in the cluster once more, and redrives; the result is in its status if wanted.

    Raises TenantNotFoundError, UnknownTenantError, InvalidSpecError, KubeError, and what the SDK raises if the role
    can't be assumed.
    """
    resource = cluster.read()
    names = names_as_swept(
        resource, default_region=default_region, cluster_name=cluster_name, cluster_uid=cluster.cluster_uid
    )  # fmt: skip
    switch = StopSwitch(cluster, interrupted=lambda: "a signal" if stop() else None)
    found = handle_finally(connect_as_sweep(names), names, stop=stop, may_erase=switch.erasing)
    if report_status:
        fields = status_fields(found, now=datetime.now(UTC))
        cluster.apply_status(resource, {"finalRead": fields}, manager=FIELD_MANAGER)
    return found


def handle_finally(
    clients: AwsClients,
    names: Names,
    *,
    stop: Callable[[], bool] = lambda: False,
    may_erase: Callable[[], str | None] = lambda: None,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
) -> FinalHandling:
    """Records the mappings first: whatever fails or is killed then, their failed invocations can be redriven later.

    It raises nothing of AWS: what went wrong is in the result.
    """
    unrecorded = None
    try:
        mappings.record(clients.patient_s3, names, names.tenant.mappings)
    except SDK_ERRORS as error:
        unrecorded = without_names(error)
    try:
        refuse(names.tenant)
        read = read_stream(clients, names, may_erase=may_erase, stop=stop, now=now, pause=pause)
        may_redrive = True
    except RefusedError as error:
        read, may_redrive = FinalRead(problem=str(error)), False
    ends_at = now() + REDRIVE_WITHIN_SECONDS
    around = Surroundings(stop=lambda: stop() or now() >= ends_at, may_erase=may_erase, now=now, pause=pause)
    redriven = _redriven(clients, names, around, dry_run=not may_redrive)
    return FinalHandling(names=names, read=read, redriven=redriven, unrecorded=unrecorded)


def _redriven(clients: AwsClients, names: Names, around: Surroundings, *, dry_run: bool) -> RedriveResult:
    try:
        result = redrive(clients, names, dry_run=dry_run, around=around)
    except (NoReceiptError, *SDK_ERRORS) as error:
        return RedriveResult(problem=without_names(error))
    try:
        # No mapping of a deleted trigger writes any more: what has none left is not needed.
        recorded = mappings.recorded(clients.patient_s3, names).by_uuid
        mappings.forget_handled(clients.patient_s3, names, recorded)
    except SDK_ERRORS as error:
        return replace(result, problem=result.problem or without_names(error))
    return result


def status_fields(found: FinalHandling, *, now: datetime) -> dict[str, Any]:
    """status.finalRead. now: in UTC."""
    read = found.read
    return {
        "at": timestamp(now),
        "records": read.records,
        "erased": read.erased,
        "failed": read.failed,
        "notHandled": -1 if read.unread or read.open or read.problem else read.unhandled,
        "failedInvocations": found.redriven.left if found.redriven.counted else -1,
        "complete": read.complete,
        "message": _message(found),
    }


def _message(found: FinalHandling) -> str:
    read = found.read
    parts = [f"final stream read: {counted(read.records, 'record')} read, {counted(read.erased, 'file')} erased"]
    parts += [f"{counted(read.failed, 'record')} failed"] if read.failed else []
    parts += (
        [f"{counted(read.malformed, 'malformed record was', plural='malformed records were')} skipped"]
        if read.malformed
        else []
    )
    parts += (
        [f"{counted(read.unresolved, 'record has', plural='records have')} an unresolved file name"]
        if read.unresolved
        else []
    )
    parts += [f"{counted(read.unhandled, 'record was', plural='records were')} not handled"] if read.unhandled else []
    parts += [f"it ended early: {read.problem}"] if read.problem else []
    if read.unread:
        reasons = ", ".join(f"{reason}: {number:,}" for reason, number in sorted(read.unread.items()))
        parts.append(f"shards that were not read to their end, by reason: {reasons}")
    if read.open:
        parts.append(
            "the stream was read up to the present; it may have later records, because it stays enabled: someone "
            "else enabled it, or reads it"
        )
    return "; ".join([*parts, *_of_failed_invocations(found)])


def _of_failed_invocations(found: FinalHandling) -> list[str]:
    redriven, tenant = found.redriven, found.names.tenant
    if redriven.counted and not redriven.own and not redriven.left:
        return []
    sentences = [output.summary(redriven)]
    sentences += ["stopped before all failed invocations were counted"] if redriven.stopped else []
    if redriven.left or not redriven.counted:
        sentences.append(
            f"what is left is under aws/lambda/ in bucket {tenant.failures.bucket}, and files of deleted records may "
            "still exist. Keep the manifest and run: humangov redrive --filename MANIFEST --cluster-name "
            f"{found.names.identity.cluster}{_mapping_options(found)}"
        )
    return sentences


def _mapping_options(found: FinalHandling) -> str:
    """Only where the bucket does not tell them later."""
    if found.unrecorded is None:
        return ""
    options = "".join(f" --mapping {uuid}" for uuid in found.names.tenant.mappings)
    return f"{options} (the mappings could not be recorded: {found.unrecorded})"
