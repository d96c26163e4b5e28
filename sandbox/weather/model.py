"""The model: what happens to a call is decided by a seed, the call itself, and how often it was made before.

Nothing here reads, writes or waits. A decision depends on no other call's turn, so that calls that race each other
meet the same weather in a second run. What takes AWS time (a young role, a Pending function) depends on the clock as
well; a recording holds that too.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.weather import refusals
from sandbox.weather.answers import Refusal
from sandbox.weather.calls import WeatherCall
from sandbox.weather.forecasts import FORECASTS, Forecast, unknown
from sandbox.weather.objects import Objects

PASSED, REFUSED, RESET, HANGS = "passes", "refused", "reset", "hangs"
LOST_RESET, LOST_FAILED = "lost, then reset", "lost, then 500"
LOST = (LOST_RESET, LOST_FAILED)
IN_A_ROW = 2
"""After so many troubles that pass by themselves, a call of the same kind has none: everything gets done at last."""
Key = tuple[int, str, str, int]


class RecordingError(ValueError):
    """What was given is no recording."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What happens to a call."""

    does: str = PASSED
    kind: str = ""
    """For the counts: throttled, denied, … or the code that AWS refuses with."""
    delay_ms: int = 0
    refusal: Refusal | None = None
    shown: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0
    """Of the longest time that AWS takes for the effect."""

    @property
    def takes_place(self) -> bool:
        """Whether the call reaches AWS."""
        return self.does == PASSED or self.does in LOST


