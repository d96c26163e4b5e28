"""What is done every so often: it goes on whatever happens in it, and begins when it is to. Runs on nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames, Patterns
from humangov.bundle import Bundle
from humangov.manager import bulk_read_monitor, monitors, stream_lag_monitor
from humangov.manager.bulk_read_monitor import BulkCheck
from humangov.manager.code_rollout_monitor import RolloutCheck
from humangov.manager.enqueue import Queues
from humangov.manager.process_state import ProcessState
from humangov.manager.workqueue import Schedule, Workers
from humangov.reconcile.cache import Store
from humangov.reconcile.code_rollout import CONFIG_MAP, Pace, Rollout, Stage, data_of
from humangov.reconcile.outcome import Outcome

from testing.samples import resource, tenant


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


def with_roles(number: int, made: list[str]) -> Any:
    """An operator of so many tenants, each with a role of its own. made: receives whose clients are made."""
    several = [
        tenant(f"state-{n}", account={"roleARN": f"arn:aws:iam::210987654321:role/humangov-{n}"}) for n in range(number)
    ]

    def clients_for(one: Any) -> Any:
        made.append(one.key)
        return SimpleNamespace(region=one.region)

    store = SimpleNamespace(
        tenants=lambda: several, get=lambda _key: {"metadata": {}, "status": {"aws": {"accountID": "210987654321"}}}
    )  # fmt: skip
    allowed = AllowedNames.only(several[0].namespace)
    return SimpleNamespace(store=store, clients_for=clients_for, settings=SimpleNamespace(allowed=allowed))


def test_monitors_make_the_clients_of_roles_one_after_the_other_when_their_turn_comes() -> None:
    """A session takes a moment of the event loop, in which the lease is not renewed: hundreds in one go lose it."""
    made: list[str] = []
    turns = stream_lag_monitor.by_clients(with_roles(40, made))
    for turn in range(3):
        assert len(made) == turn
        next(iter(turns))
    assert len(made) == 3


def test_bulk_reads_make_no_clients_of_a_role_for_one_tenant_alone() -> None:
    made: list[str] = []

    async def ask(_key: str) -> None:
        raise AssertionError

    asyncio.run(
        bulk_read_monitor.check(with_roles(3, made), BulkCheck(), ask_for_reconcile=ask, resync_seconds=600.0)
    )  # fmt: skip
    assert made == []


def test_tenant_that_gets_new_code_and_fails_is_known_to_fail_for_the_whole_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is looked at every ten seconds, but no change of its own begins its failing anew."""
    key, now = "humangov/california", [0.0]
    checks: list[Callable[[], Awaitable[None]]] = []

    async def keep_check(_: float, do: Callable[[], Awaitable[None]], *, trouble: str, **__: Any) -> None:
        if "rollout" in trouble:
            checks.append(do)

    async def never(_: str) -> Outcome:
        raise AssertionError

    allowed = AllowedNames({"humangov": Patterns(tables=("*",), buckets=("*",))})
    own = Bundle(zip=b"new", code_sha256="new", handler="new.handle")
    begun = Rollout(
        proven=replace(own, zip=b"old", code_sha256="old"), target="new", stage=Stage.FIRST,
        begun=datetime(2026, 3, 1, tzinfo=UTC), members=frozenset(("u",)),
    )  # fmt: skip
    store = Store(default_region="us-east-1", code_rollout=begun)
    store.put({**resource(metadata={"uid": "u"}), "status": {"aws": {"region": "us-east-1"}}})
    operator: Any = SimpleNamespace(
        store=store, bundle=own, now=lambda: begun.begun + timedelta(seconds=now[0]),
        settings=SimpleNamespace(code_rollout=Pace(), own_namespace="humangov", allowed=allowed),
    )  # fmt: skip

    class Api:
        async def read_config_map(self, _: str, name: str) -> Any:
            return {"metadata": {"name": name}, "data": data_of(begun)} if name == CONFIG_MAP else None

    async def story(schedule: Schedule) -> None:
        workers = Workers(schedule=schedule, run=never, count=2, clock=lambda: now[0])
        state = ProcessState(election=None, store=store)
        state.code_rollout = RolloutCheck(recorded=True, read_at=begun.begun + timedelta(hours=1))
        api: Any = Api()
        of_region: Any = None
        tasks = monitors.start(
            operator, api, Queues(workers=workers, stops=workers), state, of_region=of_region, resync_seconds=600
        )
        await asyncio.wait(tasks)
        looked = 0
        for second in range(120):
            now[0] = float(second)
            if second % 10 == 0:
                await checks[0]()
            if (taken := schedule.take(now=now[0])) is not None:
                looked += 1
                schedule.done(taken, Outcome(failed=True, soon=True), now=now[0])
        assert looked >= 12
        assert schedule.failing_seconds(key, now=now[0]) == 119.0

    monkeypatch.setattr(monitors, "every", keep_check)
    asyncio.run(story(Schedule(resync_seconds=600, rng=random.Random(1))))  # noqa: S311 - repeatable
