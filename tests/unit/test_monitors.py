"""What is done every so often: it goes on whatever happens in it, and begins when it is to. Runs on nothing."""

from __future__ import annotations

import asyncio

import pytest
from humangov.manager import monitors


class Counted:
    """What is done; it fails as often as it is told to, and sets `done` when it has been done so often."""

    def __init__(self, *, times: int = 1, failures: int = 0) -> None:
        self.done = asyncio.Event()
        self.times, self._until, self._failures = 0, times, failures

    async def __call__(self) -> None:
        self.times += 1
        if self.times >= self._until:
            self.done.set()
        if self.times <= self._failures:
            raise ValueError("oops")


def test_failed_monitor_is_logged_and_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        counted = Counted(times=3, failures=2)
        task = asyncio.create_task(monitors.every(0, counted, trouble="it could not be done"))
        await asyncio.wait_for(counted.done.wait(), 10)
        assert not task.done()
        task.cancel()

    asyncio.run(story())
    assert caplog.messages == ["it could not be done"] * 2
    assert "ValueError: oops" in caplog.text


def test_monitor_waits_for_its_start_event_and_then_its_interval() -> None:
    async def story() -> None:
        begun = asyncio.Event()
        early, late, never = Counted(), Counted(), Counted()
        tasks = [
            asyncio.create_task(monitors.every(3600, early, trouble="", after=begun, at_once=True)),
            asyncio.create_task(monitors.every(0, late, trouble="", after=begun)),
            asyncio.create_task(monitors.every(3600, never, trouble="", after=begun)),
        ]
        for _ in range(3):
            await asyncio.sleep(0)
        assert [early.times, late.times, never.times] == [0, 0, 0]
        begun.set()
        await asyncio.wait_for(asyncio.gather(early.done.wait(), late.done.wait()), 10)
        assert [early.times, never.times] == [1, 0]
        for task in tasks:
            task.cancel()

    asyncio.run(story())
