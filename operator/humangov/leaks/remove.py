"""`humangov collect`: what AWS still has of tenants whose HumanGovState is gone is told, and with --delete removed.

The API server is asked before AWS, after it, and once more before each tenant's removal. Whatever can't be read ends
the command: a failed read is never an absence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from humangov.api.conditions import Finding
from humangov.api.names import Identity
from humangov.api.spec import KIND, InvalidSpecError
from humangov.aws import removal
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, Meaning
from humangov.kube import client
from humangov.kube.tenants import Tenants
from humangov.leaks import find as finding_leaks
from humangov.leaks import inventory
from humangov.leaks.find import Remnant
from humangov.leaks.inventory import FUNCTION, LOG_GROUP, Marked

SECOND_LOOK_SECONDS = 3.0  # what is being removed just now is gone by then, or its HumanGovState shows
_PATIENCE_SECONDS = 300.0  # of one tenant; a trigger takes up to minutes


class NotToldError(Exception):
    """What is left over can't be told, or may not be removed; the text is a sentence for people."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is looked for. key: `namespace/name`; None: of all tenants. Times in seconds."""

    cluster: str | None
    region: str
    namespaces: tuple[str, ...] = ()
    key: str | None = None
    definition_is_gone: bool = False
    second_look_seconds: float = SECOND_LOOK_SECONDS


@dataclass(frozen=True, kw_only=True)
class Found:
    """leftovers: by `namespace/name`.

    proven: the name in the marks is this cluster's own, or some HumanGovState's status here tells it.
    """

    identity: Identity
    leftovers: Mapping[str, tuple[Marked, ...]]
    others: Mapping[str, int]
    proven: bool


@dataclass
class Removed:
    """What became of one tenant's leftovers, for people."""

    gone: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)
    waiting: str | None = None


class States(Protocol):
    """What of the cluster is asked."""

    def name(self) -> tuple[str, str | None]: ...
    def states(self, namespaces: Sequence[str]) -> list[client.Resource]: ...


