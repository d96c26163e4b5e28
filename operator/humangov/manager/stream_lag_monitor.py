"""Whether records of removals reach the functions in time: asked every few minutes, for all HumanGovStates at once.

A stream loses a record after 24 hours. The condition RecordsDelivered warns long before. It exists only where records were
once late, so a settled tenant is not written to.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from humangov.api.conditions import RECORDS_DELIVERED, Finding, find_condition
from humangov.api.spec import Tenant
from humangov.aws import stream_lag
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.aws.stream_lag import LagQuery, StreamLag
from humangov.reconcile.context import Operator

logger = logging.getLogger(__name__)

_MINUTE, _HOUR = 60.0, 3600.0
WAITING_SECONDS = 30 * _MINUTE
OVER_SECONDS = 15 * _MINUTE  # below the above, so that what swings about it is not told at each swing
EXPIRING_SECONDS = 12 * _HOUR
_NOT_READ_YET = "not read since the operator started"  # as little a reason as a problem to call a warning over
_MOST = 0.75  # of the age at which Lambda gives a record up
STREAM_LASTS_SECONDS = 24 * _HOUR
# Told in steps: a message that grows by the minute would be a status write a minute.
_STEPS_SECONDS = (
    OVER_SECONDS,
    WAITING_SECONDS,
    *(hours * _HOUR for hours in (1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 23)),
)


@dataclass(frozen=True, kw_only=True)
class LagCheck:
    """What a check found, by (namespace, name). refused: CloudWatch could not be asked, and the log says so already."""

    lags: Mapping[tuple[str, str], StreamLag] = field(default_factory=dict)
    refused: bool = False


async def check(
    operator: Operator, before: LagCheck, *, ask_for_reconcile: Callable[[str], Awaitable[None]]
) -> LagCheck:
    """One call of CloudWatch for each account and region in use; a reconcile of each whose condition has to change.

    The verdict on each tenant is left in its memory, for its next reconcile.
    """
    lags, refused = await _read(operator)
    if refused and not before.refused:
        logger.warning("how late records are could not be asked: %s; asked again, and not told again", refused)
    for tenant in operator.store.tenants():
        lag = lags.get((tenant.namespace, tenant.name))
        if lag is not None and _leave_verdict(operator, tenant, lag):
            await ask_for_reconcile(tenant.key)
    return LagCheck(lags=lags, refused=refused is not None)


async def _read(operator: Operator) -> tuple[dict[tuple[str, str], StreamLag], str | None]:
    """Each tenant's lag, by (namespace, name); and why some could not be asked for."""
    lags: dict[tuple[str, str], StreamLag] = {}
    refused = None
    for clients, tenants in _by_clients(operator):
        queries = [
            LagQuery(
                function=tenant.function.name, owner=f"{operator.cluster}/{tenant.key}",
                throttles=_is_late(_status(operator, tenant)),
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


def _by_clients(operator: Operator) -> list[tuple[Clients, list[Tenant]]]:
    """The tenants that have something in AWS and are not being deleted, by the way to their account and region."""
    groups: dict[int, tuple[Clients, list[Tenant]]] = {}
    for tenant in operator.store.tenants():
        if _status(operator, tenant).get("aws") and not _is_going(operator, tenant):
            clients = operator.clients_for(tenant)
            groups.setdefault(id(clients), (clients, []))[1].append(tenant)
    return list(groups.values())


def _leave_verdict(operator: Operator, tenant: Tenant, lag: StreamLag) -> bool:
    """Put into the tenant's memory what its next reconcile is to say; whether that must be soon."""
    status, memory = _status(operator, tenant), operator.store.memory(tenant.key).reconciler
    verdict = judge(
        lag, status,
        trigger_problem=memory.trigger_problem if memory.reconciliations else _NOT_READ_YET,
        record_age_limit_seconds=tenant.trigger.maximum_record_age_seconds,
    )  # fmt: skip
    if verdict is None:
        if lag.iterator_age_seconds is not None:
            # A warning that no reconcile has reported yet is over.
            operator.store.remember(tenant.key, uid=tenant.uid, stream_lag=None)
        return False
    operator.store.remember(tenant.key, uid=tenant.uid, stream_lag=verdict)
    before = find_condition(status, RECORDS_DELIVERED)
    shown = (before["status"], before["message"]) if before else ("True", "")
    return (verdict.status, verdict.message) != shown


def judge(
    lag: StreamLag, status: Mapping[str, Any], *, trigger_problem: str | None, record_age_limit_seconds: float
) -> Finding | None:
    """What to tell people; None leaves it at what was told before. Pure.

    Without a word from CloudWatch nothing is known. Only where there was a warning, the trigger is on and has no
    problem, and nothing was refused is silence the end of it: Lambda would call the function if there were a record.
    """
    late, age = _is_late(status), lag.iterator_age_seconds
    if age is None:
        enabled = (find_condition(status, "TriggerReady") or {}).get("reason") == "Enabled"
        return _over() if late and enabled and trigger_problem is None and not lag.throttles else None
    if age < (OVER_SECONDS if late else WAITING_SECONDS):
        return _over() if late else None
    step = max(one for one in _STEPS_SECONDS if one <= age)
    lost, limit, given_up = STREAM_LASTS_SECONDS - step, EXPIRING_SECONDS, ""
    if record_age_limit_seconds >= 0:
        limit = min(limit, record_age_limit_seconds * _MOST)
        given_up = (
            f"Lambda gives up what is older than {_time(record_age_limit_seconds)} and puts it into the bucket of "
            "failures, where `humangov redrive` finds it; "
        )
    reason = "StreamLagging"
    if step >= limit:
        reason = "RecordsExpiring"
    return Finding.warning(
        reason,
        f"records of removals wait: the function was last given one that is over {_time(step)} old, so the files of "
        f"deleted records stay meanwhile. {given_up}the stream itself loses it in less than {_time(lost)}. Look at the "
        "function's log group for errors, at its throttles and reserved concurrency, and at condition TriggerReady",
    )


def _over() -> Finding:
    return Finding.in_sync("StreamCaughtUp", "records of removals are handled in time")


def _time(seconds: float) -> str:
    return f"{seconds / _HOUR:g} h" if seconds >= _HOUR else f"{seconds / _MINUTE:g} min"


def _status(operator: Operator, tenant: Tenant) -> Mapping[str, Any]:
    return (operator.store.get(tenant.key) or {}).get("status") or {}


def _is_going(operator: Operator, tenant: Tenant) -> bool:
    return "deletionTimestamp" in (operator.store.get(tenant.key) or {}).get("metadata", {})


def _is_late(status: Mapping[str, Any]) -> bool:
    before = find_condition(status, RECORDS_DELIVERED)
    return before is not None and before["status"] == "False"
