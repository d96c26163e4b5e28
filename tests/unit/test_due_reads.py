"""Which single reads are due of a settled tenant: within the hour, evenly, and none that only a listing would answer.

Runs on nothing. What a snapshot says of a tenant: test_bulk.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from humangov.aws import function_observed, log_group, role, stream_observed, trigger_mappings
from humangov.aws.bulk.verdict import Confirmation
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.function_access import Access
from humangov.aws.function_additions import Additions
from humangov.aws.function_undeclared import Undeclared
from humangov.aws.function_urls import Urls
from humangov.aws.resources import BUCKET, FAILURES, FUNCTION, LOG_GROUP, ROLE, STREAM, TRIGGER, Unread
from humangov.reconcile import due_reads
from humangov.reconcile.due_reads import ADDITIONS, COPIES, EVERY, FULL, READ, Reading
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_bulk import CALIFORNIA, known

RESYNC, JITTER = 600.0, 1.1
HOUR = 3600.0
OBSERVED = {**known(CALIFORNIA), STREAM: replace(known(CALIFORNIA)[STREAM], stream_status="ENABLED")}
ALL_SAME = frozenset({ROLE, LOG_GROUP, FUNCTION, TRIGGER})


def reading(*, now: float = 0.0, uid: str = "u") -> Reading:
    found = due_reads.first(1, OBSERVED, uid=uid, now=now, copies_at=now)
    assert found is not None
    return found


def confirmation(*, at: float, same: frozenset[str] = ALL_SAME, news: frozenset[str] = frozenset()) -> Confirmation:
    return Confirmation(
        at=at, valid_until=at + 900, same=same, tags=frozenset({STREAM, TRIGGER, LOG_GROUP, FUNCTION}), news=news,
        differences=news,
    )  # fmt: skip


def test_without_a_reading_everything_is_read() -> None:
    assert due_reads.due(None, confirmation(at=0), now=0) == FULL
    assert FULL.full
    assert FULL.deep == EVERY


def test_snapshot_from_before_the_last_full_reading_confirms_nothing() -> None:
    found = reading(now=100.0)
    assert due_reads.due(found, confirmation(at=100.0), now=160.0).confirmed.keys() == ALL_SAME
    for news in (frozenset[str](), frozenset({"the function's memory"})):
        due = due_reads.due(found, confirmation(at=99.0, news=news), now=160.0)
        assert (due.confirmed, due.deep) == ({}, frozenset()), "read singly, and not in full"


@pytest.mark.parametrize("seldom", [False, True])
@pytest.mark.parametrize("in_bulk", [False, True])
@settings(deadline=None, max_examples=30)
@given(uid=st.text("abc", min_size=1, max_size=5), jitters=st.lists(st.floats(0.9, JITTER), min_size=40, max_size=40))
def test_each_part_is_read_deep_within_the_hour_and_not_all_at_once(
    in_bulk: bool, seldom: bool, uid: str, jitters: list[float]
) -> None:
    now, found = 0.0, reading(uid=uid)
    last = dict.fromkeys((*READ, BUCKET, FAILURES), 0.0)
    at_once: Counter[int] = Counter()
    spared = {STREAM, TRIGGER} if in_bulk else set()
    for jitter in jitters:
        now += RESYNC * jitter
        due = due_reads.due(found, confirmation(at=now - 60) if in_bulk else None, now=now, seldom=seldom)
        assert not spared & due.deep, "what a snapshot shows whole is read singly"
        assert set(due.confirmed) == (ALL_SAME - due.deep if in_bulk else set())
        assert seldom or (ADDITIONS in due.deep) == (FUNCTION in due.deep)
        for part in due.deep - {COPIES, ADDITIONS}:
            assert now - last[part] <= HOUR
            last[part] = now
        at_once[len(due.deep - {COPIES, ADDITIONS})] += 1
        kept = due_reads.continued(found, {}, deep=due.deep, failed=(), now=now)
        assert kept is not None
        found = kept
    assert all(now - last[part] <= HOUR for part in set(last) - spared)
    assert max(at_once) < len(last), "never all in one reconciliation"


def test_what_was_deferred_at_the_start_is_due_after_a_resync_within_the_hour_each_time_at_another_moment() -> None:
    dues = []
    for number in range(200):
        started = number * 1000.0
        found = due_reads.first(1, OBSERVED, uid="u", now=started, copies_at=started, deferred={FUNCTION})
        assert found is not None
        left = next(at for at in range(0, 3600, 10) if FUNCTION in due_reads.due(found, None, now=started + at).deep)
        others = {part: at for part, at in found.read_at.items() if part != FUNCTION}
        assert others.items() <= reading(now=started).read_at.items(), "as ever"
        dues.append(left)
    assert max(dues) <= HOUR - RESYNC * JITTER
    assert min(dues) > RESYNC * JITTER, "before that, every tenant is read for the first time"
    assert [sum(at < HOUR * share for at in dues) > 200 * share for share in (0.6, 0.7)] == [True] * 2, "spread"


def test_other_copies_are_read_with_the_bucket_every_six_hours() -> None:
    found, read, now = reading(), [], 0.0
    while now < 14 * HOUR:
        now += RESYNC
        due = due_reads.due(found, None, now=now)
        read += [now] if COPIES in due.deep else []
        assert COPIES not in due.deep or BUCKET in due.deep
        found = due_reads.continued(found, {}, deep=due.deep, failed=(), now=now) or found
    assert len(read) == 2


def test_additions_are_read_with_the_function_every_six_hours_with_thousands_of_tenants() -> None:
    firsts = []
    for number in range(100):
        found, now, read = reading(now=number * 1000.0), number * 1000.0, list[float]()
        while now < number * 1000.0 + 20 * HOUR:
            now += RESYNC
            due = due_reads.due(found, None, now=now, seldom=True)
            read += [now] if ADDITIONS in due.deep else []
            assert ADDITIONS not in due.deep or FUNCTION in due.deep
            found = due_reads.continued(found, {}, deep=due.deep, failed=(), now=now) or found
        assert all(later - before <= 6 * HOUR for before, later in pairwise(read))
        firsts.append(read[0] - number * 1000.0)
    assert max(firsts) <= 6 * HOUR
    assert [sum(at < 6 * HOUR * share for at in firsts) > 50 * share for share in (0.3, 0.6)] == [True] * 2, "spread"


def test_additions_that_a_deep_read_left_out_stay_as_they_were_and_what_failed_stays_due() -> None:
    undeclared = Undeclared(access=Access(), urls=Urls(), additions=Additions(asynchronous={}))
    observed = {**OBSERVED, FUNCTION: replace(OBSERVED[FUNCTION], undeclared=undeclared)}
    before = due_reads.first(1, observed, uid="u", now=0.0, copies_at=0.0)
    assert before is not None
    access = replace(OBSERVED[FUNCTION], undeclared=Undeclared(access=Access(qualifiers=("1",))))
    found = due_reads.continued(before, {FUNCTION: access}, deep={FUNCTION}, failed=(), now=7)
    assert found is not None
    assert found.observed[FUNCTION].undeclared == replace(undeclared, access=Access(qualifiers=("1",)))
    assert (found.read_at[FUNCTION], found.read_at[ADDITIONS]) == (7, before.read_at[ADDITIONS])
    failed = due_reads.continued(before, {FUNCTION: UNREAD}, deep={FUNCTION, ADDITIONS}, failed=(FUNCTION,), now=7)
    assert failed == before


def test_expired_confirmation_and_unconfirmed_parts_are_read_singly() -> None:
    found = reading()
    assert due_reads.due(found, confirmation(at=0), now=900).confirmed.keys() == ALL_SAME
    assert due_reads.due(found, confirmation(at=0), now=901).confirmed == {}
    told = due_reads.due(found, confirmation(at=0, same=frozenset({ROLE})), now=1)
    assert told.confirmed == {ROLE: OBSERVED[ROLE]}


def test_news_ask_for_one_full_reading() -> None:
    news = confirmation(at=100, news=frozenset({"x"}))
    assert due_reads.due(reading(now=50), news, now=110).full
    assert not due_reads.due(reading(now=105), news, now=110).full, "it was read since"
    # Listed while it was read: the reading may be older than what the listing shows.
    assert due_reads.due(reading(now=100), news, now=110).full


UNREAD = Unread(AwsError(action="a", target="t", code="c", text="t", meaning=Meaning.RETRY_SOON))


@pytest.mark.parametrize("part", READ)
@pytest.mark.parametrize("found", [None, UNREAD])
def test_only_a_whole_reading_begins(part: str, found: object) -> None:
    assert due_reads.first(1, {**OBSERVED, part: found}, uid="u", now=0, copies_at=0) is None


def shallow() -> dict[str, object]:
    """The same, as reads that are not deep show it."""
    mappings = OBSERVED[TRIGGER].mappings
    return {
        STREAM: replace(OBSERVED[STREAM], tags=None, stream_status=None),
        ROLE: replace(OBSERVED[ROLE], other_policies=None, attached=None),
        LOG_GROUP: replace(OBSERVED[LOG_GROUP], tags=None, subscriptions=None),
        FUNCTION: replace(OBSERVED[FUNCTION], undeclared=None),
        TRIGGER: trigger_mappings.Observed(mappings=tuple(replace(one, tags=None) for one in mappings)),
    }


def test_reads_that_show_the_same_continue_the_reading_with_what_deep_ones_showed() -> None:
    found = due_reads.continued(reading(), shallow(), deep={ROLE}, failed=(), now=7)
    assert found is not None
    assert {part: found.observed[part] for part in READ if part != ROLE} == {
        part: OBSERVED[part] for part in READ if part != ROLE
    }
    assert found.read_at[ROLE] == 7
    assert found.read_at[FUNCTION] == reading().read_at[FUNCTION]
    assert found.full_at == 0


CHANGED: dict[str, object] = {
    STREAM: stream_observed.Observed(
        table_id="t", table_status="ACTIVE", enabled=True, view_type="NEW_AND_OLD_IMAGES", kms_key_arn=None,
        arn="another", label="another",
    ),
    ROLE: role.Observed(created=None, path="/", trust="", policy=None, boundary=None, tags={}),
    LOG_GROUP: log_group.Observed(retention_days=1, kms_key_arn=None),
    FUNCTION: function_observed.read({}, reserved_concurrency=None, tags={}),
    TRIGGER: trigger_mappings.Observed(mappings=()),
}  # fmt: skip


@pytest.mark.parametrize("part", READ)
@pytest.mark.parametrize("gone", [False, True])
def test_read_that_shows_something_else_ends_the_reading(part: str, gone: bool) -> None:
    observed = {**shallow(), part: None if gone else CHANGED[part]}
    assert due_reads.continued(reading(), observed, deep=(), failed=(), now=7) is None


@pytest.mark.parametrize("part", READ)
def test_failed_read_does_not_change_the_reading_and_stays_due(part: str) -> None:
    before = reading()
    found = due_reads.continued(before, {**shallow(), part: UNREAD}, deep={part}, failed=(part,), now=7)
    assert found == before
