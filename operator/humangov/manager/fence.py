"""The fence: no write, to Kubernetes or to AWS, by a process that may have lost the lease."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from humangov.aws.clients import Clients
from humangov.manager.leader_election import Election

logger = logging.getLogger(__name__)


def fence(election: Election | None) -> Callable[[], None]:
    """What comes before every write, in whatever thread. AWS takes writes from two operators as readily as from one."""

    def before_write() -> None:
        if election is not None and not election.holds():
            logger.error(
                "the lease expired without a renewal, probably because the process was suspended; the process ends"
            )
            end_process(1)

    return before_write


def end_process(code: int) -> NoReturn:
    """End the process now. A thread may sit in a call for its whole time-out, and the interpreter would wait for it."""
    sys.stderr.flush()
    os._exit(code)


class FencedClients(Clients):
    """AWS clients that refuse to write when the process may have lost the lease."""

    def __init__(self, *, before_write: Callable[[], None], **of: Any) -> None:
        super().__init__(**of)
        self._before_write = before_write

    def _client(self, service: str, *, writes: bool) -> Any:
        client = super()._client(service, writes=writes)
        if writes:  # at the last moment, when the request is made and signed
            client.meta.events.register_last("before-send", self._before_send, unique_id="lease")
        return client

    def _before_send(self, **_: Any) -> None:
        self._before_write()
