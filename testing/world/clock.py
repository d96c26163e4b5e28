"""The world's clock: true time, and the order in which things happened; and hosts whose clocks are wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from testing.event_source.clock import StillClock

HOUR, DAY = 3600.0, 86_400.0


@dataclass
class WorldClock(StillClock):
    """now: true time, as S3 and DynamoDB know it, seconds since the epoch. moment: rises with each thing that happens.

    That the clocks of S3 and DynamoDB agree is assumed: nothing in AWS's answers could show that they do not.
    """

    moment: int = 0

    def tick(self) -> int:
        self.moment += 1
        return self.moment


@dataclass
class HostClock:
    """The clock of a machine that runs our code. wrong_by: seconds; it may be set at any time, as NTP does."""

    true: WorldClock
    wrong_by: float = 0.0

    def time(self) -> float:
        return self.true.now + self.wrong_by

    def sleep(self, seconds: float) -> None:
        self.true.advance(max(0.0, seconds))

    def monotonic(self) -> float:
        return self.true.now


@dataclass
class Hosts:
    """Every host clock of one history, by name."""

    true: WorldClock
    clocks: dict[str, HostClock] = field(default_factory=dict)

    def of(self, name: str) -> HostClock:
        return self.clocks.setdefault(name, HostClock(self.true))
