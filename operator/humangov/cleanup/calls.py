"""The AWS methods that the function calls, and what their failures are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Line = Mapping[str, Any]
"""One line of the log, a JSON object."""

OUT_OF_TIME = "OutOfTime"


class DynamoDB(Protocol):
    """boto3's client, as far as it is used: IAM action dynamodb:BatchGetItem."""

    def batch_get_item(self, **request: Any) -> Mapping[str, Any]: ...


class S3(Protocol):
    """boto3's client, as far as it is used: s3:ListBucket and s3:DeleteObject, never s3:GetObject."""

    def list_objects_v2(self, **request: Any) -> Mapping[str, Any]: ...

    def delete_objects(self, **request: Any) -> Mapping[str, Any]: ...

    def delete_object(self, **request: Any) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Calls:
    """All that reaches outside.

    out_of_time   asked before each call; after it, nothing is begun
    pause         waits, in seconds
    now           seconds since the epoch
    write         appends to the log and flushes it
    """

    dynamodb: DynamoDB
    s3: S3
    out_of_time: Callable[[], bool]
    pause: Callable[[float], None]
    now: Callable[[], float]
    write: Callable[[Iterable[Line]], None]

    def failed(self, action: str, error: Exception) -> str:
        """Logs a failed call and returns its code: AWS's own, or the exception's name.

        AWS's text may be logged: requests hold primary keys and files' keys alone, no answer can quote more.
        """
        answer = getattr(error, "response", None)
        details = answer.get("Error", {}) if isinstance(answer, Mapping) else {}
        code = str(details.get("Code") or type(error).__name__)
        text = str(details.get("Message", ""))[:400]
        self.write([{"level": "ERROR", "message": f"{action} failed", "code": code, "text": text}])
        return code
