"""The way into AWS: the operator's own clients over the SDK's, whose methods pass the line before they reach MiniStack.

The door is the operator's own (`Clients`); a fault takes the place of the SDK's method, so that the error is
translated, counted and logged as AWS's own would be. The SDK checks and composes a request and reads the answer. It
cannot show what the SDK does between (signatures, retries, time-outs: a third of a call's processor time), nor what the
emulator leaves out: it checks no permissions and no signatures, and functions are ready at once.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from humangov.aws.actions import ACTIONS
from humangov.aws.clients import Clients

from testing.live.aws_evidence import Evidence
from testing.reconciler.direct import Direct
from testing.reconciler.in_process import ENDPOINT_URL, InProcess
from testing.reconciler.line import Call, Line
from testing.reconciler.wire import Wire

REGION = "us-east-1"
_PLAIN = Config(user_agent="humangov-tests")  # the SDK composes its own anew for each call
_READ = ("Get", "List", "Describe", "Head", "BatchGet", "Query", "Scan")
_TAGGING = "resourcegroupstaggingapi"  # writes to what is other services'
# Writes after which there may be another role, another boundary of it, or another function of a mapping.
_OF_IDENTITY = re.compile("Create|Delete|PutRolePermissionsBoundary|UpdateEventSourceMapping")
_ACTION_OF = {(method.service, method.name): action for action, method in ACTIONS.items()}


class Sdk:
    """The SDK's clients, made once for all tests of a process; the account is the access key, set for each test."""

    def __init__(self, endpoint_url: str | None = None) -> None:
        """`endpoint_url`: the emulated AWS's server; None: its application, in this process."""
        self.endpoint_url = endpoint_url or ENDPOINT_URL
        self.evidence = Evidence()
        self._session = boto3.Session(
            aws_access_key_id="000000000000", aws_secret_access_key="test", region_name=REGION
        )
        self._wire: Wire | InProcess = Wire(endpoint_url) if endpoint_url else InProcess()
        self._session.events.register("before-send", self._wire.before_send)
        self._clients: dict[tuple[str, str, int], Any] = {}
        self._account = "000000000000"
        self._last_write: dict[str, object] = {}  # service → what stands for it
        self._last_of_identity: dict[str, object] = {}
        self._seen: dict[tuple[str, ...], tuple[Sequence[object], bytes]] = {}

    @property
    def is_direct(self) -> bool:
        """Whether requests go out without the SDK's signature and retries: not where the emulator judges sessions."""
        return True

    def close(self) -> None:
        self._wire.close()

    def enter(self, account: str) -> None:
        self._account = self._session.get_credentials().access_key = account
        self._seen.clear()

    def client(self, service: str, *, region_name: str = REGION, config: Any = None) -> Any:
        attempts = config.retries["total_max_attempts"] if config else 0
        key = (service, region_name, attempts)
        if key not in self._clients:
            self._clients[key] = self._session.client(
                service, region_name=region_name, config=config.merge(_PLAIN) if config else _PLAIN,
                endpoint_url=self.endpoint_url,
            )  # fmt: skip
            if self.is_direct:
                client = self._clients[key]
                direct = Direct(client, self._wire, account=lambda: self._account)
                client._make_api_call = partial(self._watched, direct.call, client)
        return self._clients[key]

    def look(self, service: str, *, region_name: str = REGION, identity: bool = False) -> Any:
        """A client for what a test wants to see: it asks again only after something was written by this session.

        The account is the test's own, and nothing but the session's clients writes to it. identity: whether nothing is
        wanted but a role's ARN and boundary, and a mapping's function: that is asked again after fewer writes.
        """
        return _Looking(self, service, region_name, identity)

    def seen(self, service: str, *asked: str, identity: bool, ask: Callable[[], Any]) -> Any:
        state, of = self._state(service, identity=identity), (service, str(identity), *asked)
        known = self._seen.get(of)
        if known is None or known[0] != state:
            known = state, pickle.dumps(ask())
            if self._state(service, identity=identity) == state:
                self._seen[of] = known
        return pickle.loads(known[1])  # noqa: S301

    def _state(self, service: str, *, identity: bool) -> Sequence[object]:
        if identity:
            return self._account, self._last_of_identity.get(service)
        return self._account, self._last_write.get(service), self._last_write.get(_TAGGING)

    def _watched(self, call: Callable[[str, Any], Any], client: Any, name: str, parameters: Any) -> Any:
        """In place of a client's `_make_api_call`: after a write to its service, nothing of it has been seen."""
        if name.startswith(_READ):
            return call(name, parameters)
        self._written(client, name)
        try:
            return call(name, parameters)
        finally:
            self._written(client, name)

    def _written(self, client: Any, name: str) -> None:
        service, now = client.meta.service_model.service_name, object()
        self._last_write[service] = now
        if _OF_IDENTITY.match(name):
            self._last_of_identity[service] = now

    def get_credentials(self) -> Any:
        return self._session.get_credentials()

    def get_partition_for_region(self, region: str) -> str:
        return str(self._session.get_partition_for_region(region))


