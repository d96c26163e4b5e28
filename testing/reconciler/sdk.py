"""The way into AWS: the operator's own clients over the SDK's, whose methods pass the line before they reach MiniStack.

The door is the operator's own (`Clients`); a fault takes the place of the SDK's method, so that the error is
translated, counted and logged as AWS's own would be. It cannot show what the SDK itself does (retries, time-outs), nor
what the emulator leaves out: it checks no permissions, and functions are ready at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from humangov.aws.actions import ACTIONS
from humangov.aws.clients import Clients

from testing.live.aws_evidence import Evidence
from testing.reconciler.line import Call, Line
from testing.reconciler.wire import Wire

REGION = "us-east-1"
_PLAIN = Config(user_agent="humangov-tests")  # the SDK composes its own anew for each call
_ACTION_OF = {(method.service, method.name): action for action, method in ACTIONS.items()}


class Sdk:
    """The SDK's clients, made once for all tests of a process; the account is the access key, set for each test."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self.evidence = Evidence()
        self._session = boto3.Session(
            aws_access_key_id="000000000000", aws_secret_access_key="test", region_name=REGION
        )
        self._wire = Wire(endpoint_url)
        self._session.events.register("before-send", self._wire.before_send)
        self._clients: dict[tuple[str, str, int], Any] = {}

    def close(self) -> None:
        self._wire.close()

    def enter(self, account: str) -> None:
        self._session.get_credentials().access_key = account

    def client(self, service: str, *, region_name: str = REGION, config: Any = None) -> Any:
        attempts = config.retries["total_max_attempts"] if config else 0
        key = (service, region_name, attempts)
        if key not in self._clients:
            self._clients[key] = self._session.client(
                service, region_name=region_name, config=config.merge(_PLAIN) if config else _PLAIN,
                endpoint_url=self.endpoint_url,
            )  # fmt: skip
        return self._clients[key]

    def get_partition_for_region(self, region: str) -> str:
        return str(self._session.get_partition_for_region(region))


class _Door:
    """An SDK client whose methods pass through the line."""

    def __init__(self, service: str, client: Any, line: Line) -> None:
        self._service, self._client, self._line = service, client, line

    def __getattr__(self, name: str) -> Callable[..., Any]:
        action = _ACTION_OF[self._service, name]

        def method(**parameters: Any) -> Any:
            call = Call(action=action, parameters=parameters, writes=ACTIONS[action].writes)
            return self._line.pass_through(call, lambda: _prompt(getattr(self._client, name)(**parameters)))

        return method


def _prompt(answer: Any) -> Any:
    """MiniStack shows a changed function as Pending for half a second and refuses nothing meanwhile: skipped here."""
    configuration = answer.get("Configuration", answer)
    if configuration.get("State") == "Pending":
        configuration["State"] = "Active"
    if configuration.get("LastUpdateStatus") == "InProgress":
        configuration["LastUpdateStatus"] = "Successful"
    return answer


class FaultyClients(Clients):
    """The operator's door to AWS, with faults behind it."""

    def __init__(self, *, region: str, sdk: Sdk, line: Line, account: str) -> None:
        super().__init__(region=region, session=sdk)
        self._sdk, self._line, self._of = sdk, line, account

    def call(self, action: str, *, target: str, **parameters: Any) -> dict[str, Any]:
        self._sdk.evidence.note(
            action, target=target, parameters=parameters, account=self._of, region=self.region,
            client=lambda service: self._sdk.client(service, region_name=self.region),
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
