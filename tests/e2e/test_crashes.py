"""The operator killed or stopped in the midst of its work.

On the real API server, the emulated AWS (MiniStack) behind a proxy that kills at the n-th write, and the operator as a
process. Which write, and whether AWS still did it, is drawn from a seed; what runs beside it is up to the machine.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from sandbox.local_operator import LocalOperator
from sandbox.recorder import Recorder
from testing import kstatus
from testing.live.account import Account
from testing.live.aws_faults import AtWrite, Hang
from testing.live.states import FINALIZER, States
from tests.conftest import Print, StartOperator

TEN = [f"state-{number}" for number in range(10)]


@pytest.fixture
def at_write() -> AtWrite:
    return AtWrite()


@pytest.fixture
def killing(account: Account, at_write: AtWrite) -> Iterator[Recorder]:
    with Recorder(account.endpoint_url, layers=[at_write]) as recorder:
        yield recorder


def one_mapping_each(account: Account) -> bool:
    counted = Counter(mapping["FunctionArn"].rpartition(":")[2] for mapping in account.mappings())
    return counted == {f"humangov-{name}-delete-file": 1 for name in TEN}


@pytest.mark.parametrize("seed", [1])
def test_operator_killed_at_random_writes_of_ten_states_ends_in_sync_and_leaks_nothing(
    seed: int, states: States, account: Account, operator: StartOperator, killing: Recorder, at_write: AtWrite
) -> None:
    rng = random.Random(seed)  # noqa: S311 - which write, not a secret
    account.make(*TEN)

    def start() -> LocalOperator:
        return operator(environment={"AWS_ENDPOINT_URL": killing.url})

    def killed(running: LocalOperator) -> None:
        """Until it is dead at a write that the seed chooses."""
        number, after = rng.randint(1, 40), rng.random() < 0.5  # ten states take some 80 writes
        at_write.arm(number=number, after=after, act=running.process.kill)
        assert at_write.acted.wait(90), f"no write number {number}"
        assert running.process.wait(10) == -signal.SIGKILL
        assert max(Counter(one["FunctionArn"] for one in account.mappings()).values(), default=0) <= 1

    at_write.hold()
    running = start()
    states.apply(*(states.manifest(name, **account.spec(name)) for name in TEN))
    killed(running)
    at_write.hold()
    killed(start())
    running = start()
    states.wait_all_ready(len(TEN), seconds=40)
    assert one_mapping_each(account), account.mappings()
    at_write.hold()
    states.delete(*TEN)
    killed(running)
    start()
    states.wait_none(seconds=60)
    assert account.leaked() == {}


def test_operator_on_sigterm_finishes_its_reconciliations_and_writes_no_partial_status(
    states: States, account: Account, operator: StartOperator, killing: Recorder, at_write: AtWrite, measured: Print
) -> None:
    account.make(*TEN)
    running = operator(environment={"AWS_ENDPOINT_URL": killing.url})
    at_write.arm(number=20, after=True, act=partial(running.process.send_signal, signal.SIGTERM))
    states.apply(*(states.manifest(name, **account.spec(name)) for name in TEN))
    assert at_write.acted.wait(90)
    started = time.monotonic()
    assert running.process.wait(20) == 0
    measured(f"SIGTERM with reconciliations in progress → exit 0: {time.monotonic() - started:.1f} s")
    found = states.all()
    assert [problem for one in found for problem in kstatus.problems(one)] == []
    for one in found:
        if one.get("status"):
            assert one["status"].keys() >= {"aws", "conditions", "observedGeneration", "functionName"}
            assert FINALIZER in one["metadata"]["finalizers"]
    operator()
    states.wait_all_ready(len(TEN), seconds=40)
    assert one_mapping_each(account)


def test_operator_on_sigterm_abandons_a_hanging_reconciliation_and_exits_0(
    states: States, account: Account, operator: StartOperator, measured: Print
) -> None:
    account.make("california")
    hang = Hang("dynamodb:DescribeTable")
    hang.on.set()
    with Recorder(account.endpoint_url, layers=[hang]) as recorder:
        running = operator(environment={"AWS_ENDPOINT_URL": recorder.url})
        states.apply(states.manifest("california", **account.spec("california")))
        assert hang.hanging.wait(10)
        started = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        code = running.process.wait(30)
        took = time.monotonic() - started
        hang.on.clear()
    measured(f"SIGTERM while AWS hangs → exit {code}: {took:.1f} s")
    assert code == 0
    assert took < 23, "20 s of grace, and a moment to end"
    assert kstatus.problems(states.get("california") or {}) == []