class Weather:
    """Safe to use from several threads. `note` gets each line of the recording; `at` are seconds of any clock."""

    def __init__(
        self, *, forecast: Forecast, seed: int, note: Callable[[str], None] | None = None,
        recorded: Mapping[Key, Decision] | None = None,
    ) -> None:  # fmt: skip
        self.forecast = forecast
        self.seed = seed
        self.counts: Counter[str] = Counter()
        """What happened to calls, by kind; `passed` for those that nothing happened to."""
        self.beyond = 0
        """Calls of a replay that the recording does not know; they met the seed's weather."""
        self._note = note
        self._recorded = recorded
        self._accounts: dict[str, int] = {}
        self._objects: dict[str, Objects] = {}
        self._turns: Counter[tuple[int, str, str]] = Counter()
        self._number = 0
        self._lock = threading.Lock()
        if note:
            note(json.dumps({"forecast": forecast.name, "seed": seed}))

    @classmethod
    def named(cls, name: str, *, seed: int, note: Callable[[str], None] | None = None) -> Weather:
        """Raises ValueError, with a sentence, for a forecast that there is not."""
        if name not in FORECASTS:
            raise ValueError(unknown(name))
        return cls(forecast=FORECASTS[name], seed=seed, note=note)

    @classmethod
    def replay(cls, lines: Iterable[str], *, note: Callable[[str], None] | None = None) -> Weather:
        """The recorded weather again, whatever the order of calls. Raises RecordingError."""
        try:
            first, *others = (json.loads(line) for line in lines if line.strip())
            forecast, seed = FORECASTS[first["forecast"]], int(first["seed"])
            recorded = dict(map(_remembered, others))
        except (ValueError, KeyError, TypeError) as error:
            raise RecordingError(f"This is no recording of weather: {error!r}") from error
        return cls(forecast=forecast, seed=seed, note=note, recorded=recorded)

    def decide(self, call: WeatherCall, *, at: float) -> Decision:
        """What happens to this call, which is counted and noted."""
        with self._lock:
            account = self._accounts.setdefault(call.account, len(self._accounts))
            objects = self._objects.setdefault(call.account, Objects(self.forecast))
            target = objects.target(call)
            self._turns[account, str(call.operation), target] += 1
            turn = self._turns[account, str(call.operation), target]
            key = (account, str(call.operation), target, turn)
            decision = self._remembers(key) or self._decided(call, objects, target=target, turn=turn, at=at)
            self._number += 1
            self.counts[decision.kind or "passed"] += 1
            if self._note:
                self._note(json.dumps(_noted(self._number, key, decision)))
            return decision

    def answered(
        self, call: WeatherCall, decision: Decision, *, status: int, body: bytes, at: float
    ) -> tuple[int, bytes]:
        """The emulator's answer as AWS would give it. To be told of every call that took place."""
        with self._lock:
            return self._objects[call.account].answered(
                call, status=status, body=body, shown=decision.shown, share=decision.share, at=at
            )

    def _remembers(self, key: Key) -> Decision | None:
        if self._recorded is None:
            return None
        found = self._recorded.get(key)
        self.beyond += found is None
        return found

    def _decided(self, call: WeatherCall, objects: Objects, *, target: str, turn: int, at: float) -> Decision:
        forecast = self.forecast
        dice = self._dice(call, target=target, turn=turn)
        delay_ms = forecast.delay_ms if forecast.steady else round(dice.random() * forecast.delay_ms)
        share = 1.0 if forecast.steady else 0.5 + dice.random() / 2
        refusal = (refusals.never(call) or objects.refusal(call, at=at)) if forecast.strict else None
        if refusal is not None:
            return Decision(does=REFUSED, kind=refusal.code, delay_ms=delay_ms, refusal=refusal)
        kind = self._trouble(call, target=target, turn=turn)
        shown = objects.shown(call, at=at)
        match kind:
            case "throttled" | "failed" | "denied" | "busy":
                refusal = _refusal(kind, call, dice)
                return Decision(does=REFUSED, kind=_kind(kind, refusal), delay_ms=delay_ms, refusal=refusal)
            case "reset" | "hangs":
                return Decision(does=kind, kind=kind, delay_ms=delay_ms)
            case "lost":
                does = dice.choice(LOST)
                refusal = refusals.failed(call) if does == LOST_FAILED else None
                return Decision(does=does, kind=kind, delay_ms=delay_ms, refusal=refusal, shown=shown, share=share)
        return Decision(delay_ms=delay_ms, shown=shown, share=share)

    def _trouble(self, call: WeatherCall, *, target: str, turn: int) -> str:
        """What befalls this turn and is transient; empty for nothing, and after IN_A_ROW troubles."""
        thrown = [self._thrown(call, target=target, turn=one) for one in range(max(1, turn - IN_A_ROW), turn + 1)]
        return "" if len(thrown) > IN_A_ROW and all(thrown) else thrown[-1]

    def _thrown(self, call: WeatherCall, *, target: str, turn: int) -> str:
        dice = self._dice(call, target=f"{target}/trouble", turn=turn)
        left = dice.random()
        for kind, share in self.forecast.troubles.items():
            if (kind == "lost" and not call.writes) or (kind == "busy" and not refusals.busy(call)):
                continue
            if left < share:
                return kind
            left -= share
        return ""

    def _dice(self, call: WeatherCall, *, target: str, turn: int) -> random.Random:
        return random.Random(f"{self.seed}/{call.operation}/{target}/{turn}")  # noqa: S311 - weather, no secret


def _refusal(kind: str, call: WeatherCall, dice: random.Random) -> Refusal:
    match kind:
        case "throttled":
            return refusals.throttled(call)
        case "failed":
            return refusals.failed(call)
        case "denied":
            return refusals.denied(call)
    return dice.choice(refusals.busy(call))


def _kind(kind: str, refusal: Refusal) -> str:
    return refusal.code if kind == "busy" else kind


def _noted(number: int, key: Key, decision: Decision) -> dict[str, Any]:
    account, operation, target, turn = key
    line: dict[str, Any] = {
        "number": number, "account": account, "operation": operation, "target": target, "turn": turn,
        "does": decision.does, "kind": decision.kind, "delay_ms": decision.delay_ms, "share": round(decision.share, 3),
        "shown": dict(decision.shown),
    }  # fmt: skip
    if decision.refusal:
        line["refusal"] = vars(decision.refusal)
    return line


def _remembered(line: Mapping[str, Any]) -> tuple[Key, Decision]:
    refusal = Refusal(**line["refusal"]) if "refusal" in line else None
    decision = Decision(
        does=line["does"],
        kind=line["kind"],
        delay_ms=line["delay_ms"],
        refusal=refusal,
        shown=line["shown"],
        share=line["share"],
    )
    return (line["account"], line["operation"], line["target"], line["turn"]), decision
