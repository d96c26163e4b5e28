"""Bulk reads in whole reconciliations: what they spare, and that a lie in them leads to no wrong write.

Runs on MiniStack, whose listings are never late and whose tagging API lists neither log groups nor mappings. Lies are
told by the line between the operator and it. Drifts, flows, faults, kills and lives with bulk reads: test_drift.py,
test_matrix.py, test_life.py.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from humangov.aws.bulk import read
from humangov.reconcile.due_reads import PERIOD_SECONDS

from testing.reconciler import snapshot
from testing.reconciler.drifts import DRIFTS, GROUP, NAME, OPEN_DOOR, ROLE, configure
from testing.reconciler.line import Fault, on
from testing.reconciler.process import RESYNC_SECONDS
from testing.reconciler.sdk import denied, error, throttled
from testing.reconciler.world import World

ITEMS = {
    read.FUNCTIONS: "Functions", read.MAPPINGS: "EventSourceMappings", read.ROLES: "Roles",
    read.LOG_GROUPS: "logGroups", read.TAGS: "ResourceTagMappingList",
}  # fmt: skip
DEEP = ("iam:ListRolePolicies", "lambda:GetPolicy", "logs:DescribeSubscriptionFilters", "s3:GetBucketLocation")


@pytest.fixture
def world(worlds: Callable[..., World]) -> Iterator[World]:
    made = worlds(bulk_reads=True)
    yield made
    assert made.faults_never_met() == []


def at_rest(world: World) -> str:
    """In sync, read in full, and confirmed by a snapshot."""
    key = world.provisioned(tags={"team": "records"})
    for _ in range(3):
        world.reconcile_once(key)
    world.line.forget()
    return key


def singles(world: World) -> list[str]:
    """The single reads of a reconciliation; the listings go before it."""
    reads = [call for call in world.line.forget() if not call.writes and not call.action.startswith("kube:")]
    return [call.action for call in reads if not _is_listing(call.action, call.parameters)]


def _is_listing(action: str, parameters: Any) -> bool:
    of_function = action == read.MAPPINGS and "FunctionName" in parameters
    of_group = action == read.LOG_GROUPS and "limit" not in parameters
    return action in ITEMS and not of_function and not of_group


def test_confirmed_tenant_costs_one_single_read(world: World) -> None:
    key = at_rest(world)
    world.reconcile_once(key)
    assert singles(world) == ["dynamodb:DescribeTable"]


def test_every_field_without_a_listing_is_read_within_the_hour(world: World) -> None:
    key = at_rest(world)
    found: Counter[str] = Counter()
    for _ in range(7):
        world.clock.forward(RESYNC_SECONDS)
        world.reconcile_once(key)
        reads = singles(world)
        assert len(reads) <= 12, "they come in one heap"
        found.update(reads)
    assert found["dynamodb:DescribeTable"] == 7
    assert {found[action] for action in (*DEEP, "iam:GetRole", "iam:GetRolePolicy", "lambda:GetFunction")} <= {1, 2}


def test_confirmation_that_is_too_old_counts_no_more(world: World) -> None:
    key = at_rest(world)
    world.process.bulk_reads = False
    world.clock.forward(RESYNC_SECONDS)
    world.reconcile_once(key)
    assert "lambda:GetFunction" not in singles(world)
    world.clock.forward(RESYNC_SECONDS)
    world.reconcile_once(key)
    assert {"lambda:GetFunction", "iam:GetRole", "logs:DescribeLogGroups", read.MAPPINGS} <= {
        call.action for call in world.line.calls
    }


def test_snapshot_is_taken_once_for_all_tenants_and_requests_a_reconciliation_of_changed_ones(world: World) -> None:
    key = at_rest(world)
    assert asyncio.run(world.process.read_in_bulk()) == []
    configure(MemorySize=128)(world)
    assert asyncio.run(world.process.read_in_bulk()) == [key]
    assert asyncio.run(world.process.read_in_bulk()) == [], "once"
    world.settle(key)
    assert snapshot.functions(world)[0]["MemorySize"] == 512


def test_what_is_read_while_the_listings_are_taken_is_what_they_are_compared_with(world: World) -> None:
    key = at_rest(world)

    def edit(answer: Any) -> Any:
        """The listing has its answer; before the next one is asked, the declared memory is another."""
        world.kube.edit(key, lambda resource: resource["spec"].update(function={"memoryMiB": 1024}))
        with ThreadPoolExecutor(1) as another_loop:
            another_loop.submit(world.settle, key).result()
            another_loop.submit(world.reconcile_once, key).result()
        return answer

    world.process.bulk_reads = False
    world.line.faults = [Fault(lambda call: call.action == read.FUNCTIONS, alter=edit, times=1)]
    asyncio.run(world.process.read_in_bulk())
    world.line.forget()
    world.reconcile_once(key)
    assert "lambda:GetFunction" in singles(world), "the listing shows the memory of before"
    assert snapshot.functions(world)[0]["MemorySize"] == 1024


def altered(action: str, change: Callable[[list[Any]], None]) -> Fault:
    """A lie in every page of a listing, and in no single read."""

    def alter(answer: Any) -> Any:
        lied = copy.deepcopy(answer)
        change(lied[ITEMS[action]])
        return lied

    return Fault(lambda call: call.action == action and _is_listing(action, call.parameters), alter=alter)


def _cleared(items: list[Any]) -> None:
    items.clear()


def _foreign(items: list[Any]) -> None:
    """Entries of the tenant's names that are somebody else's: another role, other code, other tags."""
    for one in items:
        for field, value in {
            "Role": "arn:aws:iam::999999999999:role/theirs", "CodeSha256": "theirs", "RoleId": "AROATHEIRS",
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}, "retentionInDays": 1,
            "kmsKeyId": "arn:aws:kms:us-east-1:999999999999:key/theirs", "State": "Disabled",
            "BatchSize": 1, "Tags": [{"Key": "humangov.io/tenant", "Value": "another/humangov/california"}],
        }.items():  # fmt: skip
            if field in one or field == "kmsKeyId":
                one[field] = value


def _repeated(items: list[Any]) -> None:
    again = copy.deepcopy(items)
    _foreign(again)
    items += again


LIES: dict[str, Callable[[list[Any]], None]] = {
    "missing": _cleared, "foreign": _foreign, "repeated": _repeated,
}  # fmt: skip


@pytest.mark.parametrize("action", ITEMS)
@pytest.mark.parametrize("lie", LIES)
def test_lie_in_a_listing_leads_to_single_reads_and_to_no_write(world: World, action: str, lie: str) -> None:
    key = at_rest(world)
    before, status = snapshot.snapshot(world), world.status(key)
    world.line.faults = [altered(action, LIES[lie])]
    world.reconcile_once(key)
    assert world.line.writes() + world.line.kube_writes() == []
    assert (snapshot.snapshot(world), world.status(key)) == (before, status)
    if action != read.TAGS or lie != "missing":  # of what MiniStack lists tags, the function's are told singly then
        assert singles(world) != ["dynamodb:DescribeTable"], "nobody noticed: nothing is shown"
    for _ in range(3):
        world.clock.forward(RESYNC_SECONDS)
        world.reconcile_once(key)
    assert world.line.writes() + world.line.kube_writes() == []
    assert (snapshot.snapshot(world), world.status(key)) == (before, status)


@pytest.mark.parametrize("action", ITEMS)
@pytest.mark.parametrize("drift", [drift for drift in DRIFTS if not drift.deep][::12], ids=lambda one: one.what)
def test_stale_listing_hides_a_drift_only_until_the_single_reads_of_the_hour(
    world: World, action: str, drift: Any
) -> None:
    """It still shows what was before the drift. What is then written is right, and written on single reads."""
    key = at_rest(world)
    before = snapshot.snapshot(world)
    kept: dict[str, Any] = {}
    world.line.faults = [
        Fault(
            lambda call: call.action == action and _is_listing(action, call.parameters),
            alter=lambda answer: copy.deepcopy(kept.setdefault(action, answer)),
        )
    ]
    world.reconcile_once(key)
    drift.by_hand(world)
    for _ in range(7):
        world.clock.forward(RESYNC_SECONDS)
        world.reconcile_once(key)
    world.line.faults = []
    if action in (read.MAPPINGS, read.LOG_GROUPS):
        world.settle(key)  # of these the listing shows all: a drift is seen as soon as it does
    world.settle(key)
    if drift.what != "the role removed":
        assert snapshot.snapshot(world) == before
    assert world.ready(key).startswith("True InSync")


UNABLE: dict[str, Exception] = {
    "denied": denied("lambda:ListFunctions"),
    "throttled": throttled(),
    "not served": error("404", "Not Found", status=404),
    "500": error("InternalFailure", "", status=500),
}


@pytest.mark.parametrize("kind", UNABLE)
def test_listings_that_fail_leave_it_to_single_reads(world: World, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    key = at_rest(world)
    status = world.status(key)
    world.line.faults = [Fault(on(read.FUNCTIONS), error=UNABLE[kind])]
    of_role = []
    for _ in range(2):
        world.reconcile_once(key)
        reads = singles(world)
        assert "lambda:GetFunction" in reads
        of_role.append("iam:GetRole" in reads)
    assert not all(of_role), "once an hour it is the role's turn; else the snapshot confirms it"
    assert world.status(key) == status
    told = [one for one in caplog.records if "bulk reads in us-east-1 do not use lambda:ListFunctions" in one.message]
    assert len(told) == (1 if kind in ("denied", "not served") else 0), "said once, and not of what passes"


def test_drift_that_only_single_reads_show_is_corrected_within_the_hour(world: World) -> None:
    key = at_rest(world)
    before = snapshot.snapshot(world)
    iam, awslambda, logs = (world.sdk.client(service) for service in ("iam", "lambda", "logs"))
    iam.put_role_policy(RoleName=ROLE, PolicyName="humangov-cleanup", PolicyDocument=OPEN_DOOR)
    awslambda.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=1)
    logs.untag_resource(
        resourceArn=f"arn:aws:logs:us-east-1:{world.account}:log-group:{GROUP}", tagKeys=["team"]
    )  # fmt: skip
    since = world.clock.monotonic()
    while snapshot.snapshot(world) != before:
        world.clock.forward(RESYNC_SECONDS)
        world.reconcile_once(key)
        assert world.clock.monotonic() - since < PERIOD_SECONDS + RESYNC_SECONDS + 60, "not within the hour"
    assert world.ready(key).startswith("True InSync")
