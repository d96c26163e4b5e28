"""`humangov leaks`: lists leaked AWS resources, and deletes them with --delete.

The API server is read before AWS, after it, and again before each step of a deletion. If anything can't be read, the
command ends: a failed read is never an absence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import Identity
from humangov.api.spec import KIND, InvalidSpecError
from humangov.aws import removal
from humangov.aws.clients import Clients
from humangov.aws.errors import Meaning
from humangov.aws.removal import Removal, Removed
from humangov.kube import client
from humangov.kube.tenants import Tenants
from humangov.leaks import inventory
from humangov.leaks.find import Leaked, LeakedNames, Living, find, keys_of, leaked_names, role_names
from humangov.leaks.inventory import FUNCTION

CONFIRM_AFTER_SECONDS = 3.0
_PATIENCE_SECONDS = 300.0  # of one tenant; a trigger takes up to minutes


class UncertainLeakError(Exception):
    """It is uncertain what is leaked, so nothing may be deleted; the text is a sentence for people."""


@dataclass(frozen=True, kw_only=True)
class LeakSearch:
    """What to search for.

    cluster      its name in the ownership tags; None: its own
    key          `namespace/name`; None: all tenants
    moved_from   UIDs of clusters from which HumanGovStates were moved to this one, or in whose place it is
    crd_removed  the definition was removed, and every HumanGovState with it
    """

    cluster: str | None
    region: str
    namespaces: tuple[str, ...] = ()
    key: str | None = None
    crd_removed: bool = False
    moved_from: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class FoundLeaks:
    """others: how many tenants of which other cluster have resources.

    proven: the name in the ownership tags is this cluster's own, or some HumanGovState's status here has it.
    """

    identity: Identity
    leaked: Leaked
    others: Mapping[str, int]
    proven: bool


class ApiServer:
    """The cluster's HumanGovStates, read again each time."""

    def __init__(self, search: LeakSearch) -> None:
        self._search = search

    async def cluster_name(self) -> tuple[str, str | None]:
        """The name in the ownership tags, and the cluster's own: the UID of kube-system; None if it may not be read.

        Raises KubeError.
        """
        api = Tenants()
        try:
            own = await api.cluster_uid()
        except client.KubeError:
            if self._search.cluster is None:
                raise
            return self._search.cluster, None
        finally:
            await api.close()
        return self._search.cluster or own, own

    async def states(self, namespaces: Sequence[str]) -> list[client.Resource]:
        """Every HumanGovState of these namespaces (none named: of all). Raises KubeError, UncertainLeakError."""
        api = Tenants()
        try:
            return await api.list_resources(namespaces)
        except client.KubeError as error:
            if error.status != 404:
                raise
            if self._search.crd_removed:
                return []
            raise UncertainLeakError(
                f"this cluster has no CustomResourceDefinition of {KIND}, so it is unknown which AWS resources are "
                "leaked. If it was removed together with every HumanGovState, use --crd-removed"
            ) from error
        finally:
            await api.close()


def search_leaks(
    api_server: ApiServer, clients: Clients, search: LeakSearch, *, sleep: Callable[[float], None] = time.sleep
) -> FoundLeaks:
    """What is leaked, confirmed twice. Raises KubeError, AwsError, UncertainLeakError."""
    return asyncio.run(_search_leaks(api_server, clients, search, sleep=sleep))


async def _search_leaks(
    api_server: ApiServer, clients: Clients, search: LeakSearch, *, sleep: Callable[[float], None]
) -> FoundLeaks:
    name, own = await api_server.cluster_name()
    before = await api_server.states(search.namespaces)
    identity = replace(clients.identity(cluster=name), cluster_uid=own, moved_from=search.moved_from)

    async def list_living() -> set[str]:
        return keys_of(await api_server.states(search.namespaces))

    async def pause() -> None:
        sleep(CONFIRM_AFTER_SECONDS)

    found = await find(
        clients,
        identity=identity,
        living=Living(keys=keys_of(before), role_names=role_names(before, default_region=search.region)),
        list_living=list_living,
        in_thread=_here,
        pause=pause,
        namespaces=search.namespaces,
        key=search.key,
    )
    if undecided := sorted(one for one in found.undecided if search.key in (None, one)):
        raise UncertainLeakError(
            f"the resources of {', '.join(undecided)} have the tag of a cluster's UID, and you may not read the UID of "
            "this one, so it is unknown whose they are. Get the permission to get namespace kube-system"
        )
    recorded = {((one.get("status") or {}).get("aws") or {}).get("cluster") for one in before}
    return FoundLeaks(
        identity=identity, leaked=found.leaked, others=found.others, proven=name == own or name in recorded
    )


