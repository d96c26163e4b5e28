"""Fifty states at once, as they come from one folder in Git.

On the real API server, the emulated AWS (MiniStack) and the operator as a process. MiniStack does not throttle:
DynamoDB's tag calls, 5 and 10 a second an account, make this slower in AWS.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from sandbox import local_operator
from sandbox.local_operator import Process
from sandbox.paths import REPOSITORY
from sandbox.recorder import Recorder
from testing.live.account import Account
from testing.live.aws_faults import Refuse
from testing.live.states import States, condition, is_ready
from testing.live.waiting import wait_for
from tests.conftest import Print, StartOperator

COUNT = 50
MISSING = "state-25"

Spawned = Callable[..., Process]


def test_fifty_states_applied_at_once_become_ready_survive_broken_code_and_are_deleted(
    states: States,
    account: Account,
    operator: StartOperator,
    measured: Print,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    names = [f"state-{number:02}" for number in range(COUNT)]
    account.make(*(name for name in names if name != MISSING))
    account.make_bucket(MISSING)
    running = operator()
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
    assert f"table {account.table_name(MISSING)} does not exist;" in said["message"]
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
    running.kill()
    with monkeypatch.context() as patch:
        patch.setattr(local_operator, "spawned", spawned_from(broken_tree(tmp_path)))
        survive_broken_code(states, account, operator, names, measured)
    started = time.monotonic()
    states.cluster.output("delete", "hgs", "--all", "-n", states.namespace, "--wait=false")
    states.wait_none(seconds=90)
    measured(f"{COUNT} states kubectl delete → deleted: {time.monotonic() - started:.1f} s")
    assert account.leaked() == {}


def survive_broken_code(
    states: States, account: Account, operator: StartOperator, names: Sequence[str], measured: Print
) -> None:
    """An operator whose function fails every batch is installed while every state deletes a record."""
    for name in names:
        account.employ(name, "employee-1", pdf=f"{name}.pdf")
    former = code_of(account)
    assert len(set(former.values())) == 1
    operator()
    started, hurt = time.monotonic(), set[str]()

    def changed() -> set[str]:
        hurt.update(name for name, code in code_of(account).items() if code != former[name])
        return hurt

    wait_for(lambda: changed() != set(), what="one state has the new code", seconds=40)
    for name in names:
        account.dismiss(name, "employee-1")
    wait_for(
        lambda: changed() != set() and record_of(states)["stage"] == "Stopped", what="the rollout is stopped",
        seconds=120, seen=lambda: (record_of(states)["stage"], hurt),
    )  # fmt: skip
    measured(f"{COUNT} states, broken code: upgrade → the rollout is stopped: {time.monotonic() - started:.1f} s")
    wait_for(lambda: code_of(account) == former, what="every function has the former code", seconds=30)
    assert len(hurt) == 1
    wait_for(
        lambda: not any(map(account.files, names)), what="every deleted record's file is erased", seconds=60,
        seen=lambda: {name: account.files(name) for name in names if account.files(name)},
    )  # fmt: skip
    [first] = [name for name in names if any(name in function for function in hurt)]
    assert f"{states.namespace}/{first}" in record_of(states)["message"]
    posted = [event for event in states.events(first) if event["reason"] == "CodeRolloutStopped"]
    assert [event["type"] for event in posted] == ["Warning"]


def code_of(account: Account) -> Mapping[str, str]:
    return {function["FunctionName"]: function["CodeSha256"] for function in account.functions()}


def record_of(states: States) -> Mapping[str, str]:
    """Without kubectl: it is looked at for a minute."""
    api: Any = client.CoreV1Api(states.cluster.api.api_client)
    return dict(api.read_namespaced_config_map("humangov-code-rollout", states.namespace).data)


def broken_tree(folder: Path) -> Path:
    """The operator's package with another version of the function, which fails whatever it is given."""
    tree = folder / "upgrade"
    shutil.copytree(REPOSITORY / "operator", tree, ignore=shutil.ignore_patterns("__pycache__"))
    handler = tree / "humangov" / "cleanup" / "handler.py"
    broken, times = re.subn(r"(?m)^(def handle\(.*\n)", r"\1    raise RuntimeError('broken')\n", handler.read_text())
    assert times == 1
    handler.write_text(broken)
    return tree


def spawned_from(tree: Path) -> Spawned:
    """Operators start anew, from that package."""

    def start(arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, output: int) -> Process:
        return subprocess.Popen(
            [sys.executable, "-m", "humangov.cli", *arguments], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True, cwd=folder,
            env={**environment, "PYTHONPATH": str(tree)},
        )  # fmt: skip

    return start


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
