"""Way in for any client: a layer of `sandbox.proxy`."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from multidict import CIMultiDict

from sandbox.proxy import Handler, HungUpError, Layer, Request, Response
from sandbox.weather import calls, objects
from sandbox.weather.answers import answer
from sandbox.weather.calls import WeatherCall
from sandbox.weather.model import HANGS, LOST, LOST_FAILED, RESET, Decision, Weather

# They are about the body as it was.
_OF_THE_BODY = ("content-length", "content-encoding", "x-amz-crc32", "content-md5", "etag")


def layer(weather: Weather) -> Layer:
    """Put it innermost: what is outside of it sees what the client sees."""

    async def handle(request: Request, forward: Handler) -> Response:
        body = request.body
        if calls.needs_body(request.operation) and not isinstance(body, bytes):
            body = b"".join([chunk async for chunk in body])
            request = replace(request, body=body)
        call = calls.read(
            operation=request.operation,
            url=request.url,
            headers=request.headers,
            body=body if isinstance(body, bytes) else b"",
        )
        decision = weather.decide(call, at=time.monotonic())
        await asyncio.sleep(decision.delay_ms / 1000)
        if decision.does == RESET:
            raise HungUpError
        if decision.does == HANGS:
            await asyncio.sleep(weather.forecast.hang_seconds)
            raise HungUpError
        if not decision.takes_place:
            return _refused(call, decision)
        response = await _answered(weather, call, decision, request, forward)
        if decision.does == LOST_FAILED:
            return _refused(call, decision)
        if decision.does in LOST:
            raise HungUpError
        return response

    return handle


async def _answered(
    weather: Weather, call: WeatherCall, decision: Decision, request: Request, forward: Handler
) -> Response:
    whole = decision.shown or decision.does in LOST or objects.learns_from(call)
    if not whole:
        return await forward(request)
    request.headers.popall("Accept-Encoding", None)  # what is read here must not come compressed
    response = await forward(request)
    body = response.body
    if not isinstance(body, bytes):
        body = b"".join([chunk async for chunk in body])
    status, changed = weather.answered(call, decision, status=response.status, body=body, at=time.monotonic())
    if changed == body:
        return replace(response, body=body)
    headers = CIMultiDict((name, value) for name, value in response.headers.items() if name.lower() not in _OF_THE_BODY)
    return Response(status=status, headers=headers, body=changed)


def _refused(call: WeatherCall, decision: Decision) -> Response:
    assert decision.refusal is not None
    answered = answer(call.operation, decision.refusal)
    return Response(status=answered.status, headers=CIMultiDict(answered.headers), body=answered.body)
