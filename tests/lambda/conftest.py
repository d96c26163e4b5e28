"""The zip in Lambda's runtime, on moto behind a layer that counts its calls and can spoil them."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from humangov.bundle import bundle
from moto.backends import get_backend
from moto.server import ThreadedMotoServer

from testing.lambda_runtime.runtime_api import LOG_GROUP, Invocation, RunningFunction
from testing.lambda_runtime.stream_events import Item
from testing.receipt_chain import each_once

ACCOUNT = "123456789012"
ASKED_ONCE = "GetBucketVersioning"
LOGGING = ("CreateLogStream", "PutLogEvents")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@dataclass(frozen=True)
class Call:
    """One request of the function to AWS."""

    operation: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Forward = Callable[[Call], Answer]
Fault = Callable[[Call, Forward], Answer | None]
"""What happens to a call instead; None breaks the connection off."""


class FaultLayer:
    """Between the function and moto: records every call, and does to one operation what a test asks for."""

    def __init__(self, upstream_port: int) -> None:
        self.calls: list[Call] = []
        self._stored: list[dict[str, Any]] = []
        self._faults: dict[str, Fault] = {}
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.answer = self._answer
        self._upstream_port = upstream_port
        threading.Thread(target=self._server.serve_forever, args=(0.5,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def counts(self) -> dict[str, int]:
        """Of S3 and DynamoDB, but for what a function asks once in its life."""
        return dict(Counter(call.operation for call in self.calls if call.operation not in (ASKED_ONCE, *LOGGING)))

    @property
    def logging(self) -> list[str]:
        """The calls of CloudWatch Logs, in their order."""
        return [call.operation for call in self.calls if call.operation in LOGGING]

    def stored(self) -> list[dict[str, Any]]:
        """The lines that the log group took since the last call, each once."""
        lines, self._stored = each_once(self._stored), []
        return lines

    def spoil(self, operation: str, fault: Fault) -> None:
        self._faults[operation] = fault

    def reset(self) -> None:
        self.calls.clear()
        self._faults.clear()
        self._stored.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, call: Call) -> Answer | None:
        self.calls.append(call)
        fault = self._faults.get(call.operation)
        return fault(call, self._forward) if fault else self._forward(call)

    def _forward(self, call: Call) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream_port, timeout=30)
        try:
            connection.putrequest(call.method, call.target, skip_host=True, skip_accept_encoding=True)
            for name, value in call.headers.items():
                if name.lower() not in ("content-length", "connection"):
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(call.body)))
            connection.endheaders(call.body)
            response = connection.getresponse()
            kept = ("content-type", "x-amz-crc32", "x-amz-delete-marker", "x-amz-version-id")
            headers = {name: value for name, value in response.getheaders() if name.lower() in kept}
            answer = Answer(response.status, response.read(), headers)
            if call.operation == "PutLogEvents" and answer.status == 200:
                self._stored += [json.loads(one["message"]) for one in call.json["logEvents"]]
            return answer
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # Python's 5 are too few for who opens 16 at once: the sixth waits a second, and gives up
    answer: Callable[[Call], Answer | None]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        self._any()

    def do_POST(self) -> None:
        self._any()

    def do_DELETE(self) -> None:
        self._any()

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation = _operation(self.command, self.path, self.headers.get("X-Amz-Target", ""))
        answer = self.server.answer(Call(operation, self.command, self.path, dict(self.headers.items()), body))
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _operation(method: str, target: str, amz_target: str) -> str:
    if amz_target:
        return amz_target.rsplit(".", 1)[-1]
    query = parse_qs(urlsplit(target).query, keep_blank_values=True)
    match method:
        case "POST" if "delete" in query:
            return "DeleteObjects"
        case "GET" if "versions" in query:
            return "ListObjectVersions"
        case "GET" if "versioning" in query:
            return ASKED_ONCE
        case "GET" if "retention" in query:
            return "GetObjectRetention"
        case "GET" if "legal-hold" in query:
            return "GetObjectLegalHold"
        case "DELETE":
            return "DeleteObject"
    return f"{method} {target}"


def broken_off(_call: Call, _forward: Forward) -> None:
    """The fault that closes the connection without an answer."""


def always(answer: Answer) -> Fault:
    """The fault that gives this answer to every call, and does nothing."""
    return lambda _call, _forward: answer


def once(answer: Answer | None) -> Fault:
    """The fault that spoils the first call alone."""
    left = [answer]
    return lambda call, forward: left.pop() if left else forward(call)


def json_error(code: str, *, status: int = 400, message: str = "spoiled") -> Answer:
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message})
    return Answer(status, body.encode(), {"Content-Type": "application/x-amz-json-1.0"})


def xml_error(code: str, *, status: int, message: str = "spoiled") -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})


@dataclass
class World:
    """One tenant on moto, and its function."""

    table: str
    bucket: str
    layer: FaultLayer
    function: RunningFunction
    dynamodb: Any
    s3: Any
    shared: RunningFunction | None = None
    """The function that other tests use too."""

    def write(self, *items: Item) -> None:
        """Live records."""
        for item in items:
            self.dynamodb.put_item(TableName=self.table, Item=item)

    def upload(self, *keys: str, modified: datetime | None = None) -> None:
        """Files; straight into moto's memory, as a thousand requests would take seconds."""
        backend = get_backend("s3")[ACCOUNT]["aws"]
        for key in keys:
            stored = backend.put_object(self.bucket, key, b"%PDF")
            if modified:
                stored.last_modified = modified.replace(tzinfo=None)

    @property
    def files(self) -> set[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {one["Key"] for page in pages for one in page.get("Contents", [])}

    @property
    def versions(self) -> dict[str, int]:
        """Key → how many versions and markers S3 holds."""
        answer = self.s3.list_object_versions(Bucket=self.bucket)
        return dict(Counter(one["Key"] for kind in ("Versions", "DeleteMarkers") for one in answer.get(kind, ())))

    def invoke(self, event: Any, *, timeout_ms: int = 300_000) -> Invocation:
        kept = get_backend("s3")[ACCOUNT]["aws"].get_bucket(self.bucket).versioning_status
        assert self.function is not self.shared or not kept, "it would know for ever that the bucket keeps versions"
        return self.function.invoke(event, timeout_ms=timeout_ms)


@pytest.fixture(scope="session")
def moto() -> Iterator[int]:
    """The port of a moto server; it answers nobody but this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture(scope="session")
def fault_layer(moto: int) -> Iterator[FaultLayer]:
    layer = FaultLayer(moto)
    yield layer
    layer.close()


@pytest.fixture(scope="session")
def clients(moto: int) -> tuple[Any, Any]:
    session = boto3.Session("testing", "testing", region_name="us-east-1")
    endpoint = f"http://127.0.0.1:{moto}"
    return session.client("dynamodb", endpoint_url=endpoint), session.client("s3", endpoint_url=endpoint)


@pytest.fixture
def log_group(moto: int) -> None:
    """The functions' log group. For each test: `mock_aws` in another test empties moto, and its server as well."""
    logs = boto3.Session("testing", "testing", region_name="us-east-1").client(
        "logs", endpoint_url=f"http://127.0.0.1:{moto}"
    )
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=LOG_GROUP)


