"""When AWS is asked again about what it lets ripen: evenly, in turn where many wait, and at once where one has come."""

from __future__ import annotations

from collections.abc import Mapping

from humangov.reconcile.ripening import AT_ONCE_PER_SECOND, JITTER, LEARNED_LASTS_SECONDS, PACES, Ripening
from hypothesis import given, settings
from hypothesis import strategies as st

HERE = "1/us-east-1"
OWN_PACE = PACES[0][1]


def ripening() -> Ripening:
    return Ripening(uniform=lambda low, _: low)


def waits(pace: Ripening, key: str, *kinds: str, now: float, where: str = HERE) -> float:
    delay, _ = pace.observed(key, where=where, kinds=kinds or ("role",), failed=False, now=now)
    assert delay is not None
    return delay


def test_single_waiting_resource_is_read_at_a_pace_that_slows_down_in_steps() -> None:
    pace = ripening()
    assert [waits(pace, "a", now=at) for at in (0, 10, 29)] == [OWN_PACE] * 3
    assert waits(pace, "a", now=31) == PACES[1][1]
    assert waits(pace, "a", now=500) == PACES[2][1]


def test_many_waiting_resources_are_read_in_turn_at_one_common_rate() -> None:
    pace = ripening()
    delays = [waits(pace, str(number), now=0) for number in range(50)]
    assert delays[-1] == 50 / AT_ONCE_PER_SECOND
    assert sorted(delays) == delays, "each joins the end of the turn"


def test_the_one_that_has_waited_longest_is_read_at_its_own_pace_whoever_else_waits() -> None:
    pace = ripening()
    for number in range(50):
        waits(pace, str(number), now=number / 100)
    assert [waits(pace, "0", now=at) for at in (1.0, 8.0, 29.0)] == [OWN_PACE] * 3
    assert waits(pace, "1", now=8.0) == 50 / AT_ONCE_PER_SECOND, "one is enough"
    assert waits(pace, "0", now=30.0) == 50 / AT_ONCE_PER_SECOND, "it is late: it tells the others nothing"
    assert waits(pace, "1", now=30.0) == OWN_PACE
    assert pace.ended("1", where=HERE, kind="role", now=30.1), "which tells the others"


def test_when_one_has_come_those_that_waited_as_long_are_asked_for_at_once_and_the_others_then() -> None:
    pace = ripening()
    planned = {str(number): number + waits(pace, str(number), now=float(number)) for number in range(8)}
    planned |= {str(number): number + waits(pace, str(number), now=float(number)) for number in (3, 6, 7)}
    waits(pace, "late", now=7.9)
    delay, wakes = pace.observed("0", where=HERE, kinds=(), failed=False, now=8.0)
    assert delay is None
    due = {one.key: round(8.0 + one.delay, 6) for one in wakes}
    expected = {str(number): number + 8.0 for number in range(1, 8)}
    assert due == {key: at for key, at in expected.items() if at < planned[key]}
    assert pace.observed("1", where=HERE, kinds=(), failed=False, now=9.0)[1] == (), "which are planned already"


def test_time_that_one_resource_needed_decides_when_the_next_one_is_read() -> None:
    pace = ripening()
    waits(pace, "a", now=0)
    assert pace.ended("a", where=HERE, kind="role", now=6.0) == ()
    for number in range(30):
        waits(pace, str(number), now=100)
    assert waits(pace, "0", now=105) == 1.0, "in turn it were asked for after 7.5 s"
    assert waits(pace, "0", now=106.5) == OWN_PACE, "it is expected any moment"
    assert waits(pace, "1", now=110) > OWN_PACE, "it was not: in turn again"
    assert waits(pace, "0", now=110) == OWN_PACE, "but for the one that has waited longest"
    assert waits(pace, "0", now=6 + LEARNED_LASTS_SECONDS + 1) > OWN_PACE, "that was long ago"


def test_failed_wait_changes_no_estimate_and_a_deleted_tenant_stops_waiting() -> None:
    pace = ripening()
    for key in ("a", "b", "c"):
        waits(pace, key, now=0)
    assert pace.observed("a", where=HERE, kinds=(), failed=True, now=8.0) == (None, ())
    pace.forget("b")
    assert pace.waiting() == 1
    assert pace.ended("b", where=HERE, kind="role", now=9.0) == ()


def test_estimates_of_one_kind_or_account_do_not_affect_another() -> None:
    pace = ripening()
    waits(pace, "a", "role", now=0)
    waits(pace, "b", "function", now=0)
    waits(pace, "c", "role", now=0, where="2/us-east-1")
    assert pace.ended("a", where=HERE, kind="role", now=5) == ()
    assert not pace.is_early(where=HERE, kind="role", now=5)


def test_a_role_is_early_while_older_ones_are_not_known_and_not_due() -> None:
    pace = ripening()
    assert not pace.is_early(where=HERE, kind="role", now=0)
    delay = waits(pace, "a", now=0)
    assert pace.is_early(where=HERE, kind="role", now=delay / 2)
    assert not pace.is_early(where=HERE, kind="role", now=delay), "it is being asked for"


@settings(max_examples=200, deadline=None)
@given(
    born=st.lists(st.floats(0, 5), min_size=1, max_size=60),
    needs=st.floats(0.5, 40),
    differs=st.floats(0, 0.3),
)
def test_whatever_they_need_none_is_asked_for_much_later_than_it_can_be(
    born: list[float], needs: float, differs: float
) -> None:
    """Simulated: each tenant is asked for when its turn comes; the first that has come tells the others."""
    pace = Ripening(uniform=lambda _, high: high)
    ripe = {str(number): at + needs * (1 + differs * (number % 2)) for number, at in enumerate(born)}
    due: dict[str, float] = {str(number): at for number, at in enumerate(born)}
    came: dict[str, float] = {}
    asked = 0
    while due:
        key = min(due, key=lambda one: due[one])
        now = due.pop(key)
        asked += 1
        has_come = now >= ripe[key]
        delay, wakes = pace.observed(key, where=HERE, kinds=() if has_come else ("role",), failed=False, now=now)
        if has_come:
            came[key] = now
        else:
            assert delay is not None
            due[key] = now + delay
        due |= {one.key: min(due[one.key], now + one.delay) for one in wakes if one.key in due}
    assert max_late(came, ripe) <= len(born) / AT_ONCE_PER_SECOND * (1 + JITTER) + PACES[1][1] * (1 + JITTER)
    if not differs:
        # Alone, or when the first has come, it is a moment; and most of the asking is one's for all.
        late = sorted(came[key] - ripe[key] for key in ripe)
        assert late[len(late) // 2] <= PACES[1][1] * (1 + JITTER) + 1 / AT_ONCE_PER_SECOND
        assert asked <= 3 * len(born) + 2 * AT_ONCE_PER_SECOND * (needs + 6)


def max_late(came: Mapping[str, float], ripe: Mapping[str, float]) -> float:
    return max(came[key] - ripe[key] for key in ripe)
