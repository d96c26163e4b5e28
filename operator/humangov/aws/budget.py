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
from functools import partial

from humangov.aws.limits import Limit
from humangov.aws.token_bucket import CUT_ONCE_IN_SECONDS, Priority, Ticket, TokenBucket

SHARE = 0.5
_LEAST_SECONDS = 0.001
_WAKES_SECONDS = 1.0  # whoever waits, lest a wake-up is missed


class Reason:
    """Why calls are made. It may come to be more urgent while they wait."""

    def __init__(self, priority: Priority) -> None:
        self._priority = priority
        self._lock = threading.Lock()
        self._waiting: dict[Ticket, Callable[[Priority], None]] = {}

    @property
    def priority(self) -> Priority:
        return self._priority

    def hurry(self, priority: Priority) -> None:
        """From now on no less urgent than that, what waits already too."""
        with self._lock:
            if priority >= self._priority:
                return
            self._priority = priority
            waiting = list(self._waiting.values())
        for hurry in waiting:
            hurry(priority)

    @contextmanager
    def waiting(self, ticket: Ticket, hurry: Callable[[Priority], None]) -> Iterator[None]:
        """Meanwhile `hurry` is called with whatever is more urgent than the ticket's priority."""
        with self._lock:
            self._waiting[ticket] = hurry
            now = self._priority
        if now < ticket.priority:
            hurry(now)
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[ticket]


_reason: ContextVar[Reason] = ContextVar("reason", default=Reason(Priority.RESYNC))  # noqa: B039 - nobody hurries it


@contextmanager
def at_priority(value: Priority) -> Iterator[Reason]:
    """What is called inside, in threads too that take the context along, is called for that reason."""
    reason = Reason(value)
    token = _reason.set(reason)
    try:
        yield reason
    finally:
        _reason.reset(token)


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

    def hurry(self, ticket: Ticket, priority: Priority) -> None:
        with self.lock:
            self.bucket.hurry(ticket, priority)
            if (event := self.events.get(ticket)) is not None:
                event.set()


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

        published: what is called has AWS's published limits. If not, no call waits before the first one is throttled:
        whoever throttles is taken to keep all of these limits.
        """
        self._share, self._clock, self._waited, self._published = share, clock, waited, published
        self._learned_at: float | None = None  # where they are not published
        self._creating = threading.Lock()
        self._of: dict[tuple[str, str], tuple[Limit, _Shared]] = {}

    def wait(self, limit: Limit, *, where: str) -> None:
        """Until the call may be made, at the present priority. where: account and region."""
        if not self._share:
            return
        reason, begun = _reason.get(), self._clock()
        if not self._has_limits:
            self._waited(Waited(limit=limit.name, priority=reason.priority, seconds=0.0))
            return
        shared = self._shared(limit, where)
        event = threading.Event()
        with shared.lock:
            ticket = shared.bucket.ask(reason.priority, now=begun)
            shared.events[ticket] = event
        try:
            with reason.waiting(ticket, partial(shared.hurry, ticket)):
                while not ticket.granted:
                    event.wait(min(max(_LEAST_SECONDS, self._look(shared)), _WAKES_SECONDS))
                    if not ticket.granted:
                        event.clear()  # somebody has hurried it
        finally:
            with shared.lock:
                shared.bucket.withdraw(ticket)
                shared.events.pop(ticket, None)
        self._waited(Waited(limit=limit.name, priority=ticket.priority, seconds=self._clock() - begun))

    def throttled(self, limit: Limit, *, where: str) -> None:
        """AWS has throttled a call that counts against the limit."""
        if not self._share:
            return
        if not self._has_limits:  # no call has waited so far: that says nothing of how high the limit is
            self._learned_at = self._clock()
            self._shared(limit, where)
            return
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

    @property
    def _has_limits(self) -> bool:
        return self._published or self._learned_at is not None

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
                now = self._clock()
                bucket = TokenBucket(per_second=limit.per_second, share=self._share, now=now)
                if self._learned_at is not None and now - self._learned_at < CUT_ONCE_IN_SECONDS:
                    bucket.empty(now=now)  # calls that did not wait are on their way
                found = self._of.setdefault(key, (limit, _Shared(bucket=bucket)))
        return found[1]


def _key(limit: Limit, where: str) -> tuple[str, str]:
    return where.partition("/")[0] if limit.is_global else where, limit.name
