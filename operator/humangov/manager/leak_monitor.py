"""The running operator looks for leftovers at its start and about once an hour, and tells; it removes none.

What a look asks of AWS for each region: one page of the tagging API for 100 marked objects, one page of roles for 100
roles under our path, and each role that is no living tenant's. The API server is asked only when something was found.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from humangov.api.conditions import Event
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.kube.client import KubeError, Resource
from humangov.leaks import find
from humangov.manager.leader_election import NAME
from humangov.reconcile.cache import key_of
from humangov.reconcile.context import Operator, tell

logger = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0
_NAMED = 5
ListStates = Callable[[Sequence[str]], Awaitable[list[Resource]]]


@dataclass
class Lookout:
    """What the last look came to: how many lost tenants have objects in AWS still; None: not known."""

    lost: int | None = None
    told: set[str] = field(default_factory=set)


async def look(
    operator: Operator, lookout: Lookout, *, of_region: Callable[[str], Clients], list_states: ListStates
) -> None:
    """One look in every region in use; a Warning about those that are new. A right that is missing is logged."""
    try:
        regions = {operator.settings.region, *(tenant.region for tenant in operator.store.tenants())}
        lost: set[str] = set()
        for region in sorted(regions):
            lost |= await _look_in(operator, of_region(region), list_states=list_states)
    except AwsError as error:
        logger.warning("leftovers could not be looked for: %s", finding_of_error(error).message)
        lookout.lost = None
        return
    except KubeError as error:
        logger.warning("leftovers could not be looked for: %s", error)
        lookout.lost = None
        return
    new = lost - lookout.told
    lookout.lost, lookout.told = len(lost), lost
    if new:
        event = found_event(new, cluster=operator.cluster)
        logger.warning("%s: %s", event.reason, event.message)
        await tell(operator, _lease(operator.settings.own_namespace), event)


def found_event(lost: Collection[str], *, cluster: str) -> Event:
    names = sorted(lost)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return Event(
        kind="Warning",
        reason="LeftoversFound",
        message=f"AWS has objects of HumanGovStates that are gone: {', '.join(names[:_NAMED])}{more}. Their functions "
        f"go on, cared for by nobody. `humangov collect --cluster-name {cluster}` shows what there is; with --delete "
        "it removes it. Or apply the HumanGovState again: it takes them over",
    )


async def _look_in(operator: Operator, clients: Clients, *, list_states: ListStates) -> set[str]:
    """Keys of the lost tenants that two looks have seen. Raises AwsError, KubeError."""
    namespaces = operator.settings.namespaces
    identity = await operator.in_thread(partial(clients.identity, cluster=operator.cluster))
    roles = {tenant.role_name for tenant in operator.store.tenants()}
    first: find.Sorted = await operator.in_thread(
        partial(
            find.candidates, clients, identity=identity, known_roles=roles, living=set(operator.store),
            namespaces=namespaces,
        )
    )  # fmt: skip
    ours = first.ours
    if ours:
        ours = find.without(ours, {key_of(one) for one in await list_states(namespaces)})
    if ours:
        await asyncio.sleep(operator.settings.confirm_seconds)
        ours = await operator.in_thread(partial(find.still_there, clients, ours))
        ours = find.without(ours, {key_of(one) for one in await list_states(namespaces)})
    return set(ours)


def _lease(namespace: str) -> Resource:
    """What the event is about: the operator's own object, for the tenant's is gone and its namespace may be."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": namespace, "name": NAME},
    }
