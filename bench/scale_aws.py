"""A fake AWS for the scale bench: `python -m bench.scale_aws PORT_FILE SECONDS [limits] [ripening]`.

It keeps what the operator makes (scale_world.py), answers each call after so many seconds, and throttles calls over
AWS's published limits (scale_limits.py). It checks no signature and no permission.

GET /-/state: calls and throttled calls by operation. POST /-/clear begins to count anew. POST /-/clone copies what one
tenant has for others, so that ten thousand need not be created one by one. GET /-/inventory: what there is.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from bench.scale_limits import Buckets
from bench.scale_world import ACCOUNT, AwsRefusalError, World

_IAM = "https://iam.amazonaws.com/doc/2010-05-08/"
_SERVICE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/")

_BEAT_SECONDS = 0.02
_STALLS_COUNT_SECONDS = 1.0

Answer = tuple[int, str, bytes]
"""Status, content type, body."""


class Service:
    """The whole AWS behind one address."""

    def __init__(self, *, seconds: float, limited: bool, ripening: bool) -> None:
        self.seconds = seconds
        self.world = World(ripening=ripening)
        self.buckets = Buckets() if limited else Buckets(limits=())
        self.calls: Counter[str] = Counter()
        self.throttled: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self._stalls: deque[tuple[float, float]] = deque()  # when they ended, and how long they were

    async def watch_itself(self) -> None:
        """On a busy machine this process stands still, and calls that came one after the other are judged at once."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)
            now = time.monotonic()
            self._stalls.append((now, now - before - _BEAT_SECONDS))
            while self._stalls[0][0] < now - _STALLS_COUNT_SECONDS:
                self._stalls.popleft()

    @property
    def late(self) -> float:
        """The longest that it stood still lately."""
        return max((seconds for _, seconds in self._stalls), default=0.0)

    async def serve(self, request: web.Request) -> web.Response:
        if request.path.startswith("/-/"):
            return self._of_bench(request.path, await request.read())
        operation, do, wire = self._operation(request, await request.read())
        self.calls[operation] += 1
        admitted = self.buckets.take(operation, now=time.monotonic(), late=self.late)
        await asyncio.sleep(self.seconds)
        try:
            if not admitted:
                self.throttled[operation] += 1
                raise AwsRefusalError(
                    _THROTTLED.get(operation.partition(":")[0], "ThrottlingException"), "Rate exceeded"
                )
            status, body = 200, wire.answer(operation, do())
        except AwsRefusalError as refusal:
            status, body = refusal.status, wire.refusal(refusal)
        headers = {"x-amzn-RequestId": "0"}
        return web.Response(status=status, body=body, content_type=wire.content_type, headers=headers)

    def _of_bench(self, path: str, body: bytes) -> web.Response:
        if path == "/-/clear":
            for counted in (self.calls, self.throttled, self.unknown):
                counted.clear()
        if path == "/-/clone":
            given = json.loads(body)
            self.world.clone(given["pattern"], given["names"])
        if path == "/-/inventory":
            return web.json_response(self.world.inventory())
        return web.json_response({"calls": self.calls, "throttled": self.throttled, "unknown": self.unknown})

    def _operation(self, request: web.Request, body: bytes) -> tuple[str, Callable[[], Any], _Wire]:
        """Its name as service:Operation, what does it, and how its answer is written."""
        found = _SERVICE.search(request.headers.get("Authorization", ""))
        service = found[1] if found else "?"
        target = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        if target:
            given = json.loads(body or b"{}")
            return f"{service}:{target}", self._json(target, service, given), _JSON
        if service in ("iam", "sts"):
            query = dict(parse_qsl(body.decode(), keep_blank_values=True))
            return f"{service}:{query['Action']}", self._query(query), _QUERY
        if service == "s3":
            name, xml = _s3(request)
            return f"s3:{name}", lambda: xml, _S3
        if service == "backup":
            return "backup:DescribeProtectedResource", self._absent, _REST
        name, do = self._lambda(request, body)
        return f"{service}:{name}", do, _REST

    def _json(self, target: str, service: str, given: Any) -> Callable[[], Any]:
        world = self.world
        table: Mapping[str, Callable[[Any], Any]] = {
            "dynamodb:DescribeTable": world.describe_table, "dynamodb:UpdateTable": world.update_table,
            "dynamodb:DescribeStream": world.describe_stream, "dynamodb:ListTagsOfResource": world.list_table_tags,
            "dynamodb:TagResource": world.tag_table, "dynamodb:UntagResource": world.untag_table,
            "logs:DescribeLogGroups": world.describe_groups, "logs:CreateLogGroup": world.create_group,
            "logs:PutRetentionPolicy": world.retain, "logs:ListTagsForResource": world.group_tags,
            "logs:DescribeSubscriptionFilters": lambda _: {"subscriptionFilters": []},
            "logs:DeleteLogGroup": world.delete_group, "tagging:GetResources": world.resources,
            "monitoring:GetMetricData": lambda _: {"MetricDataResults": []},
        }  # fmt: skip
        do = table.get(f"{service}:{target}")
        return (lambda: do(given)) if do else self._not_known(f"{service}:{target}")

    def _query(self, query: Mapping[str, str]) -> Callable[[], Any]:
        world = self.world
        table: Mapping[str, Callable[[Any], str]] = {
            "CreateRole": world.create_role, "GetRole": world.get_role, "PutRolePolicy": world.put_role_policy,
            "GetRolePolicy": world.get_role_policy, "ListRolePolicies": world.list_role_policies,
            "ListAttachedRolePolicies": world.list_attached, "ListRoles": world.list_roles,
            "DeleteRolePolicy": world.delete_role_policy, "DeleteRole": world.delete_role,
            "GetCallerIdentity": lambda _: (
                f"<Account>{ACCOUNT}</Account><Arn>arn:aws:iam::{ACCOUNT}:user/x</Arn><UserId>x</UserId>"
            ),
        }  # fmt: skip
        do = table.get(query["Action"])
        return (lambda: do(query)) if do else self._not_known(query["Action"])

    def _lambda(self, request: web.Request, body: bytes) -> tuple[str, Callable[[], Any]]:
        world, method = self.world, request.method
        kind, *rest = [unquote(part) for part in request.raw_path.partition("?")[0].split("/")[2:] if part]
        given = json.loads(body) if body else {}
        if kind == "event-source-mappings":
            return self._mapping(method, rest, given, request.query)
        if kind == "tags":
            tags = partial_tags(world, "/".join(rest), method, given, request.query.getall("tagKeys", []))
            return {"GET": "ListTags", "POST": "TagResource"}.get(method, "UntagResource"), tags
        if kind == "functions" and not rest and method == "GET":
            return "ListFunctions", lambda: world.functions_shown(request.query)
        if kind != "functions" or not rest:
            done = method == "POST" and kind == "functions"
            return ("CreateFunction", lambda: world.create_function(given)) if done else (kind, self._not_known(kind))
        name, what = rest[0].rpartition(":")[2], "/".join(rest[1:])
        return self._function(method, name, what, given)

    def _mapping(
        self, method: str, rest: list[str], given: Any, query: Mapping[str, str]
    ) -> tuple[str, Callable[[], Any]]:
        world = self.world
        if not rest:
            if method == "POST":
                return "CreateEventSourceMapping", lambda: world.create_mapping(given)
            return "ListEventSourceMappings", lambda: world.mappings_shown(query)
        if method == "GET":
            return "GetEventSourceMapping", lambda: world.mapping(rest[0])
        state = "Deleting" if method == "DELETE" else "Updating"
        name = "DeleteEventSourceMapping" if method == "DELETE" else "UpdateEventSourceMapping"
        return name, lambda: world.change_mapping(rest[0], given, state=state)

    def _function(self, method: str, name: str, what: str, given: Any) -> tuple[str, Callable[[], Any]]:
        world = self.world

        def of_function(answer: Any) -> Callable[[], Any]:
            return lambda: (world.function(name), answer)[1]

        lists = {
            "urls": ("ListFunctionUrlConfigs", {"FunctionUrlConfigs": []}),
            "aliases": ("ListAliases", {"Aliases": []}),
            "versions": ("ListVersionsByFunction", {"Versions": [{"Version": "$LATEST", "FunctionName": name}]}),
            "event-invoke-config/list": ("ListFunctionEventInvokeConfigs", {"FunctionEventInvokeConfigs": []}),
            "provisioned-concurrency": ("ListProvisionedConcurrencyConfigs", {"ProvisionedConcurrencyConfigs": []}),
            "code-signing-config": ("GetFunctionCodeSigningConfig", {"FunctionName": name}),
        }
        if method == "GET" and what in lists:
            operation, answer = lists[what]
            return operation, of_function(answer)
        if method == "GET" and what == "policy":
            return "GetPolicy", self._absent
        if what == "concurrency":
            number = given.get("ReservedConcurrentExecutions")
            operation = "PutFunctionConcurrency" if method == "PUT" else "DeleteFunctionConcurrency"
            return operation, lambda: world.limit(name, number)
        if method == "PUT":
            operation = "UpdateFunctionCode" if what == "code" else "UpdateFunctionConfiguration"
            return operation, lambda: world.update_function(name, given)
        if method == "DELETE":
            return "DeleteFunction", lambda: world.delete_function(name)
        return "GetFunction", lambda: world.get_function(name)

    @staticmethod
    def _absent() -> Any:
        raise AwsRefusalError("ResourceNotFoundException", "The resource you requested does not exist.", status=404)

    def _not_known(self, what: str) -> Callable[[], Any]:
        def refuse() -> Any:
            self.unknown[what] += 1
            raise AwsRefusalError("UnknownOperationException", what, status=404)

        return refuse


