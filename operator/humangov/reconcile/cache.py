"""What the operator knows of the resources: their latest form, and a few facts that only save calls.

Nothing here is truth. It is rebuilt from the API server and AWS after every restart.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypedDict, Unpack

from humangov.api.conditions import Finding
from humangov.api.conflict_candidates import ConflictCandidates
from humangov.api.erasure_limit import LimitedRecords
from humangov.api.spec import InvalidSpecError, Tenant, parse
from humangov.api.stop import Stop, stop_of
from humangov.aws import bucket, log_group
from humangov.aws.bulk.verdict import Confirmation
from humangov.aws.stream_lag import StreamLag
from humangov.kube.client import Resource
from humangov.kube.kept import kept
from humangov.reconcile.code_rollout import Rollout
from humangov.reconcile.due_reads import Reading


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What a reconciliation moments ago observed or wrote; the one that waits for the rest need not read it again."""

    generation: int
    at: float  # monotonic
    observed: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Correction:
    """A change that was made. what: the call, its target and the fields that it set."""

    what: tuple[str, ...]
    generation: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class ReconcilerMemory:
    """Written by the reconciler, at the end of each reconciliation (conclude.py)."""

    reconciliations: int = 0
    settled_generation: int | None = None  # None while anything is in progress
    reading: Reading | None = None  # what single reads showed last of it; None: all is to be read
    bucket: bucket.Observed | None = None  # as the last deep reads saw it
    log_group: log_group.Observed | None = None  # the same
    deep_failed: bool = False  # the last deep reads, or what was written on them, failed
    failures_counted: bool = False  # in this process, and none was left
    carried: Carried | None = None
    read_at: datetime | None = None  # when the stream was last seen to be read
    trigger_problem: str | None = None  # what Lambda reports of its last invocation, if that was a problem
    corrections: tuple[Correction, ...] = ()  # of this generation, lately
    code: str | None = None  # CodeSha256 that the function was last seen with


@dataclass(frozen=True, kw_only=True)
class StatusMemory:
    """Written with each status (status.py)."""

    ready_generation: int | None = None  # the last at which it was Ready
    done_while_failing: frozenset[str] = frozenset()  # since the last reconciliation that did not fail
    stopped: bool = False  # and not Ready again since


@dataclass(frozen=True, kw_only=True)
class FinalizerMemory:
    """Written by the finalizer."""

    absent_since: float | None = None  # monotonic; when everything was first found absent
    deleted: tuple[str, ...] = ()  # what is absent, in order
    existed: tuple[str, ...] = ()  # of that, what this process found and deleted
    final_read_failed: bool = False  # no Job for the final stream read could be created
    mappings: tuple[str, ...] = ()  # written to status.mappings; a definition without that field drops them
    final_event_posted: bool = False


@dataclass(frozen=True, kw_only=True)
class StopMemory:
    """Written by stop.py, at the beginning of each reconciliation and beside it.

    stop        None: the tenant is not stopped
    halted      no new invocation of its function begins
    absent      Lambda has no function of that name: believed the second time
    problem     why it may not be stopped completely
    changed_at  when something was last changed in AWS to stop it, by this process
    ended_at    monotonic; when this process saw the last stop end: what was observed before is no longer so
    """

    stop: Stop | None = None
    halted: bool = False
    absent: bool = False
    timeout_seconds: int | None = None
    problem: Finding | None = None
    changed_at: datetime | None = None
    ended_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Of one tenant, in this process. Each part has one writer; the first three fields are the store's."""

    uid: str
    generation: int = 0
    seen_at: float = 0.0  # monotonic; when the generation was first seen
    reconciler: ReconcilerMemory = ReconcilerMemory()
    status: StatusMemory = StatusMemory()
    finalizer: FinalizerMemory = FinalizerMemory()
    stop: StopMemory = StopMemory()
    stream_lag: Finding | None = None  # written by the stream lag monitor: the last finding from CloudWatch
    deliveries: StreamLag | None = None  # by the same: CloudWatch's last values
    limited: tuple[LimitedRecords, ...] = ()  # written by the erasure limit monitor
    waiting_sweep: str | None = None  # written by the sweep queue: that a sweep waits for its turn, and why
    confirmation: Confirmation | None = None  # written by the bulk read monitor: what the last snapshot says of it


class MemoryParts(TypedDict, total=False):
    """What `Store.remember` replaces: the fields of Memory that are not the store's own."""

    reconciler: ReconcilerMemory
    status: StatusMemory
    finalizer: FinalizerMemory
    stop: StopMemory
    stream_lag: Finding | None
    deliveries: StreamLag | None
    limited: tuple[LimitedRecords, ...]
    waiting_sweep: str | None
    confirmation: Confirmation | None


ANSWERS_COME_WITHIN_SECONDS = 600.0
"""Of a write; kube.client gives up long before."""


@dataclass(frozen=True, kw_only=True)
class _Deleted:
    """The last one of its name that was dropped. at: monotonic."""

    uid: str
    at: float


Place = tuple[str, str]
"""An account and a region."""


