"""A finalizer that was taken off by hand while the operator was down: told by the operator, removed by the command.

On the real API server and the emulated AWS (MiniStack).
"""

from __future__ import annotations

import subprocess

from testing.live.account import Account
from testing.live.command import run_humangov
from testing.live.states import States
from testing.live.waiting import wait_for
from tests.conftest import StartOperator

CLUSTER = "collected"


def collect(states: States, account: Account, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`humangov leaks` with kubectl's permissions and the account's."""
    flags = ("--cluster-name", CLUSTER, "-n", states.namespace, *arguments)
    return run_humangov("leaks", *flags, environment={**states.cluster.sandbox.environment(), **account.environment})


def reasons(states: States) -> list[str]:
    reported = states.cluster.output("get", "events", "-n", states.namespace, "-o", "jsonpath={.items[*].reason}")
    return reported.split()


def test_leaked_tenant_is_reported_by_the_operator_and_removed_by_the_command(
    states: States, account: Account, operator: StartOperator
) -> None:
    account.make("california")
    first = operator("--cluster-name", CLUSTER)
    states.apply(states.manifest("california", **account.spec("california")))
    states.wait_ready("california")
    assert collect(states, account).returncode == 0
    first.kill()
    states.patch("california", {"metadata": {"finalizers": None}})
    states.delete("california")
    states.wait_deleted("california")
    left = account.picture()

    operator("--cluster-name", CLUSTER)
    wait_for(lambda: "LeakedResourcesFound" in reasons(states), what="the operator tells of what is left over")
    dry = collect(states, account)
    assert (dry.returncode, dry.stderr) == (2, "")
    assert "function humangov-california-delete-file: would be deleted" in dry.stdout
    assert account.picture() == left

    refused = collect(states, account, "--delete", "--delete-logs")
    assert refused.returncode == 1
    assert "--trust-cluster-name" in refused.stderr
    assert account.picture() == left

    done = collect(states, account, "--delete", "--delete-logs", "--trust-cluster-name")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert account.leaked() == {}
    assert collect(states, account).returncode == 0
