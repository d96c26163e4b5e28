"""The one door to AWS: which SDK methods are used, with what time-outs, counted and logged.

Every call goes through `Clients.call`. ACTIONS is the whole list of what the operator can do in AWS;
deploy/iam is tested against it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from humangov.api.names import Identity
from humangov.aws.errors import AwsError, Meaning, raise_for

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Called:
    """One call of AWS that has ended. `code`: AWS's word for what went wrong; None if nothing did."""

    service: str
    operation: str
    seconds: float
    code: str | None = None
    throttled: bool = False


class _Method(NamedTuple):
    service: str  # the SDK's name of the service
    name: str  # the client's method
    writes: bool


def _read(service: str, name: str) -> _Method:
    return _Method(service, name, writes=False)


def _write(service: str, name: str) -> _Method:
    return _Method(service, name, writes=True)


# IAM's name of the action → the SDK's method.
ACTIONS: dict[str, _Method] = {
    "sts:GetCallerIdentity": _read("sts", "get_caller_identity"),
    # stream
    "dynamodb:DescribeTable": _read("dynamodb", "describe_table"),
    "dynamodb:DescribeStream": _read("dynamodbstreams", "describe_stream"),
    "dynamodb:ListTagsOfResource": _read("dynamodb", "list_tags_of_resource"),
    "dynamodb:UpdateTable": _write("dynamodb", "update_table"),
    "dynamodb:TagResource": _write("dynamodb", "tag_resource"),
    "dynamodb:UntagResource": _write("dynamodb", "untag_resource"),
    # buckets: looked at, never changed; of what Lambda gave up, the keys
    "s3:ListBucket": _read("s3", "list_objects_v2"),
    "s3:GetBucketLocation": _read("s3", "get_bucket_location"),
    "s3:GetBucketVersioning": _read("s3", "get_bucket_versioning"),
    # role
    "iam:GetRole": _read("iam", "get_role"),
    "iam:GetRolePolicy": _read("iam", "get_role_policy"),
    "iam:ListRolePolicies": _read("iam", "list_role_policies"),
    "iam:ListAttachedRolePolicies": _read("iam", "list_attached_role_policies"),
    "iam:CreateRole": _write("iam", "create_role"),
    "iam:UpdateAssumeRolePolicy": _write("iam", "update_assume_role_policy"),
    "iam:PutRolePermissionsBoundary": _write("iam", "put_role_permissions_boundary"),
    "iam:PutRolePolicy": _write("iam", "put_role_policy"),
    "iam:DeleteRolePolicy": _write("iam", "delete_role_policy"),
    "iam:DetachRolePolicy": _write("iam", "detach_role_policy"),
    "iam:TagRole": _write("iam", "tag_role"),
    "iam:UntagRole": _write("iam", "untag_role"),
    "iam:DeleteRole": _write("iam", "delete_role"),
    # log group
    "logs:DescribeLogGroups": _read("logs", "describe_log_groups"),
    "logs:ListTagsForResource": _read("logs", "list_tags_for_resource"),
    "logs:CreateLogGroup": _write("logs", "create_log_group"),
    "logs:PutRetentionPolicy": _write("logs", "put_retention_policy"),
    "logs:AssociateKmsKey": _write("logs", "associate_kms_key"),
    "logs:DisassociateKmsKey": _write("logs", "disassociate_kms_key"),
    "logs:TagResource": _write("logs", "tag_resource"),
    "logs:UntagResource": _write("logs", "untag_resource"),
    "logs:DeleteLogGroup": _write("logs", "delete_log_group"),
    # function
    "lambda:GetFunction": _read("lambda", "get_function"),
    "lambda:CreateFunction": _write("lambda", "create_function"),
    "lambda:UpdateFunctionCode": _write("lambda", "update_function_code"),
    "lambda:UpdateFunctionConfiguration": _write("lambda", "update_function_configuration"),
    "lambda:PutFunctionConcurrency": _write("lambda", "put_function_concurrency"),
    "lambda:DeleteFunctionConcurrency": _write("lambda", "delete_function_concurrency"),
    "lambda:DeleteFunction": _write("lambda", "delete_function"),
    # trigger
    "lambda:ListEventSourceMappings": _read("lambda", "list_event_source_mappings"),
    "lambda:CreateEventSourceMapping": _write("lambda", "create_event_source_mapping"),
    "lambda:UpdateEventSourceMapping": _write("lambda", "update_event_source_mapping"),
    "lambda:DeleteEventSourceMapping": _write("lambda", "delete_event_source_mapping"),
    # function and trigger
    "lambda:ListTags": _read("lambda", "list_tags"),
    "lambda:TagResource": _write("lambda", "tag_resource"),
    "lambda:UntagResource": _write("lambda", "untag_resource"),
    # whether records reach the functions in time
    "cloudwatch:GetMetricData": _read("cloudwatch", "get_metric_data"),
    # what is left of tenants that are gone
    "tag:GetResources": _read("resourcegroupstaggingapi", "get_resources"),
    "iam:ListRoles": _read("iam", "list_roles"),
}

