"""Stream lag: whether records reach the functions in time, read every few minutes for all HumanGovStates at once.

A stream loses a record after 24 hours. The condition RecordsDelivered warns long before. It exists only where records
were once late: a settled tenant needs no status write.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from humangov.api.allowed_names import not_allowed
from humangov.api.conditions import RECORDS_DELIVERED, Finding, find_condition
from humangov.api.spec import Tenant
from humangov.api.times import duration, parse_time
from humangov.aws import stream_lag
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.aws.stream_lag import LagQuery, StreamLag
from humangov.reconcile import delivery, lost_records
from humangov.reconcile.context import Operator

logger = logging.getLogger(__name__)

_MINUTE, _HOUR = 60.0, 3600.0
WAITING_SECONDS = 30 * _MINUTE
OVER_SECONDS = 15 * _MINUTE  # below the above, against flapping
EXPIRING_SECONDS = 12 * _HOUR
_NOT_READ_YET = "not read since the operator started"  # like a problem, no reason to end a warning
_MOST = 0.75  # of the age at which Lambda discards a record
STREAM_LASTS_SECONDS = 24 * _HOUR
# Reported in steps: a message that grows by the minute would be a status write a minute.
_STEPS_SECONDS = (
    OVER_SECONDS,
    WAITING_SECONDS,
    *(hours * _HOUR for hours in (1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 23)),
)


@dataclass(frozen=True, kw_only=True)
class LagCheck:
    """What a check found, by (namespace, name). refused: CloudWatch could not be read, and that is logged already."""

    lags: Mapping[tuple[str, str], StreamLag] = field(default_factory=dict)
    refused: bool = False


async def check(
    operator: Operator,
    before: LagCheck,
    *,
    ask_for_reconcile: Callable[[str], Awaitable[None]],
    only: frozenset[str] | None = None,
) -> LagCheck:
    """One call of CloudWatch for each account and region in use; a reconcile of each whose condition has to change.

    only: UIDs of the tenants; None: all. The finding on each tenant is left in its memory, for its next reconcile.
    """
    lags, refused = await _read(operator, only)
    if refused and not before.refused:
        logger.warning(
            "the stream lag could not be read: %s; retried automatically, without a further warning", refused
        )
    for tenant in operator.store.tenants():
        lag = lags.get((tenant.namespace, tenant.name))
        if lag is not None and _remember_finding(operator, tenant, lag):
            await ask_for_reconcile(tenant.key)
    return LagCheck(lags=lags, refused=refused is not None)


async def _read(operator: Operator, only: frozenset[str] | None) -> tuple[dict[tuple[str, str], StreamLag], str | None]:
    """Each tenant's lag, by (namespace, name); and why some could not be read."""
    lags: dict[tuple[str, str], StreamLag] = {}
    refused = None
    for clients, tenants in by_clients(operator, only=only):
        queries = [
            LagQuery(
                function=tenant.function.name, owner=f"{operator.cluster}/{tenant.key}", table=tenant.table.name,
                stream=lost_records.records_of(_status(operator, tenant)).stream,
                detailed=_is_failing(operator, tenant),
            )
            for tenant in tenants
        ]  # fmt: skip
        try:
            found = await operator.in_thread(partial(stream_lag.read, clients, queries, now=operator.now()))
        except AwsError as error:
            refused = finding_of_error(error).message
            continue
        lags |= {
            (tenant.namespace, tenant.name): found[tenant.function.name]
            for tenant in tenants
            if tenant.function.name in found
        }
    return lags, refused


def by_clients(
    operator: Operator, *, only: frozenset[str] | None = None, at_least: int = 1
) -> Iterator[tuple[Clients, list[Tenant]]]:
    """The allowed tenants that have something in AWS and are not being deleted, by their account and region.

    only: UIDs of the tenants; None: all. at_least: as many together. Clients are made when their turn comes: a role's
    take a moment of the event loop, in which no lease is renewed, and megabytes while they are held.
    """
    groups: dict[tuple[str, str | None], list[Tenant]] = {}
    for tenant in operator.store.tenants():
        if not_allowed(tenant, operator.settings.allowed) or (only is not None and tenant.uid not in only):
            continue
        if _status(operator, tenant).get("aws") and not _is_going(operator, tenant):
            role_of = tenant.key if tenant.account.role_arn is not None else None
            groups.setdefault((tenant.region, role_of), []).append(tenant)
    for tenants in groups.values():
        if len(tenants) >= at_least:
            yield operator.clients_for(tenants[0]), tenants


