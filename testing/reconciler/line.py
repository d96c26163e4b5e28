"""The line that all calls pass, to AWS and to Kubernetes: recorded, counted, failed, lagged, cut by the process's end.

It stands for what lies between the operator and both services: the network, their refusals, and a SIGKILL at any
moment. A call is one step here: it cannot show what the SDK does within one (retries, time-outs, signing), nor two
calls at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from testing.killed import Killed


@dataclass(frozen=True)
class Call:
    """One call, of AWS (`lambda:CreateFunction`) or of the API server (`kube:apply_status`)."""

    action: str
    parameters: Mapping[str, Any]
    writes: bool


@dataclass
class Fault:
    """What happens to calls that `hits` names. `times` None = to each of them. `met`: how often it has happened."""

    hits: Callable[[Call], bool]
    error: BaseException | None = None
    after_effect: bool = False
    alter: Callable[[Any], Any] | None = None
    instead: Callable[[Call], Any] | None = None
    times: int | None = None
    met: int = 0


def on(*actions: str) -> Callable[[Call], bool]:
    return lambda call: call.action in actions


class Line:
    """All calls pass here, AWS's and Kubernetes', and are recorded; here they fail, lag, and the process is killed."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._faults: list[Fault] = []
        self._earlier_faults: list[Fault] = []
        self.kill_after_write: int | None = None
        self.kill_at: tuple[int, str] | None = None  # the number of a call, from 1, and "before" or "after" its effect
        self.dead = False
        self._writes = 0
        self._calls = 0

    @property
    def faults(self) -> list[Fault]:
        """The first that hits a call happens to it."""
        return self._faults

    @faults.setter
    def faults(self, faults: list[Fault]) -> None:
        self._earlier_faults += self._faults
        self._faults = faults

    def never_met(self) -> list[Fault]:
        """Faults that no call met, of those that are set and of earlier ones."""
        return [fault for fault in (*self._earlier_faults, *self._faults) if not fault.met]

    def pass_through(self, call: Call, do: Callable[[], Any]) -> Any:
        if self.dead:
            raise Killed
        self.calls.append(call)
        self._calls += 1
        self._dies("before")
        fault = next((fault for fault in self.faults if fault.times != 0 and fault.hits(call)), None)
        if fault is not None:
            fault.met += 1
            fault.times = None if fault.times is None else fault.times - 1
        if fault is not None and fault.error is not None and not fault.after_effect:
            raise fault.error
        try:
            answer = do() if fault is None or fault.instead is None else fault.instead(call)
        finally:
            self._dies("after")
        if call.writes:
            self._writes += 1
            if self._writes == self.kill_after_write:
                self.dead = True
                raise Killed
        if fault is not None and fault.error is not None:
            raise fault.error
        return fault.alter(answer) if fault is not None and fault.alter is not None else answer

    def _dies(self, side: str) -> None:
        if self.kill_at == (self._calls, side):
            self.dead = True
            raise Killed

    def forget(self) -> list[Call]:
        """The calls so far, which are no longer remembered."""
        cleared, self.calls = self.calls, []
        return cleared

    def start_over(self) -> None:
        """The next call is the first."""
        self.forget()
        self._writes = self._calls = 0

    @property
    def writes_so_far(self) -> int:
        """Of this process, the forgotten ones too."""
        return self._writes

    def reads(self) -> list[str]:
        return [call.action for call in self.calls if not call.writes and not call.action.startswith("kube:")]

    def writes(self) -> list[str]:
        """AWS's."""
        return [call.action for call in self.calls if call.writes and not call.action.startswith("kube:")]

    def kube_writes(self) -> list[str]:
        return [call.action for call in self.calls if call.writes and call.action.startswith("kube:")]
