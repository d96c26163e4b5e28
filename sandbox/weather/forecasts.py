"""What weather there is, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Shares (0 to 1) are of all calls that it can happen to; seconds are the longest, half of them the shortest."""

    name: str
    delay_ms: int = 0
    """At most, for each call."""
    throttled: float = 0.0
    failed: float = 0.0
    """500, and nothing happened."""
    denied: float = 0.0
    busy: float = 0.0
    """What the operation itself may be refused with: conflicts, limits, things in use."""
    reset: float = 0.0
    hangs: float = 0.0
    lost: float = 0.0
    """Of writes: the effect takes place, its answer never comes."""
    hang_seconds: float = 30.0
    """An answer that does not come is not waited for longer; every client's time-out should be shorter."""
    role_seconds: float = 0.0
    """After its creation Lambda can't assume a role, and after a change of its policy not use it."""
    pending_seconds: float = 0.0
    updating_seconds: float = 0.0
    mapping_creating_seconds: float = 0.0
    mapping_updating_seconds: float = 0.0
    mapping_deleting_seconds: float = 0.0
    strict: bool = False
    """Refuse what AWS refuses and the emulator lets through."""
    steady: bool = False
    """Every delay and every time is the longest: what a bench compares with a sum has no luck in it."""

    @property
    def troubles(self) -> dict[str, float]:
        """What is transient: kind → share."""
        return {
            "throttled": self.throttled,
            "failed": self.failed,
            "denied": self.denied,
            "busy": self.busy,
            "reset": self.reset,
            "hangs": self.hangs,
            "lost": self.lost,
        }


CALM = Forecast(name="calm")
BREEZY = Forecast(
    name="breezy",
    delay_ms=40,
    throttled=0.02,
    failed=0.01,
    busy=0.02,
    role_seconds=1.5,
    pending_seconds=1.0,
    updating_seconds=1.0,
    mapping_creating_seconds=1.0,
    mapping_updating_seconds=1.0,
    mapping_deleting_seconds=1.0,
    strict=True,
)
STORMY = Forecast(
    name="stormy",
    delay_ms=200,
    throttled=0.04,
    failed=0.03,
    denied=0.005,
    busy=0.06,
    reset=0.02,
    hangs=0.004,
    lost=0.04,
    role_seconds=4.0,
    pending_seconds=3.0,
    updating_seconds=2.0,
    mapping_creating_seconds=4.0,
    mapping_updating_seconds=3.0,
    mapping_deleting_seconds=4.0,
    strict=True,
)
FORECASTS = {forecast.name: forecast for forecast in (CALM, BREEZY, STORMY)}


def unknown(name: str) -> str:
    """What to tell somebody who asked for weather that there is not."""
    return f"There is no forecast {name!r}; there are {', '.join(FORECASTS)}."
