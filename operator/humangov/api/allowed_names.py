"""Allowed names: what the HumanGovStates of a namespace may name in AWS, and whether they may adopt. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.spec import Tenant


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """Shell patterns (`*`, `?`, `[a-z]`) of the names that a namespace may use; of roles and KMS keys it is the ARN.

    buckets    `name`, with any key prefix, or `name/prefix`
    failures_buckets  that hold failed invocations of this namespace beside other namespaces'; a bucket that it may use
               with any key prefix needs no entry, as long as no other namespace names it
    functions  None: only names that begin with `humangov-<name of the HumanGovState>-`
    adoption   whether resources without an ownership tag may be adopted
    """

    tables: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    failures_buckets: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    functions: tuple[str, ...] | None = None
    regions: tuple[str, ...] = ("*",)
    kms_keys: tuple[str, ...] = ()
    adoption: bool = False


# Lists in the file → fields of Patterns.
_LISTS = {
    "tables": "tables", "buckets": "buckets", "failuresBuckets": "failures_buckets", "roleARNs": "roles",
    "functions": "functions", "regions": "regions", "kmsKeyARNs": "kms_keys",
}  # fmt: skip
_ADOPTION = "adoption"


@dataclass(frozen=True)
class AllowedNames:
    """Namespace → the names that its HumanGovStates may use; none in a namespace that is not listed."""

    namespaces: Mapping[str, Patterns]

    @classmethod
    def only(cls, namespace: str) -> AllowedNames:
        """The default: the operator's own namespace, any name."""
        anything = ("*",)
        return cls(
            {
                namespace: Patterns(
                    tables=anything, buckets=anything, failures_buckets=anything, roles=anything, functions=anything,
                    kms_keys=anything, adoption=True,
                )
            }
        )  # fmt: skip

    @classmethod
    def parse(cls, document: Any) -> AllowedNames:
        """From `{namespace: {tables: [pattern…], buckets: […], …, adoption: false}}`. Raises ValueError."""
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
    found = _not_permitted(tenant, (*_identifying(tenant, patterns), *_others(tenant, patterns)))
    if found is not None:
        return found
    if not _may_use_bucket(tenant, patterns):
        prefix = tenant.bucket.key_prefix
        with_prefix = f" with key prefix {prefix!r}" if any("/" in one for one in patterns.buckets) else ""
        return _refused(f"bucket {tenant.bucket.name}{with_prefix} is", tenant, patterns.buckets)
    if not _may_keep_failures(tenant, patterns):
        return _failures_refused(tenant, patterns)
    if tenant.adoption != "Never" and not patterns.adoption:
        return Finding.action_required(
            "NotAllowed",
            f"namespace {tenant.namespace} may not adopt AWS resources (spec.adoption: {tenant.adoption}). Set "
            "spec.adoption: Never, or ask the operator's administrator to change --allowed-names",
        )
    return None


def is_withdrawn(tenant: Tenant, allowed: AllowedNames) -> bool:
    """Whether names that can't be changed, and so were allowed once, are not allowed now.

    What a manifest can still change is only refused: undoing the change is the remedy.
    """
    patterns = allowed.namespaces.get(tenant.namespace)
    if patterns is None or not _may_use_bucket(tenant, patterns):
        return True
    return _not_permitted(tenant, tuple(_identifying(tenant, patterns))) is not None


def _not_permitted(tenant: Tenant, named: Iterable[_Named]) -> Finding | None:
    for kind, name, permitted in named:
        if name is not None and not _matches(name, permitted):
            return _refused(f"{kind} {name} is", tenant, permitted)
    return None


def _refused(what: str, tenant: Tenant, permitted: Sequence[str]) -> Finding:
    return Finding.action_required(
        "NotAllowed",
        f"{what} not among the allowed names of namespace {tenant.namespace}: {', '.join(permitted) or 'none'}. No "
        "AWS call was made. Correct the name, or ask the operator's administrator to change --allowed-names",
    )


_Named = tuple[str, str | None, Sequence[str]]
"""A name that a tenant uses: its kind, the name (None: not given), and patterns, one of which must match."""


def _identifying(tenant: Tenant, patterns: Patterns) -> Iterator[_Named]:
    """The names that can't be changed, but for the bucket's."""
    functions = patterns.functions
    own_functions = (f"humangov-{tenant.name}-*",) if functions is None else functions
    yield "table", tenant.table.name, patterns.tables
    yield "function", tenant.function.name, own_functions
    yield "region", tenant.region, patterns.regions
    yield "role", tenant.account.role_arn, patterns.roles
    yield "role", tenant.account.sweep_role_arn, patterns.roles


def _others(tenant: Tenant, patterns: Patterns) -> Iterator[_Named]:
    """The names that a manifest can change."""
    yield "KMS key", tenant.logs.kms_key_arn, patterns.kms_keys


def may_share_failures(tenant: Tenant, allowed: AllowedNames) -> bool:
    """Whether other namespaces may keep failed invocations in the tenant's failures bucket, as far as it goes."""
    patterns = allowed.namespaces.get(tenant.namespace, Patterns())
    return _matches(tenant.failures.bucket, patterns.failures_buckets)


def _may_keep_failures(tenant: Tenant, patterns: Patterns) -> bool:
    """Lambda decides the keys of failed invocations: they lie under no key prefix of a namespace."""
    whole = [pattern for pattern in patterns.buckets if pattern.partition("/")[2] in ("", "*")]
    names = [pattern.partition("/")[0] for pattern in whole]
    return _matches(tenant.failures.bucket, (*names, *patterns.failures_buckets))


def _failures_refused(tenant: Tenant, patterns: Patterns) -> Finding:
    bucket = tenant.failures.bucket
    if bucket == tenant.bucket.name:
        return Finding.action_required(
            "NotAllowed",
            f"failed invocations can't be stored in bucket {bucket}, because namespace {tenant.namespace} may use "
            "only key prefixes of it. No AWS call was made. Name a bucket of the namespace's own in "
            "spec.failures.bucket, or "
            "ask the operator's administrator to list it as one of its failuresBuckets (--allowed-names)",
        )
    return _refused(
        f"bucket {bucket} (spec.failures.bucket) is", tenant, (*patterns.buckets, *patterns.failures_buckets)
    )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _may_use_bucket(tenant: Tenant, patterns: Patterns) -> bool:
    """Name and key prefix are compared apart: a `*` of the one never matches into the other."""
    for pattern in patterns.buckets:
        name, separator, keys = pattern.partition("/")
        if fnmatchcase(tenant.bucket.name, name) and (not separator or fnmatchcase(tenant.bucket.key_prefix, keys)):
            return True
    return False


def _patterns(entry: Any, *, namespace: Any) -> Patterns:
    """One namespace's entry. Raises ValueError with a sentence."""
    if not isinstance(entry, Mapping) or not set(entry) <= {*_LISTS, _ADOPTION}:
        raise ValueError(f"{namespace}: expected the lists {', '.join(_LISTS)}, and {_ADOPTION}, got {entry!r}")
    adoption = entry.get(_ADOPTION, False)
    if not isinstance(adoption, bool):
        raise ValueError(f"{namespace}.{_ADOPTION}: expected true or false, got {adoption!r}")
    lists: dict[str, Any] = {
        field: _list(entry[name], path=f"{namespace}.{name}") for name, field in _LISTS.items() if name in entry
    }
    return Patterns(adoption=adoption, **lists)


def _list(given: Any, *, path: str) -> tuple[str, ...]:
    values = given or []
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise ValueError(f"{path}: expected a list of name patterns, got {values!r}")
    return tuple(values)
