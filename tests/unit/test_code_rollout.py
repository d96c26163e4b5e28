"""The function's new code goes to one tenant first, then to a share, then to all; where batches fail it goes back."""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from humangov.bundle import Bundle
from humangov.reconcile.code_rollout import (
    FAILING_FOR,
    Pace,
    Rollout,
    Stage,
    TenantCode,
    assigned,
    begin,
    data_of,
    known_code,
    step,
    taken_up,
)
from hypothesis import given
from hypothesis import strategies as st

from testing.samples import NOW

PACE = Pace()
TICK = timedelta(seconds=10)


def code(text: str) -> Bundle:
    content = text.encode()
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Bundle(zip=content, code_sha256=digest, handler=f"{text}.handle")


OLD, NEW, NEWEST = code("old"), code("new"), code("newest")


def recorded(rollout: Rollout, **changed: str) -> dict[str, object]:
    """The ConfigMap, as the API server returns it."""
    return {"metadata": {"name": "humangov-code-rollout"}, "data": {**data_of(rollout), **changed}}


def upgraded(at: datetime = NOW) -> Rollout:
    """OLD is proven, and an operator starts whose code is NEW."""
    return begin(recorded(begin(None, OLD, now=at)), NEW, now=at)


@dataclass
class Tenants:
    """Tenants that take the code that is assigned to them; broken: those whose batches NEW fails."""

    number: int
    rollout: Rollout
    broken: frozenset[int] = frozenset()
    busy: frozenset[int] = frozenset()
    off: frozenset[int] = frozenset()
    pace: Pace = PACE
    now: datetime = NOW
    failing_since: dict[int, datetime] = field(default_factory=dict)
    ever_new: set[int] = field(default_factory=set)
    codes: dict[int, str] = field(default_factory=dict)

    def tick(self) -> None:
        """Ten seconds: each has what is assigned to it, its batches succeed or fail, and the operator looks."""
        self.now += TICK
        for one in range(self.number):
            had, has = self.codes.get(one), assigned(self.rollout, NEW, uid=str(one)).code_sha256
            self.codes[one] = has
            if had is not None and had != has:
                self.failing_since.pop(one, None)
            if has == NEW.code_sha256:
                self.ever_new.add(one)
                if one in self.broken and one in self.busy:
                    self.failing_since.setdefault(one, self.now)
        self.rollout = step(self.rollout, [self.told(one) for one in range(self.number)], NEW, pace=self.pace,
                            now=self.now)  # fmt: skip

    def told(self, one: int) -> TenantCode:
        works = one in self.busy and one not in self.failing_since
        return TenantCode(
            key=f"humangov/state-{one:02}", uid=str(one), runs=one not in self.off, active=one in self.busy,
            code=self.codes.get(one), failing_since=self.failing_since.get(one),
            succeeded_at=self.now if works else None,
        )  # fmt: skip

    def run(self, minutes: float) -> list[Stage]:
        """The stages in their order."""
        stages = [self.rollout.stage]
        for _ in range(math.ceil(minutes * 6)):
            self.tick()
            if self.rollout.stage is not stages[-1]:
                stages.append(self.rollout.stage)
        return stages


def test_code_that_works_goes_to_one_then_to_a_tenth_then_to_all_as_soon_as_batches_succeed() -> None:
    tenants = Tenants(number=50, rollout=upgraded(), busy=frozenset(range(50)))
    tenants.tick()
    tenants.tick()
    assert tenants.ever_new == {0}, "named by nobody, it is the first of the busy ones by its key"
    assert tenants.run(2) == [Stage.FIRST, Stage.SHARE, Stage.ALL]
    assert tenants.run(11) == [Stage.ALL, Stage.SETTLED]
    assert tenants.rollout.proven == NEW


def test_share_is_a_tenth_of_the_tenants() -> None:
    tenants = Tenants(number=50, rollout=upgraded(), busy=frozenset(range(50)))
    while tenants.rollout.stage is not Stage.SHARE:
        tenants.tick()
    assert len(tenants.rollout.members) == 5


def test_without_records_each_stage_lasts_its_ten_minutes() -> None:
    tenants = Tenants(number=50, rollout=upgraded())
    assert tenants.run(9) == [Stage.FIRST]
    assert tenants.run(2) == [Stage.FIRST, Stage.SHARE]
    assert tenants.run(10.5) == [Stage.SHARE, Stage.ALL]
    assert tenants.run(10.5) == [Stage.ALL, Stage.SETTLED]


