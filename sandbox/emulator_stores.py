"""MiniStack's stores, which find what is an account's without looking at the others'.

They hold the resources of all accounts, and look through all of them for those of one: each of the thousands of
accounts of a run made every call dearer. Here a store finds them by account (and region).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ministack.core.responses import (  # type: ignore[import-not-found]
    AccountRegionScopedDict,
    AccountScopedDict,
    get_account_id,
    get_region,
)

Key = tuple[Any, ...]


def find_by_account() -> None:
    """From now on; what is in the stores already stays."""
    _find_by_account(AccountScopedDict, scope=1)
    _find_by_account(AccountRegionScopedDict, scope=2)


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


def _find_by_account(stores: Any, *, scope: int) -> None:
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
