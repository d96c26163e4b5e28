"""The SDK's clients before the account, for one process; and what stands for threads and time in our code's modules.

Calls are Python calls: no request is built or parsed, which is what makes thousands of histories a minute possible.
With `checked`, each call's parameters are checked against botocore's model, as a real client does.
"""

from __future__ import annotations

import functools
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for_threads
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import botocore.session
from botocore.validate import validate_parameters
from humangov.aws.data_plane import AwsClients

from testing.world import dynamodb, logs, pool, s3
from testing.world.account import Account, Answer
from testing.world.actor import Actor
from testing.world.clock import HostClock

_Operations = Mapping[str, Callable[[Account, Actor, Mapping[str, Any]], Answer]]
_SERVICES: Mapping[str, tuple[str, _Operations]] = {
    "s3": ("S3", s3.OPERATIONS),
    "dynamodb": ("DynamoDB", dynamodb.TABLE_OPERATIONS),
    "dynamodbstreams": ("Streams", dynamodb.STREAM_OPERATIONS),
    "logs": ("Logs", logs.OPERATIONS),
    "lambda": ("Lambda", dynamodb.READER_OPERATIONS),
}
_OF_FIELD = {"streams": "dynamodbstreams", "functions": "lambda"}
_TOKENS: Mapping[str, Mapping[str, str]] = {
    "list_objects_v2": {"NextContinuationToken": "ContinuationToken"},
    "list_multipart_uploads": {"NextKeyMarker": "KeyMarker", "NextUploadIdMarker": "UploadIdMarker"},
    "list_object_versions": {"NextKeyMarker": "KeyMarker", "NextVersionIdMarker": "VersionIdMarker"},
    "filter_log_events": {"nextToken": "nextToken"},
}
"""Of the operations in pages: where an answer names what the next call is to give."""


@dataclass
class Client:
    """What `boto3.client` gives. actor: who calls, now."""

    account: Account
    service: str
    actor: Callable[[], Actor]
    patient: bool = False
    checked: bool = False

    def __getattr__(self, name: str) -> Callable[..., Answer]:
        service, operations = _SERVICES[self.service]
        do = operations.get(name)
        if do is None:
            raise AttributeError(f"{self.service} has no {name} in this world")

        def call(**params: Any) -> Answer:
            if self.checked:
                validate_parameters(params, _shape(self.service, name))
            return self.account.call(self.actor(), service, name, do, params, patient=self.patient)

        return call

    def get_paginator(self, name: str) -> Paginator:
        return Paginator(getattr(self, name), _TOKENS[name])


@dataclass(frozen=True)
class Paginator:
    """tokens: of an answer → parameter of the next call."""

    page: Callable[..., Answer]
    tokens: Mapping[str, str]

    def paginate(self, **params: Any) -> Iterator[Answer]:
        while True:
            answer = self.page(**params)
            yield answer
            following = {asked: answer[answered] for answered, asked in self.tokens.items() if answered in answer}
            if not following:
                return
            params |= following


def aws_clients(account: Account, actor: Actor, *, checked: bool) -> AwsClients:
    """What `data_plane.connect` gives to a process of the operator's."""

    def client(name: str) -> Client:
        service = name.removeprefix("patient_")
        return Client(
            account, _OF_FIELD.get(service, service), lambda: actor,
            patient=service != name or service == "streams", checked=checked,
        )  # fmt: skip

    several: dict[str, Any] = {one.name: client(one.name) for one in fields(AwsClients)}
    return AwsClients(**several)


@functools.cache
def _shape(service: str, name: str) -> Any:
    model = botocore.session.get_session().get_service_model(service)
    operation = "".join(part.capitalize() for part in name.split("_"))
    return model.operation_model(operation).input_shape


@dataclass
class Processes:
    """The processes that run now, the innermost last: one waits in a call while the next has its turn."""

    chance: random.Random
    running: list[tuple[Actor, AwsClients | None]] = field(default_factory=list)

    @contextmanager
    def run(self, actor: Actor, clients: AwsClients | None = None) -> Iterator[None]:
        self.running.append((actor, clients))
        try:
            yield
        finally:
            self.running.pop()

    @property
    def actor(self) -> Actor:
        return self.running[-1][0]

    @property
    def clients(self) -> AwsClients:
        found = self.running[-1][1]
        assert found is not None, "the function makes its own clients"
        return found

    def new_pool(self, *_arguments: Any, **_more: Any) -> pool.Pool:
        self.actor.pool = pool.Pool(self.chance)
        return self.actor.pool


class _Time:
    """Module `time`, on the clock of the process that runs."""

    def __init__(self, host: Callable[[], HostClock]) -> None:
        self._host = host

    def time(self) -> float:
        return self._host().time()

    def time_ns(self) -> int:
        return int(self._host().time() * 1e9)

    def monotonic(self) -> float:
        return self._host().monotonic()

    perf_counter = monotonic
    thread_time = monotonic

    def sleep(self, seconds: float) -> None:
        self._host().sleep(seconds)


def replaced(module: Any, processes: Processes) -> dict[str, Any]:
    """What a module of our code has instead of the real time and threads, by name."""
    instead = {
        id(time): _Time(lambda: processes.actor.host),
        id(ThreadPoolExecutor): processes.new_pool,
        id(wait_for_threads): pool.wait,
    }
    return {name: instead[id(value)] for name, value in vars(module).items() if id(value) in instead}


_MODULES = ("cleanup", "reading", "redrive", "final_read", "sweep", "aws.receipt_log", "proof")


@contextmanager
def in_this_world(processes: Processes) -> Iterator[None]:
    """Our modules have this world's time and threads, for as long as it lasts."""
    prefixes = tuple(f"humangov.{one}" for one in _MODULES)
    kept: list[tuple[Any, str, Any]] = []
    try:
        for module in [one for name, one in sys.modules.items() if name.startswith(prefixes)]:
            for name, value in replaced(module, processes).items():
                kept.append((module, name, vars(module)[name]))
                setattr(module, name, value)
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)
