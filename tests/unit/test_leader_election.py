"""Who holds the lease, and until when: candidates, an API server, and time that is only told. Runs on nothing."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from humangov.cli.main import main
from humangov.kube.client import KubeError, Resource
from humangov.manager import leader_election
from humangov.manager.leader_election import (
    DURATION_SECONDS,
    RENEW_WITHIN_SECONDS,
    RETRY_PERIOD_SECONDS,
    Election,
    ObservedLease,
)
from humangov.manager.run_settings import RunSettings
from humangov.reconcile.settings import Settings

NAMESPACE = "humangov"


class Time:
    """Sleepers wake in their order, and no real time passes. `look` is called between any two wakings."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.look: Callable[[], None] = lambda: None
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        waking = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), waking))
        await waking

    async def pass_by(self, seconds: float, *, until: asyncio.Future[Any] | None = None) -> None:
        """Let this much time pass, or less if `until` is done before."""
        end = self.now + seconds
        while True:
            for _ in range(20):  # all that can happen now happens
                await asyncio.sleep(0)
            self.look()
            if until is not None and until.done():
                return
            if not self._sleepers or self._sleepers[0][0] > end:
                self.now = end
                return
            due, _, waking = heapq.heappop(self._sleepers)
            self.now = max(self.now, due)
            if not waking.done():
                waking.set_result(None)


class ApiServer:
    """One lease, with the API server's optimistic concurrency."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.lease: Resource | None = None
        self.written_at = 0.0
        self.requests: list[str] = []
        self._version = itertools.count(1)

    def put(self, **spec: Any) -> None:
        """What somebody else writes, over whatever is there."""
        before = self.lease or {"metadata": {"name": leader_election.LEASE_NAME, "namespace": NAMESPACE}, "spec": {}}
        self._store({**before, "spec": {**before["spec"], **spec}})

    def touch(self) -> None:
        """As `kubectl annotate` does."""
        assert self.lease is not None
        self._store({**self.lease, "metadata": {**self.lease["metadata"], "annotations": {"a": "b"}}})

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        return dict(self.lease["spec"])

    def read(self) -> Resource | None:
        self.requests.append("get")
        return self.lease

    def write(self, lease: Resource) -> Resource:
        version = lease["metadata"].get("resourceVersion")
        self.requests.append("update" if version else "create")
        if version and self.lease is None:
            raise KubeError("writing", status=404, reason="not found")
        if (self.lease["metadata"]["resourceVersion"] if self.lease else None) != version:
            raise KubeError("writing", status=409, reason="the object has been modified")
        return self._store(lease)

    def _store(self, lease: Resource) -> Resource:
        self.lease = {**lease, "metadata": {**lease["metadata"], "resourceVersion": str(next(self._version))}}
        self.written_at = self.time.now
        return self.lease


class Line:
    """One candidate's way to the API server; an answer takes `latency` seconds."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self.latency = 0.01
        self.cut = False  # nothing arrives, nothing comes back, until the time limit
        self.deaf = False  # requests arrive, answers do not
        self.refusal: KubeError | None = None

    async def read_lease(self, *, namespace: str, name: str, timeout_seconds: float) -> Resource | None:
        assert (namespace, name) == (NAMESPACE, leader_election.LEASE_NAME)
        found: Resource | None = await self._asked(self._server.read, timeout_seconds)
        return found

    async def write_lease(self, lease: Resource, *, timeout_seconds: float) -> Resource:
        assert lease["metadata"]["namespace"] == NAMESPACE
        written: Resource = await self._asked(lambda: self._server.write(lease), timeout_seconds)
        return written

    async def _asked(self, act: Callable[[], Any], timeout_seconds: float) -> Any:
        assert 0 < timeout_seconds <= leader_election.REQUEST_SECONDS
        there, back = self.latency / 2, self.latency / 2
        if self.cut or there > timeout_seconds:
            await self._server.time.sleep(timeout_seconds)
            raise KubeError("asking", status=None, reason="TimeoutError: ")
        await self._server.time.sleep(there)
        if self.refusal is not None:
            raise self.refusal
        answer = act()
        if self.deaf or self.cut or there + back > timeout_seconds:
            await self._server.time.sleep(timeout_seconds - there)
            raise KubeError("asking", status=None, reason="TimeoutError: ")
        await self._server.time.sleep(back)
        return answer


