"""The first calls of the API server, before there is any work: an outage of it has a minute to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from humangov.kube.client import KubeError
from humangov.manager import watch

T = TypeVar("T")
logger = logging.getLogger(__name__)

START_PATIENCE_SECONDS = 60.0  # while the API server is unavailable at the start
_TOO_OLD, _ABSENT = 410, 404


class StoppedError(Exception):
    """A stop signal came before there was an answer."""


async def first_answer(
    call: Callable[[], Awaitable[T]], *, stop: asyncio.Event, waits_for_definition: bool = False
) -> T:  # fmt: skip
    """The answer of a first call. An API server that can't be reached, or is unavailable, has a minute to recover.

    waits_for_definition: while there is none, as when it is replaced, there is nothing to do. Raises KubeError of a
    refusal at once, and StoppedError.
    """
    deadline, pauses = time.monotonic() + START_PATIENCE_SECONDS, iter(watch.EndlessBackoffs())
    while True:
        try:
            return await call()
        except KubeError as error:
            absent = waits_for_definition and error.status == _ABSENT
            # Too old: what the watch was to begin with is forgotten; the next one begins with what is there then.
            transient = error.is_transient or error.status == _TOO_OLD
            if not absent and not transient:
                raise
            if not stop.is_set() and not absent and time.monotonic() >= deadline:
                raise
            remedy = " The CustomResourceDefinition does not exist: kubectl apply --server-side -f crds/"
            logger.warning("%s; retried automatically.%s", error, remedy if absent else "")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=next(pauses))
            raise StoppedError
