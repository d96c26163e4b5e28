"""Way in for a process's own SDK: botocore's event `before-send`, at which another may answer in AWS's place."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from sandbox import operations
from sandbox.weather import calls, objects
from sandbox.weather.answers import answer
from sandbox.weather.calls import WeatherCall
from sandbox.weather.model import HANGS, LOST, LOST_FAILED, RESET, Decision, Weather

Send = Callable[[Any], AWSResponse]


def under_boto3(
    events: Any,
    weather: Weather,
    *,
    send: Send | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Every request of a session (`session.events`, for clients made from now on) or client (`client.meta.events`).

    `send` is what a request is sent with. Moto's mocks live on the same event, and act also where this one answers:
    behind this weather stands an endpoint.
    """
    forward = send or URLLib3Session().send

    def before_send(request: Any, **_: Any) -> AWSResponse:
        call = _read(request)
        decision = weather.decide(call, at=clock())
        sleep(decision.delay_ms / 1000)
        if decision.does == RESET:
            raise ConnectionClosedError(endpoint_url=request.url)
        if decision.does == HANGS:
            sleep(weather.forecast.hang_seconds)
            raise ReadTimeoutError(endpoint_url=request.url)
        if not decision.takes_place:
            return _refused(request, call, decision)
        response = _answered(weather, call, decision, forward(request), at=clock)
        if decision.does == LOST_FAILED:
            return _refused(request, call, decision)
        if decision.does in LOST:
            raise ConnectionClosedError(endpoint_url=request.url)
        return response

    events.register("before-send", before_send)


def _read(request: Any) -> WeatherCall:
    parts = urlsplit(request.url)
    url = f"{parts.path}?{parts.query}" if parts.query else parts.path
    headers = {name: _text(value) for name, value in request.headers.items()}
    body = request.body
    sent = body.encode() if isinstance(body, str) else bytes(body) if isinstance(body, bytes | bytearray) else b""
    operation = operations.identify(method=request.method, url=url, headers=headers, body=sent)
    return calls.read(operation=operation, url=url, headers=headers, body=sent)


def _answered(
    weather: Weather, call: WeatherCall, decision: Decision, response: AWSResponse, *, at: Callable[[], float]
) -> AWSResponse:
    if not (decision.shown or decision.does in LOST or objects.learns_from(call)):
        return response
    status, body = weather.answered(call, decision, status=response.status_code, body=response.content, at=at())
    return response if body == response.content else _response(response.url, status, response.headers, body)


def _refused(request: Any, call: WeatherCall, decision: Decision) -> AWSResponse:
    assert decision.refusal is not None
    answered = answer(call.operation, decision.refusal)
    return _response(request.url, answered.status, answered.headers, answered.body)


def _response(url: str, status: int, headers: Mapping[str, str], body: bytes) -> AWSResponse:
    return AWSResponse(url, status, headers, _Raw(body))


class _Raw(io.BytesIO):
    """As much of urllib3's answer as botocore reads."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        while chunk := self.read(65536):
            yield chunk


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