class Candidate:
    """An election with a line and a clock of its own, whose zero is nobody else's."""

    def __init__(self, name: str, server: ApiServer, *, seed: int = 1) -> None:
        rng = random.Random(f"{name}{seed}")  # noqa: S311 - repeatable
        zero = rng.uniform(-1e6, 1e6)
        self.line = Line(server)
        self.stop = asyncio.Event()
        self.election = Election(
            leases=self.line, namespace=NAMESPACE, identity=name, rng=rng,
            clock=lambda: server.time.now + zero, sleep=server.time.sleep,
        )  # fmt: skip

    def acquire(self) -> asyncio.Task[bool]:
        return asyncio.create_task(self.election.acquire(stop=self.stop))

    def keep(self) -> asyncio.Task[str]:
        return asyncio.create_task(self.election.keep())


Story = Callable[[Time, ApiServer], Coroutine[Any, Any, None]]


def run_story(story: Story) -> None:
    async def run() -> None:
        time = Time()
        await story(time, ApiServer(time))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(run())


async def leader(time: Time, server: ApiServer, name: str = "a") -> tuple[Candidate, asyncio.Task[str]]:
    """A candidate that holds the lease and keeps it."""
    candidate = Candidate(name, server)
    acquiring = candidate.acquire()
    await time.pass_by(5, until=acquiring)
    assert acquiring.result() is True
    return candidate, candidate.keep()


@pytest.mark.parametrize(("spec", "requests"), [(None, ["get", "create"]), ({"holderIdentity": ""}, ["get", "update"])])
def test_free_lease_is_acquired_with_two_requests_and_no_wait(spec: dict[str, Any] | None, requests: list[str]) -> None:
    async def story(time: Time, server: ApiServer) -> None:
        if spec is not None:
            server.put(**spec, leaseDurationSeconds=1)
        began = time.now
        candidate, _ = await leader(time, server)
        assert server.requests == requests
        assert time.now - began <= 2 * candidate.line.latency + 1e-6
        assert candidate.election.holds()

    run_story(story)


def test_lease_renewal_is_one_request_every_two_seconds() -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate, keeping = await leader(time, server)
        server.requests.clear()
        await time.pass_by(60)
        assert set(server.requests) == {"update"}
        assert 28 <= len(server.requests) <= 30
        assert (
            candidate.election.seconds_left()
            > DURATION_SECONDS - leader_election.MARGIN_SECONDS - RETRY_PERIOD_SECONDS - 0.1
        )
        assert not keeping.done()

    run_story(story)


def test_standby_logs_the_lease_holder_once(caplog: pytest.LogCaptureFixture) -> None:
    async def story(time: Time, server: ApiServer) -> None:
        first, _ = await leader(time, server)
        other = Candidate("b", server)
        with caplog.at_level(logging.INFO, logger="humangov.manager.leader_election"):
            acquiring = other.acquire()
            await time.pass_by(300)
        assert not acquiring.done()
        assert other.election.standby
        assert not other.election.holds()
        assert first.election.holds()
        assert [record.getMessage() for record in caplog.records] == [
            "waiting for the lease humangov-operator, held by a"
        ]

    run_story(story)


@pytest.mark.parametrize("seed", range(20))
def test_standby_takes_over_from_a_killed_leader_when_the_lease_expires(seed: int) -> None:
    async def story(time: Time, server: ApiServer) -> None:
        _, keeping = await leader(time, server)
        other = Candidate("b", server, seed=seed)
        acquiring = other.acquire()
        await time.pass_by(31.3)
        keeping.cancel()
        renewed_at = server.written_at
        await time.pass_by(30, until=acquiring)
        assert server.spec["holderIdentity"] == "b"
        seen_within = 1.2 * RETRY_PERIOD_SECONDS + 4 * other.line.latency
        assert DURATION_SECONDS <= time.now - renewed_at <= DURATION_SECONDS + seen_within
        assert server.spec["leaseTransitions"] == 1

    run_story(story)


def test_lease_duration_counts_from_the_request() -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate = Candidate("a", server)
        candidate.line.latency = 2.0
        acquiring = candidate.acquire()
        await time.pass_by(10, until=acquiring)
        took = 2 * candidate.line.latency
        assert candidate.election.seconds_left() == pytest.approx(
            DURATION_SECONDS - leader_election.MARGIN_SECONDS - took
        )
        keeping = candidate.keep()
        await time.pass_by(RETRY_PERIOD_SECONDS + 2.0)
        assert server.requests[-1] == "update"
        assert candidate.election.seconds_left() == pytest.approx(
            DURATION_SECONDS - leader_election.MARGIN_SECONDS - 2.0
        )
        assert not keeping.done()

    run_story(story)