StartFunction = Callable[..., RunningFunction]


@pytest.fixture(scope="session")
def starting(fault_layer: FaultLayer, tmp_path_factory: pytest.TempPathFactory) -> Callable[[ExitStack], StartFunction]:
    """Starts the zip with more or other environment variables; it runs until the stack is closed."""
    packed = bundle()

    def until(running: ExitStack) -> StartFunction:
        def start(**environment: str) -> RunningFunction:
            function = RunningFunction(
                packed.zip,
                handler=packed.handler,
                environment=CREDENTIALS
                | {"AWS_ENDPOINT_URL": fault_layer.url, "HUMANGOV_TENANT": "uid/humangov/california"}
                | environment,
                directory=tmp_path_factory.mktemp("task"),
                receipts=fault_layer.stored,
            )
            return running.enter_context(function)

        return start

    return until


@pytest.fixture
def start(starting: Callable[[ExitStack], StartFunction]) -> Iterator[StartFunction]:
    """What it starts ends with the test: each function that runs wakes this process sixty times a second."""
    with ExitStack() as running:
        yield starting(running)


@pytest.fixture(scope="session")
def california(starting: Callable[[ExitStack], StartFunction]) -> Iterator[RunningFunction]:
    """The function that most tests share: one cold start."""
    with ExitStack() as running:
        yield starting(running)(HUMANGOV_TABLE="california", HUMANGOV_BUCKET="california-files")


MakeWorld = Callable[..., World]
_numbers = itertools.count(1)


@pytest.fixture
def make_world(
    fault_layer: FaultLayer, clients: tuple[Any, Any], start: StartFunction, log_group: None
) -> Iterator[MakeWorld]:
    """A table and a bucket for one test, and a function if none is given."""
    dynamodb, s3 = clients
    with ExitStack() as cleanup:

        def make(
            *,
            function: RunningFunction | None = None,
            table: str = "",
            bucket: str = "",
            keys: Sequence[tuple[str, str]] = (("id", "S"),),
            **environment: str,
        ) -> World:
            table = table or f"table-{next(_numbers)}"
            bucket = bucket or f"files-{next(_numbers)}"
            dynamodb.create_table(
                TableName=table,
                KeySchema=[
                    {"AttributeName": name, "KeyType": kind}
                    for (name, _), kind in zip(keys, ("HASH", "RANGE"), strict=False)
                ],
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in keys],
                BillingMode="PAY_PER_REQUEST",
            )
            s3.create_bucket(Bucket=bucket)
            cleanup.callback(_forget, table, bucket)
            fault_layer.reset()
            function = function or start(HUMANGOV_TABLE=table, HUMANGOV_BUCKET=bucket, **environment)
            return World(table, bucket, fault_layer, function, dynamodb, s3)

        yield make


def _forget(table: str, bucket: str) -> None:
    get_backend("dynamodb")[ACCOUNT]["us-east-1"].tables.pop(table, None)
    files = get_backend("s3")[ACCOUNT]["aws"]
    files.get_bucket(bucket).keys.clear()
    files.delete_bucket(bucket)


@pytest.fixture
def world(make_world: MakeWorld, california: RunningFunction) -> World:
    """California: a table with key `id`, an empty bucket, and the function that erases its files."""
    made = make_world(function=california, table="california", bucket="california-files")
    made.shared = california
    return made
