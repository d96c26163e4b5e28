"""All AWS calls go through here: each is one of ACTIONS, has time-outs, and is counted and logged."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from humangov import __version__
from humangov.api.names import Identity
from humangov.aws import models
from humangov.aws.actions import ACTIONS
from humangov.aws.budget import Budget, at_priority
from humangov.aws.errors import AwsError, Meaning, incomplete, is_throttling, next_page, translated
from humangov.aws.limits import Limit, limit_of
from humangov.aws.token_bucket import Priority

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Called:
    """One call of AWS that has ended. `code`: AWS's error code; None if the call succeeded."""

    service: str
    operation: str
    seconds: float
    code: str | None = None
    throttled: bool = False


# The work queue retries, so the SDK hardly does: a read once, a write never (it may have taken effect).
_COMMON = {
    "connect_timeout": 3, "read_timeout": 10, "tcp_keepalive": True, "max_pool_connections": 64,
    # What CloudTrail shows. Without it the SDK composes one of thirty parts for every request, a sixth of its time.
    "user_agent": f"humangov/{__version__} Boto3/{boto3.__version__} Botocore/{botocore.__version__}",
}  # fmt: skip
_READS = Config(**_COMMON, retries={"mode": "standard", "total_max_attempts": 2})
_WRITES = Config(**_COMMON, retries={"mode": "standard", "total_max_attempts": 1})
_ACCOUNT_LASTS_SECONDS = 3600.0  # credentials may come to be another account's under a running process


