"""Which HumanGovStates may be in conflict with one (conflicts.py), found by name and not among all of them. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from humangov.api.spec import Tenant


class _Name(NamedTuple):
    """A name that only one HumanGovState may have in a region."""

    kind: str
    region: str
    name: str


class ConflictCandidates:
    """Tenants by the names in their specs. To find a tenant's candidates takes no longer among ten thousand others.

    What it finds is in conflict, or nearly so: `conflict` and `refusal` decide.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}
        self._naming: defaultdict[_Name, set[str]] = defaultdict(set)
        # By bucket: (key prefix, key), sorted, so that what begins with a prefix lies together.
        self._prefixes: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        # By (bucket, whether for failed invocations), then by namespace: within one they may share it.
        self._buckets: defaultdict[tuple[str, bool], dict[str, set[str]]] = defaultdict(dict)

    def put(self, tenant: Tenant) -> None:
        """In place of what it was before."""
        self.drop(tenant.key)
        self._tenants[tenant.key] = tenant
        for name in _names(tenant):
            self._naming[name].add(tenant.key)
        insort(self._prefixes[tenant.bucket.name], (tenant.bucket.key_prefix, tenant.key))
        for use in _uses(tenant):
            self._buckets[use].setdefault(tenant.namespace, set()).add(tenant.key)

    def drop(self, key: str) -> None:
        tenant = self._tenants.pop(key, None)
        if tenant is None:
            return
        for name in _names(tenant):
            self._naming[name].discard(key)
            if not self._naming[name]:
                del self._naming[name]
        prefixes = self._prefixes[tenant.bucket.name]
        prefixes.remove((tenant.bucket.key_prefix, key))
        if not prefixes:
            del self._prefixes[tenant.bucket.name]
        for use in _uses(tenant):
            self._drop_use(use, tenant)

    def of(self, tenant: Tenant) -> list[Tenant]:
        """The others that may be in conflict with it, each once, in no order."""
        keys = {*self._same_names(tenant), *self._overlapping(tenant), *self._sharing_failures(tenant)} - {tenant.key}
        return [self._tenants[key] for key in keys]

    def _drop_use(self, use: tuple[str, bool], tenant: Tenant) -> None:
        namespaces = self._buckets[use]
        namespaces[tenant.namespace].discard(tenant.key)
        if not namespaces[tenant.namespace]:
            del namespaces[tenant.namespace]
        if not namespaces:
            del self._buckets[use]

    def _same_names(self, tenant: Tenant) -> Iterator[str]:
        for name in _names(tenant):
            yield from self._naming.get(name, ())

    def _overlapping(self, tenant: Tenant) -> Iterator[str]:
        """Of the same bucket: whose key prefix begins with this one's, or the other way round."""
        prefixes, own = self._prefixes.get(tenant.bucket.name, []), tenant.bucket.key_prefix
        shorter = (own[:length] for length in range(len(own)))
        for prefix in shorter:
            yield from _beginning(prefixes, prefix, exactly=True)
        yield from _beginning(prefixes, own, exactly=False)

    def _sharing_failures(self, tenant: Tenant) -> Iterator[str]:
        """Of other namespaces: where failed invocations of either lie in a bucket that both name."""
        uses = ((tenant.failures.bucket, True), (tenant.failures.bucket, False), (tenant.bucket.name, True))
        for use in uses:
            for namespace, keys in self._buckets.get(use, {}).items():
                if namespace != tenant.namespace:
                    yield from keys


def _names(tenant: Tenant) -> Iterable[_Name]:
    return (
        _Name("table", tenant.region, tenant.table.name),
        _Name("function", tenant.region, tenant.function.name),
    )


def _uses(tenant: Tenant) -> Iterable[tuple[str, bool]]:
    """Buckets, and whether for failed invocations."""
    return (tenant.bucket.name, False), (tenant.failures.bucket, True)


def _beginning(prefixes: list[tuple[str, str]], prefix: str, *, exactly: bool) -> Iterator[str]:
    for number in range(bisect_left(prefixes, (prefix, "")), len(prefixes)):
        found, key = prefixes[number]
        if found != prefix and (exactly or not found.startswith(prefix)):
            return
        yield key
