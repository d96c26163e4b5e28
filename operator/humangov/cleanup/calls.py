"""The AWS methods that the function calls, and what their failures are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import HTTPClientError

from .error_codes import is_transient
from .retry import retry

Line = Mapping[str, Any]
"""One line of the log, a JSON object."""

OUT_OF_TIME = "OutOfTime"

PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4)
ATTEMPTS = 3
RETRY_WITHIN_SECONDS = 1.0
"""No further attempt begins later than this after the first: whatever is erased was read live shortly before."""


class OutOfTimeError(Exception):
    """The call was not begun."""


class DynamoDB(Protocol):
    """boto3's client, as far as it is used: IAM action dynamodb:BatchGetItem."""

    def batch_get_item(self, **request: Any) -> Mapping[str, Any]: ...


class S3(Protocol):
    """boto3's client, as far as it is used.

    s3:ListBucketVersions, s3:DeleteObject, s3:DeleteObjectVersion, s3:GetObjectRetention, s3:GetObjectLegalHold;
    never s3:GetObject.
    """

    def list_object_versions(self, **request: Any) -> Mapping[str, Any]: ...

    def delete_objects(self, **request: Any) -> Mapping[str, Any]: ...

    def delete_object(self, **request: Any) -> Mapping[str, Any]: ...

    def get_object_retention(self, **request: Any) -> Mapping[str, Any]: ...

    def get_object_legal_hold(self, **request: Any) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Calls:
    """All that reaches outside.

    out_of_time   asked before each attempt of a call; after it, nothing is begun
    pause         waits, in seconds
    now           seconds since the epoch
    write         appends to the log and flushes it
    keeps_versions  whether the bucket is known to keep versions. It only saves calls and markers: where it is wrong,
                  S3's answers say so
    """

    dynamodb: DynamoDB
    s3: S3
    out_of_time: Callable[[], bool]
    pause: Callable[[float], None]
    now: Callable[[], float]
    write: Callable[[Iterable[Line]], None]
    keeps_versions: Callable[[], bool] = lambda: False

    def attempt(self, method: Callable[..., Mapping[str, Any]], **request: Any) -> Mapping[str, Any]:
        """The method's answer; tried again if it was throttled, failed at AWS or lost its connection.

        The SDK itself tries once: its pauses and time-outs would not ask for the time that is left.
        All methods here are idempotent. Raises the last attempt's error, OutOfTimeError if there was none.
        """
        if self.out_of_time():
            raise OutOfTimeError
        return retry(
            lambda: method(**request), passes=_may_pass, pauses_seconds=PAUSES_SECONDS[: ATTEMPTS - 1],
            pause=self.pause, now=self.now, within_seconds=RETRY_WITHIN_SECONDS, stop=self.out_of_time,
        )  # fmt: skip

    def failed(self, action: str, error: Exception) -> str:
        """Logs a failed call and returns its code: AWS's own, or the exception's name.

        AWS's text may be logged: requests hold primary keys and files' keys alone, no answer can quote more.
        """
        if isinstance(error, OutOfTimeError):
            return OUT_OF_TIME
        line = {"level": "ERROR", "message": f"{action} failed", "code": error_code(error), "text": error_text(error)}
        self.write([line])
        return error_code(error)


def error_code(error: Exception) -> str:
    """AWS's code, or the exception's name."""
    return str(_answer(error, "Error").get("Code") or type(error).__name__)


def error_text(error: Exception) -> str:
    """What AWS said, at most 400 characters; empty if nothing."""
    return str(_answer(error, "Error").get("Message", ""))[:400]


def _may_pass(error: Exception) -> bool:
    if isinstance(error, HTTPClientError | NoConnectionError):
        return True
    status = _answer(error, "ResponseMetadata").get("HTTPStatusCode", 0)
    return status >= 500 or status == 429 or is_transient(str(_answer(error, "Error").get("Code", "")))


def _answer(error: Exception, part: str) -> Mapping[str, Any]:
    answer = getattr(error, "response", None)
    return answer.get(part, {}) if isinstance(answer, Mapping) else {}