def _remember_finding(operator: Operator, tenant: Tenant, lag: StreamLag) -> bool:
    """Store the finding in the tenant's memory, for its next reconciliation; whether that must be soon."""
    status, memory = _status(operator, tenant), operator.store.memory(tenant.key).reconciler
    known = operator.store.memory(tenant.key).deliveries
    lag = stream_lag.continued(known, _without_sweep(lag, status))
    operator.store.remember(tenant.key, uid=tenant.uid, deliveries=lag)
    changed = delivery.cause_of(None, known) != delivery.cause_of(None, lag) or (
        lag.not_stored is not None and (known is None or known.not_stored != lag.not_stored)
    )
    finding = judge(
        lag, status,
        trigger_problem=memory.trigger_problem if memory.reconciliations else _NOT_READ_YET,
        record_age_limit_seconds=tenant.trigger.maximum_record_age_seconds,
    )  # fmt: skip
    if finding is None:
        if lag.iterator_age_seconds is not None:
            # A warning that no reconcile has reported yet is over.
            operator.store.remember(tenant.key, uid=tenant.uid, stream_lag=None)
        return changed
    operator.store.remember(tenant.key, uid=tenant.uid, stream_lag=finding)
    before = find_condition(status, RECORDS_DELIVERED)
    shown = (before["status"], before["message"]) if before else ("True", "")
    return changed or (finding.status, finding.message) != shown


def judge(
    lag: StreamLag, status: Mapping[str, Any], *, trigger_problem: str | None, record_age_limit_seconds: float
) -> Finding | None:
    """Condition RecordsDelivered; None leaves it unchanged. Pure.

    Without a value from CloudWatch nothing is known. Only a warning ends without one, if the trigger is enabled and has
    no problem, nothing was throttled, and the table was not written to: Lambda would invoke the function if there were
    a record.
    """
    late, age = _is_late(status), lag.iterator_age_seconds
    if age is None:
        enabled = (find_condition(status, "TriggerReady") or {}).get("reason") == "Enabled"
        healthy = enabled and trigger_problem is None and not lag.throttles and lag.undelivered_since is None
        return _over() if late and healthy else None
    if age < (OVER_SECONDS if late else WAITING_SECONDS):
        return _over() if late else None
    step = max(one for one in _STEPS_SECONDS if one <= age)
    lost, limit, discarded = STREAM_LASTS_SECONDS - step, EXPIRING_SECONDS, ""
    if record_age_limit_seconds >= 0:
        limit = min(limit, record_age_limit_seconds * _MOST)
        discarded = (
            f"Lambda sends records older than {duration(record_age_limit_seconds)} to the failures bucket, where "
            "`humangov redrive` finds them. "
        )
    reason = "StreamLagging"
    if step >= limit:
        reason = "RecordsExpiring"
    return Finding.warning(
        reason,
        f"records reach the function late: the last one was over {duration(step)} old. The files of deleted records "
        f"stay meanwhile. {discarded}The stream loses that record in less than {duration(lost)}. Check the function's "
        "log group for errors, its throttles and reserved concurrency, and condition TriggerReady",
    )


def _over() -> Finding:
    return Finding.in_sync("StreamCaughtUp", "records reach the function in time")


def _without_sweep(lag: StreamLag, status: Mapping[str, Any]) -> StreamLag:
    """A sweep reads the stream too: while it did, nothing is known of what Lambda read."""
    swept = status.get("sweep") or {}
    finished = parse_time(swept.get("finishedAt"))
    runs = swept.get("result") == "Running"
    if (
        lag.way is None
        or lag.read_at is None
        or not (runs or (finished and lag.read_at - finished < stream_lag.WINDOW))
    ):
        return lag
    return replace(lag, way=replace(lag.way, read=False, reads=True))


def _status(operator: Operator, tenant: Tenant) -> Mapping[str, Any]:
    return (operator.store.get(tenant.key) or {}).get("status") or {}


def _is_going(operator: Operator, tenant: Tenant) -> bool:
    return "deletionTimestamp" in (operator.store.get(tenant.key) or {}).get("metadata", {})


def _is_failing(operator: Operator, tenant: Tenant) -> bool:
    """Whether more is to be read of it: it is late, or something of what it was given lately failed."""
    status, memory = _status(operator, tenant), operator.store.memory(tenant.key)
    known = memory.deliveries
    failed = known is not None and (bool(known.failed_records) or known.undelivered_since is not None)
    problem = memory.reconciler.trigger_problem is not None
    rollout = operator.store.code_rollout
    if rollout is not None and tenant.uid in rollout.members:
        return True  # whether its new code works decides on all others
    return failed or problem or _is_late(status) or delivery.since_of(status) is not None


def _is_late(status: Mapping[str, Any]) -> bool:
    before = find_condition(status, RECORDS_DELIVERED)
    return before is not None and before["status"] == "False"
