"""A call that failed: whether it is tried again, and when no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from humangov.cleanup.batch import deadline
from humangov.cleanup.calls import Calls, Line, OutOfTimeError

URL = "https://s3.amazonaws.com"


def refusal(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "DeleteObjects")


@dataclass
class Aws:
    """Answers with these in turn, each after some seconds, in an invocation that has so long left."""

    answers: list[Exception | Mapping[str, Any]]
    seconds: float = 0.0
    left_ms: int = 300_000
    clock: float = 0.0
    tried: int = 0
    pauses: list[float] = field(default_factory=list)
    log: list[Line] = field(default_factory=list)

    def delete_objects(self, **request: Any) -> Mapping[str, Any]:
        self.clock += self.seconds
        answer = self.answers[self.tried]
        self.tried += 1
        if isinstance(answer, Exception):
            raise answer
        return {**answer, **request}

    query = batch_get_item = list_object_versions = delete_object = delete_objects
    get_object_retention = get_object_legal_hold = delete_objects

    @property
    def calls(self) -> Calls:
        times = iter([300_000])  # what is left at the invocation's start
        return Calls(
            dynamodb=self,
            s3=self,
            bucket_owner="123456789012",
            out_of_time=deadline(lambda: next(times, self.left_ms - round(self.clock * 1000))),
            pause=self.pause,
            now=lambda: self.clock,
            write=self.log.extend,
        )

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock += seconds

    def delete(self) -> Mapping[str, Any]:
        return self.calls.attempt(self.delete_objects, Bucket="b")


PASSING = [
    pytest.param(refusal("SlowDown", 503), id="slow down"),
    pytest.param(refusal("InternalServerError", 500), id="server error"),
    pytest.param(refusal("Whatever", 429), id="too many requests"),
    pytest.param(refusal("ThrottlingException", 400), id="throttled"),
    pytest.param(refusal("ProvisionedThroughputExceededException", 400), id="over its throughput"),
    pytest.param(refusal("RequestTimeout", 400), id="request timed out"),
    pytest.param(ConnectionClosedError(endpoint_url=URL), id="connection closed"),
    pytest.param(EndpointConnectionError(endpoint_url=URL), id="no connection"),
    pytest.param(ReadTimeoutError(endpoint_url=URL), id="no answer"),
]


@pytest.mark.parametrize("error", PASSING)
def test_transient_error_is_retried(error: Exception) -> None:
    aws = Aws([error, error, {"Deleted": []}])

    assert aws.delete() == {"Deleted": [], "Bucket": "b"}
    assert aws.tried == 3


@pytest.mark.parametrize("error", PASSING)
def test_third_transient_error_is_raised(error: Exception) -> None:
    aws = Aws([error] * 4)

    with pytest.raises(type(error)):
        aws.delete()

    assert aws.tried == 3
    assert aws.pauses == [0.05, 0.1]


@pytest.mark.parametrize(
    "error", [refusal("AccessDenied", 403), refusal("NoSuchBucket", 404), RuntimeError("surprise"), KeyError("a")]
)
def test_terminal_error_is_not_retried(error: Exception) -> None:
    aws = Aws([error, {}])

    with pytest.raises(type(error)):
        aws.delete()

    assert (aws.tried, aws.pauses) == (1, [])


@pytest.mark.parametrize(
    ("left_ms", "seconds", "tried"),
    [
        pytest.param(10_500, 0.6, 1, id="it was slow"),
        pytest.param(10_040, 0.0, 1, id="it failed at once, the pause was too long"),
        pytest.param(10_100, 0.0, 2, id="time for two"),
        pytest.param(11_000, 0.0, 3, id="time for all"),
    ],
)
def test_failed_call_near_the_deadline_is_not_retried(left_ms: int, seconds: float, tried: int) -> None:
    aws = Aws([refusal("SlowDown", 503)] * 3, seconds=seconds, left_ms=left_ms)

    with pytest.raises(ClientError, match="SlowDown"):
        aws.delete()

    assert aws.tried == tried


def test_no_call_starts_at_the_deadline_and_none_is_logged_as_failed() -> None:
    aws = Aws([{}], left_ms=10_000)

    with pytest.raises(OutOfTimeError) as caught:
        aws.delete()

    assert aws.calls.failed("DeleteObjects", caught.value) == "OutOfTime"
    assert (aws.tried, aws.log) == (0, [])


def test_slow_failed_call_is_left_to_redelivery() -> None:
    aws = Aws([ReadTimeoutError(endpoint_url=URL), {}], seconds=7)

    with pytest.raises(ReadTimeoutError):
        aws.delete()

    assert aws.tried == 1
