"""What long steps share: stopping, AWS's time, and progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

_SHOWN_EVERY_SECONDS = 2.0


class StoppedError(Exception):
    """The sweep must end now; the message says why. Nothing is half done."""


class FailedError(Exception):
    """The sweep can't continue and erases nothing more; the message says what failed and what to do."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of a stage. total: about how many there will be; None: unknown."""

    stage: str
    done: int
    total: int | None
    per_second: float

    @property
    def seconds_left(self) -> float | None:
        if self.total is None or self.per_second <= 0 or self.done > self.total:
            return None
        return (self.total - self.done) / self.per_second


@dataclass
class Steps:
    """Counted from any thread. why_stop: the reason to end, or None; called often, so it must return at once.

    show: receives a Progress, at most one every two seconds.
    """

    why_stop: Callable[[], str | None] = lambda: None
    show: Callable[[Progress], None] = lambda _progress: None
    clock: Callable[[], float] = time.monotonic
    _stage: str = ""
    _total: int | None = None
    _since: float = 0.0
    _shown_at: float = 0.0
    _done: int = field(default=0)

    def check(self) -> None:
        """Raises StoppedError."""
        if reason := self.why_stop():
            raise StoppedError(reason)

    def begin(self, stage: str, *, total: int | None = None) -> None:
        self.check()
        self._stage, self._total, self._done = stage, total, 0
        self._since = self._shown_at = self.clock()

    def add(self, number: int) -> None:
        """Count more items of the stage. Called under the caller's lock."""
        self._done += number
        now = self.clock()
        if now - self._shown_at >= _SHOWN_EVERY_SECONDS:
            self._shown_at = now
            rate = self._done / max(now - self._since, 1e-9)
            self.show(Progress(stage=self._stage, done=self._done, total=self._total, per_second=rate))


def s3_time(answer: Mapping[str, Any]) -> float:
    """S3's time from a response, in seconds since the epoch. It determines the age of files. Raises FailedError."""
    if (at := aws_time(answer)) is None:
        raise FailedError(
            "S3's response has no valid Date header, so the age of files is unknown and no orphan was erased"
        )
    return at


def aws_time(answer: Mapping[str, Any]) -> float | None:
    """AWS's time as it answered: its Date header, whole seconds since the epoch; None if it has none that is valid."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None
