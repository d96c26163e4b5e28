"""Leaked AWS resources, whose HumanGovState no longer exists: how they are found, and under which names.

They have this cluster's ownership tag, and the API server, read after AWS, has no HumanGovState of that namespace and
name: neither the old one nor a re-created one, which owns what it finds. Pure, except `find`, which reads both, twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from humangov.api.names import Identity, Names
from humangov.api.spec import GROUP, KIND, VERSION, InvalidSpecError, parse
from humangov.aws.clients import Clients
from humangov.aws.ownership import other_cluster
from humangov.aws.resources import InThread
from humangov.leaks import inventory
from humangov.leaks.inventory import FUNCTION, LOG_GROUP, MAPPING, ROLE, TABLE, ListedMapping, Tagged

NOT_KNOWN = "-"  # which no table and no bucket can be called
_LOG_GROUPS = "/aws/lambda/"

Leaked = Mapping[str, tuple[Tagged, ...]]
"""By `namespace/name`, of tenants that do not exist."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What may be leaked.

    others     how many tenants of which other cluster have resources
    undecided  keys of tenants that do not exist, whose resources may be another cluster's of the same name: the UID
               of this one is not known
    """

    leaked: Leaked
    others: Mapping[str, int]
    undecided: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Living:
    """The existing tenants, as known before AWS is read: it saves calls and decides nothing.

    keys        `namespace/name` of every HumanGovState
    role_names  theirs
    """

    keys: Collection[str]
    role_names: Collection[str]


@dataclass(frozen=True, kw_only=True)
class LeakedNames:
    """Under which names objects that belong together are removed; the table's is NOT_KNOWN unless has_table."""

    names: Names
    has_function: bool
    has_table: bool


async def find(
    clients: Clients,
    *,
    identity: Identity,
    living: Living,
    list_living: Callable[[], Awaitable[Collection[str]]],
    in_thread: InThread[Any],
    pause: Callable[[], Awaitable[None]],
    namespaces: Collection[str] = (),
    key: str | None = None,
) -> Candidates:
    """What AWS shows twice, seconds apart, and for which the API server, read after each time, has no HumanGovState.

    list_living  `namespace/name` of every HumanGovState in these namespaces (none named: in all), read again
    pause        a deletion in progress ends during it, or a new HumanGovState appears
    key          of one tenant only

    Raises AwsError, and what list_living does.
    """
    found: Candidates = await in_thread(
        partial(_candidates, clients, identity=identity, living=living, namespaces=namespaces)
    )
    leaked: Leaked = {one: objects for one, objects in found.leaked.items() if key in (None, one)}
    if leaked:
        leaked = _without(leaked, await list_living())
    if leaked:
        await pause()
        leaked = await in_thread(partial(_still_there, clients, leaked, identity=identity))
        leaked = _without(leaked, await list_living())
    return replace(found, leaked=leaked)


def keys_of(states: Iterable[Mapping[str, Any]]) -> set[str]:
    """`namespace/name` of each HumanGovState."""
    return {f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in states}


def role_names(states: Iterable[Mapping[str, Any]], *, default_region: str) -> set[str]:
    """Of the existing tenants."""
    names = set()
    for state in states:
        try:
            names.add(parse(state, default_region=default_region).role_name)
        except InvalidSpecError:
            continue
    return names


def leaked_names(
    key: str,
    found: Sequence[Tagged],
    *,
    identity: Identity,
    mappings: Sequence[ListedMapping],
    tables: Mapping[str, str | None],
    keep_logs: bool,
) -> list[LeakedNames]:
    """The names under which a deleted tenant's resources are deleted: one for each function, and for each table beside.

    A name comes from what was found; the tenant's spec no longer exists. `tables`: of each function, the table
    in its configuration. Raises InvalidSpecError if the operator can't have written an ownership tag.
    """
    tagged_tables = sorted(one.name for one in found if one.kind == TABLE)
    deleted = _DeletedTenant(key=key, identity=identity, keep_logs=keep_logs)
    named = []
    for name in sorted(_functions(found, deleted=deleted, mappings=mappings)):
        read = {one.table for one in mappings if one.table and one.function == name}
        table = tables.get(name) or _only(read) or _only(tagged_tables)
        names = deleted.names(function=name, table=table)
        named.append(LeakedNames(names=names, has_function=True, has_table=bool(table)))
    covered = {one.names.tenant.table.name for one in named}
    named += [
        LeakedNames(names=deleted.names(function=None, table=table), has_function=False, has_table=True)
        for table in tagged_tables
        if table not in covered
    ]
    return named


