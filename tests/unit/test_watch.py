"""Which events request a reconciliation, what the API server's refusals become, and who may write. Runs on nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames
from humangov.api.conditions import Event
from humangov.aws.actions import ACTIONS
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.kube import client
from humangov.kube.client import Resource
from humangov.kube.kube import Kube
from humangov.kube.leases import Leases
from humangov.manager import enqueue, fence, first_calls, manager, monitors, reconciliations, watch
from humangov.manager import leader as leader_module
from humangov.manager.enqueue import Queues
from humangov.manager.leader import Leader
from humangov.manager.process_state import ProcessState
from humangov.manager.run_settings import RunSettings
from humangov.manager.workqueue import Lane, Schedule, Workers
from humangov.reconcile.cache import Store
from humangov.reconcile.outcome import Outcome
from humangov.reconcile.settings import Settings
from kubernetes.aio.client.exceptions import ApiException

from testing.samples import resource

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
        ({"annotations": {"humangov.io/stop": "a wrong import"}}, True),
        ({"annotations": {"humangov.io/stop": ""}}, True),
        ({"labels": {"a": "b"}}, False),
        ({"uid": "another"}, True),
        ({"managedFields": []}, False),
    ],
)
def test_only_relevant_changes_of_a_resource_request_a_reconciliation(change: dict[str, Any], asks: bool) -> None:
    assert enqueue.asks_for_reconcile(form(1), form(2, **change)) == asks


def test_removed_finalizer_requests_a_reconciliation() -> None:
    assert enqueue.asks_for_reconcile(form(1, finalizers=[CLEANUP]), form(2, finalizers=["other"]))


class Watched:
    """A store and a queue, and events as the watch gives them."""

    def __init__(self) -> None:
        self.store = Store(default_region="us-east-1")
        self.schedule = Schedule(resync_seconds=600, rng=random.Random(1))  # noqa: S311 - repeatable
        self.stops = Schedule(resync_seconds=600, rng=random.Random(1))  # noqa: S311 - repeatable

    def queues(self, run: Callable[[str], Awaitable[Outcome]]) -> Queues:
        workers, stops = (
            Workers(schedule=schedule, run=run, count=2, clock=lambda: 0.0) for schedule in (self.schedule, self.stops)
        )
        return Queues(workers=workers, stops=stops)

    def see(self, kind: str, one: Mapping[str, Any]) -> list[str]:
        """The keys that are due in the fast lane after this event; they are then run."""

        async def story() -> None:
            async def never(_: str) -> Outcome:
                raise AssertionError

            await enqueue.on_event(self.store, self.queues(never), kind, one)

        asyncio.run(story())
        taken = []
        while (key := self.schedule.take(now=0, lanes=(Lane.FAST,))) is not None:
            taken.append(key)
        for key in taken:
            self.schedule.done(key, Outcome(), now=0)
        return sorted(taken)


def test_new_resource_is_reconciled_once() -> None:
    watched = Watched()
    assert watched.see("ADDED", form(1)) == [KEY]
    assert watched.see("ADDED", form(1)) == []
    assert watched.see("MODIFIED", form(2)) == []
    assert watched.see("MODIFIED", form(3, generation=2)) == [KEY]


def due(schedule: Schedule) -> list[str]:
    """The keys that are due in the fast lane; they are then run."""
    taken = []
    while (key := schedule.take(now=0, lanes=(Lane.FAST,))) is not None:
        taken.append(key)
    for key in taken:
        schedule.done(key, Outcome(), now=0)
    return sorted(taken)


def test_stop_queues_a_run_of_its_own_besides_the_reconciliation_and_its_end_queues_a_reconciliation() -> None:
    watched = Watched()
    stopped = {"annotations": {"humangov.io/stop": "a wrong import"}}
    watched.see("ADDED", form(1))
    assert due(watched.stops) == []
    assert watched.see("MODIFIED", form(2, **stopped)) == [KEY]
    assert due(watched.stops) == [KEY]
    assert watched.see("MODIFIED", form(3, **stopped)) == []
    assert due(watched.stops) == []
    assert watched.see("MODIFIED", form(4)) == [KEY]
    assert due(watched.stops) == []


def test_the_stop_of_all_asks_for_both_of_every_tenant_and_what_cannot_be_read_changes_nothing() -> None:
    watched = Watched()
    watched.see("ADDED", form(1))
    watched.see("ADDED", resource("florida"))
    keys = [KEY, "humangov/florida"]
    answers: list[Resource | client.KubeError | None] = [
        {"metadata": {"name": "humangov-stop", "namespace": "operators"}, "data": {"reason": "audit"}},
        client.KubeError("reading", status=503, reason="unavailable"), None,
    ]  # fmt: skip

    class Api:
        async def read_config_map(self, namespace: str, name: str) -> Resource | None:
            assert (namespace, name) == ("operators", "humangov-stop")
            answer = answers.pop(0)
            if isinstance(answer, client.KubeError):
                raise answer
            return answer

    def read() -> tuple[list[str], list[str]]:
        async def story() -> None:
            async def never(_: str) -> Outcome:
                raise AssertionError

            settings = SimpleNamespace(own_namespace="operators")
            operator: Any = SimpleNamespace(store=watched.store, settings=settings)
            api: Any = Api()
            await monitors.read_stop_of_all(operator, api, watched.queues(never))

        asyncio.run(story())
        return due(watched.stops), due(watched.schedule)

    def stopped() -> int:
        return sum(watched.store.stop_of(key) is not None for key in watched.store)

    assert read() == (keys, keys)
    assert stopped() == 2
    assert read() == ([], [])
    assert stopped() == 2, "unread is not absent"
    assert read() == ([], keys)
    assert stopped() == 0


def test_event_of_the_operators_own_write_requests_no_reconciliation() -> None:
    watched = Watched()
    watched.see("ADDED", form(1))
    watched.store.put(form(2, finalizers=[CLEANUP]))
    assert watched.see("MODIFIED", form(2, finalizers=[CLEANUP])) == []


@pytest.mark.parametrize("change", [{"generation": 2}, {"deletionTimestamp": "2026-03-01T00:00:00Z"}])
def test_foreign_change_in_the_response_of_the_operators_write_is_reconciled(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    watched = Watched()
    watched.see("ADDED", form(1))
    theirs = form(3, **change)

    async def reconcile_that_writes(operator: Any, key: str, **_: Any) -> Outcome:
        watched.store.put(theirs)  # as the API server answers our status write
        return Outcome()

    monkeypatch.setattr(reconciliations, "reconcile", reconcile_that_writes)
    watched.schedule.add(KEY, now=0, lane=Lane.SLOW)
    assert watched.schedule.take(now=0) == KEY
    operator: Any = SimpleNamespace(store=watched.store)
    outcome = asyncio.run(reconciliations.runner(operator, watched.schedule, count=lambda *_, **__: None)(KEY))
    watched.schedule.done(KEY, outcome, now=0)
    assert watched.schedule.take(now=0, lanes=(Lane.FAST,)) == KEY
    watched.schedule.done(KEY, Outcome(), now=0)
    assert watched.see("MODIFIED", theirs) == [], "its event is no news any more"


def test_resync_is_put_off_while_the_budget_is_short_but_for_no_longer_than_a_resync(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else it would never be the turn of whoever waits longest: it would not even wait."""
    now, reconciled = [1000.0], []

    async def in_sync(operator: Any, key: str, **_: Any) -> Outcome:
        reconciled.append(now[0])
        return Outcome()

    monkeypatch.setattr(reconciliations, "reconcile", in_sync)
    monkeypatch.setattr("humangov.manager.reconciliations.time.monotonic", lambda: now[0])
    watched = Watched()
    status = {
        "observedGeneration": 1, "aws": {"accountID": "1", "region": "us-east-1"},
        "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}],
    }  # fmt: skip
    watched.store.put({**form(1), "status": status})
    budget: Any = SimpleNamespace(backlog_seconds=lambda **_: 250.0)
    operator: Any = SimpleNamespace(store=watched.store)
    run = reconciliations.runner(operator, watched.schedule, count=lambda *_, **__: None, budget=budget)
    while not reconciled:
        outcome = asyncio.run(run(KEY))
        now[0] += outcome.requeue_after_seconds or 0.0
        assert now[0] < 1e6, "it is never its turn"
    assert reconciled == [1000.0 + watched.schedule.resync_seconds]


