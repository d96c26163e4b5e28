"""One call, tried again: after which errors, which pauses, and until when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from humangov.cleanup.error_codes import is_transient
from humangov.cleanup.retry import retry


class PassingError(Exception):
    pass


@dataclass
class Call:
    """Fails so often, each attempt after some seconds."""

    failures: int
    error: Callable[[], Exception] = PassingError
    seconds: float = 0.0
    clock: float = 0.0
    tried: int = 0
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> str:
        self.clock += self.seconds
        self.tried += 1
        if self.tried <= self.failures:
            raise self.error()
        return "answer"

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock += seconds

    def retry(self, *, within_seconds: float = 100.0, stop: Callable[[], bool] = lambda: False) -> str:
        return retry(
            self, retriable=lambda error: isinstance(error, PassingError), pauses_seconds=(1.0, 2.0), pause=self.pause,
            now=lambda: self.clock, within_seconds=within_seconds, stop=stop,
        )  # fmt: skip


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_call_is_retried_after_each_pause_until_it_succeeds(failures: int) -> None:
    call = Call(failures)

    assert call.retry() == "answer"
    assert call.pauses == [1.0, 2.0][:failures]


def test_last_transient_error_is_raised_after_all_retries() -> None:
    call = Call(9)

    with pytest.raises(PassingError):
        call.retry()

    assert (call.tried, call.pauses) == (3, [1.0, 2.0])


def test_terminal_error_is_raised_at_once() -> None:
    call = Call(1, error=KeyError)

    with pytest.raises(KeyError):
        call.retry()

    assert (call.tried, call.pauses) == (1, [])


def test_no_retry_starts_after_the_deadline() -> None:
    call = Call(9, seconds=3.0)

    with pytest.raises(PassingError):
        call.retry(within_seconds=4.0)

    assert call.tried == 2


def test_no_retry_starts_after_a_stop_signal() -> None:
    call = Call(9)

    with pytest.raises(PassingError):
        call.retry(stop=lambda: call.clock >= 1.0)

    assert call.tried == 1


@pytest.mark.parametrize(
    "code",
    ["PriorRequestNotComplete", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestTimeout",
     "RequestTimeoutException", "RequestThrottled", "RequestThrottledException", "SlowDown", "Throttling",
     "ThrottlingException", "ThrottledException", "TooManyRequestsException"],
)  # fmt: skip
def test_throttling_and_server_errors_are_transient(code: str) -> None:
    assert is_transient(code)


@pytest.mark.parametrize("code", ["", "AccessDenied", "NoSuchBucket", "RequestTimeTooSkewed", "NotThrottled"])
def test_denials_and_validation_errors_are_not_transient(code: str) -> None:
    assert not is_transient(code)