def test_standby_takes_over_a_released_lease_at_its_next_retry() -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate, keeping = await leader(time, server)
        acquiring = Candidate("b", server).acquire()
        await time.pass_by(10)
        keeping.cancel()
        giving = asyncio.create_task(candidate.election.release())
        began = time.now
        await time.pass_by(30, until=acquiring)
        assert giving.done()
        assert time.now - began <= 1.2 * RETRY_PERIOD_SECONDS + 0.1
        assert not candidate.election.holds()

    run_story(story)


def test_lease_of_another_holder_is_not_released() -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate, keeping = await leader(time, server)
        keeping.cancel()
        server.put(holderIdentity="b")
        giving = asyncio.create_task(candidate.election.release())
        await time.pass_by(5, until=giving)
        assert server.spec["holderIdentity"] == "b"

    run_story(story)


def test_failed_lease_release_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate, keeping = await leader(time, server)
        keeping.cancel()
        candidate.line.cut = True
        giving = asyncio.create_task(candidate.election.release())
        await time.pass_by(30, until=giving)
        giving.result()
        assert "the lease expires in 15 s" in caplog.text

    run_story(story)


@pytest.mark.parametrize("how", ["cut", "refused", "refused slowly"])
def test_leader_that_cannot_renew_ends_before_a_standby_takes_over(how: str) -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate, keeping = await leader(time, server)
        acquiring = Candidate("b", server).acquire()
        await time.pass_by(21.7)
        if how == "cut":
            candidate.line.cut = True
        else:
            candidate.line.refusal = KubeError("writing the lease", status=403, reason="forbidden")
            candidate.line.latency = 2.0 if how == "refused slowly" else 0.01
        began = time.now
        await time.pass_by(60, until=keeping)
        assert RENEW_WITHIN_SECONDS - RETRY_PERIOD_SECONDS <= time.now - began <= RENEW_WITHIN_SECONDS + 0.1
        why = "TimeoutError" if how == "cut" else "forbidden"
        assert re.fullmatch(
            rf"the lease humangov-operator could not be renewed for 10 s \(.*{why}.*\)", keeping.result()
        )
        assert candidate.election.holds(), "reconciliations in progress may end"
        await time.pass_by(60, until=acquiring)
        assert acquiring.result() is True
        assert not candidate.election.holds()

    run_story(story)


def test_suspended_leader_writes_nothing_after_its_lease_expired() -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate, keeping = await leader(time, server)
        candidate.line.refusal = KubeError("writing the lease", status=503, reason="busy")
        await time.pass_by(5)
        candidate.line.refusal = None
        await time.pass_by(5)
        time.now += 60
        assert not candidate.election.holds(), "whether or not its event loop has run"
        server.requests.clear()
        await time.pass_by(1, until=keeping)
        assert "was the process suspended?" in keeping.result()
        assert server.requests == []

    run_story(story)


def test_short_interruption_does_not_lose_the_lease() -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate, keeping = await leader(time, server)
        acquiring = Candidate("b", server).acquire()
        for _ in range(20):
            candidate.line.cut = True
            await time.pass_by(RENEW_WITHIN_SECONDS - RETRY_PERIOD_SECONDS - 1)
            candidate.line.cut = False
            await time.pass_by(leader_election.REQUEST_SECONDS + RETRY_PERIOD_SECONDS)
        assert not keeping.done()
        assert not acquiring.done()
        assert server.spec["leaseTransitions"] == 0

    run_story(story)


def test_lease_renewals_with_lost_responses_are_recognized() -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate, keeping = await leader(time, server)
        candidate.line.deaf = True
        await time.pass_by(6)
        candidate.line.deaf = False
        await time.pass_by(30)
        assert not keeping.done()
        assert server.spec["holderIdentity"] == "a"
        assert server.spec["leaseTransitions"] == 0

    run_story(story)


def test_leader_ends_at_the_next_renewal_when_another_holder_took_the_lease() -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate, keeping = await leader(time, server)
        server.put(holderIdentity="someone")
        began = time.now
        await time.pass_by(30, until=keeping)
        assert time.now - began <= RETRY_PERIOD_SECONDS + 0.1
        assert keeping.result() == "the lease humangov-operator was taken by someone"
        assert not candidate.election.holds()
        assert server.spec["holderIdentity"] == "someone"

    run_story(story)


@pytest.mark.parametrize("how", ["touched", "deleted", "given back"])
def test_leader_keeps_a_lease_that_was_annotated_or_emptied(how: str) -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate, keeping = await leader(time, server)
        await time.pass_by(7)
        if how == "touched":
            server.touch()
        elif how == "deleted":
            server.lease = None
        else:
            server.put(holderIdentity="", leaseDurationSeconds=1)
        await time.pass_by(60)
        assert not keeping.done()
        assert candidate.election.holds()
        assert server.spec["holderIdentity"] == "a"
        assert server.lease is not None
        assert ("annotations" in server.lease["metadata"]) == (how == "touched"), "foreign fields stay"

    run_story(story)


