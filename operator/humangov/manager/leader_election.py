"""Leader election: of several operators the one that holds the Lease, the leader, works; the others are standbys.

As client-go does it (https://pkg.go.dev/k8s.io/client-go/tools/leaderelection), with the same durations. The election
that comes with `kubernetes.aio` goes by the wall clock, gives its calls no time limit and never releases the lease.

Each process uses its own monotonic clock: a lease has expired when it has not changed for its duration since it was
first *observed* so. The times that are written into it are for people.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from humangov.api.times import micro_time
from humangov.kube.client import KubeError, Resource

logger = logging.getLogger(__name__)

LEASE_NAME = "humangov-operator"
DURATION_SECONDS = 15  # for which a lease is valid
RENEW_WITHIN_SECONDS = 10.0  # after the last renewal the holder starts nothing new
MARGIN_SECONDS = 1.0  # a holder stops this long before the lease expires; calls in flight then still arrive in time
RETRY_PERIOD_SECONDS = 2.0
# Two attempts that get no answer leave time for a third. From 5 s on aiohttp waits up to a second more.
REQUEST_SECONDS = 3.0
RELEASE_SECONDS = 5.0  # two requests
_SHORTEST_PAUSE_SECONDS = 0.5
_SHORTEST_ATTEMPT_SECONDS = 0.5
_REPEAT_TROUBLE_SECONDS = 60.0
_NOT_TRIED = "no renewal was attempted in time; was the process suspended?"


class LeaseWriter(Protocol):
    """What of the API server an election needs (kube.leases.LeaseWriter; see there for errors)."""

    async def read_lease(self, *, namespace: str, name: str, timeout_seconds: float) -> Resource | None: ...
    async def write_lease(self, lease: Resource, *, timeout_seconds: float) -> Resource: ...


@dataclass(frozen=True)
class ObservedLease:
    """A lease, and since when it has been seen as it is (seconds, monotonic)."""

    lease: Resource
    since: float


def observe_lease(lease: Resource, *, before: ObservedLease | None, now: float) -> ObservedLease:
    """What is known of a lease that was just read."""
    unchanged = before is not None and before.lease.get("spec") == lease.get("spec")
    return ObservedLease(lease, before.since if before is not None and unchanged else now)


def holder(lease: Resource) -> str:
    """The holder; empty if the lease was released."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def expires_at(seen: ObservedLease) -> float:
    """When the lease will have gone without renewal for as long as it lasts (seconds, monotonic)."""
    return seen.since + float((seen.lease.get("spec") or {}).get("leaseDurationSeconds") or DURATION_SECONDS)


def may_acquire(seen: ObservedLease, *, identity: str, now: float) -> bool:
    """Whether we hold the lease already, or it was released, or it has expired."""
    return holder(seen.lease) in ("", identity) or now >= expires_at(seen)


def acquired(lease: Resource | None, *, namespace: str, identity: str, at: datetime) -> Resource:
    """The lease as it is written to take or to renew it. `None`: there is none yet."""
    if lease is None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE_NAME, "namespace": namespace},
        }
        transitions = 0
    else:
        transitions = int((lease.get("spec") or {}).get("leaseTransitions") or 0) + (holder(lease) != identity)
    spec = lease.get("spec") or {}
    return {
        **lease,
        "spec": {
            **spec,
            "holderIdentity": identity,
            "leaseDurationSeconds": DURATION_SECONDS,
            "acquireTime": spec.get("acquireTime") if holder(lease) == identity else micro_time(at),
            "renewTime": micro_time(at),
            "leaseTransitions": transitions,
        },
    }


def released(lease: Resource, *, at: datetime) -> Resource:
    """The lease as its holder writes it on release: a standby need not wait."""
    spec = {
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "acquireTime": micro_time(at),
        "renewTime": micro_time(at),
    }
    return {**lease, "spec": {**(lease.get("spec") or {}), **spec}}


