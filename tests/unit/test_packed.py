"""What is kept of a settled tenant's last reading: the same, in a tenth of the memory."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from humangov.manager import bulk_read_monitor
from humangov.reconcile import packed as packing
from humangov.reconcile.context import Operator
from humangov.reconcile.packed import packed

from bench import bulk


def test_what_can_not_be_packed_is_kept_as_it_is() -> None:
    thing = {"of a function": lambda: None}
    assert packed(thing).unpacked() == thing


def test_readings_of_settled_tenants_are_kept_as_they_were_in_under_three_kibibytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As objects they take 11 KiB a tenant, most of what the operator keeps of it.

    The dictionary is this operator's first tenant, not what another test of this process has packed.
    """
    monkeypatch.setattr(packing, "_dictionary", [])
    operators: list[Operator] = []
    check = bulk_read_monitor.check

    async def seen(operator: Operator, *given: Any, **named: Any) -> Any:
        operators.append(operator)
        return await check(operator, *given, **named)

    monkeypatch.setattr(bulk_read_monitor, "check", seen)
    asyncio.run(bulk.measure(6, bulk=True))
    store = operators[-1].store
    readings = [store.memory(key).reconciler.reading for key in store]
    for reading in readings:
        assert reading is not None
        assert size(vars(reading)) < 3 * 1024
        observed = reading.observed
        assert size(observed) > 8 * 1024, "it is worth it"
        assert packed(observed).unpacked() == observed == reading.observed


def size(value: Any, known: set[int] | None = None) -> int:
    """Of an object and all that it refers to, but classes."""
    known = set() if known is None else known
    if id(value) in known or isinstance(value, type):
        return 0
    known.add(id(value))
    parts: list[Any] = []
    if isinstance(value, dict):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = list(value)
    elif hasattr(value, "__dict__"):
        parts = [vars(value)]
    return sys.getsizeof(value) + sum(size(one, known) for one in parts)
