"""The budget: how often this process calls AWS, of each account, region and limit (limits.py, token_bucket.py).

A call waits here in its own thread, before it is sent: never the event loop, which answers probes and renews the lease.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from humangov.aws.limits import Limit
from humangov.aws.token_bucket import Priority, Ticket, TokenBucket

SHARE = 0.5
_LEAST_SECONDS = 0.001
_WAKES_SECONDS = 1.0  # whoever waits, lest a wake-up is missed
_priority: ContextVar[Priority] = ContextVar("priority", default=Priority.RESYNC)


@contextmanager
def at_priority(value: Priority) -> Iterator[None]:
    """What is called inside, in threads too that take the context along, is called for that reason."""
    token = _priority.set(value)
    try:
        yield
    finally:
        _priority.reset(token)


@dataclass(frozen=True, kw_only=True)
class Waited:
    """A call that may now be made. limit: its name."""

    limit: str
    priority: Priority
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Use:
    """How things are. rates: calls a second that are allowed now, by limit's name, the lowest of all accounts.

    waiting: calls, by priority.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    waiting: Mapping[Priority, int] = field(default_factory=dict)


@dataclass
class _Shared:
    """One bucket, and what its waiters sleep on. A lock each: one account's calls don't wait for another's."""

    bucket: TokenBucket
    lock: threading.Lock = field(default_factory=threading.Lock)
    events: dict[Ticket, threading.Event] = field(default_factory=dict)


class Budget:
    """Of one process. Safe to use from several threads."""

    def __init__(
        self,
        *,
        share: float = SHARE,
        clock: Callable[[], float] = time.monotonic,
        waited: Callable[[Waited], None] = lambda _: None,
        published: bool = True,
    ) -> None:
        """share: of each limit, for resyncs; 0: no call waits. `waited` receives each call that may be made.

        published: what is called has AWS's published limits. If not, no call waits for a limit before the first one
        that is throttled because of it.
        """
        self._share, self._clock, self._waited, self._published = share, clock, waited, published
        self._creating = threading.Lock()
        self._of: dict[tuple[str, str], tuple[Limit, _Shared]] = {}

    def wait(self, limit: Limit, *, where: str) -> None:
        """Until the call may be made, at the present priority. where: account and region."""
        if not self._share:
            return
        why, begun = _priority.get(), self._clock()
        if not self._published and _key(limit, where) not in self._of:
            self._waited(Waited(limit=limit.name, priority=why, seconds=0.0))
            return
        shared = self._shared(limit, where)
        event = threading.Event()
        with shared.lock:
            ticket = shared.bucket.ask(why, now=begun)
            shared.events[ticket] = event
        try:
            while not ticket.granted:
                event.wait(min(max(_LEAST_SECONDS, self._look(shared)), _WAKES_SECONDS))
        finally:
            with shared.lock:
                shared.bucket.withdraw(ticket)
                shared.events.pop(ticket, None)
        self._waited(Waited(limit=limit.name, priority=why, seconds=self._clock() - begun))

    def throttled(self, limit: Limit, *, where: str) -> None:
        """AWS has throttled a call that counts against the limit."""
        if self._share:
            shared = self._shared(limit, where)
            with shared.lock:
                shared.bucket.throttled(now=self._clock())

    def backlog_seconds(self, *, where: str) -> float:
        """How long a resync's call would wait, about, for the limit with the longest queue. where: as of `wait`."""
        waits = [0.0]
        for (place, _), (_, shared) in list(self._of.items()):
            if place == where:
                with shared.lock:
                    waits.append(shared.bucket.backlog_seconds(Priority.RESYNC, now=self._clock()))
        return max(waits)

    def use(self) -> Use:
        rates: dict[str, float] = {}
        waiting = dict.fromkeys(Priority, 0)
        for limit, shared in list(self._of.values()):
            with shared.lock:
                rates[limit.name] = min(shared.bucket.rate, rates.get(limit.name, shared.bucket.rate))
                for one in Priority:
                    waiting[one] += shared.bucket.waiting(one)
        return Use(rates=rates, waiting=waiting)

    def _look(self, shared: _Shared) -> float:
        """Who may call now is woken; in how many seconds to look again."""
        with shared.lock:
            now = self._clock()
            for one in shared.bucket.grant(now=now):
                shared.events[one].set()
            left = shared.bucket.seconds_to_next(now=now)
        return _WAKES_SECONDS if left is None else left

    def _shared(self, limit: Limit, where: str) -> _Shared:
        key = _key(limit, where)
        found = self._of.get(key)
        if found is None:
            with self._creating:
                bucket = TokenBucket(per_second=limit.per_second, share=self._share, now=self._clock())
                found = self._of.setdefault(key, (limit, _Shared(bucket=bucket)))
        return found[1]


def _key(limit: Limit, where: str) -> tuple[str, str]:
    return where.partition("/")[0] if limit.is_global else where, limit.name
