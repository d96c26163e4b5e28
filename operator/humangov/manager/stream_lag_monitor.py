"""Whether records of removals reach the functions in time: asked every few minutes, for all HumanGovStates at once.

A stream forgets a record after 24 hours. The condition Delivering says so long before, and goes when it is over; where
nothing was ever late it does not exist, so that a settled world is not written to.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from humangov.api.conditions import DELIVERING, Finding, find_condition
from humangov.api.spec import Tenant
from humangov.aws import stream_lag
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.aws.stream_lag import Delivered
from humangov.reconcile.context import Operator

logger = logging.getLogger(__name__)

EVERY_SECONDS = 300.0
_MINUTE, _HOUR = 60.0, 3600.0
WAITING_SECONDS = 30 * _MINUTE
OVER_SECONDS = 15 * _MINUTE  # below the above, so that what swings about it is not told at each swing
EXPIRING_SECONDS = 12 * _HOUR
_MOST = 0.75  # of the age at which Lambda gives a record up
STREAM_LASTS_SECONDS = 24 * _HOUR
# Told in steps: a message that grows by the minute would be a status write a minute.
_STEPS_SECONDS = (
    OVER_SECONDS,
    WAITING_SECONDS,
    *(hours * _HOUR for hours in (1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 23)),
)


@dataclass
class Delivery:
    """What the last look found, by (namespace, name)."""

    delivered: Mapping[tuple[str, str], Delivered] = field(default_factory=dict)
    refused: bool = False  # told in the log already


async def look(operator: Operator, known: Delivery, *, ask_for_pass: Callable[[str], Awaitable[None]]) -> None:
    """One call of CloudWatch for each account and region in use; a pass over each whose condition has to change."""
    tenants: dict[int, list[Tenant]] = defaultdict(list)
    clients: dict[int, Clients] = {}
    for tenant in operator.store.tenants():
        if _status(operator, tenant).get("aws") and not _is_going(operator, tenant):
            door = operator.clients_for(tenant)
            clients[id(door)] = door
            tenants[id(door)].append(tenant)
    delivered: dict[tuple[str, str], Delivered] = {}
    refused = None
    for number, door in clients.items():
        asked = [
            stream_lag.Asked(
                function=one.function.name, owner=f"{operator.cluster}/{one.key}",
                throttles=_late(_status(operator, one)),
            )
            for one in tenants[number]
        ]  # fmt: skip
        try:
            found = await operator.in_thread(partial(stream_lag.read, door, asked, now=operator.now()))
        except AwsError as error:
            refused = finding_of_error(error).message
            continue
        delivered |= {
            (one.namespace, one.name): found[one.function.name] for one in tenants[number] if one.function.name in found
        }
    if refused and not known.refused:
        logger.warning("how late records are could not be asked: %s; asked again, and not told again", refused)
    known.delivered, known.refused = delivered, refused is not None
    for tenant in operator.store.tenants():
        seen = delivered.get((tenant.namespace, tenant.name))
        status = _status(operator, tenant)
        verdict = (
            judge(seen, status, record_age_limit_seconds=tenant.trigger.maximum_record_age_seconds) if seen else None
        )
        if verdict is not None:
            operator.store.remember(tenant.key, uid=tenant.uid, stream_lag=verdict)
            before = find_condition(status, DELIVERING)
            if (verdict.status, verdict.message) != ((before["status"], before["message"]) if before else ("True", "")):
                await ask_for_pass(tenant.key)
        elif seen is not None and seen.iterator_age_seconds is not None:
            # A warning that no reconciliation has told yet is over.
            operator.store.remember(tenant.key, uid=tenant.uid, stream_lag=None)


def judge(seen: Delivered, status: Mapping[str, Any], *, record_age_limit_seconds: float) -> Finding | None:
    """What to tell people; None leaves it at what was told before. Pure.

    Without a word from CloudWatch nothing is known. Only where there was a warning, the trigger is on and well, and
    nothing was refused is silence the end of it: Lambda would call the function if there were a record.
    """
    late, age = _late(status), seen.iterator_age_seconds
    if age is None:
        trigger = find_condition(status, "TriggerReady") or {}
        well = trigger.get("reason") == "Enabled" and "PROBLEM" not in trigger.get("message", "")
        return _over() if late and well and not seen.throttles else None
    if age < (OVER_SECONDS if late else WAITING_SECONDS):
        return _over() if late else None
    step = max(one for one in _STEPS_SECONDS if one <= age)
    lost, limit, given_up = STREAM_LASTS_SECONDS - step, EXPIRING_SECONDS, ""
    if record_age_limit_seconds >= 0:
        limit = min(limit, record_age_limit_seconds * _MOST)
        given_up = (
            f"Lambda gives up what is older than {_told(record_age_limit_seconds)} and puts it into the bucket of "
            "failures, where `humangov redrive` finds it; "
        )
    reason = "RecordsWaiting"
    if step >= limit:
        reason = "RecordsExpiring"
    return Finding.warning(
        reason,
        f"records of removals wait: the function was last given one that is over {_told(step)} old, so the files of "
        f"deleted records stay meanwhile. {given_up}the stream itself loses it in less than {_told(lost)}. Look at the "
        "function's log group for errors, at its throttles and reserved concurrency, and at condition TriggerReady",
    )


def _over() -> Finding:
    return Finding.in_step("RecordsHandled", "records of removals are handled in time")


def _told(seconds: float) -> str:
    return f"{seconds / _HOUR:g} h" if seconds >= _HOUR else f"{seconds / _MINUTE:g} min"


def _status(operator: Operator, tenant: Tenant) -> Mapping[str, Any]:
    return (operator.store.get(tenant.key) or {}).get("status") or {}


def _is_going(operator: Operator, tenant: Tenant) -> bool:
    return "deletionTimestamp" in (operator.store.get(tenant.key) or {}).get("metadata", {})


def _late(status: Mapping[str, Any]) -> bool:
    before = find_condition(status, DELIVERING)
    return before is not None and before["status"] == "False"
