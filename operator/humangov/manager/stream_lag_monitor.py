"""Stream lag: whether records reach the functions in time, read every few minutes for all HumanGovStates at once.

A stream loses a record after 24 hours. The condition RecordsDelivered warns long before. It exists only where records
were once late: a settled tenant needs no status write.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from humangov.api.allowed_names import not_allowed
from humangov.api.conditions import RECORDS_DELIVERED, Finding, find_condition
from humangov.api.spec import Tenant
from humangov.api.times import duration
from humangov.aws import stream_lag
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.aws.stream_lag import LagQuery, StreamLag
from humangov.reconcile import delivery
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
    operator: Operator, before: LagCheck, *, ask_for_reconcile: Callable[[str], Awaitable[None]]
) -> LagCheck:
    """One call of CloudWatch for each account and region in use; a reconcile of each whose condition has to change.

    The finding on each tenant is left in its memory, for its next reconcile.
    """
    lags, refused = await _read(operator)
    if refused and not before.refused:
        logger.warning(
            "the stream lag could not be read: %s; retried automatically, without a further warning", refused
        )
    for tenant in operator.store.tenants():
        lag = lags.get((tenant.namespace, tenant.name))
        if lag is not None and _remember_finding(operator, tenant, lag):
            await ask_for_reconcile(tenant.key)
    return LagCheck(lags=lags, refused=refused is not None)


async def _read(operator: Operator) -> tuple[dict[tuple[str, str], StreamLag], str | None]:
    """Each tenant's lag, by (namespace, name); and why some could not be read."""
    lags: dict[tuple[str, str], StreamLag] = {}
    refused = None
    for clients, tenants in by_clients(operator):
        queries = [
            LagQuery(
                function=tenant.function.name, owner=f"{operator.cluster}/{tenant.key}",
                detailed=_is_ailing(operator, tenant),
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


def by_clients(operator: Operator) -> list[tuple[Clients, list[Tenant]]]:
    """The allowed tenants that have something in AWS and are not being deleted, by their account and region."""
    groups: dict[int, tuple[Clients, list[Tenant]]] = {}
    for tenant in operator.store.tenants():
        if not_allowed(tenant, operator.settings.allowed):
            continue
        if _status(operator, tenant).get("aws") and not _is_going(operator, tenant):
            clients = operator.clients_for(tenant)
            groups.setdefault(id(clients), (clients, []))[1].append(tenant)
    return list(groups.values())


def _remember_finding(operator: Operator, tenant: Tenant, lag: StreamLag) -> bool:
    """Store the finding in the tenant's memory, for its next reconciliation; whether that must be soon."""
    status, memory = _status(operator, tenant), operator.store.memory(tenant.key).reconciler
    known = operator.store.memory(tenant.key).deliveries
    operator.store.remember(tenant.key, uid=tenant.uid, deliveries=lag)
    changed = delivery.cause_of(None, known) != delivery.cause_of(None, lag)
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
    no problem, and nothing was throttled: Lambda would invoke the function if there were a record.
    """
    late, age = _is_late(status), lag.iterator_age_seconds
    if age is None:
        enabled = (find_condition(status, "TriggerReady") or {}).get("reason") == "Enabled"
        return _over() if late and enabled and trigger_problem is None and not lag.throttles else None
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


def _status(operator: Operator, tenant: Tenant) -> Mapping[str, Any]:
    return (operator.store.get(tenant.key) or {}).get("status") or {}


def _is_going(operator: Operator, tenant: Tenant) -> bool:
    return "deletionTimestamp" in (operator.store.get(tenant.key) or {}).get("metadata", {})


def _is_ailing(operator: Operator, tenant: Tenant) -> bool:
    """Whether more is to be read of it: it is late, or something of what it was given lately failed."""
    status, memory = _status(operator, tenant), operator.store.memory(tenant.key)
    failed = memory.deliveries is not None and bool(memory.deliveries.failed_records)
    problem = memory.reconciler.trigger_problem is not None
    return failed or problem or _is_late(status) or delivery.since_of(status) is not None


def _is_late(status: Mapping[str, Any]) -> bool:
    before = find_condition(status, RECORDS_DELIVERED)
    return before is not None and before["status"] == "False"
