"""Conflicts: of two HumanGovStates that name the same AWS resources, the older one wins. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from humangov.api.allowed_names import AllowedNames, may_share_failures, not_allowed
from humangov.api.conditions import Finding
from humangov.api.spec import Tenant


def refusal(tenant: Tenant, *, allowed: AllowedNames, others: Iterable[Tenant]) -> Finding | None:
    """Why the tenant may not be acted on, or None."""
    return not_allowed(tenant, allowed) or _conflict_with_older(tenant, allowed, others)


def _conflict_with_older(tenant: Tenant, allowed: AllowedNames, others: Iterable[Tenant]) -> Finding | None:
    for other in sorted(others, key=_seniority):
        if other.uid == tenant.uid or _seniority(other) > _seniority(tenant) or not_allowed(other, allowed):
            continue
        if what := conflict(tenant, other):
            return Finding.action_required(
                "Conflict",
                f"{_older(other, tenant)} is older and names the same {what}. The operator does nothing for this "
                "HumanGovState while the older one exists. Delete one of the two",
            )
        if bucket := _shared_for_failures(tenant, other, allowed):
            return Finding.action_required(
                "Conflict",
                f"an older HumanGovState of another namespace stores its failed invocations in bucket {bucket}, and "
                "both would be mixed. Name another bucket in spec.failures.bucket, or ask the operator's "
                "administrator to list the bucket among the failuresBuckets of both namespaces (--allowed-names)",
            )
    return None


def shared_for_failures(tenant: Tenant, other: Tenant) -> set[str]:
    """The failures buckets of either that the other, of another namespace, names too."""
    if tenant.namespace == other.namespace:
        return set()
    return {
        one.failures.bucket
        for one, another in ((tenant, other), (other, tenant))
        if one.failures.bucket in (another.failures.bucket, another.bucket.name)
    }


def _shared_for_failures(tenant: Tenant, other: Tenant, allowed: AllowedNames) -> str | None:
    """One that they share although the namespace of a HumanGovState whose failed invocations lie in it may not."""
    for bucket in sorted(shared_for_failures(tenant, other)):
        whose = [one for one in (tenant, other) if one.failures.bucket == bucket]
        if not all(may_share_failures(one, allowed) for one in whose):
            return bucket
    return None


def _older(other: Tenant, tenant: Tenant) -> str:
    """Who reads the message may not list what is in other namespaces."""
    known = other.namespace == tenant.namespace
    return f"HumanGovState {other.key}" if known else "a HumanGovState of another namespace"


def conflict(tenant: Tenant, other: Tenant) -> str | None:
    """What both tenants name, although only one may, for people; None if there is no conflict."""
    if tenant.bucket.name == other.bucket.name:
        prefix, others_prefix = tenant.bucket.key_prefix, other.bucket.key_prefix
        if prefix.startswith(others_prefix) or others_prefix.startswith(prefix):
            overlap = f"key prefixes {others_prefix!r} and {prefix!r} overlap"
            if other.namespace != tenant.namespace:
                overlap = f"its key prefix overlaps {prefix!r}"
            return f"files in bucket {tenant.bucket.name} ({overlap})"
    if tenant.region != other.region or _in_different_accounts(tenant, other):
        return None
    if tenant.table.name == other.table.name:
        return f"table {tenant.table.name}"
    if tenant.function.name == other.function.name:
        return f"function {tenant.function.name}"
    return None


def _in_different_accounts(tenant: Tenant, other: Tenant) -> bool:
    return None not in (tenant.account_id, other.account_id) and tenant.account_id != other.account_id


def _seniority(tenant: Tenant) -> tuple[object, str]:
    return tenant.created, tenant.uid