def test_lease_errors_are_logged_once_a_minute_and_the_standby_keeps_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidate = Candidate("a", server)
        candidate.line.refusal = KubeError("reading the lease", status=403, reason="forbidden")
        acquiring = candidate.acquire()
        await time.pass_by(150)
        assert len(caplog.records) == 3
        assert {record.getMessage() for record in caplog.records} == {
            "reading the lease: forbidden; without the lease the operator does nothing; retried automatically"
        }
        assert candidate.election.trouble == "reading the lease: forbidden"
        assert not candidate.election.standby, "who can't look can't take over"
        candidate.line.refusal = None
        await time.pass_by(5, until=acquiring)
        assert acquiring.result() is True
        assert candidate.election.trouble is None

    run_story(story)


def test_loser_of_the_race_for_a_free_lease_waits_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async def story(time: Time, server: ApiServer) -> None:
        candidates = [Candidate(name, server) for name in ("a", "b", "c")]
        for candidate in candidates:
            candidate.line.latency = 0.5  # all have read before one has written
        acquiring = [candidate.acquire() for candidate in candidates]
        await time.pass_by(10)
        assert sorted(task.done() for task in acquiring) == [False, False, True]
        assert caplog.records == []

    run_story(story)


def test_standby_that_receives_a_stop_signal_does_not_acquire_the_lease() -> None:
    async def story(time: Time, server: ApiServer) -> None:
        server.put(holderIdentity="someone", leaseDurationSeconds=15)
        candidate = Candidate("a", server)
        acquiring = candidate.acquire()
        await time.pass_by(5)
        candidate.stop.set()
        began = time.now
        await time.pass_by(60, until=acquiring)
        assert acquiring.result() is False
        assert time.now - began <= 1.2 * RETRY_PERIOD_SECONDS + 0.1

    run_story(story)


@pytest.mark.parametrize("seed", range(25))
def test_never_two_leaders_hold_the_lease_under_random_faults_and_finally_one_does(seed: int) -> None:
    async def story(time: Time, server: ApiServer) -> None:
        rng = random.Random(seed)  # noqa: S311 - repeatable
        candidates: list[Candidate] = []
        tasks: dict[Candidate, asyncio.Task[None]] = {}
        changes = 0

        def look() -> None:
            assert sum(candidate.election.holds() for candidate in tasks) <= 1

        async def live(candidate: Candidate) -> None:
            nonlocal changes
            await candidate.election.acquire(stop=candidate.stop)
            changes += 1
            await candidate.election.keep()
            await time.sleep(candidate.election.seconds_left())  # reconciliations in progress end

        def start() -> None:
            candidate = Candidate(f"c{len(candidates)}", server, seed=seed)
            candidates.append(candidate)
            tasks[candidate] = asyncio.create_task(live(candidate))

        def end(candidate: Candidate) -> None:
            tasks.pop(candidate).cancel()

        time.look = look
        for _ in range(3):
            start()
        for _ in range(120):
            await time.pass_by(rng.uniform(0.1, 9))
            for candidate in [one for one, task in tasks.items() if task.done()]:
                end(candidate)
                start()
            candidate = rng.choice(list(tasks))
            match rng.randrange(8):
                case 0:
                    end(candidate)  # SIGKILL
                    start()
                case 1 | 2:
                    candidate.line.cut = not candidate.line.cut
                case 3:
                    candidate.line.deaf = not candidate.line.deaf
                case 4:
                    candidate.line.latency = rng.choice([0.01, 0.5, 3.0, 8.0])
                case 5:
                    server.lease = (
                        None if rng.random() < 0.2 and not any(c.election.holds() for c in tasks) else server.lease
                    )
                case _:
                    pass
        assert changes > 3, "nothing happened"
        for candidate in tasks:
            candidate.line.cut, candidate.line.deaf, candidate.line.latency = False, False, 0.01
        await time.pass_by(2 * DURATION_SECONDS)
        for candidate in [one for one, task in tasks.items() if task.done()]:
            end(candidate)
            start()
        await time.pass_by(2 * DURATION_SECONDS)
        assert sum(candidate.election.holds() for candidate in tasks) == 1

    run_story(story)


def seen(holder: str, since: float, **spec: Any) -> ObservedLease:
    return ObservedLease({"spec": {"holderIdentity": holder, **spec}}, since)