class _Looking:
    """An SDK client for reads: see Sdk.look."""

    def __init__(self, sdk: Sdk, service: str, region: str, identity: bool) -> None:
        self._sdk, self._service, self._region, self._identity = sdk, service, region, identity

    def __getattr__(self, name: str) -> Callable[..., Any]:
        assert name.startswith(("get_", "list_", "describe_")), name
        method = getattr(self._sdk.client(self._service, region_name=self._region), name)

        def look(**parameters: Any) -> Any:
            asked = self._region, name, json.dumps(parameters, sort_keys=True)
            return self._sdk.seen(self._service, *asked, identity=self._identity, ask=lambda: method(**parameters))

        return look

    def get_paginator(self, name: str) -> _LookingAtPages:
        return _LookingAtPages(self, name)


@dataclass(frozen=True)
class _LookingAtPages:
    """As much of a paginator as is asked of it: of listings that the emulator gives in one page."""

    looking: _Looking
    name: str

    def paginate(self, **parameters: Any) -> list[Any]:
        page = getattr(self.looking, self.name)(**parameters)
        assert not any(page.get(token) for token in ("NextMarker", "nextToken", "NextToken", "Marker")), page
        return [page]


class _Door:
    """An SDK client whose methods pass through the line."""

    def __init__(self, service: str, client: Any, line: Line) -> None:
        self._service, self._client, self._line = service, client, line

    def __getattr__(self, name: str) -> Callable[..., Any]:
        action = _ACTION_OF[self._service, name]

        def method(**parameters: Any) -> Any:
            call = Call(action=action, parameters=parameters, writes=ACTIONS[action].writes)
            return self._line.pass_through(
                call, lambda: _with_defaults(_prompt(getattr(self._client, name)(**parameters)))
            )

        return method


def _prompt(answer: Any) -> Any:
    """MiniStack shows a changed function as Pending and refuses nothing meanwhile: skipped here."""
    configuration = answer.get("Configuration", answer)
    if configuration.get("State") == "Pending":
        configuration["State"] = "Active"
    if configuration.get("LastUpdateStatus") == "InProgress":
        configuration["LastUpdateStatus"] = "Successful"
    return answer


# https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html#services-ddb-params
_OF_MAPPINGS = {
    "ParallelizationFactor": 1, "MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": -1,
    "BisectBatchOnFunctionError": False,
}  # fmt: skip


def _with_defaults(answer: Any) -> Any:
    """MiniStack shows of a stream's mapping only what it was given; AWS also what it takes by default."""
    if "EventSourceMappings" not in answer:
        return answer
    return answer | {"EventSourceMappings": [_OF_MAPPINGS | one for one in answer["EventSourceMappings"]]}


class FaultyClients(Clients):
    """The operator's door to AWS, with faults behind it."""

    def __init__(self, *, region: str, sdk: Sdk, line: Line, account: str) -> None:
        super().__init__(region=region, session=sdk)
        self._sdk, self._line, self._of = sdk, line, account

    def call(self, action: str, *, target: str, **parameters: Any) -> dict[str, Any]:
        self._sdk.evidence.note(
            action, target=target, parameters=parameters, account=self._of, region=self.region,
            client=lambda service: self._sdk.look(service, region_name=self.region, identity=True),
        )  # fmt: skip
        return super().call(action, target=target, **parameters)

    def _client(self, service: str, *, writes: bool) -> Any:
        return _Door(service, super()._client(service, writes=writes), self._line)


def error(code: str, text: str, *, status: int = 400) -> ClientError:
    """An AWS error as the SDK raises it."""
    answer: Any = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Operation")


def denied(action: str) -> ClientError:
    return error("AccessDeniedException", f"User: arn:aws:iam::1:role/op is not authorized to perform: {action}")


def throttled() -> ClientError:
    return error("ThrottlingException", "Rate exceeded")


def answer_lost() -> Exception:
    lost: Exception = ReadTimeoutError(endpoint_url="https://aws.example")
    return lost
