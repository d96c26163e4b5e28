"""What happens to a tenant, each as a flow of reconciliations from a world in sync to a world in sync."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from humangov.api.stop import STOP_ANNOTATION

from testing.reconciler.drifts import DRIFTS, Drift
from testing.reconciler.walkthrough import adopting_manifest, set_up_by_hand
from testing.reconciler.world import World

_REFUSALS = frozenset({"denied", "unknown", "stale"})
_TABLE = "humangov-california-dynamodb"


@dataclass(frozen=True)
class Flow:
    """`begin` brings a world to where the flow's first pass begins and gives the tenant's key.

    goes_on: in the process that began, which knows the tenant, and not in a new one
    """

    name: str
    begin: Callable[[World], str]
    ends: Literal["ready", "gone"] = "ready"
    gives_up_at: frozenset[str] = frozenset()  # failures at which it is not to try again
    goes_on: bool = False


def _created(world: World) -> str:
    world.make_table()
    world.make_bucket()
    return world.apply()


def _settled(world: World, **spec: Any) -> str:
    return world.provisioned(tags={"team": "records"}, **spec)


def _updated(world: World) -> str:
    key = _settled(world)

    def change(resource: dict[str, Any]) -> None:
        resource["spec"] |= {
            "function": {"memoryMiB": 1024, "reservedConcurrency": 2},
            "logs": {"retentionDays": 30},
            "trigger": {"batchSize": 5},
            "tags": {"team": "archive"},
            "table": {"name": _TABLE, "fileAttributes": ["pdf", "photo"]},
        }

    world.kube.edit(key, change)
    return key


def _deleted(world: World, *, policy: str) -> str:
    key = _settled(world, deletionPolicy=policy)
    world.delete(key)
    return key


def _started(world: World) -> str:
    """After a stop that settled."""
    key = _settled(world, function={"reservedConcurrency": 2})
    world.kube.edit(
        key, lambda resource: resource["metadata"].setdefault("annotations", {}).update({STOP_ANNOTATION: ""})
    )
    world.settle(key)
    world.kube.edit(key, lambda resource: resource["metadata"]["annotations"].pop(STOP_ANNOTATION))
    return key


def _adopted(world: World) -> str:
    set_up_by_hand(world)
    return world.apply(adopting_manifest(world))


def _drifted(world: World, *, drift: Drift) -> str:
    key = _settled(world)
    drift.by_hand(world)
    return key


def _known_then_drifted(world: World, *, drift: Drift) -> str:
    """Read in full before, so that a snapshot can say what differs."""
    key = _settled(world)
    for _ in range(2):
        world.reconcile_once(key)
    drift.by_hand(world)
    return key


def _stream_switched(world: World, *, on_again: bool) -> str:
    key = _settled(world)
    dynamodb = world.sdk.client("dynamodb")
    dynamodb.update_table(TableName=_TABLE, StreamSpecification={"StreamEnabled": False})
    if on_again:
        enabled = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        dynamodb.update_table(TableName=_TABLE, StreamSpecification=enabled)
    return key


MAIN = (
    Flow("create", _created),
    Flow("update", _updated),
    Flow("delete", partial(_deleted, policy="Delete"), ends="gone"),
    # Retain releases at once where AWS refuses; an event names what kept its ownership tag.
    Flow("retain", partial(_deleted, policy="Retain"), ends="gone", gives_up_at=_REFUSALS),
    Flow("adopt", _adopted),
    Flow("start", _started),
)
REPAIRS = (
    Flow("drift: the stream off", partial(_stream_switched, on_again=False)),
    Flow("drift: the stream off and on", partial(_stream_switched, on_again=True)),
    *(Flow(f"drift: {drift.what}", partial(_drifted, drift=drift)) for drift in DRIFTS),
)
IN_BULK = tuple(
    Flow(f"bulk: {drift.what}", partial(_known_then_drifted, drift=drift), goes_on=True)
    for drift in DRIFTS
    if not drift.deep and not drift.unlisted
)
"""For worlds with bulk reads."""
FLOWS = (*MAIN, *REPAIRS)
