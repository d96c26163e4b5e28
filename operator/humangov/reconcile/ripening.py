"""How often AWS is asked about what it lets ripen: a new role, a function that is set up, a mapping that is created.

That is no failure, and no back-off fits it: one that doubles misses the moment by up to half of the whole wait. It is
asked for at an even pace, from the first moment on; after half a minute, and after two, at a slower one.

Many that wait for the same kind of thing, in one account and region, are not asked for each at that pace, but in turn:
together AT_ONCE_PER_SECOND. The one that has waited longest keeps its own pace, for it is most likely to come first.
What one of them has needed tells the others: they are asked for when they have had as long, and at once if they have
already. Nothing here is truth: it only says when AWS is asked next.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

PACES: Sequence[tuple[float, float]] = ((30.0, 0.3), (120.0, 1.0), (float("inf"), 5.0))
"""Of what has ripened for less than so many seconds, the seconds between two questions."""
FIRST_SECONDS: Mapping[str, float] = {"function": 0.6, "trigger Creating": 1.0}
"""Until the first question: sooner, the answer is hardly ever yes."""
AT_ONCE_PER_SECOND = 4.0
JITTER = 0.1
LEARNED_LASTS_SECONDS = 300.0
_JUST_RIPE_SECONDS = 3.0  # for so long after its expected moment it is asked for at its own pace, whoever else waits
_LEAST_SECONDS = 0.1  # between two questions, however near the expected moment is


@dataclass(frozen=True, kw_only=True)
class Wake:
    """A key that is to be reconciled in `delay` seconds at the latest."""

    key: str
    delay: float


@dataclass
class _Waiting:
    since: float
    due: float


@dataclass
class _Kind:
    """Of one account and region: who waits, and how long the last one took (seconds, and when that was)."""

    waiting: dict[str, _Waiting] = field(default_factory=dict)
    took: float | None = None
    took_at: float = 0.0

    def expected(self, *, now: float) -> float | None:
        is_known = self.took is not None and now - self.took_at < LEARNED_LASTS_SECONDS
        return self.took if is_known else None

    def is_scout(self, key: str, *, now: float) -> bool:
        """Whether it has waited longest of those that may come any moment: what is late by much tells nothing."""
        # In the order in which they began to wait.
        young = (other for other, one in self.waiting.items() if now - one.since < PACES[0][0])
        return next(young, None) == key


@dataclass
class Ripening:
    """Of one process. `where`: account and region. `kind`: what ripens. `key`: namespace/name. Seconds: monotonic."""

    uniform: Callable[[float, float], float] = random.uniform
    _kinds: dict[tuple[str, str], _Kind] = field(default_factory=dict)

    def observed(
        self, key: str, *, where: str, kinds: Collection[str], failed: bool, now: float
    ) -> tuple[float | None, tuple[Wake, ...]]:
        """What a reconciliation found to be ripening; `failed`: it has not shown what became of anything else.

        In how many seconds to ask again (None: nothing ripens), and who else is to be asked for, sooner than planned.
        """
        wakes = self._ended(key, where=where, kinds=kinds, failed=failed, now=now)
        delays = [self._delay(key, where, kind, now=now) for kind in kinds]
        return min(delays, default=None), wakes

    def is_early(self, *, where: str, kind: str, now: float) -> bool:
        """Whether one that begins need not be asked for yet: others of its kind, which began before, still wait."""
        known = self._kinds.get((where, kind))
        return known is not None and any(one.since < now and one.due > now for one in known.waiting.values())

    def ended(self, key: str, *, where: str, kind: str, now: float) -> tuple[Wake, ...]:
        """What the tenant waited for has come, if it did; who else is to be asked for, sooner than planned."""
        known = self._kinds.get((where, kind))
        one = known.waiting.pop(key, None) if known is not None else None
        if known is None or one is None:
            return ()
        known.took, known.took_at = now - one.since, now
        return tuple(self._woken(known, now=now))

    def forget(self, key: str) -> None:
        """The tenant is gone."""
        for kind in self._kinds.values():
            kind.waiting.pop(key, None)

    def waiting(self) -> int:
        """How many tenants wait, each as often as there are things that it waits for."""
        return sum(len(kind.waiting) for kind in self._kinds.values())

    def _ended(
        self, key: str, *, where: str, kinds: Collection[str], failed: bool, now: float
    ) -> tuple[Wake, ...]:  # fmt: skip
        wakes: list[Wake] = []
        for place, name in list(self._kinds):
            if place == where and name in kinds:
                continue
            if failed or place != where:
                self._kinds[place, name].waiting.pop(key, None)
                continue
            wakes += self.ended(key, where=place, kind=name, now=now)
        return tuple(wakes)

    def _woken(self, kind: _Kind, *, now: float) -> list[Wake]:
        """Whoever is to be asked for later than when it has had as long."""
        took, wakes = kind.took or 0.0, []
        for key, other in kind.waiting.items():
            due = max(now, other.since + took)
            if due < other.due:
                other.due = due
                wakes.append(Wake(key=key, delay=due - now))
        return wakes

    def _delay(self, key: str, where: str, name: str, *, now: float) -> float:
        kind = self._kinds.setdefault((where, name), _Kind())
        is_first = key not in kind.waiting
        one = kind.waiting.setdefault(key, _Waiting(since=now, due=now))
        age, expected = now - one.since, kind.expected(now=now)
        own = next(pace for below, pace in PACES if age < below)
        own = FIRST_SECONDS.get(name, own) if is_first else own
        may_come = expected is None or age >= expected
        in_turn = 0.0 if may_come and kind.is_scout(key, now=now) else len(kind.waiting) / AT_ONCE_PER_SECOND
        delay = max(own, in_turn) * self.uniform(1.0, 1 + JITTER)
        if expected is not None:
            left = expected - age
            if left > 0:
                delay = min(delay, max(_LEAST_SECONDS, left))
            elif -left < _JUST_RIPE_SECONDS:
                delay = min(delay, own * self.uniform(1.0, 1 + JITTER))
        one.due = now + delay
        return delay