def test_code_that_fails_stops_at_the_first_tenant_which_has_the_former_code_again() -> None:
    everybody = frozenset(range(50))
    tenants = Tenants(number=50, rollout=upgraded(), busy=everybody, broken=everybody)
    assert tenants.run(60) == [Stage.FIRST, Stage.STOPPED]
    assert len(tenants.ever_new) == 1
    assert set(tenants.codes.values()) == {OLD.code_sha256}
    assert "humangov/state-00" in tenants.rollout.message
    assert begin(recorded(tenants.rollout), NEW, now=NOW) == tenants.rollout, "also for the operator's next process"


def test_code_that_fails_where_the_first_tenant_has_no_records_hurts_a_tenth() -> None:
    tenants = Tenants(number=50, rollout=upgraded(), broken=frozenset(range(50)))
    tenants.run(10.5)
    assert tenants.rollout.stage is Stage.SHARE
    tenants.busy = frozenset(range(50))
    assert tenants.run(2) == [Stage.SHARE, Stage.STOPPED]
    assert len(tenants.ever_new) == 5


@pytest.mark.parametrize(("number", "broken", "ends"), [(50, 1, Stage.SETTLED), (50, 2, Stage.STOPPED)])
def test_stage_all_tolerates_one_failing_function_in_a_hundred(number: int, broken: int, ends: Stage) -> None:
    tenants = Tenants(number=number, rollout=upgraded(), busy=frozenset(range(number)))
    tenants.run(2)
    assert tenants.rollout.stage is Stage.ALL
    tenants.failing_since = dict.fromkeys(range(number - broken, number), tenants.now + TICK)
    tenants.run(12)
    assert tenants.rollout.stage is ends


def test_named_tenants_are_chosen_first_and_those_that_fail_already_last() -> None:
    named = Pace(first=("humangov/state-07", "humangov/state-03"))
    assert first_of(Tenants(number=9, rollout=upgraded(), pace=named)) == {"7"}
    assert first_of(Tenants(number=9, rollout=upgraded(), pace=named, off=frozenset({7}))) == {"3"}
    ailing = Tenants(number=3, rollout=upgraded(), busy=frozenset({0, 1}))
    ailing.failing_since = {0: NOW - timedelta(days=1)}
    assert first_of(ailing) == {"1"}


def first_of(tenants: Tenants) -> frozenset[str]:
    tenants.tick()
    return tenants.rollout.members


def test_a_failure_of_before_the_new_code_does_not_stop_it() -> None:
    everybody = frozenset(range(3))
    tenants = Tenants(number=3, rollout=upgraded())
    tenants.failing_since = dict.fromkeys(everybody, NOW - timedelta(hours=1))
    assert Stage.STOPPED not in tenants.run(45)
    assert tenants.rollout.stage is Stage.SETTLED


def test_transient_failure_does_not_stop_the_rollout_and_delays_the_next_stage() -> None:
    tenants = Tenants(number=50, rollout=upgraded(), busy=frozenset(range(50)))
    tenants.tick()
    tenants.tick()
    tenants.failing_since = {0: tenants.now}
    tenants.tick()
    assert tenants.rollout.stage is Stage.FIRST
    tenants.failing_since = {}
    assert tenants.run(2) == [Stage.FIRST, Stage.SHARE, Stage.ALL]


def test_a_tenant_that_cannot_take_the_code_is_joined_by_another() -> None:
    tenants = Tenants(number=3, rollout=upgraded())
    tenants.tick()
    rollout = tenants.rollout
    stuck = [TenantCode(key=f"humangov/state-{one}", uid=str(one), code=OLD.code_sha256) for one in range(3)]
    assert step(rollout, stuck, NEW, pace=PACE, now=tenants.now + timedelta(minutes=9)) == rollout
    widened = step(rollout, stuck, NEW, pace=PACE, now=tenants.now + timedelta(minutes=11))
    assert (widened.stage, len(widened.members)) == (Stage.FIRST, 2)


def test_rollout_waits_while_no_tenants_function_runs() -> None:
    tenants = Tenants(number=3, rollout=upgraded(), off=frozenset(range(3)))
    assert tenants.run(60) == [Stage.FIRST]
    assert tenants.ever_new == set()
    tenants.off = frozenset()
    assert tenants.run(40)[-1] is Stage.SETTLED


def test_without_tenants_and_without_a_record_the_operators_own_code_is_proven() -> None:
    assert step(upgraded(), [], NEW, pace=PACE, now=NOW).proven == NEW
    assert begin(None, NEW, now=NOW).stage is Stage.SETTLED
    assert assigned(begin(None, NEW, now=NOW), NEW, uid="1") == NEW
    assert assigned(None, NEW, uid="1") == NEW, "not by stages"


