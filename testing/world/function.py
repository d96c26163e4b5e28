"""The cleanup function in its environments: the handler's own module, loaded anew for each, with its clients and clock.

A shard has an environment of its own, which lasts until the process ends: its memory is what the handler keeps.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any, TextIO, cast
from unittest import mock

from humangov.aws import function_environment

from testing.event_source.answers import Answer
from testing.killed import Killed
from testing.world.account import Account
from testing.world.actor import FUNCTION, Actor
from testing.world.clients import Client, Processes, replaced
from testing.world.clock import HostClock
from testing.world.log_group import Stdout
from testing.world.stream import StreamRecord

UNHANDLED = "Unhandled"
_HANDLER = "humangov.cleanup.handler"


@dataclass(frozen=True)
class _Context:
    """What Lambda hands to the handler beside the event."""

    account: Account
    actor: Actor
    log_group_name: str
    log_stream_name: str
    aws_request_id: str
    function_name: str = "humangov-california-delete-file"
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:humangov-california-delete-file"

    def get_remaining_time_in_millis(self) -> int:
        return max(0, round((self.actor.deadline - self.account.clock.now) * 1000))


class Environment:
    """One environment. dead: Lambda starts another one."""

    def __init__(
        self, account: Account, processes: Processes, *, host: HostClock, number: int, checked: bool
    ) -> None:  # fmt: skip
        self._account, self._processes, self._host = account, processes, host
        self._stream = f"2026/03/01/[$LATEST]{number:032x}"
        self._requests = 0
        self.dead = False
        self._handle = _load(account, processes, stream=self._stream, checked=checked).handle

    def invoke(self, event: Any, records: Sequence[StreamRecord], *, shown: Sequence[StreamRecord]) -> Answer:
        """shown: what Lambda first sent together with these records."""
        account = self._account
        self._requests += 1
        actor = Actor(
            FUNCTION, self._host, account.clock.tick(), account.clock.now + account.setting.timeout_seconds
        )  # fmt: skip
        actor.give(records)
        actor.show(shown)
        context = _Context(account, actor, account.logs.name, self._stream, f"{self._stream}/{self._requests}")
        try:
            with self._processes.run(actor), _stdout(Stdout(lambda lines: self._store(actor, lines))):
                result = self._handle(event, context)
            account.require_alive(actor)
        except Killed:
            self.dead = True
            return Answer(error=UNHANDLED)
        except Exception as error:
            raised = repr(error)
            account.trace(lambda: f"function: raised {raised}")
            return Answer(error=UNHANDLED)
        return Answer(result=json.loads(json.dumps(result)))

    def _store(self, actor: Actor, lines: list[str]) -> None:
        account = self._account
        if actor.dead:
            return
        if not account.logs.exists:
            account.logs.lost += len(lines)
            return
        account.audit.lines(actor, account.logs.store(self._stream, round(account.clock.now * 1000), lines))


@contextmanager
def _stdout(into: Stdout) -> Any:
    before, sys.stdout = sys.stdout, cast(TextIO, into)
    try:
        yield
    finally:
        sys.stdout = before


_code: list[CodeType] = []


def _load(account: Account, processes: Processes, *, stream: str, checked: bool) -> ModuleType:
    """The handler's module, fresh: what it keeps at module level is an environment's memory."""
    spec = importlib.util.find_spec(_HANDLER)
    assert spec is not None
    if not _code:
        _code.append(cast(Any, spec.loader).get_code(_HANDLER))
    module = importlib.util.module_from_spec(spec)
    environment = function_environment.environment(account.setting.names) | {
        "AWS_REGION": "us-east-1",
        "HUMANGOV_RECORD_AGE_LIMIT_SECONDS": str(account.setting.trigger["MaximumRecordAgeInSeconds"]),
        "AWS_LAMBDA_LOG_GROUP_NAME": account.logs.name,
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_LAMBDA_FUNCTION_NAME": account.setting.names.tenant.function.name,
    }

    def client(service: str, **_more: Any) -> Client:
        return Client(account, service, lambda: processes.actor, checked=checked)

    with mock.patch("boto3.client", client), mock.patch.dict("os.environ", environment):
        exec(_code[0], module.__dict__)
    vars(module).update(replaced(module, processes))
    return module