def test_deleted_resource_is_dropped_and_its_conflicting_tenants_are_reconciled() -> None:
    watched = Watched()
    table = {"name": "the-table"}
    one = resource("a", table=table)
    watched.see("ADDED", one)
    watched.see("ADDED", resource("b", table=table))
    watched.see("ADDED", resource("c"))
    assert watched.see("DELETED", one) == ["humangov/a", "humangov/b"]
    assert watched.store.get("humangov/a") is None


async def re_created(watched: Watched) -> None:
    """The events of a deletion and of another object with the same name."""

    async def never(_: str) -> Outcome:
        raise AssertionError

    for kind, one in (("DELETED", form(5)), ("ADDED", form(6, uid="new"))):
        await enqueue.on_event(watched.store, watched.queues(never), kind, one)


def listed(watched: Watched, *resources: Resource, meanwhile: Callable[[Watched], Any] | None = None) -> list[str]:
    """The keys that are due, in any lane, after everything was listed once. meanwhile: before the answer comes."""

    async def story() -> None:
        async def never(_: str) -> Outcome:
            raise AssertionError

        class Api:
            async def list_resources(self, _: object) -> list[Resource]:
                if meanwhile is not None:
                    await meanwhile(watched)
                return list(resources)

        operator: Any = SimpleNamespace(store=watched.store, settings=SimpleNamespace(namespaces=[]))
        api: Any = Api()
        await monitors.relist(operator, api, watched.queues(never), again_seconds=0)

    asyncio.run(story())
    due = []
    while (key := watched.schedule.take(now=0)) is not None:
        due.append(key)
    return sorted(due)