def test_another_version_restarts_the_rollout_and_the_former_version_ends_it() -> None:
    tenants = Tenants(number=50, rollout=upgraded(), busy=frozenset(range(50)), broken=frozenset(range(50)))
    tenants.run(5)
    assert tenants.rollout.stage is Stage.STOPPED
    mended = begin(recorded(tenants.rollout), NEWEST, now=tenants.now)
    assert (mended.stage, mended.proven, mended.target) == (Stage.FIRST, OLD, NEWEST.code_sha256)
    assert begin(recorded(tenants.rollout), OLD, now=tenants.now).stage is Stage.SETTLED


def test_rollout_record_whose_zip_does_not_match_its_hash_counts_as_missing() -> None:
    found = recorded(upgraded(), provenZip=base64.b64encode(b"something else").decode())
    assert begin(found, NEW, now=NOW).proven == NEW
    for lacking in ("provenZip", "stage", "proven", "begun"):
        assert begin(recorded(upgraded(), **{lacking: "?"}), NEW, now=NOW).proven == NEW


@pytest.mark.parametrize(
    ("written", "stage"),
    [("First", Stage.FIRST), ("All", Stage.ALL), ("Settled", Stage.ALL), ("Stopped", Stage.STOPPED)],
)
def test_person_may_write_another_stage_into_the_record(written: str, stage: Stage) -> None:
    stopped = replace(upgraded(), stage=Stage.STOPPED if written != "Stopped" else Stage.FIRST, message="why")
    later = NOW + timedelta(hours=1)
    found = taken_up(stopped, recorded(stopped, stage=written), now=later)
    assert (found.stage, found.begun, found.members) == (stage, later, frozenset())


def test_unchanged_or_unreadable_record_changes_nothing() -> None:
    rollout = upgraded()
    records: list[dict[str, object] | None] = [recorded(rollout), None, {"data": {}}, recorded(rollout, stage="?")]
    for found in records:
        assert taken_up(rollout, found, now=NOW) == rollout


def test_whoever_writes_the_record_chooses_what_every_function_has_from_the_next_start_on() -> None:
    """A threat that docs/security.md states: the checksum stands beside the zip. A running operator goes by its own."""
    running = begin(recorded(begin(None, NEW, now=NOW)), NEW, now=NOW)
    planted = replace(upgraded(), proven=code("planted"), stage=Stage.STOPPED)
    assert assigned(taken_up(running, recorded(planted), now=NOW), NEW, uid="1") == NEW
    assert assigned(begin(recorded(planted), NEW, now=NOW), NEW, uid="1") == code("planted")


def test_code_of_both_versions_is_the_operators_own() -> None:
    assert known_code(upgraded(), NEW) == {OLD.code_sha256, NEW.code_sha256}
    assert known_code(None, NEW) == {NEW.code_sha256}


@given(
    number=st.integers(1, 60), share=st.floats(0, 100), data=st.data(), minutes=st.floats(0.2, 12)
)  # fmt: skip
def test_failing_code_never_reaches_more_than_the_members_of_its_stage(
    number: int, share: float, data: st.DataObject, minutes: float
) -> None:
    """Whichever tenants are busy, broken or off, and wherever processes begin anew from the record."""
    some = st.frozensets(st.integers(0, number - 1))
    tenants = Tenants(
        number=number, rollout=upgraded(), broken=frozenset(range(number)), busy=data.draw(some), off=data.draw(some),
        pace=Pace(share_percent=share, minutes=minutes),
    )  # fmt: skip
    most = max(1, math.ceil(number * share / 100))
    chosen: set[str] = set()
    for _ in range(data.draw(st.integers(0, 60))):
        before = tenants.rollout
        tenants.tick()
        after = tenants.rollout
        if data.draw(st.booleans()):
            assert begin(recorded(after), NEW, now=tenants.now) == after or after.stage is Stage.SETTLED
        chosen |= after.members
        if after.stage is Stage.ALL:
            return  # nobody had records until then
        if before.stage is Stage.STOPPED:
            assert after == before
            assert set(tenants.codes.values()) <= {OLD.code_sha256}
        assert len(tenants.ever_new) <= len(chosen)
        assert len(after.members) <= max(most, 1 + sum(one in tenants.off for one in range(number)))
    failing = [since for since in tenants.failing_since.values() if tenants.now - since > FAILING_FOR + TICK]
    assert not failing or tenants.rollout.stage is Stage.STOPPED
