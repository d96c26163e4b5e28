"""The function behind the event source: the zip under AWS's runtime client, or in this process on the test's clock."""

from __future__ import annotations

import importlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, Self
from unittest import mock

from testing.event_source.answers import Answer
from testing.event_source.clock import StillClock
from testing.event_source.mapping import PAYLOAD_BYTES
from testing.event_source.source import Invoke
from testing.lambda_runtime.runtime_api import FUNCTION_ARN, LOG_GROUP, Invocation, RunningFunction

UNHANDLED = "Unhandled"
"""What Lambda calls an error of the function, and its death."""


class KilledError(BaseException):
    """The function's end at its deadline: nothing in it can catch that, unless it catches everything."""


def under_lambda(function: RunningFunction, *, timeout_ms: int = 300_000) -> Invoke:
    """The zip in a process of its own. The process is killed at the deadline and restarted, as Lambda does."""

    def invoke(event: Any) -> Answer:
        assert len(json.dumps(event)) <= PAYLOAD_BYTES, "Lambda takes 6 MB"
        done: Invocation = function.invoke(event, timeout_ms=timeout_ms, kill=True)
        return Answer(result=done.result, error=UNHANDLED if done.error is not None else None)

    return invoke


class InProcess:
    """A function's unzipped code in this process: fast, on a fake clock, with other clients.

    It goes by what every function does: `boto3.client` at its import, `time.time` and `time.sleep`, a context that
    tells the time left. Its threads run one after the other, so that each run is the same. Not shown: memory, and what
    awslambdaric does around it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        handler: str,
        environment: Mapping[str, str],
        clients: Mapping[str, Any],
        clock: StillClock,
        timeout_seconds: float = 300.0,
        keep_log: bool = False,
    ) -> None:
        self._clock, self._timeout_seconds = clock, timeout_seconds
        self._keep_log = keep_log
        self.lines: list[dict[str, Any]] = []
        module, _, name = handler.rpartition(".")
        with (
            mock.patch("boto3.client", lambda service, **_more: clients[service]),
            mock.patch.dict("os.environ", environment),
        ):
            self._handle = getattr(_load(directory, module, _Time(clock)), name)

    def __call__(self, event: Any) -> Answer:
        deadline = self._clock.now + self._timeout_seconds
        context = _Context(lambda: max(0, round((deadline - self._clock.now) * 1000)))
        log = io.StringIO()
        try:
            with redirect_stdout(log):
                result = self._handle(event, context)
        except KilledError:
            self._clock.now = max(self._clock.now, deadline)
            return Answer(error=UNHANDLED)
        except Exception:
            return Answer(error=UNHANDLED)
        finally:
            if self._keep_log:
                self.lines.extend(json.loads(line) for line in log.getvalue().splitlines())
        if self._clock.now > deadline:
            return Answer(error=UNHANDLED)
        return Answer(result=json.loads(json.dumps(result)))


class _Context:
    def __init__(self, remaining_ms: Callable[[], int]) -> None:
        self.get_remaining_time_in_millis = remaining_ms
        self.aws_request_id = "11111111-2222-3333-4444-555555555555"
        self.function_name = "humangov-california-delete-file"
        self.invoked_function_arn = FUNCTION_ARN
        self.log_group_name = LOG_GROUP


class _Time:
    """Module `time` on the test's clock."""

    def __init__(self, clock: StillClock) -> None:
        self._clock = clock

    def time(self) -> float:
        return self._clock.now

    monotonic = perf_counter = time

    def sleep(self, seconds: float) -> None:
        self._clock.advance(seconds)


class _OneByOne:
    """ThreadPoolExecutor without threads."""

    def __init__(self, *_arguments: Any, **_more: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def map(self, function: Callable[..., Any], *several: Iterable[Any]) -> Iterator[Any]:
        return iter([function(*one) for one in zip(*several, strict=False)])

    def submit(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **more))
        except Exception as error:
            future.set_exception(error)
        return future


_REPLACED = {"time": time, "ThreadPoolExecutor": ThreadPoolExecutor}


def _load(directory: Path, name: str, clock: _Time) -> ModuleType:
    """A copy of the module, and of its package, of its own."""
    package = name.split(".")[0]

    def own_modules() -> list[str]:
        return [one for one in sys.modules if one == package or one.startswith(package + ".")]

    before = {one: sys.modules.pop(one) for one in own_modules()}
    sys.path.insert(0, str(directory))
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        for one in own_modules():
            names = vars(sys.modules[one])
            for found in [found for found, real in _REPLACED.items() if names.get(found) is real]:
                names[found] = clock if found == "time" else _OneByOne
        return module
    finally:
        sys.path.remove(str(directory))
        for one in own_modules():
            del sys.modules[one]
        sys.modules.update(before)