def test_field_pruned_by_an_older_definition_is_found_by_the_next_list() -> None:
    watched = Watched()
    whole = resource(metadata={"resourceVersion": "2", "uid": "u", "generation": 2}, suspend=True)
    assert watched.see("ADDED", form(1)) == [KEY]
    assert watched.see("MODIFIED", form(2, generation=2)) == [KEY]
    assert listed(watched, whole) == [KEY]
    assert watched.store.get(KEY) == whole
    # The old watch goes on for a while.
    assert watched.see("MODIFIED", form(2, generation=2)) == []
    assert watched.store.get(KEY) == whole


def test_resource_deleted_in_a_gap_of_the_watch_is_dropped_by_the_next_list() -> None:
    watched = Watched()
    watched.see("ADDED", form(1))
    assert listed(watched) == [KEY]
    assert watched.store.get(KEY) is None


def test_tenant_that_is_re_created_during_a_list_is_kept() -> None:
    watched = Watched()
    watched.see("ADDED", form(1))
    assert listed(watched, meanwhile=re_created) == [KEY], "of the event"
    assert watched.store.get(KEY) == form(6, uid="new")
    watched.schedule.done(KEY, Outcome(), now=0)
    assert watched.see("MODIFIED", form(7, uid="new", generation=2)) == [KEY]


def test_unchanged_list_requests_no_reconciliation() -> None:
    watched = Watched()
    watched.see("ADDED", form(1))
    assert listed(watched, form(1)) == []


def test_late_deletion_event_of_an_older_uid_is_ignored() -> None:
    watched = Watched()
    watched.see("ADDED", form(5, uid="new"))
    assert watched.see("DELETED", form(3, uid="old")) == []
    assert watched.store.get(KEY) is not None


def test_watch_back_off_is_endless_and_bounded() -> None:
    backoffs = watch.EndlessBackoffs()
    for _ in range(2):
        drawn = list(itertools.islice(backoffs, 200))
        assert all(0 < wait <= 18 for wait in drawn)
        assert drawn[0] < 1


class Api(Kube):
    """Kube whose `read` tells what there is now."""

    def __init__(self, now: Resource | client.KubeError | None) -> None:
        super().__init__(identity="test")
        self._now = now

    async def read(self, resource: Resource) -> Resource | None:
        if isinstance(self._now, client.KubeError):
            raise self._now
        return self._now


@pytest.mark.parametrize("status", [404, 409, 422])
@pytest.mark.parametrize("now", [None, form(9)])
def test_conflict_or_not_found_refreshes_the_stored_resource(status: int, now: Resource | None) -> None:
    class Operator:
        store = Store(default_region="us-east-1")
        kube = Api(now)

    Operator.store.put(form(1))
    error = client.KubeError("x", status=status, reason="y")
    asyncio.run(reconciliations.refresh(Operator, KEY, error))  # type: ignore[arg-type]
    assert Operator.store.get(KEY) == now


