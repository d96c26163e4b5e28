"""After a start with many tenants, not all of each is read at once; but whatever would be written or told is.

Runs on MiniStack. That the rest is read within the hour, whenever the process began: test_due_reads.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from humangov.api.spec import RECONCILE_ANNOTATION
from humangov.reconcile import gather

from testing.reconciler import snapshot
from testing.reconciler.drifts import DRIFTS, NAME, ROLE, Drift, awslambda, iam
from testing.reconciler.line import Fault, on
from testing.reconciler.process import RESYNC_SECONDS
from testing.reconciler.sdk import denied
from testing.reconciler.world import World

HOURLY = {"lambda:GetPolicy", "lambda:ListAliases", "lambda:ListVersionsByFunction"}
SELDOM = {
    "lambda:ListFunctionUrlConfigs", "lambda:ListFunctionEventInvokeConfigs", "lambda:GetFunctionCodeSigningConfig",
}  # fmt: skip
DEFERRED = HOURLY | SELDOM
POLICIES = {"iam:ListRolePolicies", "iam:ListAttachedRolePolicies"}
EVERYTHING = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}'
SEEN_AT_ONCE = [drift for drift in DRIFTS if drift.what != "the role removed"]


@pytest.fixture(params=[False, True], ids=["single", "bulk"])
def world(
    worlds: Callable[..., World], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """One tenant is many here."""
    monkeypatch.setattr(gather, "MANY", 1)
    made = worlds(bulk_reads=request.param)
    yield made
    assert made.faults_never_met() == []


def restarted(world: World) -> str:
    key = world.provisioned(tags={"team": "records"})
    for _ in range(3):
        world.reconcile_once(key)
    world.restart_operator()
    world.line.forget()
    return key


def read(world: World) -> set[str]:
    return {call.action for call in world.line.forget() if not call.writes and not call.action.startswith("kube:")}


def reads_of(world: World, key: str, hours: int) -> list[set[str]]:
    """What each reconciliation of so many hours has read of it."""
    found = []
    for _ in range(6 * hours):
        world.clock.forward(RESYNC_SECONDS)
        world.reconcile_once(key)
        found.append(read(world))
    return found


def opened(world: World) -> None:
    awslambda(world).add_permission(
        FunctionName=NAME, StatementId="theirs", Action="lambda:InvokeFunction", Principal="*"
    )


def test_what_a_function_has_beside_its_configuration_is_read_later_and_then_hourly(world: World) -> None:
    key = restarted(world)
    reads = reads_of(world, key, hours=3)
    assert not reads[0] & DEFERRED
    full = [one >= DEFERRED for one in reads]
    assert any(full[:6]), "within the hour"
    assert 2 <= sum(full) <= 4


def test_of_thousands_the_other_policies_of_a_role_are_read_within_the_hour_and_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "THOUSANDS", 1)
    key = restarted(world)
    status, before = world.status(key), snapshot.snapshot(world)
    iam(world).put_role_policy(RoleName=ROLE, PolicyName="theirs", PolicyDocument=EVERYTHING)
    world.reconcile_once(key)
    first = read(world)
    assert "iam:GetRolePolicy" in first
    assert not first & POLICIES
    assert world.status(key) == status
    reads = reads_of(world, key, hours=1)
    assert any(one >= POLICIES for one in reads)
    world.settle(key)
    assert snapshot.snapshot(world) == before
    reads = reads_of(world, key, hours=3)
    assert sum(one >= POLICIES for one in reads) >= 3, "and hourly from then on"


def test_with_thousands_of_tenants_what_alone_does_no_harm_is_read_every_six_hours_and_who_may_invoke_hourly(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "HOURLY_UP_TO", 0)
    key = restarted(world)
    status = world.status(key)
    world.reconcile_once(key)
    first = read(world)
    assert not first & DEFERRED
    assert {"lambda:GetFunction", "lambda:ListTags", "iam:ListRolePolicies", "s3:GetBucketLocation"} <= first
    assert world.status(key) == status
    reads = reads_of(world, key, hours=14)
    hourly, seldom = [one >= HOURLY for one in reads], [one >= SELDOM for one in reads]
    for begin in range(len(reads) - 6):
        assert any(hourly[begin : begin + 6]), "within the hour"
    for begin in range(len(reads) - 41):
        assert any(seldom[begin : begin + 41]), "within six hours, and the turn of the function"
    assert sum(seldom) <= 3
    assert all(one.isdisjoint(SELDOM) or one >= DEFERRED for one in reads), "all of it, with the function"
    assert world.status(key) == status


def test_with_thousands_url_and_configuration_of_invocations_are_removed_within_six_hours_and_before_each_write(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "HOURLY_UP_TO", 0)
    key = restarted(world)
    before = snapshot.snapshot(world)
    for written in (False, True):
        awslambda(world).create_function_url_config(FunctionName=NAME, AuthType="AWS_IAM")
        awslambda(world).put_function_event_invoke_config(FunctionName=NAME, MaximumRetryAttempts=0)
        if written:
            opened(world)
            reads_of(world, key, hours=1)
        else:
            reads_of(world, key, hours=7)
        world.settle(key)
        assert snapshot.snapshot(world) == before


def test_a_way_in_that_was_opened_while_no_operator_ran_is_closed_within_the_hour(world: World) -> None:
    key = restarted(world)
    before = snapshot.snapshot(world)
    opened(world)
    for _ in range(6):
        world.reconcile_once(key)
        world.clock.forward(RESYNC_SECONDS)
    world.settle(key)
    assert snapshot.snapshot(world) == before


@pytest.mark.parametrize("drift", [pytest.param(one, id=one.what.replace(" ", "-")) for one in SEEN_AT_ONCE])
def test_drift_from_while_no_operator_ran_is_corrected_by_the_first_reconciliation(world: World, drift: Drift) -> None:
    key = restarted(world)
    before = snapshot.snapshot(world)
    drift.by_hand(world)
    world.reconcile_once(key)
    world.settle(key)
    if drift.deep and snapshot.snapshot(world) != before:  # of what was read later
        for _ in range(6):
            world.clock.forward(RESYNC_SECONDS)
            world.reconcile_once(key)
        world.settle(key)
    assert snapshot.snapshot(world) == before


def test_a_write_after_the_start_follows_a_reading_of_everything(world: World) -> None:
    key = restarted(world)
    before = snapshot.snapshot(world)
    opened(world)
    awslambda(world).update_function_configuration(FunctionName=NAME, MemorySize=128)
    world.reconcile_once(key)
    calls = world.line.forget()
    first_write = next(number for number, call in enumerate(calls) if call.writes)
    assert {call.action for call in calls[:first_write]} >= DEFERRED
    world.settle(key)
    assert snapshot.snapshot(world) == before


def test_whoever_asks_for_a_reconciliation_gets_a_reading_of_everything(world: World) -> None:
    key = restarted(world)
    world.kube.edit(
        key, lambda one: one["metadata"].setdefault("annotations", {}).update({RECONCILE_ANNOTATION: "now"})
    )
    world.reconcile_once(key)
    assert read(world) >= DEFERRED


def test_missing_permission_in_the_status_stays_there_although_it_is_not_read(world: World) -> None:
    key = world.provisioned(tags={"team": "records"})
    world.line.faults = [Fault(on("lambda:ListAliases"), error=denied("lambda:ListAliases"))]
    world.clock.forward(4000)
    for _ in range(3):
        world.reconcile_once(key)
        world.clock.forward(RESYNC_SECONDS)
    status = world.status(key)
    faults = world.line.faults
    world.restart_operator()
    world.line.faults = faults
    world.reconcile_once(key)
    assert world.status(key) == status


def test_few_tenants_are_read_in_full_and_within_the_hour(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "MANY", 2)
    key = restarted(world)
    world.reconcile_once(key)
    assert read(world) >= DEFERRED
    assert any(one >= DEFERRED for one in reads_of(world, key, hours=1))