# The queue does the waiting, so the SDK hardly retries: a read once, a write never (its effect may have taken place).
_TIMEOUTS = {"connect_timeout": 3, "read_timeout": 10, "tcp_keepalive": True, "max_pool_connections": 64}
_READS = Config(**_TIMEOUTS, retries={"mode": "standard", "total_max_attempts": 2})
_WRITES = Config(**_TIMEOUTS, retries={"mode": "standard", "total_max_attempts": 1})


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
    ) -> None:
        """`role_arn`: the role that `session` takes on, for messages. `called` is told of each call."""
        self.region = region
        self._role_arn = role_arn
        self._called = called
        self.calls: Counter[str] = Counter()
        self._session = session or boto3.Session(region_name=region)
        self._clock = clock
        self._made: dict[tuple[str, bool], Any] = {}
        self._lock = threading.Lock()  # a session must not make two clients at once
        self._asking = threading.Lock()
        self._known_account: tuple[str, float] | None = None  # and when it was told
        self._failed: tuple[AwsError, float] | None = None

    def call(self, action: str, *, target: str, **parameters: Any) -> dict[str, Any]:
        """Call one of ACTIONS; `target` names the resource for logs and errors. Raises AwsError."""
        method = ACTIONS[action]
        started = self._clock()
        failure: AwsError | None = None
        try:
            response = getattr(self._client(method.service, writes=method.writes), method.name)(**parameters)
            return dict(response)
        except (ClientError, BotoCoreError) as error:
            try:
                raise_for(error, **self._asked_for(error, action=action, target=target))
            except AwsError as translated:
                failure = translated
                raise
        finally:
            self.calls[action] += 1
            failed = failure is not None and failure.meaning not in (Meaning.GONE, Meaning.ALREADY)
            seconds = self._clock() - started
            service, _, operation = (failure.action if failure else action).partition(":")
            self._called(
                Called(
                    service=service, operation=operation, seconds=seconds,
                    code=failure.code if failure and failed else None, throttled=bool(failure and failure.throttled),
                )
            )  # fmt: skip
            logger.log(
                logging.WARNING if failed else logging.INFO if method.writes else logging.DEBUG,
                "%s %s%s", action, target, f": {failure.code}: {failure.text}" if failure else "",
                extra={
                    "action": action,
                    "resource": target,
                    "duration_ms": round(seconds * 1000, 1),
                    "error": failure.code if failure else None,
                },
            )  # fmt: skip

    def pages(self, action: str, items: str, *, token: tuple[str, str], target: str, **parameters: Any) -> list[Any]:
        """All items of a paged listing. `token` is (name in the answer, name in the request). Raises AwsError."""
        found: list[Any] = []
        while True:
            page = self.call(action, target=target, **parameters)
            found += page.get(items) or []
            following = page.get(token[0])
            if not following:
                return found
            parameters[token[1]] = following

    def _asked_for(self, error: Exception, *, action: str, target: str) -> dict[str, str]:
        """What failed: before the first call, and before credentials expire, the SDK takes the tenant's role on."""
        if self._role_arn and isinstance(error, ClientError) and error.operation_name == "AssumeRole":
            return {"action": "sts:AssumeRole", "target": self._role_arn}
        return {"action": action, "target": target}

    def identity(self, *, cluster: str) -> Identity:
        """Who we are, asked once an hour. Raises AwsError."""
        partition = self._partition()
        return Identity(account_id=self._account(), region=self.region, cluster=cluster, partition=partition)

    def _account(self) -> str:
        asked_at = self._clock()
        with self._asking:  # the first passes all want to know at once; they share the answer, or its failure
            known = self._known_account
            if known is not None and self._clock() - known[1] < _ACCOUNT_LASTS_SECONDS:
                return known[0]
            if self._failed is not None and self._failed[1] >= asked_at:
                raise self._failed[0]
            try:
                answer = self.call("sts:GetCallerIdentity", target="the operator's credentials")
            except AwsError as error:
                failure = self._unknown_region() if error.code == "EndpointConnectionError" else None
                self._failed = (failure or error, self._clock())
                raise self._failed[0] from error
            self._known_account = (str(answer["Account"]), self._clock())
            return self._known_account[0]

    def _partition(self) -> str:
        try:
            return str(self._session.get_partition_for_region(self.region))
        except BotoCoreError as error:
            raise _unknown(self.region) from error

    def _unknown_region(self) -> AwsError | None:
        """Where nothing answers, and the SDK has not heard of the region either, it is most likely a misspelling."""
        known = self._session.get_available_regions("lambda", partition_name=self._partition())
        return None if self.region in known else _unknown(self.region)

    def warm(self) -> None:
        """Make every client now; it takes a second of processor time, which the first tenant should not wait for."""
        for method in ACTIONS.values():
            self._client(method.service, writes=method.writes)

    def _client(self, service: str, *, writes: bool) -> Any:
        with self._lock:
            if (service, writes) not in self._made:
                self._made[service, writes] = self._session.client(
                    service, region_name=self.region, config=_WRITES if writes else _READS
                )
            return self._made[service, writes]


def _unknown(region: str) -> AwsError:
    return AwsError(
        action="sts:GetCallerIdentity",
        target=f"region {region}",
        code="UnknownRegion",
        text=f"the AWS SDK knows no region {region}",
        meaning=Meaning.PERSON,
        remedy="Correct --region, or spec.region in a new HumanGovState",
    )