class Cluster:
    """The API server, asked anew each time."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def name(self) -> tuple[str, str | None]:
        """The name in the tags, and the cluster's own: the UID of kube-system; None if it may not be read.

        Raises KubeError.
        """
        own = asyncio.run(self._uid(required=self._asked.cluster is None))
        return self._asked.cluster or str(own), own

    def states(self, namespaces: Sequence[str]) -> list[client.Resource]:
        """Raises KubeError, NotToldError."""
        return asyncio.run(self._states(namespaces))

    async def _uid(self, *, required: bool) -> str | None:
        api = Tenants()
        try:
            return await api.cluster_uid()
        except client.KubeError:
            if required:
                raise
            return None
        finally:
            await api.close()

    async def _states(self, namespaces: Sequence[str]) -> list[client.Resource]:
        api = Tenants()
        try:
            return await api.list_resources(namespaces)
        except client.KubeError as error:
            if error.status != 404:
                raise
            if self._asked.definition_is_gone:
                return []
            raise NotToldError(
                f"this cluster has no definition of {KIND}, so whose AWS objects are left over can't be told. If it "
                "was removed, and every HumanGovState with it, say --definition-is-gone"
            ) from error
        finally:
            await api.close()


def find(cluster: States, clients: Clients, asked: Asked, *, sleep: Callable[[float], None] = time.sleep) -> Found:
    """Two looks, seconds apart; what both have seen. Raises KubeError, AwsError, NotToldError."""
    name, own = cluster.name()
    before = cluster.states(asked.namespaces)
    identity = clients.identity(cluster=name)
    first = finding_leaks.candidates(
        clients, identity=identity, living=keys(before), namespaces=asked.namespaces,
        known_roles=finding_leaks.role_names(before, default_region=asked.region),
    )  # fmt: skip
    ours = {key: found for key, found in first.ours.items() if asked.key in (None, key)}
    if ours:
        ours = finding_leaks.without(ours, keys(cluster.states(asked.namespaces)))
    if ours:
        sleep(asked.second_look_seconds)
        ours = finding_leaks.without(finding_leaks.still_there(clients, ours), keys(cluster.states(asked.namespaces)))
    recorded = {((one.get("status") or {}).get("aws") or {}).get("cluster") for one in before}
    return Found(identity=identity, leftovers=ours, others=first.others, proven=name == own or name in recorded)


def keys(states: Sequence[client.Resource]) -> set[str]:
    return {f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in states}


def remnants(clients: Clients, found: Found, key: str, *, keep_logs: bool) -> list[Remnant]:
    """Raises AwsError, NotToldError."""
    objects = found.leftovers[key]
    tables = {one.name: inventory.table_of_function(clients, one.name) for one in objects if one.kind == FUNCTION}
    try:
        return finding_leaks.remnants_of(
            key, objects, identity=found.identity, readings=inventory.readings(clients), tables=tables,
            keep_logs=keep_logs,
        )  # fmt: skip
    except InvalidSpecError as error:
        raise NotToldError(f"the mark {objects[0].owner} is none that the operator writes: {error}") from error


def remove(
    cluster: States,
    clients: Clients,
    found: Found,
    key: str,
    *,
    keep_logs: bool,
    stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Removed:
    """Remove one lost tenant's objects in the order of a deletion. May be killed at any call, and repeated.

    Raises KubeError, AwsError, NotToldError.
    """
    done = Removed()
    for remnant in remnants(clients, found, key, keep_logs=keep_logs):
        if key in keys(cluster.states((key.partition("/")[0],))):
            raise NotToldError(
                f"{KIND} {key} is there again: its operator takes over what there is; nothing was removed"
            )
        _remove(clients, remnant, done, stop=stop, sleep=sleep, now=now)
        if done.waiting is not None:
            return done
    return done


def told(found: Found, key: str, remnants: Sequence[Remnant], *, keep_logs: bool) -> Iterator[str]:
    """What was found of one tenant, why it is left over, and what --delete does to it."""
    objects = found.leftovers[key]
    yield f"{key}: there is no such {KIND}, and these carry its mark ({objects[0].owner}):"
    for one in objects:
        kept = one.kind == LOG_GROUP and keep_logs
        fate = "would stay, without our mark (--delete-logs removes it)" if kept else "would be removed"
        if one.kind == inventory.TABLE:
            fate = "would stay, without our marks; its stream goes off if we turned it on and nobody else reads it"
        yield f"  {one.kind} {one.name}: {fate}"
    names = sorted({remnant.names.tenant.function.name for remnant in remnants if remnant.has_function})
    if names:
        yield f"  and what else function {', '.join(names)} had that carries the mark: its triggers, role and log group"


def heading(found: Found) -> Iterator[str]:
    """What was looked at, and whose it is that is not ours."""
    where = f"account {found.identity.account_id}, {found.identity.region}, cluster {found.identity.cluster}"
    count = len(found.leftovers)
    what = (
        "nothing is left over" if not count else f"{count} lost tenant{'s have' if count > 1 else ' has'} objects left"
    )
    yield f"{where}: {what}"
    for cluster, tenants in found.others.items():
        yield (
            f"not touched: objects of {tenants} tenant{'s' if tenants > 1 else ''} of cluster {cluster} "
            "(if that was this cluster before it was made anew: --cluster-name)"
        )


def result(key: str, done: Removed) -> Iterator[str]:
    """What became of one tenant's leftovers."""
    yield f"{key}: gone: {', '.join(done.gone) or 'nothing'}"
    for what in done.stays:
        yield f"  stays: {what}"
    if done.waiting is not None:
        yield f"  not done: {done.waiting}. Run it again"


def _remove(
    clients: Clients,
    remnant: Remnant,
    done: Removed,
    *,
    stop: Callable[[], bool],
    sleep: Callable[[float], None],
    now: Callable[[], datetime],
) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        remains = removal.Remains()
        try:
            waiting = _one_pass(clients, remnant, remains, now=now)
        except AwsError as error:
            if error.meaning is not Meaning.RETRY_SOON or time.monotonic() > deadline:
                raise
            waiting = Finding.progressing("Retrying", str(error), soon=True)
        done.gone += [what for what in remains.gone if what not in done.gone]
        if waiting is None:
            done.stays += remains.stays
            return
        if waiting.stalled or stop() or time.monotonic() > deadline:
            done.waiting = waiting.message
            return
        sleep(waiting.look_again_seconds if waiting.look_again_seconds is not None else 1.0)


def _one_pass(
    clients: Clients, remnant: Remnant, remains: removal.Remains, *, now: Callable[[], datetime]
) -> Finding | None:
    names = remnant.names
    if remnant.has_function:
        detached = removal.detach(clients, names, remains)
        waiting = detached.waiting or removal.remove_objects(
            clients, names, remains, detached, logs_kept_by="no --delete-logs"
        )
        if waiting is not None:
            return waiting
    if not remnant.has_table:
        return None
    return removal.remove_stream(clients, names, remains, now=now, keep_marks=False)
