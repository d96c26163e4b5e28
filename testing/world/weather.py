"""What goes wrong with a call: every kind of fault by service, drawn from the seed and counted when it strikes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

BEFORE = (
    "throttled",
    "server error",
    "no connection",
    "denied",
    "slow and lost",
    "very slow and lost",
    "killed before",
)
AFTER = ("answer lost", "killed after", "slow")
OF_CALLS: Mapping[str, Sequence[str]] = {
    "S3": (*BEFORE, *AFTER),
    "DynamoDB": (*BEFORE, *AFTER),
    "Logs": (*BEFORE, *AFTER, "group gone", "lines rejected"),
    "Streams": (*BEFORE, *AFTER, "iterator expired", "data trimmed"),
    "Lambda": (*BEFORE, *AFTER),
}
"""Of a call: `killed` ends the process that makes it, `answer lost` and `slow` have their effect first."""

OF_KEYS = ("InternalError", "SlowDown", "AccessDenied", "done, InternalError")
"""What S3 answers for single keys within a DeleteObjects."""

_RARE = {"denied": 0.9, "killed before": 0.8, "killed after": 0.8, "group gone": 0.8}
_OFTENER = {"DynamoDB": 1.5, "Streams": 2.2, "Lambda": 2.4}
"""Services that are called seldom: what never strikes shows nothing."""

_OUTLASTED = frozenset(("throttled", "server error", "no connection"))
"""Kinds that the SDK's own retries mostly absorb, for clients that have some."""

_PATIENT_SHARE = 0.15

_SELDOM_ASKED = frozenset(("Streams", "Lambda"))
"""Services that only patient clients call, and few calls a history: there a fault outlasts every retry, or it would
hardly ever strike."""


@dataclass
class Weather:
    """rate: so large a share of calls goes wrong. struck: kind → how often; what never struck was never tried."""

    chance: random.Random
    rate: float = 0.0
    struck: Counter[str] = field(default_factory=Counter)

    def of_call(self, service: str, *, patient: bool) -> str | None:
        seldom = service in _SELDOM_ASKED
        rate = self.rate * (_PATIENT_SHARE if patient and not seldom else 1.0)
        if not rate or self.chance.random() >= rate * _OFTENER.get(service, 1.0):
            return None
        kind = self.chance.choice(OF_CALLS[service])
        rare = 1.0 if seldom else _RARE.get(kind, 1.0)
        if self.chance.random() >= rare or (patient and kind in _OUTLASTED and not seldom):
            return None
        self.struck[f"{service}: {kind}"] += 1
        return kind

    def strikes(self, kind: str, *, share: float = 1.0) -> bool:
        """Whether another kind of fault strikes now, so much more or less often than a call's."""
        if not self.rate or self.chance.random() >= self.rate * share:
            return False
        self.struck[kind] += 1
        return True

    def of_key(self) -> str | None:
        if not self.rate or self.chance.random() >= self.rate * 0.5:
            return None
        kind = self.chance.choice(OF_KEYS)
        self.struck[f"S3 key: {kind}"] += 1
        return kind

    def note(self, kind: str) -> None:
        """A fault that a step of the history is."""
        self.struck[kind] += 1
