"""The work queue: which key runs when. On a clock that the tests hold; Workers on an event loop, with no work to do."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from humangov.manager.due import namespace_of
from humangov.manager.workqueue import SLOWLY_SECONDS, SOON_SECONDS, Lane, Schedule, Workers, lanes_of, share
from humangov.reconcile.outcome import Outcome
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

RESYNC = 600.0
FAILED_SOON = Outcome(failed=True, soon=True)
FAILED = Outcome(failed=True, soon=False)


def schedule(seed: int = 1) -> Schedule:
    return Schedule(resync_seconds=RESYNC, rng=random.Random(seed))  # noqa: S311 - repeatable


def due_in(of: Schedule, *, now: float) -> float:
    due = of.next_due()
    assert due is not None
    return due - now


def run(of: Schedule, key: str, outcome: Outcome, *, now: float) -> None:
    assert of.take(now=now) == key
    of.done(key, outcome, now=now)


def resyncs(*, runs: int) -> list[list[float]]:
    """Of 200 keys: the waits after each of their runs, the first of which came with a change."""
    found: list[list[float]] = [[] for _ in range(runs)]
    for seed in range(200):
        of, now = schedule(seed), 0.0
        of.add("a", now=now, lane=Lane.FAST)
        for waits in found:
            run(of, "a", Outcome(), now=now)
            waits.append(due_in(of, now=now))
            now += waits[-1]
    return found


def test_resync_after_a_change_comes_at_any_moment_of_the_interval_but_not_at_once() -> None:
    """What many have in common, as one apply, must not bring them side by side again and again."""
    waits, *_ = resyncs(runs=1)
    assert min(waits) >= RESYNC * 0.25
    assert max(waits) <= RESYNC
    quarters = [sum(RESYNC * low <= wait < RESYNC * (low + 0.25) for wait in waits) for low in (0.25, 0.5, 0.75)]
    assert min(quarters) >= 45, f"of 200 keys, 67 are expected in each: {quarters}"


def test_resync_after_a_resync_keeps_its_place_within_10_percent() -> None:
    for waits in resyncs(runs=4)[1:]:
        assert min(waits) >= RESYNC * 0.9
        assert max(waits) <= RESYNC * 1.1
        assert len(set(waits)) > 100, "jittered"


def test_resync_after_failures_comes_at_any_moment_of_the_interval() -> None:
    """An outage of AWS brings all tenants side by side."""
    of, now = schedule(), 0.0
    of.add("a", now=now, lane=Lane.SLOW, delay=5.0)
    for outcome in (Outcome(), FAILED_SOON, FAILED_SOON):
        now += due_in(of, now=now)
        run(of, "a", outcome, now=now)
    now += due_in(of, now=now)
    run(of, "a", Outcome(), now=now)
    assert RESYNC * 0.25 <= due_in(of, now=now) < RESYNC * 0.9, "the seed draws one that no resync of 10 % has"


def test_key_that_is_added_with_a_delay_runs_then_and_keeps_its_place() -> None:
    of = schedule()
    of.add("a", now=0, lane=Lane.SLOW, delay=123.0)
    assert of.take(now=122.9) is None
    run(of, "a", Outcome(), now=123.0)
    assert RESYNC * 0.9 <= due_in(of, now=123.0) <= RESYNC * 1.1


def test_change_overtakes_the_resync_that_a_key_waits_for() -> None:
    of = schedule()
    for number in range(100):
        of.add(str(number), now=0, lane=Lane.SLOW, delay=5.0)
    of.add("7", now=1, lane=Lane.FAST)
    assert of.take(now=1) == "7"
    assert of.take(now=1) is None
    of.done("7", Outcome(), now=2)
    assert len({of.take(now=5.0) for _ in range(99)} - {"7", None}) == 99, "each once"


class Counted(str):
    """A key that counts how often one is compared or hashed: what a step costs, whatever the machine does beside it."""

    touched = 0

    def __hash__(self) -> int:
        Counted.touched += 1
        return super().__hash__()

    def __lt__(self, other: str) -> bool:
        Counted.touched += 1
        return super().__lt__(other)

    def __eq__(self, other: object) -> bool:
        Counted.touched += 1
        return super().__eq__(other)


def cost_of_a_run(*, keys: int, namespaces: int) -> float:
    """Touches of keys for each run, while all keys are due and one namespace has its share of the workers."""
    of = schedule()
    for number in range(keys):
        of.add(Counted(f"{number % namespaces}/{number}"), now=0.0, lane=Lane.SLOW, delay=number % 7)
    busy = [of.take(now=10.0, of_namespace_at_once=3, failing_at_once=2) for _ in range(3)]
    assert None not in busy
    Counted.touched = 0
    runs = 100
    for number in range(runs):
        key = of.take(now=10.0 + number, of_namespace_at_once=3, failing_at_once=2)
        assert key is not None
        of.done(key, FAILED_SOON if number % 3 else Outcome(), now=10.0 + number)
        of.next_due(after=10.0 + number)
    return Counted.touched / runs


@pytest.mark.parametrize("namespaces", [1, 2, 50])
def test_run_costs_no_more_among_10000_keys_than_among_100(namespaces: int) -> None:
    few, many = (cost_of_a_run(keys=keys, namespaces=namespaces) for keys in (200, 10_000))
    assert many < 5 * few, "a heap grows with the logarithm: 200 keys have 8 levels, 10,000 have 13"


@pytest.mark.parametrize("lane", list(Lane))
def test_namespace_that_keeps_all_its_keys_due_leaves_a_quarter_of_the_workers_to_the_others(lane: Lane) -> None:
    """Whoever may edit HumanGovStates there can: in the fast lane, before every resync and retry of the others."""
    of, at_once = schedule(), share(8)
    assert at_once == 6
    for number in range(200):
        of.add(f"florida/{number}", now=0.0, lane=Lane.FAST)
    of.add("california/california", now=1.0, lane=lane)
    taken = [of.take(now=2.0, of_namespace_at_once=at_once) for _ in range(8)]
    assert taken.count("california/california") == 1
    assert sum(key is not None and key.startswith("florida/") for key in taken) == 6
    of.done("florida/0", Outcome(), now=3.0)
    assert of.take(now=3.0, of_namespace_at_once=at_once) is not None


def test_only_namespace_has_all_the_workers() -> None:
    of = schedule()
    for number in range(9):
        of.add(f"humangov/{number}", now=0.0, lane=Lane.SLOW)
    assert all(of.take(now=1.0, of_namespace_at_once=share(8)) for _ in range(8))


@pytest.mark.parametrize("number", range(2, 65))
def test_share_of_a_namespace_leaves_a_place_and_takes_one(number: int) -> None:
    assert 1 <= share(number) < number


def test_requeue_after_is_honored() -> None:
    of = schedule()
    of.add("a", now=0, lane=Lane.FAST)
    run(of, "a", Outcome(requeue_after_seconds=0.6), now=0)
    assert due_in(of, now=0) == pytest.approx(0.6)


@pytest.mark.parametrize(("outcome", "bounds"), [(FAILED_SOON, SOON_SECONDS), (FAILED, SLOWLY_SECONDS)])
def test_failures_back_off_to_a_bound_and_a_success_resets_them(outcome: Outcome, bounds: tuple[float, float]) -> None:
    of, now, waits = schedule(), 0.0, []
    of.add("a", now=now, lane=Lane.FAST)
    for _ in range(40):
        run(of, "a", outcome, now=now)
        waits.append(due_in(of, now=now))
        now += waits[-1]
    first, longest = bounds
    assert first * 0.9 <= waits[0] <= first * 1.1
    assert waits[1] > waits[0]
    assert all(wait <= longest * 1.1 for wait in waits)
    assert waits[-1] >= longest * 0.9
    assert of.failing_seconds("a", now=now) == pytest.approx(now)
    run(of, "a", Outcome(), now=now)
    assert of.failing_seconds("a", now=now) == 0
    of.add("a", now=now, lane=Lane.SLOW)
    run(of, "a", outcome, now=now)
    assert due_in(of, now=now) <= first * 1.1


def test_first_terminal_error_starts_its_own_back_off_after_throttling() -> None:
    of, now = schedule(), 0.0
    of.add("a", now=now, lane=Lane.FAST)
    for _ in range(9):
        run(of, "a", FAILED_SOON, now=now)
        now += due_in(of, now=now)
    waits = []
    for outcome in (FAILED, FAILED, FAILED_SOON):
        run(of, "a", outcome, now=now)
        waits.append(due_in(of, now=now))
        now += waits[-1]
    first, longest = SLOWLY_SECONDS[0], SOON_SECONDS[1]
    assert waits == [pytest.approx(first, rel=0.1), pytest.approx(first * 2, rel=0.1), pytest.approx(longest, rel=0.1)]


def test_failure_after_progress_restarts_the_back_off() -> None:
    of, now, waits = schedule(), 0.0, []
    of.add("a", now=now, lane=Lane.FAST)
    for progressed in (False, False, False, True, False):
        run(of, "a", Outcome(failed=True, soon=True, progressed=progressed), now=now)
        waits.append(due_in(of, now=now))
        now += waits[-1]
    first = SOON_SECONDS[0]
    assert waits == [pytest.approx(first * times, rel=0.11) for times in (1, 2, 4, 1, 2)]
    assert of.failing_seconds("a", now=now) == pytest.approx(now)


def test_failure_with_a_shorter_requeue_after_is_requeued_earlier() -> None:
    of = schedule()
    of.add("a", now=0, lane=Lane.FAST)
    run(of, "a", Outcome(failed=True, soon=False, requeue_after_seconds=1.0), now=0)
    assert due_in(of, now=0) == 1.0


def test_spec_change_is_reconciled_at_once_despite_back_off() -> None:
    of, now = schedule(), 0.0
    of.add("a", now=now, lane=Lane.FAST)
    for _ in range(10):
        run(of, "a", FAILED, now=now)
        now += due_in(of, now=now)
    run(of, "a", FAILED, now=now)
    of.add("a", now=now + 1, lane=Lane.FAST)
    assert of.take(now=now + 1) == "a"
    of.done("a", FAILED, now=now + 1)
    assert due_in(of, now=now + 1) <= SLOWLY_SECONDS[0] * 1.1, "and the back-off restarts"


def test_spec_change_during_a_run_requeues_at_once_in_the_fast_lane() -> None:
    of = schedule()
    of.add("a", now=0, lane=Lane.SLOW)
    assert of.take(now=0) == "a"
    of.add("a", now=1, lane=Lane.FAST)
    of.add("a", now=1, lane=Lane.SLOW)
    assert of.take(now=1) is None, "one run a key"
    of.done("a", FAILED, now=2)
    assert of.take(now=2, lanes=(Lane.FAST,)) == "a"


def test_spec_change_during_a_failing_run_restarts_the_back_off() -> None:
    of, now = schedule(), 0.0
    of.add("a", now=now, lane=Lane.FAST)
    for _ in range(5):
        run(of, "a", FAILED, now=now)
        now += due_in(of, now=now)
    assert of.take(now=now) == "a"
    of.add("a", now=now, lane=Lane.FAST)
    of.done("a", FAILED, now=now)
    run(of, "a", FAILED, now=now)
    assert due_in(of, now=now) <= SLOWLY_SECONDS[0] * 1.1


def test_deleted_key_is_dropped_from_the_queue_unless_added_meanwhile() -> None:
    of = schedule()
    of.add("a", now=0, lane=Lane.FAST)
    run(of, "a", Outcome(forget=True), now=0)
    assert len(of) == 0
    of.add("a", now=0, lane=Lane.FAST)
    assert of.take(now=0) == "a"
    of.add("a", now=0, lane=Lane.SLOW)
    of.done("a", Outcome(forget=True), now=0)
    assert of.take(now=0) == "a"


def test_fast_lane_runs_first_and_then_the_longest_waiting_key() -> None:
    of = schedule()
    of.add("slow", now=0, lane=Lane.SLOW)
    of.add("second", now=2, lane=Lane.FAST)
    of.add("first", now=1, lane=Lane.FAST)
    assert [of.take(now=3) for _ in range(4)] == ["first", "second", "slow", None]


def test_failing_keys_use_at_most_half_of_the_workers() -> None:
    async def story() -> None:
        begun: list[str] = []
        stuck = asyncio.Event()

        async def run(key: str) -> Outcome:
            begun.append(key)
            if key.startswith("failing") and begun.count(key) > 1:
                await stuck.wait()
            return Outcome(failed=key.startswith("failing"), soon=True, requeue_after_seconds=0.01)

        workers = Workers(schedule=schedule(), run=run, count=4, clock=time.monotonic)
        workers.start()
        for number in range(9):
            await workers.add(f"failing-{number}", lane=Lane.SLOW)
        await workers.add("sound", lane=Lane.SLOW)
        async with asyncio.timeout(5):
            while begun.count("sound") < 20:
                await asyncio.sleep(0.01)
        assert sum(begun.count(key) > 1 for key in set(begun) - {"sound"}) == 2
        stuck.set()
        async with asyncio.timeout(5):
            while not all(begun.count(f"failing-{number}") > 1 for number in range(9)):
                await asyncio.sleep(0.01)
        await workers.stop(grace_seconds=1)

    asyncio.run(story())


def test_queue_knows_its_longest_run_and_wait() -> None:
    of = schedule()
    of.add("a", now=0, lane=Lane.FAST)
    of.add("b", now=5, lane=Lane.FAST)
    assert of.take(now=1) == "a"
    assert of.running() == ["a"]
    assert of.longest_run_seconds(now=11) == 10
    assert of.longest_wait_seconds(now=11) == 6


def test_queue_stands_still_only_if_a_key_is_due_and_no_run_ends() -> None:
    of = schedule()
    assert of.standstill_seconds(now=0) == 0
    for key in ("a", "b", "c"):
        of.add(key, now=0, lane=Lane.FAST)
    assert of.standstill_seconds(now=400) == 400
    assert of.take(now=400) == "a"
    of.done("a", Outcome(failed=True), now=410)
    assert of.standstill_seconds(now=420) == 10, "b has waited for 420 s, and yet the queue moves: AWS is slow"
    for _ in range(2):
        of.done(str(of.take(now=420)), Outcome(), now=420)
    assert of.standstill_seconds(now=420) == 0


def chosen_by_scan(
    of: Schedule, now: float, lanes: tuple[Lane, ...], failing_at_once: int | None, of_namespace_at_once: int | None
) -> str | None:
    """What `take` is to return, by looking at every key."""
    keys = of._keys
    running = [key for key, entry in keys.items() if entry.running_since is not None]
    only_sound = failing_at_once is not None and sum(keys[one].failures > 0 for one in running) >= failing_at_once
    taken = Counter(namespace_of(key) for key in running)
    full = {one for one, number in taken.items() if of_namespace_at_once is not None and number >= of_namespace_at_once}
    full = full if any(namespace_of(key) not in full for key in keys) else set()
    due = [
        (entry.lane, entry.due, key)
        for key, entry in keys.items()
        if entry.due is not None and entry.due <= now and entry.lane in lanes
        and not (only_sound and entry.failures > 0) and namespace_of(key) not in full
    ]  # fmt: skip
    return min(due)[2] if due else None


class ScheduleMachine(RuleBasedStateMachine):
    """Any order of adds, runs and time: one run a key, nothing lost, nothing early, nothing later than the resync."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.of = schedule()
        self.running: set[str] = set()
        self.known: set[str] = set()
        self.asked: dict[str, bool] = {}  # asked for and not yet taken since; True = by a person

    @rule(key=st.sampled_from(["a", "b", "c", "x/d", "x/e", "y/f"]), fast=st.booleans())
    def add(self, key: str, fast: bool) -> None:
        self.of.add(key, now=self.now, lane=Lane.FAST if fast else Lane.SLOW)
        self.known.add(key)
        self.asked[key] = self.asked.get(key, False) or fast

    @rule(only_fast=st.booleans())
    def take(self, only_fast: bool) -> None:
        lanes = (Lane.FAST,) if only_fast else (Lane.FAST, Lane.SLOW)
        key = self.of.take(now=self.now, lanes=lanes)
        waiting = {name for name in self.asked if name not in self.running}
        by_people = {name for name in waiting if self.asked[name]}
        if key is None:
            assert not by_people, "a person's change is due at once"
            assert only_fast or not waiting, "what was asked for is due at once"
            return
        assert key not in self.running
        assert not by_people or key in by_people, "the fast lane goes first"
        self.running.add(key)
        self.asked.pop(key, None)

    @rule(only_fast=st.booleans(), failing=st.none() | st.integers(0, 3), of_namespace=st.none() | st.integers(1, 3))
    def take_within_limits(self, only_fast: bool, failing: int | None, of_namespace: int | None) -> None:
        """As a look at every key would choose."""
        lanes = (Lane.FAST,) if only_fast else (Lane.FAST, Lane.SLOW)
        expected = chosen_by_scan(self.of, self.now, lanes, failing, of_namespace)
        key = self.of.take(now=self.now, lanes=lanes, failing_at_once=failing, of_namespace_at_once=of_namespace)
        assert key == expected
        if key is not None:
            self.running.add(key)
            self.asked.pop(key, None)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), failed=st.booleans(), soon=st.booleans(), forget=st.booleans(),
          after=st.none() | st.floats(0, 30))  # fmt: skip
    def done(self, data: st.DataObject, failed: bool, soon: bool, forget: bool, after: float | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.running.discard(key)
        self.of.done(key, Outcome(failed=failed, soon=soon, forget=forget, requeue_after_seconds=after), now=self.now)
        if forget and key not in self.asked:
            self.known.discard(key)

    @rule(seconds=st.floats(0, 1000))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def no_key_is_lost(self) -> None:
        assert set(self.of.running()) == self.running
        assert len(self.of) == len(self.known)
        if self.known - self.running:
            due = self.of.next_due()
            assert due is not None
            assert due <= self.now + RESYNC * 1.1


ScheduleMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_in_any_order_no_add_is_lost_and_each_key_runs_once_at_a_time = ScheduleMachine.TestCase


def in_loop(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(story(), timeout=20)

    asyncio.run(bounded())


def workers(run_key: Callable[[str], Awaitable[Outcome]], *, count: int = 2) -> Workers:
    loop = asyncio.get_running_loop()
    return Workers(schedule=schedule(), run=run_key, count=count, clock=loop.time)


def test_one_worker_is_reserved_for_the_fast_lane() -> None:
    async def story() -> None:
        started: list[str] = []
        release, fixed = asyncio.Event(), asyncio.Event()

        async def run_key(key: str) -> Outcome:
            started.append(key)
            if key == "fixed":
                fixed.set()
            else:
                await release.wait()
            return Outcome()

        of = workers(run_key, count=3)
        of.start()
        for number in range(5):
            await of.add(f"retry-{number}", lane=Lane.SLOW)
        await of.add("fixed", lane=Lane.FAST)
        await fixed.wait()
        assert len([key for key in started if key.startswith("retry")]) <= 2
        release.set()
        assert await of.stop(grace_seconds=5) == []

    in_loop(story)


def test_resyncs_leave_half_of_the_workers_to_what_somebody_waits_for_and_never_stand_still() -> None:
    async def story() -> None:
        running: set[str] = set()
        ended, most = Counter[str](), 0

        async def run_key(key: str) -> Outcome:
            nonlocal most
            kind = key.partition("-")[0]
            running.add(key)
            most = max(most, sum(one.startswith("resync") for one in running))
            await asyncio.sleep(0.01)
            running.discard(key)
            ended[kind] += 1
            return Outcome() if kind == "resync" else Outcome(requeue_after_seconds=0.0)

        of = workers(run_key, count=10)
        for number in range(40):
            await of.add(f"resync-{number}", lane=Lane.RESYNC)
        of.start()
        await asyncio.sleep(0.05)
        for number in range(40):  # each is due again at once: they could take every worker
            await of.add(f"waiting-{number}", lane=Lane.SLOW)
        changed = asyncio.get_running_loop().time()
        await of.add("changed-0", lane=Lane.FAST)
        while not ended["changed"]:
            await asyncio.sleep(0.001)
        assert asyncio.get_running_loop().time() - changed < 0.5
        before = ended["resync"]
        await asyncio.sleep(0.3)
        assert most <= 5, "of ten workers"
        assert before < ended["resync"] or before == 40, "one worker prefers them"
        assert await of.stop(grace_seconds=5) == []

    in_loop(story)


@pytest.mark.parametrize("count", range(2, 25))
def test_each_number_of_workers_has_one_for_changes_alone_and_one_that_prefers_resyncs(count: int) -> None:
    lanes = lanes_of(count)
    assert len(lanes) == count
    assert all(some[0] is Lane.FAST for some in lanes)
    assert lanes.count((Lane.FAST,)) == lanes.count((Lane.FAST, Lane.RESYNC, Lane.SLOW)) == 1
    assert sum(Lane.RESYNC in some for some in lanes) <= count // 2


def test_resync_that_is_put_off_is_still_one_and_what_waits_is_none() -> None:
    of = schedule()
    for outcome, lane in (
        (Outcome(requeue_after_seconds=1.0, put_off=True), Lane.RESYNC),
        (Outcome(requeue_after_seconds=1.0), Lane.SLOW),
        (FAILED_SOON, Lane.SLOW),
        (Outcome(), Lane.RESYNC),
    ):
        of.add("a", now=0.0, lane=Lane.FAST)
        run(of, "a", outcome, now=0.0)
        others = tuple(one for one in Lane if one is not lane)
        assert of.take(now=2 * RESYNC, lanes=others) is None
        assert of.take(now=2 * RESYNC, lanes=(lane,)) == "a"
        of.done("a", Outcome(forget=True), now=0.0)


def test_each_change_hurries_a_key_that_may_be_running() -> None:
    async def story() -> None:
        told: list[str] = []

        async def never(_: str) -> Outcome:
            raise AssertionError

        of = Workers(schedule=schedule(), run=never, count=2, clock=time.monotonic, hurry=told.append)
        await of.add("settled", lane=Lane.RESYNC)
        await of.add("waiting", lane=Lane.SLOW)
        await of.add("changed", lane=Lane.FAST)
        assert told == ["changed"]

    in_loop(story)


def test_workers_stop_after_their_current_runs() -> None:
    async def story() -> None:
        running, release, started, ended = asyncio.Event(), asyncio.Event(), [], []

        async def run_key(key: str) -> Outcome:
            started.append(key)
            running.set()
            await release.wait()
            ended.append(key)
            return Outcome()

        of = workers(run_key)
        of.start()
        await of.add("a", lane=Lane.SLOW)
        await running.wait()
        stopping = asyncio.create_task(of.stop(grace_seconds=5))
        await asyncio.sleep(0)
        await of.add("b", lane=Lane.FAST)
        release.set()
        assert await stopping == []
        assert (started, ended) == (["a"], ["a"])
        assert not of.died()

    in_loop(story)


def test_workers_stop_returns_the_abandoned_keys() -> None:
    async def story() -> None:
        running = asyncio.Event()

        async def run_key(key: str) -> Outcome:
            running.set()
            await asyncio.Event().wait()
            return Outcome()

        of = workers(run_key)
        of.start()
        await of.add("a", lane=Lane.FAST)
        await running.wait()
        assert await of.stop(grace_seconds=0.01) == ["a"]

    in_loop(story)


def test_run_that_raises_counts_as_a_failure_and_the_worker_continues(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        fine = asyncio.Event()

        async def run_key(key: str) -> Outcome:
            if key == "bug":
                raise RuntimeError("oops")
            fine.set()
            return Outcome()

        of = workers(run_key)
        of.start()
        await of.add("bug", lane=Lane.FAST)
        await of.add("bug", lane=Lane.SLOW)
        await of.add("fine", lane=Lane.FAST)
        await fine.wait()
        assert not of.died()
        assert of.schedule.failing_seconds("bug", now=asyncio.get_running_loop().time() + 1) > 0
        await of.stop(grace_seconds=5)

    in_loop(story)
    assert "oops" in caplog.text


def test_dead_worker_is_detected() -> None:
    async def story() -> None:
        async def run_key(key: str) -> Outcome:
            raise asyncio.CancelledError

        of = workers(run_key)
        of.start()
        await of.add("a", lane=Lane.FAST)
        while not of.died():
            await asyncio.sleep(0)
        await of.stop(grace_seconds=1)

    in_loop(story)


def test_future_due_time_wakes_a_worker() -> None:
    async def story() -> None:
        runs: list[float] = []
        twice = asyncio.Event()

        async def run_key(key: str) -> Outcome:
            runs.append(asyncio.get_running_loop().time())
            if len(runs) == 2:
                twice.set()
            return Outcome(requeue_after_seconds=0.02)

        of = workers(run_key)
        of.start()
        await of.add("a", lane=Lane.FAST)
        await twice.wait()
        assert runs[1] - runs[0] >= 0.02
        await of.stop(grace_seconds=5)

    in_loop(story)
