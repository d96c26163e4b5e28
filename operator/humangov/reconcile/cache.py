"""What the operator knows of the resources: their latest form, and a few facts that only save calls.

Nothing here is truth. It is rebuilt from the API server and AWS after every restart.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.spec import InvalidSpecError, Tenant, parse
from humangov.aws import bucket
from humangov.kube.client import Resource


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What a pass moments ago saw or wrote in step; the pass that waits for the rest need not read it again."""

    generation: int
    at: float  # monotonic
    observations: Mapping[str, Any]


@dataclass
class Memory:
    """Of one tenant, in this life of the operator."""

    uid: str
    generation: int = 0
    seen_at: float = 0.0  # when the generation was first seen
    passes: int = 0
    settled_generation: int | None = None  # None while anything is under way
    ready_generation: int | None = None  # the last at which it was Ready
    bucket: bucket.Observed | None = None  # as the last deep pass saw it
    deep_failed: bool = False  # the last deep pass could not read or write something
    came_about: set[str] = field(default_factory=set)  # since the last pass that did not fail
    delivering: Finding | None = None  # what the last look at CloudWatch came to
    trigger_problem: str | None = None  # what Lambda reported of the trigger when it was read last
    failures_counted: bool = False  # in this life, and none was left
    carried: Carried | None = None
    absent_since: float | None = None  # monotonic; when teardown first found everything gone
    gone: dict[str, None] = field(default_factory=dict)  # what teardown has removed, in order
    not_read: bool = False  # the stream's last records, for which no Job could be made
    farewell: bool = False  # the last event has been posted


@dataclass
class Store:
    """By `namespace/name`."""

    default_region: str
    monotonic: Callable[[], float] = time.monotonic
    _resources: dict[str, Resource] = field(default_factory=dict)
    _memories: dict[str, Memory] = field(default_factory=dict)
    _tenants: dict[str, Tenant] = field(default_factory=dict)
    _gone: dict[str, str] = field(default_factory=dict)  # UID of the last one that was dropped

    def put(self, resource: Resource) -> None:
        """Keep the newer of two forms of a resource: watch events may arrive after our own write's answer."""
        key = key_of(resource)
        known = self._resources.get(key)
        if known is not None and _version(resource) < _version(known):
            return
        if self._gone.get(key) == _uid(resource):
            return  # the answer of a write, later than the event of the deletion
        self._resources[key] = resource
        if known is None or _uid(resource) != _uid(known):
            self._memories[key] = Memory(uid=_uid(resource))
        memory, generation = self._memories[key], int(resource["metadata"].get("generation") or 0)
        if memory.generation != generation:
            memory.generation, memory.seen_at = generation, self.monotonic()
        self._tenants.pop(key, None)
        with contextlib.suppress(InvalidSpecError):
            self._tenants[key] = parse(resource, default_region=self.default_region)

    def drop(self, key: str) -> None:
        if key in self._resources:
            self._gone[key] = _uid(self._resources[key])
        for kept in (self._resources, self._memories, self._tenants):
            kept.pop(key, None)

    def get(self, key: str) -> Resource | None:
        return self._resources.get(key)

    def memory(self, key: str) -> Memory:
        """An empty one where the resource went while a pass over it was under way."""
        return self._memories.get(key) or Memory(uid="")

    def tenants(self) -> list[Tenant]:
        """Every resource that can be read as a tenant."""
        return list(self._tenants.values())

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._resources))


def key_of(resource: Resource) -> str:
    metadata: Any = resource["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"


def _uid(resource: Resource) -> str:
    return str(resource["metadata"].get("uid", ""))


def _version(resource: Resource) -> int:
    """Kubernetes 1.35 promises that resource versions of one resource can be compared as numbers."""
    text = str(resource["metadata"].get("resourceVersion", "0"))
    return int(text) if text.isdigit() else 0