@pytest.mark.parametrize("status", [404, 409, 422])
def test_tenant_that_is_re_created_while_it_is_read_again_is_kept(status: int) -> None:
    watched = Watched()
    watched.see("ADDED", form(1))

    class Gone(Kube):
        async def read(self, _: Resource) -> Resource | None:
            await re_created(watched)
            return None

    operator: Any = SimpleNamespace(store=watched.store, kube=Gone(identity="test"))
    asyncio.run(reconciliations.refresh(operator, KEY, client.KubeError("x", status=status, reason="y")))
    assert watched.store.get(KEY) == form(6, uid="new")
    watched.see("MODIFIED", form(7, uid="new"))
    assert watched.store.get(KEY) == form(7, uid="new")


@pytest.mark.parametrize("status", [None, 403, 500])
def test_other_kube_errors_do_not_refresh_the_stored_resource(status: int | None) -> None:
    class Operator:
        store = Store(default_region="us-east-1")
        kube = Api(None)

    Operator.store.put(form(1))
    asyncio.run(
        reconciliations.refresh(Operator, KEY, client.KubeError("x", status=status, reason="y"))  # type: ignore[arg-type]
    )
    assert Operator.store.get(KEY) == form(1)


@pytest.mark.parametrize(
    ("status", "deleting", "failing_seconds", "level"),
    [
        (409, False, 0, "INFO"), (409, False, 61, "WARNING"), (422, True, 0, "INFO"), (422, False, 0, "WARNING"),
        (404, True, 0, "INFO"), (403, True, 0, "WARNING"), (None, False, 0, "WARNING"), (500, True, 0, "WARNING"),
    ],
)  # fmt: skip
def test_ordinary_conflict_is_no_warning_until_it_lasts(
    status: int | None, deleting: bool, failing_seconds: float, level: str
) -> None:
    resource = {**form(1), "metadata": {**form(1)["metadata"], **({"deletionTimestamp": "now"} if deleting else {})}}
    error = client.KubeError("adding the finalizer", status=status, reason="y")
    found = reconciliations.level_of(error, resource, failing_seconds=failing_seconds)
    assert logging.getLevelName(found) == level


def test_failed_refresh_of_the_stored_resource_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Operator:
        store = Store(default_region="us-east-1")
        kube = Api(client.KubeError("reading", status=403, reason="forbidden"))

    Operator.store.put(form(1))
    asyncio.run(
        reconciliations.refresh(Operator, KEY, client.KubeError("x", status=409, reason="y"))  # type: ignore[arg-type]
    )
    assert "reading: forbidden" in caplog.text
    assert Operator.store.get(KEY) == form(1)


@pytest.mark.parametrize(
    ("body", "reason", "reported"),
    [
        ('{"message": "the object has been modified"}', "Conflict", "the object has been modified"),
        ("not json", "Conflict", "Conflict"),
        ("[1]", "Conflict", "Conflict"),
        (None, "Conflict", "Conflict"),
        ('{"message": ""}', "Conflict", "Conflict"),
    ],
)
def test_kube_error_repeats_the_message_of_the_api_server(body: str | None, reason: str, reported: str) -> None:
    refusal = ApiException(status=409, reason=reason)
    refusal.body = body
    error = client.translate("writing", refusal)
    assert (str(error), error.status) == (f"writing: {reported}", 409)


def test_kube_error_of_an_unreachable_api_server_has_no_status() -> None:
    error = client.translate("writing", TimeoutError("slow"))
    assert (str(error), error.status) == ("writing: TimeoutError: slow", None)


def test_namespace_of_the_pod_is_read_from_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_SERVICE_ACCOUNT", tmp_path)
    assert client.own_namespace() is None
    (tmp_path / "namespace").write_text("ours\n")
    assert client.own_namespace() == "ours"
    (tmp_path / "namespace").write_text("\n")
    assert client.own_namespace() is None


FORBIDDEN = 'leases is forbidden: User "{}" cannot get resource "leases" in API group "coordination.k8s.io"'


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (FORBIDDEN.format("system:serviceaccount:humangov:humangov-operator"), True),
        (FORBIDDEN.format("jane"), False),  # who runs `humangov plan` has permissions of their own
        ("unable to create new content in namespace x because it is being terminated", False),
    ],
)
def test_missing_permission_error_names_the_file_that_grants_it(message: str, remedy: bool) -> None:
    refusal = ApiException(status=403, reason="Forbidden")
    refusal.body = json.dumps({"message": message})
    reported = str(client.translate("reading", refusal))
    assert reported.startswith(f"reading: {message}")
    assert ("the permissions in deploy/install.yaml" in reported) == remedy


