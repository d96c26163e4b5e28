"""Seeing is believing: nothing in the story counts that was not observed before a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.demo.kubectl import KubectlError

T = TypeVar("T")
TRANSIENT = (BotoCoreError, ClientError, KubectlError)
_ANNOUNCE_AFTER_SECONDS = 2.0


class NotObservedError(Exception):
    """What was expected did not show before its deadline."""

    def __init__(self, *, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen: {seen}")
        self.expected = expected
        self.seen = seen


@dataclass(frozen=True)
class Observer:
    """Looks again and again. `seconds`: how long an expectation may take; `stays_seconds`: how long "stays" is."""

    seconds: float
    stays_seconds: float
    announce: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def until(self, see: Callable[[], T], want: Callable[[T], bool], *, expected: str, every: float = 0.05) -> T:
        """Look every `every` seconds until what is seen is wanted; returns it. Raises NotObservedError.

        An error of AWS or kubectl is something seen, too: it may pass.
        """
        begun = self.clock()
        announced = False
        while True:
            try:
                found = see()
                if want(found):
                    return found
                seen = str(found)
            except TRANSIENT as error:
                seen = str(error)
            waited = self.clock() - begun
            if waited > self.seconds:
                raise NotObservedError(expected=f"{expected}, within {self.seconds:.0f} s", seen=seen)
            if waited > _ANNOUNCE_AFTER_SECONDS and not announced:
                announced = True
                self.announce(f"waiting until {expected}")
            self.pause(every)

    def stays(self, see: Callable[[], T], want: Callable[[T], bool], *, expected: str, every: float = 0.1) -> T:
        """Look for `stays_seconds`: what is seen is wanted each time. Raises NotObservedError."""
        begun = self.clock()
        while True:
            found = see()
            if not want(found):
                raise NotObservedError(expected=f"{expected}, for {self.stays_seconds:.0f} s", seen=str(found))
            if self.clock() - begun > self.stays_seconds:
                return found
            self.pause(every)

    def require(self, holds: bool, *, expected: str, seen: object) -> None:
        """Raises NotObservedError unless it holds now."""
        if not holds:
            raise NotObservedError(expected=expected, seen=str(seen))