class Election:
    """One process's way to the lease and its hold on it. Belongs to one event loop; `holds` to any thread."""

    def __init__(
        self,
        *,
        leases: LeaseWriter,
        namespace: str,
        identity: str,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`identity` must be no other process's, not even one of the same pod."""
        self.identity = identity
        self.standby = False
        self.trouble: str | None = None  # why the lease could not be read or written
        self._leases = leases
        self._namespace = namespace
        self._rng = rng
        self._clock = clock
        self._sleep = sleep
        self._seen: ObservedLease | None = None
        self._lease: Resource | None = None  # as the API server has it, as far as we know
        self._renewed_at = -math.inf

    def holds(self) -> bool:
        """Whether nobody else can hold the lease for the next moment."""
        return self.seconds_left() > 0

    def seconds_left(self) -> float:
        """For how long we may go on at most; 0 if not at all."""
        return max(0.0, self._renewed_at + DURATION_SECONDS - MARGIN_SECONDS - self._clock())

    async def acquire(self, *, stop: asyncio.Event) -> bool:
        """Wait until this process holds the lease, whatever happens; False if stopped before."""
        logged, logged_at = "", -math.inf
        while not stop.is_set():
            try:
                other = await self._take(self._clock() + 2 * REQUEST_SECONDS)
            except KubeError as error:
                if error.status != 409:  # else somebody was faster
                    self.standby, self.trouble = False, str(error)
                    if self.trouble != logged or self._clock() - logged_at >= _REPEAT_TROUBLE_SECONDS:
                        logger.warning(
                            "%s; without the lease the operator does nothing; retried automatically", self.trouble
                        )
                        logged, logged_at = self.trouble, self._clock()
            else:
                if other is None:
                    self.standby, self.trouble = False, None
                    logger.info("holding the lease %s as %s", LEASE_NAME, self.identity)
                    return True
                self.standby, self.trouble = True, None
                if logged != other:
                    logger.info("waiting for the lease %s, held by %s", LEASE_NAME, other)
                    logged = other
            await self._sleep(self._until_next_try())
        return False

    def _until_next_try(self) -> float:
        wait = RETRY_PERIOD_SECONDS * self._rng.uniform(0.8, 1.2)
        left = expires_at(self._seen) - self._clock() if self._seen is not None else 0.0
        return min(wait, left) if left > 0 else wait

    async def keep(self) -> str:
        """Renew the lease for as long as that can be done; why it can be no longer."""
        problem, pause = _NOT_TRIED, RETRY_PERIOD_SECONDS
        while True:
            deadline = self._renewed_at + RENEW_WITHIN_SECONDS
            await self._sleep(min(pause, max(0.0, deadline - self._clock())))
            if deadline - self._clock() < _SHORTEST_ATTEMPT_SECONDS:
                return f"the lease {LEASE_NAME} could not be renewed for {RENEW_WITHIN_SECONDS:.0f} s ({problem})"
            begun = self._clock()
            try:
                other = await self._renew(deadline)
            except KubeError as error:
                problem = str(error)
                logger.warning("%s; retried automatically", error)
                # What got no answer has waited already.
                pause = max(_SHORTEST_PAUSE_SECONDS, RETRY_PERIOD_SECONDS - (self._clock() - begun))
                continue
            if other is not None:
                self._renewed_at = -math.inf
                return f"the lease {LEASE_NAME} was taken by {other}"
            problem, pause = _NOT_TRIED, RETRY_PERIOD_SECONDS

    async def release(self) -> None:
        """Release the lease, for a standby to take over at once. Call it when nothing runs and nothing renews it."""
        if not self.holds():
            return
        self._renewed_at = -math.inf
        try:
            # Read again: a renewal that was cut short may have arrived.
            lease = await self._leases.read_lease(
                namespace=self._namespace, name=LEASE_NAME, timeout_seconds=RELEASE_SECONDS / 2
            )
            if lease is not None and holder(lease) == self.identity:
                await self._leases.write_lease(
                    released(lease, at=datetime.now(UTC)), timeout_seconds=RELEASE_SECONDS / 2
                )
        except KubeError as error:
            logger.warning("%s; the lease expires in %d s", error, DURATION_SECONDS)

    async def _renew(self, deadline: float) -> str | None:
        """Write the lease as we know it; who else has it, if that is why it can't be. Raises KubeError."""
        began = self._clock()
        try:
            self._lease = await self._write(self._lease, deadline)
        except KubeError as error:
            if error.status not in (404, 409):
                raise
            return await self._take(deadline)
        self._renewed_at = began
        return None

    async def _take(self, deadline: float) -> str | None:
        """Read the lease and acquire it if that is allowed; else returns its holder. Raises KubeError."""
        began = self._clock()
        lease = await self._leases.read_lease(
            namespace=self._namespace, name=LEASE_NAME, timeout_seconds=self._patience(deadline)
        )
        if lease is not None:
            self._seen = observe_lease(lease, before=self._seen, now=self._clock())
            if not may_acquire(self._seen, identity=self.identity, now=self._clock()):
                return holder(lease)
        self._lease = await self._write(lease, deadline)
        self._renewed_at = began
        return None

    async def _write(self, lease: Resource | None, deadline: float) -> Resource:
        own = acquired(lease, namespace=self._namespace, identity=self.identity, at=datetime.now(UTC))
        return await self._leases.write_lease(own, timeout_seconds=self._patience(deadline))

    def _patience(self, deadline: float) -> float:
        return max(_SHORTEST_ATTEMPT_SECONDS, min(REQUEST_SECONDS, deadline - self._clock()))
