"""One limit of AWS's, shared by all that call: a token bucket with priorities, slower where AWS throttles. Pure.

It knows no clock but the `now` (seconds, monotonic) that it is given. `grant` says who may call:

- The higher priority comes first. But every FAIR_EVERYth token goes to whoever has waited the longest: none starves.
  While AWS throttles nothing, each second of these leaves RESYNC out: the few calls of a new tenant do not stand behind
  hundreds of old resyncs.
- RESYNC, which nobody waits for, has no more than `share` of AWS's limit; all together have MOST of it. What is left is
  for whoever else calls AWS in that account.
- Where AWS throttles all the same, somebody else calls it too, or the limit is lower than was thought: the rate is
  cut, and grows again slowly (additive increase, multiplicative decrease).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

MOST = 0.9
KEPT_SECONDS = 0.5
"""Of the tokens that nobody takes. AWS publishes rates, and of most no burst. A call arrives later than it may be made,
and on a busy machine several of them at once: what would fit AWS's limit as it is granted does not as it arrives."""
FAIR_EVERY = 4
CUT, LEAST, GROWTH = 0.5, 0.05, 0.02
"""What a throttled call leaves of the rate; the least that is ever left of it; what it grows by in a second."""
CUT_ONCE_IN_SECONDS = 1.0  # calls that were on their way together are throttled together


class Priority(IntEnum):
    """Why AWS is called. The lower, the sooner."""

    STOP = 0
    DELETION = 1
    EDIT = 2
    NEW = 3
    WAITING = 4
    RESYNC = 5


@dataclass(eq=False)
class Ticket:
    """One call that is to be made."""

    priority: Priority
    since: float
    granted: bool = False


@dataclass
class _Tokens:
    """per_second, and the most that are kept: those of KEPT_SECONDS, but one at least."""

    per_second: float
    left: float
    at: float

    def refill(self, *, now: float, factor: float) -> None:
        rate = self.per_second * factor
        self.left = min(_kept(rate), self.left + max(0.0, now - self.at) * rate)
        self.at = max(self.at, now)

    def seconds_to_one(self, *, factor: float) -> float:
        return 0.0 if self.left >= 1 else (1 - self.left) / (self.per_second * factor)


def _kept(rate: float) -> float:
    return max(1.0, rate * KEPT_SECONDS)


@dataclass
class TokenBucket:
    """per_second: AWS's limit. share: of it, for RESYNC (0 to 1)."""

    per_second: float
    share: float
    now: float
    factor: float = 1.0  # what throttling has left of the rate
    _all: _Tokens = field(init=False)
    _of_resync: _Tokens = field(init=False)
    _queues: dict[Priority, deque[Ticket]] = field(default_factory=lambda: {one: deque() for one in Priority})
    _grants: int = 0
    _cut_at: float | None = None
    _grown_at: float = field(init=False)

    def __post_init__(self) -> None:
        whole, resync = self.per_second * MOST, self.per_second * min(self.share, MOST)
        self._all = _Tokens(per_second=whole, left=_kept(whole), at=self.now)
        self._of_resync = _Tokens(per_second=resync, left=_kept(resync), at=self.now)
        self._grown_at = self.now

    def ask(self, priority: Priority, *, now: float) -> Ticket:
        """Wait for a token."""
        ticket = Ticket(priority=priority, since=now)
        self._queues[priority].append(ticket)
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Whoever waited waits no more."""
        if not ticket.granted and ticket in self._queues[ticket.priority]:
            self._queues[ticket.priority].remove(ticket)

    def hurry(self, ticket: Ticket, priority: Priority) -> None:
        """Whoever waits has come to be more urgent."""
        if not ticket.granted and priority < ticket.priority and ticket in self._queues[ticket.priority]:
            self._queues[ticket.priority].remove(ticket)
            ticket.priority = priority
            self._queues[priority].append(ticket)

    def grant(self, *, now: float) -> list[Ticket]:
        """Who may call now, in order."""
        self._refill(now=now)
        granted: list[Ticket] = []
        while (ticket := self._next()) is not None:
            self._queues[ticket.priority].popleft()
            self._all.left -= 1
            self._of_resync.left -= ticket.priority is Priority.RESYNC
            self._grants += 1
            ticket.granted = True
            granted.append(ticket)
        return granted

    def seconds_to_next(self, *, now: float) -> float | None:
        """When `grant` may have somebody next; None: nobody waits."""
        self._refill(now=now)
        priorities = [priority for priority, tickets in self._queues.items() if tickets]
        if not priorities:
            return None
        wait = self._all.seconds_to_one(factor=self.factor)
        if priorities == [Priority.RESYNC]:
            wait = max(wait, self._of_resync.seconds_to_one(factor=self.factor))
        return wait

    def throttled(self, *, now: float) -> None:
        """AWS has throttled a call."""
        self._refill(now=now)
        if self._cut_at is not None and now - self._cut_at < CUT_ONCE_IN_SECONDS:
            return
        self.factor, self._cut_at = max(LEAST, self.factor * CUT), now
        self._all.left = min(self._all.left, 0.0)

    def empty(self, *, now: float) -> None:
        """What could be kept was used, by calls that this bucket was not asked for."""
        self._refill(now=now)
        self._all.left = self._of_resync.left = 0.0
        self._cut_at = now  # those that are on their way say no more than this one

    def waiting(self, priority: Priority) -> int:
        return len(self._queues[priority])

    def backlog_seconds(self, priority: Priority, *, now: float) -> float:
        """How long one that asked now would wait, about: what is before it, at the present rate."""
        self._refill(now=now)
        before = sum(len(tickets) for one, tickets in self._queues.items() if one <= priority)
        tokens = self._of_resync if priority is Priority.RESYNC else self._all
        return max(0.0, before + 1 - tokens.left) / (tokens.per_second * self.factor)

    @property
    def rate(self) -> float:
        """Calls a second, of all together."""
        return self._all.per_second * self.factor

    def _refill(self, *, now: float) -> None:
        self._all.refill(now=now, factor=self.factor)
        self._of_resync.refill(now=now, factor=self.factor)
        if now > self._grown_at:
            self.factor = min(1.0, self.factor + (now - self._grown_at) * GROWTH)
            self._grown_at = now

    def _next(self) -> Ticket | None:
        if self._all.left < 1:
            return None
        heads = [
            tickets[0]
            for priority, tickets in self._queues.items()
            if tickets and (priority is not Priority.RESYNC or self._of_resync.left >= 1)
        ]
        if not heads:
            return None
        if self._grants % FAIR_EVERY == FAIR_EVERY - 1:
            is_for_all = self.factor < 1 or self._grants // FAIR_EVERY % 2 == 1
            waited_for = [ticket for ticket in heads if is_for_all or ticket.priority is not Priority.RESYNC]
            return min(waited_for or heads, key=lambda ticket: (ticket.since, ticket.priority))
        return min(heads, key=lambda ticket: ticket.priority)