class Clients:
    """AWS in one region, under one identity. Safe to use from several threads."""

    def __init__(
        self,
        *,
        region: str,
        session: boto3.Session | None = None,
        role_arn: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        called: Callable[[Called], None] = lambda _: None,
        budget: Budget | None = None,
    ) -> None:
        """`role_arn`: the role that `session` assumes, for messages. `called` receives each call that has ended.

        `budget`: what every request waits for before it is sent; None: nothing.
        """
        self.region = region
        self._role_arn = role_arn
        self._called = called
        self._session = session or models.session(region=region)
        self._clock = clock
        self._budget = budget
        self._waited = threading.local()  # seconds of this thread's present call that were spent on the budget
        self._of_service: dict[tuple[str, bool], Any] = {}
        self._creating = threading.Lock()  # a session must not make two clients at once
        self._identifying = threading.Lock()
        self._account: tuple[str, float] | None = None  # and when STS answered
        self._failure: tuple[AwsError, float] | None = None

    def call(self, action: str, *, target: str, **parameters: Any) -> dict[str, Any]:
        """Call one of ACTIONS; `target` names the resource for logs and errors. Raises AwsError."""
        method, started, failure = ACTIONS[action], self._clock(), None
        self._waited.seconds = 0.0
        try:
            return dict(getattr(self._client(method.service, writes=method.writes), method.name)(**parameters))
        except (ClientError, BotoCoreError) as error:
            failure = self._translated(error, action=action, target=target)
            raise failure from error
        finally:
            self._note(action, target, failure, seconds=self._clock() - started - self._waited.seconds)

    def find(self, action: str, *, target: str, **parameters: Any) -> dict[str, Any] | None:
        """The same; None where AWS says that there is no such resource. Raises AwsError."""
        try:
            return self.call(action, target=target, **parameters)
        except AwsError as error:
            if error.not_found:
                return None
            raise

    def pages(self, action: str, items: str, *, token: tuple[str, str], target: str, **parameters: Any) -> list[Any]:
        """All items of a paged listing. `token` is (name in the answer, name in the request). Raises AwsError."""
        found, seen = list[Any](), set[str]()
        while True:
            page = self.call(action, target=target, **parameters)
            if items not in page:
                raise incomplete(action=action, target=target, field=items)  # an empty list is a list
            found += page[items]
            following = next_page(page, token[0], action=action, target=target, seen=seen)
            if following is None:
                return found
            parameters[token[1]] = following

    def identity(self, *, cluster: str) -> Identity:
        """The account and region that this is; STS is called once an hour. Raises AwsError."""
        partition = self.partition()
        return Identity(account_id=self._account_id(), region=self.region, cluster=cluster, partition=partition)

    def warm(self) -> None:
        """Make every client now; it takes a second of processor time, which the first tenant should not wait for.

        Credentials may come later than the process does, from an agent of the node: then the first call makes them.
        """
        try:
            for method in ACTIONS.values():
                self._client(method.service, writes=method.writes)
        except BotoCoreError as error:
            logger.warning("no AWS client can be created yet: %s; retried with the first call", error)

    def _translated(self, error: ClientError | BotoCoreError, *, action: str, target: str) -> AwsError:
        """Before the first call, and before credentials expire, the SDK assumes the tenant's role: that may fail."""
        if self._role_arn and isinstance(error, ClientError) and error.operation_name == "AssumeRole":
            return translated(error, action="sts:AssumeRole", target=self._role_arn)
        return translated(error, action=action, target=target)

    def _note(self, action: str, target: str, failure: AwsError | None, *, seconds: float) -> None:
        """Count the call, and log it: a failure as a warning, unless it is one that is expected."""
        failed = failure is not None and failure.meaning not in (Meaning.NOT_FOUND, Meaning.ALREADY)
        service, _, operation = (failure.action if failure else action).partition(":")
        self._called(
            Called(
                service=service, operation=operation, seconds=seconds,
                code=failure.code if failure and failed else None, throttled=bool(failure and failure.throttled),
            )
        )  # fmt: skip
        warns = failed and failure is not None and not failure.ripens
        logger.log(
            logging.WARNING if warns else logging.INFO if ACTIONS[action].writes else logging.DEBUG,
            "%s %s%s", action, target, f": {failure.code}: {failure.text}" if failure else "",
            extra={
                "action": action,
                "resource": target,
                "duration_ms": round(seconds * 1000, 1),
                "error": failure.code if failure else None,
            },
        )  # fmt: skip

    def _account_id(self) -> str:
        called_at = self._clock()
        with self._identifying:  # the first reconciliations call at once; they share the answer, or its failure
            if self._account is not None and self._clock() - self._account[1] < _ACCOUNT_LASTS_SECONDS:
                return self._account[0]
            if self._failure is not None and self._failure[1] >= called_at:
                raise self._failure[0]
            try:
                with at_priority(Priority.STOP):  # whoever else waits for the answer may be in a hurry
                    answer = self.call("sts:GetCallerIdentity", target="the operator's credentials")
            except AwsError as error:
                misspelled = self._unknown_region() if error.code == "EndpointConnectionError" else None
                self._failure = (misspelled or error, self._clock())
                raise self._failure[0] from error
            self._account = (str(answer["Account"]), self._clock())
            return self._account[0]

    def partition(self) -> str:
        """The region's: aws, aws-us-gov, aws-cn. No call. Raises AwsError."""
        try:
            return str(self._session.get_partition_for_region(self.region))
        except BotoCoreError as error:
            raise _unknown(self.region) from error

    def _unknown_region(self) -> AwsError | None:
        """Where nothing answers, and the SDK has not heard of the region either, it is most likely a misspelling."""
        known = self._session.get_available_regions("lambda", partition_name=self.partition())
        return None if self.region in known else _unknown(self.region)

    def _client(self, service: str, *, writes: bool) -> Any:
        with self._creating:
            if (service, writes) not in self._of_service:
                if self._session.get_credentials() is None:  # a client keeps for ever that there were none
                    raise NoCredentialsError
                client = self._session.client(
                    service, region_name=self.region, config=_WRITES if writes else _READS
                )  # fmt: skip
                if self._budget is not None:
                    self._keep_to_budget(client, service, self._budget)
                self._of_service[service, writes] = client
            return self._of_service[service, writes]

    def _keep_to_budget(self, client: Any, service: str, budget: Budget) -> None:
        """Every request of the client waits, the SDK's own retries too; and every throttled answer is told.

        It waits before it is signed: AWS refuses a signature that is five minutes old.
        """
        limits = {
            client.meta.method_to_api_mapping[method.name]: limit_of(action, writes=method.writes)
            for action, method in ACTIONS.items()
            if method.service == service
        }

        def limit(event_name: str) -> Limit | None:
            return limits.get(event_name.rpartition(".")[2])

        def before_sign(event_name: str, **_: Any) -> None:
            if (found := limit(event_name)) is not None:
                begun = self._clock()
                budget.wait(found, where=self._where())
                self._waited.seconds = getattr(self._waited, "seconds", 0.0) + self._clock() - begun

        def needs_retry(event_name: str, response: Any = None, **_: Any) -> None:
            found, code = limit(event_name), _code(response)
            if found is not None and code is not None and is_throttling(code):
                budget.throttled(found, where=self._where())

        client.meta.events.register_first("before-sign", before_sign, unique_id="budget-wait")
        client.meta.events.register_first("needs-retry", needs_retry, unique_id="budget-throttled")

    def _where(self) -> str:
        """Account and region, as the budget counts; the account is not known before STS has answered once."""
        return f"{self._account[0] if self._account is not None else ''}/{self.region}"


def _code(response: Any) -> str | None:
    """Of botocore's event needs-retry: the error code of an answer (HTTP response, parsed body); None: no error."""
    return None if response is None else (response[1].get("Error") or {}).get("Code")


def _unknown(region: str) -> AwsError:
    return AwsError(
        action="sts:GetCallerIdentity",
        target=f"region {region}",
        code="UnknownRegion",
        text=f"the AWS SDK does not know region {region}",
        meaning=Meaning.TERMINAL,
        remedy="Correct --region, or spec.region in a new HumanGovState",
    )