def partial_tags(world: World, arn: str, method: str, given: Any, keys: list[str]) -> Callable[[], Any]:
    """What reads, adds or takes off tags of a function or a mapping."""

    def do() -> Any:
        tags = world.lambda_tags(arn)
        tags.update(given.get("Tags", {}))
        for key in keys:
            tags.pop(key, None)
        return {"Tags": tags} if method == "GET" else {}

    return do


def _s3(request: web.Request) -> tuple[str, str]:
    query = request.query
    if "location" in query:
        return "GetBucketLocation", '<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>'
    if "versioning" in query:
        return "GetBucketVersioning", "<VersioningConfiguration/>"
    if "replication" in query:
        return "GetBucketReplication", "!ReplicationConfigurationNotFoundError"
    if "lifecycle" in query:
        return "GetBucketLifecycleConfiguration", "!NoSuchLifecycleConfiguration"
    return (
        "ListObjectsV2",
        "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>",
    )


class _Wire:
    """How answers and refusals are written; here as JSON."""

    content_type = "application/x-amz-json-1.1"

    def answer(self, _operation: str, found: Any) -> bytes:
        return json.dumps(found).encode()

    def refusal(self, refusal: AwsRefusalError) -> bytes:
        return json.dumps({"__type": refusal.code, "message": refusal.text, "Type": "User"}).encode()