class Ended(BaseException):
    """What ends the process, here."""


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(fence, "end_process", ended)


class Holding:
    """An election, as far as the controller looks at it."""

    def __init__(self, *, holds: bool = True) -> None:
        self.standby, self.trouble = False, None
        self.released = False
        self._holds = holds

    def holds(self) -> bool:
        return self._holds

    async def keep(self) -> str:
        await asyncio.sleep(3600)
        return "never"

    async def release(self) -> None:
        self.released = True


def fenced(holding: Holding | None) -> Callable[[], None]:
    return fence.fence(holding)  # type: ignore[arg-type]


def test_process_without_the_lease_ends_before_any_aws_write(end: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody is there
    holding, alone = (fence.FencedClients(region="us-east-1", before_write=fenced(one)) for one in (Holding(), None))
    lost = fence.FencedClients(region="us-east-1", before_write=fenced(Holding(holds=False)))
    role = {"action": "iam:DeleteRole", "target": "x", "RoleName": "x"}
    with pytest.raises(Ended):
        lost.call(**role)
    for clients in (holding, alone):
        with pytest.raises(AwsError, match=r"127\.0\.0\.1:9"):
            clients.call(**role)
    for service, writes in {(method.service, method.writes) for method in ACTIONS.values()}:
        sent = lost._client(service, writes=writes).meta.events.emit
        with pytest.raises(Ended) if writes else contextlib.nullcontext():
            sent(f"before-send.{service}.Anything", request=None)


EVENT = Event(kind="Normal", reason="r", message="m")
JOB = {"metadata": {"namespace": "humangov", "name": "x", "uid": "u", "labels": {}, "annotations": {}}, "spec": {}}


@pytest.mark.parametrize(
    "write",
    [
        lambda api: api.set_finalizer(form(1), present=True),
        lambda api: api.set_finalizer(form(1), present=False),
        lambda api: api.apply_status(form(1), {}),
        lambda api: api.post_event(form(1), EVENT),
        lambda api: api.create_object("jobs", JOB),
        lambda api: api.replace_object("cronjobs", JOB, JOB),
        lambda api: api.delete_object("jobs", "humangov", "x"),
    ],
)
def test_process_without_the_lease_ends_before_any_kubernetes_write(
    write: Callable[[Kube], Any], end: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_client(self: Kube) -> object:
        return object()  # a request would fail by it, and become a client.KubeError

    monkeypatch.setattr(client.Client, "_client", no_client)
    with pytest.raises(Ended):
        asyncio.run(write(Kube(identity="test", before_write=fenced(Holding(holds=False)))))
    with pytest.raises(client.KubeError):
        asyncio.run(write(Kube(identity="test", before_write=fenced(Holding(holds=True)))))


def state_of(election: Any) -> ProcessState:
    return ProcessState(election=election, store=Store(default_region="us-east-1"))


@pytest.mark.parametrize(
    ("standby", "trouble", "ready", "reported"),
    [
        (False, None, False, None),
        (True, None, True, "standby"),
        (False, "reading the lease: forbidden", False, "not the leader: reading the lease: forbidden"),
    ],
)
def test_standby_is_alive_and_ready_if_it_can_take_over(
    standby: bool, trouble: str | None, ready: bool, reported: str | None
) -> None:
    election: Any = SimpleNamespace(standby=standby, trouble=trouble)
    health = state_of(election).health()
    assert (health.ready, health.problem, health.activity) == (ready, None, reported)


def test_operator_without_election_is_ready_only_when_watching() -> None:
    state = state_of(None)
    assert not state.health().ready
    state.queues = Watched().queues(lambda _: asyncio.sleep(0, Outcome()))
    assert not state.health().ready
    state.watching.set()
    assert state.health().ready


RUN_SETTINGS = RunSettings(
    cluster_name="c", resync_seconds=600, workers=2, probe_host="", probe_port=None, lease_namespace="humangov"
)
SETTINGS = Settings(region="us-east-1", allowed=AllowedNames({}))


def test_leading_time_starts_when_the_lease_is_acquired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then another may have made things in AWS that take seconds to be seen there."""
    acquired_at: list[float] = []

    class Waiting(Holding):
        async def acquire(self, *, stop: asyncio.Event) -> bool:
            await asyncio.sleep(0.05)
            acquired_at.append(time.monotonic())
            return True

    async def work(leader: Leader, **_: Any) -> int:
        assert leader.operator.started_at >= acquired_at[0]
        return 7

    monkeypatch.setattr(manager, "_election", lambda *_: Waiting())
    monkeypatch.setattr(manager, "work", work)
    monkeypatch.setattr(Clients, "warm", lambda _: None)
    assert manager.run(SETTINGS, RUN_SETTINGS) == 7


def test_standby_exits_0_on_a_stop_signal(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Waiting(Holding):
        async def acquire(self, *, stop: asyncio.Event) -> bool:
            return False

    monkeypatch.setattr(manager, "_election", lambda *_: Waiting())
    monkeypatch.setattr(Clients, "warm", lambda _: None)
    with caplog.at_level(logging.INFO, logger="humangov"):
        assert manager.run(SETTINGS, RUN_SETTINGS) == 0
    assert caplog.messages[-1] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["while it stops working", "while its threads end", "in the pause"])
def test_stop_signal_between_two_rounds_ends_the_process(
    number: signal.Signals, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch has ended for a reason that passes: the next round would begin in a moment."""
    rounds, lost = [0], []

    class Waiting(Holding):
        async def acquire(self, *, stop: asyncio.Event) -> bool:
            return True

    def send() -> None:
        os.kill(os.getpid(), number)

    def send_soon() -> None:
        time.sleep(0.1)
        send()

    async def work(leader: Leader, **_: Any) -> int | None:
        rounds[0] += 1
        if rounds[0] > 1:
            return 7
        if moment == "while it stops working":
            send()
        elif moment == "while its threads end":
            leader.operator.in_thread(send_soon)
        else:
            threading.Timer(0.4, send).start()
        return None

    monkeypatch.setattr(manager, "_election", lambda *_: Waiting())
    monkeypatch.setattr(manager, "work", work)
    monkeypatch.setattr(Clients, "warm", lambda _: None)
    monkeypatch.setattr(watch, "EndlessBackoffs", lambda: itertools.repeat(60.0))
    ours = {number: signal.signal(number, lambda *_: lost.append("it")) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        begun = time.monotonic()
        assert manager.run(SETTINGS, RUN_SETTINGS) == 0
        assert time.monotonic() - begun < 30.0, "the pause ends with the signal"
    finally:
        for one, handler in ours.items():
            signal.signal(one, handler)
    assert (rounds, lost) == ([1], [])


def test_leader_that_cannot_start_releases_the_lease() -> None:
    class Refusing(Kube):
        async def read_config_map(self, namespace: str, name: str) -> Resource | None:
            return None

        async def list_resources(self, namespaces: Any) -> list[Resource]:
            raise client.KubeError("listing", status=403, reason="forbidden")

    async def story() -> None:
        operator: Any = SimpleNamespace(store=Store(default_region="us-east-1"), settings=SETTINGS)
        leader = Leader(
            operator=operator, kube=Refusing(), run_settings=RUN_SETTINGS, state=state_of(holding),
            of_region=lambda _: Clients(region="us-east-1"), count=lambda *_, **__: None, stop=asyncio.Event(),
            in_thread_of_stops=operator,
        )  # fmt: skip
        with pytest.raises(client.KubeError):
            await leader_module.work(leader)

    holding = Holding()
    asyncio.run(story())
    assert holding.released


def test_no_monitor_writes_any_more_when_the_lease_is_released(end: None) -> None:
    """Else a stop that is in order would look like a lease that was lost, and would leave it to expire."""

    class Releasing(Holding):
        async def release(self) -> None:
            self._holds = False
            await asyncio.sleep(0.1)  # its requests
            self.released = True

    async def monitor(holding: Holding) -> None:
        try:
            while True:
                await asyncio.sleep(0)
                fenced(holding)()
        finally:  # what it had begun
            await asyncio.sleep(0.05)
            fenced(holding)()

    async def story() -> None:
        holding: Any = Releasing()
        hold = leader_module._Hold(election=holding, renewing=asyncio.create_task(holding.keep()))
        beside = [asyncio.create_task(monitor(holding))]
        queues = Watched().queues(lambda _: asyncio.sleep(0, Outcome()))
        watching, watch_stop = asyncio.create_task(asyncio.sleep(0)), asyncio.Event()
        assert await leader_module._stop_working(queues, hold, watching, watch_stop, beside) == []
        assert holding.released
        assert beside[0].cancelled(), "it wrote without the lease"

    asyncio.run(story())


def test_each_process_has_its_own_election_identity() -> None:
    leases = Leases()
    first, second = (manager._election(leases, RUN_SETTINGS) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.identity != second.identity
    assert manager._election(leases, replace(RUN_SETTINGS, lease_namespace=None)) is None


class Failing:
    """A call that fails so often before it succeeds. each: done with every attempt."""

    def __init__(self, error: client.KubeError, *, times: int, each: Callable[[], None] = lambda: None) -> None:
        self.error, self.times, self.each, self.attempts = error, times, each, 0

    async def __call__(self) -> str:
        self.attempts += 1
        self.each()
        if self.attempts <= self.times:
            raise self.error
        return "opened"


def answer_of(call: Failing, *, stop: asyncio.Event | None = None, **more: bool) -> str:
    async def story() -> str:
        return await first_calls.first_answer(call, stop=stop or asyncio.Event(), **more)

    return asyncio.run(story())


def failed(status: int | None) -> client.KubeError:
    return client.KubeError("opening a watch", status=status, reason="x")


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EndlessBackoffs", lambda: itertools.repeat(0.0))


@pytest.mark.parametrize("status", [None, 404, 410, 429, 500, 503])
def test_api_server_that_is_away_at_start_has_time_to_recover(status: int | None, without_pauses: None) -> None:
    """None: it refuses connections, or does not answer."""
    assert answer_of(Failing(failed(status), times=2), waits_for_definition=True) == "opened"


@pytest.mark.parametrize("status", [None, 410, 503])
def test_api_server_that_stays_away_ends_the_start_after_a_minute(
    status: int | None, without_pauses: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = itertools.count(0.0, 25.0)
    monkeypatch.setattr(first_calls, "time", SimpleNamespace(monotonic=lambda: next(minutes)))
    call = Failing(failed(status), times=100)
    with pytest.raises(client.KubeError, match="opening a watch"):
        answer_of(call)
    assert call.attempts == 3


@pytest.mark.parametrize(
    "error", [failed(401), failed(403), failed(404), failed(422), client.NoConfigurationError("no file")], ids=str
)
def test_refusal_ends_the_start_at_once(error: client.KubeError, without_pauses: None) -> None:
    call = Failing(error, times=100)
    with pytest.raises(client.KubeError) as raised:
        answer_of(call)
    assert (raised.value, call.attempts) == (error, 1)


@pytest.mark.parametrize("status", [None, 404, 503])
def test_stop_signal_ends_the_wait_for_the_api_server(status: int | None) -> None:
    stop = asyncio.Event()
    call = Failing(failed(status), times=100, each=stop.set)
    with pytest.raises(first_calls.StoppedError):
        answer_of(call, stop=stop, waits_for_definition=True)
    assert call.attempts == 1


@pytest.mark.parametrize("cluster_name", ["c", None])
def test_stop_signal_during_the_first_calls_exits_0_and_releases_the_lease(
    cluster_name: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Leading(Holding):
        async def acquire(self, *, stop: asyncio.Event) -> bool:
            return True

    async def refused(*_: object, **__: object) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        raise failed(None)

    holding = Leading()
    monkeypatch.setattr(manager, "_election", lambda *_: holding)
    monkeypatch.setattr(Clients, "warm", lambda _: None)
    monkeypatch.setattr(Kube, "cluster_uid", refused)
    with caplog.at_level(logging.INFO, logger="humangov"):
        assert manager.run(SETTINGS, replace(RUN_SETTINGS, cluster_name=cluster_name)) == 0
    assert caplog.messages[-1] == "stopped"
    assert holding.released is (cluster_name is not None)


def test_read_of_the_uid_that_names_the_cluster_is_retried_at_start(
    without_pauses: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Failing(failed(None), times=2)

    class Leading(Holding):
        async def acquire(self, *, stop: asyncio.Event) -> bool:
            return True

    async def uid(*_: object, **__: object) -> str:
        return await call()

    async def work(leader: Leader, **_: Any) -> int:
        assert leader.operator.cluster == "opened"
        return 7

    monkeypatch.setattr(manager, "_election", lambda *_: Leading())
    monkeypatch.setattr(manager, "work", work)
    monkeypatch.setattr(Clients, "warm", lambda _: None)
    monkeypatch.setattr(Kube, "cluster_uid", uid)
    assert manager.run(SETTINGS, replace(RUN_SETTINGS, cluster_name=None)) == 7
