"""Allowed names: which tables, buckets and roles the HumanGovStates of a namespace may name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.spec import Tenant


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """Shell patterns (`*`, `?`, `[a-z]`) of the names that a namespace may use; of roles it is the ARN."""

    tables: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


# Lists in the file → fields of Patterns.
_LISTS = {"tables": "tables", "buckets": "buckets", "roleARNs": "roles"}


@dataclass(frozen=True)
class AllowedNames:
    """Namespace → the names that its HumanGovStates may use; none in a namespace that is not listed."""

    namespaces: Mapping[str, Patterns]

    @classmethod
    def only(cls, namespace: str) -> AllowedNames:
        """The default: the operator's own namespace, any name."""
        return cls({namespace: Patterns(tables=("*",), buckets=("*",), roles=("*",))})

    @classmethod
    def parse(cls, document: Any) -> AllowedNames:
        """From `{namespace: {tables: [pattern…], buckets: […], roleARNs: […]}}`. Raises ValueError with a sentence."""
        if not isinstance(document, Mapping):
            raise ValueError("expected a mapping of namespaces, such as {florida: {tables: [humangov-florida-*], …}}")
        return cls({str(namespace): _patterns(entry, namespace=namespace) for namespace, entry in document.items()})


def not_allowed(tenant: Tenant, allowed: AllowedNames) -> Finding | None:
    """The first name that is not allowed in the tenant's namespace, and what to do; None if all are allowed."""
    patterns = allowed.namespaces.get(tenant.namespace)
    if patterns is None:
        return Finding.action_required(
            "NotAllowed",
            f"--allowed-names does not include namespace {tenant.namespace}. No AWS call was made. Ask the operator's "
            "administrator to add it",
        )
    for kind, name, permitted in _named(tenant, patterns):
        if name is not None and not any(fnmatchcase(name, pattern) for pattern in permitted):
            return Finding.action_required(
                "NotAllowed",
                f"{kind} {name} is not among the allowed names of namespace {tenant.namespace}: "
                f"{', '.join(permitted) or 'none'}. No AWS call was made. Correct the name, or ask the operator's "
                "administrator to change --allowed-names",
            )
    return None


def _named(tenant: Tenant, patterns: Patterns) -> Iterator[tuple[str, str | None, Sequence[str]]]:
    """Every name that a tenant uses: its kind, the name (None: not given), and patterns, one of which must match."""
    yield "table", tenant.table.name, patterns.tables
    yield "bucket", tenant.bucket.name, patterns.buckets
    yield "bucket", tenant.failures.bucket, patterns.buckets
    yield "role", tenant.account.role_arn, patterns.roles
    yield "role", tenant.account.sweep_role_arn, patterns.roles


def _patterns(entry: Any, *, namespace: Any) -> Patterns:
    """One namespace's entry. Raises ValueError with a sentence."""
    if not isinstance(entry, Mapping) or not set(entry) <= set(_LISTS):
        raise ValueError(f"{namespace}: expected the lists tables, buckets and roleARNs, got {entry!r}")
    return Patterns(**{field: _list(entry.get(name), path=f"{namespace}.{name}") for name, field in _LISTS.items()})


def _list(given: Any, *, path: str) -> tuple[str, ...]:
    values = given or []
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise ValueError(f"{path}: expected a list of name patterns, got {values!r}")
    return tuple(values)
