"""Bulk reads: the listings of an account and region, once a resync, for all settled tenants there at once.

What they confirm of a tenant is not read singly at its next resync; a tenant of which they show something else is
reconciled at once, and read singly. It chooses itself: where single reads of the tenants that are due would be cheaper,
nothing is listed. The operator's own credentials serve many tenants; a tenant with a role of its own is read singly.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from humangov.api.names import Identity, Names
from humangov.api.spec import Tenant
from humangov.aws.bulk import read, verdict
from humangov.aws.bulk.snapshot import Snapshot, wanted
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.manager.stream_lag_monitor import by_clients
from humangov.reconcile.context import Operator
from humangov.reconcile.identity import is_recorded

logger = logging.getLogger(__name__)

SPARED_READS = 5
"""Of a tenant at each resync, where all is confirmed: GetFunction, ListEventSourceMappings, GetRole, GetRolePolicy,
DescribeLogGroups. Its tags are read seldom, and not counted."""
_VALID_RESYNCS = 1.5
UNLIMITED_PAGES = 1_000_000
_FEWEST = 2
"""Of one tenant alone no listing is cheaper (is_worthwhile): no clients are made to find that out."""


@dataclass(frozen=True, kw_only=True)
class BulkCheck:
    """What the last check came to.

    too_large  regions where the listings have more pages than they are worth → for so many tenants
    refused    (region, call) that are denied or not served: said once
    confirmed  of how many tenants at least one part need not be read; listed: of how many there was a snapshot
    """

    too_large: Mapping[str, int] = field(default_factory=dict)
    refused: frozenset[tuple[str, str]] = frozenset()
    confirmed: int = 0
    listed: int = 0


@dataclass(frozen=True, kw_only=True)
class _Member:
    tenant: Tenant
    names: Names


async def check(
    operator: Operator,
    before: BulkCheck,
    *,
    ask_for_reconcile: Callable[[str], Awaitable[None]],
    resync_seconds: float,
    always: bool = False,
) -> BulkCheck:
    """One snapshot for each region that is worth one; what it says is left in each tenant's memory.

    always: whatever it is worth.
    """
    after = replace(before, confirmed=0, listed=0)
    for clients, tenants in by_clients(operator, at_least=1 if always else _FEWEST):
        unworthy = before.too_large.get(clients.region)
        if not (always or is_worthwhile(len(tenants), unworthy=unworthy)):
            continue
        try:
            identity = await operator.in_thread(partial(clients.identity, cluster=operator.cluster))
        except AwsError:
            continue  # each reconciliation shows it
        members = _members(operator, tenants, identity)
        if not members or not (always or is_worthwhile(len(members), unworthy=unworthy)):
            continue
        most = most_pages(len(members)) if not always else UNLIMITED_PAGES
        snapshot = await _snapshot(operator, clients, members, most=most)
        after = _noted(after, clients, snapshot, tenants=len(members))
        for member in members:
            after = replace(after, listed=after.listed + 1)
            if await _judge(operator, member, snapshot, ask_for_reconcile, resync_seconds=resync_seconds):
                after = replace(after, confirmed=after.confirmed + 1)
    return after


async def _snapshot(operator: Operator, clients: Clients, members: Sequence[_Member], *, most: int) -> Snapshot:
    """Its thread ends with the next page if this task does."""
    ended = threading.Event()
    wishes = wanted(member.names for member in members)
    try:
        found: Snapshot = await operator.in_thread(
            partial(read.take, clients, wishes, at=operator.monotonic(), most_pages=most, ended=ended.is_set)
        )
    finally:
        ended.set()
    return found


def most_pages(tenants: int) -> int:
    """Half of the single reads that they may spare."""
    return SPARED_READS * tenants // 2


def is_worthwhile(tenants: int, *, unworthy: int | None) -> bool:
    """Whether the listings may be cheaper than single reads. unworthy: for so many tenants they were not."""
    if most_pages(tenants) < len(read.CALLS):
        return False
    return unworthy is None or tenants > unworthy * 1.5


def _members(operator: Operator, tenants: Sequence[Tenant], identity: Identity) -> list[_Member]:
    """Those of whom it is known what is to be confirmed: in sync since the last full reading, and not stopped."""
    found = []
    for tenant in tenants:
        reading = operator.store.memory(tenant.key).reconciler.reading
        if reading is None or reading.generation != tenant.generation or operator.store.stop_of(tenant.key):
            continue
        recorded = ((operator.store.get(tenant.key) or {}).get("status") or {}).get("aws")
        own = operator.in_cluster(identity, recorded=recorded)
        if is_recorded(recorded, own):
            found.append(_Member(tenant=tenant, names=Names(tenant=tenant, identity=own)))
    return found


async def _judge(
    operator: Operator,
    member: _Member,
    snapshot: Snapshot,
    ask_for_reconcile: Callable[[str], Awaitable[None]],
    *,
    resync_seconds: float,
) -> bool:
    """Whether the snapshot confirms anything of it.

    A listing takes seconds: what was read singly meanwhile is what the next reconciliation would stand on, so that is
    compared. Of another generation, or of another object by that name, the snapshot confirms nothing.
    """
    key, uid = member.tenant.key, member.tenant.uid
    memory = operator.store.memory(key)
    reading = memory.reconciler.reading
    if memory.uid != uid or reading is None or reading.generation != member.tenant.generation:
        return False
    found = verdict.judge(
        snapshot, reading.observed, member.names, before=memory.confirmation,
        valid_seconds=resync_seconds * _VALID_RESYNCS,
    )  # fmt: skip
    operator.store.remember(key, uid=uid, confirmation=found)
    if found.news:
        logger.debug("the listings differ from the last single reads: everything is read singly", extra={
            "tenant": key, "action": "bulk read",
        })  # fmt: skip
        await ask_for_reconcile(key)
    return bool(found.same)


def _noted(check: BulkCheck, clients: Clients, snapshot: Snapshot, *, tenants: int) -> BulkCheck:
    """What was not listed is told once, until it is listed again; errors that pass are not told."""
    region = clients.region
    refused = {(region, call) for call, error in snapshot.unlisted.items() if error.denied or error.not_served}
    for _, call in sorted(refused - check.refused):
        logger.warning(
            "bulk reads in %s do not use %s: %s. What this listing would confirm is read singly, for each "
            "HumanGovState. If AWS denies it, grant it to the operator's role (deploy/iam)",
            region, call, snapshot.unlisted[call].code,
        )  # fmt: skip
    too_large = {one: number for one, number in check.too_large.items() if one != region}
    if any(error.code == read.CUT_OFF for error in snapshot.unlisted.values()):
        too_large[region] = tenants
    others = {one for one in check.refused if one[0] != region}
    return replace(check, refused=frozenset(others | refused), too_large=too_large)
