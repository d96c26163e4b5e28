"""Lines of proof into the function's log group: stored before the erasure that they announce, or it does not begin."""

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
"""What CloudWatch adds to each event when it counts a call's size.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""

PAUSES_SECONDS = (0.1, 0.2, 0.4, 0.8)
WITHIN_SECONDS = 5.0
"""No further attempt begins later: whatever is erased was read live shortly before its line is written."""

_LASTING_STATUS = range(400, 500)
_BUSY = ("ServiceUnavailableException", "OperationAbortedException")
"""What only CloudWatch Logs says of a moment, whatever the status."""

_REJECTED = ("tooNewLogEventStartIndex", "tooOldLogEventEndIndex", "expiredLogEventEndIndex")


class NoReceiptError(Exception):
    """A line could not be stored; the message says why and what to do."""


class ReceiptLog:
    """One log stream for one run. Safe to use from several threads.

    After a line was lost nothing more is taken: what the lost line was to announce must not happen later either.
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
        """Makes the log stream. Raises NoReceiptError."""
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
            if error_code(error) != "ResourceAlreadyExistsException":  # the answer to the first attempt was lost
                raise
            return {}

    def _put(self, part: Sequence[str]) -> None:
        events = [{"timestamp": self._last_ms, "message": text} for text in part]
        answer = self._attempt("PutLogEvents", lambda: self._logs.put_log_events(**self._where, logEvents=events))
        rejected = answer.get("rejectedLogEventsInfo") or {}
        if any(name in rejected for name in _REJECTED):
            self._fail(
                "PutLogEvents",
                "lines refused for their time: is this machine's clock right? Without a receipt nothing is erased",
            )

    def _attempt(self, action: str, call: Callable[[], Any]) -> Any:
        try:
            return retry(
                call, passes=_may_pass, pauses_seconds=PAUSES_SECONDS,
                pause=self._pause, now=self._now, within_seconds=WITHIN_SECONDS,
            )  # fmt: skip
        except Exception as error:
            self._fail(action, _reason(error, self._where["logGroupName"]), error)

    def _fail(self, action: str, reason: str, error: Exception | None = None) -> NoReturn:
        self._lost = NoReceiptError(f"logs:{action}: {reason}")
        raise self._lost from error


def parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Texts in their order, as many at a time as one PutLogEvents takes."""
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


def _may_pass(error: Exception) -> bool:
    # More passes here than in cleanup/calls.py: a receipt is lost for good, and nothing is erased meanwhile.
    answer = getattr(error, "response", None)
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(answer, dict) else 0
    code = error_code(error)
    return status not in _LASTING_STATUS or is_transient(code) or code in _BUSY


def _reason(error: Exception, log_group: str) -> str:
    if error_code(error) == "ResourceNotFoundException":
        return (
            f"log group {log_group} does not exist, and without a receipt nothing is erased. The operator makes it: "
            "wait until the HumanGovState is Ready, then run it again"
        )
    text = error_text(error) or type(error).__name__
    return f"log group {log_group}: {error_code(error)}: {text}. Without a receipt nothing is erased"