@dataclass(frozen=True, kw_only=True)
class _DeletedTenant:
    """What is known of it without a spec."""

    key: str
    identity: Identity
    keep_logs: bool

    def names(self, *, function: str | None, table: str | None) -> Names:
        """Raises InvalidSpecError."""
        namespace, _, name = self.key.partition("/")
        spec: dict[str, Any] = {
            "table": {"name": table or NOT_KNOWN},
            "bucket": {"name": NOT_KNOWN},  # no removal touches one
            "logs": {"onDelete": "Retain" if self.keep_logs else "Delete"},
        }
        if function:
            spec["function"] = {"name": function}
        resource = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"namespace": namespace, "name": name},
            "spec": spec,
        }
        return Names(tenant=parse(resource, default_region=self.identity.region), identity=self.identity)


def _candidates(clients: Clients, *, identity: Identity, living: Living, namespaces: Collection[str]) -> Candidates:
    """Objects that may be leaked, each confirmed by its own service; those of other clusters are only counted.

    Raises AwsError.
    """
    tagged = inventory.tagged(clients, known_roles=living.role_names)
    listed = _by_tenant(tagged, identity=identity, living=living.keys, namespaces=namespaces)
    leaked = {key: sorted({*found, *_beside(key, found, identity=identity)}) for key, found in listed.leaked.items()}
    return replace(listed, leaked=_still_there(clients, leaked, identity=identity))


def _by_tenant(
    found: Iterable[Tagged], *, identity: Identity, living: Collection[str], namespaces: Collection[str]
) -> Candidates:
    """What of it is of a tenant that does not exist; other namespaces were not read, so nothing is known of them."""
    owned: dict[str, list[Tagged]] = {}
    others: set[tuple[str, str]] = set()
    undecided: set[str] = set()
    for one in found:
        key, uid = _key_in(one.owner, cluster=identity.cluster), other_cluster(one.of_cluster, identity)
        if key is None:
            others.add((one.owner.rsplit("/", 2)[0], one.owner))
        elif uid is not None and identity.cluster_uid is not None:
            others.add((f"{identity.cluster} (UID {uid})", one.owner))
        elif uid is not None:
            undecided |= {key} - {*living}
        elif key not in living and (not namespaces or key.partition("/")[0] in namespaces):
            owned.setdefault(key, []).append(one)
    return Candidates(
        leaked={key: tuple(sorted(owned[key])) for key in sorted(owned)},
        others=dict(sorted(Counter(cluster for cluster, _ in others).items())),
        undecided=frozenset(undecided),
    )


def _key_in(owner: str, *, cluster: str) -> str | None:
    """`namespace/name` of an ownership tag of this cluster; None of any other's."""
    of, _, name = owner.rpartition("/")
    of, _, namespace = of.rpartition("/")
    return f"{namespace}/{name}" if of == cluster and namespace and name else None


def _beside(key: str, found: Sequence[Tagged], *, identity: Identity) -> Iterator[Tagged]:
    """What most likely stands beside it, should the tagging API not show it yet; it is confirmed like the rest."""
    deleted = _DeletedTenant(key=key, identity=identity, keep_logs=True)
    owner = f"{identity.cluster}/{key}"
    try:
        every = [deleted.names(function=None, table=None)]
        every += [deleted.names(function=name, table=None) for name in _functions(found, deleted=deleted, mappings=())]
    except InvalidSpecError:
        return
    for names in every:
        tenant = names.tenant
        yield Tagged(kind=FUNCTION, name=tenant.function.name, arn=names.function_arn, owner=owner)
        yield Tagged(kind=ROLE, name=tenant.role_name, arn=names.role_arn, owner=owner)
        yield Tagged(kind=LOG_GROUP, name=tenant.log_group_name, arn=names.log_group_arn, owner=owner)


def _functions(found: Sequence[Tagged], *, deleted: _DeletedTenant, mappings: Sequence[ListedMapping]) -> set[str]:
    """Names of the functions to which the objects belong or belonged. Raises InvalidSpecError."""
    uuids = {one.name for one in found if one.kind == MAPPING}
    names = {one.name for one in found if one.kind == FUNCTION}
    names |= {one.name.removeprefix(_LOG_GROUPS) for one in found if one.kind == LOG_GROUP}
    names |= {one.function for one in mappings if one.uuid in uuids}
    roles = {deleted.names(function=name, table=None).tenant.role_name for name in names}
    suffix = f"-{deleted.identity.region}"
    # A role with a digest in its name then stands for a function of a name that never was; the role is right.
    return names | {one.name.removesuffix(suffix) for one in found if one.kind == ROLE and one.name not in roles}


def _without(leaked: Leaked, living: Collection[str]) -> Leaked:
    return {key: found for key, found in leaked.items() if key not in living}


def _still_there(clients: Clients, leaked: Mapping[str, Sequence[Tagged]], *, identity: Identity) -> Leaked:
    """What still has the same ownership tag, and no other cluster's UID. Raises AwsError."""

    def is_kept(one: Tagged) -> bool:
        found = inventory.confirmed(clients, one)
        return found == one and other_cluster(found.of_cluster, identity) is None

    kept = {key: tuple(one for one in found if is_kept(one)) for key, found in leaked.items()}
    return {key: found for key, found in kept.items() if found}


def _only(names: Collection[str]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None
