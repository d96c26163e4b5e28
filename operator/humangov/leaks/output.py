"""Leaked AWS resources, and what became of them, for people and for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from humangov.api.spec import KIND
from humangov.aws.removal import Removed
from humangov.leaks.find import LeakedNames
from humangov.leaks.inventory import LOG_GROUP, TABLE, Tagged
from humangov.leaks.remove import FoundLeaks


@dataclass(frozen=True, kw_only=True)
class Leak:
    """The leaked resources of one deleted tenant, `namespace/name`.

    functions  whose other resources belong to it too
    removed    what --delete did; None: without --delete
    """

    key: str
    objects: tuple[Tagged, ...]
    functions: tuple[str, ...] = ()
    removed: Removed | None = None

    @property
    def remains(self) -> bool:
        return self.removed is None or self.removed.waiting is not None


def functions_of(names: Sequence[LeakedNames]) -> tuple[str, ...]:
    return tuple(sorted({one.names.tenant.function.name for one in names if one.has_function}))


def heading(found: FoundLeaks) -> Iterator[str]:
    """What was searched, and what belongs to other clusters."""
    where = f"account {found.identity.account_id}, {found.identity.region}, cluster {found.identity.cluster}"
    count = len(found.leaked)
    what = (
        "no leaked resources"
        if not count
        else f"{count} deleted tenant{'s have' if count > 1 else ' has'} leaked resources"
    )
    yield f"{where}: {what}"
    for cluster, tenants in found.others.items():
        yield (
            f"ignored: resources of {tenants} tenant{'s' if tenants > 1 else ''} of cluster {cluster} "
            "(if that was the name of this cluster before you re-created it, use --cluster-name; if it is the UID of a "
            "cluster in whose place this one is, use --moved-from)"
        )


def lines(leak: Leak, *, keep_logs: bool) -> Iterator[str]:
    """What was found of one tenant, why it is leaked, and what --delete does with it; or what it did."""
    return _description(leak, keep_logs=keep_logs) if leak.removed is None else _result(leak.key, leak.removed)


def as_json(found: FoundLeaks, leaks: Sequence[Leak]) -> dict[str, Any]:
    """leaks: those that were handled. The others are listed as they were found."""
    handled = {one.key: one for one in leaks}
    every = [handled.get(key, Leak(key=key, objects=objects)) for key, objects in found.leaked.items()]
    return {
        "account": found.identity.account_id,
        "region": found.identity.region,
        "cluster": found.identity.cluster,
        "otherClusters": dict(found.others),
        "tenants": [_fields(one) for one in every],
        "remains": any(one.remains for one in every),
    }


def _fields(leak: Leak) -> dict[str, Any]:
    done = leak.removed or Removed()
    return {
        "tenant": leak.key,
        "owner": leak.objects[0].owner,
        "resources": [{"kind": one.kind, "name": one.name} for one in leak.objects],
        "deleted": list(done.deleted),
        "retained": list(done.stays),
        "waiting": done.waiting.message if done.waiting else None,
        "remains": leak.remains,
    }


def _description(leak: Leak, *, keep_logs: bool) -> Iterator[str]:
    owner = leak.objects[0].owner
    yield f"{leak.key}: this {KIND} does not exist, and these resources have its ownership tag ({owner}):"
    for one in leak.objects:
        kept = one.kind == LOG_GROUP and keep_logs
        fate = "would stay, without the ownership tag (--delete-logs deletes it)" if kept else "would be deleted"
        if one.kind == TABLE:
            fate = (
                "would stay, without the operator's tags; its stream is disabled if the operator enabled it and "
                "nothing else reads it"
            )
        yield f"  {one.kind} {one.name}: {fate}"
    if leak.functions:
        yield (
            f"  and every other resource of function {', '.join(leak.functions)} with this tag: its triggers, role and "
            "log group"
        )


def _result(key: str, done: Removed) -> Iterator[str]:
    yield f"{key}: deleted: {', '.join(done.deleted) or 'nothing'}"
    for what in done.stays:
        yield f"  retained: {what}"
    if done.waiting is not None:
        yield f"  not finished: {done.waiting.message}. Run the command again"
