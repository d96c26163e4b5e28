"""Which events ask for a pass, and what the API server's refusals become. Runs on nothing."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from humangov import controller, kube
from humangov.kube import Resource
from humangov.queue import Lane, Outcome, Schedule, Workers
from humangov.store import Store
from kubernetes.aio.client.exceptions import ApiException

from tests.unit.make import resource

KEY = "humangov/california"
CLEANUP = "humangov.io/cleanup"


def form(version: int, **metadata: Any) -> Resource:
    return resource(metadata={"resourceVersion": str(version), "uid": "u", **metadata})


@pytest.mark.parametrize(
    ("change", "asks"),
    [
        ({}, False),
        ({"generation": 2}, True),
        ({"deletionTimestamp": "2026-03-01T00:00:00Z"}, True),
        ({"finalizers": [CLEANUP]}, False),  # our own doing
        ({"finalizers": ["other"]}, False),
        ({"annotations": {"humangov.io/reconcile": "1"}}, True),
        ({"annotations": {"other": "1"}}, False),
        ({"labels": {"a": "b"}}, False),
        ({"uid": "another"}, True),
        ({"managedFields": []}, False),
    ],
)
def test_only_what_decides_something_asks_for_a_pass(change: dict[str, Any], asks: bool) -> None:
    assert controller._asks_for_pass(form(1), form(2, **change)) == asks


def test_a_finalizer_that_was_taken_off_asks_for_a_pass() -> None:
    assert controller._asks_for_pass(form(1, finalizers=[CLEANUP]), form(2, finalizers=["other"]))


class Watched:
    """A store and a queue, and events as the watch gives them."""

    def __init__(self) -> None:
        self.store = Store(default_region="us-east-1")
        self.schedule = Schedule(resync_seconds=600, rng=random.Random(1))  # noqa: S311 - repeatable

    def see(self, kind: str, one: Mapping[str, Any]) -> list[str]:
        """The keys that are due in the fast lane after this event; they are then run."""

        async def story() -> None:
            async def never(_: str) -> Outcome:
                raise AssertionError

            workers = Workers(schedule=self.schedule, run=never, count=2, clock=lambda: 0.0)
            await controller._on_event(self.store, workers, kind, one)

        asyncio.run(story())
        taken = []
        while (key := self.schedule.take(now=0, lanes=(Lane.FAST,))) is not None:
            taken.append(key)
        for key in taken:
            self.schedule.done(key, Outcome(), now=0)
        return sorted(taken)


def test_a_new_resource_asks_for_a_pass_and_its_echo_does_not() -> None:
    watched = Watched()
    assert watched.see("ADDED", form(1)) == [KEY]
    assert watched.see("ADDED", form(1)) == []
    assert watched.see("MODIFIED", form(2)) == []
    assert watched.see("MODIFIED", form(3, generation=2)) == [KEY]


def test_the_answer_of_our_own_write_makes_its_event_no_news() -> None:
    watched = Watched()
    watched.see("ADDED", form(1))
    watched.store.put(form(2, finalizers=[CLEANUP]))
    assert watched.see("MODIFIED", form(2, finalizers=[CLEANUP])) == []


@pytest.mark.parametrize("change", [{"generation": 2}, {"deletionTimestamp": "2026-03-01T00:00:00Z"}])
def test_a_change_that_came_in_the_answer_of_our_own_write_gets_a_pass_of_its_own(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    watched = Watched()
    watched.see("ADDED", form(1))
    theirs = form(3, **change)

    async def pass_that_writes(operator: Any, key: str, **_: Any) -> Outcome:
        watched.store.put(theirs)  # as the API server answers our status write
        return Outcome()

    monkeypatch.setattr(controller, "reconcile", pass_that_writes)
    watched.schedule.add(KEY, now=0, lane=Lane.SLOW)
    assert watched.schedule.take(now=0) == KEY
    operator: Any = SimpleNamespace(store=watched.store)
    outcome = asyncio.run(controller._pass(operator, watched.schedule)(KEY))
    watched.schedule.done(KEY, outcome, now=0)
    assert watched.schedule.take(now=0, lanes=(Lane.FAST,)) == KEY
    watched.schedule.done(KEY, Outcome(), now=0)
    assert watched.see("MODIFIED", theirs) == [], "its event is no news any more"


def test_a_deleted_resource_is_forgotten_and_who_waited_for_it_goes_on() -> None:
    watched = Watched()
    table = {"name": "the-table"}
    one = resource("a", table=table)
    watched.see("ADDED", one)
    watched.see("ADDED", resource("b", table=table))
    watched.see("ADDED", resource("c"))
    assert watched.see("DELETED", one) == ["humangov/a", "humangov/b"]
    assert watched.store.get("humangov/a") is None


def test_the_late_end_of_a_namesake_is_no_news() -> None:
    watched = Watched()
    watched.see("ADDED", form(5, uid="new"))
    assert watched.see("DELETED", form(3, uid="old")) == []
    assert watched.store.get(KEY) is not None


def test_the_watchs_patience_is_endless_and_can_be_asked_again() -> None:
    backoffs = controller._EndlessBackoffs()
    for _ in range(2):
        drawn = list(itertools.islice(backoffs, 200))
        assert all(0 < wait <= 18 for wait in drawn)
        assert drawn[0] < 1


class Api(kube.Kube):
    """Kube whose `read` tells what there is now."""

    def __init__(self, now: Resource | kube.KubeError | None) -> None:
        super().__init__(identity="test")
        self._now = now

    async def read(self, resource: Resource) -> Resource | None:
        if isinstance(self._now, kube.KubeError):
            raise self._now
        return self._now


@pytest.mark.parametrize("status", [404, 409])
@pytest.mark.parametrize("now", [None, form(9)])
def test_a_conflict_or_an_absence_makes_the_copy_fresh(status: int, now: Resource | None) -> None:
    class Operator:
        store = Store(default_region="us-east-1")
        kube = Api(now)

    Operator.store.put(form(1))
    error = kube.KubeError("x", status=status, reason="y")
    asyncio.run(controller._refresh(Operator, KEY, error))  # type: ignore[arg-type]
    assert Operator.store.get(KEY) == now


@pytest.mark.parametrize("status", [None, 403, 500])
def test_another_refusal_does_not(status: int | None) -> None:
    class Operator:
        store = Store(default_region="us-east-1")
        kube = Api(None)

    Operator.store.put(form(1))
    asyncio.run(
        controller._refresh(Operator, KEY, kube.KubeError("x", status=status, reason="y"))  # type: ignore[arg-type]
    )
    assert Operator.store.get(KEY) == form(1)


@pytest.mark.parametrize(
    ("body", "reason", "told"),
    [
        ('{"message": "the object has been modified"}', "Conflict", "the object has been modified"),
        ("not json", "Conflict", "Conflict"),
        ("[1]", "Conflict", "Conflict"),
        (None, "Conflict", "Conflict"),
        ('{"message": ""}', "Conflict", "Conflict"),
    ],
)
def test_a_refusal_of_the_api_server_is_told_in_its_words(body: str | None, reason: str, told: str) -> None:
    refusal = ApiException(status=409, reason=reason)
    refusal.body = body
    error = kube.Kube(identity="test")._translated("writing", refusal)
    assert (str(error), error.status) == (f"writing: {told}", 409)


def test_an_api_server_that_cannot_be_reached_has_no_status() -> None:
    error = kube.Kube(identity="test")._translated("writing", TimeoutError("slow"))
    assert (str(error), error.status) == ("writing: TimeoutError: slow", None)


def test_the_pods_namespace_is_read_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "_SERVICE_ACCOUNT", tmp_path)
    assert kube.own_namespace() is None
    (tmp_path / "namespace").write_text("ours\n")
    assert kube.own_namespace() == "ours"
    (tmp_path / "namespace").write_text("\n")
    assert kube.own_namespace() is None
