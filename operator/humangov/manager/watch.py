"""The watch of HumanGovStates, and all that is known of kopf: nothing else here imports it.

kopf owns the watch and its reconnects. Its handlers for changes are not used: they keep state on the resource. The one
low-level handler here hands each event on.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf

# Not public: tests/unit/test_kopf.py says what to do where a version lacks them.
from kopf._cogs.clients.errors import APIError
from kopf._cogs.clients.watching import WatchingError

from humangov.api.spec import GROUP, PLURAL, VERSION
from humangov.kube import client
from humangov.kube.client import Resource

_HOLDS_AN_OBJECT_SECONDS = 0.1
"""kopf keeps an object, whole, for so long after its last event: with its own 5 s, many pages at once."""


class _NothingOfChanges(kopf.DiffBaseStorage):
    """Of each event kopf compares the whole object with what it kept of it, for handlers that nobody uses."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """The like, of handlers that go on from where they were."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


OnEvent = Callable[[str, Resource], Awaitable[None]]  # its kind: ADDED, MODIFIED, DELETED; "None" in the first list


def start(
    *, namespaces: Sequence[str], on_event: OnEvent, stop: asyncio.Event, ready: asyncio.Event
) -> asyncio.Task[None]:
    """Watch these namespaces, or all if none are named, until `stop`; `ready` is set once it watches.

    Where kopf ends by itself, it ends with it all tasks that were begun meanwhile: nothing goes on as it was.
    """
    return asyncio.create_task(
        kopf.operator(
            registry=_registry(on_event),
            settings=settings(),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=stop,
            ready_flag=ready,
            # Else kopf looks for the user's name, and the image's user has none.
            identity=socket.gethostname(),  # type: ignore[arg-type] # the type is not public
        ),
        name="watch",
    )


def restarts_after(error: BaseException | None) -> bool:
    """Whether to restart the watch: kopf ends at errors that are transient.

    That is a line that a dying proxy cut (JSONDecodeError), an error amid the stream (WatchingError), a resource
    version that is too old (410), or a definition that is being replaced (404). A missing permission is not transient.
    """
    if isinstance(error, APIError):
        return error.status in (404, 410)
    return isinstance(error, json.JSONDecodeError | WatchingError)


class EndlessBackoffs:
    """Re-iterable and endless: with a finite sequence an unavailable API server would end the process in a minute."""

    def __iter__(self) -> Iterator[float]:
        for attempt in itertools.count():
            yield min(15.0, 0.5 * 2.0 ** min(attempt, 10)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter


def settings() -> kopf.OperatorSettings:
    options = kopf.OperatorSettings()
    options.scanning.disabled = True  # needs no permission to watch definitions and namespaces
    options.posting.enabled = False  # the operator writes its own events
    options.networking.error_backoffs = EndlessBackoffs()
    options.networking.request_timeout = 30
    options.networking.connect_timeout = 5
    options.watching.connect_timeout = 5
    options.watching.server_timeout = 300
    options.watching.client_timeout = 330
    options.watching.chunk_size = client.PAGE
    options.persistence.diffbase_storage = _NothingOfChanges()
    options.persistence.progress_storage = _NoProgress()
    options.queueing.idle_timeout = _HOLDS_AN_OBJECT_SECONDS
    return options


def _registry(on_event: OnEvent) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, errors=kopf.ErrorsMode.TEMPORARY)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await connection()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def hand_on(event: Any, body: kopf.Body, **_: Any) -> None:
        await on_event(str(event["type"]), dict(body))

    return registry


@dataclass(frozen=True, kw_only=True)
class _Connection(kopf.ConnectionInfo):
    """kopf's, but as lenient about an authority's form as `kube.client.load_configuration`."""

    def as_ssl_context(self) -> ssl.SSLContext:
        context = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


async def connection() -> kopf.ConnectionInfo:
    """kopf's credentials from the client's source, to be asked for again before a mounted token expires."""
    configuration = await client.load_configuration()
    scheme, _, token = str(configuration.api_key.get("BearerToken", "")).rpartition(" ")
    return _Connection(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=scheme or ("Bearer" if token else None),
        token=token or None,
        expiration=datetime.now(UTC) + timedelta(seconds=client.CREDENTIALS_LAST_SECONDS) if token else None,
    )