@pytest.mark.parametrize(
    ("lease", "now", "may"),
    [
        (seen("me", 0), 1, True),
        (seen("other", 0), 14.9, False),
        (seen("other", 0), 15, True),
        (seen("other", 0, leaseDurationSeconds=60), 59, False),
        (seen("other", 0, leaseDurationSeconds=1), 1, True),
        (seen("", 0, leaseDurationSeconds=60), 1, True),
        (ObservedLease({}, 0), 1, True),
        (ObservedLease({"spec": None}, 0), 1, True),
        # What is written into it is by somebody else's clock.
        (seen("other", 0, renewTime="2001-01-01T00:00:00.000000Z"), 1, False),
        (seen("other", 0, renewTime="2999-01-01T00:00:00.000000Z"), 15, True),
    ],
)
def test_lease_may_be_acquired_by_its_holder_or_when_free(lease: ObservedLease, now: float, may: bool) -> None:
    assert leader_election.may_acquire(lease, identity="me", now=now) == may


def test_only_a_change_of_the_lease_spec_counts_as_a_renewal() -> None:
    before = leader_election.observe_lease(
        {"metadata": {"resourceVersion": "1"}, "spec": {"renewTime": "x"}}, before=None, now=5
    )
    annotated = leader_election.observe_lease(
        {"metadata": {"resourceVersion": "2"}, "spec": {"renewTime": "x"}}, before=before, now=9
    )
    renewed = leader_election.observe_lease(
        {"metadata": {"resourceVersion": "3"}, "spec": {"renewTime": "y"}}, before=annotated, now=12
    )
    assert [one.since for one in (before, annotated, renewed)] == [5, 5, 12]


def test_acquired_lease_keeps_foreign_fields_and_counts_transitions() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    theirs: Resource = {
        "metadata": {"name": leader_election.LEASE_NAME, "resourceVersion": "7", "labels": {"a": "b"}},
        "spec": {"holderIdentity": "other", "leaseTransitions": 4, "strategy": "S", "acquireTime": "before"},
    }
    taken = leader_election.acquired(theirs, namespace=NAMESPACE, identity="me", at=noon)
    assert taken["metadata"] == theirs["metadata"]
    assert taken["spec"] == {
        "holderIdentity": "me", "leaseTransitions": 5, "strategy": "S", "leaseDurationSeconds": 15,
        "acquireTime": "2026-03-01T12:00:00.000000Z", "renewTime": "2026-03-01T12:00:00.000000Z",
    }  # fmt: skip
    later = leader_election.acquired(taken, namespace=NAMESPACE, identity="me", at=noon.replace(second=2))
    assert later["spec"] == {**taken["spec"], "renewTime": "2026-03-01T12:00:02.000000Z"}
    back = leader_election.released(later, at=noon)
    assert (back["spec"]["holderIdentity"], back["spec"]["leaseTransitions"]) == ("", 5)
    assert back["metadata"]["resourceVersion"] == "7"


def test_two_renewal_attempts_fit_into_the_deadline_and_the_deadline_into_the_lease() -> None:
    assert 2 * (RETRY_PERIOD_SECONDS + leader_election.REQUEST_SECONDS) <= RENEW_WITHIN_SECONDS
    assert leader_election.REQUEST_SECONDS < 5, "aiohttp rounds up what is longer, by up to a second"
    assert RENEW_WITHIN_SECONDS + leader_election.MARGIN_SECONDS < DURATION_SECONDS


@pytest.mark.parametrize(
    ("arguments", "environment", "namespace"),
    [
        ([], {}, "own"),
        ([], {"HUMANGOV_LEADER_ELECT": "true"}, "own"),
        ([], {"HUMANGOV_LEADER_ELECT": "false"}, None),
        (["--no-leader-elect"], {}, None),
        (["--leader-elect"], {"HUMANGOV_LEADER_ELECT": "false"}, "own"),
    ],
)
def test_lease_is_in_the_operators_namespace_unless_election_is_disabled(
    arguments: list[str], environment: dict[str, str], namespace: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[RunSettings] = []

    def run(_: Settings, run_settings: RunSettings) -> int:
        seen.append(run_settings)
        return 0

    monkeypatch.setattr("humangov.manager.manager.run", run)
    monkeypatch.setattr("humangov.logs.configure", lambda **_: None)
    command = ["run", "--region", "us-east-1", "--operator-namespace", "own", *arguments]
    assert CliRunner().invoke(main, command, env=environment).exit_code == 0
    assert [one.lease_namespace for one in seen] == [namespace]
