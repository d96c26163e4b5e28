"""The AWS methods that the function calls, and the names of their failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import HTTPClientError

from .erasure_limit import ErasureLimit
from .error_codes import is_transient
from .outcomes import FileOutcome
from .retry import retry

Line = Mapping[str, Any]
"""One line of the log, a JSON object."""

OUT_OF_TIME = "OutOfTime"

PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4)
ATTEMPTS = 3
RETRY_WITHIN_SECONDS = 1.0
"""No retry starts later than this after the first attempt, because the table was read just before."""


class OutOfTimeError(Exception):
    """The call was not started."""


class NoReceiptError(Exception):
    """Lines of receipts could not be stored; the message says why and what to do."""


def _no_receipts(_lines: Iterable[Line]) -> None:
    raise NoReceiptError("there is no receipt log, and without a receipt nothing is erased")


class DynamoDB(Protocol):
    """The methods used of boto3's client: IAM actions dynamodb:BatchGetItem, and dynamodb:Query of an index."""

    def batch_get_item(self, **request: Any) -> Mapping[str, Any]: ...

    def query(self, **request: Any) -> Mapping[str, Any]: ...


class S3(Protocol):
    """The methods used of boto3's client.

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
    """Everything that has effects outside.

    bucket_owner  account ID: S3 refuses a call on a bucket of that name in any other account
    out_of_time   called before each attempt of a call; once true, nothing new starts
    pause         waits, in seconds
    now           seconds since the epoch
    write         appends operational lines to the log and flushes it
    store         stores lines of receipts; returns once CloudWatch Logs has them, else raises NoReceiptError
    limit         of erasures in an hour; None: there is none
    keeps_versions  whether the bucket may keep versions: then exactly the listed versions are erased. If it is false
                  and wrong, S3's responses show it
    why_kept      why a key stays, from what the caller knows beside the batch; None: it may go. The function itself
                  knows nothing more; redrive and final stream read have read the whole table
    """

    dynamodb: DynamoDB
    s3: S3
    bucket_owner: str
    out_of_time: Callable[[], bool]
    pause: Callable[[float], None]
    now: Callable[[], float]
    write: Callable[[Iterable[Line]], None]
    store: Callable[[Iterable[Line]], None] = _no_receipts
    limit: ErasureLimit | None = None
    keeps_versions: Callable[[], bool] = lambda: False
    why_kept: Callable[[str], FileOutcome | None] = lambda _key: None

    def attempt(self, method: Callable[..., Mapping[str, Any]], **request: Any) -> Mapping[str, Any]:
        """The method's response; retried if AWS throttled it or failed, or if the connection was lost.

        The SDK itself does not retry: its pauses and timeouts ignore the remaining time.
        All methods here are idempotent. Raises the last attempt's error, OutOfTimeError if there was no attempt.
        """
        if self.out_of_time():
            raise OutOfTimeError
        return retry(
            lambda: method(**request), retriable=_is_transient, pauses_seconds=PAUSES_SECONDS[: ATTEMPTS - 1],
            pause=self.pause, now=self.now, within_seconds=RETRY_WITHIN_SECONDS, stop=self.out_of_time,
        )  # fmt: skip

    def on_bucket(self, method: Callable[..., Mapping[str, Any]], bucket: str, **request: Any) -> Mapping[str, Any]:
        """`attempt` for a call of S3: each says whose the bucket must be, as a bucket's name says nothing of that.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
        """
        return self.attempt(method, Bucket=bucket, ExpectedBucketOwner=self.bucket_owner, **request)

    def failed(self, action: str, error: Exception) -> str:
        """Logs a failed call and returns its code: AWS's own, or the exception's name.

        AWS's text may be logged: requests contain only primary keys and object keys, so no response can quote more.
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
    """AWS's error message, at most 400 characters; empty if there is none."""
    return str(_answer(error, "Error").get("Message", ""))[:400]


def _is_transient(error: Exception) -> bool:
    if isinstance(error, HTTPClientError | NoConnectionError):
        return True
    status = _answer(error, "ResponseMetadata").get("HTTPStatusCode", 0)
    return status >= 500 or status == 429 or is_transient(str(_answer(error, "Error").get("Code", "")))


def _answer(error: Exception, part: str) -> Mapping[str, Any]:
    answer = getattr(error, "response", None)
    return answer.get(part, {}) if isinstance(answer, Mapping) else {}