class _Query(_Wire):
    content_type = "text/xml"

    def answer(self, operation: str, found: Any) -> bytes:
        name = operation.partition(":")[2]
        return f'<{name}Response xmlns="{_IAM}"><{name}Result>{found}</{name}Result></{name}Response>'.encode()

    def refusal(self, refusal: AwsRefusalError) -> bytes:
        return (
            f"<ErrorResponse><Error><Code>{refusal.code}</Code><Message>{refusal.text}</Message></Error>"
            "<RequestId>0</RequestId></ErrorResponse>"
        ).encode()


class _OfS3(_Wire):
    content_type = "application/xml"

    def answer(self, _operation: str, found: Any) -> bytes:
        if found.startswith("!"):
            raise AwsRefusalError(found[1:], "There is none", status=404)
        return f'<?xml version="1.0" encoding="UTF-8"?>{found}'.encode()

    def refusal(self, refusal: AwsRefusalError) -> bytes:
        return f"<Error><Code>{refusal.code}</Code><Message>{refusal.text}</Message></Error>".encode()


_JSON, _REST, _QUERY, _S3 = _Wire(), _Wire(), _Query(), _OfS3()
_THROTTLED = {"lambda": "TooManyRequestsException", "iam": "Throttling", "monitoring": "Throttling"}


def main() -> None:
    port_file, seconds, *options = sys.argv[1:]
    service = Service(seconds=float(seconds), limited="limits" in options, ripening="ripening" in options)

    async def serve() -> None:
        application = web.Application(client_max_size=2**26)
        application.router.add_route("*", "/{path:.*}", service.serve)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        Path(port_file).write_text(str(runner.addresses[0][1]))
        await service.watch_itself()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
