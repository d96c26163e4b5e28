"""Who may name what: the names that each namespace's HumanGovStates may use. Pure; asked before any AWS call."""

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
    """Namespace → what its HumanGovStates may name. A namespace that is not listed may name nothing."""

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
    """Which name the tenant's namespace may not use, and what to do; None if it may use all."""
    patterns = allowed.namespaces.get(tenant.namespace)
    if patterns is None:
        return Finding.action_required(
            "NotAllowed",
            f"namespace {tenant.namespace} is not among those whose HumanGovStates this operator acts on. Ask who runs "
            "the operator to add it to --allowed-names; no AWS call was made",
        )
    for kind, name, permitted in _named(tenant, patterns):
        if name is not None and not any(fnmatchcase(name, pattern) for pattern in permitted):
            return Finding.action_required(
                "NotAllowed",
                f"namespace {tenant.namespace} may not name {kind} {name}, only {', '.join(permitted) or 'none'}. "
                "Ask who runs the operator to change --allowed-names; no AWS call was made",
            )
    return None


def _named(tenant: Tenant, patterns: Patterns) -> Iterator[tuple[str, str | None, Sequence[str]]]:
    """All that a tenant names: its kind, the name (None: not named), and the patterns of which it must match one."""
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
