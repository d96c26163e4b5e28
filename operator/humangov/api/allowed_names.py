"""Whether a HumanGovState may be acted on: who may name what, and who was first. Pure; asked before any AWS call."""

from __future__ import annotations

from collections.abc import Mapping
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


# In the file → here.
_KINDS = {"tables": "tables", "buckets": "buckets", "roleARNs": "roles"}


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
        namespaces = {}
        for namespace, entry in document.items():
            if not isinstance(entry, Mapping) or not set(entry) <= set(_KINDS):
                raise ValueError(f"{namespace}: expected the lists tables, buckets and roleARNs, got {entry!r}")
            patterns = {}
            for kind, name in _KINDS.items():
                values = entry.get(kind) or []
                if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
                    raise ValueError(f"{namespace}.{kind}: expected a list of name patterns, got {values!r}")
                patterns[name] = tuple(values)
            namespaces[str(namespace)] = Patterns(**patterns)
        return cls(namespaces)


def not_allowed(tenant: Tenant, allowed: AllowedNames) -> Finding | None:
    patterns = allowed.namespaces.get(tenant.namespace)
    if patterns is None:
        return Finding.needs_person(
            "NotAllowed",
            f"namespace {tenant.namespace} is not among those whose HumanGovStates this operator acts on. Ask who runs "
            "the operator to add it to --allowed-names; no AWS call was made",
        )
    for kind, name, permitted in (
        ("table", tenant.table.name, patterns.tables),
        ("bucket", tenant.bucket.name, patterns.buckets),
        ("bucket", tenant.failures.bucket, patterns.buckets),
        ("role", tenant.account.role_arn, patterns.roles),
        ("role", tenant.account.sweep_role_arn, patterns.roles),
    ):
        if name is not None and not any(fnmatchcase(name, pattern) for pattern in permitted):
            return Finding.needs_person(
                "NotAllowed",
                f"namespace {tenant.namespace} may not name {kind} {name}, only {', '.join(permitted) or 'none'}. "
                "Ask who runs the operator to change --allowed-names; no AWS call was made",
            )
    return None
