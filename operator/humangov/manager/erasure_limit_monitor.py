"""Whether a function reached its erasure limit, read every few minutes for all HumanGovStates at once.

The function enforces the limit by itself, for an hour. What is found here is left in the tenant's memory; its next
reconciliation stops the tenant until a person approves.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from humangov.api.erasure_limit import LimitedRecords
from humangov.api.spec import Tenant
from humangov.aws import limited_records
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.manager.stream_lag_monitor import by_clients
from humangov.reconcile.context import Operator

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LimitCheck:
    """What a check found, by (namespace, name): records that were limited lately.

    refused: CloudWatch could not be read, and that is logged already.
    """

    numbers: Mapping[tuple[str, str], int] = field(default_factory=dict)
    refused: bool = False


async def check(
    operator: Operator, before: LimitCheck, *, ask_for_reconcile: Callable[[str], Awaitable[None]]
) -> LimitCheck:
    """One call of CloudWatch for each account and region in use; a reconcile of each tenant with news."""
    numbers: dict[tuple[str, str], int] = {}
    refused = None
    for clients, tenants in by_clients(operator):
        owners = {f"{operator.cluster}/{tenant.key}": tenant for tenant in tenants}
        try:
            found = await operator.in_thread(
                partial(limited_records.read, clients, list(owners), now=operator.now())
            )  # fmt: skip
        except AwsError as error:
            refused = finding_of_error(error).message
            continue
        for owner, limited in found.items():
            tenant = owners[owner]
            numbers[tenant.namespace, tenant.name] = sum(one.number for one in limited)
            if _remember(operator, tenant, limited):
                await ask_for_reconcile(tenant.key)
    if refused and not before.refused:
        logger.warning(
            "whether a function reached its erasure limit could not be read: %s; retried automatically, without a "
            "further warning. The functions enforce the limit meanwhile",
            refused,
        )
    return LimitCheck(numbers=numbers, refused=refused is not None)


def _remember(operator: Operator, tenant: Tenant, limited: tuple[LimitedRecords, ...]) -> bool:
    """Whether that is news."""
    known = set(operator.store.memory(tenant.key).limited)
    operator.store.remember(tenant.key, uid=tenant.uid, limited=limited)
    return not known.issuperset(limited)
