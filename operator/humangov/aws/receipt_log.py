"""Writes receipts to the function's log group. No erasure starts before its intent is stored."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from humangov.cleanup.calls import Line, error_code, error_text
from humangov.cleanup.error_codes import is_transient
from humangov.cleanup.retry import retry

EVENTS_PER_CALL = 10_000
BYTES_PER_CALL = 1_048_576
BYTES_PER_EVENT = 26
"""Bytes that CloudWatch adds per event to the size of a call.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""

PAUSES_SECONDS = (0.1, 0.2, 0.4, 0.8)
WITHIN_SECONDS = 5.0
"""No retry starts later than this, because the table was read just before the line is written."""

_LASTING_STATUS = range(400, 500)
_BUSY = ("ServiceUnavailableException", "OperationAbortedException")
"""Transient codes of CloudWatch Logs only, with any status."""

_REJECTED = ("tooNewLogEventStartIndex", "tooOldLogEventEndIndex", "expiredLogEventEndIndex")


class NoReceiptError(Exception):
    """A line could not be stored; the message says why and what to do."""


class ReceiptLog:
    """One log stream for one run. Safe to use from several threads.

    After one failed write, every later write fails too: an erasure without a stored intent must never happen.
    """

    def __init__(
        self, logs: Any, *, log_group: str, now: Callable[[], float], pause: Callable[[float], None], prefix: str
    ) -> None:
        self._logs, self._now, self._pause = logs, now, pause
        day = datetime.fromtimestamp(now(), UTC)
        self._where = {"logGroupName": log_group, "logStreamName": f"{prefix}/{day:%Y/%m/%d}/{uuid.uuid4()}"}
        self._lock = threading.Lock()
        self._opened = False
        self._lost: NoReceiptError | None = None
        self._last_ms = 0

    @property
    def stream_name(self) -> str:
        return self._where["logStreamName"]

    def open(self) -> None:
        """Creates the log stream. Raises NoReceiptError."""
        with self._lock:
            self._open()

    def write(self, lines: Iterable[Line]) -> None:
        """Raises NoReceiptError unless CloudWatch Logs has all of them."""
        with self._lock:
            if self._lost:
                raise self._lost
            texts = [json.dumps(line) for line in lines]
            if not texts:
                return
            self._open()
            self._last_ms = max(self._last_ms, round(self._now() * 1000))
            for part in parts(texts):
                self._put(part)

    def _open(self) -> None:
        if not self._opened:
            self._attempt("CreateLogStream", self._create)
            self._opened = True

    def _create(self) -> Any:
        try:
            return self._logs.create_log_stream(**self._where)
        except Exception as error:
            if error_code(error) != "ResourceAlreadyExistsException":  # the response to the first attempt was lost
                raise
            return {}

    def _put(self, part: Sequence[str]) -> None:
        events = [{"timestamp": self._last_ms, "message": text} for text in part]
        answer = self._attempt("PutLogEvents", lambda: self._logs.put_log_events(**self._where, logEvents=events))
        rejected = answer.get("rejectedLogEventsInfo") or {}
        if any(name in rejected for name in _REJECTED):
            self._fail(
                "PutLogEvents",
                "CloudWatch Logs rejected the lines because of their time. Check this machine's clock. Without a "
                "receipt nothing is erased",
            )

    def _attempt(self, action: str, call: Callable[[], Any]) -> Any:
        try:
            return retry(
                call, retriable=_is_transient, pauses_seconds=PAUSES_SECONDS,
                pause=self._pause, now=self._now, within_seconds=WITHIN_SECONDS,
            )  # fmt: skip
        except Exception as error:
            self._fail(action, _reason(error, self._where["logGroupName"]), error)

    def _fail(self, action: str, reason: str, error: Exception | None = None) -> NoReturn:
        self._lost = NoReceiptError(f"logs:{action}: {reason}")
        raise self._lost from error


def parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in order, in parts as large as one PutLogEvents allows."""
    part: list[str] = []
    size = 0
    for text in texts:
        more = len(text.encode()) + BYTES_PER_EVENT
        if part and (len(part) == EVENTS_PER_CALL or size + more > BYTES_PER_CALL):
            yield part
            part, size = [], 0
        part.append(text)
        size += more
    if part:
        yield part


def _is_transient(error: Exception) -> bool:
    # More errors are retried here than in cleanup/calls.py: a lost receipt is lost forever, and nothing is erased
    # during the retries.
    answer = getattr(error, "response", None)
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(answer, dict) else 0
    code = error_code(error)
    return status not in _LASTING_STATUS or is_transient(code) or code in _BUSY


def _reason(error: Exception, log_group: str) -> str:
    if error_code(error) == "ResourceNotFoundException":
        return (
            f"log group {log_group} does not exist, and without a receipt nothing is erased. The operator creates it: "
            "wait until the HumanGovState is Ready, then run the command again"
        )
    text = error_text(error) or type(error).__name__
    return f"log group {log_group}: {error_code(error)}: {text}. Without a receipt nothing is erased"
