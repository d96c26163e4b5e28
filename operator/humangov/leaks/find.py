"""What AWS still has of tenants whose HumanGovState is gone: how it is told from all else, and under which names.

A leftover carries our cluster's mark, and the API server, asked after AWS was, has no HumanGovState of that namespace
and name: neither this one nor one that was made anew, which takes over what it finds. Pure, but for `candidates` and
`still_there`, which ask AWS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from humangov.api.names import Identity, Names
from humangov.api.spec import GROUP, KIND, VERSION, InvalidSpecError, parse
from humangov.aws.clients import Clients
from humangov.leaks import inventory
from humangov.leaks.inventory import FUNCTION, LOG_GROUP, MAPPING, ROLE, TABLE, Marked, Reading

NOT_KNOWN = "-"  # which no table and no bucket can be called
_LOG_GROUPS = "/aws/lambda/"


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """ours: by `namespace/name`, of tenants that are not there. others: of how many tenants of which other cluster."""

    ours: Mapping[str, tuple[Marked, ...]]
    others: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Remnant:
    """Of what belongs together, the names; the table's is NOT_KNOWN unless has_table."""

    names: Names
    has_function: bool
    has_table: bool


def key_in(owner: str, *, cluster: str) -> str | None:
    """`namespace/name` of a mark of this cluster; None of any other's."""
    of, _, name = owner.rpartition("/")
    of, _, namespace = of.rpartition("/")
    return f"{namespace}/{name}" if of == cluster and namespace and name else None


def sort(found: Iterable[Marked], *, cluster: str, living: Collection[str], namespaces: Collection[str] = ()) -> Sorted:
    """What of it is left over.

    living      `namespace/name` of every HumanGovState in these namespaces (none named: in all), as told by the API
                server after AWS had been read
    namespaces  those that were asked for; of any other it is not known what lives in it
    """
    ours: dict[str, list[Marked]] = {}
    others: set[tuple[str, str]] = set()
    for one in found:
        key = key_in(one.owner, cluster=cluster)
        if key is None:
            others.add((one.owner.rsplit("/", 2)[0], one.owner))
        elif key not in living and (not namespaces or key.partition("/")[0] in namespaces):
            ours.setdefault(key, []).append(one)
    return Sorted(
        ours={key: tuple(sorted(ours[key])) for key in sorted(ours)},
        others=dict(sorted(Counter(cluster for cluster, _ in others).items())),
    )


def role_names(resources: Iterable[Mapping[str, Any]], *, default_region: str) -> set[str]:
    """Of the tenants that there are."""
    names = set()
    for resource in resources:
        try:
            names.add(parse(resource, default_region=default_region).role_name)
        except InvalidSpecError:
            continue
    return names


def candidates(
    clients: Clients,
    *,
    identity: Identity,
    known_roles: Collection[str],
    living: Collection[str],
    namespaces: Collection[str] = (),
) -> Sorted:
    """Objects that may be left over, each confirmed by its own service; others' are counted unasked. Raises AwsError.

    living: as known before; it spares questions and decides nothing.
    """
    listed = sort(
        inventory.marked(clients, known_roles=known_roles),
        cluster=identity.cluster,
        living=living,
        namespaces=namespaces,
    )
    ours = {key: sorted({*found, *_beside(key, found, identity=identity)}) for key, found in listed.ours.items()}
    return Sorted(ours=still_there(clients, ours), others=listed.others)


def _beside(key: str, found: Sequence[Marked], *, identity: Identity) -> Iterator[Marked]:
    """What most likely stands beside it, should the tagging API not show it yet; it is confirmed like the rest."""
    known = _Known(key=key, identity=identity, keep_logs=True)
    owner = f"{identity.cluster}/{key}"
    try:
        every = [known.names(function=None, table=None)]
        every += [known.names(function=name, table=None) for name in functions_of(found, known=known, readings=())]
    except InvalidSpecError:
        return
    for names in every:
        tenant = names.tenant
        yield Marked(kind=FUNCTION, name=tenant.function.name, arn=names.function_arn, owner=owner)
        yield Marked(kind=ROLE, name=tenant.role_name, arn=names.role_arn, owner=owner)
        yield Marked(kind=LOG_GROUP, name=tenant.log_group_name, arn=names.log_group_arn, owner=owner)


def without(ours: Mapping[str, tuple[Marked, ...]], living: Collection[str]) -> dict[str, tuple[Marked, ...]]:
    """What is left of it, now that the API server has told which tenants there are."""
    return {key: found for key, found in ours.items() if key not in living}


def still_there(clients: Clients, ours: Mapping[str, Sequence[Marked]]) -> dict[str, tuple[Marked, ...]]:
    """What of it carries the same mark still. Raises AwsError."""
    kept = {key: tuple(one for one in found if inventory.confirmed(clients, one) == one) for key, found in ours.items()}
    return {key: found for key, found in kept.items() if found}


def remnants_of(
    key: str,
    found: Sequence[Marked],
    *,
    identity: Identity,
    readings: Sequence[Reading],
    tables: Mapping[str, str | None],
    keep_logs: bool,
) -> list[Remnant]:
    """The names under which a lost tenant's objects are removed: one for each function, and for each table beside.

    A name comes from what was found; the tenant's spec, which knew it, is gone. `tables`: of each function, the table
    in its configuration. Raises InvalidSpecError if a mark is none that the operator has written.
    """
    marked_tables = sorted(one.name for one in found if one.kind == TABLE)
    known = _Known(key=key, identity=identity, keep_logs=keep_logs)
    remnants = []
    for name in sorted(functions_of(found, known=known, readings=readings)):
        read = {one.table for one in readings if one.table and one.function == name}
        told = tables.get(name)
        table = told or _only(read) or _only(marked_tables)
        remnants.append(
            Remnant(names=known.names(function=name, table=table), has_function=True, has_table=bool(table))
        )
    covered = {one.names.tenant.table.name for one in remnants}
    remnants += [
        Remnant(names=known.names(function=None, table=table), has_function=False, has_table=True)
        for table in marked_tables
        if table not in covered
    ]
    return remnants


def functions_of(found: Sequence[Marked], *, known: _Known, readings: Sequence[Reading]) -> set[str]:
    """Names of the functions to which the objects belong or belonged."""
    uuids = {one.name for one in found if one.kind == MAPPING}
    names = {one.name for one in found if one.kind == FUNCTION}
    names |= {one.name.removeprefix(_LOG_GROUPS) for one in found if one.kind == LOG_GROUP}
    names |= {one.function for one in readings if one.uuid in uuids}
    roles = {known.names(function=name, table=None).tenant.role_name for name in names}
    suffix = f"-{known.identity.region}"
    # A role with a digest in its name then stands for a function of a name that never was; the role is right.
    return names | {one.name.removesuffix(suffix) for one in found if one.kind == ROLE and one.name not in roles}


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What of a lost tenant needs no looking for."""

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


def _only(names: Collection[str]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None
