"""One limit of AWS's, shared by all: never faster than allowed, by priority, and nobody starves."""

from __future__ import annotations

from collections import Counter

import pytest
from humangov.aws.token_bucket import FAIR_EVERY, KEPT_SECONDS, LEAST, MOST, Priority, Ticket, TokenBucket
from hypothesis import given, settings
from hypothesis import strategies as st

RATES = st.floats(0.5, 200)
SHARES = st.floats(0.05, 0.9)
ASKS = st.lists(st.tuples(st.floats(0, 10), st.sampled_from(Priority)), min_size=1, max_size=120)


def run(bucket: TokenBucket, asks: list[tuple[float, Priority]]) -> list[tuple[float, Ticket]]:
    """Each asks at its time; when each was granted, until all are."""
    asks, granted, now = sorted(asks), [], 0.0
    waiting = len(asks)
    for _ in range(20_000):
        while asks and asks[0][0] <= now:
            at, priority = asks.pop(0)
            bucket.ask(priority, now=at)
        granted += [(now, ticket) for ticket in bucket.grant(now=now)]
        if len(granted) == waiting:
            return granted
        left = bucket.seconds_to_next(now=now)
        following = [now + max(left, 1e-6)] if left is not None else []
        now = min([*following, *([asks[0][0]] if asks else [])])
    raise AssertionError("somebody waits for ever")


@settings(max_examples=300, deadline=None)
@given(rate=RATES, share=SHARES, asks=ASKS)
def test_in_no_window_more_is_granted_than_the_limit_allows_and_everybody_is_granted(
    rate: float, share: float, asks: list[tuple[float, Priority]]
) -> None:
    granted = run(TokenBucket(per_second=rate, share=share, now=0.0), list(asks))
    for of, allowed in ((set(Priority), rate * MOST), ({Priority.RESYNC}, rate * share)):
        times = [at for at, ticket in granted if ticket.priority in of]
        for first in range(len(times)):
            for last in range(first, len(times)):
                burst = max(1.0, allowed * KEPT_SECONDS)
                assert last - first + 1 <= burst + (times[last] - times[first]) * allowed + 1e-3


@pytest.mark.parametrize(("old_one", "within"), [(Priority.NEW, FAIR_EVERY), (Priority.RESYNC, 2 * FAIR_EVERY)])
def test_the_higher_priority_is_first_and_of_every_few_tokens_one_is_for_who_waited_the_longest(
    old_one: Priority, within: int
) -> None:
    bucket = TokenBucket(per_second=1 / MOST, share=0.5, now=0.0)
    assert len([bucket.ask(Priority.NEW, now=0.0)]) == len(bucket.grant(now=0.0)) == 1
    old = bucket.ask(old_one, now=0.1)
    for _ in range(20):
        bucket.ask(Priority.STOP, now=0.2)
    order = [ticket for at in range(1, 10) for ticket in bucket.grant(now=float(at) + 0.01)]
    assert order.index(old) < within
    assert Counter(ticket.priority for ticket in order)[Priority.STOP] == len(order) - 1


def test_call_of_a_new_tenant_beside_many_edits_does_not_stand_behind_older_resyncs() -> None:
    bucket = TokenBucket(per_second=15, share=0.5, now=0.0)
    for _ in range(100):
        bucket.ask(Priority.RESYNC, now=0.0)
    bucket.grant(now=0.0)
    new, order = bucket.ask(Priority.NEW, now=19.9), list[Ticket]()
    for _ in range(200):  # more than AWS allows meanwhile
        bucket.ask(Priority.EDIT, now=20.0)
    for number in range(40):
        order += bucket.grant(now=20.0 + number / 10)
    assert [ticket.priority for ticket in order[: order.index(new)]].count(Priority.RESYNC) <= 1
    assert order.index(new) < 2 * FAIR_EVERY
    assert Counter(ticket.priority for ticket in order)[Priority.RESYNC] >= len(order) // (2 * FAIR_EVERY) - 1


def test_while_aws_throttles_a_resync_gets_every_few_tokens_that_there_are() -> None:
    """Its calls follow one another: at a twentieth of the rate, half as many tokens would make it last too long."""
    bucket = TokenBucket(per_second=15, share=0.5, now=0.0)
    bucket.grant(now=0.0)
    for at in (1.0, 2.1, 3.2, 4.3, 5.4):
        bucket.throttled(now=at)
    resyncs = [bucket.ask(Priority.RESYNC, now=5.5) for _ in range(4)]
    for _ in range(100):
        bucket.ask(Priority.EDIT, now=5.6)
    order = [ticket for number in range(600) for ticket in bucket.grant(now=6.0 + number / 10)][: 5 * FAIR_EVERY]
    assert sum(ticket in order for ticket in resyncs) == len(resyncs)


