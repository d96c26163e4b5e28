"""The account as processes call it: each call takes time, may fail or end its caller, and has its effect in between.

What else happens in the world happens between calls, before their effect, never within one.
"""

from __future__ import annotations

import email.utils
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from testing.killed import Killed
from testing.world.actor import Actor
from testing.world.audit import Audit
from testing.world.bucket import Bucket
from testing.world.clock import WorldClock
from testing.world.log_group import LogGroup
from testing.world.setting import Setting
from testing.world.table import Table
from testing.world.weather import Weather

Answer = dict[str, Any]
_SECONDS_A_CALL = 0.02
_OF_STREAMS = ("Streams", "Lambda")
"""Services that say what a stream holds, and who else reads it."""
_SLOW_SECONDS, _VERY_SLOW_SECONDS = 7.5, 25.0
"""A call that fails at its read time-out; and one that overruns it, as with a host of several dead addresses."""


class RefusedError(Exception):
    """What an operation refuses: AWS's code and the HTTP status."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.status = code, status


@dataclass
class Account:
    """between: runs before each call of a process. foreign: keys that this account can't decrypt."""

    setting: Setting
    clock: WorldClock
    weather: Weather
    bucket: Bucket
    table: Table
    logs: LogGroup
    audit: Audit
    chance: random.Random
    between: Callable[[Actor, str], None] = lambda _actor, _service: None
    trace: Callable[[Callable[[], str]], None] = lambda _text: None
    foreign: set[str] = field(default_factory=set)

    def call(
        self,
        actor: Actor,
        service: str,
        operation: str,
        do: Callable[[Account, Actor, Mapping[str, Any]], Answer],
        params: Mapping[str, Any],
        *,
        patient: bool,
    ) -> Answer:
        """The answer, with its metadata. Raises what the SDK raises, and Killed where the process ends."""
        self.require_alive(actor)
        self.between(actor, service)
        self.clock.advance(_SECONDS_A_CALL)
        self.require_alive(actor)
        actor.calls += 1
        kind = self.weather.of_call(service, patient=patient)
        if kind:
            actor.stream.refused |= service in _OF_STREAMS
            self.trace(lambda: f"{actor.kind}: {operation} {kind}")
            self._before(actor, operation, kind)
        try:
            answer = do(self, actor, params)
        except RefusedError as error:
            actor.stream.refused |= service in _OF_STREAMS
            raise client_error(error.code, operation, status=error.status) from None
        if kind:
            self._after(actor, kind)
        self.require_alive(actor)
        headers = {"date": email.utils.formatdate(self.clock.now, usegmt=True)}
        return {**answer, "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": headers}}

    def require_alive(self, actor: Actor) -> None:
        """Raises Killed: a process that has ended, or whose time is up, has no more effects."""
        if not actor.dead and self.clock.now >= actor.deadline:
            self.weather.note("Lambda: timed out")
            self.kill(actor)
        if actor.dead:
            raise Killed

    def kill(self, actor: Actor) -> None:
        actor.dead = True

    def _before(self, actor: Actor, operation: str, kind: str) -> None:
        match kind:
            case "throttled":
                raise client_error("ThrottlingException", operation, status=400)
            case "server error":
                raise client_error("InternalError", operation, status=500)
            case "denied":
                raise client_error("AccessDeniedException", operation, status=403)
            case "group gone":
                raise client_error("ResourceNotFoundException", operation, status=400)
            case "iterator expired":
                raise client_error("ExpiredIteratorException", operation, status=400)
            case "data trimmed":
                raise client_error("TrimmedDataAccessException", operation, status=400)
            case "no connection":
                raise EndpointConnectionError(endpoint_url="https://aws.invalid")
            case "slow and lost" | "very slow and lost":
                self.clock.advance(_SLOW_SECONDS if kind == "slow and lost" else _VERY_SLOW_SECONDS)
                self.require_alive(actor)
                raise ReadTimeoutError(endpoint_url="https://aws.invalid")
            case "killed before":
                self.kill(actor)
                raise Killed

    def _after(self, actor: Actor, kind: str) -> None:
        match kind:
            case "answer lost":
                raise ConnectionClosedError(endpoint_url="https://aws.invalid")
            case "slow":
                self.clock.advance(_SLOW_SECONDS)
            case "killed after":
                self.kill(actor)
                raise Killed


def client_error(code: str, operation: str, *, status: int) -> ClientError:
    metadata = {"HTTPStatusCode": status}
    return ClientError({"Error": {"Code": code, "Message": f"{code}."}, "ResponseMetadata": metadata}, operation)