async def _here(call: Callable[[], Any]) -> Any:
    """In place of threads: a command does one thing after the other."""
    return call()


def names_of(clients: Clients, found: FoundLeaks, key: str, *, keep_logs: bool) -> list[LeakedNames]:
    """Under which names one deleted tenant's resources are deleted. Raises AwsError, UncertainLeakError."""
    objects = found.leaked[key]
    tables = {one.name: inventory.table_of_function(clients, one.name) for one in objects if one.kind == FUNCTION}
    try:
        return leaked_names(
            key, objects, identity=found.identity, mappings=inventory.list_mappings(clients), tables=tables,
            keep_logs=keep_logs,
        )  # fmt: skip
    except InvalidSpecError as error:
        raise UncertainLeakError(
            f"the operator can't have written the ownership tag {objects[0].owner}: {error}"
        ) from error


def remove(
    api_server: ApiServer,
    clients: Clients,
    found: FoundLeaks,
    key: str,
    *,
    keep_logs: bool,
    stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Removed:
    """Delete one deleted tenant's resources in the order of a deletion. May be killed at any call, and repeated.

    Raises KubeError, AwsError, UncertainLeakError.
    """
    done = Removed()
    for leaked in names_of(clients, found, key, keep_logs=keep_logs):
        scope = Removal(clients=clients, names=leaked.names, now=now, logs_kept_by="--delete-logs was not given")
        steps = tuple(partial(_while_deleted, api_server, key, step) for step in _steps(leaked))
        done = _and(done, _remove(steps, scope, stop=stop, sleep=sleep))
        if done.waiting is not None:
            break
    return done


def _steps(leaked: LeakedNames) -> tuple[removal.Step, ...]:
    return (
        *(removal.OF_FUNCTION if leaked.has_function else ()),
        *(removal.OF_TABLE if leaked.has_table else ()),
    )


def _while_deleted(api_server: ApiServer, key: str, step: removal.Step, scope: Removal, done: Removed) -> Removed:
    """The step, unless the HumanGovState exists again: what the operator then creates has the same ownership tag.

    Raises KubeError, AwsError, UncertainLeakError.
    """
    if key in keys_of(asyncio.run(api_server.states((key.partition("/")[0],)))):
        raise UncertainLeakError(f"{KIND} {key} exists again and owns these resources; nothing more was deleted")
    return step(scope, done)


def _remove(
    steps: tuple[removal.Step, ...], scope: Removal, *, stop: Callable[[], bool], sleep: Callable[[float], None]
) -> Removed:
    """The steps again and again, until they are done or it is time to stop; `deleted`: by any of the times.

    Raises AwsError, unless it is worth another time; KubeError, UncertainLeakError.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    deleted: tuple[str, ...] = ()
    while True:
        done = removal.run(steps, scope)
        deleted = _each_once(deleted, done.deleted)
        waiting = done.waiting
        if done.error is not None:
            if done.error.meaning is not Meaning.RETRY_SOON or time.monotonic() > deadline:
                raise done.error
            waiting = Finding.transient("TransientError", str(done.error), soon=True)
        if waiting is None:
            return Removed(deleted=deleted, stays=done.stays)
        if waiting.stalled or stop() or time.monotonic() > deadline:
            return Removed(deleted=deleted, waiting=waiting)
        sleep(waiting.requeue_after_seconds if waiting.requeue_after_seconds is not None else 1.0)


def _and(before: Removed, after: Removed) -> Removed:
    return replace(after, deleted=_each_once(before.deleted, after.deleted), stays=(*before.stays, *after.stays))


def _each_once(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*before, *after)))
