"""MiniStack, run in its own environment: by a faster server, and with more patience for what functions log.

MiniStack comes with hypercorn, whose HTTP is written in Python and takes more processor time for a request than
MiniStack itself.

Its stores hold the resources of all accounts, and it looks through all of them for those of one: each of the thousands
of accounts of a run made every call dearer. Here a store finds them by account (and region).

It gives a function's log 50 ms to arrive once the function has answered, and 5 ms between two lines. On a busy machine
that is too short: lines then come with the next invocation, and without one never.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from typing import Any

import uvicorn  # type: ignore[import-not-found]
from ministack.app import app  # type: ignore[import-not-found]
from ministack.core.lambda_runtime import Worker  # type: ignore[import-not-found]
from ministack.core.responses import (  # type: ignore[import-not-found]
    AccountRegionScopedDict,
    AccountScopedDict,
    get_account_id,
    get_region,
)

FIRST_LINE_SECONDS, NEXT_LINE_SECONDS, AT_MOST_SECONDS = 1.0, 0.05, 2.0
KEEP_ALIVE_SECONDS = 75  # as MiniStack's own start has it
Key = tuple[Any, ...]


class Store(dict[Key, Any]):
    """What one of MiniStack's stores holds. A key begins with the account, and in a region's store with the region."""

    def __init__(self, entries: dict[Key, Any], *, scope: int) -> None:
        """`scope`: how many parts of a key say whose it is."""
        super().__init__()
        self._scope = scope
        self.owned: dict[Key, dict[Key, Any]] = {}
        self.update(entries)

    def __setitem__(self, key: Key, value: Any) -> None:
        super().__setitem__(key, value)
        self.owned.setdefault(key[: self._scope], {})[key] = value

    def __delitem__(self, key: Key) -> None:
        super().__delitem__(key)
        self.owned[key[: self._scope]].pop(key, None)

    def pop(self, key: Key, *default: Any) -> Any:
        value = super().pop(key, *default)
        self.owned.get(key[: self._scope], {}).pop(key, None)
        return value

    def setdefault(self, key: Key, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, entries: Any = (), **_: Any) -> None:
        for key, value in dict(entries).items():
            self[key] = value

    def clear(self) -> None:
        super().clear()
        self.owned.clear()


def find_by_account(stores: Any, *, scope: int) -> None:
    """Let every store of this class find what belongs to an account without looking at the others'."""

    def owned(store: Any, owner: Key) -> dict[Key, Any]:
        if not isinstance(store._data, Store):  # as it is made, or read from a file
            store._data = Store(store._data, scope=scope)
        found: dict[Key, Any] = store._data.owned.get(owner, {})
        return found

    def mine(store: Any) -> dict[Key, Any]:
        return owned(store, (get_account_id(), get_region())[:scope])

    def keys(store: Any) -> list[Any]:
        return [key[-1] for key in list(mine(store))]

    def items(store: Any) -> list[tuple[Any, Any]]:
        return [(key[-1], value) for key, value in list(mine(store).items())]

    def iterated(store: Any) -> Iterator[Any]:
        return iter(keys(store))

    stores.keys, stores.items, stores.__iter__ = keys, items, iterated
    stores.values = lambda store: list(mine(store).values())
    stores.__len__ = lambda store: len(mine(store))
    stores.__bool__ = lambda store: bool(mine(store))
    if scope == 2:
        stores.values_scoped = lambda store, account, region: list(owned(store, (account, region)).values())
        stores.items_scoped = lambda store, account, region: [
            (key[-1], value) for key, value in list(owned(store, (account, region)).items())
        ]


def main() -> None:
    """Serve until SIGTERM. BIND_HOST and GATEWAY_PORT say where, as they do to MiniStack's own start."""
    Worker._drain_stderr_bounded.__defaults__ = (FIRST_LINE_SECONDS, NEXT_LINE_SECONDS, AT_MOST_SECONDS)
    find_by_account(AccountScopedDict, scope=1)
    find_by_account(AccountRegionScopedDict, scope=2)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvicorn.run(
        app, host=os.environ["BIND_HOST"], port=int(os.environ["GATEWAY_PORT"]), http="httptools", loop="asyncio",
        ws="none", access_log=False, log_level="warning", server_header=False, date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=1,
    )  # fmt: skip


if __name__ == "__main__":
    main()
