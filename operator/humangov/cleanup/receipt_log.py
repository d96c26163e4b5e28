"""Stores receipts in the function's log group: for the function, redrive, sweep and final stream read.

Nothing is erased before PutLogEvents has answered for its intents.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from .calls import Line, NoReceiptError, error_code, error_text
from .error_codes import is_transient
from .receipt_chain import EMPTY, Link, first_part
from .retry import retry

PAUSES_SECONDS = (0.1, 0.2, 0.4, 0.8)
WITHIN_SECONDS = 5.0
"""No retry starts later than this."""

_TRANSIENT_REFUSALS = ("ServiceUnavailableException", "OperationAbortedException")
"""Transient codes of CloudWatch Logs only."""
_NOT_FOUND = "ResourceNotFoundException"
_PUT = "PutLogEvents"

_REJECTED = ("tooNewLogEventStartIndex", "tooOldLogEventEndIndex", "expiredLogEventEndIndex")


T = TypeVar("T")


class Logs(Protocol):
    """The methods used of boto3's client: IAM actions logs:CreateLogStream, logs:PutLogEvents."""

    def create_log_stream(self, **request: Any) -> Mapping[str, Any]: ...

    def put_log_events(self, **request: Any) -> Mapping[str, Any]: ...


@dataclass
class _Stream:
    name: str
    end: Link = EMPTY


class ReceiptLog:
    """Writes lines to a log stream of its own, and to a next one if it is not known what the first one holds.

    Safe to use from several threads. A line that is stored again in a next stream keeps its `id`.
    """

    def __init__(
        self, logs: Logs, *, log_group: str, now: Callable[[], float], pause: Callable[[float], None], prefix: str
    ) -> None:
        self._logs, self._log_group, self._prefix = logs, log_group, prefix
        self._now, self._pause = now, pause
        self._lock = threading.Lock()
        self._writer, self._written = uuid.uuid4().hex, 0
        self._stream: _Stream | None = None
        self._stream_name: str | None = None
        self._last_ms = 0

    @property
    def stream_name(self) -> str | None:
        """The last stream that was created; None before the first one."""
        return self._stream_name

    def open(self) -> None:
        """Creates the log stream, if there is none. Raises NoReceiptError."""
        with self._lock:
            self._attempt(self._opened)

    def write(self, lines: Iterable[Line], *, stop: Callable[[], bool] = lambda: False) -> None:
        """Raises NoReceiptError unless CloudWatch Logs has all of them. stop: once true, nothing is retried."""
        with self._lock:
            left = [self._with_id(line) for line in lines]
            while left:
                stored = self._attempt(lambda: self._put(left), stop=stop)  # noqa: B023 - called at once
                left = left[stored:]

    def _with_id(self, line: Line) -> Line:
        self._written += 1
        return {**line, "id": f"{self._writer}-{self._written}"}

    def _opened(self) -> _Stream:
        if self._stream is None:
            # A new name for each attempt: whether an attempt without an answer has created one does not matter.
            name = f"{self._prefix}/{datetime.fromtimestamp(self._now(), UTC):%Y/%m/%d}/{uuid.uuid4()}"
            self._logs.create_log_stream(logGroupName=self._log_group, logStreamName=name)
            self._stream, self._stream_name = _Stream(name), name
        return self._stream

    def _put(self, lines: Sequence[Line]) -> int:
        """How many of the first lines one call has stored. Raises NoReceiptError, and what the SDK raises."""
        stream = self._opened()
        part = first_part(lines, after=stream.end)
        # Readers sort by time: a later call's lines come later, even within the same millisecond.
        self._last_ms = max(self._last_ms + 1, round(self._now() * 1000))
        # Whatever ends this call before its answer, what the stream holds is unknown from here on.
        self._stream = None
        try:
            answer = self._logs.put_log_events(
                logGroupName=self._log_group, logStreamName=stream.name,
                logEvents=[{"timestamp": self._last_ms, "message": message} for message in part.messages],
            )  # fmt: skip
        except Exception as error:
            if _is_refusal(error) and error_code(error) != _NOT_FOUND:
                self._stream = stream
            raise
        rejected = answer.get("rejectedLogEventsInfo") or {}
        if any(name in rejected for name in _REJECTED):
            raise NoReceiptError(
                "logs:PutLogEvents: CloudWatch Logs rejected the lines because of their time. Check this machine's "
                "clock. Without a receipt nothing is erased"
            )
        stream.end, self._stream = part.end, stream
        return len(part.messages)

    def _attempt(self, call: Callable[[], T], *, stop: Callable[[], bool] = lambda: False) -> T:
        try:
            return retry(
                call, retriable=_may_succeed, pauses_seconds=PAUSES_SECONDS,
                pause=self._pause, now=self._now, within_seconds=WITHIN_SECONDS, stop=stop,
            )  # fmt: skip
        except NoReceiptError:
            raise
        except Exception as error:
            raise NoReceiptError(_reason(error, self._log_group)) from error


def _status(error: Exception) -> int:
    answer = getattr(error, "response", None)
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) if isinstance(answer, Mapping) else 0


def _is_refusal(error: Exception) -> bool:
    """Whether AWS answered that it did not store the lines; any other error leaves that unknown."""
    return 400 <= _status(error) < 500


def _may_succeed(error: Exception) -> bool:
    # More errors are retried here than in calls.py: nothing is erased during the retries.
    if isinstance(error, NoReceiptError):
        return False
    code = error_code(error)
    deleted = code == _NOT_FOUND and getattr(error, "operation_name", "") == _PUT  # the next attempt creates a stream
    return deleted or not _is_refusal(error) or is_transient(code) or code in _TRANSIENT_REFUSALS


def _reason(error: Exception, log_group: str) -> str:
    action = f"logs:{getattr(error, 'operation_name', _PUT)}"
    if error_code(error) == _NOT_FOUND:
        return (
            f"{action}: log group {log_group} does not exist, and without a receipt nothing is erased. The operator "
            "creates it: wait until the HumanGovState is Ready, then try again"
        )
    text = error_text(error) or type(error).__name__
    return f"{action}: log group {log_group}: {error_code(error)}: {text}. Without a receipt nothing is erased"
