"""Fifty states at once, as they come from one folder in Git.

On the real API server, the emulated AWS (MiniStack) and the operator as a process. MiniStack does not throttle:
DynamoDB's tag calls, 5 and 10 a second an account, make this slower in AWS.
"""

from __future__ import annotations

import time

from sandbox.recorder import Recorder
from testing.live.account import Account
from testing.live.aws_faults import Refuse
from testing.live.states import States, condition, is_ready
from testing.live.waiting import wait_for
from tests.conftest import Print, StartOperator

COUNT = 50
MISSING = "state-25"


def test_fifty_states_applied_at_once_become_ready_and_are_deleted(
    states: States, account: Account, operator: StartOperator, measured: Print
) -> None:
    names = [f"state-{number:02}" for number in range(COUNT)]
    account.make(*(name for name in names if name != MISSING))
    account.make_bucket(MISSING)
    operator()
    started = time.monotonic()
    states.kubectl_apply(*(states.manifest(name, **account.spec(name)) for name in names))
    applied = time.monotonic() - started
    wait_for(
        lambda: sum(map(is_ready, states.all())) == COUNT - 1, what="all but one are Ready", seconds=90,
        seen=lambda: [one["metadata"]["name"] for one in states.all() if not is_ready(one)],
    )  # fmt: skip
    took = time.monotonic() - started
    measured(f"{COUNT - 1} states applied → all Ready: {took:.1f} s, of which kubectl apply {applied:.1f} s")
    # The one that waits says for what, in its condition and its column.
    said = states.wait_reason(MISSING, "TableNotFound")
    assert said["status"] == "Unknown"
    assert f"table {account.table_name(MISSING)} does not exist yet" in said["message"]
    assert condition(states.get(MISSING), "Reconciling")["status"] == "True"
    row = states.cluster.output("get", "hgs", MISSING, "-n", states.namespace, "--no-headers").split()
    assert row[:3] == [MISSING, "Unknown", "TableNotFound"]
    assert not any(MISSING in function["FunctionName"] for function in account.functions())
    account.make_table(MISSING)
    made = time.monotonic()
    states.wait_ready(MISSING, seconds=15)
    measured(f"missing table made → Ready: {time.monotonic() - made:.1f} s")
    mappings = [mapping["FunctionArn"] for mapping in account.mappings()]
    assert len(mappings) == len(set(mappings)) == COUNT
    started = time.monotonic()
    states.cluster.output("delete", "hgs", "--all", "-n", states.namespace, "--wait=false")
    states.wait_none(seconds=90)
    measured(f"{COUNT} states kubectl delete → deleted: {time.monotonic() - started:.1f} s")
    assert account.leaked() == {}


def test_fixed_spec_is_reconciled_at_once_despite_back_off(
    states: States, account: Account, operator: StartOperator, measured: Print
) -> None:
    """AWS refuses a function of 128 MiB, as a policy may; by then the operator reconciles again in tens of seconds."""
    account.make("california")
    small = Refuse(lambda operation, body: operation == "lambda:CreateFunction" and '"MemorySize": 128' in body)
    with Recorder(account.endpoint_url, layers=[small]) as recorder:
        operator(environment={"AWS_ENDPOINT_URL": recorder.url})
        states.apply(states.manifest("california", **account.spec("california", function={"memoryMiB": 128})))
        said = states.wait_reason("california", "AccessDenied")
        assert "denies the operator lambda:CreateFunction on humangov-california-delete-file" in said["message"]
        wait_for(lambda: small.refused >= 2, what="it was tried again, and now waits ten seconds", seconds=20)
        states.respec("california", function={"memoryMiB": 256})
        fixed_at = time.monotonic()
        states.wait_ready("california")
        took = time.monotonic() - fixed_at
    measured(f"spec fixed during a back-off of 10 s → Ready: {took:.1f} s")
    assert took < 7, "it was not the back-off's end that was waited for"