@dataclass
class Store:
    """By `namespace/name`.

    stop_of_all   the stop of every tenant, as the ConfigMap was last read
    code_rollout  who has the function's new code, as it was last recorded; None: every tenant
    cluster_uid   of this cluster's namespace kube-system; None: it could not be read yet
    """

    default_region: str
    monotonic: Callable[[], float] = time.monotonic
    stop_of_all: Stop | None = None
    code_rollout: Rollout | None = None
    cluster_uid: str | None = None
    _resources: dict[str, Resource] = field(default_factory=dict)
    _memories: dict[str, Memory] = field(default_factory=dict)
    _tenants: dict[str, Tenant] = field(default_factory=dict)
    _conflict_candidates: ConflictCandidates = field(default_factory=ConflictCandidates)
    _deleted: dict[str, _Deleted] = field(default_factory=dict)  # in the order of their ends
    _provisioned: Counter[Place] = field(default_factory=Counter)

    def put(self, resource: Resource) -> None:
        """Keep the newer of two forms of a resource: watch events may arrive after our own write's answer.

        Of it only what is read of it (kube/kept.py), whoever gave it.
        """
        resource = kept(resource)
        key = key_of(resource)
        known = self._resources.get(key)
        if known is not None and (_version(resource) < _version(known) or resource == known):
            return
        self._forget_deleted()
        deleted = self._deleted.get(key)
        if deleted is not None and deleted.uid == uid_of(resource):
            return  # the answer of a write, later than the event of the deletion
        self._count_provisioned(known, -1)
        self._count_provisioned(resource, 1)
        self._resources[key] = resource
        memory = self._memories.get(key)
        if memory is None or memory.uid != uid_of(resource):
            memory = Memory(uid=uid_of(resource))
        generation = int(resource["metadata"].get("generation") or 0)
        if memory.generation != generation:
            memory = replace(memory, generation=generation, seen_at=self.monotonic())
        self._memories[key] = memory
        self._tenants.pop(key, None)
        self._conflict_candidates.drop(key)
        with contextlib.suppress(InvalidSpecError):
            self._tenants[key] = tenant = parse(resource, default_region=self.default_region)
            self._conflict_candidates.put(tenant)

    def drop(self, key: str, *, uid: str) -> bool:
        """Whether it was dropped: only what has this UID, for whoever had to wait may know of an older one."""
        known = self._resources.get(key)
        if known is None or uid_of(known) != uid:
            return False
        self._forget_deleted()
        self._deleted.pop(key, None)
        self._deleted[key] = _Deleted(uid=uid, at=self.monotonic())
        self._count_provisioned(known, -1)
        for several in (self._resources, self._memories, self._tenants):
            several.pop(key, None)
        self._conflict_candidates.drop(key)
        return True

    def get(self, key: str) -> Resource | None:
        return self._resources.get(key)

    def resources(self) -> Mapping[str, Resource]:
        """Each in its latest form, by key. A form is replaced, never changed."""
        return MappingProxyType(self._resources)

    def memory(self, key: str) -> Memory:
        """An empty one where the resource went while it was reconciled."""
        return self._memories.get(key) or Memory(uid="")

    def remember(self, key: str, *, uid: str, **parts: Unpack[MemoryParts]) -> None:
        """Replace parts of a memory (`reconciler=…`), unless the resource went meanwhile, or is another by now."""
        memory = self._memories.get(key)
        if memory is not None and memory.uid == uid:
            self._memories[key] = replace(memory, **parts)

    def tenant(self, key: str) -> Tenant | None:
        """None: there is no such resource, or it can't be read as a tenant."""
        return self._tenants.get(key)

    def tenants(self) -> list[Tenant]:
        """Every resource that can be read as a tenant."""
        return list(self._tenants.values())

    def conflict_candidates(self, tenant: Tenant) -> list[Tenant]:
        """Of them, the others that may be in conflict with this one (api/conflicts.py decides)."""
        return self._conflict_candidates.of(tenant)

    def uids(self) -> dict[str, str]:
        """The UID of each resource, as it is now."""
        return {key: uid_of(resource) for key, resource in self._resources.items()}

    def provisioned_beside(self, status: Mapping[str, Any]) -> int:
        """How many tenants share AWS's limits with the one of this status: those that have AWS resources there.

        Whoever may create HumanGovStates can't raise that number by any that the operator provisions nothing for.
        """
        return self._provisioned[_place(status)]

    def _count_provisioned(self, resource: Resource | None, number: int) -> None:
        status = (resource or {}).get("status") or {}
        if status.get("aws"):
            self._provisioned[_place(status)] += number

    def stop_of(self, key: str) -> Stop | None:
        """As the tenant's latest form, and the stop of all, say."""
        resource = self._resources.get(key)
        return None if resource is None else stop_of(resource, of_all=self.stop_of_all)

    def _forget_deleted(self) -> None:
        """Those that no answer can be late for any more."""
        last = self.monotonic() - ANSWERS_COME_WITHIN_SECONDS
        while self._deleted and (oldest := next(iter(self._deleted.items())))[1].at < last:
            del self._deleted[oldest[0]]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._resources))


def _place(status: Mapping[str, Any]) -> Place:
    aws = status.get("aws") or {}
    return str(aws.get("accountID", "")), str(aws.get("region", ""))


def key_of(resource: Resource) -> str:
    metadata: Any = resource["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"


def uid_of(resource: Resource) -> str:
    return str(resource["metadata"].get("uid", ""))


def _version(resource: Resource) -> int:
    """Kubernetes 1.35 promises that resource versions of one resource can be compared as numbers."""
    text = str(resource["metadata"].get("resourceVersion", "0"))
    return int(text) if text.isdigit() else 0
