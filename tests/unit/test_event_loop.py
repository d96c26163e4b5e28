"""Busy threads of reconciliations must not hold up the event loop, which renews the lease and answers probes.

How much sooner it wakes up is measured by bench/event_loop.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from humangov.manager import manager
from humangov.manager.manager import THREAD_SWITCH_SECONDS

from tests.unit.test_watch import RUN_SETTINGS, SETTINGS


@pytest.fixture
def interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("interval")
def test_operator_sets_the_switch_interval_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[float] = []

    async def live(*_: object) -> int:
        at_work.append(sys.getswitchinterval())
        return 0

    monkeypatch.setattr(manager, "_live", live)
    assert manager.run(SETTINGS, RUN_SETTINGS) == 0
    assert at_work == [pytest.approx(THREAD_SWITCH_SECONDS)]