@settings(max_examples=100, deadline=None)
@given(priority=st.sampled_from(Priority), flood=st.sampled_from(Priority), rate=st.floats(1, 100))
def test_no_priority_starves_however_many_of_another_keep_coming(
    priority: Priority, flood: Priority, rate: float
) -> None:
    bucket = TokenBucket(per_second=rate, share=0.5, now=0.0)
    for _ in range(300):
        bucket.ask(flood, now=0.0)
    mine, now, grants = bucket.ask(priority, now=0.0), 0.0, 0
    while not mine.granted:
        now += 0.25 / rate
        bucket.ask(flood, now=now)
        grants += len(bucket.grant(now=now))
        assert grants <= 2 * FAIR_EVERY * 302, "everybody before it has had a turn by then"


def test_without_a_rush_resyncs_leave_the_rest_of_the_limit_to_others() -> None:
    bucket = TokenBucket(per_second=10, share=0.5, now=0.0)
    for _ in range(200):
        bucket.ask(Priority.RESYNC, now=0.0)
    granted = sum(len(bucket.grant(now=at / 10)) for at in range(101))
    # 52, but for what a sum of tenths loses.
    assert granted in (2 + 49, 2 + 50), "half of the limit for ten seconds, and what is kept of half a second"
    edit = bucket.ask(Priority.EDIT, now=10.0)
    assert bucket.grant(now=10.0) == [edit], "what people wait for does not stand behind them"
    assert bucket.backlog_seconds(Priority.RESYNC, now=10.0) > 25


def test_throttling_halves_the_rate_once_and_it_grows_back() -> None:
    bucket = TokenBucket(per_second=100, share=0.5, now=0.0)
    for at in (1.0, 1.1, 1.2):  # they were on their way together
        bucket.throttled(now=at)
    assert bucket.rate == pytest.approx(100 * MOST * 0.5, rel=0.01), "and grows by 2 % a second"
    bucket.ask(Priority.STOP, now=1.2)
    assert bucket.grant(now=1.2) == [] or bucket.rate < 100
    bucket.grant(now=60.0)
    assert bucket.rate == 100 * MOST
    for at in range(100, 200, 2):
        bucket.throttled(now=float(at))
    assert 100 * MOST * LEAST <= bucket.rate < 100 * MOST * 0.2, "never to nothing"


def test_cancelled_call_takes_no_token() -> None:
    bucket = TokenBucket(per_second=1, share=0.5, now=0.0)
    bucket.ask(Priority.EDIT, now=0.0)
    bucket.grant(now=0.0)
    gone, other = bucket.ask(Priority.STOP, now=0.1), bucket.ask(Priority.RESYNC, now=0.2)
    bucket.withdraw(gone)
    assert bucket.grant(now=5.0) == [other]
    bucket.withdraw(other)  # it was granted: nothing to take back
    assert bucket.seconds_to_next(now=5.0) is None


LATE = st.lists(st.floats(0.0, 0.5), min_size=120, max_size=120)


@settings(max_examples=200, deadline=None)
@given(rate=st.floats(2, 200), asks=ASKS, late=LATE)
def test_calls_that_arrive_up_to_half_a_second_late_are_within_aws_limit(
    rate: float, asks: list[tuple[float, Priority]], late: list[float]
) -> None:
    """On a busy machine a thread is woken late, and others with it. AWS counts what arrives: a second's calls at most
    at once, and no more than the limit afterwards."""
    granted = run(TokenBucket(per_second=rate, share=0.5, now=0.0), list(asks))
    left, at = rate, 0.0
    for arrived in sorted(when + some for (when, _), some in zip(granted, late, strict=False)):
        left, at = min(rate, left + (arrived - at) * rate) - 1, arrived
        assert left >= -1e-3, "AWS throttles it"


def test_call_that_is_hurried_overtakes_those_it_waited_behind() -> None:
    bucket = TokenBucket(per_second=1 / MOST, share=0.5, now=0.0)
    bucket.ask(Priority.STOP, now=0.0)
    assert len(bucket.grant(now=0.0)) == 1
    before = [bucket.ask(Priority.WAITING, now=0.1) for _ in range(3)]
    late = bucket.ask(Priority.RESYNC, now=0.1)
    bucket.hurry(late, Priority.EDIT)
    assert bucket.grant(now=1.1) == [late]
    assert (bucket.waiting(Priority.RESYNC), bucket.waiting(Priority.EDIT)) == (0, 0)
    bucket.hurry(before[0], Priority.RESYNC)
    assert before[0].priority is Priority.WAITING, "it is never made less urgent"
