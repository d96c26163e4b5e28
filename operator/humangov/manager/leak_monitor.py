"""Checks for leaked AWS resources: an event reports them, and nothing is deleted.

The AWS calls of a check, for each region: one page of the tagging API for 100 tagged resources, one page of roles for
100 roles under our path, and one for each role that belongs to no existing tenant. The API server is read only
if something is found.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from humangov.api.allowed_names import not_allowed
from humangov.api.conditions import Event
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.kube.client import KubeError, Resource
from humangov.leaks.find import Candidates, Living, find, keys_of
from humangov.manager.leader_election import LEASE_NAME
from humangov.reconcile.context import Operator, post_event

logger = logging.getLogger(__name__)

CONFIRM_AFTER_SECONDS = 2.0
_NAMED = 5
ListStates = Callable[[Sequence[str]], Awaitable[list[Resource]]]


@dataclass(frozen=True, kw_only=True)
class LeakCheck:
    """The result of a check: how many deleted tenants have leaked resources; None: unknown.

    announced: the keys that an event has reported.
    """

    leaked_tenants: int | None = None
    announced: frozenset[str] = frozenset()


async def _pause() -> None:
    await asyncio.sleep(CONFIRM_AFTER_SECONDS)


async def check(
    operator: Operator,
    before: LeakCheck,
    *,
    of_region: Callable[[str], Clients],
    list_states: ListStates,
    pause: Callable[[], Awaitable[None]] = _pause,
) -> LeakCheck:
    """Every region of an allowed tenant, once; a Warning about tenants that are new. A missing permission is logged.

    A region that can't be read hides nothing of the others.
    """
    leaked: set[str] = set()
    unknown = False
    for region in regions(operator):
        try:
            found = await _check_region(operator, of_region(region), list_states=list_states, pause=pause)
        except (AwsError, KubeError) as error:
            text = finding_of_error(error).message if isinstance(error, AwsError) else str(error)
            logger.warning("the check for leaked AWS resources in %s failed: %s", region, text)
            unknown = True
            continue
        leaked |= set(found.leaked)
        if found.undecided:
            logger.warning(
                "%d deleted HumanGovStates may have leaked resources in %s: whether they are another cluster's of the "
                "same name is unknown, as the UID of namespace kube-system could not be read",
                len(found.undecided), region,
            )  # fmt: skip
            unknown = True
    new = leaked - before.announced
    if new:
        event = found_event(new, cluster=operator.cluster)
        logger.warning("%s: %s", event.reason, event.message)
        await post_event(operator, _lease(operator.settings.own_namespace), event)
    announced = before.announced | leaked if unknown else leaked
    return LeakCheck(leaked_tenants=None if unknown else len(leaked), announced=frozenset(announced))


def regions(operator: Operator) -> list[str]:
    """The operator's own, and those of the tenants that are allowed: who is refused can name any region."""
    allowed = operator.settings.allowed
    used = (tenant.region for tenant in operator.store.tenants() if not not_allowed(tenant, allowed))
    return sorted({operator.settings.region, *used})


def found_event(leaked: Collection[str], *, cluster: str) -> Event:
    names = sorted(leaked)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return Event(
        kind="Warning",
        reason="LeakedResourcesFound",
        message=f"AWS has leaked resources of HumanGovStates that no longer exist: {', '.join(names[:_NAMED])}{more}. "
        f"Their functions still erase files, and nothing manages them. `humangov leaks --cluster-name {cluster}` lists "
        "the resources, and deletes them with --delete. Or apply the HumanGovState again: it then owns them",
    )


async def _check_region(
    operator: Operator, clients: Clients, *, list_states: ListStates, pause: Callable[[], Awaitable[None]]
) -> Candidates:
    """Raises AwsError, KubeError."""
    namespaces = operator.settings.namespaces

    async def list_living() -> set[str]:
        return keys_of(await list_states(namespaces))

    return await find(
        clients,
        identity=operator.in_cluster(await operator.in_thread(partial(clients.identity, cluster=operator.cluster))),
        living=Living(keys=set(operator.store), role_names={tenant.role_name for tenant in operator.store.tenants()}),
        list_living=list_living,
        in_thread=operator.in_thread,
        pause=pause,
        namespaces=namespaces,
    )


def _lease(namespace: str) -> Resource:
    """What the event is about: the operator's own object, for the tenant and perhaps its namespace no longer exist."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": namespace, "name": LEASE_NAME},
    }
